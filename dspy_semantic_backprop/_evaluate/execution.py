"""One execution of a program on one example, in whichever process: what came of it, before it is graded."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import dspy
import tqdm

from .._concurrency import Limiter, cancel
from .._errors import ProgramError
from .._graph.evidence.code.from_code import FromCode
from .._graph.evidence.combine import suggest
from .._graph.graph import ComputationGraph
from .._graph.record.names import Names, is_unnamed
from .._graph.record.recorder import capture
from .._graph.record.snapshots import describe
from .._graph.trace import Trace
from .._secrets.errors import hide
from .._session.budget import Purpose
from .._session.lm import LMContext, OutsideCalls, for_purpose, is_provider_failure
from .reuse import ReusedAnswers

NOTICED = 0.2
"""Seconds after which work is ended whose thread met what ends the run; twice as many at most."""
R = TypeVar("R")


@dataclass(frozen=True)
class Runnable:
    """A program that is run, a copy that belongs to the run, and what is known of it; `on_told`: see `capture`."""

    program: dspy.Module
    names: Names
    code: FromCode
    ledger: Any
    on_told: Callable[[Mapping[str, Any]], None] = lambda call: None


@dataclass(frozen=True)
class ExampleRun:
    """What an execution is made for, what it may be answered without asking, and how many seconds it may take."""

    inputs: Mapping[str, Any]
    purpose: Purpose
    where: str
    memory: ReusedAnswers
    seconds: float | None


@dataclass(frozen=True)
class Executed:
    """What came of an execution; `missing` says why it says nothing of the program, and is empty where it does."""

    returned: Any = None
    raised: BaseException | None = None
    trace: Trace | None = None
    graph: ComputationGraph | None = None
    missing: str = ""
    strayed: bool = False


async def executed(runnable: Runnable, asked: ExampleRun, limiter: Limiter) -> Executed:
    """Run a program on one example; a `Stop` crosses it from whichever of its threads."""
    _first_bar()

    def name_of(module: Any) -> str:
        name = runnable.names.of(module) if isinstance(module, dspy.Predict) else ""
        return "" if is_unnamed(name) else name

    details = {"where": asked.where, "name_of": name_of, "memory": asked.memory}
    with for_purpose(asked.purpose, runnable.ledger, **details) as here:
        try:
            with anyio.fail_after(asked.seconds):
                how = {"names": runnable.names, "on_told": runnable.on_told, "hook": OutsideCalls()}
                running = capture(runnable.program, dict(asked.inputs), limiter=limiter, **how)
                returned, error, trace = await unless_stopped(here, running)
        except TimeoutError:
            here.over = True
            return Executed(missing=f"the program took longer than {asked.seconds:g} seconds (Limits.example)")
    if here.stops:
        raise here.stops[0]
    failure = error if error is not None and is_provider_failure(error) else None
    # A program may swallow the provider's failure and answer without it: that answer is not its own.
    failure = failure or next(iter(here.failures), None)
    if failure is not None:
        return Executed(missing=describe(failure))
    if error is not None:
        hide(error)  # it stays in the outcome
    return Executed(returned, error, trace, suggest(trace, runnable.code), strayed=asked.memory.strayed)


@functools.cache
def _first_bar() -> None:
    # What all bars of a process share is made with the first one, unguarded: executions whose `dspy.Parallel` made the
    # first ones at the same moment would raise a KeyError.
    tqdm.tqdm(disable=True)


async def unless_stopped(here: LMContext, work: Coroutine[Any, Any, R]) -> R:
    """Await work of others; where one of its threads met what ends the run, no longer than it takes to notice.

    A thread that ends so hands nothing on to whoever waits for it, in a queue or at a barrier, perhaps for ever.
    """
    task, stopped = asyncio.ensure_future(work), False
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=NOTICED)
            if stopped and not task.done():
                raise here.stops[0]
            stopped = bool(here.stops)
    finally:
        await cancel([task])
        # Where it failed just when it was no longer waited for, asyncio would say that nobody looked at why.
        _ = task.cancelled() or task.exception()
    if task.cancelled():
        raise ProgramError("the program, or what it awaits, raised a CancelledError though nobody had cancelled it")
    return task.result()
