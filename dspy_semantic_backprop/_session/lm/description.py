"""What may be told of a language model, and what may not: its name and harmless settings; its credentials.

A list of what is harmless, and none of what is secret: providers name their credentials as they like (`azure_ad_token`,
`aws_session_token`, `extra_body={"password": ...}`), and a setting that nobody has thought of is not told. The price:
such a setting is no part of what makes two runs the same.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ..._secrets import cleaned, learn
from ..entries import plain

_HARMLESS = frozenset(
    (
        *("temperature", "top_p", "top_k", "min_p", "top_a", "typical_p", "tfs_z", "n", "best_of", "seed"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "num_ctx", "num_predict"),
        *("stop", "stop_sequences", "presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty"),
        *("logprobs", "top_logprobs", "logit_bias", "response_format", "response_mime_type", "response_schema"),
        *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "grammar", "verbosity", "modalities"),
        *("reasoning_effort", "effort", "budget_tokens", "thinking_budget", "enable_thinking", "include_reasoning"),
        *("tool_choice", "parallel_tool_calls", "do_sample", "use_beam_search", "early_stopping", "ignore_eos"),
        *("mirostat", "mirostat_eta", "mirostat_tau", "skip_special_tokens", "safe_prompt", "truncation", "type"),
        *("model_type", "service_tier", "api_version", "custom_llm_provider", "drop_params", "stream"),
        *("aws_region_name", "vertex_location", "summary", "quantizations", "rollout_id"),
    )
)
_CONTAINERS = frozenset(
    (
        *("extra_body", "optional_params", "chat_template_kwargs", "thinking", "reasoning", "generation_config"),
        *("generationConfig", "options", "config", "provider", "thinking_config", "text"),
    )
)
"""Settings that hold further ones."""
_TELLING = re.compile(r"key|token(?!s)|secret|passw|auth|headers|credential|cookie|client|engine", re.IGNORECASE)
"""Attributes of language models, of their engines and HTTP clients, that may hold a secret."""
_DEEPEST = 5


def sampling(lm: Any) -> dict[str, Any]:
    """What the answers of a language model depend on besides the question: its name and its harmless settings."""
    name = cleaned(str(getattr(lm, "model", type(lm).__name__)))
    return {"model": name, "settings": harmless(getattr(lm, "kwargs", None) or {})}


def harmless(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that may be read by anybody."""
    told = {name: plain(value) for name, value in settings.items() if name in _HARMLESS}
    inner = {name: value for name, value in settings.items() if name in _CONTAINERS and isinstance(value, Mapping)}
    return told | {name: found for name, value in inner.items() if (found := harmless(value))}


def learn_secrets(lm: Any, settings: Mapping[str, Any] | None = None) -> None:
    """Let the credentials of a language model, and of one request to it, stand in no text from now on."""
    given = {**(getattr(lm, "kwargs", None) or {}), **(settings or {})}
    held = {name: value for name, value in vars(lm).items() if _TELLING.search(name)}
    texts = {*_texts(_untold(given)), *_texts(held)}
    # A stand-in for a key, such as the model's own name, is no secret.
    model = str(getattr(lm, "model", ""))
    learn(text for text in texts if text not in model)


def _untold(settings: Mapping[str, Any]) -> dict[str, Any]:
    content = ("messages", "prompt", "tools")
    return {name: value for name, value in settings.items() if name not in _HARMLESS and name not in content}


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """The texts in a value, and the parts of each that may stand alone."""
    value = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    if isinstance(value, (str, bytes)):
        yield from _parts(value if isinstance(value, str) else value.decode("latin-1"), depth)
        return
    for item in _items(value) if depth < _DEEPEST else ():
        yield from _texts(item, depth + 1)


def _items(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [item for name, item in value.items() if name not in _HARMLESS]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return [item for name, item in vars(value).items() if _TELLING.search(name)]
    return []


def _parts(text: str, depth: int) -> Iterator[str]:
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            yield from _texts(json.loads(text), depth + 1)
    if "://" in text:
        # Of an address the secret parts only: errors are of no use without the host.
        yield from _of_address(text)
        return
    yield text
    # A certificate is shown line by line; a header holds the key behind the name of its scheme.
    yield from text.splitlines()
    key = text.partition(" ")[2]
    if " " not in key:
        yield key


def _of_address(text: str) -> Iterator[str]:
    try:
        address = urlsplit(text)
        user, password = address.username or "", address.password or ""
    except ValueError:
        return
    if user or password:
        pair = f"{unquote(user)}:{unquote(password)}"
        yield from (password, unquote(password), pair, base64.b64encode(pair.encode("utf-8", "replace")).decode())
    for pair in address.query.split("&"):
        yield pair.partition("=")[2]
