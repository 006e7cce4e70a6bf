"""Bounded, ordered concurrency, and one bridge between synchronous and asynchronous callers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
Limiter = AbstractAsyncContextManager[Any]
"""Bounds how many things run at once."""


async def gather(function: Callable[[T], Awaitable[R]], items: Iterable[T], limit: int | None = None) -> list[R]:
    """Apply `function` to every item, at most `limit` at a time, and keep the order.

    Args:
        function: Awaited once for each item.
        items: What to apply it to.
        limit: The most that run at once; None for no bound.

    Returns:
        The results, in the order of `items`.

    Raises:
        BaseException: The first one that any call raises, after the others were cancelled.
    """
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


async def cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel every task that still runs and wait until each has ended."""
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


async def in_thread(function: Callable[[], R], limiter: Limiter) -> R:
    """Call a blocking function in a thread of its own, with the context of the caller.

    The thread is a daemon: what never returns (a metric that waits for ever) neither keeps the caller waiting
    after it was cancelled nor the process alive.

    Args:
        function: What to call.
        limiter: Bounds how many run at once.

    Returns:
        Its result.

    Raises:
        BaseException: Whatever it raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[R] = loop.create_future()
    context = contextvars.copy_context()

    def settle(set_it: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            set_it(value)

    def work() -> None:
        try:
            outcome: tuple[Callable[[Any], None], Any] = (done.set_result, context.run(function))
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            if isinstance(error, StopIteration):
                error = RuntimeError(f"StopIteration was raised: {error}")
            outcome = (done.set_exception, error)
        # A loop that was closed meanwhile has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, *outcome)

    async with limiter:
        threading.Thread(target=work, name="semantic-backprop-worker", daemon=True).start()
        return await done


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
        """Await work that may be ended early.

        Args:
            work: What to await.
            seconds: After how long it is ended, in seconds; None for never.

        Returns:
            Its result; None where it was ended early: then `reason` says why, or is "" after `seconds`.

        Raises:
            BaseException: Whatever it raises.
        """
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
        coroutine: What to run.
        on_interrupt: Called at the first Ctrl-C, instead of raising KeyboardInterrupt; the second one raises.

    Returns:
        Its result.

    Raises:
        BaseException: Whatever the coroutine raises.
    """
    with _caught(on_interrupt):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(coroutine)
        return _in_a_thread(coroutine)


def synchronous(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """The synchronous twin of an asynchronous function: the same arguments, result and errors."""

    @functools.wraps(function)
    def twin(*args: P.args, **kwargs: P.kwargs) -> R:
        return run_sync(function(*args, **kwargs))

    twin.__name__ = twin.__name__.removeprefix("a")
    twin.__qualname__ = twin.__name__
    twin.__doc__ = f"{function.__doc__}\n    `{function.__name__}` is the asynchronous twin."
    return twin


def _in_a_thread(coroutine: Coroutine[Any, Any, R]) -> R:
    outcome: list[R] = []
    failure: list[BaseException] = []
    context = contextvars.copy_context()

    def target() -> None:
        try:
            outcome.append(context.run(asyncio.run, coroutine))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=target, name="semantic-backprop", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


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
