"""What a run is going to cost: from its sizes alone, and once one evaluation was measured.

Nobody can say it to the call: which predictors are blamed, how much of a candidate's run is answered from its parent's
and how long the decision at the end takes depend on the answers. So there are two figures, at most and probably.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from .._terminal import counted, displayed, printable
from .budget import Budget, Spent

Auto = Literal["light", "medium", "heavy"]
STEPS: dict[str, int] = {"light": 4, "medium": 10, "heavy": 24}
"""How many steps each size makes."""
SLACK = 3
"""How many times the projected calls a run of such a size may make: loops and agents call a predictor often."""
OWN, LONGER = 600, 2
"""The tokens of a question of ours, and how many times those of a program's own call are shown in it besides."""
ASKED_AGAIN = 1.5
"""How often a question of a sweep is asked at most, in the mean: unusable answers are asked for once more."""
OTHERS = 0.6
"""Of the failures that the proposals of a step learn from, so many are probably not those of another one."""
HELD = 1.15
"""So many times what is likely is the most, where a search keeps to that by itself."""


_AMOUNTS = ("executions", "calls", "own", "tokens", "usd", "seconds")
_MINUTE = 60.0


class Executions(NamedTuple):
    """How often a program is going to be run.

    Args:
        most: At most.
        likely: Probably.
        whole: So many of the likely ones in full; in the others what an edit cannot reach is answered as before.
        elastic: Whether the search can end early, and does before a run without a budget takes more than was told.
    """

    most: int
    likely: int
    whole: int
    elastic: bool = False


class Shape(NamedTuple):
    """What one execution of a program looks like, on average.

    Args:
        calls: Calls of predictors.
        readers: Those that read another call's output: a sweep has a question about each.
        told: How many of these are likely to be told that anything must change.
        after: Calls that are made again where one predictor was edited.
    """

    calls: float
    readers: float
    told: float
    after: float


class Measured(NamedTuple):
    """What one execution took, on average: requests, those of the metric among them, tokens, US dollars, seconds."""

    calls: float
    tokens: float
    usd: float | None
    seconds: float

    @classmethod
    def of(cls, executions: int, spent: Spent, seconds: float) -> Measured | None:
        """By what some executions took; None where nothing was paid for, so that nothing can be told."""
        if not executions or not spent.calls:
            return None
        # What came from a cache now is asked for with other instructions later.
        calls = (spent.calls + spent.cached) / executions
        usd = None if spent.unpriced else spent.usd / spent.calls * calls
        return cls(calls, spent.tokens / spent.calls * calls, usd, seconds / executions)


@displayed
@dataclass(frozen=True)
class Projection:
    """What a run takes at most if it makes all its steps, and its program calls its predictors as often as was seen.

    The default search keeps a run without a budget to the calls by ending its last decision early.

    Args:
        executions: How often the program is run, and graded.
        calls: Language-model calls of the program, of the metric and of the optimizer together.
        own: Those of the optimizer among them.
        tokens: Tokens; None where nothing was measured yet.
        usd: US dollars; None where nothing was measured yet, or a price is not known.
        seconds: Wall time of the executions, in seconds; None where nothing was measured yet.
        likely: What it probably takes; None in a record of this itself.
    """

    steps: int
    executions: int
    calls: int
    own: int
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    likely: Projection | None = None

    @property
    def probable(self) -> Projection:
        """What the run probably takes."""
        return self.likely if self.likely is not None else self

    def within(self, budget: Budget) -> Projection:
        """The same in a run that has a budget: no more than that.

        What is likely ends with the bound that is reached first: of all else it takes the same part.
        """
        bounds = {"executions": budget.metric_calls, "calls": budget.calls, "tokens": budget.tokens}
        bounds |= {"usd": budget.usd, "seconds": budget.seconds}
        known = {name: most for name, most in bounds.items() if most is not None and getattr(self, name) is not None}
        least = {name: min(most, getattr(self, name)) for name, most in known.items()}
        likely = None if self.likely is None else self.likely._part(known)
        return replace(self, **least, likely=likely)

    def _part(self, bounds: Mapping[str, float]) -> Projection:
        amounts = {name: value for name in _AMOUNTS if (value := getattr(self, name))}
        part = min([1.0, *(most / amounts[name] for name, most in bounds.items() if name in amounts)])
        less = {name: part * value for name, value in amounts.items()}
        return replace(self, **{name: round(less[name]) if type(amounts[name]) is int else less[name] for name in less})

    @printable
    def __str__(self) -> str:
        one = self.probable
        parts = [f"{one.calls:,} language-model calls (at most {self.calls:,})"]
        parts += [f"{one.executions:,} executions (at most {self.executions:,})"] if self.executions else []
        parts += [f"{one.tokens:,} tokens"] if one.tokens is not None else []
        parts += [f"{one.usd:,.2f} US dollars"] if one.usd is not None else []
        parts += [_duration(one.seconds)] if one.seconds is not None else []
        steps = f" for {counted(self.steps, 'step')}" if self.executions else ""
        return f"projected{steps}: probably about {', '.join(parts)}"


@dataclass(frozen=True)
class Planned:
    """What a run does if it makes all its steps, by its sizes.

    Args:
        predictors: How many the program has.
        sweeps: How many backward passes it makes.
        rewrites: How many instructions it asks for, at most and probably.
    """

    steps: int
    predictors: int
    executions: Executions
    sweeps: int
    rewrites: tuple[int, int]

    def projection(self, measured: Measured | None = None, shape: Shape | None = None) -> Projection:
        """What that costs; where nothing was measured, a program is taken to call each predictor once, in a row."""
        size = self.predictors
        shape = shape if shape is not None else Shape(size, size, size, size)
        each = measured.calls if measured is not None else shape.calls
        runs = self.executions
        part = min(1.0, shape.after / shape.calls) if shape.calls else 1.0
        whole = min(runs.whole, runs.likely)
        calls, own = each * (whole + part * (runs.likely - whole)), OTHERS * self.sweeps * shape.told + self.rewrites[1]
        likely = self._costs(runs.likely, calls, own, measured)
        if runs.elastic:
            return self._costs(math.ceil(HELD * runs.likely), HELD * calls, HELD * own, measured, likely)
        own = self.sweeps * shape.readers * ASKED_AGAIN + self.rewrites[0]
        return self._costs(runs.most, each * runs.most, own, measured, likely)

    def _costs(
        self, executions: int, calls: float, own: float, measured: Measured | None, likely: Projection | None = None
    ) -> Projection:
        calls, own = math.ceil(calls), math.ceil(own)
        if measured is None:
            return Projection(self.steps, executions, calls + own, own, likely=likely)
        each = measured.tokens / measured.calls
        times = (calls + own * (LONGER + (OWN / each if each else 0.0))) / measured.calls
        return Projection(
            self.steps,
            executions,
            calls + own,
            own,
            round(measured.tokens * times),
            None if measured.usd is None else measured.usd * times,
            measured.seconds * executions,
            likely,
        )


def _duration(seconds: float) -> str:
    return f"{seconds / _MINUTE:,.1f} minutes" if seconds >= _MINUTE else f"{math.ceil(seconds)} s"


def budget_for(projection: Projection) -> Budget:
    """The budget of a run whose size was chosen by name: room for programs that call their predictors repeatedly."""
    likely = projection.probable
    return Budget(calls=SLACK * likely.calls, metric_calls=2 * likely.executions)
