"""The gradient cache: answers of the gradient model, found again by what they depend on.

The key is the question itself: where a call's inputs, output, instruction and incoming gradient are what they were,
so is the question, and it is not paid for twice, in this run or in another one.

Why one JSON file for each answer: a directory needs no lock, is readable, and a file that a crash tore is one
answer lost. Why the server's address is no part of the key: the same model moves between servers.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter


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
            self.path.mkdir(parents=True, exist_ok=True)
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
    beside = file.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        beside.write_text(json.dumps(asdict(content)), encoding="utf-8")
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
