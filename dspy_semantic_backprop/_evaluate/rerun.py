"""Run a program again with some answers changed, asking a language model only what the change made new.

What the record can answer is answered from it: every call up to the change, and every later call that is given what it
was given in the record. The others, and calls that the record does not have, are asked live. Why a call's inputs decide
and not the graph: see docs/design/decisions.md.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import anyio
import dspy
from dspy.utils.callback import BaseCallback

from .._concurrency import in_thread
from .._errors import CapReached, Stop
from .._graph.evidence.replay.replay import (
    Diverged,
    Replay,
    ReplayAdapter,
    current_replay,
    given,
    tools_in,
)
from .._graph.evidence.replay.replays import Probe
from .._graph.record.effects import EffectRefused, refused
from .._graph.record.names import Names
from .._graph.record.recorder import asked_lm, asked_tool, asynchronous_only
from .._graph.record.snapshots import describe
from .._graph.record.threads import threads_followed
from .._graph.trace import Call, Trace
from .._session.budget import Purpose
from .._session.ledger import Ledger
from .._session.lm import for_purpose, install, is_provider_failure, metered
from .._values.copies import snapshot
from .._values.same import alike
from .candidate import clone

SECONDS = 600.0
"""The longest that one rerun may take: a changed answer may make a loop endless."""


@dataclass(frozen=True)
class Rerun:
    """What became of a program with some answers changed.

    Args:
        live: The calls that a language model was asked for, by start: the recorded call's id, or the
            predictor's name where the record has no such call.
        problem: Why the rerun says nothing, in words; empty where it says something.
    """

    returned: Any = None
    error: BaseException | None = None
    live: tuple[str, ...] = ()
    problem: str = ""


async def rerun(
    program: dspy.Module,
    trace: Trace,
    changes: Mapping[tuple[str, str], Any],
    *,
    ledger: Ledger,
    limiter: anyio.CapacityLimiter | None = None,
    allow_effects: bool = False,
    seconds: float = SECONDS,
) -> Rerun:
    """Run a copy of a program once more with the answers of some calls changed.

    Args:
        changes: (call id, output field) -> what the call answers instead; its other fields stay as recorded.
        ledger: Where the calls are booked, as "check"; its cap for that purpose ends the rerun.
        allow_effects: Whether the program may write files, open sockets, start processes, and call its
            tools with arguments that the record does not have.
    """
    with for_purpose(Purpose.CHECK, ledger) as here:
        session, twin = _prepared(program, trace, changes, ledger, allow_effects)
        returned, error = await _run(twin, session, allow_effects, limiter, seconds)
    problem = _problem(session, error, here.failures)
    return Rerun(None if problem else returned, None if problem else error, tuple(session.live), problem)


async def _run(
    program: Any, session: _Rerun, allow_effects: bool, limiter: anyio.CapacityLimiter | None, seconds: float
) -> tuple[Any, BaseException | None]:
    inputs = {name: snapshot(value) for name, value in session.trace.inputs.items()}
    default = dspy.settings.lm
    try:
        with (
            anyio.fail_after(seconds),
            dspy.context(
                semantic_replay=session,
                semantic_recording=None,
                adapter=_Adapter(),
                lm=_RecordedLM(default) if isinstance(default, dspy.BaseLM) else default,
                callbacks=[_OnlyRecordedLMs()],
                trace=[],
                send_stream=None,
            ),
        ):
            return await _called(program, inputs, allow_effects, limiter), None
    except (Exception, Diverged, EffectRefused, CapReached) as error:  # noqa: BLE001 - a program may raise anything
        return None, error


async def _called(
    program: Any, inputs: Mapping[str, Any], allow_effects: bool, limiter: anyio.CapacityLimiter | None
) -> Any:
    with refused(not allow_effects), threads_followed():
        if asynchronous_only(program):
            return await program.acall(**inputs)
        return await in_thread(functools.partial(program, **inputs), limiter if limiter is not None else nullcontext())


def unsafe(trace: Trace, probe: Probe) -> str:
    """Why a program must not be run again for a check; empty where it may."""
    if trace.blocked:
        return "; ".join(trace.blocked[:3])
    if trace.effects and probe != "always":
        return f"the program has side effects ({'; '.join(trace.effects[:3])}); probe='always' repeats them"
    return ""


def _problem(session: _Rerun, error: BaseException | None, failures: list[Exception]) -> str:
    unreached = sorted(session.changed_calls - session.answered)
    if isinstance(error, Stop):
        return str(error)
    if failures or (error is not None and is_provider_failure(error)):
        return f"the provider failed: {describe(failures[0] if failures else error or Exception())}"
    if isinstance(error, TimeoutError):
        return "it took too long"
    if unreached:
        return f"{unreached[0]} was not reached again"
    return ""


class _Rerun(Replay):
    """The state of one rerun: what was changed, what was asked live. Thread-safe."""

    def __init__(
        self, trace: Trace, names: Names, changes: Mapping[tuple[str, str], Any], adapter: Any, ledger: Ledger
    ) -> None:
        super().__init__(trace, names)
        self.adapter = adapter
        self.ledger = ledger
        self.replaced: dict[str, dict[str, Any]] = {}
        for (call, name), value in changes.items():
            self.replaced.setdefault(call, {})[name] = value
        self.changed_calls = frozenset(self.replaced)
        self.answered: set[str] = set()
        self.live: list[str] = []

    def recorded(self, predictor: Any, signature: Any, inputs: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """What a call answers by the record and the changes; None where it has to be asked live."""
        name = self.names.of(predictor)
        with self._lock:
            call = self._match(name, inputs)
            if call is not None:
                self.observed.inputs[call.id] = inputs
            if call is None or not (call.id in self.replaced or not self.answered or _same(call, signature, inputs)):
                self.live.append(call.id if call is not None else name)
                return None
            if call.id in self.replaced:
                self.answered.add(call.id)
        return self.completions(call, self.replaced.get(call.id, {}))

    def known(self, name: str, asked: str) -> list[Any]:
        """The answers of a tool or a raw language-model call with these very arguments, those not given yet first."""
        with self._lock:
            known = [one for one in self.trace.asides if one.name == name and one.asked == asked]
            unused = [one for one in known if any(one is left for left in self._asides)]
            if unused:
                self._asides.remove(unused[0])
            return unused or known


def _same(call: Call, signature: Any, inputs: Mapping[str, Any]) -> bool:
    # The record holds what the caller passed; DSPy has added the defaults of the fields left out since.
    extra = {name: value for name, value in inputs.items() if name not in call.inputs}
    fields = signature.input_fields
    return all(alike(value, inputs.get(name)) for name, value in call.inputs.items()) and all(
        name in fields and alike(fields[name].default, value) for name, value in extra.items()
    )


class _Adapter(ReplayAdapter):
    """Answers from the record where it can, else through the adapter that the program has otherwise."""

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        """Answer from the record, or ask."""
        session = current_replay()
        answers = session.recorded(dspy.settings.caller_modules[-1], signature, inputs)
        if answers is not None:
            return answers
        with refused(False), dspy.context(callbacks=[], adapter=session.adapter):
            return session.adapter(_live(lm, session), lm_kwargs, signature, demos, inputs)

    async def acall(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        """Answer from the record, or ask."""
        session = current_replay()
        answers = session.recorded(dspy.settings.caller_modules[-1], signature, inputs)
        if answers is not None:
            return answers
        with refused(False), dspy.context(callbacks=[], adapter=session.adapter):
            return await session.adapter.acall(_live(lm, session), lm_kwargs, signature, demos, inputs)


def _live(lm: Any, session: _Rerun) -> Any:
    return lm.inner if isinstance(lm, _RecordedLM) else metered(lm, session.ledger)


class _RecordedLM(dspy.BaseLM):
    """Stands before a language model: answers calls outside of any predictor from the record where it has them."""

    def __init__(self, inner: Any) -> None:
        super().__init__(model=inner.model, model_type=inner.model_type, cache=False)
        self.inner = inner
        self.kwargs = dict(inner.kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> _RecordedLM:
        return self

    def copy(self, **kwargs: Any) -> _RecordedLM:
        """Copy what stands behind."""
        return _RecordedLM(self.inner.copy(**kwargs))

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer from the record, or ask."""
        known = self._known(prompt, messages)
        if known:
            return given(known[0])
        with refused(False), dspy.context(callbacks=[]):
            return self.inner(prompt, messages=messages, **kwargs)

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer from the record, or ask."""
        known = self._known(prompt, messages)
        if known:
            return given(known[0])
        with refused(False), dspy.context(callbacks=[]):
            return await self.inner.acall(prompt, messages=messages, **kwargs)

    def _known(self, prompt: Any, messages: Any) -> list[Any]:
        callers = dspy.settings.caller_modules
        if callers and isinstance(callers[-1], dspy.Predict):
            raise Diverged("a predictor has an adapter of its own, which the record cannot answer")
        session = current_replay()
        known = session.known("lm", asked_lm(prompt, messages))
        if not known:
            session.live.append("lm")
        return known


class _OnlyRecordedLMs(BaseCallback):
    """Stops a rerun before it pays for a language model whose calls nobody counts."""

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if not isinstance(instance, _RecordedLM):
            raise Diverged("the program calls a language model that is no attribute of it")


def _prepared(
    original: dspy.Module,
    trace: Trace,
    changes: Mapping[tuple[str, str], Any],
    ledger: Ledger,
    allow_effects: bool,
) -> tuple[_Rerun, Any]:
    program = clone(original)
    session = _Rerun(trace, Names(program), changes, dspy.settings.adapter or dspy.ChatAdapter(), ledger)
    install(program, ledger)
    for _, module in program.named_sub_modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, dspy.BaseLM):
                setattr(module, name, _RecordedLM(value))
            for tool in tools_in(value):
                tool.func = _tool(session, tool.name, tool.func, allow_effects)
    return session, program


def _tool(session: _Rerun, name: str, function: Any, allow_effects: bool) -> Any:
    def answer(**arguments: Any) -> Any:
        known = session.known(name, asked_tool(arguments))
        if known:
            return given(known[0])
        # ReAct ends with a tool of DSPy's own, which the recorded run need not have come to.
        if allow_effects or str(getattr(function, "__module__", "")).startswith("dspy."):
            return function(**arguments)
        raise Diverged(f"the tool {name} was asked something new; probe='always' asks it")

    return answer
