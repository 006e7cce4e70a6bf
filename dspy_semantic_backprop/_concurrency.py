"""Bounded, ordered concurrency, and the bridges between synchronous and asynchronous callers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import os
import queue
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, ParamSpec, TypeVar

from ._errors import SemanticBackpropError, shortened

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
_PAUSES = (0.01, 0.1, 0.4, 1.0)
"""Seconds between the tries to start a thread."""
_OF_COROUTINES = (StopIteration, GeneratorExit, asyncio.CancelledError, concurrent.futures.CancelledError)
Limiter = AbstractAsyncContextManager[Any]
"""Bounds how many things run at once."""


async def gather(function: Callable[[T], Awaitable[R]], items: Iterable[T], limit: int | None = None) -> list[R]:
    """Await a function for every item, at most `limit` at a time, in order; the first error cancels the others."""
    turn = asyncio.Semaphore(limit) if limit is not None else contextlib.nullcontext()
    failed = False

    async def one(item: T) -> R:
        nonlocal failed
        async with turn:
            # Whoever waited for a turn when another one failed must not begin: it would cost money.
            if failed:
                raise asyncio.CancelledError
            try:
                return await function(item)
            except BaseException:
                failed = True
                raise

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        await cancel(tasks)
        raise


async def beside(work: Awaitable[R], other: Coroutine[Any, Any, None]) -> R:
    """Await work while something else goes on, which has ended when this returns.

    What goes on is not broken off by work that fails, as what it began may be paid for.
    """
    running = asyncio.ensure_future(other)
    try:
        found = await work
    except Exception:
        await asyncio.gather(running, return_exceptions=True)
        raise
    except BaseException:
        await cancel([running])
        raise
    await running
    return found


async def cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel every task that still runs and wait until each has ended."""
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


def start_thread(function: Callable[[], R]) -> concurrent.futures.Future[R]:
    """Call a function in a thread of its own, with the context of the caller; the future has what becomes of it.

    Why not a worker of anyio or of an executor: these are waited for when the process ends. This thread is a daemon:
    what never returns (a metric that waits for ever) keeps neither a cancelled caller waiting nor the process alive.
    """
    future, work = _future_of(function)
    _started(threading.Thread(target=work, name=_NAME, daemon=True))
    return future


def _future_of(function: Callable[[], R]) -> tuple[concurrent.futures.Future[R], Callable[[], None]]:
    """A future, and what calls the function in the context of here and gives the future what becomes of it."""
    future: concurrent.futures.Future[R] = concurrent.futures.Future()
    context = contextvars.copy_context()

    def work() -> None:
        # Only what the thread itself is decided at its start: a thread that a program starts must not be a daemon for
        # our sake. The end of the process would not wait for its timers, or for what it has yet to write.
        threading.current_thread()._daemonic = False  # pyright: ignore[reportAttributeAccessIssue] - `daemon` refuses
        try:
            future.set_result(context.run(function))
        except _OF_COROUTINES as error:
            # To the coroutine that waits they would say something about itself: that it has ended, or is to end.
            future.set_exception(RuntimeError(f"{type(error).__name__} was raised: {error}"))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            future.set_exception(error)

    # A future that runs already is not cancelled with whoever waits for it.
    future.set_running_or_notify_cancel()
    return future, work


class _Threads:
    """Threads that are idle between two calls, while anybody is `inside`. Thread-safe.

    Why no executor: nothing ever waits in a queue, since a request that waits would count as sent; a call that never
    returns keeps its thread, and nobody else waits for that; and once nobody is inside no thread is left over.
    """

    def __init__(self) -> None:
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            # In the child of a fork there are no other threads, and a lock may be held by one of them.
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[Callable[[], None] | None]] = []
        self._users = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Keep the threads that are started inside for further calls."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users = max(0, self._users - 1)
                left, self._idle = ([], self._idle) if self._users else (self._idle, [])
            for inbox in left:
                inbox.put(None)

    def call(self, work: Callable[[], None]) -> None:
        """Do some work at once: in a thread that is idle, or in a new one."""
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is not None:
            inbox.put(work)
            return
        thread = threading.Thread(target=self._serve, args=(work,), name=_NAME, daemon=True)
        # A thread that goes on from call to call belongs to none of them: each brings its own context.
        contextvars.Context().run(_started, thread)

    def _serve(self, work: Callable[[], None] | None) -> None:
        inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        while work is not None:
            work()
            work = None  # what was called is not kept alive
            with self._lock:
                if not self._users:
                    return
                self._idle.append(inbox)
            work = inbox.get()


_NAME = "semantic-backprop-worker"
_THREADS = _Threads()
threads_kept = _THREADS.inside


def call_in_thread(function: Callable[[], R]) -> concurrent.futures.Future[R]:
    """As `start_thread`, in a thread that may have served before: for what leaves nothing behind in its thread."""
    future, work = _future_of(function)
    _THREADS.call(work)
    return future


def _started(thread: threading.Thread) -> None:
    """Start a thread; where the system has none left, wait a little for others to end."""
    for pause in (*_PAUSES, None):
        try:
            return thread.start()
        except RuntimeError as error:
            if pause is None:
                raise SemanticBackpropError(
                    f"{error}: this process, its user or its container has as many as it may (ulimit -u, pids.max)"
                ) from error
        time.sleep(pause)


async def in_thread(function: Callable[[], R], limiter: Limiter) -> R:
    """Call a blocking function in a daemon thread with the caller's context; `limiter` bounds how many run at once."""
    async with limiter:
        return await asyncio.wrap_future(start_thread(function))


class Interrupt:
    """Ends a piece of work early, from any thread or a signal, with a reason. Used once."""

    def __init__(self) -> None:
        self.reason = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Future[Any] | None = None
        self._lock = threading.Lock()

    def __call__(self, reason: str) -> None:
        """End the work; only the first reason counts."""
        with self._lock:
            if self.reason:
                return
            self.reason = reason
            if self._loop is not None and self._work is not None:
                self._loop.call_soon_threadsafe(self._work.cancel)

    async def guard(self, work: Coroutine[Any, Any, R], seconds: float | None = None) -> R | None:
        """Await work that may be ended early, then with None, and `reason` says why, or is "" after so many seconds."""
        task = asyncio.ensure_future(work)
        with self._lock:
            self._loop, self._work = asyncio.get_running_loop(), task
            if self.reason:
                task.cancel()
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            await cancel([task])
        return None if task.cancelled() else task.result()


def run_sync(coroutine: Coroutine[Any, Any, R], on_interrupt: Callable[[], None] | None = None) -> R:
    """Run a coroutine to its end from synchronous code, also where a loop runs already (notebooks).

    Args:
        on_interrupt: Called at the first Ctrl-C, instead of raising KeyboardInterrupt; the second one raises.
    """
    with _caught(on_interrupt):
        try:
            if on_event_loop():
                return start_thread(lambda: _run(coroutine)).result()
            return _run(coroutine)
        except SemanticBackpropError as error:
            raise shortened(error)  # noqa: B904 - it is the same one


def _run(coroutine: Coroutine[Any, Any, R]) -> R:
    """As `asyncio.run`, but what was come to counts though the loop cannot be closed: that takes a thread more."""
    outcome: concurrent.futures.Future[R] = concurrent.futures.Future()

    async def settled() -> None:
        try:
            outcome.set_result(await coroutine)
        except BaseException as error:
            outcome.set_exception(error)
            raise

    try:
        asyncio.run(settled())
    except RuntimeError:
        if not outcome.done():
            raise
    return outcome.result()


def synchronous(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """The synchronous twin of an asynchronous function: the same arguments, result and errors."""

    @functools.wraps(function)
    def twin(*args: P.args, **kwargs: P.kwargs) -> R:
        return run_sync(function(*args, **kwargs))

    twin.__name__ = twin.__name__.removeprefix("a")
    twin.__qualname__ = twin.__name__
    twin.__doc__ = f"{function.__doc__}\n    `{function.__name__}` is the asynchronous twin."
    return twin


def on_event_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _caught(on_interrupt: Callable[[], None] | None) -> Iterator[None]:
    """Let the first Ctrl-C call a function; the next one does what it did before."""
    before = signal.getsignal(signal.SIGINT)
    if on_interrupt is None or before is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        on_interrupt()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is first:
            signal.signal(signal.SIGINT, before)
