"""A world that counts what reaches it, and a program that does one thing to it in each execution."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, TypeVar

import dspy

Effect = tuple[Callable[[], object], Callable[[], int]]
"""What a program does in each execution, and how often that was done, asked of the world once at the end."""

KINDS: dict[str, Callable[[World], Effect]] = {}
"""Every kind of effect by name."""

_T = TypeVar("_T")
_COMPLETION = {
    "id": "paid",
    "object": "chat.completion",
    "created": 0,
    "model": "paid",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def kind(make: Callable[[World], Effect]) -> Callable[[World], Effect]:
    """Register a kind of effect under its function's name."""
    KINDS[make.__name__] = make
    return make


@dataclass
class World:
    """What a kind needs: a folder of its own, a web server that counts, and an end for what it opens."""

    folder: Path
    ending: ExitStack = field(default_factory=ExitStack)

    def enter(self, opened: AbstractContextManager[_T]) -> _T:
        """Enter a context that is left when the world ends."""
        return self.ending.enter_context(opened)

    def at_end(self, close: Callable[..., object], *arguments: Any) -> None:
        self.ending.callback(close, *arguments)

    def file(self, name: str = "file") -> Path:
        """An empty file."""
        path = self.folder / name
        path.write_bytes(b"")
        return path

    def appended(self) -> tuple[IO[str], Callable[[], int]]:
        """A file open for text that is written at once, and how many lines of one letter it has."""
        path = self.file()
        return self.enter(path.open("a", buffering=1)), lambda: path.stat().st_size // 2

    def descriptor(self, path: Path) -> int:
        """A file that is open to be read and written, below Python's buffers."""
        descriptor = os.open(path, os.O_RDWR)
        self.at_end(os.close, descriptor)
        return descriptor

    def files(self) -> int:
        """How many entries the folder has."""
        return len(list(self.folder.iterdir()))

    @cached_property
    def web(self) -> Web:
        """A web server of which any POST is an order; it answers as a chat completion."""
        return self.enter(served_web())

    def worker(self, work: Callable[[], object]) -> threading.Thread:
        """A thread of the application beside the program."""
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


@dataclass
class Web:
    """A running web server.

    Args:
        port: On 127.0.0.1.
        orders: What arrived by POST.
    """

    port: int
    orders: list[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def count(self) -> int:
        """How many orders arrived."""
        return len(self.orders)


@contextmanager
def served_web() -> Iterator[Web]:
    """Serve the counting web server on loopback."""
    orders: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            orders.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            body = json.dumps(_COMPLETION).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield Web(server.server_address[1], orders)
    finally:
        server.shutdown()
        server.server_close()


def grown(held: Any) -> Any:
    """How much longer something is than now."""
    before = len(held)
    return lambda: len(held) - before


class _Program(dspy.Module):
    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__()
        # A program is copied with all that it holds; a function and what it refers to belongs to the application.
        self.act = lambda: act()
        self.hint = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, hint -> answer")


class Acts(_Program):
    """Asks, does something to the world, and asks again."""

    def forward(self, question: str) -> dspy.Prediction:
        hint = self.hint(question=question).hint
        self.act()
        return self.final(question=question, hint=hint)


class AwaitingActs(_Program):
    """The same, of which the act is awaited."""

    async def aforward(self, question: str) -> dspy.Prediction:
        hint = (await self.hint.acall(question=question)).hint
        await self.act()
        return await self.final.acall(question=question, hint=hint)


def surroundings() -> dict[str, Any]:
    """What of the process nobody but the program may change, to be compared before and after."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = {handler for logger in loggers for handler in getattr(logger, "handlers", ())}
    return {
        "streams": (sys.stdout, sys.stderr, sys.stdin),
        "handlers": {(id(handler), tuple(handler.filters)) for handler in handlers},
        "warnings": (warnings.showwarning, list(warnings.filters)),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        "start": threading.Thread.start,
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.gettrace(), sys.getprofile()),
    }
