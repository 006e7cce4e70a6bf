"""Programs as users have them; the edges were written with sight of the documentation alone."""

import random
import time
from collections import Counter
from typing import Annotated, Any, Literal

import dspy
import numpy as np
import pydantic

from .base import Case, case

PASSAGES = ("Cats sleep sixteen hours.", "Dogs bark at strangers.", "Birds sing at dawn.", "Fish swim in schools.")
WORDS = ("cats", "dogs", "birds", "fish")


def found(query: str) -> str:
    asked = set(query.lower().split())
    return max(PASSAGES, key=lambda passage: len(asked & set(passage.lower().rstrip(".").split())))


class Hops(dspy.Module):
    """Searches until a query comes again."""

    def __init__(self) -> None:
        super().__init__()
        self.query = dspy.Predict("context: list[str], asked: list[str], question -> query")
        self.answer = dspy.Predict("context: list[str], question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        context: list[str] = []
        seen: set[str] = set()
        for _ in range(4):
            query = self.query(context=context, asked=sorted(seen), question=question).query
            if query in seen:
                break
            seen.add(query)
            passage = found(query)
            context += [passage] if passage not in context else []
        return self.answer(context=context, question=question)


class Shuffled(dspy.Module):
    """Shows a judge the candidates in an order of chance, against its liking for the first."""

    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("topic, style -> text")
        self.judge = dspy.Predict("candidates -> best")

    def forward(self, topic: str) -> dspy.Prediction:
        texts = [self.write(topic=topic, style=style).text for style in ("plain", "warm", "terse")]
        random.shuffle(texts)
        order = np.random.permutation(len(texts))
        return self.judge(candidates="\n".join(f"{place}) {texts[one]}" for place, one in enumerate(order)))


class Ruled(dspy.Module):
    """A letter is mended where it breaks any of three rules."""

    def __init__(self) -> None:
        super().__init__()
        self.check = dspy.Predict("letter, rule -> ok: bool")
        self.mend = dspy.Predict("letter -> mended")

    def forward(self, letter: str) -> dspy.Prediction:
        passed = all([self.check(letter=letter, rule=rule).ok for rule in ("polite", "short", "signed")])
        return dspy.Prediction(passed=passed, letter=letter if passed else self.mend(letter=letter).mended)


class Counted(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vote = dspy.Predict("claim, juror -> verdict")

    def forward(self, claim: str) -> dspy.Prediction:
        votes = Counter(self.vote(claim=claim, juror=juror).verdict for juror in ("ann", "bob", "cy", "dee"))
        winner, many = votes.most_common(1)[0]
        return dspy.Prediction(winner=winner, share=many / 4)


def embedded(texts: list[str]) -> Any:
    return np.array([[float(word in text.lower()) for word in WORDS] + [0.01] for text in texts], dtype=np.float32)


class Embedded(dspy.Module):
    """A hypothetical passage finds the real ones by embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.imagine = dspy.Predict("question -> passage")
        self.answer = dspy.Predict("context: list[str], question -> answer")
        self.search = dspy.retrievers.Embeddings(corpus=list(PASSAGES), embedder=embedded, k=2)

    def forward(self, question: str) -> dspy.Prediction:
        passage = self.imagine(question=question).passage
        return self.answer(context=self.search(passage).passages, question=question)


class Adapted(dspy.Module):
    """One step writes freely and is read by a second model."""

    def __init__(self) -> None:
        super().__init__()
        self.note = dspy.Predict("text -> note")
        self.answer = dspy.Predict("note -> answer")

    def forward(self, text: str) -> dspy.Prediction:
        with dspy.context(adapter=dspy.TwoStepAdapter(dspy.settings.lm)):
            note = self.note(text=text).note
        return self.answer(note=note.swapcase())


class Timed(dspy.Module):
    """Reports how long it took."""

    def __init__(self) -> None:
        super().__init__()
        self.note = dspy.Predict("text -> note")

    def forward(self, text: str) -> dspy.Prediction:
        return dspy.Prediction(note=self.note(text=text).note, took=time.perf_counter())


class Click(pydantic.BaseModel):
    kind: Literal["click"]
    target: str


class Wait(pydantic.BaseModel):
    kind: Literal["wait"]
    seconds: int


class Plan(dspy.Signature):
    """Plan what to do on the page."""

    goal: str = dspy.InputField()
    actions: list[Annotated[Click | Wait, pydantic.Field(discriminator="kind")]] = dspy.OutputField()


class Acts(dspy.Module):
    """Does what a plan says, each action by its kind."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict(Plan)
        self.click = dspy.Predict("target -> done")

    def forward(self, goal: str) -> dspy.Prediction:
        log = []
        for action in self.plan(goal=goal).actions:
            clicks = isinstance(action, Click)
            log.append(self.click(target=action.target).done if clicks else f"waited {action.seconds} s")
        return dspy.Prediction(log=log)


CASES: list[Case] = [
    case(
        "actions-of-two-kinds",
        Acts,
        {"goal": "send the form"},
        {
            "plan": {"actions": [Click(kind="click", target="#ok"), Wait(kind="wait", seconds=3)]},
            "click": {"done": "sent"},
        },
        data="plan[0].actions -> click[0].target",
        output="plan[0].actions, click[0].done -> log",
        control="plan[0].actions -> click[0]",
        note="Only an action of the other kind shows that the plan decides on the click.",
    ),
    case(
        "hops-until-a-query-comes-again",
        Hops,
        {"question": "Who barks, and who sings?"},
        {
            "query": lambda inputs: {"query": "birds sing" if "Dogs" in inputs["context"] else "dogs bark"},
            "answer": {"answer": "Dogs and birds."},
        },
        data="""query[0].query -> query[1].context, query[2].context, query[1].asked, query[2].asked, answer[0].context
                query[1].query -> query[2].context, query[2].asked, answer[0].context""",
        output="answer[0].answer -> answer",
        allowed="query[0].query, query[1].query -> query[2]\nquery[2].query -> answer[0].context",
        note="The answer that ends the loop is one that was given before: another one would have gone on.",
    ),
    case(
        "candidates-in-an-order-of-chance",
        Shuffled,
        {"topic": "tea"},
        {
            "write": lambda inputs: {"text": f"A {inputs['style']} line about tea."},
            "judge": {"best": "the first"},
        },
        data="write[0].text, write[1].text, write[2].text -> judge[0].candidates",
        output="judge[0].best -> best",
        note="No seed is set: a replay has to draw what the run drew.",
    ),
    case(
        "all-of-three-rules",
        Ruled,
        {"letter": "Send it."},
        {
            "check": lambda inputs: {"ok": inputs["rule"] == "short"},
            "mend": {"mended": "Please send it. Ann"},
        },
        data="",
        output="""check[0].ok, check[1].ok, check[2].ok -> passed
                  mend[0].mended -> letter""",
        control="check[0].ok, check[1].ok, check[2].ok -> mend[0]",
        allowed="check[0].ok, check[1].ok, check[2].ok -> letter",
        note="Two rules are broken: neither answer alone shows, and the one that is kept is hidden by both.",
    ),
    case(
        "a-vote-and-its-dissent",
        Counted,
        {"claim": "the sea is wide"},
        {"vote": lambda inputs: {"verdict": "no" if inputs["juror"] == "dee" else "yes"}},
        data="",
        output="vote[0].verdict, vote[1].verdict, vote[2].verdict, vote[3].verdict -> winner, share",
        note="The dissenting vote moves the share alone, and the winner beside others.",
    ),
    case(
        "a-search-by-embeddings",
        Embedded,
        {"question": "What do pets do?"},
        {"imagine": {"passage": "I think that dogs bark."}, "answer": {"answer": "They bark."}},
        data="imagine[0].passage -> answer[0].context",
        output="answer[0].answer -> answer",
        note="DSPy's search gathers its queries in a thread of its own.",
    ),
    case(
        "a-step-that-is-read-by-a-second-model",
        Adapted,
        {"text": "the sea"},
        {"note": {"note": "The Sea is wide."}, "answer": {"answer": "yes"}},
        data="note[0].note -> answer[0].note",
        output="answer[0].answer -> answer",
        note="One call asks two models by way of two adapters.",
    ),
    case(
        "a-report-of-the-time",
        Timed,
        {"text": "the sea"},
        {"note": {"note": "It is wide."}},
        data="",
        output="note[0].note -> note",
        note="What the clock said is neither read from an answer nor guessed to be.",
    ),
]
