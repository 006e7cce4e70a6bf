"""A provider's batch interface, as LiteLLM's client has it: files of requests, batches, files of replies."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dspy

ENDPOINT = "/v1/chat/completions"
_PROVIDERS = ("openai",)
"""Whose batches LiteLLM makes, lists and reads in the form that this package writes and has tried."""
_ACCESS = ("api_key", "api_base", "base_url", "organization", "extra_headers")
_AGAIN = (408, 409, 425, 429)
_TRANSPORT = ("APIConnectionError", "APITimeoutError", "Timeout", "TransportError")
_PAGES, _PAGE = 20, 100
"""How many batches of an account are looked through at most, the newest first."""
HALF = 0.5
"""What providers take for a request in a batch, of its ordinary price, where LiteLLM knows no other price."""


@dataclass(frozen=True)
class BatchReply:
    """What a batch came back with for one request: the HTTP status that it would have had by itself, and the body."""

    status: int
    body: Any


def unbatchable(lm: Any) -> str:
    """Why requests of a language model cannot be sent in batches, in words; "" where they can."""
    name = repr(getattr(lm, "model", type(lm).__name__))
    plain = (dspy.LM.forward, dspy.LM.aforward)
    if not isinstance(lm, dspy.LM) or (type(lm).forward, type(lm).aforward) != plain:
        return f"{name} is a {type(lm).__name__}, not a dspy.LM: LiteLLM, which sends the batches, does not reach it"
    if not isinstance(getattr(lm, "engine", "auto"), str):
        return f"{name} has an engine of its own, which LiteLLM, which sends the batches, does not reach"
    if lm.model_type != "chat":
        return f"{name} is of model_type {lm.model_type!r}; batches are made of chat completions"
    if lm.kwargs.get("prompt_cache") is not None:
        return f"{name} has a prompt_cache, which DSPy's client through LiteLLM, which sends the batches, does not take"
    provider = lm.kwargs.get("custom_llm_provider") or _provider(lm.model)
    if provider not in _PROVIDERS:
        return (
            f"{name} is of {provider or 'no provider that LiteLLM knows'}, whose batches LiteLLM does not both make "
            f"and read in the form of OpenAI's; supported is openai/..., also at another api_base with that interface"
        )
    return ""


@functools.cache
def _provider(model: str) -> str:
    import litellm

    before, litellm.suppress_debug_info = litellm.suppress_debug_info, True
    try:
        return litellm.get_llm_provider(model)[1]
    except Exception:  # noqa: BLE001 - LiteLLM raises what it likes for a model that it does not know
        return ""
    finally:
        litellm.suppress_debug_info = before


def access_of(lm: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """By what a language model's provider is reached: address and credentials, as LiteLLM's functions take them."""
    known = {**lm.kwargs, **settings}
    found = {name: known[name] for name in _ACCESS if known.get(name) is not None}
    base = found.pop("base_url", None)
    return {**({"api_base": base} if base else {}), **found}


def is_passing(error: BaseException) -> bool:
    """Whether the same call of a batch interface may well succeed later."""
    if getattr(error, "code", None) == "insufficient_quota":
        return False
    status = status_of(error)
    if status:
        return status in _AGAIN or status >= 500
    named = any(kind.__name__ in _TRANSPORT for kind in type(error).__mro__)
    return named or isinstance(error, (ConnectionError, TimeoutError))


def status_of(error: BaseException) -> int:
    """The HTTP status that a call of a batch interface failed with; 0 where it has none."""
    found = getattr(error, "status_code", None)
    return found if isinstance(found, int) else 0


class Provider:
    """The batch interface of one provider, for one account. Every method is one request, and raises what that does."""

    def __init__(self, access: Mapping[str, Any]) -> None:
        import litellm

        self._litellm: Any = litellm
        # A second try of the client's own might make a second batch.
        self._how = {**access, "custom_llm_provider": "openai", "max_retries": 0}

    def upload(self, lines: bytes) -> str:
        """Send a file of requests; its name there. It costs nothing."""
        return self._litellm.create_file(file=("requests.jsonl", lines), purpose="batch", **self._how).id

    def create(self, file: str, name: str) -> str:
        """Make a batch of a file, under a name of ours; its name there."""
        found = self._litellm.create_batch(
            completion_window="24h", endpoint=ENDPOINT, input_file_id=file, metadata={"run": name}, **self._how
        )
        return found.id

    def find(self, name: str) -> str | None:
        """The batch that was made under a name of ours; None where there is none."""
        after = None
        for _ in range(_PAGES):
            page = list(self._litellm.list_batches(after=after, limit=_PAGE, **self._how).data)
            for one in page:
                if (one.metadata or {}).get("run") == name:
                    return one.id
            if len(page) < _PAGE:
                return None
            after = page[-1].id
        return None

    def look(self, batch: str) -> Any:
        """How a batch is doing."""
        return self._litellm.retrieve_batch(batch_id=batch, **self._how)

    def lines(self, file: str) -> list[Mapping[str, Any]]:
        """The lines of a file of replies that can be read."""
        readable = []
        for line in self._litellm.file_content(file_id=file, **self._how).content.splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and isinstance(found.get("custom_id"), str):
                readable.append(found)
        return readable


def reply_of(line: Mapping[str, Any]) -> BatchReply | None:
    """What a line of a file of replies says; None where that is nothing."""
    response, error = line.get("response"), line.get("error")
    status = response.get("status_code") if isinstance(response, Mapping) else None
    if isinstance(response, Mapping) and isinstance(status, int) and 100 <= status <= 599:
        return BatchReply(status, response.get("body"))
    if isinstance(error, Mapping):
        # What the provider never came to is as good as a server that is busy: it costs nothing.
        return BatchReply(
            503, {"error": {"message": str(error.get("message")), "code": error.get("code"), "type": "batch"}}
        )
    return None
