"""How a request is waited for: in a thread or on the event loop, and no longer than a limit.

Every request under way has a daemon thread to itself, one that is idle or a new one. A pool of a fixed size would let
requests wait in it that count as sent, and a model that never returns would keep it, and with it the end of the run,
waiting for ever.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import dspy
from dspy.utils.exceptions import LMTimeoutError

from ..._concurrency import call_in_thread

_LOADED: set[tuple[str, Any]] = set()


def load_client(lm: Any) -> None:
    """Import LiteLLM where DSPy is about to send through it: that takes seconds, which are no model's to answer in."""
    if (which := (str(getattr(lm, "model", "")), getattr(lm, "_engine_spec", None))) in _LOADED:
        return
    with suppress(Exception):  # what is wrong with the client is said by its request
        from dspy.clients._litellm import get_litellm
        from dspy.clients.backend_selection import select_backend

        if not select_backend(lm).native:
            get_litellm(feature="dspy.LM")
    _LOADED.add(which)


async def forward_in_thread(lm: Any, *args: Any, **kwargs: Any) -> Any:
    """The asynchronous `forward` of a language model that has only a synchronous one."""
    return await called_in_thread(lm.forward, *args, **kwargs)


async def called_in_thread(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a blocking function in a thread of its own, which nobody waits for once the caller is cancelled."""
    return await asyncio.wrap_future(call_in_thread(functools.partial(function, *args, **kwargs)))


def within(seconds: float | None, call: Callable[[], Any]) -> Any:
    """Call, and wait no longer than so many seconds for the answer."""
    # A stream is sent on by the thread that DSPy made for it.
    if seconds is None or dspy.settings.send_stream is not None:
        return call()
    answer = call_in_thread(call)
    try:
        return answer.result(seconds)
    except (concurrent.futures.TimeoutError, TimeoutError) as error:
        if answer.done():
            return answer.result()  # it raised this one itself, or was done just now
        raise LMTimeoutError(message=_too_long(seconds)) from error


async def awaited_within(seconds: float | None, call: Awaitable[Any]) -> Any:
    """Await, no longer than so many seconds."""
    try:
        return await asyncio.wait_for(call, seconds)
    except (asyncio.TimeoutError, TimeoutError) as error:
        if seconds is None:
            raise
        raise LMTimeoutError(message=_too_long(seconds)) from error


def _too_long(seconds: float) -> str:
    return f"no answer within {seconds:g} seconds (Limits.request)"


def overrides_call_alone(cls: Any) -> bool:
    """Whether a class of language models overrides `__call__` and not `acall`, as simple doubles do."""
    sync, asynchronous = (
        next(at for at, kind in enumerate(cls.__mro__) if name in vars(kind)) for name in ("__call__", "acall")
    )
    return sync < asynchronous
