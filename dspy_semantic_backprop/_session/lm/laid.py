"""Where a request that LiteLLM is about to send is laid into a batch instead, and answered as by a server.

The one place that all of it passes, with all that makes a request what it is, is the HTTP client below LiteLLM. What is
given back is the reply that the request would have had by itself: errors are read as they always are.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dspy

from ..batch.provider import BatchReply
from ..batch.shipment import BatchedRequest
from .patched import Patched, Replacement, http_clients
from .usage import RequestUsage

_PATCHED = Patched()
_ASKS = "/chat/completions"


@contextmanager
def laid_in() -> Iterator[None]:
    """Inside, requests of ours to a language model that may be laid into a batch are not sent but laid in."""
    with _PATCHED.inside(_senders):
        yield


def _senders() -> Iterator[Replacement]:
    for module in http_clients():
        yield module.Client, "send", functools.partial(_laying, module)
        yield module.AsyncClient, "send", functools.partial(_laying_async, module)


def _laying(module: Any, send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    def laying(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        laid = _laid_in(request)
        if laid is None:
            return send(client, request, *args, **kwargs)
        return _response(module, request, laid.answer.result())

    return laying


def _laying_async(module: Any, send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    async def laying(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        laid = _laid_in(request)
        if laid is None:
            return await send(client, request, *args, **kwargs)
        return _response(module, request, await asyncio.wrap_future(laid.answer))

    return laying


def _laid_in(request: Any) -> BatchedRequest | None:
    attempt = dspy.settings.usage_tracker
    if not isinstance(attempt, RequestUsage) or attempt.lay is None or not str(request.url.path).endswith(_ASKS):
        return None
    body = json.loads(request.content)
    if body.pop("stream", False):
        return None
    attempt.laid = attempt.lay(body)
    return attempt.laid


def _response(module: Any, request: Any, reply: BatchReply | None) -> Any:
    if reply is None:
        raise module.ReadError("the batch came back without a reply to this request", request=request)
    return module.Response(reply.status, json=reply.body, request=request)
