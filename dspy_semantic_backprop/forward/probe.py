"""A graph proved by replay: change one answer at a time, and see what else moves.

An input that moves was fed by the answer (data); a call that disappears was decided by it (control). Every
other answer stays as recorded, so what is seen is direct. An edge that the text suggested is dropped where
its reader was reached with the answer changed and did not move; it is kept where no replay got that far.

Replays are believed only if two unchanged ones reproduce the record.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import dspy

from .align import Plan, alike, realigned
from .changes import changes
from .graph import ComputationGraph, Edge, End
from .replay import Change, Observed, replay
from .replica import Surroundings, replicate, words
from .trace import OUTPUT, Call, Trace

Probe = Literal["auto", "never", "always"]

AUTO_SECONDS = 20.0
"""The longest that `probe="auto"` replays one execution."""
AUTO_CALLS = 200
"""The largest execution, in calls, that `probe="auto"` replays."""
PATIENCE = 14
"""After so many changed values without news a field is done."""
_MOST_WORDS = 20


@dataclass
class Pristine:
    """A program as it was before a run, so that replays start where the run started.

    Args:
        program: A copy.
        shared: What the copy shares with the user's own program, in words.
        surroundings: The globals that the program changes, as they were.
    """

    program: Any
    shared: tuple[str, ...]
    surroundings: Surroundings

    @classmethod
    def of(cls, program: dspy.Module) -> Pristine | str:
        """Copy a program; the reason, in words, where that cannot be done."""
        try:
            replica = replicate(program)
            surroundings = Surroundings(program)
            return cls(replica.program, (*replica.shared, *surroundings.lost), surroundings)
        except Exception as error:  # noqa: BLE001 - copying runs the user's own code
            return f"the program cannot be copied ({type(error).__name__}: {error})"


@dataclass
class _Seen:
    """What the replays with one field changed showed together."""

    reached: set[str] = field(default_factory=set)
    moved: set[tuple[str, str]] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)


async def prove(graph: ComputationGraph, trace: Trace, pristine: Pristine | str, probe: Probe) -> ComputationGraph:
    """Replace a graph's suggested edges by proved ones, where that can be done safely.

    Args:
        graph: The graph that identity, text and order suggest.
        trace: Its record.
        pristine: The program as it was before the run, or why there is no copy.
        probe: "never" replays nothing; "auto" only what is safe and small; "always" everything, tools
            excepted, whatever it does to files and sockets.

    Returns:
        The graph with its edges proved, or the same graph with a warning that says why not.
    """
    if probe == "never" or not trace.calls:
        return graph
    reason = unsafe(trace, pristine, probe) or (_too_large(trace) if probe == "auto" else None)
    if reason is not None:
        return _warned(graph, f"edges are not proved by replay: {reason}")
    assert isinstance(pristine, Pristine)
    deadline = time.monotonic() + AUTO_SECONDS if probe == "auto" else None
    session = _Session(trace, pristine, allow_effects=probe == "always", deadline=deadline)
    return await session.prove(graph)


def unsafe(trace: Trace, pristine: Pristine | str, probe: Probe) -> str | None:
    """Why a program must not be run again; None where it may.

    Args:
        trace: The record of its execution.
        pristine: The program as it was before it, or why there is no copy.
        probe: As in `prove`.
    """
    if isinstance(pristine, str):
        return pristine
    if pristine.shared and probe != "always":
        return f"a copy would share {', '.join(pristine.shared[:3])}; probe='always' does it all the same"
    if trace.effects and probe != "always":
        return f"the program has side effects ({'; '.join(trace.effects[:3])}); probe='always' repeats them"
    return None


def _too_large(trace: Trace) -> str | None:
    if len(trace.calls) > AUTO_CALLS:
        return f"{len(trace.calls)} calls are more than {AUTO_CALLS}; probe='always' replays them"
    return None


def _warned(graph: ComputationGraph, warning: str) -> ComputationGraph:
    return replace(graph, warnings=(*graph.warnings, warning))


class _Session:
    """The replays of one execution."""

    def __init__(self, trace: Trace, pristine: Pristine, *, allow_effects: bool, deadline: float | None) -> None:
        self.trace = trace
        self.pristine = pristine
        self.allow_effects = allow_effects
        self.deadline = deadline
        self.baseline = Observed()
        self.words = _alternatives(trace, pristine.program)

    async def prove(self, graph: ComputationGraph) -> ComputationGraph:
        now = Surroundings(self.pristine.program)
        try:
            differs = await self._unchanged()
            if differs:
                return _warned(graph, f"edges are not proved by replay: the program is not deterministic ({differs})")
            return await self._changed(graph)
        finally:
            now.restore()

    async def _replay(self, change: Change | None) -> Observed:
        observed = await self._replay_once(change, None)
        plan = realigned(self.trace, observed.calls) if change is not None else None
        return observed if plan is None else await self._replay_once(change, plan)

    async def _replay_once(self, change: Change | None, plan: Plan | None) -> Observed:
        self.pristine.surroundings.restore()
        program = self.pristine.program
        return await replay(program, self.trace, change, plan=plan, allow_effects=self.allow_effects)

    async def _unchanged(self) -> str:
        first, second = await self._replay(None), await self._replay(None)
        if not (first.finished or self.trace.error):
            return f"an unchanged replay ended with {first.problem}"
        if first.unrecorded or len(first.inputs) < len(self.trace.calls):
            return "an unchanged replay made other calls"
        between = self._difference(first.inputs, first.output, second.inputs, second.output)
        if between:
            return f"two unchanged replays gave {between}"
        recorded = {call.id: call.inputs for call in self.trace.calls}
        against = self._difference(recorded, self.trace.output, first.inputs, first.output)
        # The text of a caught exception may show the lines that raised it, which a replay cannot repeat.
        caught = any(aside.raised for aside in self.trace.asides) or any(call.error for call in self.trace.calls)
        if against and not caught:
            return f"an unchanged replay gave {against}"
        self.baseline = first
        return ""

    def _difference(
        self,
        one: Mapping[str, Mapping[str, Any]],
        returned: Mapping[str, Any],
        other: Mapping[str, Mapping[str, Any]],
        other_returned: Mapping[str, Any],
    ) -> str:
        for call in self.trace.calls:
            for name in call.inputs:
                if not alike(one.get(call.id, {}).get(name), other.get(call.id, {}).get(name)):
                    return f"{call.id} another {name}"
        if self.trace.error is None and any(
            not alike(returned.get(name), other_returned.get(name)) for name in self.trace.output
        ):
            return "another returned prediction"
        return ""

    async def _changed(self, graph: ComputationGraph) -> ComputationGraph:
        proved: list[Edge] = []
        unproved: list[str] = []
        for call in graph.calls:
            for name, value in call.outputs.items():
                end = End(call.id, name)
                mine = [edge for edge in graph.edges if edge.source == end]
                if self.deadline is not None and time.monotonic() > self.deadline:
                    unproved.append(f"{call.id}.{name}")
                    proved += mine
                    continue
                seen = await self._probe(call, name, value)
                proved += self._edges(end, mine, seen)
        graph = replace(graph, edges=tuple(proved))
        if unproved:
            some = ", ".join(unproved[:3])
            graph = _warned(graph, f"{len(unproved)} outputs were not probed for lack of time ({some}, ...)")
        return graph

    async def _probe(self, call: Call, name: str, value: Any) -> _Seen:
        seen = _Seen()
        if (call.id, name) not in self.baseline.read:
            # Nobody looked at it: whatever resembles it came from elsewhere.
            return _Seen(reached={OUTPUT, *self._recorded})
        others = changes(value, call.annotations.get(name), self.words)
        if call.concurrent:
            # Concurrent calls are told apart by their inputs: another one's answer would swap the two.
            taken = [one.outputs.get(name) for one in self.trace.calls if one.predictor == call.predictor]
            others = [other for other in others if not any(alike(other, one) for one in taken)]
        news = 0
        for count, other in enumerate(others):
            before = len(seen.moved) + len(seen.gone)
            self._note(call, await self._replay(Change(call.id, name, other)), seen)
            news = count if len(seen.moved) + len(seen.gone) > before else news
            if count - news >= PATIENCE:
                break
        return seen

    def _note(self, changed: Call, observed: Observed, seen: _Seen) -> None:
        for reader, inputs in observed.inputs.items():
            if reader == changed.id:
                continue
            seen.reached.add(reader)
            seen.moved |= {
                (reader, name)
                for name in self._recorded[reader]
                if not alike(inputs.get(name), self.baseline.inputs[reader].get(name))
            }
        if observed.finished and self.baseline.finished:
            seen.reached.add(OUTPUT)
            names = {*self.baseline.output, *observed.output}
            seen.moved |= {
                (OUTPUT, name) for name in names if not alike(observed.output.get(name), self.baseline.output.get(name))
            }
            seen.gone |= {call.id for call in self.trace.calls if call.id not in observed.inputs}

    @functools.cached_property
    def _recorded(self) -> Mapping[str, Mapping[str, Any]]:
        return {call.id: call.inputs for call in self.trace.calls}

    def _edges(self, end: End, suggested: list[Edge], seen: _Seen) -> list[Edge]:
        by_target = {(edge.target.call, edge.target.field): edge for edge in suggested}
        edges = [
            Edge(end, End(reader, name), "data", by_target[reader, name].known_by, 1.0)
            if (reader, name) in by_target and by_target[reader, name].known_by == "identity"
            else Edge(end, End(reader, name), "data", "replay", 1.0)
            for reader, name in sorted(seen.moved)
        ]
        edges += [
            edge
            for target, edge in by_target.items()
            if target not in seen.moved and target[0] not in seen.reached and edge.kind != "inferred"
        ]
        return edges + [Edge(end, End(call, None), "control", "replay", 1.0) for call in sorted(seen.gone)]


def _alternatives(trace: Trace, program: Any) -> list[str]:
    """Texts that would mean something to the program: other answers of this run, and its own constants."""
    answers = [value for call in trace.calls for value in call.outputs.values() if isinstance(value, str)]
    return list(dict.fromkeys([*(text for text in answers if len(text) <= 400), *words(program)]))[:_MOST_WORDS]
