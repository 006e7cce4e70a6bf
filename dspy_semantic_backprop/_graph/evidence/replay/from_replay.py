"""Edges from replays: change one answer at a time, and see what else moves.

An input that moves was fed by the answer (data); a call that disappears was decided by it (control). Every
other answer stays as recorded, so what is seen is direct. A suggested edge is ruled out where its reader was
reached with the answer changed and did not move; it stands where no replay got that far.

Replays are believed only if two unchanged ones reproduce the record.

One change at a time tells most, and in a large execution takes too long: a replay runs all calls, and
there are as many replays as outputs times kinds of change. So every output of a large execution is changed
alone only a few times. After that the calm ones, whose changes let every call happen, are changed in halves
drawn at random, each output in its own way: where nothing moves that is not explained by a known edge, nothing
is to be found in that half. Otherwise the half is split, down to the output that is to blame.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...._errors import Stop
from ...._values.same import alike
from ...edges import Edge, End, FoundEdges
from ...record.program_code import constants
from ...record.snapshots import describe
from ...trace import OUTPUT, Call, Trace
from .alternatives import alternatives
from .compare import ReplayComparison, Shown, Target
from .isolation.effects import quiet
from .isolation.replica import Pristine, Probe, unsafe
from .isolation.surroundings import siblings
from .replay import Change, Observed
from .replayer import Replayer

PATIENCE = 14
"""After so many changed values without news an output is done."""
FEW = 12
"""Up to so many outputs all changes are made one at a time."""
MANY = 60
"""Beyond so many outputs each is changed alone once."""


@dataclass
class _Output:
    """One output of a call, what it might have been instead, and what replays showed of it.

    It is calm if every call happened, and none was made up, in all replays with it changed.
    """

    call: Call
    name: str
    others: Sequence[Any]
    tried: int = 0
    calm: bool = True
    shown: Shown = field(default_factory=Shown)

    def change(self, kind: int) -> Change:
        """One of its changes."""
        return Change(self.call.id, self.name, self.others[kind])


class _OutOfTime(Exception):
    """The deadline has passed."""


async def _survey(
    comparison: ReplayComparison, outputs: Sequence[_Output], deadline: float | None
) -> tuple[dict[End, Shown], list[str]]:
    """Change outputs until nothing new is seen: what was seen of each, and what there was no time for, in words."""
    # Few outputs: every change alone. Many: alone only once or twice, then the calm ones in halves.
    alone = PATIENCE * 3 if len(outputs) <= FEW else 2 if len(outputs) <= MANY else 1
    warnings = []
    try:
        for output in outputs:
            await _alone(comparison, output, alone, deadline)
        calm = [output for output in outputs if output.calm and not output.call.concurrent]
        for output in outputs:
            if output not in calm:
                await _alone(comparison, output, PATIENCE * 3, deadline)
        if len(outputs) > FEW:
            await _together(comparison, calm, alone, deadline)
    except _OutOfTime:
        rest = [f"{output.call.id}.{output.name}" for output in outputs if not output.tried]
        some = ", ".join(rest[:3]) + (", ..." if len(rest) > 3 else "")
        warnings = [
            f"{len(rest)} outputs were not probed for lack of time ({some})"
            if rest
            else "not every kind of change was tried on every output, for lack of time"
        ]
    return {End(one.call.id, one.name): one.shown for one in outputs if one.tried or not one.others}, warnings


async def _alone(comparison: ReplayComparison, output: _Output, most: int, deadline: float | None) -> None:
    news = output.tried
    while output.tried < min(most, len(output.others)) and output.tried - news < PATIENCE:
        before = output.shown.news
        observed = await _replay(comparison, [output.change(output.tried)], deadline)
        comparison.note(output.call, observed, output.shown)
        output.calm = output.calm and _is_calm(comparison, observed)
        output.tried += 1
        news = output.tried if output.shown.news > before else news


async def _together(comparison: ReplayComparison, outputs: list[_Output], start: int, deadline: float | None) -> None:
    for kind in range(start, PATIENCE):
        left = [output for output in outputs if output.calm and kind < len(output.others)]
        random.Random(kind).shuffle(left)
        for half in (left[: len(left) // 2], left[len(left) // 2 :]):
            await _half(comparison, half, kind, deadline)


async def _half(comparison: ReplayComparison, outputs: list[_Output], kind: int, deadline: float | None) -> None:
    if not outputs:
        return
    observed = await _replay(comparison, [output.change(kind) for output in outputs], deadline)
    if len(outputs) == 1:
        comparison.note(outputs[0].call, observed, outputs[0].shown)
        outputs[0].calm = _is_calm(comparison, observed)
        return
    if _is_calm(comparison, observed) and not _unexplained(comparison, outputs, observed):
        return
    middle = len(outputs) // 2
    for part in (outputs[:middle], outputs[middle:]):
        await _half(comparison, part, kind, deadline)


async def _replay(comparison: ReplayComparison, changes: list[Change], deadline: float | None) -> Observed:
    if deadline is not None and time.monotonic() > deadline:
        raise _OutOfTime
    return await comparison.replay(changes)


def _is_calm(comparison: ReplayComparison, observed: Observed) -> bool:
    return observed.finished and not observed.unrecorded and len(observed.inputs) == len(comparison.trace.calls)


def _unexplained(comparison: ReplayComparison, outputs: list[_Output], observed: Observed) -> bool:
    explained = {target for output in outputs for target in output.shown.moved}
    return not comparison.everything_moved(observed) <= explained


AUTO_SECONDS = 20.0
"""The longest that `probe="auto"` replays one execution."""
AUTO_CALLS = 200
"""The largest execution, in calls, that `probe="auto"` replays."""
_LONGEST_WORD, _MOST_WORDS, _MOST_CONSTANTS = 400, 20, 24
_NOT = "edges are not proved by replay:"


async def from_replay(trace: Trace, pristine: Pristine | str, probe: Probe) -> FoundEdges:
    """The edges that replays show, and what they rule out; nothing but a warning where the program is not replayed."""
    reason = unsafe(trace, pristine, probe) or (_too_large(trace) if probe == "auto" else None)
    if isinstance(pristine, str) or reason is not None:
        return FoundEdges(warnings=(f"{_NOT} {reason}",))
    now = pristine.surroundings.again()
    try:
        replayer = Replayer(pristine.program, trace, allow_effects=probe == "always")
        comparison = ReplayComparison(trace, replayer, pristine.surroundings)
        deadline = time.monotonic() + AUTO_SECONDS if probe == "auto" else None
        with quiet():
            return await _found(comparison, pristine.program, deadline)
    except (Exception, Stop) as error:  # noqa: BLE001 - the run is paid for: its graph must not be lost to a replay
        return FoundEdges(warnings=(f"{_NOT} it ended with {describe(error)[:200]}",))
    finally:
        now.restore()


def _too_large(trace: Trace) -> str | None:
    if len(trace.calls) > AUTO_CALLS:
        return f"{len(trace.calls)} calls are more than {AUTO_CALLS}; probe='always' replays them"
    return None


async def _found(comparison: ReplayComparison, program: Any, deadline: float | None) -> FoundEdges:
    reason, warnings = await comparison.unchanged()
    if reason:
        return FoundEdges(warnings=(f"{_NOT} {reason}",))
    trace, read = comparison.trace, comparison.baseline.read
    known, groups = _words(trace, program), siblings(program)
    # What nobody looked at has no edge: whatever resembles it came from elsewhere.
    everyone = {OUTPUT, *comparison.calls}
    shown, outputs = {}, []
    for call in trace.calls:
        for name in call.outputs:
            if (call.id, name) in read:
                outputs.append(_Output(call, name, _others(call, name, trace, known, groups)))
            else:
                shown[End(call.id, name)] = Shown(everyone, everyone)
    surveyed, late = await _survey(comparison, outputs, deadline)
    return _Verdict(comparison, shown | surveyed).found((*warnings, *late))


def _words(trace: Trace, program: Any) -> list[str]:
    """Texts that would mean something to the program: other answers of this run, and its own constants."""
    answers = [value for call in trace.calls for value in call.outputs.values() if isinstance(value, str)]
    short = [text for text in answers if len(text) <= _LONGEST_WORD]
    held = (text for value in constants(program) for text in ([value] if isinstance(value, str) else value))
    own = dict.fromkeys(text for text in held if isinstance(text, str) and 0 < len(text) <= _LONGEST_WORD)
    return list(dict.fromkeys([*short, *list(own)[:_MOST_CONSTANTS]]))[:_MOST_WORDS]


def _others(call: Call, name: str, trace: Trace, known: Sequence[str], groups: Sequence[tuple[str, ...]]) -> list[Any]:
    """What a call might have answered instead."""
    others = alternatives(call.outputs[name], call.annotations.get(name), known, groups)
    if call.concurrent:
        # Concurrent calls are told apart by their inputs: another one's answer would swap the two.
        taken = [one.outputs.get(name) for one in trace.calls if one.predictor == call.predictor]
        others = [other for other in others if not any(alike(other, one) for one in taken)] or others
    return others


class _Verdict:
    """What all replays of an execution say together."""

    def __init__(self, comparison: ReplayComparison, shown: Mapping[End, Shown]) -> None:
        self.calls = comparison.calls
        self.left_out = comparison.left_out
        self.shown = shown
        self.direct = {(end.call, target) for end, one in shown.items() for target in one.moved}

    def found(self, warnings: Sequence[str]) -> FoundEdges:
        edges, possible = [], set()
        for end, shown in self.shown.items():
            sure = {one for one, why in shown.remote.items() if self._at_first_hand(one, why)} | shown.moved
            edges += [Edge(end, End(*target), "data", "replay", 1.0) for target in sure]
            edges += [Edge(end, End(call, None), "control", "replay", 1.0) for call in shown.gone]
            possible |= {(end, End(*target)) for target in shown.remote if target not in sure}
        return FoundEdges(
            tuple(edge for edge in edges if self._is_in_order(edge.source, edge.target)),
            frozenset(pair for pair in possible if self._is_in_order(*pair)),
            self._excludes,
            tuple(warnings),
        )

    def _is_in_order(self, source: End, target: End) -> bool:
        """Whether a call can have fed another: a replay in which calls moved up may seem to say otherwise."""
        return target.call == OUTPUT or self.calls[source.call].before(self.calls[target.call])

    def _excludes(self, edge: Edge) -> bool:
        """Whether replays reached the reader of a suggested edge, and it did not move."""
        shown, reader = self.shown.get(edge.source), edge.target.call
        if shown is None or (reader, edge.target.field) in self.left_out:
            return False
        if edge.kind == "control":
            return reader in shown.met or reader in shown.gone
        if edge.known_by == "code":
            # What may be is weaker than what was seen: one replay that reached the reader is enough.
            return reader in shown.met
        return reader in shown.reached or edge.kind == "inferred"

    def _at_first_hand(self, target: Target, replays: Sequence[frozenset[str]]) -> bool:
        """Whether a target moved in a replay in which no other call can have moved it."""
        return any(
            all(other in self.calls and (other, target) not in self.direct for other in others) for others in replays
        )
