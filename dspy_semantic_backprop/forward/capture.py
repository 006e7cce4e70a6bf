"""Run a program on one example and record every predictor call, without touching the program.

The recorder is a DSPy callback that finds the record of the current execution in DSPy's context, so
that executions in other threads and tasks, and other uses of DSPy, never mix. No method is patched.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.to_thread
import dspy
from dspy.utils.callback import BaseCallback

from .effects import pause, resume, watched
from .names import UNNAMED, Names
from .order import name_calls
from .reads import further, watch_reads
from .replica import kept
from .slicing.sites import Frame, chain, frames
from .trace import OUTPUT, Aside, Call, Trace
from .values import declaration, describe, output_fields, snapshot

_PRIVILEGED = frozenset({"signature", "demos", "config", "lm", "new_signature", "_trace"})


@dataclass
class Recording:
    """The record of one execution while it grows. Thread-safe."""

    names: Names
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    live: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    stacks: dict[str, tuple[Frame, ...]] = field(default_factory=dict)
    asides: dict[str, Aside] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    paused: dict[str, Any] = field(default_factory=dict)
    reads: list[tuple[int, str, str]] = field(default_factory=list)
    undeclared: dict[tuple[str, str], None] = field(default_factory=dict)
    watched: list[Any] = field(default_factory=list)
    home: str | None = None
    clock: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __deepcopy__(self, memo: dict[int, Any]) -> Recording:
        return self

    def start(self, key: str, predictor: Any, kwargs: Mapping[str, Any]) -> None:
        """Record that a predictor was called with these arguments."""
        stack = frames()
        signature: Any = dspy.ensure_signature(kwargs.get("signature") or predictor.signature)
        declared_inputs = {one.name for one in declaration(signature)["input_fields"]}
        inputs = {name: value for name, value in kwargs.items() if name in declared_inputs - _PRIVILEGED}
        name_of = self.names.of(predictor)
        self.undeclared |= {(name_of, name): None for name in kwargs.keys() - declared_inputs - _PRIVILEGED}
        call = {
            "predictor": name_of,
            "inputs": {name: snapshot(value) for name, value in inputs.items()},
            "concurrent": self.home is not None and _strand() != self.home,
            **declaration(signature),
            "demos": len(kwargs.get("demos", predictor.demos) or ()),
        }
        with self.lock:
            self.clock += 1
            self.calls[key] = {**call, "started": self.clock}
            self.stacks[key] = stack
            self.live.update({("inputs", key, name): value for name, value in inputs.items()})

    def end(self, key: str, outputs: Any, error: BaseException | None) -> None:
        """Record how a call ended."""
        if key not in self.calls:
            return
        fields = dict(outputs.items()) if isinstance(outputs, dspy.Prediction) else {}
        if isinstance(outputs, dspy.Prediction):
            self._watch(key, outputs)
        result = {
            "further": tuple({name: snapshot(value) for name, value in row.items()} for row in further(outputs)),
            "error": describe(error) if error is not None else None,
            "outputs": {name: snapshot(value) for name, value in fields.items()},
        }
        with self.lock:
            self.clock += 1
            self.calls[key] |= {**result, "ended": self.clock}
            self.live.update({("outputs", key, name): value for name, value in fields.items()})
            if error is not None:
                self.live["outputs", key, ""] = error

    def _watch(self, key: str, outputs: dspy.Prediction) -> None:
        self.watched += watch_reads(outputs, functools.partial(self._read, key))

    def _read(self, key: str, name: str) -> None:
        self.reads.append((self.clock, key, name))

    def finish(
        self,
        inputs: Mapping[str, Any],
        returned: Any,
        error: BaseException | None,
        given: Mapping[str, Any] | None = None,
    ) -> Trace:
        """Close the record: what the program was given, returned and raised.

        Args:
            inputs: The very objects that the program was given.
            returned: What it returned.
            error: What it raised.
            given: The inputs as they were before the program ran; None where nobody kept them.
        """
        reads = list(self.reads)
        for restore in self.watched:
            restore()
        with self.lock:
            calls = {key: Call(**{"id": key, "index": 0, "outputs": {}, **call}) for key, call in self.calls.items()}
            live = dict(self.live)
        named = name_calls(list(calls.values()), [*inputs.values(), *self.names.constants])
        output = output_fields(returned)
        ways = {named[key].id: chain(stack) for key, stack in self.stacks.items()}
        live = {(side, named[key].id, name): value for (side, key, name), value in live.items()}
        return Trace(
            inputs=given if given is not None else {name: snapshot(value) for name, value in inputs.items()},
            calls=tuple(named.values()),
            output={name: snapshot(value) for name, value in output.items()},
            error=describe(error) if error is not None else None,
            warnings=(*_unnamed_warning(tuple(named.values())), *_undeclared_warning(self.undeclared)),
            predictors=self.names.all,
            constants=tuple(self.names.constants),
            asides=tuple(self.asides.values()),
            reads=tuple((at, named[key].id, name) for at, key, name in reads if name in named[key].outputs),
            effects=tuple(dict.fromkeys(self.effects)),
            ways=ways,
            code=self.names.code(frozenset(way[-1] for way in ways.values() if way)),
            live={**live, **{("inputs", OUTPUT, name): value for name, value in output.items()}},
        )


def _strand() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return f"{threading.get_ident()}/{id(task) if task is not None else 0}"


def _unnamed_warning(calls: tuple[Call, ...]) -> tuple[str, ...]:
    unnamed = sorted({call.instruction for call in calls if call.predictor == UNNAMED})
    return tuple(
        f"a predictor that named_predictors() does not list was called (instruction: {text[:60]!r}); "
        "it is in the graph but cannot be optimised: make it an attribute of the program"
        for text in unnamed
    )


def _undeclared_warning(undeclared: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(
        f"{predictor} was given {name}, which its signature does not declare: DSPy leaves it out of the prompt"
        for predictor, name in sorted(undeclared)
    )


class Recorder(BaseCallback):
    """Passes calls on to the recording of the current execution, if there is one."""

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Record the start of a predictor's call."""
        recording = _recording()
        if recording is not None and recording.home is None:
            recording.home = _strand()
        if recording is not None and isinstance(instance, dspy.Predict):
            recording.start(call_id, instance, inputs.get("kwargs", inputs))
            recording.paused[call_id] = pause()

    def on_module_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        """Record the end of a predictor's call."""
        recording = _recording()
        if recording is not None:
            recording.end(call_id, outputs, exception)
            _resume(recording, call_id)

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Record what a tool was asked."""
        recording = _recording()
        if recording is not None:
            recording.asides[call_id] = Aside(instance.name, asked_tool(inputs.get("kwargs", inputs)))
            recording.paused[call_id] = pause()

    def on_tool_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        """Record what a tool answered."""
        self._answered(call_id, outputs, exception)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Record what a language model was asked outside of any predictor."""
        recording = _recording()
        callers = dspy.settings.caller_modules or [None]
        if recording is not None and not isinstance(callers[-1], dspy.Predict):
            recording.asides[call_id] = Aside("lm", asked_lm(inputs.get("prompt"), inputs.get("messages")))
            recording.paused[call_id] = pause()

    def on_lm_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        """Record what it answered."""
        self._answered(call_id, outputs, exception)

    def on_interpreter_execute_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Record which code an interpreter was given."""
        recording = _recording()
        if recording is not None:
            recording.asides[call_id] = Aside("interpreter", asked_interpreter(**inputs))
            recording.paused[call_id] = pause()

    def on_interpreter_execute_end(
        self, call_id: str, outputs: Any | None, exception: BaseException | None = None
    ) -> None:
        """Record what it answered."""
        self._answered(call_id, outputs, exception)

    def _answered(self, call_id: str, outputs: Any, exception: BaseException | None) -> None:
        recording = _recording()
        if recording is not None and call_id in recording.asides:
            asked = recording.asides[call_id]
            recording.asides[call_id] = replace(asked, answer=snapshot(outputs), raised=exception)
            _resume(recording, call_id)


def _recording() -> Recording | None:
    return dspy.settings.get("semantic_recording")


def _resume(recording: Recording, call_id: str) -> None:
    token = recording.paused.pop(call_id, None)
    if token is not None:
        resume(token)


def asked_lm(prompt: Any, messages: Any) -> str:
    """A request outside of any predictor as the text by which it is found again."""
    return str(messages if messages is not None else prompt)


def asked_tool(arguments: Mapping[str, Any]) -> str:
    """A tool's arguments as the text by which its answer is found again."""
    # DSPy turns 2 into 2.0 for a tool that declares a float.
    plain = {name: float(value) if type(value) is int else value for name, value in arguments.items()}
    return str(sorted(plain.items()))


def asked_interpreter(code: str, variables: Mapping[str, Any] | None = None, **options: Any) -> str:
    """A request to run code as the text by which its answer is found again."""
    return f"{code}\n{sorted((variables or {}).items(), key=str)}"


_RECORDER = Recorder()


async def capture(
    program: dspy.Module, inputs: Mapping[str, Any], *, names: Names, limiter: anyio.CapacityLimiter
) -> tuple[Any, BaseException | None, Trace]:
    """Run a program on one example's inputs and record it.

    Args:
        program: The program; called as its user would, in a worker thread, or awaited where it has
            only an `aforward`.
        inputs: Its keyword arguments.
        names: The names of its predictors.
        limiter: Bounds how many synchronous programs run at once.

    Returns:
        What the program returned (None where it raised), what it raised (None where it returned), and
        the trace. Only `Exception` is caught.
    """
    recording = Recording(names)
    given, uncopied = kept(inputs)
    outside = contextvars.Context().run(lambda: dspy.settings.trace)
    before = len(outside or ())
    callbacks = [*(dspy.settings.callbacks or []), _RECORDER]
    returned, error = None, None
    try:
        with dspy.context(semantic_recording=recording, callbacks=callbacks, trace=[]), watched(recording.effects):
            if asynchronous_only(program):
                async with limiter:
                    returned = await program.acall(**inputs)
            else:
                call = functools.partial(program, **inputs)
                returned = await anyio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)
    except asyncio.CancelledError:
        raise
    except Exception as raised:  # noqa: BLE001 - a program may raise anything; the caller classifies it
        error = raised
    trace = recording.finish(inputs, returned, error, given)
    unseen = _unseen_warning(names, outside, before)
    blocked = (*uncopied, *("predictors were called in threads that nothing can follow" for _ in unseen[:1]))
    return returned, error, replace(trace, warnings=(*trace.warnings, *unseen), blocked=blocked)


def _unseen_warning(names: Names, outside: Any, before: int) -> tuple[str, ...]:
    # A thread without a copied context leaves its calls in the trace that DSPy keeps for the whole process.
    unseen = sorted({names.of(entry[0]) for entry in list(outside or ())[before:]} - {UNNAMED})
    return tuple(
        f"{name} was called in a thread without DSPy's context, which nothing can follow: the call is missing here; "
        "use dspy.Parallel, or submit contextvars.copy_context().run"
        for name in unseen
    )


def runner(program: dspy.Module) -> Any:
    """The function that a call of a program ends in: its `forward`, or `aforward` where it has no other.

    Returns:
        The function as defined, `self` included; None where the program has neither.
    """
    # Reading the attribute of an instance makes DSPy warn of a direct call.
    for name in ("forward", "aforward"):
        function = vars(program).get(name) or getattr(type(program), name, None)
        if function is not None:
            return function
    return None


def asynchronous_only(program: dspy.Module) -> bool:
    """Whether a program can be awaited and not called: it has an `aforward` and no `forward`."""
    return getattr(runner(program), "__name__", "") == "aforward"
