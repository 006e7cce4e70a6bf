"""Requests to language models that pass the meter by: they are not held back, but they are told.

A program may ask a provider through a client that is no `dspy.BaseLM`, or call a language model's `forward` itself.
Such a request is seen where nearly all clients send theirs: in `httpx`, its successor, and `http.client`.
"""

from __future__ import annotations

import functools
import http.client
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..._terminal import logger
from .context import lm_context
from .patched import Patched, Replacement, http_clients

_ASKS = re.compile(
    r"/(chat/completions|completions|responses|messages|embeddings|rerank|invoke|converse|api/(chat|generate))/?(\?|$)"
    r"|:(stream)?generateContent"
)
"""Ends of the addresses at which the providers' language models are asked."""
_PATCHED = Patched()


@contextmanager
def unmetered_seen(under_way: Callable[[], bool]) -> Iterator[None]:
    """Inside, a request to a language model is noted wherever `under_way` does not say that it is one of ours."""
    with _PATCHED.inside(lambda: _senders(under_way)):
        yield


def _senders(under_way: Callable[[], bool]) -> Iterator[Replacement]:
    yield http.client.HTTPConnection, "putrequest", functools.partial(_watched, under_way, _of_connection)
    for module in http_clients():
        for kind in (module.Client, module.AsyncClient):
            yield kind, "send", functools.partial(_watched, under_way, _of_request)


def _of_connection(connection: Any, method: str, path: str, *_: Any, **__: Any) -> tuple[str, str]:
    return str(connection.host), path


def _of_request(client: Any, request: Any, *_: Any, **__: Any) -> tuple[str, str]:
    return str(request.url.host), str(request.url.path)


def _watched(under_way: Callable[[], bool], address: Callable[..., tuple[str, str]], send: Any) -> Any:
    @functools.wraps(send)
    def watched(sender: Any, *args: Any, **kwargs: Any) -> Any:
        ledger = lm_context().ledger
        if ledger is not None and not under_way():
            host, path = address(sender, *args, **kwargs)
            if _ASKS.search(path):
                if host not in ledger.unmetered:
                    logger.warning("%s", unmetered(host))
                ledger.unmetered[host] += 1
        return send(sender, *args, **kwargs)

    return watched


def unmetered(host: str, times: int = 0) -> str:
    """What to say of requests that passed the meter by."""
    many = f"{times} requests" if times > 1 else "a request" if times else "requests"
    return (
        f"the program or its metric sent {many} to a language model at {host} past the meter: no budget counts them, "
        "and no log keeps their answers; ask through dspy.LM, or a dspy.BaseLM of your own"
    )
