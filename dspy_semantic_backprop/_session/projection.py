"""What a run is going to cost: told before it starts, and again once one evaluation was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .._terminal import printable
from .budget import Budget, Spent

Auto = Literal["light", "medium", "heavy"]
STEPS: dict[str, int] = {"light": 4, "medium": 10, "heavy": 24}
"""How many steps each size makes."""
EXAMPLES = 2
"""How many examples a step learns from, as far as a projection goes."""
SLACK = 3
"""How many times the projected calls a run of such a size may make: loops and agents call a predictor often."""
LONGER = 3
"""How many times the tokens of a program's own call one of ours is projected to take."""


@dataclass(frozen=True)
class Projection:
    """What a run is expected to cost if it makes all its steps.

    Args:
        executions: How often the program is run, and graded.
        calls: Language-model calls of the program and of the optimizer together.
        own: Those of the optimizer among them.
        tokens: Tokens; None where nothing was measured yet.
        usd: US dollars; None where nothing was measured yet, or a price is not known.
        seconds: Wall time of the executions, in seconds; None where nothing was measured yet.
    """

    steps: int
    executions: int
    calls: int
    own: int
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None

    @printable
    def __str__(self) -> str:
        parts = [f"{self.calls:,} language-model calls", f"{self.executions:,} metric calls"]
        parts += [f"{self.tokens:,} tokens"] if self.tokens is not None else []
        parts += [f"{self.usd:,.2f} US dollars"] if self.usd is not None else []
        parts += [f"{self.seconds / 60:,.1f} minutes"] if self.seconds is not None else []
        return f"projected for {self.steps} steps: about {', '.join(parts)}"


def project(predictors: int, executions: int, steps: int, proposals: int) -> Projection:
    """Project the cost of a run from its sizes; a program is taken to call each predictor once."""
    own = steps * proposals * predictors * (EXAMPLES + 1)
    return Projection(steps, executions, executions * predictors + own, own)


def measured(projection: Projection, executions: int, spent: Spent, seconds: float) -> Projection:
    """The same projection, corrected by what the first evaluation took."""
    asked = spent.calls + spent.cached
    if not executions or not asked or not spent.calls:
        return projection
    rest = projection.executions / executions
    own = projection.own / spent.calls * LONGER
    return replace(
        projection,
        calls=round(spent.calls * rest) + projection.own,
        tokens=round(spent.tokens * (rest + own)),
        usd=None if spent.unpriced else spent.usd * (rest + own),
        seconds=seconds * rest,
    )


def budget_for(projection: Projection) -> Budget:
    """The budget of a run whose size was chosen by name: room for programs that call their predictors repeatedly."""
    return Budget(calls=SLACK * projection.calls, metric_calls=2 * projection.executions)
