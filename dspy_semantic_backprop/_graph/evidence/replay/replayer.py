"""A program, prepared for replays in a process of its own: what costs or lasts answers from the record, wherever it is.

The process is sealed and nobody else's, so classes are changed in place: language models, tools and interpreters that
stand in globals and closures are met as well as attributes. DSPy's callbacks are asked for where a replay needs them
and nowhere else, since a dispatch takes longer than the rest of a replayed call.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback
from pydantic_core import PydanticUndefined

from ...._errors import Stop
from ...._values.copies import own_copies, snapshot
from ...record.names import Names
from ...record.reads import ReadStore, watch_reads
from ...record.recorder import (
    asked_lm,
    asked_retriever,
    asked_tool,
    asynchronous_only,
    retriever,
)
from ...record.snapshots import output_fields
from ...record.threads import threads_followed
from ...trace import Trace
from .chance import SystemBytes, repeat
from .clock import Clock
from .interpreters import ReplayInterpreter, answering, compare_where_checked, comparing, comparing_factory
from .process import with_subclasses
from .replay import ANSWERED, Change, Diverged, Observed, Plan, Replay, ReplayAdapter, current_replay, tools_in

PROCESSOR_SECONDS = 5.0
"""The longest that one replay may compute, in seconds of processor time: a changed answer may make a loop endless."""
ENDLESS = f"more than {PROCESSOR_SECONDS:g} s of processor time"

_ASKED: ContextVar[Mapping[str, Any]] = ContextVar("semantic_asked")


def _model_answer(self: Any, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
    """Answer for a language model from the record, in the words of the adapter in use where a predictor asks."""
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


async def _amodel_answer(self: Any, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
    return _model_answer(self, prompt, messages=messages)


class _ReplayRM:
    """Answers `dspy.Retrieve` from the record, wherever one was made."""

    def __call__(self, query: str, k: int | None = None, **kwargs: Any) -> list[Any]:
        asked = asked_retriever(None, {"args": (query,), "kwargs": {"k": k, **kwargs}})
        answer = current_replay().aside(retriever(dspy.Retrieve), asked)
        return [dspy.Prediction(long_text=text) for text in getattr(answer, "passages", [str(answer)])]


class _Answers(list[Any]):
    """DSPy's own trace of a replay: every answered call leaves an entry here."""

    def append(self, entry: Any) -> None:
        super().append(entry)
        _watch(entry[2])


class _ReplayGuard(BaseCallback):
    """Notes which outputs a replayed program reads, and what a predictor was asked."""

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
    """A program, ready to be replayed in this process, which is sealed; the program is changed for good.

    `state` is that of the random numbers when the run began; `copied` says whether each replay has a copy of the
    program; `ran` holds what came of code in unchanged replays.
    """

    def __init__(
        self, program: Any, inputs: Mapping[str, Any], trace: Trace, state: tuple[Any, Any], *, copied: bool = False
    ) -> None:
        self.program = program
        self.copied = copied
        self.inputs = inputs
        self.trace = trace
        self._state = state
        self._system, self._clock = SystemBytes(), Clock()
        self._names = Names(program)
        self.ran: dict[str, Any] = {}
        recorded = {aside.name for aside in trace.asides}
        self._settings: dict[str, Any] = {
            "semantic_recording": None,
            "adapter": ReplayAdapter(),
            "lm": dspy.settings.lm or dspy.BaseLM("replay", temperature=0.0, max_tokens=1000, cache=False),
            "send_stream": None,
            "usage_tracker": None,
            "interpreter_factory": self._interpreters(dspy.settings.get("interpreter_factory")),
        }
        if retriever(dspy.Retrieve) in recorded:
            self._settings["rm"] = _ReplayRM()
        _ask_at_once()
        _search_at_once()
        _make_signatures_once()
        _answer_for_models()
        _answer_for_tools(_run_by_interpreters(program), {aside.name for aside in trace.asides if aside.calls})
        for _, module in program.named_sub_modules():
            _answer_for_parts(module, recorded)
            self._answer_for_interpreters(module)
        if "interpreter" not in recorded:
            compare_where_checked(self.ran)

    def _interpreters(self, factory: Any) -> Any:
        """What makes interpreters in place of a factory; None and DSPy's own stand for the one that is configured."""
        if any(aside.name == "interpreter" for aside in self.trace.asides):
            return ReplayInterpreter
        return factory if factory in (None, dspy.PythonInterpreter) else comparing_factory(factory, self.ran)

    def _answer_for_interpreters(self, module: Any) -> None:
        if hasattr(module, "_interpreter_factory"):
            vars(module)["_interpreter_factory"] = self._interpreters(module._interpreter_factory)
        for value in _parts(vars(module).values()):
            # A protocol looks at all classes that it has not met: only at what may be meant.
            if (
                hasattr(type(value), "execute")
                and isinstance(value, dspy.CodeInterpreter)
                and not isinstance(value, type)
            ):
                recorded = self._interpreters(None) is ReplayInterpreter
                answering(value) if recorded else comparing(value, self.ran)

    def replay(
        self,
        changes: Sequence[Change] = (),
        *,
        plan: Plan | None = None,
        watch: bool = False,
        luck: int = 0,
        later: bool = False,
    ) -> Observed:
        """Run the program once more, answering from the record; tells what happened also where it stopped half-way."""
        repeat(self._state)
        self._system.start(luck)
        self._clock.start(later)
        parts: dict[int, Any] = {}
        program = copy.deepcopy(self.program, parts) if self.copied else self.program
        one = Replay(self.trace, self._names.of_copy(parts) if self.copied else self._names, changes, plan)
        settings = {
            **self._settings,
            "semantic_replay": one,
            "callbacks": [_ReplayGuard()] if watch else _Guards([_ReplayGuard()]),
            "trace": _Answers() if watch else [],
        }
        # Threads that the program starts without DSPy's context find the settings of the whole process.
        sys.modules["dspy.dsp.utils.settings"].main_thread_config.update(settings)
        try:
            with dspy.context(**settings), threads_followed({}), _interrupted():
                returned = _called(program, own_copies(self.inputs)[0])
            one.observed.output = {name: snapshot(value) for name, value in output_fields(returned).items()}
            one.observed.finished = True
        except (Exception, Stop, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever a changed value makes a program raise
            one.observed.problem = f"{type(error).__name__}: {error}"
        one.observed.drawn = self._system.drawn + self._clock.looked
        self.ran.update(one.observed.ran)
        return one.observed


def _called(program: Any, inputs: Mapping[str, Any]) -> Any:
    return asyncio.run(_awaited(program, inputs)) if asynchronous_only(program) else program(**inputs)


async def _awaited(program: Any, inputs: Mapping[str, Any]) -> Any:
    with threads_followed({}):
        return await program.acall(**inputs)


@contextmanager
def _interrupted() -> Iterator[None]:
    """End what computes for too long."""

    def end(number: int, frame: Any) -> None:
        raise Diverged(ENDLESS)

    signal.signal(signal.SIGVTALRM, end)
    # Again and again: a program may catch whatever it is told.
    signal.setitimer(signal.ITIMER_VIRTUAL, PROCESSOR_SECONDS, PROCESSOR_SECONDS / 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def copies(value: Any) -> bool:
    """Whether something can be copied."""
    try:
        copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - copying is the user's own code
        return False
    return True


def _ask_at_once() -> None:
    """Let predictors ask the adapter without what DSPy checks in each call, which takes half of a replay's time.

    Nor does DSPy make decisions (`Noul`) of what it is answered: the record holds them as they were made.
    """
    forward, aforward = dspy.Predict.forward, dspy.Predict.aforward

    @functools.wraps(forward)
    def asking(self: Any, **given: Any) -> Any:
        asked = _asked(self, given)
        if asked is None:
            return forward(self, **given)
        rows = _replaying()(**asked)
        return self._forward_postprocess(rows, asked["signature"], **asked["inputs"])

    @functools.wraps(aforward)
    async def awaiting(self: Any, **given: Any) -> Any:
        asked = _asked(self, given)
        if asked is None:
            return await aforward(self, **given)
        rows = await _replaying().acall(**asked)
        return self._forward_postprocess(rows, asked["signature"], **asked["inputs"])

    dspy.Predict.forward, dspy.Predict.aforward = asking, awaiting


def _replaying() -> Any:
    """The adapter that answers from the record; None where an adapter of the user's own must be asked.

    One of DSPy's, which a program puts in place for some calls, makes nothing of an answer that is not recorded.
    """
    adapter: Any = dspy.settings.adapter
    if isinstance(adapter, ReplayAdapter):
        return adapter
    return ReplayAdapter() if type(adapter).__module__.startswith("dspy.adapters.") else None


def _search_at_once() -> None:
    """Let DSPy's own search by embeddings answer without the thread that gathers its queries."""
    with suppress(KeyError, AttributeError):  # nothing of DSPy that searches is loaded
        gathering = sys.modules["dspy.utils.unbatchify"].Unbatchify
        gathering.__call__ = lambda self, one: self.batch_fn([one])[0]


def _make_signatures_once() -> None:
    """Let what is made of the same words be the same signature.

    ReAct makes one for every call, anew in every replay, which takes longer than all the rest of that replay.
    """
    module: Any = sys.modules[dspy.make_signature.__module__]
    make = module.make_signature
    once = functools.cache(make)

    def made(signature: Any, *args: Any, custom_types: Any = None, **given: Any) -> Any:
        # With types or texts of its own it may be another one each time.
        if isinstance(signature, str) and custom_types is None and not (args or given):
            return once(signature)
        return make(signature, *args, custom_types=custom_types, **given)

    module.make_signature = made


def _asked(predictor: Any, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a predictor asks the adapter that answers from the record; None where DSPy itself must say so."""
    settings: Any = dspy.settings
    signature: Any = dspy.ensure_signature(given.get("signature", predictor.signature))
    if _replaying() is None or "prediction" in given or settings.send_stream:
        return None
    return {
        "lm": given.get("lm", predictor.lm) or settings.lm,
        "lm_kwargs": {**predictor.config, **given.get("config", {})},
        "signature": signature,
        "demos": given.get("demos", predictor.demos),
        "inputs": {**_defaults(signature), **{name: one for name, one in given.items() if name not in _PRIVILEGED}},
    }


@functools.lru_cache(maxsize=1024)
def _defaults(signature: Any) -> Mapping[str, Any]:
    """The inputs that a signature fills in."""
    return {
        name: info.default for name, info in signature.input_fields.items() if info.default is not PydanticUndefined
    }


_PRIVILEGED = frozenset({"signature", "demos", "config", "lm"})


def _answer_for_models() -> None:
    # A class without DSPy's callbacks keeps its own call: the record knows nothing of what it answered.
    setattr(dspy.BaseLM, "__deepcopy__", lambda self, memo: self)  # noqa: B010 - a type checker's rule
    for kind in set(with_subclasses(dspy.BaseLM)):
        for name, answer in (("__call__", _model_answer), ("acall", _amodel_answer)):
            if hasattr(vars(kind).get(name), "__wrapped__"):
                setattr(kind, name, answer)


def _answer_for_tools(kept: set[int], calling: set[str]) -> None:
    """Let tools answer from the record, but for those that interpreters read and those that call predictors."""
    call, acall = dspy.Tool.__call__, dspy.Tool.acall

    def prepared(tool: Any, arguments: Mapping[str, Any]) -> Any:
        if id(tool) in kept or tool.name in calling:
            return tool
        # Not the tool itself: a program may hand its tools to a predictor, as inputs that must not move.
        asked = asked_tool(arguments)
        return tool.model_copy(update={"func": lambda **_: current_replay().aside(str(tool.name), asked)})

    @functools.wraps(call)
    def answer(self: Any, **arguments: Any) -> Any:
        return call(prepared(self, arguments), **arguments)

    @functools.wraps(acall)
    async def aanswer(self: Any, **arguments: Any) -> Any:
        return await acall(prepared(self, arguments), **arguments)

    dspy.Tool.__call__, dspy.Tool.acall = answer, aanswer


def _answer_for_parts(module: Any, recorded: set[str]) -> None:
    """Let the retrievers of a module answer from the record, and no callback hear of it."""
    if isinstance(module, dspy.Retrieve) and retriever(type(module)) in recorded - {retriever(dspy.Retrieve)}:
        module.forward = functools.partial(_retriever_answer, module)
    if getattr(module, "callbacks", None):
        module.callbacks = []


def _parts(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        yield from (
            value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else (value,)
        )


def _run_by_interpreters(program: Any) -> set[int]:
    """The tools that only an interpreter calls, which reads their source: they stay what they are."""
    modules = [module for _, module in program.named_sub_modules() if hasattr(module, "_interpreter_factory")]
    return {id(tool) for module in modules for value in vars(module).values() for tool in tools_in(value)}


def _retriever_answer(instance: Any, *args: Any, **kwargs: Any) -> Any:
    return current_replay().aside(
        retriever(type(instance)), asked_retriever(instance, {"args": args, "kwargs": kwargs})
    )
