"""Loop guards, filters, recursion and retries, where an answer decides which calls there are; the edges were written
before a tracer saw the programs.
"""

import json
from collections.abc import Iterator
from typing import Any

import dspy

from .base import Case, case

PAGES = {"start": "the harbour, see rope", "rope": "hemp, see knot", "knot": "a loop"}

DOCUMENTS = ["the harbour of Brest", "a recipe for soup", "the lighthouse of Ouessant"]


class WorksOff(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("goal -> steps: list[str]")
        self.do = dspy.Predict("step, before -> done")

    def forward(self, goal: str) -> dspy.Prediction:
        pending, before = list(self.plan(goal=goal).steps), "nothing"
        while pending:
            before = self.do(step=pending.pop(0), before=before).done
        return dspy.Prediction(last=before)


class UntilClean(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("brief -> text")
        self.review = dspy.Predict("text -> issues")
        self.mend = dspy.Predict("text, issues -> text_mended")

    def forward(self, brief: str) -> dspy.Prediction:
        text = self.write(brief=brief).text
        issues = self.review(text=text).issues
        while issues.strip():
            text = self.mend(text=text, issues=issues).text_mended
            issues = self.review(text=text).issues
        return dspy.Prediction(text=text)


class Splits(dspy.Module):
    """Halves a text until nothing is to be halved, and puts the parts together again."""

    def __init__(self) -> None:
        super().__init__()
        self.split = dspy.Predict("text -> parts: list[str]")
        self.leaf = dspy.Predict("text -> gist")
        self.merge = dspy.Predict("left, right -> gist")

    def forward(self, text: str) -> dspy.Prediction:
        return dspy.Prediction(gist=self.solve(text))

    def solve(self, text: str) -> str:
        parts = self.split(text=text).parts
        if len(parts) < 2:
            return self.leaf(text=text).gist
        return self.merge(left=self.solve(parts[0]), right=self.solve(parts[1])).gist


class Filters(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.judge = dspy.Predict("document -> keep: bool")
        self.note = dspy.Predict("document -> note")
        self.answer = dspy.Predict("notes: list[str] -> answer")

    def forward(self, documents: list[str]) -> dspy.Prediction:
        notes = [self.note(document=one).note for one in documents if self.judge(document=one).keep]
        return self.answer(notes=notes)


class FiltersOn(dspy.Module):
    """A filter whose later notes are written with sight of the earlier ones."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = dspy.Predict("document -> verdict")
        self.note = dspy.Predict("document, before -> note")

    def forward(self, documents: list[str]) -> dspy.Prediction:
        before = "none"
        for document in documents:
            if self.judge(document=document).verdict.strip():
                before = self.note(document=document, before=before).note
        return dspy.Prediction(note=before)


class Retries(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emit = dspy.Predict("request, complaint -> json_text")

    def forward(self, request: str) -> dspy.Prediction:
        complaint = "none"
        for _ in range(3):
            text = self.emit(request=request, complaint=complaint).json_text
            try:
                return dspy.Prediction(city=json.loads(text)["city"])
            except (ValueError, LookupError, TypeError) as error:
                complaint = f"{type(error).__name__}: {error}"
        return dspy.Prediction(city="unknown")


class Walks(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read = dspy.Predict("page -> fact, link")
        self.tell = dspy.Predict("facts: list[str] -> story")

    def forward(self, start: str) -> dspy.Prediction:
        link, seen, facts = start, set[str](), list[str]()
        while link and link not in seen:
            seen.add(link)
            page = self.read(page=PAGES.get(link, f"no page {link}"))
            facts.append(page.fact)
            link = page.link
        return self.tell(facts=facts)


class Yields(dspy.Module):
    """The first draft of a generator that is found good: later ones are never written."""

    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("topic, tone -> draft")
        self.check = dspy.Predict("draft -> good: bool")

    def drafts(self, topic: str) -> Iterator[str]:
        for tone in ("dry", "warm", "loud"):
            yield self.write(topic=topic, tone=tone).draft

    def forward(self, topic: str) -> dspy.Prediction:
        return dspy.Prediction(draft=next((one for one in self.drafts(topic) if self.check(draft=one).good), "none"))


class Critic(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.critic = dspy.Predict("draft -> critique")
        self.rewrite = dspy.Predict("draft, critique -> better")

    def forward(self, draft: str) -> dspy.Prediction:
        for _ in range(3):
            critique = self.critic(draft=draft).critique
            if not critique.strip() or critique == "fine":
                break
            draft = self.rewrite(draft=draft, critique=critique).better
        return dspy.Prediction(draft=draft)


class Gathers(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gather = dspy.Predict("topic, known: list[str] -> facts: list[str]")
        self.write = dspy.Predict("facts: list[str] -> article")

    def forward(self, topic: str) -> dspy.Prediction:
        known: list[str] = []
        for _ in range(4):
            if len(known) >= 3:
                break
            known = known + self.gather(topic=topic, known=known).facts
        return self.write(facts=known)


def _by_text(name: str, **texts: Any) -> Any:
    """Answers by a word that stands in the inputs."""
    return lambda inputs: next({name: value} for word, value in texts.items() if word in str(inputs))


CASES: tuple[Case, ...] = (
    case(
        "a-queue-that-is-worked-off",
        WorksOff,
        {"goal": "sail"},
        {
            "plan": {"steps": ["hoist the sail", "weigh anchor"]},
            "do": _by_text("done", hoist="The sail is up.", weigh="We are moving."),
        },
        data="plan[0].steps -> do[0].step, do[1].step\ndo[0].done -> do[1].before",
        output="do[1].done -> last",
        allowed="plan[0].steps -> do[0], do[1], do[1].before, last",
        note="A loop over what is left of a list, each step seeing what came before.",
    ),
    case(
        "mended-until-nothing-is-found",
        UntilClean,
        {"brief": "a line about the sea"},
        {
            "write": {"text": "The see is wide."},
            "review": [{"issues": "see is misspelt"}, {"issues": " "}],
            "mend": {"text_mended": "The sea is wide."},
        },
        data="""write[0].text -> review[0].text, mend[0].text
                review[0].issues -> mend[0].issues
                mend[0].text_mended -> review[1].text""",
        output="mend[0].text_mended -> text",
        control="review[0].issues -> mend[0], review[1]",
        allowed="review[0].issues, write[0].text, review[1].issues -> text",
        note="The guard of the loop is whether a text is blank.",
    ),
    case(
        "halved-by-recursion",
        Splits,
        {"text": "one two three"},
        {
            "split": lambda inputs: {"parts": ["one two", "three"] if inputs["text"].count(" ") == 2 else []},
            "leaf": lambda inputs: {"gist": f"gist of {inputs['text']}"},
            "merge": {"gist": "all in one"},
        },
        data="""split[0].parts -> split[1].text, split[2].text, leaf[0].text, leaf[1].text
                leaf[0].gist -> merge[0].left
                leaf[1].gist -> merge[0].right""",
        output="merge[0].gist -> gist",
        control="""split[0].parts -> merge[0], split[1], split[2]
                   split[1].parts -> leaf[0]
                   split[2].parts -> leaf[1]""",
        allowed="""split[0].parts -> leaf[0], leaf[1], gist
                   split[0].parts, split[1].parts -> merge[0].left
                   split[0].parts, split[2].parts -> merge[0].right""",
        note="Where a half is halved again its leaf disappears; the other half's does not.",
    ),
    case(
        "a-filter-over-a-list",
        Filters,
        {"documents": DOCUMENTS},
        {
            "judge": _by_text("keep", Brest=True, soup=False, Ouessant=True),
            "note": _by_text("note", Brest="Brest has a harbour", soup="soup", Ouessant="a lighthouse stands there"),
            "answer": {"answer": "Two places by the sea."},
        },
        data="note[0].note, note[1].note -> answer[0].notes",
        output="answer[0].answer -> answer",
        control="judge[0].keep -> note[0]\njudge[2].keep -> note[1]",
        allowed="judge[0].keep, judge[1].keep, judge[2].keep -> answer[0].notes",
        note="Where the first is left out the note of the third is still written, as the first one.",
    ),
    case(
        "a-filter-with-memory",
        FiltersOn,
        {"documents": DOCUMENTS},
        {
            "judge": _by_text("verdict", Brest="of use", soup="", Ouessant="of use"),
            "note": _by_text("note", Brest="Brest has a harbour", soup="soup", Ouessant="a lighthouse stands there"),
        },
        data="note[0].note -> note[1].before",
        output="note[1].note -> note",
        control="judge[0].verdict -> note[0]\njudge[2].verdict -> note[1]",
        allowed="""judge[0].verdict, judge[1].verdict -> note[1].before
                   judge[1].verdict, judge[2].verdict, note[0].note -> note""",
        note="Calls are told apart by the document that they read, since the memory changes.",
    ),
    case(
        "json-told-what-is-wrong-with-it",
        Retries,
        {"request": "Where is the lighthouse?"},
        {"emit": [{"json_text": '{"town": "Brest"}'}, {"json_text": '{"city": "Brest"}'}]},
        data="emit[0].json_text -> emit[1].complaint",
        output="emit[1].json_text -> city",
        control="emit[0].json_text -> emit[1]",
        allowed="emit[0].json_text -> city",
        note="Only a text that parses and has the key ends the loop.",
    ),
    case(
        "a-walk-along-links",
        Walks,
        {"start": "start"},
        {
            "read": [
                {"fact": "there is a harbour", "link": "rope"},
                {"fact": "rope is hemp", "link": "knot"},
                {"fact": "a knot is a loop", "link": ""},
            ],
            "tell": {"story": "From harbour to knot."},
        },
        data="""read[0].link -> read[1].page
                read[1].link -> read[2].page
                read[0].fact, read[1].fact, read[2].fact -> tell[0].facts""",
        output="tell[0].story -> story",
        control="read[0].link -> read[1]\nread[1].link -> read[2]",
        allowed="""read[0].link -> read[2], read[2].page
                   read[0].link, read[1].link, read[2].link -> tell[0].facts""",
        note="An empty link, or one that was followed already, ends the walk.",
    ),
    case(
        "the-first-good-one-of-a-generator",
        Yields,
        {"topic": "fog"},
        {
            "write": [{"draft": "Fog is water."}, {"draft": "Fog is a soft coat."}, {"draft": "FOG"}],
            "check": [{"good": False}, {"good": True}],
        },
        data="write[0].draft -> check[0].draft\nwrite[1].draft -> check[1].draft",
        output="write[1].draft -> draft",
        control="check[0].good -> write[1], check[1]",
        allowed="check[0].good, check[1].good, write[0].draft -> draft",
        note="A generator in forward writes the next draft only when it is asked for.",
    ),
    case(
        "criticised-until-fine",
        Critic,
        {"draft": "Fog is water"},
        {
            "critic": [{"critique": "too dry"}, {"critique": "fine"}],
            "rewrite": {"better": "Fog is a soft coat"},
        },
        data="""critic[0].critique -> rewrite[0].critique
                rewrite[0].better -> critic[1].draft""",
        output="rewrite[0].better -> draft",
        control="critic[0].critique -> rewrite[0], critic[1]",
        allowed="critic[0].critique, critic[1].critique -> draft",
        note="Nothing at all, and one word, end the loop.",
    ),
    case(
        "gathered-until-there-are-enough",
        Gathers,
        {"topic": "fog"},
        {
            "gather": [{"facts": ["it is wet", "it is grey"]}, {"facts": ["it hides ships"]}],
            "write": {"article": "Wet and grey, it hides ships."},
        },
        data="""gather[0].facts -> gather[1].known, write[0].facts
                gather[1].facts -> write[0].facts""",
        output="write[0].article -> article",
        control="gather[0].facts -> gather[1]",
        note="How long a list is decides whether more is gathered.",
    ),
)
