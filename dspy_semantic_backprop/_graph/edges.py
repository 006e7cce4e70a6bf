"""Edges, and what an evidence says of them.

An edge: which output field of a call reached which input field of another, and how that is known. An evidence is
a function from the record of an execution to the edges that it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import pydantic

from .._terminal import printable
from .trace import Trace

Kind = Literal["data", "control", "inferred"]


@dataclass(frozen=True)
class End:
    """One end of an edge: a field of a call; the returned prediction is the call "output"."""

    call: str
    field: str | None


@dataclass(frozen=True)
class Edge:
    """An output field that reached an input field.

    Args:
        source: The call and the output field that was read.
        target: The call and the input field that read it.
        kind: data, control or inferred (a guess).
        known_by: The evidence: identity, containment, code, order; replay where it was proved.
        confidence: How sure that is, 0 to 1.
    """

    source: End
    target: End
    kind: Kind
    known_by: str
    confidence: float

    @printable
    def __str__(self) -> str:
        sure = "" if self.confidence >= 1 else f", {self.confidence:.0%} sure"
        return (
            f"<- {self.source.call}.{self.source.field} as {self.target.field or 'control'} "
            f"({self.kind}, {self.known_by}{sure})"
        )


EDGES = pydantic.TypeAdapter(tuple[Edge, ...])
"""Edges as JSON values and back."""


@dataclass(frozen=True)
class FoundEdges:
    """What one evidence found in an execution.

    `possible` are (source, target) pairs that it bears out where another evidence shows them; `excludes` says whether
    it rules out an edge that another one shows; `warnings` tell what it could not establish; `unfed` are the input
    fields that it accounts for without any output.
    """

    edges: tuple[Edge, ...] = ()
    possible: frozenset[tuple[End, End]] = frozenset()
    excludes: Callable[[Edge], bool] = lambda edge: False
    warnings: tuple[str, ...] = ()
    unfed: frozenset[End] = frozenset()


class EdgeEvidence(Protocol):
    """Looks at an execution; `from_values` and `FromCode` are evidences, and `Replays`, awaited."""

    def __call__(self, trace: Trace, /) -> FoundEdges:
        """What it finds in an execution."""
        ...
