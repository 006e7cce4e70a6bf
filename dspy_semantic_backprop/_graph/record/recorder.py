"""Runs a program on one example and records every predictor call, without touching the program.

DSPy's callback fills the record of the execution that it finds in DSPy's context. Executions in other threads and
tasks, and other uses of DSPy, never mix. No method is patched. Calls that no callback reports are taken from
DSPy's own trace.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback

from ..._concurrency import Limiter, in_thread
from ..._secrets.errors import learn_from
from ..._terminal import logger
from ..._values.copies import own_copies, snapshot
from ..._values.same import digest
from ..trace import Aside, Trace
from .effects import pause, resume, watched
from .names import Names, is_unnamed
from .recording import CURRENT, TOOL, CallUsage, Hook, Recording, strand, within_predictor
from .threads import threads_followed


class _Recorder(BaseCallback):
    """Passes calls on to the recording of the current execution, if there is one."""

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        recording = _recording()
        if recording is None:
            return
        if recording.home is None:
            recording.home = strand()
        if isinstance(instance, dspy.Predict):
            recording.start(call_id, instance, inputs.get("kwargs", inputs))
            recording.paused[call_id] = pause(), CURRENT.set((call_id, instance))
        elif isinstance(instance, dspy.Retrieve):
            recording.asides[call_id] = Aside(retriever(type(instance)), asked_retriever(instance, inputs))
            recording.paused[call_id] = pause(), None

    def on_module_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        recording = _recording()
        if recording is None:
            return
        if call_id in recording.calls:
            recording.end(call_id, outputs, exception)
            _resume(recording, call_id)
        elif call_id in recording.asides:
            self._answered(call_id, outputs, exception)

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        recording = _recording()
        if recording is not None:
            recording.asides[call_id] = Aside(instance.name, asked_tool(inputs.get("kwargs", inputs)))
            recording.paused[call_id] = pause(), None
            TOOL.set((*TOOL.get(), call_id))

    def on_tool_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        TOOL.set(tuple(one for one in TOOL.get() if one != call_id))
        if exception is not None:  # ReAct shows its traceback to the next call
            learn_from(exception)
        self._answered(call_id, outputs, exception)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        recording = _recording()
        if recording is None:
            return
        if recording.hook is not None:
            recording.hook.lm_begins(instance, call_id)
        recording.asks(instance, inputs.get("messages") or inputs.get("prompt"))
        if not within_predictor():
            recording.asides[call_id] = Aside("lm", asked_lm(inputs.get("prompt"), inputs.get("messages")))
            recording.paused[call_id] = pause(), None

    def on_lm_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        recording = _recording()
        if recording is not None and recording.hook is not None:
            recording.hook.lm_ends(call_id)
        self._answered(call_id, outputs, exception)

    def on_interpreter_execute_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        recording = _recording()
        if recording is not None:
            recording.asides[call_id] = Aside("interpreter", asked_interpreter(**inputs))
            recording.paused[call_id] = pause(), None

    def on_interpreter_execute_end(
        self, call_id: str, outputs: Any | None, exception: BaseException | None = None
    ) -> None:
        self._answered(call_id, outputs, exception)

    def _answered(self, call_id: str, outputs: Any, exception: BaseException | None) -> None:
        recording = _recording()
        if recording is not None and call_id in recording.asides:
            asked = recording.asides[call_id]
            calls = call_id in recording.callers
            recording.asides[call_id] = replace(asked, answer=snapshot(outputs), raised=exception, calls=calls)
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


def asked_lm(prompt: Any, messages: Any) -> str:
    """A key of a request outside of any predictor, by which it is found again."""
    return digest(messages if messages is not None else prompt)


def asked_tool(arguments: Mapping[str, Any]) -> str:
    """A key of a tool's arguments, by which its answer is found again."""
    return digest(_in_floats(dict(arguments)))


def _in_floats(value: Any) -> Any:
    # DSPy turns 2 into 2.0 for a tool that declares a float, and for one that declares a list of them.
    if isinstance(value, dict):
        return {name: _in_floats(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_in_floats(item) for item in value]
    return float(value) if type(value) is int and abs(value) < _EXACT else value


_EXACT = 2**53


def asked_interpreter(code: str, variables: Mapping[str, Any] | None = None, **options: Any) -> str:
    """A key of a request to run code, by which its answer is found again."""
    return digest([code, dict(variables or {})])


def retriever(kind: type) -> str:
    """The name under which the answers of a class of retrievers are found again."""
    return f"retriever {kind.__name__}"


def asked_retriever(instance: Any, inputs: Mapping[str, Any]) -> str:
    """A key of a retriever's arguments, by which its answer is found again."""
    arguments = dict(inputs.get("kwargs", {}))
    if arguments.get("k") is None:
        arguments["k"] = getattr(instance, "k", None)
    given = [*inputs.get("args", ()), *([arguments.pop("query")] if "query" in arguments else [])]
    return digest([given, arguments])


class _Callbacks(list[BaseCallback]):
    """The user's callbacks and the recorder, which is left out where it has nothing to record.

    DSPy dispatches around every module and every `format` and `parse` of an adapter as soon as any callback is
    installed, and binds the arguments by inspection each time: 5 % of the time that a call takes through a real client
    and a server without latency, and deep in a recursion a `TypeError` in place of the program's own error. It adds
    this list to the instance's own at each dispatch, and a list may answer that. Whatever DSPy does with the list in
    another version ends in the ordinary dispatch, with the same record.
    """

    def __init__(self, users: Iterable[BaseCallback], recorder: BaseCallback) -> None:
        super().__init__([*(one for one in users if one is not recorder), recorder])
        self._recorder = recorder

    def __add__(self, others: Any) -> Any:
        recording = _recording()
        instance = sys._getframe(1).f_locals.get("instance")
        recorded = isinstance(instance, (dspy.Predict, dspy.Retrieve)) or recording is None or recording.home is None
        if recorded or not isinstance(instance, (dspy.Module, dspy.Adapter)):
            return super().__add__(others)
        return [one for one in self if one is not self._recorder] + others


class _Entries(list[Any]):
    """DSPy's own trace of an execution, which tells the recording of every entry.

    Why: `dspy.streamify` and a program's own `dspy.context(callbacks=...)` put other callbacks in place of the
    recorder, and `predictor.forward` knows none; but all of them leave an entry here.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording

    def append(self, entry: Any) -> None:
        super().append(entry)
        try:
            self._recording.unreported(*entry)
        except Exception as error:  # noqa: BLE001 - recording must not fail the program
            logger.warning("recording a call failed: %s", error)

    def __reduce__(self) -> Any:
        return list, (list(self),)


_RECORDER = _Recorder()


async def capture(
    program: dspy.Module,
    inputs: Mapping[str, Any],
    *,
    names: Names,
    limiter: Limiter,
    hook: Hook | None = None,
    on_told: Callable[[Mapping[str, Any]], None] = lambda call: None,
) -> tuple[Any, BaseException | None, Trace]:
    """Run a program on one example's inputs and record it.

    It is called as its user would, in a worker thread that `limiter` bounds, or awaited where it has only an
    `aforward`. Returns what it returned (None where it raised), what it raised (None where it returned; only
    `Exception` is caught), and the trace. `on_told` is called, in the call's thread, with each call whose instruction
    is seen in a prompt, as the keyword arguments of a `Call`, when the language model is about to be asked.
    """
    recording = Recording(names, hook, on_told)
    given, uncopied = own_copies(inputs)
    # The program is given another copy: what it does to it reaches neither the caller nor the record.
    inputs = own_copies(inputs)[0]
    outside = contextvars.Context().run(lambda: dspy.settings.trace)
    before = len(outside or ())
    callbacks = _Callbacks(dspy.settings.callbacks or [], _RECORDER)
    usage = CallUsage(dspy.settings.usage_tracker, keep=bool(dspy.settings.track_usage))
    recording.usage = usage.tokens
    overrides: dict[str, Any] = {"semantic_recording": recording, "callbacks": callbacks, "usage_tracker": usage}
    returned, error = None, None
    try:
        with dspy.context(**overrides, trace=_Entries(recording)), watched(recording.effects), threads_followed():
            if asynchronous_only(program):
                async with limiter:
                    returned = await program.acall(**inputs)
            else:
                call = functools.partial(program, **inputs)
                returned = await in_thread(call, limiter)
    except asyncio.CancelledError:
        raise
    except Exception as raised:  # noqa: BLE001 - a program may raise anything; the caller classifies it
        error = raised
    trace = recording.finish(inputs, returned, error, given)
    unseen = _unseen_warning(names, outside, before)
    blocked = (*uncopied, *("predictors were called in threads that nothing can follow" for _ in unseen[:1]))
    if usage.keep and isinstance(returned, dspy.Prediction):
        # DSPy does this at the end of the outermost module, unless somebody tracks usage already.
        returned.set_lm_usage(usage.get_total_tokens())
    shared = tuple(f"{words}: all executions share it" for words in uncopied)
    return returned, error, replace(trace, warnings=(*trace.warnings, *unseen), blocked=blocked, shared=shared)


def _unseen_warning(names: Names, outside: Any, before: int) -> tuple[str, ...]:
    # A thread without a copied context leaves its calls in the trace that DSPy keeps for the whole process.
    # Those of another copy of the program, such as a service answers with meanwhile, are somebody else's.
    called = {names.of(entry[0]) for entry in list(outside or ())[before:] if names.owns(entry[0])}
    unseen = sorted(name for name in called if not is_unnamed(name))
    return tuple(
        f"{name} was called in a thread without DSPy's context, which nothing can follow: the call is missing here; "
        "use dspy.Parallel, or submit contextvars.copy_context().run"
        for name in unseen
    )


def runner(program: dspy.Module) -> Any:
    """The function that a call of a program ends in, `self` included; None where there is none.

    Its `forward`, else `aforward`, else a `__call__` of its own.
    """
    called = type(program).__call__
    own = None if called is dspy.Module.__call__ else called
    return _own(program, "forward") or _own(program, "aforward") or own


def asynchronous_only(program: dspy.Module) -> bool:
    """Whether a program can be awaited and not called: it has an `aforward` and no `forward`."""
    return _own(program, "forward") is None and _own(program, "aforward") is not None


def _own(program: dspy.Module, name: str) -> Any:
    # Reading the attribute of an instance makes DSPy warn of a direct call.
    return vars(program).get(name) or getattr(type(program), name, None)
