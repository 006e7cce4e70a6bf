"""A method beside its placebos at equal budget, on examples that none of them saw: a record that prints as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..._decide.records import Paired
from ..._session.budget import Spent
from ..._terminal import COLUMNS, LINES, clean, first, fitted, wrapped

_NAME, _GAIN = 12, 21
SURE = 0.05
"""The p-value up to which one arm is said to be better than another."""


@dataclass(frozen=True)
class Arm:
    """One method.

    Args:
        name: Its name.
        scores: For each seed, the mean score of the returned program on the held-out examples, in metric points.
        returned: For each seed, whether another program than the start came back.
        spent: For each seed, what the run spent.
        gain: Its programs and the start on the held-out examples; the scores of an example are averaged over seeds.
        behind: The optimizer's own method and this one: its gain is what the own method has more; None for itself.
    """

    name: str
    scores: tuple[float, ...]
    returned: tuple[bool, ...]
    spent: tuple[Spent, ...]
    gain: Paired
    behind: Paired | None = None

    @property
    def score(self) -> float:
        """The mean over seeds, in metric points."""
        return math.fsum(self.scores) / len(self.scores)

    def to_dict(self) -> dict[str, Any]:
        """The arm as JSON values."""
        return {
            "name": self.name,
            "scores": list(self.scores),
            "returned": list(self.returned),
            "spent": [asdict(one) for one in self.spent],
            "gain": self.gain.to_dict(),
            "behind": None if self.behind is None else self.behind.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Arm:
        """The inverse of `to_dict`.

        Raises:
            KeyError: If a part is missing.
            TypeError: If a part is unknown.
        """
        parts = {
            "scores": tuple(state["scores"]),
            "returned": tuple(state["returned"]),
            "spent": tuple(Spent(**one) for one in state["spent"]),
            "gain": Paired.from_dict(state["gain"]),
            "behind": None if state["behind"] is None else Paired.from_dict(state["behind"]),
        }
        return cls(**{**state, **parts})


@dataclass(frozen=True)
class Placebo:
    """A method and its placebos.

    Args:
        examples: How many examples were held out.
        score: The start's mean score on these, in metric points.
        seeds: The seeds of the runs.
        budget: What each run might spend: calls, tokens, usd, metric_calls, seconds, those that are bounded.
        arms: The optimizer's own method first.
        spent: What the held-out evaluations cost, by purpose; no part of any arm's budget.
        seconds: Wall time, in seconds.
        warnings: What could not be established, in words.
    """

    examples: int
    score: float
    seeds: tuple[int, ...]
    budget: Mapping[str, float]
    arms: tuple[Arm, ...]
    spent: Mapping[str, Spent] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def better_than(self) -> tuple[str, ...]:
        """The placebos that the own method is better than, at p = 0.05."""
        return tuple(one.name for one in self.arms if one.behind is not None and one.behind.p_value <= SURE)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            **vars(self),
            "seeds": list(self.seeds),
            "budget": dict(self.budget),
            "arms": [one.to_dict() for one in self.arms],
            "spent": {purpose: asdict(spent) for purpose, spent in self.spent.items()},
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Placebo:
        """The inverse of `to_dict`.

        Raises:
            KeyError: If a part is missing.
            TypeError: If a part is unknown.
        """
        parts = {
            "seeds": tuple(state["seeds"]),
            "arms": tuple(map(Arm.from_dict, state["arms"])),
            "spent": {purpose: Spent(**spent) for purpose, spent in state["spent"].items()},
            "warnings": tuple(state["warnings"]),
        }
        return cls(**{**state, **parts})

    def __str__(self) -> str:
        most = ", ".join(f"{value:,.6g} {name}" for name, value in self.budget.items())
        head = f"{self.examples} held-out examples, {len(self.seeds)} run(s) of each method, each with at most {most}."
        table = [
            f"{'method':{_NAME}} score {'over the start (90 %)':{_GAIN}} p      {'own method over it':{_GAIN}} p",
            f"{'the start':{_NAME}} {self.score:5.3g}",
            *map(_row, self.arms),
        ]
        lines = [*wrapped(head, "", 2, indent=0), *(first(line, COLUMNS) for line in table)]
        calls = ", ".join(f"{clean(one.name)} {sum(spent.calls for spent in one.spent):,}" for one in self.arms)
        held_out = sum(self.spent.values(), Spent()).calls
        tail = wrapped(self._verdict(), "", 4, indent=0)
        tail += wrapped(f"Calls: {calls}; held-out evaluations {held_out:,}.", "", 3, indent=0)
        tail += [line for one in self.warnings for line in wrapped(f"Warning: {clean(one)}", "", 3, indent=0)]
        room = LINES - len(lines)
        return "\n".join([*lines, *tail[:room]])

    def _verdict(self) -> str:
        own, *others = self.arms
        name = clean(own.name)
        unclear = [clean(one.name) for one in others if one.name not in self.better_than]
        said = []
        if self.better_than:
            said.append(f"{name} is better than {', '.join(map(clean, self.better_than))} (p <= {SURE:g})")
        if unclear:
            said.append(f"it was not shown that {name} is better than {', '.join(unclear)}")
        if not any(own.returned):
            said.append(f"{name} returned the program as it was given")
        return "; ".join(said)[:1].upper() + "; ".join(said)[1:] + "."


def _row(one: Arm) -> str:
    row = f"{fitted(one.name, _NAME)} {one.score:5.3g} {_gain(one.gain)}"
    return row if one.behind is None else f"{row}  {_gain(one.behind)}"


def _gain(pair: Paired) -> str:
    low, high = pair.interval
    digits = 2 if max(abs(low), abs(high)) < 10 else 0
    text = f"{pair.gain:+.{digits + 1}f} ({low:+.{digits}f}, {high:+.{digits}f})"
    return f"{text:{_GAIN}} {_p(pair.p_value)}"


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}"
