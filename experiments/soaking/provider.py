"""Everything that a provider does wrong: at once, from some request on, and now and then."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import dspy
from simulated import SimulatedModel

from dspy_semantic_backprop import Budget, Limits, SemanticBackpropError
from dspy_semantic_backprop.testing import CONNECTIONS, REPLIES, Faults, Prompt, SimulatedServer

from .process import Spec, compiled

STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 529)
NAMED = ("rate_limit", "billing", "garbage", "drop", "hang")
"""The faults that `Faults` has names for; a `rate_limit` comes with a `Retry-After`."""
FINAL = {
    *("400", "401", "403", "404", "413", "422", "billing"),
    *("no choices", "null choices", "null message", "tool calls only", "content filter"),
    "broken off",
}
"""What is not asked again in the same words: such an answer is missing, or comes in another format."""
LATER, SOMETIMES = 40, 0.15
"""From which request on a provider fails, and what share of all requests fails where it does so at random."""
FAILED = -7.0
"""The score of an execution in which the program failed, in metric points: no answer of this program ever does."""
REQUEST, HANG, LONGEST = 3.0, 9.0, 150.0
"""Seconds: the limit of a request, how long a hanging or slow one takes, and after how many a run itself hangs."""
AT_ONCE = 4
TOKENS = 20_000
"""The budget against usage that cannot be."""

When = str


@dataclass
class Met:
    """One run against a provider that fails.

    Args:
        fault: What goes wrong.
        when: "at once", "later", "sometimes", or "gradients": at once, of the gradient model alone.
        ending: The name of the run's ending, or of the error that it raised; empty where it never ended.
        said: What the run said of it: the error, or the reason and the warnings.
        told: Whether any of that is more than that all steps were made.
        best: Whether an error came with a program, or there was a result.
        scores: Of all examples, in metric points; None for a missing one.
        answers: What the metric was given to judge.
        sent: How many requests arrived.
        booked: How many calls the run says that it made; -1 where it says nothing.
        struck: How many of the requests failed.
        left: How many questions failed whenever they were asked.
    """

    fault: str
    when: When
    ending: str = ""
    said: str = ""
    told: bool = False
    best: bool = False
    scores: list[float | None] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    sent: int = 0
    booked: int = -1
    struck: int = 0
    left: int = 0


def faults(share: float, spared: int = 0) -> Iterator[tuple[str, Faults]]:
    """Every fault by name, each striking a share of the requests."""
    common: dict[str, Any] = {"hang_seconds": HANG, "spared": spared}
    for name in NAMED:
        yield name, Faults(**{name: share}, **common)
    for status in STATUSES:
        yield str(status), Faults(status={status: share}, **common)
    for reply in (*REPLIES, *CONNECTIONS):
        yield reply, Faults(reply={reply: share}, **common)


def cases(every: int = 1) -> list[tuple[str, When, Faults]]:
    """All faults at all times; or each `every`-th fault, so that all times are had."""
    times = {
        "at once": faults(1.0),
        "later": faults(1.0, LATER),
        "sometimes": faults(SOMETIMES),
        "gradients": faults(1.0),
    }
    listed = [(name, when, misbehaving) for when, several in times.items() for name, misbehaving in several]
    return listed[::every]


USAGES = [name for name in REPLIES if name.startswith("usage")]


def provider(every: int, seed: int, progress: Callable[[], None]) -> dict[str, Any]:
    """A provider that fails in every way: nothing is scored for it, nothing hangs, and what happened is said."""
    whole = _run("none", "never", Faults(), seed, retries=8)

    def one(case: tuple[str, When, Faults]) -> Met:
        name, when, misbehaving = case
        met = _run(name, when, misbehaving, seed, retries=8 if when == "sometimes" else 0)
        progress()
        return met

    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = list(pool.map(one, cases(every)))
    violations = [f"{met.fault}, {met.when}: {wrong}" for met in runs for wrong in _wrong(met, whole)]
    said = {f"{met.fault}, {met.when}": f"{met.ending}: {met.said[:160]}" for met in runs}
    return {
        "check": "provider",
        "runs": len(runs),
        "violations": violations,
        "faults": len({met.fault for met in runs}),
        "endings": dict(Counter(met.ending for met in runs)),
        "said": said,
    }


def _run(fault: str, when: When, misbehaving: Faults, seed: int, retries: int) -> Met:
    met = Met(fault, when)
    # Whom a fault strikes follows from the request and hence from the model's name.
    with SimulatedModel(seed).serve(faults=misbehaving) as failing, SimulatedModel(seed).serve() as sound:
        first, writer = (sound, failing) if when == "gradients" else (failing, None)
        spec = Spec(first.url, first.model, steps=1, retries=retries, limits=Limits(request=REQUEST))
        spec = replace(spec, writer=(writer.url, writer.model) if writer else None)
        thread = threading.Thread(target=_compile, args=(spec, met), daemon=True)
        thread.start()
        thread.join(LONGEST)
        met.sent = failing.requests + sound.requests
        met.struck, met.left = _struck(failing)
    return met


def _struck(server: SimulatedServer) -> tuple[int, int]:
    """How many requests failed, and how many questions whenever they were asked."""
    answered: dict[str, bool] = {}
    log = server.log
    for one in log:
        good = not one.fault or one.fault.startswith("usage")
        # DSPy asks once more in another format where the first was refused: what is asked for is the same.
        prompt = Prompt.from_messages(one.messages)
        question = f"{prompt.names} {prompt.inputs} {prompt.instruction}"
        answered[question] = answered.get(question, False) or good
    # A request that hangs is written down at its end.
    struck = sum(bool(one.fault) for one in log) + server.requests - len(log)
    return struck, sum(not good for good in answered.values())


def _compile(spec: Spec, met: Met) -> None:
    def heard(event: Any) -> None:
        if type(event).__name__ == "ExampleDone":
            met.scores.append(event.score)

    def judged(prediction: dspy.Prediction) -> None:
        met.answers.append(prediction.get("answer"))

    try:
        found = compiled(replace(spec, failure_score=FAILED), (heard,), judged)
    except Exception as error:  # noqa: BLE001 - which it is, is the question
        typed = isinstance(error, SemanticBackpropError)
        met.ending, met.said = ("" if typed else "untyped ") + type(error).__name__, str(error)
        met.told, met.best = bool(str(error)), getattr(error, "best", None) is not None
        return
    met.ending, met.said = found["ending"], "; ".join([found["reason"], *found["warnings"]])
    met.told, met.best = bool(found["warnings"]) or found["ending"] not in ("STEPS", "PERFECT"), True
    met.booked = found["spent"]["calls"]


def _wrong(met: Met, whole: Met) -> Iterator[str]:
    """What is wrong with a run, in words."""
    if not met.ending:
        yield f"the run had not ended after {LONGEST:g} s"
        return
    if met.ending.startswith("untyped"):
        yield f"it ended in {met.ending}: {met.said[:100]}"
    if not met.struck:
        yield "no fault struck"
    if met.scores.count(FAILED):
        yield f"{met.scores.count(FAILED)} failures of the provider were scored"
    if empty := sum(not isinstance(answer, str) or not answer for answer in met.answers):
        yield f"the metric was given {empty} answers that no model gave"
    if met.left and not met.told:
        yield f"{met.left} questions were never answered, and nothing is said: {met.ending}, {met.said[:80]!r}"
    if met.booked not in (-1, met.sent):
        yield f"{met.sent} requests arrived, {met.booked} are booked"
    if met.when in ("later", "gradients") and met.booked < 0 and not met.best:
        yield f"{met.ending} came without the best program so far"
    healed = met.when == "sometimes" and not met.left and met.fault not in FINAL
    if (healed or met.fault.startswith("usage")) and sorted(met.scores, key=str) != sorted(whole.scores, key=str):
        yield "every question was answered, and the scores are others than without faults"


def usage(seed: int, progress: Callable[[], None]) -> dict[str, Any]:
    """A budget in tokens holds also where the server states no usage, or one that cannot be."""
    violations = []
    for name in USAGES:
        met = Met(name, "at once")
        with SimulatedModel(seed).serve(faults=Faults(reply={name: 1.0})) as server:
            _compile(Spec(server.url, server.model, steps=1, budget=Budget(tokens=TOKENS)), met)
            sent = server.prompt_tokens + server.completion_tokens
        if sent > TOKENS:
            violations.append(f"{name}: {sent} tokens of {TOKENS} ({met.ending})")
        progress()
    return {"check": "usage", "runs": len(USAGES), "violations": violations}
