"""Questions of our own to a language model, put as typed DSPy signatures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from ..._values.media import without_markers
from .context import lm_context

REPETITIONS = 1000
"""How far apart the rollouts of repeated sweeps lie."""


@dataclass(frozen=True)
class Reply:
    """What a language model answered to one request."""

    fields: Mapping[str, Any]
    """Output field -> value, those that could be read."""
    text: str | None = None
    """What it wrote, where not every field could be read; None where all could."""


async def ask_once(signature: Any, inputs: Mapping[str, Any], *, rollout: int = 0, json_too: bool = False) -> Reply:
    """Ask a language model to fill a signature: one request, and no error where the reply cannot be read.

    A text among the inputs stays a text, also where it holds what DSPy makes an image or a file of.

    Args:
        signature: A `dspy.Signature` class. The chat format is used whatever adapter the program uses.
        rollout: Tells repeated, otherwise equal requests apart; 0 for the first.
        json_too: Ask once more, in the JSON format, where the chat format cannot be read.
    """
    shown = {name: without_markers(one) if isinstance(one, str) else one for name, one in inputs.items()}
    settings = {"rollout_id": rollout, "temperature": 1.0} if rollout else {}
    adapter = dspy.ChatAdapter(use_json_adapter_fallback=json_too)
    try:
        async with lm_context().turn:
            with dspy.context(adapter=adapter, send_stream=None):
                prediction = await dspy.Predict(signature).acall(config=settings, **shown)
    except AdapterParseError as error:
        return Reply(_readable_part(error, signature), str(error.lm_response))
    return Reply(dict(prediction.items()))


async def ask(signature: Any, inputs: Mapping[str, Any], *, rollout: int = 0) -> dict[str, Any]:
    """As `ask_once`, but ask once more if the reply cannot be read; fields that two replies left out are missing."""
    answered: dict[str, Any] = {}
    rollout += lm_context().rollout * REPETITIONS
    for attempt in (rollout, rollout + REPETITIONS**2):
        reply = await ask_once(signature, inputs, rollout=attempt, json_too=True)
        answered |= reply.fields
        if reply.text is None:
            break
    return answered


def _readable_part(error: BaseException | None, signature: Any) -> dict[str, Any]:
    # The chat format's own failure, with the fields that it could read, hides behind that of the JSON fallback.
    part: dict[str, Any] = {}
    while error is not None:
        found = getattr(error, "parsed_result", None)
        found = found or _json_in(str(getattr(error, "lm_response", "")))
        part = {**found, **part}
        error = error.__context__
    return {name: value for name, value in part.items() if name in signature.output_fields}


def _json_in(text: str) -> dict[str, Any]:
    # Some models answer in JSON whatever they were asked for.
    try:
        found = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def limit(calls: int | None) -> AbstractAsyncContextManager[Any]:
    """A bound on how many calls of `ask` run at once; None for no bound."""
    return asyncio.Semaphore(calls) if calls is not None else nullcontext()
