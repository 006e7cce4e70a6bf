"""A worker: makes executions for a run that is in another process, and asks there before it sends anything."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import linecache
import os
import pickle
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import dspy
import tqdm
from dspy.utils.usage_tracker import UsageTracker

from .._concurrency import call_in_thread, threads_kept
from .._errors import ProgramError, SetupError
from .._graph.evidence.code.from_code import FromCode
from .._graph.record.names import Names
from .._graph.record.snapshots import describe
from .._graph.trace import Trace
from .._session.budget import Budget
from .._session.desk import BEAT, WorkerLost
from .._session.leased import Driver, LeasedLedger, Unreachable, cache_of_the_driver
from .._session.lm import install, own, uncached
from .._session.lm.usage import remembered_prices
from .carried import FIRST, LOOKED_AT, carried
from .execution import ExampleRun, Executed, Runnable, executed
from .parcel import packed, signatures, unpacked

_KEPT = 8
"""So many programs, of the newest evaluations, a worker keeps."""


@dataclass(frozen=True)
class Parcel:
    """A program as one evaluation runs it, which each worker fetches once.

    Args:
        program: The program, and texts of its code that stand in no file that a worker has: by file name.
        settings: DSPy's.
        fresh: Whether DSPy's cache must not answer.
        budget: The run's.
        request_seconds: As of a `Ledger`.
    """

    program: bytes
    settings: bytes
    fresh: bool
    budget: Budget
    request_seconds: float | None


@dataclass(frozen=True)
class Errand:
    """One execution for a worker.

    Args:
        number: By which it is known at the desk.
        desk: Where the desk is, with its key.
        run: Which run it belongs to.
        evaluation: Which evaluation of the run.
        seconds_left: As of a `Ledger`, as is `answering`.
        tracked: Whether the driver is to be told what every answer took.
    """

    number: int
    desk: tuple[Any, bytes]
    run: str
    evaluation: int
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
        carried: What its program carries from one execution to the next; see `carried`.
        answering: As of a `Ledger`, as is `unmetered`.
        usage: Model's name -> what its answers took, where that is tracked.
    """

    executed: Executed | None = None
    problem: str = ""
    stop: BaseException | None = None
    carried: tuple[str, ...] = ()
    answering: frozenset[str] = frozenset()
    unmetered: Mapping[str, int] = field(default_factory=dict)
    usage: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seen:
    trace: Trace
    example: Mapping[str, Any]


@dataclass(frozen=True)
class _Opened:
    """A parcel, opened; the signatures are those of the driver's program, whatever the program does to its own."""

    parcel: Parcel
    runnable: Runnable
    settings: Mapping[str, Any]
    signatures: tuple[Any, ...]
    seen: list[_Seen] = field(default_factory=list)

    def carried(self, done: Executed, inputs: Mapping[str, Any]) -> tuple[str, ...]:
        """What the program carries from one execution into another, as far as this worker has seen."""
        if done.trace is None or len(self.seen) >= LOOKED_AT:
            return ()
        self.seen.append(_Seen(done.trace, inputs))
        # Looked for after 2, 4, 8, 16: to look at all of them after each takes longer than to run them.
        seen = len(self.seen)
        if seen == 1 or seen & (seen - 1):
            return ()
        return tuple(carried(unpacked(self.parcel.program)[0], self.runnable.program, self.seen))


class Workshop:
    """The programs that a worker has for runs, each opened once."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, int], _Opened] = {}
        self._ledgers: dict[str, tuple[LeasedLedger, Any]] = {}
        self._settings: dict[bytes, Mapping[str, Any]] = {}
        self._opening = threading.Lock()

    async def perform(self, errand: Errand, ask: Callable[..., Any], tracker: UsageTracker | None) -> Returned:
        """Make an execution; a tracker is told what every answer took."""
        # In a thread: what a program imports may take long, and meanwhile the worker has to say that it is alive.
        begun = call_in_thread(functools.partial(self._begin, errand, ask))
        attempt, known, opened = await asyncio.wrap_future(begun)
        runnable = opened.runnable
        with dspy.context(**opened.settings, usage_tracker=tracker, semantic_task=(errand.number, attempt, known)):
            fresh = uncached(runnable.program, runnable.ledger) if opened.parcel.fresh else nullcontext()
            with remembered_prices(), fresh:
                done = await executed(runnable, errand.asked, nullcontext())
        found = opened.carried(done, errand.asked.inputs) if errand.evaluation <= FIRST else ()
        seen, runnable.ledger.unmetered = runnable.ledger.unmetered, Counter()
        answering = frozenset(runnable.ledger.answering) - errand.answering
        return Returned(done, carried=found, answering=answering, unmetered=seen)

    def signatures(self, errand: Errand) -> tuple[Any, ...]:
        """The signatures of the program of an execution, as the driver has them."""
        opened = self._opened.get((errand.run, errand.evaluation))
        return () if opened is None else opened.signatures

    def _begin(self, errand: Errand, ask: Callable[..., Any]) -> tuple[int, bool, _Opened]:
        attempt, known = ask("begin", errand.number)
        with self._opening:
            key = errand.run, errand.evaluation
            if key not in self._opened:
                self._opened[key] = self._open(errand, ask, ask("parcel", errand.evaluation))
                for kept in (self._opened, self._ledgers, self._settings):
                    forget_the_oldest(kept)
            return attempt, known, self._opened[key]

    def _open(self, errand: Errand, ask: Callable[..., Any], parcel: Parcel) -> _Opened:
        ledger, slices = self._ledger(errand, ask, parcel)
        program, sources = unpacked(parcel.program)
        for file, lines in sources.items():
            linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
        # The same language model for all evaluations: it holds the connections.
        settings = self._settings.setdefault(parcel.settings, unpacked(parcel.settings))
        install(program, ledger)  # pyright: ignore[reportArgumentType]
        own(program, ledger)  # pyright: ignore[reportArgumentType]
        names = Names(program)
        runnable = Runnable(program, names, FromCode(program, names, slices), ledger)
        return _Opened(parcel, runnable, settings, signatures(program))

    def _ledger(self, errand: Errand, ask: Callable[..., Any], parcel: Parcel) -> tuple[LeasedLedger, Any]:
        """What stands for the ledger of a run, and what is known of its programs' code."""
        if errand.run not in self._ledgers:
            bounds = parcel.budget, parcel.request_seconds, errand.seconds_left, errand.answering
            self._ledgers[errand.run] = LeasedLedger(ask, *bounds), {}
        return self._ledgers[errand.run]


def forget_the_oldest(kept: dict[Any, Any]) -> None:
    """Keep a few of what was put in last."""
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]


_WORKSHOP = Workshop()
_DRIVERS: dict[tuple[Any, bytes], Driver] = {}


async def _worked(data: bytes) -> bytes:
    problem = "a worker cannot open it"
    try:
        errand: Errand = unpacked(data)
        tracker = UsageTracker() if errand.tracked else None
        with threads_kept(), _named(errand) as ask:
            try:
                with cache_of_the_driver():
                    done = await _WORKSHOP.perform(errand, ask, tracker)
            except BaseException as stop:
                # What is no `Exception` ends a run wherever it is raised.
                if isinstance(stop, Exception) and not isinstance(stop, (WorkerLost, SetupError, ProgramError)):
                    raise
                done = Returned(stop=stop)
        problem = "what it returns cannot be sent back"
        done = replace(done, usage=dict(tracker.usage_data) if tracker is not None else {})
        return packed(done, trusted=True, known=_WORKSHOP.signatures(errand))
    except BaseException as error:  # noqa: BLE001 - a class of the user's may do anything
        return packed(Returned(problem=f"{problem} ({describe(error, 200)})"), trusted=True)


@contextmanager
def _named(errand: Errand) -> Iterator[Driver]:
    """Inside, the driver of an execution is told that this worker has it."""
    if (driver := _DRIVERS.get(errand.desk)) is None:
        driver = _DRIVERS[errand.desk] = Driver(errand.desk)
        beating = asyncio.ensure_future(_beating(driver))
        _BEATING.add(beating)
        beating.add_done_callback(_BEATING.discard)
        forget_the_oldest(_DRIVERS)
    driver.under_way.add(errand.number)
    try:
        yield driver
    finally:
        driver.under_way.discard(errand.number)


_BEATING: set[Any] = set()
"""What asyncio alone would not keep."""


async def _beating(driver: Driver) -> None:
    # On the loop of the executions: where that is stuck, or the whole process, nothing is said.
    try:
        while True:
            await asyncio.wrap_future(call_in_thread(functools.partial(driver, "alive", tuple(driver.under_way))))
            await asyncio.sleep(BEAT)
    except Unreachable:
        # The run is over, or what comes next tries again.
        for desk in [desk for desk, one in _DRIVERS.items() if one is driver]:
            del _DRIVERS[desk]


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()

    def run() -> None:
        while True:
            # A program that ends the process ends the run, as it does in threads; its worker goes on.
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                loop.run_forever()

    threading.Thread(target=run, name="semantic-backprop-loop", daemon=True).start()
    return loop


def work(data: bytes) -> bytes:
    """Make an execution, an `Errand` as bytes, and give back a `Returned` as bytes. Blocks; several threads may."""
    return asyncio.run_coroutine_threadsafe(_worked(data), _loop()).result()


def serve() -> None:
    """Be a worker process: errands come through standard input, and end with it."""
    inward, outward = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What the program prints, and what it reads, is no part of that.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    # tqdm's own lock is one of all processes, and where a process is killed something is said of it on some systems.
    tqdm.tqdm.set_lock(threading.RLock())
    turn = threading.Lock()

    def told(number: int, done: Any) -> None:
        with turn:
            pickle.dump((number, done.result()), outward)
            outward.flush()

    gc.freeze()
    gc.enable()
    pickle.dump((None, b""), outward)  # from now on it begins what it is given at once
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
