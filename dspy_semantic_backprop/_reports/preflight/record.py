"""Whether optimising a program is worth it, with the numbers behind: a record that prints within one screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._decide.records import Paired
from ..._json import from_json, to_json
from ..._session.budget import Spent
from ..._session.projection import Projection
from ..._terminal import LINES, clean, counted, displayed, fitted, printable, warned_within, wrapped


@dataclass(frozen=True)
class Noise:
    """How much the program's scores move although nothing was changed.

    Args:
        runs: How often the program was run on the examples.
        examples: On how many examples at least two runs were scored.
        changed: On how many of these the score differed between any two runs.
        rate: The probability that an example is scored differently in two runs, 0 to 1.
        deviation: The standard deviation of the mean score from run to run, in metric points.
        differing: The share of examples, 0 to 1, that an edit without effect is taken to change: `rate`, or what the
            cheap candidates changed by their wording alone, whichever is more. Repeats alone, where no candidate could
            be evaluated, say too little: any other wording draws the answers anew.
        tries: How many candidates a run tries.
        luck: How much the best of so many looks to gain if none has any effect, in metric points.
        cold: Whether all language models of the program are asked at temperature 0.
        size: By how much a score differs where it does, in metric points (root mean square); 0 where none did.
    """

    runs: int
    examples: int
    changed: int
    rate: float
    deviation: float
    differing: float
    tries: int
    luck: float
    cold: bool
    size: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """A cheap candidate, beside the program on a sample; None where it changes nothing or was not evaluated."""

    name: str
    result: Paired | None = None


@dataclass(frozen=True)
class Detectable:
    """Which gains the method can find.

    Args:
        decide: How many examples the loop of a run decides on.
        fresh: How many are kept for the decision at the end.
        even: The true gain that is returned every second time, in metric points; None where none is.
        likely: The one that is returned four times in five; None likewise.
        five: How many examples it takes until a gain of 5 % of the metric's range is; None likewise.
        ten: The same for 10 %.
    """

    decide: int
    fresh: int
    even: float | None = None
    likely: float | None = None
    five: int | None = None
    ten: int | None = None


@displayed
@dataclass(frozen=True)
class Preflight:
    """Whether optimising is worth it.

    Args:
        recommendation: What to do: "go", "more examples first", "larger budget first", "no headroom",
            "nothing helped", "nothing to learn" or "too noisy".
        reason: Why, in numbers.
        examples: On how many examples it was decided.
        missing: How many of the program's executions the provider left unanswered.
        score: The program's mean score over all its runs, in metric points.
        best: The best possible score, as far as it is known.
        by_chance: How much of what is missing to the best score is lost by chance, in metric points.
        noise: What moves although nothing was changed.
        attempts: The cheap candidates.
        detectable: Which gains can be found.
        projection: What a run is going to cost.
        open_ended: Whether a run makes as many steps as its budget lasts for, and not those that were projected.
        spent: By purpose: forward, noise, headroom, backward, propose, metric.
        seconds: Wall time, in seconds.
        warnings: What could not be established, or is wrong with the data or the metric, in words.
    """

    recommendation: str
    reason: str
    examples: int
    missing: int
    score: float
    best: float
    by_chance: float
    noise: Noise
    attempts: tuple[Attempt, ...]
    detectable: Detectable
    projection: Projection
    spent: Mapping[str, Spent] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    open_ended: bool = False

    @property
    def total(self) -> Spent:
        """Everything that was spent."""
        return sum(self.spent.values(), Spent())

    @property
    def headroom(self) -> float:
        """How far the score is from the best possible one, in metric points."""
        return self.best - self.score

    @printable
    def __str__(self) -> str:
        head = [f"Is it worth optimising? {self.recommendation.upper()}"]
        head += wrapped(clean(self.reason), "", 4, indent=2)
        body = [*_noise(self), *_headroom(self), *_detectable(self), *_cost(self)]
        room = LINES - len(head) - len(body)
        return "\n".join([*head, *body, *warned_within(self.warnings, room)])

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return to_json(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Preflight:
        """The inverse of `to_dict`.

        Raises:
            ValueError: If a part is missing or of another kind.
        """
        return from_json(cls, state)


_NAME = 26


def _noise(preflight: Preflight) -> list[str]:
    noise = preflight.noise
    text = (
        f"Noise: {noise.runs} runs, score {preflight.score:.3g} of {preflight.best:.3g}; {noise.changed} of "
        f"{noise.examples} examples changed their score, {noise.rate * 100:.0f} % from one run to the next"
        f"{f', by about {noise.size:.2g}' if noise.size else ''}; the mean varies by {noise.deviation:.2g}."
    )
    text += f" {preflight.missing} executions are missing." if preflight.missing else ""
    text += " At temperature 0 this is what the provider varies." if noise.cold else ""
    if any(one.result for one in preflight.attempts):
        text += f" By these and the candidates an edit without effect changes about {noise.differing * 100:.0f} %; "
        text += f"the best of {noise.tries} such edits looks {noise.luck:.2g} better."
    else:
        text += " What an edit without effect changes was not measured: it draws answers anew, more than a repeat does."
    return wrapped(text, "", 5, indent=0)


def _headroom(preflight: Preflight) -> list[str]:
    text = f"Headroom: {preflight.headroom:.2g} up to the best score"
    text += (
        f", about {preflight.by_chance:.2g} of it lost by chance"
        if preflight.by_chance > 0.01 * preflight.headroom
        else ""
    )
    text += "; cheap candidates (gain, 90 % sure):" if preflight.attempts else "; no candidate was tried."
    rows = []
    for one in preflight.attempts:
        said = "not evaluated" if one.result is None else f"{one.result} of {one.result.examples}"
        rows += wrapped(f"{fitted(one.name, _NAME).rstrip()}: {said}", "", 1, indent=2)
    return [*wrapped(text, "", 2, indent=0), *rows]


def _detectable(preflight: Preflight) -> list[str]:
    found = preflight.detectable
    text = f"Can be found with {found.decide} examples in the loop and {found.fresh or 'none'} at the end: "
    if found.even is None:
        text += "no gain that is likely."
    else:
        text += f"a true gain of {found.even:.2g} every second time"
        text += f", one of {found.likely:.2g} four times in five." if found.likely is not None else "."
    if found.five is not None and found.ten is not None:
        text += f" 5 points take about {counted(found.five, 'example')}, 10 points {found.ten:,}."
    return wrapped(text, "", 3, indent=0)


def _cost(preflight: Preflight) -> list[str]:
    total = preflight.total
    calls = ", ".join(f"{purpose} {spent.calls}" for purpose, spent in preflight.spent.items())
    cost = "Cost of a run, "
    if preflight.open_ended:
        cost = "A run makes as many steps as its budget lasts for. One that runs start and result on all examples, "
    text = f"Spent here: {counted(total.calls, 'call')} ({calls}), {total.tokens_told}, {preflight.seconds:.0f} s."
    return [
        *wrapped(f"{cost}{preflight.projection}.", "", 3, indent=0),
        *wrapped(text, "", 2, indent=0),
    ]
