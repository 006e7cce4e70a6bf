"""A worker: makes executions for a run that is in another process, and asks there before it sends anything."""

from __future__ import annotations

import asyncio
import functools
import linecache
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import dspy
from dspy.utils.usage_tracker import UsageTracker

from .._concurrency import start_thread
from .._errors import Stop
from .._graph.evidence.code.from_code import FromCode
from .._graph.record.names import Names
from .._graph.record.snapshots import describe
from .._graph.trace import Trace
from .._session.budget import Budget
from .._session.desk import WorkerLost
from .._session.leased import Driver, LeasedLedger, cache_of_the_driver
from .._session.lm import install, own, uncached
from .._session.lm.usage import remembered_prices
from .carried import FIRST, LOOKED_AT, carried
from .execution import ExampleRun, Executed, Runnable, executed
from .parcel import packed, signatures, unpacked

_KEPT = 8
"""So many programs, of the newest evaluations, a worker keeps."""


@dataclass(frozen=True)
class Parcel:
    """A program as one evaluation runs it, for workers.

    Args:
        run: Which run it belongs to.
        number: Which evaluation of the run.
        program: The program, and texts of its code that stand in no file: by file name.
        settings: DSPy's.
        fresh: Whether DSPy's cache must not answer.
        budget: The run's, with its `request_seconds`.
    """

    run: str
    number: int
    program: bytes
    settings: bytes
    fresh: bool
    budget: tuple[Budget, float | None]


@dataclass(frozen=True)
class Errand:
    """One execution for a worker.

    Args:
        number: By which it is known at the desk.
        desk: Where the desk is, with its key.
        seconds_left: As of a `Ledger`, as is `answering`.
        tracked: Whether the driver is to be told what every answer took.
    """

    number: int
    desk: tuple[Any, bytes]
    parcel: Parcel
    asked: ExampleRun
    seconds_left: float | None
    answering: frozenset[str]
    tracked: bool


@dataclass(frozen=True)
class Returned:
    """What a worker gives back.

    Args:
        problem: Why the execution cannot be sent back, in words; empty where it is there.
        stop: What ends the run.
        answering: As of a `Ledger`, as is `unmetered`.
        usage: Model's name -> what its answers took, where that is tracked.
    """

    executed: Executed | None = None
    problem: str = ""
    stop: BaseException | None = None
    answering: frozenset[str] = frozenset()
    unmetered: Mapping[str, int] = field(default_factory=dict)
    usage: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seen:
    trace: Trace
    example: Mapping[str, Any]


class Workshop:
    """The programs that a worker has for runs, each opened once."""

    def __init__(self) -> None:
        self._ledgers: dict[str, LeasedLedger] = {}
        self._slices: dict[str, Any] = {}
        self._programs: dict[tuple[str, int], Runnable] = {}
        self._settings: dict[bytes, dict[str, Any]] = {}
        self._signatures: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._seen: dict[tuple[str, int], list[_Seen]] = {}

    async def perform(self, errand: Errand, ask: Callable[..., Any], tracker: UsageTracker | None = None) -> Executed:
        """Make an execution; a tracker is told what every answer took.

        Raises:
            Stop: What has to end the run.
            WorkerLost: If it was begun too often.
        """
        attempt, known = await asyncio.wrap_future(start_thread(functools.partial(ask, "begin", errand.number)))
        runnable, settings = self._opened(errand, ask)
        with dspy.context(**settings, usage_tracker=tracker, semantic_task=(errand.number, attempt, known)):
            fresh = uncached(runnable.program, runnable.ledger) if errand.parcel.fresh else nullcontext()
            with remembered_prices(), fresh:
                done = await executed(runnable, errand.asked, anyio.CapacityLimiter(1))
        return replace(done, carried=self._carried(errand, runnable.program, done))

    def _carried(self, errand: Errand, program: dspy.Module, done: Executed) -> tuple[str, ...]:
        if errand.parcel.number > FIRST or done.trace is None:
            return ()
        seen = self._seen.setdefault((errand.parcel.run, errand.parcel.number), [])
        _forget_the_oldest(self._seen)
        if len(seen) >= LOOKED_AT:
            return ()
        seen.append(_Seen(done.trace, errand.asked.inputs))
        return tuple(carried(unpacked(errand.parcel.program)[0], program, seen)) if len(seen) > 1 else ()

    def ledger(self, errand: Errand, ask: Callable[..., Any]) -> LeasedLedger:
        """What stands for the ledger of a run."""
        run = errand.parcel.run
        if run not in self._ledgers:
            more = (errand.seconds_left, errand.answering)
            self._ledgers[run] = LeasedLedger(ask, *errand.parcel.budget, *more)
            _forget_the_oldest(self._ledgers)
        return self._ledgers[run]

    def known(self, errand: Errand) -> tuple[Any, ...]:
        """The signatures of the program of an execution, as the driver has them."""
        return self._signatures.get((errand.parcel.run, errand.parcel.number), ())

    def _opened(self, errand: Errand, ask: Callable[..., Any]) -> tuple[Runnable, dict[str, Any]]:
        parcel = errand.parcel
        key, ledger = (parcel.run, parcel.number), self.ledger(errand, ask)
        if key not in self._programs:
            program, sources = unpacked(parcel.program)
            for file, lines in sources.items():
                linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
            install(program, ledger)  # pyright: ignore[reportArgumentType]
            own(program, ledger)  # pyright: ignore[reportArgumentType]
            # Now: a program may put others in their place while it runs.
            self._signatures[key] = signatures(program)
            names = Names(program)
            slices = self._slices.setdefault(parcel.run, {})
            self._programs[key] = Runnable(program, names, FromCode(program, names, slices), ledger)
            _forget_the_oldest(self._programs)
            _forget_the_oldest(self._signatures)
            _forget_the_oldest(self._slices)
        if parcel.settings not in self._settings:
            # The same language model for all evaluations: it holds the connections.
            self._settings[parcel.settings] = unpacked(parcel.settings)
            _forget_the_oldest(self._settings)
        return self._programs[key], self._settings[parcel.settings]


def _forget_the_oldest(kept: dict[Any, Any]) -> None:
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]


_WORKSHOP = Workshop()
_DRIVERS: dict[tuple[Any, bytes], Driver] = {}


async def _worked(data: bytes) -> bytes:
    problem = "a worker cannot open it"
    try:
        errand: Errand = unpacked(data)
        ask = _DRIVERS.setdefault(errand.desk, Driver(errand.desk))
        ledger = _WORKSHOP.ledger(errand, ask)
        executed, stop, tracker = None, None, UsageTracker() if errand.tracked else None
        try:
            with cache_of_the_driver():
                executed = await _WORKSHOP.perform(errand, ask, tracker)
        except (Stop, WorkerLost) as error:
            stop = error
        seen, ledger.unmetered = ledger.unmetered, type(ledger.unmetered)()
        problem = "what it returns cannot be sent back"
        usage = dict(tracker.usage_data) if tracker is not None else {}
        done = Returned(executed, "", stop, frozenset(ledger.answering) - errand.answering, dict(seen), usage)
        return packed(done, trusted=True, known=_WORKSHOP.known(errand))
    except Exception as error:  # noqa: BLE001 - any class of the user's may refuse to be carried in its own way
        return packed(Returned(problem=f"{problem} ({describe(error)[:200]})"), trusted=True)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="semantic-backprop-loop", daemon=True).start()
    return loop


def work(data: bytes) -> bytes:
    """Make an execution, an `Errand` as bytes, and give back a `Returned` as bytes. Blocks; several threads may."""
    return asyncio.run_coroutine_threadsafe(_worked(data), _loop()).result()


def serve() -> None:
    """Be a worker process: errands come through standard input, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's
    inward, outward = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What the program prints, and what it reads, is no part of that.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    turn = threading.Lock()

    def told(number: int, done: Any) -> None:
        with turn:
            pickle.dump((number, done.result()), outward)
            outward.flush()

    try:
        while True:
            number, data = pickle.load(inward)
            running = asyncio.run_coroutine_threadsafe(_worked(data), _loop())
            running.add_done_callback(functools.partial(told, number))
    except EOFError:
        # Whatever the program's threads do still, nobody waits for it.
        sys.stdout.flush()
        os._exit(0)
