"""What an asynchronous program does in the event loop that it shares with the application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from tests.effects.world import World

AsyncEffect = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[int]]]


async def httpx_client(world: World) -> AsyncEffect:
    client = httpx.AsyncClient(base_url=world.web.url)
    await client.get("/")

    async def count() -> int:
        await client.aclose()
        return world.web.count()

    return lambda: client.post("/orders", content=b"one"), count


async def aiohttp_session(world: World) -> AsyncEffect:
    import aiohttp

    session = aiohttp.ClientSession()

    async def act() -> None:
        async with session.post(f"{world.web.url}/orders", data=b"one") as response:
            await response.read()

    async def count() -> int:
        await session.close()
        return world.web.count() - 1

    await act()
    return act, count


async def openai_client(world: World) -> AsyncEffect:
    import openai

    client = openai.AsyncOpenAI(base_url=world.web.url, api_key="none", max_retries=0)

    async def act() -> None:
        await client.chat.completions.create(model="paid", messages=[{"role": "user", "content": "one"}])

    async def count() -> int:
        await client.close()
        return world.web.count() - 1

    await act()
    return act, count


async def queue_of_a_task(world: World) -> AsyncEffect:
    orders: asyncio.Queue[str | None] = asyncio.Queue()
    taken: list[str] = []

    async def work() -> None:
        while (order := await orders.get()) is not None:
            taken.append(order)

    task = asyncio.create_task(work())

    async def count() -> int:
        await orders.put(None)
        await task
        return len(taken)

    return lambda: orders.put("x"), count


async def stream_that_is_connected(world: World) -> AsyncEffect:
    arrived: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while read := await reader.read(1):
            arrived.append(read)
            writer.write(read)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())

    async def act() -> None:
        writer.write(b"x")
        await reader.read(1)

    async def count() -> int:
        await asyncio.sleep(0.01)
        writer.close()
        server.close()
        return len(arrived)

    return act, count


async def task_that_the_program_starts(world: World) -> AsyncEffect:
    path, tasks = world.file(), []
    before = path.stat().st_size

    async def work() -> None:
        await asyncio.sleep(0)
        with path.open("a") as file:
            file.write("x")

    async def act() -> None:
        tasks.append(asyncio.create_task(work()))

    async def count() -> int:
        await asyncio.gather(*tasks)
        return path.stat().st_size - before

    return act, count


async def future_of_the_application(world: World) -> AsyncEffect:
    futures = [asyncio.get_running_loop().create_future() for _ in range(100)]

    async def act() -> None:
        next(future for future in futures if not future.done()).set_result(1)

    async def count() -> int:
        return sum(future.done() for future in futures)

    return act, count


async def semaphore_of_the_application(world: World) -> AsyncEffect:
    semaphore = asyncio.Semaphore(100)

    async def count() -> int:
        left = 0
        while not semaphore.locked():
            await semaphore.acquire()
            left += 1
        return 100 - left

    return semaphore.acquire, count


KINDS: dict[str, Callable[[World], Awaitable[AsyncEffect]]] = {
    make.__name__: make
    for make in (
        *(httpx_client, aiohttp_session, openai_client, queue_of_a_task, stream_that_is_connected),
        *(task_that_the_program_starts, future_of_the_application, semaphore_of_the_application),
    )
}
