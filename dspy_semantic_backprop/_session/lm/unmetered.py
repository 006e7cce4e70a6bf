"""Requests to language models that pass the meter by: they are not held back, but they are told.

A program may ask a provider through a client that is no `dspy.BaseLM`, or call a language model's `forward` itself.
Such a request is seen where nearly all clients send theirs: in `httpx`, its successor, `aiohttp`, `http.client`, and
DSPy's own; at the last moment, below what follows redirects and tries again. There it is also seen how many requests a
language model sends for one that it was asked, and whether it sent any. What a process asks that the program starts is
not seen.
"""

from __future__ import annotations

import functools
import http.client
import multiprocessing.process
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import dspy

from ..._terminal import logger
from ..ledger import Ledger
from .context import lm_context
from .patched import Patched, Replacement, http_clients
from .usage import RequestUsage

_ASKS = re.compile(
    r"/(chat/completions|completions|responses|messages|embeddings|rerank|invoke|converse|api/(chat|generate))/?(\?|$)"
    r"|:(stream)?generateContent"
)
"""Ends of the addresses at which the providers' language models are asked."""
_NO_ANSWERS = re.compile(r"/(embeddings|rerank)/?(\?|$)")
"""Those at which a language model of the user's own may ask for something else than its answer."""
_PROCESSES = "processes of its own"
_STARTERS = frozenset(("subprocess", "os", "asyncio", "multiprocessing", "concurrent"))
"""Modules that start processes for whoever calls them."""
_OTHERS = sys.stdlib_module_names | {"dspy", "litellm", __name__.partition(".")[0]}
_PATCHED = Patched()


@contextmanager
def unmetered_seen() -> Iterator[None]:
    """Inside, a request to a language model is noted: with the metered one that it belongs to, else as one past us."""
    with _PATCHED.inside(_senders):
        yield


def _senders() -> Iterator[Replacement]:
    yield http.client.HTTPConnection, "putrequest", functools.partial(_watched, _of_connection)
    with suppress(ImportError):  # DSPy's own
        from dspy._vendor.lm15 import transports

        for kind in (transports.StdlibTransport, transports.StdlibAsyncTransport):
            yield kind, "stream", functools.partial(_watched, _of_transport)
    for module in http_clients():
        yield module.HTTPTransport, "handle_request", functools.partial(_watched, _of_request)
        yield module.AsyncHTTPTransport, "handle_async_request", functools.partial(_watched, _of_request)
    with suppress(ImportError):  # LiteLLM's asynchronous requests, too
        import aiohttp

        yield aiohttp.ClientRequest, "send", functools.partial(_watched, _of_aiohttp)
    yield multiprocessing.process.BaseProcess, "start", _told
    # `run`, `os.popen` and asyncio's go through the first.
    yield subprocess.Popen, "__init__", _told
    for name in ("system", "posix_spawn", "posix_spawnp"):
        if hasattr(os, name):
            yield os, name, _told


def _of_connection(connection: Any, method: str, path: str, *_: Any, **__: Any) -> tuple[str, str]:
    return str(connection.host), path


def _of_request(transport: Any, request: Any, *_: Any, **__: Any) -> tuple[str, str]:
    return str(request.url.host), str(request.url.path)


def _of_aiohttp(request: Any, *_: Any, **__: Any) -> tuple[str, str]:
    return str(request.url.host), str(request.url.path)


def _of_transport(transport: Any, request: Any, *_: Any, **__: Any) -> tuple[str, str]:
    address = urlsplit(request.url)
    return str(address.hostname), address.path


def _watched(address: Callable[..., tuple[str, str]], send: Any) -> Any:
    @functools.wraps(send)
    def watched(sender: Any, *args: Any, **kwargs: Any) -> Any:
        attempt, ledger = dspy.settings.usage_tracker, lm_context().ledger
        if isinstance(attempt, RequestUsage):
            _, path = address(sender, *args, **kwargs)
            if _ASKS.search(path) and not _NO_ANSWERS.search(path):
                attempt.sends()
            attempt.sent = True
        elif ledger is not None:
            host, path = address(sender, *args, **kwargs)
            if _ASKS.search(path):
                _note(ledger, host)
        return send(sender, *args, **kwargs)

    return watched


def _told(start: Any) -> Any:
    @functools.wraps(start)
    def starting(*args: Any, **kwargs: Any) -> Any:
        if (ledger := lm_context().ledger) is not None and _is_asked_for(sys._getframe(1)):
            _note(ledger, _PROCESSES)
        return start(*args, **kwargs)

    return starting


def _is_asked_for(frame: FrameType | None) -> bool:
    """Whether neither Python (`platform`), nor DSPy (its interpreter), nor we start a process for ends of their own."""
    while frame is not None and _root(frame) in _STARTERS:
        frame = frame.f_back
    return frame is not None and _root(frame) not in _OTHERS


def _root(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _note(ledger: Ledger, where: str) -> None:
    if where not in ledger.unmetered:
        logger.warning("%s", unmetered(where))
    ledger.unmetered[where] += 1


def unmetered(host: str, times: int = 0) -> str:
    """What to say of requests that passed the meter by."""
    if host == _PROCESSES:
        return (
            f"the program or its metric starts {host}: what these ask of language models is not seen, and no budget "
            "counts it; ask in threads instead"
        )
    many = f"{times} requests" if times > 1 else "a request" if times else "requests"
    return (
        f"the program or its metric sent {many} to a language model at {host} past the meter: no budget counts them, "
        "and no log keeps their answers; ask through dspy.LM, or a dspy.BaseLM of your own"
    )
