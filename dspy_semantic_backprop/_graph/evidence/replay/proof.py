"""The replays of one execution, and the edges that they show.

An input that moves when one answer is changed was fed by it (data); a call that disappears was decided by it
(control). What moves only together with a call that disappeared or was made up, and which feeds it, is at one
remove: no edge. What two unchanged replays give differently says nothing and is left out, by name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...graph import ComputationGraph, Edge, End
from ...trace import OUTPUT, Call, Trace
from .align import Plan, realigned
from .changes import changes
from .copying.own_code import siblings, words
from .copying.surroundings import Surroundings
from .replay import Change, Observed
from .rounds import Output, survey
from .same import alike
from .seen import Seen, Target
from .stage import Stage

_MOST_WORDS = 20
_TOLD = ("instructions", "demos")


class Proof:
    """Proves the edges of one execution.

    Args:
        trace: The record.
        stage: The program, ready to be replayed.
        surroundings: What is put back before every replay.
        program: The program, to look for what it may be waiting for.
    """

    def __init__(self, trace: Trace, stage: Stage, surroundings: Surroundings, program: Any) -> None:
        self.trace = trace
        self.stage = stage
        self.surroundings = surroundings
        self.baseline = Observed()
        self.left_out: set[Target] = set()
        self.calls = {call.id: call for call in trace.calls}
        self.words = _alternatives(trace, program)
        self.siblings = siblings(program)

    async def of(self, graph: ComputationGraph, seconds: float | None) -> ComputationGraph:
        """Replace a graph's suggested edges by proved ones.

        Args:
            graph: The graph.
            seconds: The longest that it may take; None for no bound.

        Returns:
            The graph, with a warning for all that could not be proved.
        """
        deadline = time.monotonic() + seconds if seconds is not None else None
        reason, warnings = await self._unchanged()
        if reason:
            return _warned(graph, f"edges are not proved by replay: {reason}")
        return _warned(await self._changed(graph, deadline), *warnings)

    async def replay(self, changed: Sequence[Change]) -> Observed:
        """Replay with answers changed, a second time where that tells better which call is which."""
        observed = await self._once(changed)
        plan = realigned(self.trace, observed.calls)
        return observed if plan is None else await self._once(changed, plan)

    async def _once(self, changed: Sequence[Change], plan: Plan | None = None, watch: bool = False) -> Observed:
        self.surroundings.restore()
        return await self.stage.replay(changed, plan=plan, watch=watch)

    async def _unchanged(self) -> tuple[str, list[str]]:
        first, second = await self._once((), watch=True), await self._once((), watch=True)
        follow = "the replay could not follow"
        if not (first.finished or self.trace.error):
            return f"{follow}: it ended with {' '.join(first.problem.split())[:200]}", []
        if first.unrecorded or len(first.inputs) < len(self.trace.calls):
            return f"{follow}: it made other calls than the run", []
        if second.inputs.keys() != first.inputs.keys() or second.unrecorded:
            return "two unchanged replays made different calls (not deterministic)", []
        unstable = self._differing(first.inputs, first.output, second.inputs, second.output)
        recorded = {call.id: call.inputs for call in self.trace.calls}
        other = [one for one in self._differing(recorded, self.trace.output, first.inputs, first.output)]
        # The text of a caught exception may show the lines that raised it, which a replay cannot repeat.
        caught = any(aside.raised for aside in self.trace.asides) or any(call.error for call in self.trace.calls)
        lost = [] if caught else [one for one in other if one not in unstable]
        self.baseline, self.left_out = first, {*unstable, *lost}
        warnings = [
            f"{text}: {_list(targets)}; the edges into it are not proved"
            for text, targets in (("two unchanged replays differ (not deterministic)", unstable), (follow, lost))
            if targets
        ]
        fields = sum(len(call.inputs) for call in self.trace.calls) + len(self.trace.output)
        return ("; ".join(warnings) if len(self.left_out) * 2 > fields else ""), warnings

    def _differing(
        self,
        one: Mapping[str, Mapping[str, Any]],
        returned: Mapping[str, Any],
        other: Mapping[str, Mapping[str, Any]],
        other_returned: Mapping[str, Any],
    ) -> list[Target]:
        inputs = [
            (call.id, name)
            for call in self.trace.calls
            for name in call.inputs
            if not alike(one.get(call.id, {}).get(name), other.get(call.id, {}).get(name))
        ]
        fields = self.trace.output if self.trace.error is None else ()
        return inputs + [(OUTPUT, name) for name in fields if not alike(returned.get(name), other_returned.get(name))]

    async def _changed(self, graph: ComputationGraph, deadline: float | None) -> ComputationGraph:
        # What nobody looked at has no edge: whatever resembles it came from elsewhere.
        everyone = {OUTPUT, *self.calls}
        ends = [(call, name) for call in graph.calls for name in call.outputs]
        found = {End(call.id, name): Seen(everyone, everyone) for call, name in ends}
        outputs = [
            Output(call, name, self.others(call, name, call.outputs[name]))
            for call, name in ends
            if (call.id, name) in self.baseline.read
        ]
        for output in outputs:
            del found[End(output.call.id, output.name)]
        seen, warnings = await survey(self, outputs, deadline)
        found |= seen
        direct = {(end.call, target) for end, one in found.items() for target in one.moved}
        edges: list[Edge] = []
        for call, name in ends:
            end = End(call.id, name)
            mine = [edge for edge in graph.edges if edge.source == end]
            edges += self._edges(end, mine, found[end], direct) if end in found else mine
        return _warned(replace(graph, edges=tuple(edges)), *warnings)

    def others(self, call: Call, name: str, value: Any) -> list[Any]:
        """What a call might have answered instead."""
        others = changes(value, call.annotations.get(name), self.words, self.siblings)
        if call.concurrent:
            # Concurrent calls are told apart by their inputs: another one's answer would swap the two.
            taken = [one.outputs.get(name) for one in self.trace.calls if one.predictor == call.predictor]
            others = [other for other in others if not any(alike(other, one) for one in taken)] or others
        return others

    def note(self, changed: Call, observed: Observed, seen: Seen) -> None:
        """Add what a replay with one output of a call changed has shown."""
        missing = [call for call in self.trace.calls if call.id not in observed.inputs]
        known = [call.id for call in self.trace.calls if call.predictor in observed.strangers]
        new = [name for name in observed.strangers if all(call.predictor != name for call in self.trace.calls)]
        for reader in observed.inputs:
            # Nothing is read before it was written; a race between threads may look like it.
            if not changed.before(self.calls[reader]):
                continue
            seen.met.add(reader)
            before = [call.id for call in missing if call.before(self.calls[reader])]
            self._move(reader, self._moved(reader, observed), frozenset([*before, *known, *new]), seen)
        if observed.finished and self.baseline.finished:
            seen.met.add(OUTPUT)
            why = frozenset([*(call.id for call in missing), *known, *new])
            self._move(OUTPUT, self._returned(observed), why, seen)
            seen.gone |= {call.id for call in missing}
        if not observed.unrecorded:
            seen.reached |= seen.met & {OUTPUT, *observed.inputs}

    def everything_moved(self, observed: Observed) -> set[Target]:
        """All that a replay gave differently."""
        moved = {(reader, name) for reader in observed.inputs for name in self._moved(reader, observed)}
        return (moved | {(OUTPUT, name) for name in self._returned(observed)}) - self.left_out

    def _returned(self, observed: Observed) -> list[str]:
        usual = self.baseline.output
        return [name for name in {*usual, *observed.output} if not alike(observed.output.get(name), usual.get(name))]

    def _moved(self, reader: str, observed: Observed) -> list[str]:
        call = self.calls[reader]
        inputs, usual = observed.inputs[reader], self.baseline.inputs[reader]
        moved = [name for name in call.inputs if not alike(inputs.get(name), usual.get(name))]
        told, usually = observed.told[reader], self.baseline.told[reader]
        return moved + [name for name in _TOLD if name not in call.inputs and not alike(told[name], usually[name])]

    def _move(self, reader: str, names: Sequence[str], others: frozenset[str], seen: Seen) -> None:
        for name in names:
            if (reader, name) in self.left_out:
                continue
            if others:
                seen.remote.setdefault((reader, name), []).append(others)
            else:
                seen.moved.add((reader, name))

    def _edges(self, end: End, suggested: list[Edge], seen: Seen, direct: set[tuple[str, Target]]) -> list[Edge]:
        by_target = {(edge.target.call, edge.target.field): edge for edge in suggested}
        remote = (one for one, why in seen.remote.items() if one in by_target or self._at_first_hand(one, why, direct))
        moved = {*seen.moved, *remote}
        edges = [
            Edge(end, End(reader, name), "data", by_target[reader, name].known_by, 1.0)
            if (reader, name) in by_target and by_target[reader, name].known_by == "identity"
            else Edge(end, End(reader, name), "data", "replay", 1.0)
            for reader, name in sorted(moved)
        ]
        edges += [
            edge
            for target, edge in by_target.items()
            if target not in moved and (target in self.left_out or self._is_open(edge, seen))
        ]
        edges += [Edge(end, End(call, None), "control", "replay", 1.0) for call in sorted(seen.gone)]
        return [edge for edge in edges if self._comes_before(end.call, edge.target.call)]

    def _comes_before(self, source: str, reader: str) -> bool:
        """Whether a call can have fed another: a replay in which calls moved up may seem to say otherwise."""
        return reader == OUTPUT or self.calls[source].before(self.calls[reader])

    def _is_open(self, edge: Edge, seen: Seen) -> bool:
        """Whether the replays say nothing about a suggested edge."""
        reader = edge.target.call
        if edge.kind == "control":
            return reader not in seen.met and reader not in seen.gone
        if edge.known_by == "code":
            # What may be is weaker than what was seen: one replay that reached the reader is enough.
            return reader not in seen.met
        return reader not in seen.reached and edge.kind != "inferred"

    def _at_first_hand(
        self, target: Target, replays: Sequence[frozenset[str]], direct: set[tuple[str, Target]]
    ) -> bool:
        """Whether a target moved in a replay in which no other call can have moved it."""
        return any(all(other in self.calls and (other, target) not in direct for other in others) for others in replays)


def _alternatives(trace: Trace, program: Any) -> list[str]:
    """Texts that would mean something to the program: other answers of this run, and its own constants."""
    answers = [value for call in trace.calls for value in call.outputs.values() if isinstance(value, str)]
    return list(dict.fromkeys([*(text for text in answers if len(text) <= 400), *words(program)]))[:_MOST_WORDS]


def _list(targets: Sequence[Target]) -> str:
    some = ", ".join(".".join(target) for target in targets[:3])
    return some if len(targets) <= 3 else f"{some} and {len(targets) - 3} more"


def _warned(graph: ComputationGraph, *warnings: str) -> ComputationGraph:
    return replace(graph, warnings=(*graph.warnings, *warnings))
