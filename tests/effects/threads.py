"""Threads and event loops of the application that live on beside the program."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.effects.world import Effect, World, kind


def _append(path: Path) -> None:
    with path.open("a") as file:
        file.write("x")


def _taking(world: World, orders: Any) -> Callable[[], int]:
    """A thread that takes from a queue; how much it took."""
    taken: list[Any] = []
    thread = world.worker(lambda: taken.extend(iter(orders.get, None)))

    def count() -> int:
        orders.put(None)
        thread.join()
        return len(taken)

    return count


@kind
def queue_of_a_worker(world: World) -> Effect:
    orders: queue.Queue[str] = queue.Queue()
    return lambda: orders.put("x"), _taking(world, orders)


@kind
def simple_queue_of_a_worker(world: World) -> Effect:
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    return lambda: orders.put("x"), _taking(world, orders)


@kind
def priority_queue(world: World) -> Effect:
    orders: queue.PriorityQueue[str] = queue.PriorityQueue()
    return lambda: orders.put("x"), orders.qsize


@kind
def item_taken_from_a_queue(world: World) -> Effect:
    orders: queue.Queue[int] = queue.Queue()
    for number in range(500):
        orders.put(number)
    return orders.get_nowait, lambda: 500 - orders.qsize()


@kind
def thread_pool_made_before(world: World) -> Effect:
    path = world.file()
    pool = world.enter(concurrent.futures.ThreadPoolExecutor(1))
    pool.submit(int).result()
    return lambda: pool.submit(_append, path).result(), lambda: path.stat().st_size


@kind
def thread_pool_whose_results_nobody_waits_for(world: World) -> Effect:
    path = world.file()
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(int).result()

    def count() -> int:
        pool.shutdown()
        return path.stat().st_size

    return lambda: pool.submit(_append, path), count


class _Leaving:
    """A connection that takes its leave at its end."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __del__(self) -> None:
        _append(self.path)


@kind
def connection_that_one_thread_holds(world: World) -> Effect:
    path, orders, local = world.file(), queue.Queue(), threading.local()

    def work() -> None:
        local.connection, local.file = _Leaving(path), path.open("a")
        local.file.write("x")
        for _ in iter(orders.get, None):
            local.file.write("x")
        local.file.close()

    thread = world.worker(work)

    def count() -> int:
        orders.put(None)
        thread.join()
        return path.stat().st_size - len("xx")

    return lambda: orders.put("x"), count


@kind
def connection_in_the_context_of_a_thread(world: World) -> Effect:
    path, over = world.file(), threading.Event()
    variable: contextvars.ContextVar[_Leaving] = contextvars.ContextVar("connection")

    def work() -> None:
        variable.set(_Leaving(path))
        over.wait()

    thread = world.worker(work)

    def count() -> int:
        over.set()
        thread.join()
        return path.stat().st_size - len("x")

    return lambda: _append(path), count


@kind
def thread_that_the_program_starts(world: World) -> Effect:
    path, started = world.file(), []

    def act() -> None:
        thread = threading.Thread(target=_append, args=(path,))
        thread.start()
        started.append(thread)

    def count() -> int:
        for thread in started:
            thread.join()
        return path.stat().st_size

    return act, count


@kind
def timer(world: World) -> Effect:
    path, started = world.file(), []

    def act() -> None:
        thread = threading.Timer(0.01, _append, (path,))
        thread.start()
        started.append(thread)

    def count() -> int:
        for thread in started:
            thread.join()
        return path.stat().st_size

    return act, count


@kind
def event_that_a_worker_waits_for(world: World) -> Effect:
    path, wanted, done, over = world.file(), threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        while wanted.wait() and not over.is_set():
            wanted.clear()
            _append(path)
            done.set()

    thread = world.worker(work)

    def act() -> None:
        done.clear()
        wanted.set()
        done.wait(60)

    def count() -> int:
        over.set()
        wanted.set()
        thread.join()
        return path.stat().st_size

    return act, count


@kind
def condition_that_a_worker_waits_for(world: World) -> Effect:
    wanted, orders, taken = threading.Condition(), [], []

    def work() -> None:
        while True:
            with wanted:
                wanted.wait_for(lambda: orders)
                taken.append(orders.pop())
                if taken[-1] is None:
                    return

    thread = world.worker(work)

    def act(order: str | None = "x") -> None:
        with wanted:
            orders.append(order)
            wanted.notify()

    def count() -> int:
        while orders:
            threading.Event().wait(0.001)
        act(None)
        thread.join()
        return len(taken) - 1

    return act, count


@kind
def semaphore_released(world: World) -> Effect:
    semaphore = threading.Semaphore(0)

    def count() -> int:
        found = 0
        while semaphore.acquire(blocking=False):
            found += 1
        return found

    return semaphore.release, count


@kind
def semaphore_taken(world: World) -> Effect:
    semaphore = threading.Semaphore(500)

    def count() -> int:
        left = 0
        while semaphore.acquire(blocking=False):
            left += 1
        return 500 - left

    return semaphore.acquire, count


@kind
def barrier_with_a_worker(world: World) -> Effect:
    barrier, passed = threading.Barrier(2), []

    def work() -> None:
        while True:
            try:
                barrier.wait()
            except threading.BrokenBarrierError:
                return
            passed.append(1)

    thread = world.worker(work)

    def count() -> int:
        while barrier.n_waiting == 0:
            threading.Event().wait(0.001)
        barrier.abort()
        thread.join()
        return len(passed)

    return lambda: barrier.wait(60), count


def _loop(world: World) -> asyncio.AbstractEventLoop:
    """An event loop that runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = world.worker(loop.run_forever)

    def stop() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    world.at_end(stop)
    return loop


def _settled(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result()


@kind
def call_in_an_event_loop_of_another_thread(world: World) -> Effect:
    path, loop = world.file(), _loop(world)

    def count() -> int:
        _settled(loop)
        return path.stat().st_size

    return lambda: loop.call_soon_threadsafe(_append, path), count


@kind
def coroutine_in_an_event_loop_of_another_thread(world: World) -> Effect:
    path, loop = world.file(), _loop(world)

    async def work() -> None:
        await asyncio.sleep(0)
        _append(path)

    return lambda: asyncio.run_coroutine_threadsafe(work(), loop).result(), lambda: path.stat().st_size


@kind
def stream_of_an_event_loop_of_another_thread(world: World) -> Effect:
    loop, arrived = _loop(world), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while read := await reader.read(1):
            arrived.append(read)
            writer.write(read)
        writer.close()

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return await asyncio.open_connection(*server.sockets[0].getsockname())

    reader, writer = asyncio.run_coroutine_threadsafe(connect(), loop).result()

    async def order() -> None:
        writer.write(b"x")
        await reader.read(1)

    def count() -> int:
        _settled(loop)
        loop.call_soon_threadsafe(writer.close)
        _settled(loop)
        return len(arrived)

    return lambda: asyncio.run_coroutine_threadsafe(order(), loop).result(), count


@kind
def value_of_a_context_held_by_the_application(world: World) -> Effect:
    variable = contextvars.ContextVar("count", default=0)
    context = contextvars.copy_context()
    return lambda: context.run(lambda: variable.set(variable.get() + 1)), lambda: context.run(variable.get)
