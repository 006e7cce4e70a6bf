"""What became of one example: scored, or failed for a reason that is not the program's.

Failure is a type and never a number: an example that the provider would not answer is missing. What
the program itself got wrong, an unreadable answer or an exception of its own, is scored and explained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy

from .._graph.graph import ComputationGraph
from .._graph.portable import portable
from .._graph.trace import Trace


@dataclass(frozen=True)
class Scored:
    """An example that the program was run and graded on.

    Args:
        example_id: The example's position in its set.
        example: The example.
        score: In metric points.
        feedback: The metric's words; None where it has none.
        graph: The computation graph of this very execution, as its values suggest it.
        trace: The record of this very execution, from which the graph can be proved.
        raised: What the program raised; None where it returned.
        strayed: Whether the program was to reuse an earlier execution's answers and did not repeat itself.
        returned: What it returned, as the metric was given it.
    """

    example_id: int
    example: dspy.Example
    score: float
    feedback: str | None
    graph: ComputationGraph = field(repr=False)
    trace: Trace = field(repr=False)
    raised: BaseException | None = None
    strayed: bool = False
    returned: Any = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: portable(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Failed:
    """An example that could not be run: it is missing, not wrong.

    Args:
        example_id: The example's position in its set.
        example: The example.
        error: The provider's failure, as text.
    """

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


def brief(values: Mapping[str, Any], width: int = 80) -> str:
    """Values in one short line, for messages."""
    text = ", ".join(f"{name}={str(value)!r}" for name, value in values.items())
    return text if len(text) <= width else text[: width - 3] + "..."
