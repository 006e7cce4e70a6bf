"""One question of the backward pass: answered from the cache or by one request, and what happened is counted.

| name            | what happened                                                                  |
|-----------------|--------------------------------------------------------------------------------|
| asked           | a question was sent                                                            |
| asked again     | a question was sent once more, for the members without a usable answer         |
| cache hit       | a question was answered from the gradient cache                                |
| not cached      | an answer could not be written to the gradient cache                           |
| unreadable      | a reply of which no field could be read                                        |
| refused         | an answer in which the model declined to answer                                |
| echo            | an answer that only repeated an output, the feedback, an instruction or another |
| missing         | a member, or an instruction, that two questions left without a usable answer   |
| false quote     | a quotation that does not stand in the output                                  |
| split           | a group that was too large for one question                                    |
| left out        | a text of which a question showed the beginning and the end only               |
| summarised      | a gradient that was too long and was summarised                                |
| cut             | a summary that was still too long, of which whole sentences were kept          |
| failed call     | a call of the program that produced nothing                                    |
| no gradient     | an example without gradients, since the provider did not answer                |
| not shuffled    | an example with one predictor only, whose gradients nobody else can be given   |
| merged          | lessons that were merged into one statement                                    |
| invented        | an identifier that a merge named and nobody had given                          |
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dspy

from .._session.budget import Purpose
from .._session.ledger import Ledger
from .._session.lm import REPETITIONS, Reply, ask_once, for_purpose, lm_context, sampling
from .cache import GradientCache, key_of

logger = logging.getLogger("dspy_semantic_backprop")


@contextmanager
def backward_context(cache: GradientCache | None = None) -> Iterator[Counter[str]]:
    """Count what happens in the sweeps made inside, and answer their questions from a cache.

    Args:
        cache: Where answers are looked up and kept; None asks every question.

    Yields:
        What happened, by name, how often, such as "asked", "cache hit", "refused" and "missing".
    """
    happened: Counter[str] = Counter()
    with for_purpose(Purpose.BACKWARD, Ledger(), tally=happened, cache=cache):
        yield happened


def count(name: str, times: int = 1) -> None:
    """Count something that happened, by its name in the table of this file, for the run that this call belongs to."""
    if times:
        lm_context().tally[name] += times


async def ask_question(signature: Any, inputs: Mapping[str, str], *, again: bool = False) -> Reply:
    """Ask a question of which all fields are texts, unless it was answered before; see `ask_once`.

    A field that could not be read is missing from the reply. A second question about the same is counted apart.
    """
    here = lm_context()
    rollout = here.rollout * REPETITIONS
    key = key_of([_version(signature), sampling(dspy.settings.lm), dict(inputs), rollout])
    found = here.cache.get(key) if here.cache is not None else None
    if found is not None:
        count("cache hit")
        return Reply(found)
    count("asked again" if again else "asked")
    reply = await ask_once(signature, inputs, rollout=rollout)
    fields = {name: str(value) for name, value in reply.fields.items() if value is not None}
    if not fields:
        # A reply of which nothing can be read is no answer: another run may ask again.
        count("unreadable")
    elif here.cache is not None:
        try:
            here.cache.put(key, fields)
        except OSError as error:
            count("not cached")
            logger.warning("an answer could not be written to the gradient cache: %s", error)
    return Reply(fields, reply.text)


def _version(signature: Any) -> str:
    # What the model is told besides the inputs: a reworded prompt is another question.
    told = [signature.instructions]
    told += [f"{name}: {field.json_schema_extra}" for name, field in signature.fields.items()]
    return hashlib.sha256("\n".join(told).encode("utf-8", "replace")).hexdigest()
