"""Replays with answers changed, compared with unchanged ones: which inputs moved, and which calls disappeared.

What moves only together with a call that disappeared or was made up, and which feeds it, is at one remove: it is
kept apart. What two unchanged replays give differently says nothing and is left out, by name; where it is only a matter
of numbers, addresses and paths, as in a traceback, or of some parts of a structure, as a time, the rest is compared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

import dspy
import pydantic

from ...._values.same import alike
from ...._values.text import printed
from ...trace import OUTPUT, Trace
from .replay import Change, Observed, Plan, realigned
from .replayer import ENDLESS

_ALIGNMENTS = 2
"""So often a replay is made again with its calls told apart better."""
_PASSING = re.compile(
    r"0x[0-9a-fA-F]+|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{8,}\b"
    r"|\d[\d.:]*(?:e-?\d+)?|(?:/[\w.+~-]+){2,}"
)
"""What the same text says otherwise at another time: addresses, identifiers, numbers, paths."""
_WORDS = re.compile("[^\\W\\d_]{2}")

UNPROVED = "the edges into it are not proved"
_SURE, _SURE_OF_THREADS = 2, 6
"""What moved again so often, each time that it was tried, with the same answers changed, does not move by itself."""
_TELLING = 4
"""So long a text, in characters, stands nowhere by accident."""

Target = tuple[str, str]
"""A call, or "output", and one of its fields; for a call that is there or not, with "" for a field."""
Paths = frozenset[tuple[Any, ...]]
"""Where in a structure parts of it stand."""
_NO_PATHS: Paths = frozenset()


@dataclass
class Shown:
    """What the replays with one output changed showed together.

    `met` are the readers that were reached at all, `reached` those reached without made-up calls, `gone` the calls that
    disappeared, `doubted` those that did where their predictor was called too often. `remote` holds what moved only
    together with other calls, with the calls that may be why in each such replay. `beyond` holds what moved by way of
    calls too many alone, of predictors that the record knows: a loop that went on. `settled` says whether as much was
    tried as ever is.
    """

    met: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    moved: set[Target] = field(default_factory=set)
    remote: dict[Target, list[frozenset[str]]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    doubted: set[str] = field(default_factory=set)
    beyond: set[Target] = field(default_factory=set)
    settled: bool = False

    def leave_out(self, targets: set[Target]) -> None:
        """Forget what was seen of some targets."""
        self.moved -= targets
        self.beyond -= targets
        self.remote = {one: why for one, why in self.remote.items() if one not in targets}
        for calls in (self.gone, self.doubted):
            calls -= {call for call, name in targets if not name}

    @property
    def news(self) -> int:
        """How much is known by now."""
        return len(self.moved) + len(self.remote) + len(self.gone) + len(self.doubted)


class ReplayComparison:
    """Replays of one execution, made by `replay`.

    `baseline` is what an unchanged replay gave, `left_out` what is not the same twice (`varying`), or not as in the
    record, and `noisy` what is the same but for passing things, with the parts that are not; that it did not move
    proves nothing. `answers` counts the calls of all replays, of which there should be at most `most`, `endless` the
    replays that were ended; `unstable` says whether two replays with the same answers differ, and `wavering` holds what
    did so in changed ones.
    """

    def __init__(self, trace: Trace, replay: Callable[..., Observed], most: float) -> None:
        self.trace = trace
        self.most = most
        self.baseline = Observed()
        self.left_out: set[Target] = set()
        self.varying: set[Target] = set()
        self.noisy: dict[Target, Paths] = {}
        self.unstable = False
        self.answers = self.endless = 0
        self.wavering: set[Target] = set()
        self._moved_again: Counter[Target] = Counter()
        self._sure = _SURE_OF_THREADS if any(call.strand for call in trace.calls) else 0
        self.calls = {call.id: call for call in trace.calls}
        self._replay = replay

    def unchanged(self) -> tuple[str, list[str]]:
        """Replay twice without a change: why the replays say nothing, or "" where they do; and warnings.

        A program that asks the operating system for random bytes or the time is replayed with others too: all that
        varies with them is known to vary, however seldom it does.
        """
        read, first = self._once((), watch=True), self._once(())
        follow = "the replay could not follow"
        if not (read.finished or self.trace.error):
            return f"{follow}: it ended with {' '.join(read.problem.split())[:200]}", []
        if read.unrecorded or len(read.inputs) < len(self.trace.calls):
            return f"{follow}: it made other calls than the run", []
        # What asks for no chance, no time and no thread is not doubted: that would take a tenth of all replays.
        self._sure = max(self._sure, _SURE if first.drawn else 0)
        lucky = self._once((), luck=1, later=True) if first.drawn else first
        if not _same_calls(first, lucky):
            # Which calls are made may hang on the time: it is the same in all other replays.
            lucky = self._once((), luck=1)
        self.unstable = not _same_calls(first, read)
        if self.unstable or not _same_calls(first, lucky):
            return "two unchanged replays made different calls (not deterministic)", []
        first.read = read.read
        unstable = self._differing(first, read)
        if unstable:
            # Tracebacks show whether reads were watched: what else differs does so without a watch.
            unstable = self._differing(first, self._once(()))
        parts = {one: _varying(_value(first, one), _value(read, one)) for one in unstable}
        self.unstable = any(parts.values())
        for one in self._differing(first, lucky):
            parts[one] = parts.get(one, _NO_PATHS) | _varying(_value(first, one), _value(lucky, one))
        self.noisy = {one: paths for one, paths in parts.items() if () not in paths}
        unstable = [one for one in parts if one not in self.noisy]
        lost = [one for one in self._lost(first) if one not in unstable]
        self.baseline, self.varying, self.left_out = first, {*unstable}, {*unstable, *lost}
        unlike = "two unchanged replays differ (not deterministic)"
        said = (
            (unlike, unstable, UNPROVED),
            (unlike, sorted(self.noisy), "what differs in it is left out"),
            (follow, lost, UNPROVED),
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

    def replay(self, changed: Sequence[Change], further: Mapping[str, Mapping[str, Any]] | None = None) -> Observed:
        """Replay with answers changed, once or twice more where that tells better which call is which.

        `further` is what calls that the record does not have answer otherwise; see `Plan`.
        """
        plan = Plan(further=further or {})
        observed = self._once(changed, plan)
        for _ in range(_ALIGNMENTS):
            better = realigned(self.trace, observed)
            # Calls of several threads that were told apart may show that those who read them were not.
            if better is None or (plan.aligned and not better.reserved.keys() - plan.reserved.keys()):
                break
            plan = replace(plan, places=better.places, reserved={**plan.reserved, **better.reserved})
            observed = self._once(changed, plan)
        return observed

    def repeats(self) -> bool:
        """Whether one more unchanged replay is like the first: none of those before has left anything behind."""
        last = self._once(())
        differing = {*self._differing(self.baseline, last)} - {*self.noisy}
        return _same_calls(self.baseline, last) and not differing

    def _once(self, changed: Sequence[Change], plan: Plan | None = None, **how: Any) -> Observed:
        observed = self._replay(changed, plan=plan, **how)
        self.answers += sum(map(len, observed.calls.values()))
        self.endless += observed.problem.endswith(ENDLESS)
        return observed

    def _differing(self, one: Observed, other: Observed, passing: bool = False) -> list[Target]:
        """What two replays give differently; `passing` says whether to leave passing things out."""
        inputs = [(call.id, name) for call in self.trace.calls for name in call.inputs]
        fields = [(OUTPUT, name) for name in (self.trace.output if self.trace.error is None else ())]

        def differ(target: Target) -> bool:
            mine, theirs = _value(one, target), _value(other, target)
            # A text without what passes is looked at where the texts differ: few do.
            paths = self.noisy.get(target, _NO_PATHS) if passing else None
            return not alike(mine, theirs) and not (paths is not None and alike(*_lasting_of(paths, mine, theirs)))

        return list(filter(differ, inputs + fields))

    def note(self, change: Change, observed: Observed, shown: Shown) -> None:
        """Add what a replay with one output of a call changed has shown."""
        changed, seen = self.calls[change.call], list[Target]()
        missing = [call for call in self.trace.calls if call.id not in observed.inputs]
        twins = {name: [call.id for call in self.trace.calls if call.predictor == name] for name in observed.strangers}
        for reader in observed.inputs:
            # Nothing is read before it was written; a race between threads may look like it.
            if not changed.before(self.calls[reader]):
                continue
            shown.met.add(reader)
            # A call that is missing or made up may be why a later reader moved: the change alone is not.
            before = [call.id for call in missing if call.before(self.calls[reader])]
            # So may one too many, where it did not come later.
            earlier = [name for name, came in observed.strangers.items() if reader not in came]
            added = [one for name in earlier for one in twins[name] or [name]]
            # Of a predictor that was called too often nobody knows for sure which call is which.
            doubt = [name for name in observed.strangers if self.calls[reader].predictor == name]
            seen += self._move(reader, self._moved(reader, observed), frozenset([*before, *added, *doubt]), shown)
        if observed.finished and self.baseline.finished:
            shown.met.add(OUTPUT)
            added = [one for name, calls in twins.items() for one in calls or [name]]
            why = frozenset([*(call.id for call in missing), *added])
            seen += self._move(OUTPUT, self._returned(observed), why, shown)
            seen += [(call.id, "") for call in missing]
            doubted = {call.id for call in missing if call.predictor in observed.strangers}
            shown.gone |= {call.id for call in missing} - doubted
            shown.doubted |= doubted
        if not observed.unrecorded:
            shown.reached |= shown.met & {OUTPUT, *observed.inputs}
        if not observed.problem.endswith(ENDLESS):
            self.doubt([change], [one for one in seen if not _shows(_value(observed, one), change.value)])

    def doubt(self, changes: Sequence[Change], seen: Iterable[Target], usual: Observed | None = None) -> None:
        """Replay once more, with the same answers changed, where what was seen to move may have moved by itself.

        The order of threads, addresses, a clock that somebody holds: what does not move again hangs on such things.
        `usual` is what it moved from, if that is no unchanged replay.
        """
        left = {*seen}
        while left := {one for one in left if self._moved_again[one] < self._sure and one not in self.wavering}:
            again = self.replay(changes)
            moved = self.everything_moved(again) if usual is None else self.differing(usual, again)
            moved |= {(call, "") for call in (usual or self.baseline).inputs.keys() ^ again.inputs.keys()}
            self._moved_again.update(moved)
            for known in (self.wavering, self.varying, self.left_out):
                known |= left - moved
            self.unstable = self.unstable or not left <= moved

    def went_on(self, observed: Observed) -> bool:
        """Whether a replay made all recorded calls, these of its strangers as ever, and others of these predictors."""
        mine = [call.id for call in self.trace.calls if call.predictor in observed.strangers]
        complete = observed.finished and len(observed.inputs) == len(self.trace.calls)
        return bool(mine) and complete and not any(self._moved(call, observed) for call in mine)

    def everything_moved(self, observed: Observed) -> set[Target]:
        """All that a replay gave differently."""
        moved = {(reader, name) for reader in observed.inputs for name in self._moved(reader, observed)}
        return (moved | {(OUTPUT, name) for name in self._returned(observed)}) - self.left_out

    def differing(self, one: Observed, other: Observed) -> set[Target]:
        """What two replays give differently, and which does not vary by itself."""
        return {*self._differing(one, other, passing=True)} - self.left_out

    def _returned(self, observed: Observed) -> list[str]:
        usual = self.baseline.output
        return [name for name in {*usual, *observed.output} if self._differs(OUTPUT, name, observed.output, usual)]

    def _moved(self, reader: str, observed: Observed) -> list[str]:
        call = self.calls[reader]
        inputs, usual = observed.inputs[reader], self.baseline.inputs[reader]
        moved = [name for name in call.inputs if self._differs(reader, name, inputs, usual)]
        told, usually = observed.told[reader], self.baseline.told[reader]
        beside = [name for name in {**usually, **told} if name not in call.inputs]
        return moved + [name for name in beside if not alike(told.get(name), usually.get(name))]

    def _differs(self, reader: str, name: str, values: Mapping[str, Any], usual: Mapping[str, Any]) -> bool:
        paths, pair = self.noisy.get((reader, name)), (values.get(name), usual.get(name))
        return not alike(*(pair if paths is None else _lasting_of(paths, *pair)))

    def _move(self, reader: str, names: Sequence[str], others: frozenset[str], shown: Shown) -> list[Target]:
        targets = [(reader, name) for name in names if (reader, name) not in self.left_out]
        for target in targets:
            if others:
                shown.remote.setdefault(target, []).append(others)
            else:
                shown.moved.add(target)
        return targets


def _value(observed: Observed, target: Target) -> Any:
    reader, name = target
    return (observed.output if reader == OUTPUT else observed.inputs.get(reader, {})).get(name)


def _shows(value: Any, change: Any) -> bool:
    """Whether what stands there was made of a changed answer for all to see."""
    return isinstance(change, str) and len(change) >= _TELLING and change.casefold() in printed(value).casefold()


def _lasting_of(paths: Paths, *values: Any) -> list[Any]:
    return [_lasting(value, paths) for value in values]


def _lasting(value: Any, without: Paths, at: tuple[Any, ...] = ()) -> Any:
    """A value without some of its parts, and its texts without passing things; a text that is nothing else stays."""
    if at in without:
        return None
    if isinstance(value, str):
        lasting = _PASSING.sub("#", value)
        return lasting if _WORDS.search(lasting) else value
    parts = _parts(value)
    return value if parts is None else {name: _lasting(part, without, (*at, name)) for name, part in parts.items()}


def _varying(one: Any, other: Any, at: tuple[Any, ...] = ()) -> Paths:
    """Which parts of two values differ by more than passing things: () for the whole."""
    if alike(*_lasting_of(_NO_PATHS, one, other)):
        return _NO_PATHS
    mine, theirs = _parts(one), _parts(other)
    if type(one) is not type(other) or mine is None or theirs is None or mine.keys() != theirs.keys():
        return frozenset({at})
    return frozenset(path for name in mine for path in _varying(mine[name], theirs[name], (*at, name)))


def _parts(value: Any) -> dict[Any, Any] | None:
    """What a structure is made of, by name or place; None for what is no structure."""
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    if isinstance(value, (Mapping, dspy.Example)):
        return dict(value.items())
    return dict(vars(value)) if isinstance(value, pydantic.BaseModel) or is_dataclass(value) else None


def _same_calls(one: Observed, other: Observed) -> bool:
    return one.inputs.keys() == other.inputs.keys() and one.unrecorded == other.unrecorded


def _list(targets: Sequence[Target]) -> str:
    some = ", ".join(".".join(target) for target in targets[:3])
    return some if len(targets) <= 3 else f"{some} and {len(targets) - 3} more"
