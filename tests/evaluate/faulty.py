"""A language model's server that spoils some of its replies, told by the number of the request or by its content."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import dspy

from dspy_semantic_backprop.testing import SimulatedServer
from tests.scripted import Rule, careful

Spoil = Callable[[dict[str, Any]], tuple[int, Any]]
"""The good reply -> the status and the body sent instead of it."""
When = Callable[[int, bytes], bool]
"""The number of a request, from 1, and its body -> whether its reply is spoilt."""


def status(number: int, **error: Any) -> Spoil:
    """A refusal."""
    return lambda reply: (number, {"error": {"message": "no", "type": "x", "code": None, **error}})


def _unchanged(reply: dict[str, Any]) -> tuple[int, Any]:
    return 200, reply


def choice(finish: str = "stop", **message: Any) -> Spoil:
    """A reply with one choice."""
    told = {"role": "assistant", **message}
    return lambda reply: (200, {**reply, "choices": [{"index": 0, "finish_reason": finish, "message": told}]})


def usage(**reported: Any) -> Spoil:
    """The good answer with another usage."""
    return lambda reply: (200, {**reply, "usage": reported})


def replaced(**fields: Any) -> Spoil:
    """The good answer with other fields."""
    return lambda reply: (200, {**reply, **fields})


def always(number: int, body: bytes) -> bool:
    """Every request."""
    return True


def some(number: int, body: bytes) -> bool:
    """Half of all questions, whenever and of whatever model they are asked."""
    asked = json.dumps(json.loads(body)["messages"][-1])
    return hashlib.sha256(asked.encode()).digest()[0] < 128


def since(first: int) -> When:
    """All requests from one on."""
    return lambda number, body: number >= first


def firsts() -> When:
    """The first time that each question is asked."""
    seen: set[bytes] = set()

    def first(number: int, body: bytes) -> bool:
        known = body in seen
        seen.add(body)
        return not known

    return first


@dataclass(eq=False)
class Faulty(SimulatedServer):
    """A server that spoils the replies for which `when` says so."""

    spoil: Spoil = _unchanged
    when: When = some
    retry_after: float | None = None
    """Seconds after which a spoilt request may be sent again, as its reply says; None: it says nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.numbers = itertools.count(1)
        self.spoilt = 0

    def respond(self, body: bytes) -> Any:
        """The reply, spoilt where it is to be."""
        sent = super().respond(body)
        if not self.when(next(self.numbers), body):
            return sent
        self.spoilt += 1
        code, content = self.spoil(json.loads(sent.body))
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return replace(sent, status=code, body=body, retry_after=self.retry_after)


@contextmanager
def spoiling(
    spoil: Spoil, when: When = some, *, rule: Rule = careful, retry_after: float | None = None, **lm: Any
) -> Iterator[Faulty]:
    """Serve a rule with spoilt replies, and make it DSPy's language model."""
    settings = {"cache": False, "num_retries": 0, "max_tokens": 60, **lm}
    server = Faulty(rule, spoil=spoil, when=when, retry_after=retry_after)
    with server, dspy.context(lm=server.lm(**settings)):
        yield server
