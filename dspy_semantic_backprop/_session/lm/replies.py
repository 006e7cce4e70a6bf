"""Replies of servers: whether one answers anything, and usage that a client could not read.

A client that finds a text, a fraction or a negative number where a count of tokens should be raises, and the answer,
which was paid for, would be asked for again. So while a request of a run is under way, such a count is read as 0, as
which it is then booked at the request's bound.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import BaseModel

from .failures import NoAnswer, Withheld
from .patched import Patched, http_clients

_MOST_TOKENS = 10_000_000
"""More than any model reads or writes in one request."""
_WITHHELD = frozenset(
    {
        *("content_filter", "content_filtered", "refusal", "safety", "recitation", "prohibited_content", "blocklist"),
        *("spii", "guardrail_intervened", "error_toxic", "sensitive"),
    }
)
"""Why servers say that they stopped where their rules forbid the answer, in lower case."""
_BROKEN_OFF = frozenset(
    {
        *("error", "failed", "abort", "aborted", "cancelled", "canceled", "timeout", "network_error"),
        "insufficient_system_resource",
    }
)
"""Why they say that they stopped where something failed: what there is of the text is no answer."""
_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")
"""Half of a pair of surrogates: nothing that a program passes on with it can be sent again."""


def count(value: Any) -> int:
    """A count of tokens as a server reported it; 0 where it is none that can be believed."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST_TOKENS:
        return 0
    return int(value) if value == int(value) else 0


def countable(usage: Any) -> dict[str, Any]:
    """What a server reported of its tokens, with 0 for every count that is none."""
    if not isinstance(usage, Mapping):
        return {}
    return {name: _countable(name, value) for name, value in usage.items()}


def _countable(name: Any, value: Any) -> Any:
    if isinstance(value, BaseModel):  # LiteLLM's details
        value = value.model_dump()
    if str(name).lower().endswith("details"):
        return countable(value) if isinstance(value, Mapping) else None
    if name == "cost":
        return value if isinstance(value, (int, float)) else None
    if value is not None and "token" in str(name).lower():
        return count(value)
    return countable(value) if isinstance(value, Mapping) else value


def no_answer(entry: Any, outputs: Any, tools: bool) -> NoAnswer | Withheld | None:
    """The failure that a reply is in which the provider answered nothing; None for an answer.

    Args:
        entry: What DSPy's history has of it; None where it has nothing.
        outputs: What the client gave back.
        tools: Whether tools were offered.
    """
    if not isinstance(outputs, list):
        return None
    response = entry.get("response") if isinstance(entry, dict) else None
    replies = list(response) if isinstance(response, (list, tuple)) else [response]
    ends = [end for reply in replies for end in _ends(reply)]
    if ends and all(end & _WITHHELD for end in ends):
        return Withheld("the provider's content filter withheld the answer")
    if ends and all(end & _BROKEN_OFF for end in ends):
        return NoAnswer(f"the provider broke the answer off ({', '.join(sorted(ends[0] & _BROKEN_OFF))})")
    if any(map(_is_broken, outputs)):
        return NoAnswer("the answer holds halves of characters, which are no text")
    # Of a language model that reports nothing but its outputs nobody knows what it offered by itself.
    if any(_says(one, tools or entry is None) for one in outputs):
        return None
    choices = [choice for reply in replies for choice in _items(_body(reply), "choices")]
    messages = [_field(choice, "message") or choice for choice in choices]
    if any(_field(message, "refusal") for message in messages):
        return Withheld("the provider declined to answer")
    # A model that spent all its tokens before it wrote anything, or that wrote an empty text, has answered so.
    if (ends and all("length" in end for end in ends)) or any(_text(message) == "" for message in messages):
        return None
    if not choices and outputs == [""] and not replies[0]:
        return None
    called = any(_field(one, "tool_calls") for one in outputs)
    said = "only a call of tools, though none were offered" if called else "no content" if choices else "nothing"
    return NoAnswer(f"the reply holds {said}")


def _says(output: Any, tools: bool) -> bool:
    if isinstance(output, str):
        return bool(output)
    return bool(_field(output, "text")) or (tools and bool(_field(output, "tool_calls")))


def _is_broken(output: Any) -> bool:
    text = output if isinstance(output, str) else _field(output, "text")
    return isinstance(text, str) and _HALF_A_CHARACTER.search(text) is not None


def _text(message: Any) -> Any:
    found = _field(message, "content")
    return found if found is not None else _field(message, "text")


def _ends(reply: Any) -> list[set[str]]:
    """Why the server says that it stopped, for each choice, in the client's word for it and in its own."""
    found = [
        (_field(choice, "finish_reason"), _field(_field(choice, "provider_specific_fields"), "native_finish_reason"))
        for choice in _items(_body(reply), "choices")
    ]
    own = _field(reply, "finish_reason") or _field(_field(reply, "incomplete_details"), "reason")
    if not any(map(any, found)):
        found = [(own,)]
    return [words for one in found if (words := {str(word).lower() for word in one if word})]


def _body(reply: Any) -> Any:
    # DSPy's native client keeps what the server sent beside what it made of it.
    sent = _field(reply, "provider_data")
    return sent if isinstance(sent, Mapping) else reply


def _items(thing: Any, name: str) -> Sequence[Any]:
    found = _field(thing, name)
    return found if isinstance(found, (list, tuple)) else ()


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def revived(outputs: Any) -> Any:
    """Outputs from the journal in the form in which DSPy's client gives them: fields of a dict are attributes, too."""
    try:
        from dspy.clients.call_result import attributes
    except ImportError:
        return outputs
    return attributes(outputs)


_PATCHED = Patched()


@contextmanager
def readable_usage(under_way: Callable[[], bool]) -> Iterator[None]:
    """Inside, clients read unreadable counts of tokens as 0 wherever `under_way` says that a request of ours is.

    The two places where DSPy's clients turn a reply's bytes into values: its native client's, and that of `httpx`,
    through which LiteLLM and the providers' own libraries go.
    """
    with _PATCHED.inside(lambda: [(kind, "json", lambda read: _reader(read, under_way)) for kind in _reading()]):
        yield


def _reading() -> list[Any]:
    found: list[Any] = [module.Response for module in http_clients()]
    with suppress(ImportError):
        from dspy._vendor.lm15.providers.base import HttpResponse

        found.append(HttpResponse)
    return found


def _reader(read: Callable[..., Any], under_way: Callable[[], bool]) -> Callable[..., Any]:
    @functools.wraps(read)
    def reading(response: Any, *args: Any, **kwargs: Any) -> Any:
        body = read(response, *args, **kwargs)
        if isinstance(body, dict) and under_way():
            for name in ("usage", "usageMetadata"):
                if body.get(name) is not None:
                    body[name] = countable(body[name]) or {
                        "prompt_tokens": 0,
                        "completion_tokens": 0,
                        "total_tokens": 0,
                    }
        return body

    return reading
