"""What an evidence is: a function from the record of an execution to the edges that it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..edges import Edge, End
from ..trace import OUTPUT, Call, Trace


@dataclass(frozen=True)
class FoundEdges:
    """What one evidence found in an execution.

    Args:
        edges: The edges that it shows.
        possible: (source, target) pairs that it bears out where another evidence shows them.
        excludes: Whether it rules out an edge that another evidence shows.
        warnings: What it could not establish, in words.
    """

    edges: tuple[Edge, ...] = ()
    possible: frozenset[tuple[End, End]] = frozenset()
    excludes: Callable[[Edge], bool] = lambda edge: False
    warnings: tuple[str, ...] = ()


class EdgeEvidence(Protocol):
    """Looks at an execution; `from_values`, `FromCode` and, awaited, `from_replay` are evidences."""

    def __call__(self, trace: Trace, /) -> FoundEdges:
        """What it finds in an execution."""
        ...


def readers(trace: Trace) -> Iterator[tuple[str, Mapping[str, Any], list[Call]]]:
    """Goes through an execution as through time.

    Yields:
        Each call by start, and the returned prediction last: its id, its inputs, and the calls that had ended when
        it started and are not among those of an earlier reader.
    """
    ending = sorted((call for call in trace.calls if call.ended is not None), key=lambda call: call.ended or 0)
    ending.reverse()
    for call in trace.calls:
        ended = []
        while ending and ending[-1].before(call):
            ended.append(ending.pop())
        yield call.id, call.inputs, ended
    yield OUTPUT, trace.output, ending[::-1]
