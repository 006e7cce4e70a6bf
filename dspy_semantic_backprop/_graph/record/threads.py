"""Threads that a program starts while it is recorded belong to its execution: they are given the context of who starts.

Python starts a thread without a context. What a predictor asked there would go to the language model of the whole
process: seen by no record, booked by no budget. While executions are recorded, `Thread.start`, the `submit` of thread
pools and anyio's threads therefore hand the context on, for whoever is inside of one and for nobody else. A task of a
pool is given its own: the pool's threads may have been started by another execution.

With the context goes a place: where in the program's own order the work was given away. Which thread comes first is
the operating system's choice; the place is not.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any
from weakref import WeakKeyDictionary

import anyio.to_thread

from ..trace import Place

Tasks = dict[tuple[Place, float], list[int]]
"""The numbers of the tasks of each place, in the order that counts."""

_START: Place = ((0, 0),)
_recorded: ContextVar[bool] = ContextVar("semantic_recorded", default=False)
_place: ContextVar[tuple[Place, int]] = ContextVar("semantic_place", default=(_START, 0))
"""The last place of this thread or task, and the number of the task that it is in; 0 outside of one."""
_counted: ContextVar[Tasks | None] = ContextVar("semantic_counted", default=None)
_named: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_numbers = itertools.count(10**9)
_lock = threading.Lock()
_under_way = 0
_before: dict[Any, Callable[..., Any]] = {}


@contextmanager
def threads_followed(counted: Tasks | None = None) -> Iterator[None]:
    """Let the threads that are started inside, and the tasks given to thread pools, run in the context of who does.

    With `counted` the tasks in places are counted as they come; else they have the numbers of their creation.
    """
    _install()
    token, place, tasks = _recorded.set(True), _place.set((_START, _task())), _counted.set(counted)
    try:
        yield
    finally:
        _counted.reset(tasks)
        _place.reset(place)
        _recorded.reset(token)
        _uninstall()


def next_place() -> Place:
    """The place of what happens here and now: after all that this thread or task did, before what it will do."""
    place, task = _place.get()
    here = _task() or task
    if here != task:
        # A task inherits the place where it was created; several of one place follow by their numbers.
        place, counted = (*place[:-1], (place[-1][0], here)), _counted.get()
        place = (*(place if counted is None else ranked(place, counted)), *_START)
    place = (*place[:-1], (place[-1][0] + 1, 0))
    _place.set((place, here))
    return place


def strand() -> Place:
    """The thread of the program that runs here, by the place where it was started."""
    return _place.get()[0][:-1]


def ranked(place: Place, tasks: Tasks) -> Place:
    """A place with its last task counted from 1 among those of the same place, as they come; `tasks` keeps which."""
    *above, (at, task) = place
    known = tasks.setdefault((tuple(above), at), [0])
    if task not in known:
        known.append(task)
    return (*above, (at, known.index(task)))


def _task() -> int:
    """The number of the task that runs, by its creation, or by first sight where it was given a name; 0 for none."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return 0
    if task is None:
        return 0
    word, _, number = task.get_name().partition("-")
    return int(number) if word == "Task" and number.isdecimal() else _named.setdefault(task, next(_numbers))


def _given_away(function: Any) -> Context:
    """The context for work that is given away here: it has a place of its own, also where it brings its own context."""
    place = (*next_place(), *_START)
    context = copy_context()
    context.run(_place.set, (place, 0))
    brought = getattr(getattr(function, "func", function), "__self__", None)
    if isinstance(brought, Context):
        with suppress(RuntimeError):
            brought.run(_place.set, (place, 0))
    return context


def _endless() -> Context:
    """The context for threads that share a place, where nothing comes before anything else."""
    context, (place, _) = copy_context(), _place.get()
    context.run(_place.set, ((*place, (math.inf, 0)), 0))
    return context


def _install() -> None:
    global _under_way
    with _lock:
        _under_way += 1
        if not _before:
            for owner, name, make in _METHODS:
                _before[owner] = getattr(owner, name)
                setattr(owner, name, make(_before[owner]))


def _uninstall() -> None:
    global _under_way
    with _lock:
        _under_way -= 1
        if _under_way:
            return
        for owner, name, _ in _METHODS:
            # Somebody may have put another method in place meanwhile: that one stays, and with it ours, which is idle.
            if getattr(getattr(owner, name), "__wrapped__", None) is _before.get(owner):
                setattr(owner, name, _before[owner])
        _before.clear()


def _starting(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def start_in_context(thread: threading.Thread) -> None:
        # A pool's thread outlives the execution whose task it was started for, and whether one is started is chance.
        work = getattr(thread, "_target", None)
        pooled = work is _WORKER or type(thread).__module__.startswith(_OTHERS)
        if _recorded.get() and not pooled and not thread.ident:
            # Threads of multiprocessing's pools take whatever comes next: none has a place of its own.
            takes = getattr(work, "__module__", "") == "multiprocessing.pool"
            thread.run = functools.partial((_endless() if takes else _given_away(work)).run, thread.run)
        start(thread)

    return start_in_context


def _submitting(submit: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(submit)
    def submit_in_context(pool: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if _recorded.get():
            function = functools.partial(_given_away(function).run, function)
        return submit(pool, function, *args, **kwargs)

    return submit_in_context


def _sending(run_sync: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run_sync)
    async def run_sync_in_context(function: Any, *args: Any, **kwargs: Any) -> Any:
        if _recorded.get():
            # The context is handed on already, by anyio.
            function = functools.partial(_at, (*next_place(), *_START), function)
        return await run_sync(function, *args, **kwargs)

    return run_sync_in_context


def _at(place: Place, function: Callable[..., Any], *args: Any) -> Any:
    _place.set((place, 0))
    return function(*args)


_OTHERS = ("anyio.", "tqdm.")
"""The packages whose threads are started when nobody else's is idle."""
_WORKER = getattr(futures.thread, "_worker", None)
_METHODS = (
    (threading.Thread, "start", _starting),
    (futures.ThreadPoolExecutor, "submit", _submitting),
    (anyio.to_thread, "run_sync", _sending),
)
