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

import marshal
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from ...._values.same import alike
from ...edges import End
from ...record.program_code import constants
from ...trace import OUTPUT, Call, Trace
from .alternatives import Hints, alternatives
from .compare import UNPROVED, ReplayComparison, Shown, Target
from .named import siblings, stored, tested
from .replay import Change, Observed

PATIENCE = 20
"""After so many changed values without news an output is done."""
FEW = 12
"""Up to so many outputs all changes are made one at a time."""
MANY = 60
"""Beyond so many outputs each is changed alone once."""
ANSWERS = 20_000
"""After so many calls in all replays of one execution `probe="auto"` is content with what is known."""
VOTERS = 9
"""The most answers of one kind that are weighed against each other."""
LONGER = 3
"""So many changes of an output that make a loop longer are tried once more."""
ENDLESS_REPLAYS = 3
"""After so many replays that had to be ended nothing more is tried."""


@dataclass
class _Output:
    """One output of a call, what it might have been instead, and what replays showed of it.

    It is calm if every call happened, and none was made up, in all replays with it changed. `harmless` is the first
    change that was, `longer` are those that made the program call its predictors more often.
    """

    call: Call
    name: str
    others: Sequence[Any]
    tried: int = 0
    calm: bool = True
    harmless: int | None = None
    longer: list[int] = field(default_factory=list)
    shown: Shown = field(default_factory=Shown)

    def change(self, kind: int) -> Change:
        """One of its changes."""
        return Change(self.call.id, self.name, self.others[kind])


class _Enough(Exception):
    """As many replays were made as may be."""


def _survey(comparison: ReplayComparison, outputs: Sequence[_Output]) -> tuple[dict[End, Shown], list[str]]:
    """Change outputs until nothing new is seen: what was seen of each, and what there was no time for, in words."""
    # Few outputs: every change alone. Many: alone only once or twice, then the calm ones in halves.
    alone = PATIENCE * 3 if len(outputs) <= FEW else 2 if len(outputs) <= MANY else 1
    warnings = []
    try:
        for output in outputs:
            _alone(comparison, output, alone)
        _longer_ways(comparison, outputs)
        calm = [output for output in outputs if output.calm and not output.call.concurrent]
        for output in outputs:
            if output not in calm:
                _alone(comparison, output, PATIENCE * 3)
        if len(outputs) > FEW:
            _together(comparison, calm, alone)
        _votes(comparison, outputs)
        _longer_ways(comparison, outputs)
        for output in outputs:
            output.shown.settled = True
    except _Enough:
        rest = [f"{output.call.id}.{output.name}" for output in outputs if not output.tried]
        some = ", ".join(rest[:3]) + (", ..." if len(rest) > 3 else "")
        end = (
            f"in {ENDLESS_REPLAYS} replays the program did not come to an end"
            if comparison.endless >= ENDLESS_REPLAYS
            else f"replays ended after {ANSWERS} calls"
        )
        warnings = [
            f"{len(rest)} outputs were not probed ({some}): {end}"
            if rest
            else f"not every kind of change was tried on every output: {end}"
        ]
    return {End(one.call.id, one.name): one.shown for one in outputs if one.tried or not one.others}, warnings


def _alone(comparison: ReplayComparison, output: _Output, most: int) -> None:
    news = output.tried
    while output.tried < min(most, len(output.others)) and output.tried - news < PATIENCE:
        before = output.shown.news
        observed = _replay(comparison, [output.change(output.tried)])
        _note(comparison, output, observed, output.tried)
        output.tried += 1
        output.shown.settled = output.tried >= min(len(output.others), PATIENCE)
        news = output.tried if output.shown.news > before else news


def _note(comparison: ReplayComparison, output: _Output, observed: Observed, kind: int) -> None:
    """Keep what a replay with one change of an output alone has shown."""
    comparison.note(output.change(kind), observed, output.shown)
    if not _is_calm(comparison, observed):
        output.calm = False
        if comparison.went_on(observed):
            output.longer.append(kind)
            output.shown.beyond |= comparison.everything_moved(observed)
    elif output.harmless is None:
        output.harmless = kind


def _longer_ways(comparison: ReplayComparison, outputs: Sequence[_Output]) -> None:
    """Let loops that a change makes longer come to another result: an answer that ends a loop decides what is kept.

    A call that the record does not have answers as the last one of its predictor, so that the loop ends again, and
    what comes out looks as if nothing had happened. Here it answers otherwise in the fields of which it is known that
    another answer changes no way through the program.
    """
    further: dict[str, dict[str, Any]] = {}
    for output in outputs:
        if output.harmless is not None:
            further.setdefault(output.call.predictor, {})[output.name] = output.others[output.harmless]
    for output in outputs:
        kinds, output.longer = output.longer[:LONGER], []
        for kind in kinds:
            observed = _replay(comparison, [output.change(kind)], further)
            if comparison.went_on(observed):
                output.shown.beyond |= comparison.everything_moved(observed)


def _votes(comparison: ReplayComparison, outputs: Sequence[_Output]) -> None:
    """Change answers that showed less alone than others of their kind along with these: two votes turn a majority."""
    kinds: dict[str, list[_Output]] = {}
    for output in outputs:
        value = output.call.outputs[output.name]
        if isinstance(value, (str, int, float, Enum, list, tuple)):
            # Flags are weighed against each other whatever they are called.
            name = "" if isinstance(value, bool) else output.name
            kinds.setdefault(f"{name}: {output.call.annotations.get(output.name)}", []).append(output)
    for group in kinds.values():
        if 1 < len(group) <= VOTERS:
            fed = {target for output in group for target in output.shown.moved}
            apart = _are_apart(group, outputs)
            for output in group:
                ranks = isinstance(output.call.outputs[output.name], (list, tuple))
                silent = not output.shown.news and (apart or not ranks)
                if output.calm and (silent or (apart and not fed <= output.shown.moved)) and output.others:
                    _vote(comparison, output, [one for one in group if one is not output], apart)


def _are_apart(group: Sequence[_Output], outputs: Sequence[_Output]) -> bool:
    """Whether votes were cast side by side: none decided on another, or was read on the way to it.

    Of calls in several threads an answer that is another one's makes the two look swapped, and in a loop it makes
    another loop.
    """
    after: dict[str, set[str]] = {}
    for output in outputs:
        after.setdefault(output.call.id, set()).update(*([one for one, _ in output.shown.moved], output.shown.gone))
    voters = {output.call.id for output in group}
    left, seen = [*voters], set[str]()
    while left:
        reached = after.get(left.pop(), set()) - seen
        seen |= reached
        left += reached
    return not voters & seen and not any(output.call.concurrent for output in group)


def _vote(comparison: ReplayComparison, output: _Output, rest: Sequence[_Output], apart: bool) -> None:
    """Take one answer of the rest after the other to the other side, until this one turns something.

    First those that agree, since a majority hides each of its votes, from either end, since the first one may break a
    tie; else only the others, since one flag that is down hides all that are up.
    """
    mine = output.call.outputs[output.name]
    agree = [one for one in rest if alike(one.call.outputs[one.name], mine)]
    differ = [one for one in rest if one not in agree]
    theirs = [one.call.outputs[one.name] for one in differ if apart]
    other = theirs[0] if theirs else output.others[0]
    away = [Change(one.call.id, one.name, other) for one in agree]
    along = [Change(one.call.id, one.name, mine) for one in differ]
    turned = Change(output.call.id, output.name, other)
    for changes in ([*away, *along], away[:0:-1], along if away else []):
        for many in range(1, len(changes) + 1):
            if _turns(comparison, output, changes[:many], turned, apart):
                return


def _turns(comparison: ReplayComparison, output: _Output, changes: list[Change], turned: Change, apart: bool) -> bool:
    """Whether another answer makes a difference where some others are changed; what it makes is noted."""
    without, observed = _replay(comparison, changes), _replay(comparison, [*changes, turned])
    if not all(one.finished and not one.unrecorded for one in (without, observed)):
        return False
    if not apart and not _is_calm(comparison, without):
        return False
    decided = {*without.inputs} ^ {*observed.inputs}
    moved = {one for one in comparison.differing(without, observed) - output.shown.moved if one[0] not in decided}
    output.shown.gone |= decided
    if decided:
        for target in moved:
            output.shown.remote.setdefault(target, []).append(frozenset(decided))
    output.shown.moved |= moved if not decided else set()
    comparison.doubt([*changes, turned], [*moved, *((call, "") for call in decided)], without)
    return bool(decided or moved)


def _together(comparison: ReplayComparison, outputs: list[_Output], start: int) -> None:
    for kind in range(start, PATIENCE):
        left = [output for output in outputs if output.calm and kind < len(output.others)]
        random.Random(kind).shuffle(left)
        for half in (left[: len(left) // 2], left[len(left) // 2 :]):
            _half(comparison, half, kind)


def _half(comparison: ReplayComparison, outputs: list[_Output], kind: int) -> None:
    if not outputs:
        return
    observed = _replay(comparison, [output.change(kind) for output in outputs])
    if len(outputs) == 1:
        _note(comparison, outputs[0], observed, kind)
        return
    if _is_calm(comparison, observed) and not _unexplained(comparison, outputs, observed):
        return
    middle = len(outputs) // 2
    for part in (outputs[:middle], outputs[middle:]):
        _half(comparison, part, kind)


def _replay(
    comparison: ReplayComparison, changes: list[Change], further: Mapping[str, Mapping[str, Any]] | None = None
) -> Observed:
    if comparison.endless >= ENDLESS_REPLAYS or comparison.answers > comparison.most:
        raise _Enough
    return comparison.replay(changes, further)


def _is_calm(comparison: ReplayComparison, observed: Observed) -> bool:
    return observed.finished and not observed.unrecorded and len(observed.inputs) == len(comparison.trace.calls)


def _unexplained(comparison: ReplayComparison, outputs: list[_Output], observed: Observed) -> bool:
    explained = {target for output in outputs for target in output.shown.moved}
    return not comparison.everything_moved(observed) <= explained


_LONGEST_WORD, _MOST_WORDS, _MOST_CONSTANTS = 400, 20, 24
_LONGEST_READ, _MOST_FOUND, _LETTERS = 2000, 4, re.compile(r"[^\W\d_]{4,}")


@dataclass
class Surveyed:
    """What all replays of an execution showed: of each output, and which targets say nothing; and warnings.

    `noisy` are targets that prove nothing where they did not move, `varying` those that vary by themselves; `problem`
    says why they showed nothing, `unstable` whether each must start where the first one did.
    """

    shown: dict[End, Shown] = field(default_factory=dict)
    left_out: set[Target] = field(default_factory=set)
    noisy: set[Target] = field(default_factory=set)
    varying: set[Target] = field(default_factory=set)
    warnings: tuple[str, ...] = ()
    problem: str = ""
    unstable: bool = False

    def plain(self) -> bytes:
        """All of it as a message of texts."""
        shown = {(end.call, end.field): vars(one) for end, one in self.shown.items()}
        told = (shown, self.left_out, self.noisy, self.varying, self.warnings, self.problem, self.unstable)
        return marshal.dumps(told)

    @classmethod
    def of_plain(cls, message: bytes) -> Surveyed:
        """What a message tells."""
        shown, *others = marshal.loads(message)
        return cls({End(*end): Shown(**one) for end, one in shown.items()}, *others)


def survey(comparison: ReplayComparison, program: Any, inputs: Mapping[str, Any]) -> Surveyed:
    """Replay an execution with its outputs changed, as often as that tells something new."""
    problem, warnings = comparison.unchanged()
    if problem:
        return Surveyed(problem=problem, unstable=comparison.unstable)
    trace, read = comparison.trace, comparison.baseline.read
    hints = Hints(tested(program, inputs), _words(trace, program, inputs), siblings(program))
    # What nobody looked at has no edge: whatever resembles it came from elsewhere.
    everyone = {OUTPUT, *comparison.calls}
    shown, outputs = {}, []
    for call in trace.calls:
        for name in call.outputs:
            if (call.id, name) in read:
                outputs.append(_Output(call, name, _others(call, name, trace, hints)))
            else:
                shown[End(call.id, name)] = Shown(everyone, everyone, settled=True)
    surveyed, late = _survey(comparison, outputs)
    unstable = comparison.unstable or not comparison.repeats()
    if comparison.wavering:
        some = sorted(".".join(filter(None, one)) for one in comparison.wavering)
        late.append(f"two replays with the same answers differ (not deterministic): {', '.join(some[:3])}; {UNPROVED}")
        for one in surveyed.values():
            one.leave_out(comparison.wavering)
    mute = comparison.left_out, {*comparison.noisy}, comparison.varying
    return Surveyed(shown | surveyed, *mute, (*warnings, *late), unstable=unstable)


def _words(trace: Trace, program: Any, inputs: Mapping[str, Any]) -> list[str]:
    """Texts that would mean something to the program: of its data, its own constants, other answers of this run."""
    answers = [value for call in trace.calls for value in call.outputs.values() if isinstance(value, str)]
    short = [text for text in answers if len(text) <= _LONGEST_WORD]
    held = (text for value in constants(program) for text in ([value] if isinstance(value, str) else value))
    own = dict.fromkeys(text for text in held if isinstance(text, str) and 0 < len(text) <= _LONGEST_WORD)
    data = [text[:_LONGEST_WORD] for text in stored(program, inputs)]
    return list(dict.fromkeys([*data, *list(own)[:_MOST_CONSTANTS], *short]))[:_MOST_WORDS]


def _came_back(call: Call, value: Any, trace: Trace) -> list[str]:
    """Rare words of what was read afterwards, where no text that was read shows an answer: it may have been looked up.

    A search that finds nothing gives what it gives for any other words that it does not know, so only words that it
    does know show that it was asked.
    """
    later = [one for one in trace.calls if call.before(one)]
    texts = [text for one in later for text in one.inputs.values() if isinstance(text, str)]
    if not isinstance(value, str) or not value.strip() or any(value in text for text in texts):
        return []
    given = [text for text in trace.inputs.values() if isinstance(text, str)]
    counted = Counter(word for text in [*texts, *given] for word in _LETTERS.findall(text[:_LONGEST_READ]))
    found = dict.fromkeys(word for text in texts for word in _LETTERS.findall(text[:_LONGEST_READ]))
    rare = sorted((word for word in found if word not in value), key=lambda word: counted[word])
    return rare[:_MOST_FOUND]


def _others(call: Call, name: str, trace: Trace, hints: Hints) -> list[Any]:
    """What a call might have answered instead."""
    value, annotation = call.outputs[name], call.annotations.get(name)
    # The last answer is often the one that ends a loop. Another predictor that writes such a field knows its form.
    alike_calls = [one for one in trace.calls if name in one.outputs]
    alike_calls = sorted(reversed(alike_calls), key=lambda one: one.predictor != call.predictor)
    twins = [one.outputs[name] for one in alike_calls if not alike(one.outputs[name], value)]
    if not call.concurrent:
        others = alternatives(value, annotation, replace(hints, twins=twins))
        return [*others[:1], *_came_back(call, value, trace), *others[1:]]
    # Concurrent calls are told apart by their inputs too: another one's answer, if it is any, would swap the two.
    taken = [one.outputs[name] for one in alike_calls if one.predictor == call.predictor and one.outputs[name]]
    others = alternatives(value, annotation, hints)
    return [other for other in others if not any(alike(other, one) for one in taken)] or others
