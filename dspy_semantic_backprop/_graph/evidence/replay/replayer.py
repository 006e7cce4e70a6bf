"""A program with stand-ins for all that costs or lasts, copied afresh for every replay.

What can be found out once is: which parts are shared, which are made anew, what the predictors are called.
DSPy's callbacks are asked for where a replay needs them and nowhere else, since a dispatch takes longer than
the rest of a replayed call.
"""

from __future__ import annotations

import contextvars
import functools
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import anyio
import dspy
from dspy.utils.callback import BaseCallback

from ...._errors import Stop
from ...._values.copies import snapshot
from ...record.names import UNNAMED, Names
from ...record.reads import ReadStore, watch_reads
from ...record.recorder import asked_interpreter, asked_lm, asked_retriever, asked_tool, retriever
from ...record.snapshots import output_fields
from ...trace import Trace
from .isolation.replica import Copier
from .replay import (
    ANSWERED,
    SECONDS,
    Change,
    Diverged,
    Observed,
    Plan,
    Replay,
    ReplayAdapter,
    call_program,
    current_replay,
    tools_in,
)

_ASKED: ContextVar[Mapping[str, Any]] = ContextVar("semantic_asked")


class _ReplayLM(dspy.BaseLM):
    """Answers calls of a language model from the record, and never a server."""

    def __init__(self) -> None:
        super().__init__(model="replay", temperature=0.0, max_tokens=1000, cache=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> _ReplayLM:
        return self

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer from the record, in the words of the adapter in use where a predictor asks."""
        callers = dspy.settings.caller_modules
        if not callers or not isinstance(callers[-1], dspy.Predict):
            return current_replay().aside("lm", asked_lm(prompt, messages))
        adapter, asked = dspy.settings.adapter, _ASKED.get({})
        signature: Any = dspy.ensure_signature(asked.get("signature") or callers[-1].signature)
        inputs = {name: value for name, value in asked.items() if name in signature.input_fields}
        rows = current_replay().answers(callers[-1], signature, inputs, asked.get("demos", callers[-1].demos))
        try:
            return [adapter.format_assistant_message_content(signature, row) for row in rows]
        except NotImplementedError as error:
            raise Diverged(f"{type(adapter).__name__} cannot write the recorded answers") from error

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        return self(prompt, messages=messages)


class _ReplayRM:
    """Answers `dspy.Retrieve` from the record, wherever one was made."""

    def __call__(self, query: str, k: int | None = None, **kwargs: Any) -> list[Any]:
        asked = asked_retriever(None, {"args": (query,), "kwargs": {"k": k, **kwargs}})
        answer = current_replay().aside(retriever(dspy.Retrieve), asked)
        return [dspy.Prediction(long_text=text) for text in getattr(answer, "passages", [str(answer)])]


class _ReplayInterpreter:
    """Answers requests to run code from the record, and runs none."""

    def __init__(self) -> None:
        self.tools: dict[str, Any] = {}

    def start(self) -> None:
        pass

    def execute(self, code: str, variables: Mapping[str, Any] | None = None, **options: Any) -> Any:
        return current_replay().aside("interpreter", asked_interpreter(code, variables))

    def shutdown(self) -> None:
        pass


class _Answers(list[Any]):
    """DSPy's own trace of a replay: every answered call leaves an entry here."""

    def append(self, entry: Any) -> None:
        super().append(entry)
        _watch(entry[2])


class _ReplayGuard(BaseCallback):
    """Notes which outputs a replayed program reads, and stops it before it pays for a language model."""

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if not isinstance(instance, _ReplayLM):
            raise Diverged("the program calls a language model that is no attribute of it")

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if isinstance(instance, dspy.Predict):
            _ASKED.set(inputs.get("kwargs", inputs))

    def on_module_end(self, call_id: str, outputs: Any | None, exception: BaseException | None = None) -> None:
        _watch(outputs)


def _watch(outputs: Any) -> None:
    # The call answered a moment ago, here: the entry and the end of a call follow its answer.
    call = ANSWERED.get()
    if call is None or not isinstance(outputs, dspy.Prediction) or isinstance(outputs._store, ReadStore):
        return
    read = current_replay().observed.read
    watch_reads(outputs, lambda name: read.add((call, name)))
    ANSWERED.set(None)


class _Guards(list[BaseCallback]):
    """The guard, where there is something to guard: DSPy adds this list to an instance's own at every dispatch."""

    def __add__(self, others: Any) -> Any:
        instance = sys._getframe(1).f_locals.get("instance")
        foreign = isinstance(instance, dspy.Predict) and not isinstance(dspy.settings.adapter, ReplayAdapter)
        if foreign or not isinstance(instance, (dspy.Module, dspy.Tool, dspy.Adapter)):
            return super().__add__(others)
        return list(others)


class Replayer:
    """A program, ready to be replayed; replays may write files, open sockets and start processes only if allowed."""

    def __init__(self, program: Any, trace: Trace, *, allow_effects: bool = False) -> None:
        self.trace = trace
        self.allow_effects = allow_effects
        kept = _run_by_interpreters(program) | _calling(program, {aside.name for aside in trace.asides if aside.calls})
        recorded = {aside.name for aside in trace.asides}
        self._retrieval = {"rm": _ReplayRM()} if retriever(dspy.Retrieve) in recorded else {}
        template = Copier(program, stand_in=functools.partial(_stand_in, kept)).copy()[0]
        for _, module in template.named_sub_modules():
            if isinstance(module, dspy.Retrieve) and retriever(type(module)) in recorded - {retriever(dspy.Retrieve)}:
                module.forward = functools.partial(_retriever_answer, module)
            if hasattr(module, "_interpreter_factory"):
                vars(module)["_interpreter_factory"] = _ReplayInterpreter
        self._copier = Copier(template, stand_in=lambda value: value if isinstance(value, dspy.Tool) else None)
        self._names = Names(template)
        self._inputs = {
            name: Copier(value, name, functools.partial(_stand_in, set())) for name, value in trace.inputs.items()
        }

    async def replay(
        self, changes: Sequence[Change] = (), *, plan: Plan | None = None, watch: bool = False
    ) -> Observed:
        """Run a copy once more, answering from the record; tells what happened also where it stopped half-way."""
        program, parts = self._copier.copy()
        one = Replay(self.trace, self._names.of_copy(parts), changes, plan)
        inputs = {name: copier.copy()[0] for name, copier in self._inputs.items()}
        callbacks = [_ReplayGuard()] if watch else _Guards([_ReplayGuard()])
        outside = contextvars.Context().run(lambda: dspy.settings.trace)
        before = len(outside or ())
        try:
            with (
                anyio.fail_after(SECONDS),
                dspy.context(
                    semantic_replay=one,
                    semantic_recording=None,
                    adapter=ReplayAdapter(),
                    lm=_ReplayLM(),
                    callbacks=callbacks,
                    trace=_Answers() if watch else [],
                    send_stream=None,
                    interpreter_factory=_ReplayInterpreter,
                    **self._retrieval,
                ),
            ):
                returned = await call_program(program, inputs, self.allow_effects)
            one.observed.output = {name: snapshot(value) for name, value in output_fields(returned).items()}
            one.observed.finished = True
        except (Exception, Stop) as error:  # noqa: BLE001 - whatever a changed value makes a program raise
            one.observed.problem = f"{type(error).__name__}: {error}"
        if any(one.names.of(entry[0]) != UNNAMED for entry in list(outside or ())[before:]):
            raise Diverged("a replay called a predictor in a thread that nothing can follow")
        return one.observed


def _stand_in(kept: set[int], value: Any) -> Any:
    if isinstance(value, dspy.BaseLM):
        return _ReplayLM()
    if isinstance(value, dspy.CodeInterpreter) and not isinstance(value, type):
        return _ReplayInterpreter()
    if isinstance(value, dspy.Tool) and id(value) not in kept:
        tool = value.model_copy()
        tool.func = functools.partial(_tool_answer, str(tool.name))
        return tool
    return None


def _run_by_interpreters(program: Any) -> set[int]:
    """The tools that only an interpreter calls, which reads their source: they stay what they are."""
    modules = [module for _, module in program.named_sub_modules() if hasattr(module, "_interpreter_factory")]
    return {id(tool) for module in modules for value in vars(module).values() for tool in tools_in(value)}


def _calling(program: Any, names: set[str]) -> set[int]:
    """The tools that call predictors: they are run, and what they call answers from the record."""
    held = (value for _, module in program.named_sub_modules() for value in vars(module).values())
    return {id(tool) for value in held for tool in tools_in(value) if tool.name in names}


def _tool_answer(name: str, **arguments: Any) -> Any:
    return current_replay().aside(name, asked_tool(arguments))


def _retriever_answer(instance: Any, *args: Any, **kwargs: Any) -> Any:
    return current_replay().aside(
        retriever(type(instance)), asked_retriever(instance, {"args": args, "kwargs": kwargs})
    )
