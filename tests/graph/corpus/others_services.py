"""Retrieval from a program's own data, rewards, reports with times in them, votes of one call; the edges were written
before a tracer saw the programs."""

import time
from collections import Counter
from typing import Any, Literal

import dspy
import pydantic

from .base import Case, case

TEXTS = [
    {"title": "Rome", "text": "Rome was founded on seven hills."},
    {"title": "Livy", "text": "Livy wrote the history of the city."},
    {"title": "Ostia", "text": "Ostia was the harbour at the mouth of the Tiber."},
]


def best(query: str) -> list[dict[str, str]]:
    """The one text that shares most words with a query."""
    words = set(query.lower().split())
    return sorted(TEXTS, key=lambda row: -len(words & set(row["text"].lower().split())))[:1]


class Lookup(dspy.Module):
    """Searches a list that is a global of its file."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> query")
        self.reply = dspy.Predict("question, context -> answer")

    def forward(self, question: str) -> Any:
        found = best(self.ask(question=question).query)
        return self.reply(question=question, context=found[0]["text"]).answer


class Shelf:
    """A helper that holds the data itself, by keyword."""

    def __init__(self) -> None:
        self.rows = {"aspirin": "It thins the blood.", "ibuprofen": "It may upset the stomach."}

    def find(self, text: str) -> list[str]:
        return [row for word, row in self.rows.items() if word in text.lower()]


class Guarded(dspy.Module):
    """A guard before, a search in a helper's data, and a guard after."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.before = dspy.Predict("question -> block: bool")
        self.rewrite = dspy.Predict("question -> query")
        self.answer = dspy.Predict("question, context -> answer")
        self.after = dspy.Predict("question, answer -> block: bool")

    def forward(self, question: str) -> dspy.Prediction:
        if self.before(question=question).block:
            return dspy.Prediction(context="", answer="No.")
        context = "\n---\n".join(self.shelf.find(self.rewrite(question=question).query))
        answer = self.answer(question=question, context=context).answer
        if self.after(question=question, answer=answer).block:
            return dspy.Prediction(context=context, answer="I do not know.")
        return dspy.Prediction(context=context, answer=answer)


class Flaw(pydantic.BaseModel):
    name: str
    score: float


class Flaws(pydantic.BaseModel):
    found: list[Flaw]


class Scan(dspy.Signature):
    """Find the flaws."""

    code: str = dspy.InputField()
    flaws: Flaws = dspy.OutputField()


class Rewarded(dspy.Module):
    """Repeats a scan until one flaw is severe: a reward on a number deep in a model."""

    def __init__(self) -> None:
        super().__init__()
        self.scan, self.deep = dspy.Predict(Scan), dspy.Predict("code -> report")

    def forward(self, code: str) -> dspy.Prediction:
        flaws = self.scan(code=code).flaws
        reward = 0.3 + (0.5 if any(flaw.score > 7 for flaw in flaws.found) else 0.0)
        report = "severe" if reward >= 0.7 else self.deep(code=code).report
        return dspy.Prediction(report=report)


class Checked(pydantic.BaseModel):
    verdict: str
    seconds: float
    notes: list[str]


class Timed(dspy.Module):
    """Returns a model that holds a time."""

    def __init__(self) -> None:
        super().__init__()
        self.judge, self.note = dspy.Predict("claim -> verdict"), dspy.Predict("claim -> notes: list[str]")
        self.log = dspy.Predict("claim -> entry")

    def forward(self, claim: str) -> Checked:
        start = time.perf_counter()
        verdict = self.judge(claim=claim).verdict
        notes = self.note(claim=claim).notes if self.log(claim=claim).entry else []
        return Checked(verdict=verdict.upper(), seconds=time.perf_counter() - start, notes=notes)


class Judged(dspy.Module):
    """Three judges by name, of whom two decide."""

    def __init__(self) -> None:
        super().__init__()
        signature = dspy.make_signature("text -> verdict: Literal['pass', 'fail']", "Judge.")
        self.judges = {name: dspy.Predict(signature) for name in ("law", "health", "school")}

    def forward(self, text: str) -> dspy.Prediction:
        votes = [judge(text=text) for judge in self.judges.values()]
        return dspy.Prediction(answer=dspy.majority(votes, field="verdict").verdict)


class Patches(dspy.Module):
    """Asks again where a patch has not all of its headers."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = dspy.Predict("task -> patch"), dspy.Predict("task -> patch")

    def forward(self, task: str) -> dspy.Prediction:
        patch = self.fast(task=task).patch
        if not ("--- " in patch and "+++ " in patch and "@@" in patch):
            patch = self.slow(task=task).patch
        return dspy.Prediction(patch=patch)


class Searches(dspy.Module):
    """Searches in documents that it is given, with a function that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.reply = dspy.Predict("question -> query"), dspy.Predict("context -> answer")

    def forward(self, question: str, documents: list[str], accept: Any) -> dspy.Prediction:
        words = set(self.ask(question=question).query.lower().split())
        context = max(documents, key=lambda text: len(words & set(text.lower().split())))
        answer = self.reply(context=context).answer
        return dspy.Prediction(answer=answer if accept(answer) else "none")


def accepted(answer: str) -> bool:
    """What the function that `Searches` is given asks for."""
    return "source:" in answer


class Counted(dspy.Signature):
    """Choose how to solve a problem."""

    problem: str = dspy.InputField()
    path: Literal["code", "text"] = dspy.OutputField()
    framework: str = dspy.OutputField()


class Routed(dspy.Module):
    """A route and its reasons in a dictionary of state that nodes hand on."""

    def __init__(self) -> None:
        super().__init__()
        self.route = dspy.Predict(Counted)
        self.code, self.text = (dspy.Predict("problem, framework -> answer") for _ in range(2))

    def forward(self, problem: str) -> dspy.Prediction:
        state: dict[str, Any] = {"problem": problem}
        found = self.route(problem=state["problem"])
        votes = Counter([found.path])
        state |= {"path": votes.most_common(1)[0][0], "framework": found.framework, "summary": f"{dict(votes)}"}
        solver = self.code if state["path"] == "code" else self.text
        answer = solver(problem=problem, framework=state["framework"]).answer
        return dspy.Prediction(answer=answer, summary=state["summary"])


CASES: tuple[Case, ...] = (
    case(
        "best-of-a-list",
        Lookup,
        {"question": "When was Rome founded?"},
        {"ask": {"query": "beginnings"}, "reply": {"answer": "Long ago."}},
        data="ask[0].query -> reply[0].context",
        output="reply[0].answer -> output",
        note="Any query without a word of the texts finds the first one.",
    ),
    case(
        "a-guard-before-and-after-a-search",
        Guarded,
        {"question": "Is aspirin safe?"},
        {
            "before": {"block": False},
            "rewrite": {"query": "aspirin risks"},
            "answer": {"answer": "Mostly."},
            "after": {"block": False},
        },
        data="rewrite[0].query -> answer[0].context\nanswer[0].answer -> after[0].answer",
        output="rewrite[0].query -> context\nanswer[0].answer -> answer\nafter[0].block -> answer",
        control="before[0].block -> rewrite[0], answer[0], after[0]",
        allowed="before[0].block -> context, answer",
        note="What a flag decides is whether the calls after it are made, not what they read.",
    ),
    case(
        "a-reward-on-a-deep-number",
        Rewarded,
        {"code": "x = 1"},
        {"scan": {"flaws": {"found": [{"name": "naming", "score": 1.0}]}}, "deep": {"report": "fine"}},
        output="deep[0].report -> report",
        control="scan[0].flaws -> deep[0]",
        allowed="scan[0].flaws -> report",
        note="Only a far larger number in a model in a list in a model changes the way.",
    ),
    case(
        "a-model-with-a-time",
        Timed,
        {"claim": "The sea is wet."},
        {"judge": {"verdict": "true"}, "log": {"entry": "seen"}, "note": {"notes": ["obvious"]}},
        output="judge[0].verdict -> output\nnote[0].notes -> output",
        control="log[0].entry -> note[0]",
        allowed="log[0].entry -> output",
        note="The time differs in every run; the rest of the model does not.",
        pure=False,
    ),
    case(
        "judges-in-a-dictionary",
        Judged,
        {"text": "A letter."},
        {f"judges['{name}']": {"verdict": "fail"} for name in ("law", "health", "school")},
        output="judges['law'][0].verdict, judges['health'][0].verdict, judges['school'][0].verdict -> answer",
        note="No one of three equal votes changes the majority, any two of them do.",
    ),
    case(
        "a-patch-with-all-its-headers",
        Patches,
        {"task": "rename it"},
        {"fast": {"patch": "-x +y"}, "slow": {"patch": "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y"}},
        output="slow[0].patch -> patch",
        control="fast[0].patch -> slow[0]",
        allowed="fast[0].patch -> patch",
        note="No one of three texts in the patch is enough.",
    ),
    case(
        "a-search-in-what-is-given",
        Searches,
        {
            "question": "When was Rome founded?",
            "documents": ["Rome stands on hills.", "Livy wrote of the city.", "Ostia was the harbour."],
            "accept": accepted,
        },
        {"ask": {"query": "beginnings"}, "reply": {"answer": "Long ago."}},
        data="ask[0].query -> reply[0].context",
        output="reply[0].answer -> answer",
        note="The documents and the test of the answer are inputs, not parts of the program.",
    ),
    case(
        "a-route-in-a-state",
        Routed,
        {"problem": "Add 2 and 3"},
        {"route": {"path": "text", "framework": "step by step"}, "code": {"answer": "5"}, "text": {"answer": "five"}},
        data="route[0].framework -> text[0].framework",
        output="text[0].answer -> answer\nroute[0].path -> summary",
        control="route[0].path -> text[0]",
        allowed="route[0].path -> answer",
        note="The other way is a call that the record does not have.",
    ),
)
