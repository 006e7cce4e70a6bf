"""Replays with answers changed, compared with unchanged ones: which inputs moved, and which calls disappeared.

What moves only together with a call that disappeared or was made up, and which feeds it, is at one remove: it is
kept apart. What two unchanged replays give differently says nothing and is left out, by name; where it is only a matter
of numbers, addresses and paths, as in a traceback, the rest of it is compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic

from ...._values.same import alike
from ...trace import OUTPUT, Call, Trace
from .replay import Change, Observed, Plan, realigned
from .replayer import ENDLESS

_TOLD = ("instructions", "demos")
_PASSING = re.compile(r"0x[0-9a-fA-F]+|\b(?=[a-f]*\d)[0-9a-f]{8,}\b|\d[\d.:]*(?:e-?\d+)?|(?:/[\w.+~-]+){2,}")
"""What the same text says otherwise at another time: addresses, identifiers, numbers, paths."""
_WORDS = re.compile("[^\\W\\d_]{2}")

Target = tuple[str, str]
"""A call, or "output", and one of its fields."""


@dataclass
class Shown:
    """What the replays with one output changed showed together.

    `met` are the readers that were reached at all, `reached` those reached without made-up calls, `gone` the calls that
    disappeared, `doubted` those that did where their predictor was called too often. `remote` holds what moved only
    together with other calls, with the calls that may be why in each such replay. `settled` says whether as much was
    tried as ever is.
    """

    met: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    moved: set[Target] = field(default_factory=set)
    remote: dict[Target, list[frozenset[str]]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    doubted: set[str] = field(default_factory=set)
    settled: bool = False

    @property
    def news(self) -> int:
        """How much is known by now."""
        return len(self.moved) + len(self.remote) + len(self.gone) + len(self.doubted)


class ReplayComparison:
    """Replays of one execution, made by `replay`.

    `baseline` is what an unchanged replay gave, `left_out` what is not the same twice, or not as in the record, and
    `noisy` what is the same but for passing things; that it did not move proves nothing.
    `answers` counts the calls of all replays, of which there should be at most `most`, `endless` the replays that were
    ended; `unstable` says whether the unchanged ones differ.
    """

    def __init__(self, trace: Trace, replay: Callable[..., Observed], most: float) -> None:
        self.trace = trace
        self.most = most
        self.baseline = Observed()
        self.left_out: set[Target] = set()
        self.noisy: set[Target] = set()
        self.unstable = False
        self.answers = self.endless = 0
        self.calls = {call.id: call for call in trace.calls}
        self._replay = replay

    def unchanged(self) -> tuple[str, list[str]]:
        """Replay twice without a change: why the replays say nothing, or "" where they do; and warnings."""
        read, first = self._once((), watch=True), self._once(())
        follow = "the replay could not follow"
        if not (read.finished or self.trace.error):
            return f"{follow}: it ended with {' '.join(read.problem.split())[:200]}", []
        if read.unrecorded or len(read.inputs) < len(self.trace.calls):
            return f"{follow}: it made other calls than the run", []
        self.unstable = not _same_calls(first, read)
        if self.unstable:
            return "two unchanged replays made different calls (not deterministic)", []
        first.read = read.read
        unstable = self._differing(first, read)
        if unstable:
            # Tracebacks show whether reads were watched: what else differs does so without a watch.
            unstable = self._differing(first, self._once(()))
        self.noisy = {one for one in unstable if one not in self._differing(first, read, passing=True)}
        unstable = [one for one in unstable if one not in self.noisy]
        self.unstable = bool(unstable)
        lost = [one for one in self._lost(first) if one not in unstable]
        self.baseline, self.left_out = first, {*unstable, *lost}
        unlike, unproved = "two unchanged replays differ (not deterministic)", "the edges into it are not proved"
        said = (
            (unlike, unstable, unproved),
            (unlike, sorted(self.noisy), "numbers, addresses and paths in it are left out"),
            (follow, lost, unproved),
        )
        warnings = [f"{text}: {_list(targets)}; {rest}" for text, targets, rest in said if targets]
        fields = sum(len(call.inputs) for call in self.trace.calls) + len(self.trace.output)
        return ("; ".join(warnings) if len(self.left_out) * 2 > fields else ""), warnings

    def _lost(self, unchanged: Observed) -> list[Target]:
        """What an unchanged replay gave otherwise than the record."""
        # The text of a caught exception may show the lines that raised it, which a replay cannot repeat.
        if any(aside.raised for aside in self.trace.asides) or any(call.error for call in self.trace.calls):
            return []
        recorded = Observed({call.id: call.inputs for call in self.trace.calls}, self.trace.output)
        return self._differing(recorded, unchanged, passing=True)

    def replay(self, changed: Sequence[Change]) -> Observed:
        """Replay with answers changed, a second time where that tells better which call is which."""
        observed = self._once(changed)
        plan = realigned(self.trace, observed)
        return observed if plan is None else self._once(changed, plan)

    def repeats(self) -> bool:
        """Whether one more unchanged replay is like the first: none of those before has left anything behind."""
        last = self._once(())
        differing = {*self._differing(self.baseline, last)} - self.noisy
        return _same_calls(self.baseline, last) and not differing

    def _once(self, changed: Sequence[Change], plan: Plan | None = None, watch: bool = False) -> Observed:
        observed = self._replay(changed, plan=plan, watch=watch)
        self.answers += sum(map(len, observed.calls.values()))
        self.endless += observed.problem.endswith(ENDLESS)
        return observed

    def _differing(self, one: Observed, other: Observed, passing: bool = False) -> list[Target]:
        """What two replays give differently; `passing` says whether to leave passing things out."""
        look = _lasting if passing else _as_it_is

        def differ(mine: Mapping[str, Any], theirs: Mapping[str, Any], name: str) -> bool:
            # A text without what passes is looked at where the texts differ: few do.
            return not alike(mine.get(name), theirs.get(name)) and not alike(
                look(mine.get(name)), look(theirs.get(name))
            )

        inputs = [
            (call.id, name)
            for call in self.trace.calls
            for name in call.inputs
            if differ(one.inputs.get(call.id, {}), other.inputs.get(call.id, {}), name)
        ]
        fields = self.trace.output if self.trace.error is None else ()
        return inputs + [(OUTPUT, name) for name in fields if differ(one.output, other.output, name)]

    def note(self, changed: Call, observed: Observed, shown: Shown) -> None:
        """Add what a replay with one output of a call changed has shown."""
        missing = [call for call in self.trace.calls if call.id not in observed.inputs]
        known = [call.id for call in self.trace.calls if call.predictor in observed.strangers]
        new = [name for name in observed.strangers if all(call.predictor != name for call in self.trace.calls)]
        for reader in observed.inputs:
            # Nothing is read before it was written; a race between threads may look like it.
            if not changed.before(self.calls[reader]):
                continue
            shown.met.add(reader)
            # A call that is missing or made up may be why a later reader moved: the change alone is not.
            before = [call.id for call in missing if call.before(self.calls[reader])]
            # Of a predictor that was called too often nobody knows for sure which call is which.
            doubt = [name for name in observed.strangers if self.calls[reader].predictor == name]
            self._move(reader, self._moved(reader, observed), frozenset([*before, *known, *new, *doubt]), shown)
        if observed.finished and self.baseline.finished:
            shown.met.add(OUTPUT)
            why = frozenset([*(call.id for call in missing), *known, *new])
            self._move(OUTPUT, self._returned(observed), why, shown)
            doubted = {call.id for call in missing if call.predictor in observed.strangers}
            shown.gone |= {call.id for call in missing} - doubted
            shown.doubted |= doubted
        if not observed.unrecorded:
            shown.reached |= shown.met & {OUTPUT, *observed.inputs}

    def everything_moved(self, observed: Observed) -> set[Target]:
        """All that a replay gave differently."""
        moved = {(reader, name) for reader in observed.inputs for name in self._moved(reader, observed)}
        return (moved | {(OUTPUT, name) for name in self._returned(observed)}) - self.left_out

    def _returned(self, observed: Observed) -> list[str]:
        usual = self.baseline.output
        return [name for name in {*usual, *observed.output} if self._differs(OUTPUT, name, observed.output, usual)]

    def _moved(self, reader: str, observed: Observed) -> list[str]:
        call = self.calls[reader]
        inputs, usual = observed.inputs[reader], self.baseline.inputs[reader]
        moved = [name for name in call.inputs if self._differs(reader, name, inputs, usual)]
        told, usually = observed.told[reader], self.baseline.told[reader]
        return moved + [name for name in _TOLD if name not in call.inputs and not alike(told[name], usually[name])]

    def _differs(self, reader: str, name: str, values: Mapping[str, Any], usual: Mapping[str, Any]) -> bool:
        look = _lasting if (reader, name) in self.noisy else _as_it_is
        return not alike(look(values.get(name)), look(usual.get(name)))

    def _move(self, reader: str, names: Sequence[str], others: frozenset[str], shown: Shown) -> None:
        for name in names:
            if (reader, name) in self.left_out:
                continue
            if others:
                shown.remote.setdefault((reader, name), []).append(others)
            else:
                shown.moved.add((reader, name))


def _as_it_is(value: Any) -> Any:
    return value


def _lasting(value: Any) -> Any:
    """A value whose texts are without passing things; a text that is nothing else stays as it is."""
    if isinstance(value, str):
        lasting = _PASSING.sub("#", value)
        return lasting if _WORDS.search(lasting) else value
    if isinstance(value, Mapping):
        return {name: _lasting(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_lasting(item) for item in value]
    return _lasting(vars(value)) if isinstance(value, pydantic.BaseModel) else value


def _same_calls(one: Observed, other: Observed) -> bool:
    return one.inputs.keys() == other.inputs.keys() and one.unrecorded == other.unrecorded


def _list(targets: Sequence[Target]) -> str:
    some = ", ".join(".".join(target) for target in targets[:3])
    return some if len(targets) <= 3 else f"{some} and {len(targets) - 3} more"
