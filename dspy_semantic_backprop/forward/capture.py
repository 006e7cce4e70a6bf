"""Run a program on one example and record every predictor call, without touching the program.

The recorder is a DSPy callback that finds the record of the current execution in DSPy's context, so
that executions in other threads and tasks, and other uses of DSPy, never mix. No method is patched. It takes
part in DSPy's dispatch only where there is something to record; calls that no callback reports are taken from
DSPy's own trace.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.to_thread
import dspy
from dspy.utils.callback import BaseCallback

from .callbacks import Callbacks, Need
from .effects import pause, resume, watched
from .names import UNNAMED, Names
from .order import name_calls
from .reads import ReadStore
from .trace import OUTPUT, Aside, Call, Trace
from .usage import CURRENT, CallUsage
from .values import declaration, describe, output_fields, snapshot

_LOGGER = logging.getLogger(__name__)
_PRIVILEGED = frozenset({"signature", "demos", "config", "lm", "new_signature", "_trace"})


@dataclass
class Recording:
    """The record of one execution while it grows. Thread-safe."""

    names: Names
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    live: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    asides: dict[str, Aside] = field(default_factory=dict)
    effects: list[str] = field(default_factory=lambda: _Outside())
    paused: dict[str, Any] = field(default_factory=dict)
    reads: list[tuple[int, str, str]] = field(default_factory=list)
    watched: list[Any] = field(default_factory=list)
    home: str | None = None
    clock: int = 0
    since: dict[str, float] = field(default_factory=dict)
    usage: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __deepcopy__(self, memo: dict[int, Any]) -> Recording:
        return self

    def start(self, key: str, predictor: Any, kwargs: Mapping[str, Any]) -> None:
        """Record that a predictor was called with these arguments."""
        signature = kwargs.get("signature") or predictor.signature
        signature = signature if isinstance(signature, type) else predictor.signature
        inputs = {name: value for name, value in kwargs.items() if name not in _PRIVILEGED}
        call = {
            **declaration(signature),
            "id": key,
            "index": 0,
            "predictor": self.names.of(predictor),
            "inputs": {name: snapshot(value) for name, value in inputs.items()},
            "outputs": {},
            "concurrent": self.home is not None and _strand() != self.home,
            "demos": len(kwargs.get("demos", predictor.demos) or ()),
        }
        with self.lock:
            self.clock += 1
            call["started"] = self.clock
            self.calls[key] = call
            for name, value in inputs.items():
                self.live["inputs", key, name] = value
        self.since[key] = time.perf_counter()

    def end(self, key: str, outputs: Any, error: BaseException | None) -> None:
        """Record how a call ended."""
        now = time.perf_counter()
        call = self.calls.get(key)
        if call is None:
            return
        fields: dict[str, Any] = {}
        if isinstance(outputs, dspy.Prediction):
            fields = dict(outputs._store)
            outputs._store = ReadStore(fields, functools.partial(self._read, key))
        copies = {name: snapshot(value) for name, value in fields.items()}
        since = self.since.pop(key, None)
        with self.lock:
            self.clock += 1
            call["ended"] = self.clock
            call["outputs"] = copies
            call["seconds"] = now - since if since is not None else None
            for name, value in fields.items():
                self.live["outputs", key, name] = value
            if isinstance(outputs, dspy.Prediction):
                self.watched.append(outputs)
            if error is not None:
                call["error"] = describe(error)
                self.live["outputs", key, ""] = error

    def unreported(self, predictor: Any, kwargs: Mapping[str, Any], outputs: Any) -> None:
        """Record a call that no callback reported, once it has ended: the program put other callbacks in place.

        Args:
            predictor: The predictor.
            kwargs: Its inputs, as they are by now.
            outputs: What it answered.
        """
        under_way = CURRENT.get()
        if under_way is not None and under_way[1] is predictor:
            return
        key = f"unreported {len(self.calls)} {id(outputs)}"
        completions = getattr(outputs, "completions", None)
        self.start(key, predictor, {**kwargs, "signature": getattr(completions, "signature", None)})
        del self.since[key]
        self.end(key, outputs, None)

    def _read(self, key: str, name: str) -> None:
        self.reads.append((self.clock, key, name))

    def finish(self, inputs: Mapping[str, Any], returned: Any, error: BaseException | None) -> Trace:
        """Close the record: what the program was given, returned and raised."""
        reads = list(self.reads)
        for prediction in self.watched:
            if isinstance(prediction._store, ReadStore):
                prediction._store = prediction._store.plain()
        with self.lock:
            calls = {key: Call(**call, usage=self.usage.get(key, {})) for key, call in self.calls.items()}
            live = dict(self.live)
        named = name_calls(list(calls.values()), [*inputs.values(), *self.names.constants])
        output = output_fields(returned)
        live = {(side, named[key].id, name): value for (side, key, name), value in live.items()}
        return Trace(
            inputs={name: snapshot(value) for name, value in inputs.items()},
            calls=tuple(named.values()),
            output={name: snapshot(value) for name, value in output.items()},
            error=describe(error) if error is not None else None,
            warnings=_unnamed_warning(tuple(named.values())),
            predictors=self.names.all,
            constants=tuple(self.names.constants),
            asides=tuple(self.asides.values()),
            reads=tuple((at, named[key].id, name) for at, key, name in reads if name in named[key].outputs),
            effects=tuple(dict.fromkeys(self.effects)),
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


class Recorder(BaseCallback):
    """Passes calls on to the recording of the current execution, if there is one."""

    def need(self, instance: Any) -> Need:
        """What `on_module_start` and the others would record of a dispatch for this instance."""
        recording = _recording()
        if recording is None:
            return "none"
        if recording.home is None:
            return "all"
        if isinstance(instance, dspy.Predict):
            return "call"
        if isinstance(instance, (dspy.Module, dspy.Adapter)):
            return "none"
        return "none" if isinstance(instance, dspy.BaseLM) and _within_predictor() else "all"

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Record the start of a predictor's call, or what a retriever was asked."""
        recording = _recording()
        if recording is None:
            return
        if recording.home is None:
            recording.home = _strand()
        if isinstance(instance, dspy.Predict):
            recording.start(call_id, instance, inputs.get("kwargs", inputs))
            recording.paused[call_id] = pause(), CURRENT.set((call_id, instance))
        elif isinstance(instance, dspy.Retrieve):
            recording.asides[call_id] = Aside(retriever(type(instance)), asked_retriever(instance, inputs))
            recording.paused[call_id] = pause(), None

    def on_module_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        """Record the end of a predictor's call, or what a retriever answered."""
        recording = _recording()
        if recording is None:
            return
        if call_id in recording.calls:
            recording.end(call_id, outputs, exception)
            _resume(recording, call_id)
        elif call_id in recording.asides:
            self._answered(call_id, outputs, exception)

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Record what a tool was asked."""
        recording = _recording()
        if recording is not None:
            recording.asides[call_id] = Aside(instance.name, asked_tool(inputs.get("kwargs", inputs)))
            recording.paused[call_id] = pause(), None

    def on_tool_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        """Record what a tool answered."""
        self._answered(call_id, outputs, exception)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Record what a language model was asked outside of any predictor."""
        recording = _recording()
        if recording is not None and not _within_predictor():
            recording.asides[call_id] = Aside("lm", asked_lm(inputs.get("prompt"), inputs.get("messages")))
            recording.paused[call_id] = pause(), None

    def on_lm_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
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
    watching, under_way = recording.paused.pop(call_id, (None, None))
    if watching is not None:
        resume(watching)
    if under_way is not None:
        try:
            CURRENT.reset(under_way)
        except ValueError:  # it ended in another context than it started in
            CURRENT.set(None)


class _Outside(list[str]):
    """Effects of the program's own: what a predictor's call does is recorded, whoever reports the call."""

    def append(self, words: str) -> None:
        if not _within_predictor():
            super().append(words)


def _within_predictor() -> bool:
    callers = dspy.settings.caller_modules
    return bool(callers) and isinstance(callers[-1], dspy.Predict)


def asked_lm(prompt: Any, messages: Any) -> str:
    """A request outside of any predictor as the text by which it is found again."""
    return str(messages if messages is not None else prompt)


def asked_tool(arguments: Mapping[str, Any]) -> str:
    """A tool's arguments as the text by which its answer is found again."""
    # DSPy turns 2 into 2.0 for a tool that declares a float.
    plain = {name: float(value) if type(value) is int else value for name, value in arguments.items()}
    return str(sorted(plain.items()))


def retriever(kind: type) -> str:
    """The name under which the answers of a class of retrievers are found again."""
    return f"retriever {kind.__name__}"


def asked_retriever(instance: Any, inputs: Mapping[str, Any]) -> str:
    """A retriever's arguments as the text by which its answer is found again."""
    arguments = {"k": getattr(instance, "k", None), **inputs.get("kwargs", {})}
    if arguments["k"] is None:
        arguments["k"] = getattr(instance, "k", None)
    given = [*inputs.get("args", ()), *(arguments.pop(name) for name in ("query",) if name in arguments)]
    return str([*given, *sorted(arguments.items())])


class Entries(list[Any]):
    """DSPy's own trace of an execution, which tells the recording of every entry.

    Why: `dspy.streamify` and a program's own `dspy.context(callbacks=...)` put other callbacks in place of the
    recorder, and `predictor.forward` knows none; but all of them leave an entry here.

    Args:
        recording: The recording.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording

    def append(self, entry: Any) -> None:
        """Add an entry: predictor, inputs, prediction."""
        super().append(entry)
        try:
            self._recording.unreported(*entry)
        except Exception as error:  # noqa: BLE001 - recording must not fail the program
            _LOGGER.warning("recording a call failed: %s", error)

    def __reduce__(self) -> Any:
        return list, (list(self),)


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
    outside = contextvars.Context().run(lambda: dspy.settings.trace)
    before = len(outside or ())
    callbacks = Callbacks(dspy.settings.callbacks or [], _RECORDER, _RECORDER.need)
    usage = CallUsage(dspy.settings.usage_tracker, keep=bool(dspy.settings.track_usage))
    recording.usage = usage.tokens
    overrides: dict[str, Any] = {"semantic_recording": recording, "callbacks": callbacks, "usage_tracker": usage}
    returned, error = None, None
    try:
        with dspy.context(**overrides, trace=Entries(recording)), watched(recording.effects):
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
    if usage.keep and isinstance(returned, dspy.Prediction):
        # DSPy does this at the end of the outermost module, unless somebody tracks usage already.
        returned.set_lm_usage(usage.get_total_tokens())
    trace = recording.finish(inputs, returned, error)
    return returned, error, replace(trace, warnings=(*trace.warnings, *_unseen_warning(names, outside, before)))


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
