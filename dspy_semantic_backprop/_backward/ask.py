"""One question of the backward pass: answered from the cache, or by one request."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import dspy

from .._session.lm import REPETITIONS, Reply, ask_once, lm_context, sampling
from .cache import key_of
from .tally import note

logger = logging.getLogger("dspy_semantic_backprop")


async def asked(signature: Any, inputs: Mapping[str, str], *, again: bool = False) -> Reply:
    """Ask a question of which all fields are texts, unless it was answered before.

    Args:
        signature: A `dspy.Signature` class.
        inputs: Its input fields.
        again: Whether it is a second question about the same; counted apart.

    Returns:
        The reply; a field that could not be read is missing from it.

    Raises:
        LMError: What the provider refused to answer after all retries.
        ModelUnavailable: For failures that no retry can change.
    """
    here = lm_context()
    rollout = here.rollout * REPETITIONS
    key = key_of([_version(signature), sampling(dspy.settings.lm), dict(inputs), rollout])
    found = here.cache.get(key) if here.cache is not None else None
    if found is not None:
        note("cache hit")
        return Reply(found)
    note("asked again" if again else "asked")
    reply = await ask_once(signature, inputs, rollout=rollout)
    fields = {name: str(value) for name, value in reply.fields.items() if value is not None}
    if not fields:
        note("unreadable")
    elif here.cache is not None:
        # A reply of which nothing can be read is no answer: another run may ask again.
        _keep(key, fields)
    return Reply(fields, reply.text)


def _keep(key: str, fields: Mapping[str, str]) -> None:
    answers = lm_context().cache
    assert answers is not None
    try:
        answers.put(key, fields)
    except OSError as error:
        note("not cached")
        logger.warning("an answer could not be written to the gradient cache: %s", error)


def _version(signature: Any) -> str:
    # What the model is told besides the inputs: a reworded prompt is another question.
    told = [signature.instructions]
    told += [f"{name}: {field.json_schema_extra}" for name, field in signature.fields.items()]
    return hashlib.sha256("\n".join(told).encode("utf-8", "replace")).hexdigest()
