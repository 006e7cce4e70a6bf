"""One replay: a program's Python runs again, every predictor answers from the record, some answers changed.

DSPy asks its adapter for the fields of every call, in threads, tasks, copies and predictors made on the
way alike; the replaying adapter answers with recorded values. No language model is called, no tool is run
twice, and no class or instance of the user's is patched.

A replayed call is matched with the recorded call of the same predictor that stands at the same place: of one
thread or task by the order there, of several by where in the program these were started, which no clock decides.
A change can make calls disappear, and later ones move up: then the replay is repeated with calls matched by their
inputs first (`realigned`).
"""

from __future__ import annotations

import asyncio
import copy
import threading
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.primitives.code_interpreter import FinalOutput

from ...._errors import Stop
from ...._values.copies import snapshot
from ...._values.same import alike
from ...._values.text import printed
from ...record.names import Names
from ...record.threads import next_place
from ...trace import Aside, Call, Place, Trace
from .alternatives import alternatives, made_up

Arrival = tuple[Place, int]
"""The thread or task that a call of a predictor came from, and the how-manieth from there it is, from 0."""


@dataclass(frozen=True)
class Plan:
    """Which call of a replay is which recorded one.

    `places` holds for each predictor the recorded call that each of its calls is, by arrival, None for a call that is
    not recorded. `reserved` are recorded calls of several threads that a call with the very same inputs will come for,
    from the given thread where others come with these inputs too. `further` holds for each predictor what its calls
    that are not recorded answer otherwise than its last recorded one.
    """

    places: Mapping[str, Mapping[Arrival, Call | None]] = field(default_factory=dict)
    reserved: Mapping[str, Place | None] = field(default_factory=dict)
    further: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def aligned(self) -> bool:
        """Whether it says of any call which one it is."""
        return bool(self.places or self.reserved)


def _likeness(recorded: Mapping[str, Any], inputs: Mapping[str, Any]) -> int:
    """How many of the recorded inputs are given again."""
    # What DSPy adds to a call after it was recorded, the defaults of fields left out, tells calls apart nowhere.
    return sum(alike(value, inputs.get(name)) for name, value in recorded.items())


def _same_inputs(call: Call, inputs: Mapping[str, Any]) -> bool:
    """Whether a recorded call was given the very same inputs."""
    return all(alike(value, inputs.get(name)) for name, value in call.inputs.items())


def realigned(trace: Trace, observed: Observed) -> Plan | None:
    """A better guess at which call is which, once all calls of a replay are known; None where there is none."""
    places: dict[str, Mapping[Arrival, Call | None]] = {}
    reserved: dict[str, Place | None] = {}
    for name, calls in observed.calls.items():
        recorded = of_predictor(trace, name)
        if any(call.concurrent for call in recorded):
            found = _assigned(recorded, dict(sorted(calls.items())))
            if any((call and call.id) != observed.chosen.get((name, arrival)) for arrival, call in found.items()):
                reserved |= _reserved(recorded, calls, found)
        elif recorded and len(recorded) != len(calls):
            places[name] = dict(zip(calls, _placed(recorded, list(calls.values())), strict=True))
    return Plan(places, reserved) if places or reserved else None


def of_predictor(trace: Trace, name: str) -> list[Call]:
    """The recorded calls of a predictor, by index."""
    return sorted((call for call in trace.calls if call.predictor == name), key=lambda call: call.index)


def _assigned(recorded: list[Call], calls: Mapping[Arrival, Mapping[str, Any]]) -> dict[Arrival, Call | None]:
    """Which calls of several threads are which: first those that were given the same, then those of the same thread."""
    found: dict[Arrival, Call | None] = dict.fromkeys(calls)
    left = list(recorded)
    for same, mine in ((True, True), (True, False), (False, True), (False, False)):
        for arrival, inputs in calls.items():
            fitting = [one for one in left if not mine or one.strand == arrival[0]]
            fitting = [one for one in fitting if _same_inputs(one, inputs)] if same else fitting
            if found[arrival] is None and fitting:
                found[arrival] = call = max(fitting, key=lambda one: _likeness(one.inputs, inputs))
                left.remove(call)
    return found


def _reserved(
    recorded: list[Call], calls: Mapping[Arrival, Mapping[str, Any]], found: Mapping[Arrival, Call | None]
) -> dict[str, Place | None]:
    """The calls that one with the same inputs comes for, and from which thread where more of these come than were."""
    reserved = {}
    for arrival, call in found.items():
        if call is not None and _same_inputs(call, calls[arrival]):
            come = sum(_same_inputs(call, inputs) for inputs in calls.values())
            were = sum(_same_inputs(one, call.inputs) for one in recorded)
            reserved[call.id] = arrival[0] if come > were else None
    return reserved


def _placed(recorded: list[Call], calls: list[Mapping[str, Any]]) -> list[Call | None]:
    """Which calls that followed each other are which: those that were given the same, then the others in order."""
    matched: list[Call | None] = []
    left = list(recorded)
    for inputs in calls:
        same = next((call for call in left if _same_inputs(call, inputs)), None)
        matched.append(same)
        if same is not None:
            left.remove(same)
    rest = [at for at, call in enumerate(matched) if call is None]
    # Where calls are known by what they read, one too many that reads nothing of it again is none of them.
    is_known = len(rest) < len(calls) > len(recorded)
    for at, call in zip(rest, _in_order(left, [calls[at] for at in rest]), strict=True):
        matched[at] = call if call is None or not is_known or _read_again(call, calls[at]) else None
    return matched


def _in_order(left: list[Call], calls: list[Mapping[str, Any]]) -> list[Call | None]:
    """As many pairs as there can be, both in their order, such that the most of what was read is the same."""
    common = [[0] * (len(left) + 1) for _ in range(len(calls) + 1)]
    many = len(left) * len(calls) > _MOST_PAIRS

    def pairs(at: int, place: int) -> int:
        return common[at + 1][place + 1] + (0 if many else _read_again(left[place], calls[at]))

    def is_skipped(at: int, place: int) -> bool:
        # Of two ways that are as good a call too many is the first one, and a missing one the last.
        more = len(calls) - at - (len(left) - place)
        return common[at + 1][place] > pairs(at, place) if more > 0 else False

    for at in reversed(range(len(calls))):
        for place in reversed(range(len(left))):
            more = len(calls) - at - (len(left) - place)
            other = common[at + 1][place] if more > 0 else common[at][place + 1] if more < 0 else 0
            common[at][place] = max(pairs(at, place), other)
    found: list[Call | None] = []
    place = 0
    for at in range(len(calls)):
        while place < len(left) and len(left) - place > len(calls) - at and common[at][place + 1] > pairs(at, place):
            place += 1
        found.append(None if place == len(left) or is_skipped(at, place) else left[place])
        place += found[-1] is not None
    return found


def _read_again(call: Call, inputs: Mapping[str, Any]) -> int:
    """How much of what a recorded call read is read again, in characters: a long text tells more than a word."""
    same = (value for name, value in call.inputs.items() if alike(value, inputs.get(name)))
    return sum(1 + min(len(printed(value)), _TELLING) for value in same)


_MOST_PAIRS = 2_500
_TELLING = 400
MOST_UNRECORDED = 6
"""After so many calls that the record does not have, a replay has left what is known."""


ANSWERED: ContextVar[str | None] = ContextVar("semantic_answered", default=None)
"""The recorded call whose prediction comes next, in this context."""


class Diverged(Stop):
    """A replay went where the record has no answer."""


@dataclass(frozen=True)
class Change:
    """One answer of a recorded call replaced."""

    call: str
    field: str
    value: Any


@dataclass
class Observed:
    """What a replay showed, by recorded call: only of calls that happened.

    `unrecorded` counts the calls that the record does not have, `strangers` are their predictors, with the calls that
    had come before the first one of each; `calls` holds the inputs of every call of a predictor, and `chosen` which
    recorded one it was taken for; `read` the outputs (call, field) that the program looked at; `told` what else stood
    in the prompt of each call; `ran` what came of code that was run; `drawn` how often the operating system was asked
    for random bytes and for the time; `problem` says why the program did not return.
    """

    inputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    output: Mapping[str, Any] = field(default_factory=dict)
    finished: bool = False
    problem: str = ""
    unrecorded: int = 0
    calls: dict[str, dict[Arrival, Mapping[str, Any]]] = field(default_factory=dict)
    chosen: dict[tuple[str, Arrival], str] = field(default_factory=dict)
    read: set[tuple[str, str]] = field(default_factory=set)
    strangers: dict[str, frozenset[str]] = field(default_factory=dict)
    told: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    ran: dict[str, Any] = field(default_factory=dict)
    drawn: int = 0


class Replay:
    """The state of one replay, found by the adapter in DSPy's context. Thread-safe.

    `names` are those of the copy that runs; without a plan it is found out on the way which call is which.
    """

    def __init__(self, trace: Trace, names: Names, changes: Sequence[Change] = (), plan: Plan | None = None) -> None:
        self.trace = trace
        self.names = names
        self.plan = plan or Plan()
        self.observed = Observed()
        self._changed: dict[str, dict[str, Any]] = {}
        for one in changes:
            self._changed.setdefault(one.call, {})[one.field] = one.value
        self._left = {name: of_predictor(trace, name) for name in {call.predictor for call in trace.calls}}
        self._arrived: Counter[tuple[str, Place]] = Counter()
        self._lock = threading.Lock()
        self._asides = list(trace.asides)

    def __deepcopy__(self, memo: dict[int, Any]) -> Replay:
        return self

    @property
    def is_unchanged(self) -> bool:
        """Whether every answer is the recorded one."""
        return not self._changed

    def answers(
        self, predictor: Any, signature: Any, inputs: Mapping[str, Any], demos: Any = ()
    ) -> list[dict[str, Any]]:
        """What a call answers, in each of its completions."""
        name, given = self.names.of(predictor), {key: snapshot(value) for key, value in inputs.items()}
        with self._lock:
            call = self._match(name, given)
            if call is None:
                return [self._made_up(name, signature)]
            ANSWERED.set(call.id)
            self.observed.inputs[call.id] = given
            # What an adapter adds to a call, as `dspy.Refine` its advice, was no input of it when it started.
            declared = {one.name for one in call.input_fields}
            added = {key: given[key] for key in signature.input_fields if key in given and key not in declared}
            told = {**added, "instructions": signature.instructions, "demos": _told(demos)}
            self.observed.told[call.id] = told
        return self.completions(call, self._changed.get(call.id, {}))

    def completions(self, call: Call, replaced: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A recorded call's answer in each of its completions, some of its fields replaced in all of them."""
        others = ({**snapshot(dict(row)), **copy.deepcopy(replaced)} for row in call.further)
        return [self.outputs(call, replaced), *others]

    def outputs(self, call: Call, replaced: Mapping[str, Any]) -> dict[str, Any]:
        """A recorded call's answer, some of its fields replaced; what the call raised, where nothing is replaced."""
        raised = self.trace.live.get(("outputs", call.id, ""))
        if call.error is not None and not replaced:
            if isinstance(raised, Exception):
                raise raised.with_traceback(None)
            raise Diverged(f"{call.id} failed in the record")
        return {
            **{key: snapshot(value) for key, value in call.outputs.items()},
            **{key: copy.deepcopy(value) for key, value in replaced.items()},
        }

    def _match(self, name: str, inputs: Mapping[str, Any]) -> Call | None:
        strand = next_place()[:-1]
        arrived = self.observed.calls.setdefault(name, {})
        arrival = strand, self._arrived[name, strand]
        self._arrived[name, strand] += 1
        arrived[arrival] = inputs
        planned = self.plan.places.get(name)
        call = self._likely(name, strand, inputs) if planned is None else planned.get(arrival)
        if call is not None:
            self.observed.chosen[name, arrival] = call.id
        return call

    def _likely(self, name: str, strand: Place, inputs: Mapping[str, Any]) -> Call | None:
        left, reserved = self._left.get(name, []), self.plan.reserved
        if any(call.concurrent for call in left):
            # Those that followed each other are told by their order, the others by what they were given.
            mine = [call for call in left if reserved.get(call.id) in (None, strand) and _same_inputs(call, inputs)]
            others = mine or [call for call in left if call.id not in reserved]
            mine = [call for call in others if call.strand == strand] or others
            call = max(mine, key=lambda one: _likeness(one.inputs, inputs), default=None)
        else:
            call = next(iter(left), None)
        if call is not None:
            left.remove(call)
        return call

    def _made_up(self, name: str, signature: Any) -> dict[str, Any]:
        self.observed.unrecorded += 1
        self.observed.strangers.setdefault(name, frozenset(self.observed.inputs))
        if self.observed.unrecorded > MOST_UNRECORDED:
            raise Diverged(f"{name} was called more often than in the record")
        known = [call.outputs for call in self.trace.calls if call.predictor == name and call.error is None]
        if known:
            # Most often the last answer ended a loop, and does so again.
            last = {**known[-1], **self.plan.further.get(name, {})}
            return {key: snapshot(value) for key, value in last.items()}
        try:
            return {key: made_up(info.annotation, key) for key, info in signature.output_fields.items()}
        except TypeError as error:
            raise Diverged(f"{name} was not called in the record: {error}") from error

    def aside(self, name: str, asked: str) -> Any:
        """What a tool or a raw language-model call answered; something else where it is asked something else."""
        with self._lock:
            mine = [one for one in self._asides if one.name == name]
            exact = [one for one in mine if one.asked == asked]
            if exact:
                self._asides.remove(exact[0])
                return given(exact[0])
        known = [one for one in self.trace.asides if one.name == name]
        again = [one for one in known if one.asked == asked]
        if again:
            return given(again[-1])
        answers = [one.answer for one in known if one.raised is None]
        if not answers:
            text = f"an answer of {name} to {asked}"
            return [text] if name == "lm" else text
        return other_answer(answers[zlib.crc32(asked.encode()) % len(answers)], asked)


def _told(demos: Any) -> list[Any]:
    return [dict(one) if isinstance(one, (dict, dspy.Example)) else one for one in demos or ()]


def other_answer(answer: Any, asked: str) -> Any:
    """Another answer of the same shape, the same for the same question in every process."""
    if isinstance(answer, str):
        return f"{alternatives(answer)[0]} {asked}"
    if isinstance(answer, dspy.Prediction):
        return dspy.Prediction(**{name: other_answer(value, asked) for name, value in answer.items()})
    if isinstance(answer, (list, tuple)) and answer:
        # Of the same length: programs take the first of a language model's answers without a look.
        return type(answer)(other_answer(item, asked) for item in answer)
    if isinstance(answer, dict) and answer:
        return {key: other_answer(value, asked) for key, value in answer.items()}
    if isinstance(answer, FinalOutput):
        return FinalOutput(other_answer(answer.output, asked))
    others = alternatives(answer)
    return others[zlib.crc32(asked.encode()) % len(others)] if others else answer


def given(aside: Aside) -> Any:
    """What a recorded tool or raw language-model call answered, or raised."""
    if aside.raised is not None:
        # Programs print tracebacks, and one grows each time that its exception is raised.
        raise aside.raised.with_traceback(None)
    return snapshot(aside.answer)


def current_replay() -> Any:
    """The replay that the calling code runs in; `Diverged` outside of one."""
    session = dspy.settings.get("semantic_replay")
    if session is None:
        raise Diverged("a replay's parts were used outside of it")
    return session


class ReplayAdapter(dspy.ChatAdapter):
    """Answers every predictor call from the record. Built without arguments, since DSPy's Refine subclasses it."""

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        """Answer from the record."""
        return current_replay().answers(dspy.settings.caller_modules[-1], signature, inputs, demos)

    async def acall(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        """Answer from the record, after the other tasks had their turn."""
        await asyncio.sleep(0)
        return self(lm, lm_kwargs, signature, demos, inputs)


def tools_in(value: Any) -> list[Any]:
    """The tools that an attribute holds."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
    return [one for one in inside if isinstance(one, dspy.Tool)]
