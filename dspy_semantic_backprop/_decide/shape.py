"""What an execution of a program looks like on average, as far as its costs go: from the graphs of some."""

from __future__ import annotations

from collections.abc import Sequence

from .._evaluate.outcome import Outcome, scored
from .._graph.graph import ComputationGraph
from .._graph.trace import OUTPUT
from .._session.projection import Shape

REACH = 0.75
"""How often a call that is told something has something to tell the calls that it read, by the traces of real runs."""
MOST = 300
"""In graphs of more calls than this every edit is taken to reach all."""


def shape_of(outcomes: Sequence[Outcome]) -> Shape | None:
    """The mean shape of some executions; None where none was scored."""
    shapes = [_shape(outcome.graph) for outcome in scored(outcomes) if len(outcome.graph)]
    return Shape(*(sum(column) / len(shapes) for column in zip(*shapes, strict=True))) if shapes else None


def _shape(graph: ComputationGraph) -> Shape:
    size = len(graph)
    readers = [call.id for call in graph if graph.predecessors(call.id) or call.demos]
    if size > MOST:
        return Shape(size, len(readers), len(readers), size)
    far = _distances(graph)
    # What is far from the answer is told little, and is seldom to blame.
    weights = {call.id: REACH ** far.get(call.id, size) for call in graph}
    again = sum(weight * (1 + len(graph.descendants(name))) for name, weight in weights.items())
    return Shape(size, len(readers), sum(weights[name] for name in readers), again / sum(weights.values()))


def _distances(graph: ComputationGraph) -> dict[str, int]:
    """Call id -> how many calls lie between it and the answer, on the shortest way."""
    known: dict[str, int] = {}
    wave, far = list(graph.predecessors(OUTPUT)) or [call.id for call in graph.calls[-1:]], 0
    while wave:
        known |= dict.fromkeys(wave, far)
        wave, far = [one for name in wave for one in graph.predecessors(name) if one not in known], far + 1
        wave = list(dict.fromkeys(wave))
    return known
