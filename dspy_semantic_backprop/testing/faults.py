"""How the simulated server misbehaves: statuses, replies that are none, connections that break, and odd usage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

UNPARSABLE = "I would rather not say."
"""What a model says that no adapter can read."""

_ERRORS = {
    "rate_limit": (429, "Too many requests, slow down.", "rate_limit_exceeded"),
    "server_error": (500, "The server had an error.", "server_error"),
    "auth": (401, "Incorrect API key provided.", "invalid_api_key"),
    "unknown_model": (404, "The model does not exist.", "model_not_found"),
    "billing": (429, "You exceeded your current quota.", "insufficient_quota"),
}
_TOOL_CALL = {"id": "call", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}


def _changed(**parts: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Change parts of each choice of a completion; a mapping changes the parts of its message."""

    def change(completion: dict[str, Any]) -> dict[str, Any]:
        choices = [
            {**choice, **parts, "message": {**choice["message"], **parts.get("message", {})}}
            for choice in completion["choices"]
        ]
        return {**completion, "choices": choices}

    return change


def _used(usage: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Let a completion state another usage; a function is given the true one."""
    return lambda completion: {**completion, "usage": usage(completion["usage"]) if callable(usage) else usage}


def _each(change: Callable[[int], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return _used(lambda usage: {name: change(count) for name, count in usage.items()})


REPLIES: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "no choices": lambda completion: {**completion, "choices": []},
    "null choices": lambda completion: {**completion, "choices": None},
    "null message": _changed(message={"content": None}),
    "tool calls only": _changed(message={"content": None, "tool_calls": [_TOOL_CALL]}, finish_reason="tool_calls"),
    "content filter": _changed(message={"content": ""}, finish_reason="content_filter"),
    "broken off": _changed(message={"content": ""}, finish_reason="error"),
    "error in the body": lambda _: {"error": {"message": "Upstream is overloaded.", "code": 502}},
    "null": lambda _: None,
    "list": lambda _: [],
    "cut short": lambda completion: json.dumps(completion).encode()[:-40],
    "html": lambda _: b"<html><body>502 Bad Gateway</body></html>",
    "plain text": lambda _: b"upstream connect error",
    "empty body": lambda _: b"",
    "not UTF-8": lambda completion: json.dumps(completion).encode().replace(b'"content": "', b'"content": "\xe9\xff'),
    "usage missing": lambda completion: {name: part for name, part in completion.items() if name != "usage"},
    "usage null": _used(None),
    "usage of nulls": _each(lambda _: None),
    "usage zero": _each(lambda _: 0),
    "usage negative": _each(lambda count: -count),
    "usage float": _each(lambda count: count + 0.5),
    "usage text": _each(str),
}
"""What else may be wrong with a 200: the name of the fault -> the body sent in place of a good completion."""

CONNECTIONS = ("reset", "cut off", "slow")
"""A connection that is reset, that ends in the middle of the body, or that gives a byte at a time."""

_TYPES = {"html": "text/html", "plain text": "text/plain"}


@dataclass(frozen=True)
class Faults:
    """How often the server misbehaves, as shares (0 to 1) of the requests; together at most 1.

    Arguments:
        rate_limit: 429 with a `Retry-After` of `retry_after` seconds.
        server_error: 500.
        garbage: 200 with a body that is not JSON, though it says so.
        drop: the connection is closed without an answer.
        hang: the connection stays silent for `hang_seconds` and is closed then.
        malformed: a well-formed reply whose content no adapter can parse.
        auth: 401.
        unknown_model: 404.
        billing: 429 that says the quota is used up.
        status: HTTP status -> its share; none of them comes with a `Retry-After`.
        reply: what is wrong with a 200 -> its share: no choices, tool calls only, content filter, cut short, html,
            usage negative and others of `REPLIES`; reset, cut off and slow, of the connection.
        hang_seconds: seconds that a hanging request waits, and that a slow one takes.
        retry_after: seconds after which a rate-limited request may be sent again.
        spared: how many requests are answered well before any fault strikes.
    """

    rate_limit: float = 0.0
    server_error: float = 0.0
    garbage: float = 0.0
    drop: float = 0.0
    hang: float = 0.0
    malformed: float = 0.0
    auth: float = 0.0
    unknown_model: float = 0.0
    billing: float = 0.0
    status: Mapping[int, float] = field(default_factory=dict)
    reply: Mapping[str, float] = field(default_factory=dict)
    hang_seconds: float = 30.0
    retry_after: float = 0.0
    spared: int = 0

    def __post_init__(self) -> None:
        rates = [share for _, share in self._shares()]
        if min(rates) < 0 or sum(rates) > 1 + 1e-9:
            raise ValueError(f"fault rates must be shares that sum to at most 1, got {rates}")
        if unknown := set(self.reply) - {*REPLIES, *CONNECTIONS}:
            raise ValueError(
                f"no such reply: {', '.join(sorted(unknown))}; known: {', '.join([*REPLIES, *CONNECTIONS])}"
            )

    def _shares(self) -> Iterator[tuple[str, float]]:
        for one in fields(self):
            share = getattr(self, one.name)
            if isinstance(share, Mapping):
                yield from ((str(name), part) for name, part in share.items())
            elif one.name not in ("hang_seconds", "retry_after", "spared"):
                yield one.name, share

    def hit(self, seed: int, content: bytes, nth: int) -> str:
        """The fault that strikes a request; another one where its content came `nth` times before, as in a retry."""
        digest = hashlib.sha256(b"%d\0%d\0" % (seed, nth) + content).digest()
        point = int.from_bytes(digest[:8], "big") / 2**64
        for name, share in self._shares():
            if point < share:
                return name
            point -= share
        return ""


@dataclass(frozen=True)
class Sent:
    """What goes over the wire for one request.

    Arguments:
        status: the HTTP status; 0 where the connection is closed without one.
        kind: the content type.
        connection: one of `CONNECTIONS`, or empty.
        retry_after: seconds; None for no such header.
    """

    status: int
    body: bytes = b""
    kind: str = "application/json"
    connection: str = ""
    retry_after: float | None = None


def error_body(message: str, kind: str = "server_error", code: str | None = None) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code or kind}}


def error(faults: Faults, fault: str) -> Sent | None:
    """What is sent for a fault that leaves no reply of the model's; None for any other."""
    if fault in ("hang", "drop", "reset"):
        return Sent(0, connection=fault)
    if fault == "garbage":
        return Sent(200, b"<html>busy</html>")
    if fault not in _ERRORS and not fault.isdigit():
        return None
    status, message, code = _ERRORS.get(fault) or (int(fault), f"The server says {fault}.", f"status_{fault}")
    # LiteLLM goes by the type where it contradicts the status.
    kind = "invalid_request_error" if fault in ("auth", "unknown_model") else code
    after = faults.retry_after if fault in ("rate_limit", "billing") else None
    return Sent(status, json.dumps(error_body(message, kind, code)).encode(), retry_after=after)


def reply(fault: str, completion: dict[str, Any]) -> Sent:
    """A completion, or what a fault makes of it."""
    body = REPLIES[fault](completion) if fault in REPLIES else completion
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Sent(200, content, _TYPES.get(fault, "application/json"), fault if fault in CONNECTIONS else "")


def is_answer(fault: str) -> bool:
    """Whether a client gets the model's answer all the same."""
    return fault in ("", "malformed", "slow") or fault.startswith("usage")
