"""Run a program's Python again with every predictor answering from the record, one answer changed.

DSPy asks its adapter for the fields of every call, in threads, tasks, copies and predictors made on the
way alike; the replaying adapter answers with recorded values. No language model is called, no tool is run
twice, and no class or instance of the user's is patched.

A replayed call is matched with the recorded call of the same predictor that stands at the same place. A
change can make calls disappear, and later ones move up: then the replay is repeated with calls matched by
their inputs first.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import dspy
from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback

from ..errors import Stop
from .align import Plan, likeness, same_inputs
from .capture import Names, asked_lm, asked_tool, asynchronous_only, output_fields, snapshot
from .changes import changes, made_up
from .effects import forbidden
from .order import clusters
from .reads import ReadStore
from .replica import replicate
from .trace import Aside, Call, Trace

MOST_UNRECORDED = 2
"""After so many calls that the record does not have, a replay has left what is known."""
SECONDS = 5.0
"""The longest that one replay may take."""


class Diverged(Stop):
    """A replay went where the record has no answer."""


@dataclass(frozen=True)
class Change:
    """One answer replaced.

    Args:
        call: The recorded call.
        field: Its output field.
        value: What it answers instead.
    """

    call: str
    field: str
    value: Any


@dataclass
class Observed:
    """What a replay showed.

    Args:
        inputs: Recorded call -> the inputs that it was given this time; only calls that happened.
        output: The returned prediction's fields.
        finished: Whether the program returned.
        problem: Why it did not, in words.
        unrecorded: How many calls the record does not have.
        calls: Predictor -> the inputs of each of its calls, by arrival.
        read: The output fields that the program's code looked at: (recorded call, field).
    """

    inputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    output: Mapping[str, Any] = field(default_factory=dict)
    finished: bool = False
    problem: str = ""
    unrecorded: int = 0
    calls: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    read: set[tuple[str, str]] = field(default_factory=set)


class Session:
    """The state of one replay, found by the adapter in DSPy's context. Thread-safe."""

    def __init__(self, trace: Trace, names: Names, change: Change | None, plan: Plan) -> None:
        self.trace = trace
        self.names = names
        self.change = change
        self.plan = plan
        self.observed = Observed()
        self.answering: dict[str | None, str] = {}
        self._lock = threading.Lock()
        self._asides = list(trace.asides)

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        return self

    def answer(self, predictor: Any, signature: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What a call answers: what it answered in the record, the changed field excepted."""
        name = self.names.of(predictor)
        with self._lock:
            call = self._match(name, inputs)
            if call is None:
                return self._made_up(name, signature)
            self.answering[ACTIVE_CALL_ID.get()] = call.id
            self.observed.inputs[call.id] = {key: snapshot(value) for key, value in inputs.items()}
        changed = self.change is not None and self.change.call == call.id
        return self.outputs(call, {self.change.field: self.change.value} if self.change and changed else {})

    def outputs(self, call: Call, replaced: Mapping[str, Any]) -> dict[str, Any]:
        """A recorded call's answer, some of its fields replaced.

        Raises:
            Exception: What the call raised in the record, where nothing is replaced.
        """
        raised = self.trace.live.get(("outputs", call.id, ""))
        if call.error is not None and not replaced:
            raise raised if isinstance(raised, Exception) else Diverged(f"{call.id} failed in the record")
        return {
            **{key: snapshot(value) for key, value in call.outputs.items()},
            **{key: copy.deepcopy(value) for key, value in replaced.items()},
        }

    def _match(self, name: str, inputs: Mapping[str, Any]) -> Call | None:
        occurrence = len(self.observed.calls.setdefault(name, []))
        self.observed.calls[name].append({key: snapshot(value) for key, value in inputs.items()})
        if name in self.plan.places:
            planned = self.plan.places[name]
            return planned[occurrence] if occurrence < len(planned) else None
        left = [call for call in self.trace.calls if call.predictor == name and call.id not in self.observed.inputs]
        # Calls that followed each other are told by their order, those that overlapped by what they were given.
        twins = next(clusters(left), [])
        free = [one for one in twins if same_inputs(one, inputs) or one.id not in self.plan.reserved]
        return max(free or twins, key=lambda call: likeness(call.inputs, inputs), default=None)

    def _made_up(self, name: str, signature: Any) -> dict[str, Any]:
        self.observed.unrecorded += 1
        if self.observed.unrecorded > MOST_UNRECORDED:
            raise Diverged(f"{name} was called more often than in the record")
        known = [call.outputs for call in self.trace.calls if call.predictor == name and call.error is None]
        if known:
            return {key: snapshot(value) for key, value in known[-1].items()}
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
        answers = [one.answer for one in self.trace.asides if one.name == name and one.raised is None]
        others = changes(answers[-1]) if answers else [f"an answer of {name} to {asked}"]
        if not others:
            raise Diverged(f"{name} was asked something that the record does not have")
        return others[hash(asked) % len(others)] if not isinstance(others[0], str) else f"{others[0]} {asked}"


def given(aside: Aside) -> Any:
    """What a recorded tool or raw language-model call answered, or raised."""
    if aside.raised is not None:
        raise aside.raised
    return snapshot(aside.answer)


def current_session() -> Any:
    """The replay that the calling code runs in.

    Raises:
        Diverged: Outside of one.
    """
    session = dspy.settings.get("semantic_replay")
    if session is None:
        raise Diverged("a replay's parts were used outside of it")
    return session


class ReplayAdapter(dspy.ChatAdapter):
    """Answers every predictor call from the record. Built without arguments, since DSPy's Refine subclasses it."""

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        """Answer from the record."""
        return [current_session().answer(dspy.settings.caller_modules[-1], signature, inputs)]

    async def acall(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        """Answer from the record, after the other tasks had their turn."""
        await asyncio.sleep(0)
        return self(lm, lm_kwargs, signature, demos, inputs)


class ReplayLM(dspy.BaseLM):
    """Answers calls of a language model outside of any predictor from the record, and never a server."""

    def __init__(self) -> None:
        super().__init__(model="replay", temperature=0.0, max_tokens=1000, cache=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> ReplayLM:
        return self

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer from the record."""
        return current_session().aside("lm", asked_lm(prompt, messages))

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer from the record."""
        return self(prompt, messages=messages)


class _Watch(BaseCallback):
    """Notes which outputs a replayed program reads, and stops it before it pays for a language model."""

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if not isinstance(instance, ReplayLM):
            raise Diverged("the program calls a language model that is no attribute of it")

    def on_module_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        session = current_session()
        call = session.answering.pop(call_id, None)
        if call is not None and isinstance(outputs, dspy.Prediction):
            read = session.observed.read
            outputs._store = ReadStore(outputs._store, lambda name: read.add((call, name)))


async def replay(
    pristine: Any, trace: Trace, change: Change | None, *, plan: Plan | None = None, allow_effects: bool = False
) -> Observed:
    """Run a copy of a program once more, answering from the record.

    Args:
        pristine: The program as it was before the recorded run; it is copied again.
        trace: The record.
        change: The one answer to replace; None replays the record as it is.
        plan: Which call is which recorded one; None finds out on the way.
        allow_effects: Whether the program may write files, open sockets and start processes.

    Returns:
        What happened, also where it stopped half-way.
    """
    program = _prepared(pristine, {aside.name for aside in trace.asides})
    session = Session(trace, Names(program), change, plan or Plan())
    inputs = {name: snapshot(value) for name, value in trace.inputs.items()}
    try:
        with (
            anyio.fail_after(SECONDS),
            dspy.context(
                semantic_replay=session,
                semantic_recording=None,
                adapter=ReplayAdapter(),
                lm=ReplayLM(),
                callbacks=[_Watch()],
                trace=[],
                send_stream=None,
            ),
        ):
            returned = await call_program(program, inputs, allow_effects)
        session.observed.output = {name: snapshot(value) for name, value in output_fields(returned).items()}
        session.observed.finished = True
    except (Exception, Stop) as error:  # noqa: BLE001 - whatever a changed value makes a program raise
        session.observed.problem = f"{type(error).__name__}: {error}"
    return session.observed


async def call_program(
    program: Any, inputs: Mapping[str, Any], allow_effects: bool, limiter: anyio.CapacityLimiter | None = None
) -> Any:
    """Call a program as its user would, refusing what would change the world unless that is allowed."""
    if asynchronous_only(program):
        if allow_effects:
            return await program.acall(**inputs)
        with forbidden():
            return await program.acall(**inputs)
    call = functools.partial(_call, program, inputs, allow_effects)
    return await anyio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)


def _call(program: Any, inputs: Mapping[str, Any], allow_effects: bool) -> Any:
    if allow_effects:
        return program(**inputs)
    with forbidden():
        return program(**inputs)


def _prepared(pristine: Any, recorded: set[str]) -> Any:
    program = replicate(pristine).program
    for _, module in program.named_sub_modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, dspy.BaseLM):
                setattr(module, name, ReplayLM())
            for tool in tools_in(value):
                if tool.name not in recorded:
                    continue
                tool.func = functools.partial(_tool_answer, tool.name)
    return program


def tools_in(value: Any) -> list[Any]:
    """The tools that an attribute holds."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
    return [one for one in inside if isinstance(one, dspy.Tool)]


def _tool_answer(name: str, **arguments: Any) -> Any:
    return current_session().aside(name, asked_tool(arguments))
