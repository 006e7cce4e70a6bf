"""What became of one example: scored, or failed for a reason that is not the program's; and the range of such scores.

Failure is a type and never a number: an example that the provider would not answer is missing. What
the program itself got wrong, an unreadable answer or an exception of its own, is scored and explained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import dspy

from .._graph.graph import ComputationGraph
from .._graph.portable import portable
from .._graph.trace import Trace
from .._values.text import printed

_NARROW = 0.05
"""Scores within so small a share of their range are measured by each other."""

PARTS = ("graph", "trace", "returned")
"""What of an execution is large."""


@dataclass(frozen=True, eq=False)
class Scored:
    """An example that the program was run and graded on.

    Args:
        example_id: The example's position in its set.
        score: In metric points.
        graph: The computation graph of this very execution, as its values suggest it.
        trace: The record of this very execution, from which the graph can be proved.
        raised: What the program raised; None where it returned.
        strayed: Whether the program was to reuse an earlier execution's answers and did not repeat itself.
        returned: What it returned, as the metric was given it.
        told: Call id -> the metric's own words for it, for those that wrote the answer and that it has words for.
    """

    example_id: int
    example: dspy.Example
    score: float
    feedback: str | None
    graph: ComputationGraph = field(repr=False)
    trace: Trace = field(repr=False)
    # Its own words may tell a secret; the feedback holds them without.
    raised: BaseException | None = field(default=None, repr=False)
    strayed: bool = False
    # No default of the class, which would hide that a part is packed.
    returned: Any = field(default_factory=lambda: None, repr=False)
    told: Mapping[str, str] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: portable(getattr(self, one.name)) for one in fields(self)}

    def parts(self) -> dict[str, Any]:
        """The large parts."""
        return {name: getattr(self, name) for name in PARTS}

    def close(self, reopen: Callable[[Scored], dict[str, Any]]) -> None:
        """Let go of the large parts until one is asked for; see `shelf.py`."""
        vars(self)["_reopen"] = reopen
        for name in PARTS:
            del vars(self)[name]

    def __getattr__(self, name: str) -> Any:
        reopen = vars(self).get("_reopen")
        if reopen is None or name not in PARTS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        found = reopen(self)
        vars(self).update(found, _reopen=None)
        return found[name]


@dataclass(frozen=True, eq=False)
class Failed:
    """An example that could not be run: it is missing, not wrong."""

    example_id: int
    example: dspy.Example
    error: str

    def __getstate__(self) -> dict[str, Any]:
        return {name: portable(value) for name, value in vars(self).items()}


Outcome = Scored | Failed


def scored(outcomes: Sequence[Outcome]) -> tuple[Scored, ...]:
    """The outcomes that are not missing."""
    return tuple(outcome for outcome in outcomes if isinstance(outcome, Scored))


def mean(outcomes: Sequence[Outcome]) -> float:
    """The mean score of the outcomes that are not missing, in metric points; NaN where there is none."""
    scores = [outcome.score for outcome in scored(outcomes)]
    return math.fsum(scores) / len(scores) if scores else math.nan


def brief(values: Mapping[str, Any] | dspy.Example, width: int = 80) -> str:
    """Values in one short line, for messages."""
    text = ", ".join(f"{name}={printed(value)!r}" for name, value in values.items())
    return text if len(text) <= width else text[: width - 3] + "..."


def joined(told: Mapping[str, str]) -> str | None:
    """What several calls were told in one text, by call where it differs; None where nobody was told anything."""
    texts = list(dict.fromkeys(told.values()))
    return "\n".join(f"{call}: {text}" for call, text in told.items()) if len(texts) > 1 else next(iter(texts), None)


@dataclass(frozen=True)
class ScoreRange:
    """The range of a metric."""

    low: float
    """The worst score, in metric points."""
    best: float
    """The best possible one."""
    known: bool
    """Whether `best` is known: stated, or 1 where nothing lies outside 0 to 1; else it is the best one seen."""
    seen: tuple[float, float] | None = None
    """The worst and the best score seen, where they lie much closer together than the ends of the range."""

    @property
    def width(self) -> float:
        """The whole range, in metric points; 1 where all that was seen is one score."""
        return self.best - self.low if self.best > self.low else 1.0

    @property
    def unit(self) -> float:
        """What gains are measured by, in metric points: the whole range, or what was seen of it where that is narrow.

        A metric of 1000 to 1001, or of 0 to 0.01, would not tell programs apart by shares of its whole range.
        """
        return self.seen[1] - self.seen[0] if self.seen is not None else self.width

    def share(self, score: Any) -> Any:
        """A score, or an array of them, by that unit: 0 for the worst, 1 for the best one."""
        return (score - (self.seen[0] if self.seen is not None else self.low)) / self.unit


def score_range(scores: Iterable[float], perfect: float | None = None) -> ScoreRange:
    """The range of a metric that returned these scores; `perfect` is the best possible one, where it is known."""
    seen = list(scores)
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    unit = perfect is None and low >= 0 and high <= 1
    best = perfect if perfect is not None else 1.0 if unit else high
    found = ScoreRange(min(0.0, low), best, unit or perfect is not None)
    return replace(found, seen=(low, high)) if 0 < high - low < _NARROW * found.width else found
