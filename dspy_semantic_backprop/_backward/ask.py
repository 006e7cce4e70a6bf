"""One question of the backward pass: answered from the cache or by one request, and what happened is counted.

The cache is found by the question itself: where a call's inputs, output, instruction and incoming gradient are what
they were, so is the question, and it is not paid for twice, in this run or in another one. Why one JSON file for each
answer: a directory needs no lock, is readable, and a file that a crash tore is one answer lost. Why the server's
address is no part of the key: the same model moves between servers.

| name            | what happened                                                                  |
|-----------------|--------------------------------------------------------------------------------|
| asked           | a question was sent                                                            |
| asked again     | a question was sent once more, for the members without a usable answer         |
| cache hit       | a question was answered from the gradient cache                                |
| not cached      | an answer could not be written to the gradient cache                           |
| unreadable      | a reply of which no field could be read                                        |
| refused         | an answer in which the model declined to answer                                |
| echo            | an answer that only repeated an output, an instruction, another answer, or itself |
| restated        | an answer that only said again what was wanted, which is passed on             |
| unchanged       | an answer that says that nothing must change                                   |
| directions      | a member, or an instruction, that a question asked about                       |
| missing         | a member, or an instruction, that two questions left without a usable answer   |
| false quote     | a quotation that does not stand in the output                                  |
| split           | a group that was too large for one question                                    |
| left out        | a text of which a question showed the beginning and the end only               |
| summarised      | a gradient that was too long and was summarised                                |
| attached        | an image, a sound or a file that a question showed whole                       |
| placeholder     | one that a question only named, with its type and size                         |
| not taken       | a question that was refused with its attachments, and put again without         |
| cut             | a summary that was still too long, of which whole sentences were kept          |
| failed call     | a call of the program that produced nothing                                    |
| no gradient     | an example without gradients, since the provider did not answer                |
| not shuffled    | an example with one predictor only, whose gradients nobody else can be given   |
| merged          | lessons that were merged into one statement                                    |
| invented        | an identifier that a merge named and nobody had given                          |
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import dspy
from pydantic import TypeAdapter

from .._secrets.settings import sampling
from .._session.budget import Purpose
from .._session.ledger import Ledger
from .._session.lm import REPETITIONS, Reply, ask_once, for_purpose, lm_context
from .._terminal import logger


@dataclass(frozen=True)
class _File:
    """What a file holds; another version is not read."""

    version: Literal[1]
    fields: dict[str, str]


_ADAPTER = TypeAdapter(_File)


class GradientCache:
    """A content-addressed store of answers, in memory and where wanted on disk. Thread-safe.

    Args:
        path: A directory, made where it is missing; None keeps the answers in memory only.

    Attributes:
        hits: How many answers were found.
        misses: How many were not.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        if self.path is not None:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.hits = 0
        self.misses = 0
        self._memory: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> GradientCache:
        return self

    def __reduce__(self) -> Any:
        # In another process it is the same directory; without one, it begins empty there.
        return GradientCache, (self.path,)

    def get(self, key: str) -> dict[str, str] | None:
        """The answer under a key; None where there is none, or none that can be read."""
        with self._lock:
            found = self._memory.get(key)
            if found is None and self.path is not None:
                found = _read(self.path / key[:2] / f"{key}.json")
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._memory[key] = found
            return dict(found)

    def put(self, key: str, fields: Mapping[str, str]) -> None:
        """Keep an answer; one that stands there already is replaced.

        Raises:
            OSError: If the directory cannot be written to.
        """
        with self._lock:
            self._memory[key] = dict(fields)
            if self.path is not None:
                _write(self.path / key[:2] / f"{key}.json", _File(1, dict(fields)))


def key_of(question: Any) -> str:
    """The key of a question, everything that its answer depends on: the SHA-256 of its canonical JSON."""
    canonical = json.dumps(question, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _read(file: Path) -> dict[str, str] | None:
    # Read by `json` and not by pydantic, which refuses the lone surrogates that a model may answer with.
    try:
        return _ADAPTER.validate_python(json.loads(file.read_text(encoding="utf-8"))).fields
    except (OSError, ValueError, RecursionError):
        return None


def _write(file: Path, content: _File) -> None:
    # Written beside and renamed, so that a reader never sees half a file.
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(suffix=".tmp", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            json.dump(asdict(content), new)
        os.replace(beside, file)
    finally:
        Path(beside).unlink(missing_ok=True)


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


async def ask_question(signature: Any, inputs: Mapping[str, Any], *, again: bool = False) -> Reply:
    """Ask a question that is answered in texts, unless it was answered before; see `ask_once`.

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
