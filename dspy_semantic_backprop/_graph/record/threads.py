"""Threads that a program starts while it is recorded belong to its execution: they are given the context of who starts.

Python starts a thread without a context. What a predictor asked there would go to the language model of the whole
process: seen by no record, booked by no budget. While executions are recorded, `Thread.start` and the `submit` of
thread pools therefore hand the context on, for whoever is inside of one and for nobody else. A task of a pool is given
its own: the pool's threads may have been started by another execution.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

_recorded: ContextVar[bool] = ContextVar("semantic_recorded", default=False)
_lock = threading.Lock()
_under_way = 0
_before: dict[Any, Callable[..., Any]] = {}


@contextmanager
def threads_followed() -> Iterator[None]:
    """Let the threads that are started inside, and the tasks given to thread pools, run in the context of who does."""
    _install()
    token = _recorded.set(True)
    try:
        yield
    finally:
        _recorded.reset(token)
        _uninstall()


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
        # A pool's thread outlives the execution whose task it was started for.
        if _recorded.get() and getattr(thread, "_target", None) is not _WORKER and not thread.ident:
            thread.run = functools.partial(copy_context().run, thread.run)
        start(thread)

    return start_in_context


def _submitting(submit: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(submit)
    def submit_in_context(pool: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if _recorded.get():
            function = functools.partial(copy_context().run, function)
        return submit(pool, function, *args, **kwargs)

    return submit_in_context


_WORKER = getattr(futures.thread, "_worker", None)
_METHODS = ((threading.Thread, "start", _starting), (futures.ThreadPoolExecutor, "submit", _submitting))
