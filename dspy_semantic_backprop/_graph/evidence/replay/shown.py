"""The edges that the replays of an execution show together, and those that they rule out."""

from __future__ import annotations

from collections.abc import Sequence

from ...edges import Edge, End, FoundEdges
from ...trace import OUTPUT, Trace
from .compare import Target
from .survey import Surveyed

DOUBTED = 0.8
"""How sure it is that a call disappeared whose predictor was called too often."""


class ReplayEvidence:
    """What all replays of an execution say together."""

    def __init__(self, trace: Trace, surveyed: Surveyed) -> None:
        self.calls = {call.id: call for call in trace.calls}
        self.shown, self.warnings = surveyed.shown, surveyed.warnings
        self.mute, self.varying = surveyed.left_out | surveyed.noisy, surveyed.varying
        self.direct = {(end.call, target) for end, one in self.shown.items() for target in one.moved}

    def found(self) -> FoundEdges:
        """The edges that they show, and what they rule out."""
        edges, possible = [], set()
        for end, shown in self.shown.items():
            sure = {one for one, why in shown.remote.items() if self._at_first_hand(one, why)} | shown.moved
            edges += [Edge(end, End(*target), "data", "replay", 1.0) for target in sure]
            edges += [Edge(end, End(call, None), "control", "replay", 1.0) for call in shown.gone]
            # Whatever feeds a call may have made it look like another one.
            doubted = shown.doubted - shown.gone - {call for call, _ in shown.moved}
            edges += [Edge(end, End(call, None), "control", "replay", DOUBTED) for call in doubted]
            possible |= {(end, End(*target)) for target in shown.remote if target not in sure}
        edges += self._of_longer_ways(edges)
        return FoundEdges(
            tuple(edge for edge in edges if self._is_in_order(edge.source, edge.target)),
            frozenset(pair for pair in possible if self._is_in_order(*pair)),
            self._excludes,
            self.warnings,
        )

    def _of_longer_ways(self, edges: Sequence[Edge]) -> list[Edge]:
        """Edges to what moved because a loop went on, where nothing else leads from the answer to it.

        How many calls a list or a verdict leads to shows in the edges into these calls; where it led to none of them,
        as the verdict that ends a loop, it has no other edge.
        """
        found = []
        for end in [end for end, shown in self.shown.items() if shown.beyond]:
            led = _led_to(end, edges)
            targets = [target for target in self.shown[end].beyond if led.isdisjoint({target, (target[0], None)})]
            found += [Edge(end, End(*target), "data", "replay", 1.0) for target in targets]
        return found

    def _is_in_order(self, source: End, target: End) -> bool:
        """Whether a call can have fed another: a replay in which calls moved up may seem to say otherwise."""
        return target.call == OUTPUT or self.calls[source.call].before(self.calls[target.call])

    def _excludes(self, edge: Edge) -> bool:
        """Whether replays reached the reader of a suggested edge, and it did not move."""
        shown, reader = self.shown.get(edge.source), edge.target.call
        if edge.known_by == "order" and (reader, edge.target.field) in self.varying:
            # The clock, or luck, explains it: nothing is to be guessed.
            return True
        if shown is None or (reader, edge.target.field) in self.mute:
            return False
        if edge.known_by == "code" and not shown.settled:
            # What was not tried cannot speak against what the code says.
            return False
        if edge.kind == "control":
            return reader in shown.met or reader in shown.gone
        if edge.known_by == "order" and shown.settled and reader in shown.gone:
            # It is known what the answer is to the reader: whether there is one.
            return True
        # What may be, or is a guess, is weaker than what was seen: one replay that reached the reader is enough.
        return reader in (shown.met if edge.known_by in ("code", "order") else shown.reached)

    def _at_first_hand(self, target: Target, replays: Sequence[frozenset[str]]) -> bool:
        """Whether a target moved in a replay in which no other call of the run can have moved it.

        A call of a predictor that the run never called is there for the change alone: a branch that was not taken.
        """
        return any(all((other, target) not in self.direct for other in others) for others in replays)


def _led_to(end: End, edges: Sequence[Edge]) -> set[tuple[str, str | None]]:
    """What an answer leads to, at first hand and by way of other calls: fields of the output, and whole calls."""
    into = [edge.target for edge in edges if edge.source == end]
    led: set[tuple[str, str | None]] = set()
    while into:
        target = into.pop()
        reached = (target.call, target.field if target.call == OUTPUT else None)
        if reached not in led:
            led.add(reached)
            into += [edge.target for edge in edges if edge.source.call == target.call != OUTPUT]
    return led
