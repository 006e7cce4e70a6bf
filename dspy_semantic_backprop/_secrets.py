"""Texts without secrets: what stands in an error may be read by anybody.

Providers, HTTP clients and tools repeat in their errors what they were called with: a key, a header, an address with
its password. Two things are done about it. Addresses and headers are known by their form, wherever they stand. The
values that language models were given as credentials are known by heart: whoever meets a language model calls
`learn_secrets`, and from then on, in this process, these values stand in no text that went through `cleaned`. What
program, metric, tools and subscribers hold is looked at where one of them raises: the values that have the name of a
secret and look like one.

Of a language model itself its name and its harmless settings may be told: a list of what is harmless, and none of what
is secret, for providers name their credentials as they like (`azure_ad_token`, `extra_body={"password": ...}`), and a
setting that nobody has thought of is not told. The price: such a setting is no part of what makes two runs the same.

What cannot be done: a value that was never learned and has no known form (a token that a client fetches by itself), one
that was changed on its way otherwise than in base64 or hexadecimal, and the variables of frames, that some tools print.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import re
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import islice
from types import FrameType, SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

HIDDEN = "[hidden]"
_SHORTEST, _UNMISTAKABLE, _LONG = 6, 12, 16
"""Characters: shorter values are left, since words would be; below the second only whole words are hidden; from the
third on the beginning of a value is enough, since errors shorten and mask keys."""
_BEGINNING = 8
_DEEPEST, _DEEPEST_SETTING = 20, 5
_SECRET = r"[\w.-]{0,40}(?:key|token|secret|passw|pwd|signature|sig|credential|auth)[\w.-]{0,40}"
_FORMS = (
    # https://user:password@host
    (re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://)[^\s/\"'<>]*@"), r"\1"),
    # ?api_key=...&
    (re.compile(rf"([?&;]{_SECRET}=)[^&;\s\"'<>#]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # x-api-key: ...
    (
        re.compile(
            r"(\b(?:proxy-)?authorization\b[\"']?\s*[:=]\s*(?:b?[\"'])?(?:[a-z]+ +(?=\S))?"
            r"|\b(?:[\w-]{1,40}-)?(?:api|subscription)[-_]?key\b[\"']?\s*[:=]\s*(?:b?[\"'])?)"
            # What was hidden before is hidden alike: else an error that says where a key goes would be lost for it.
            r"(?!\.\.\.)(?:\[hidden\]|[^\s\"',;}\])]+)",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # Bearer ...
    (re.compile(r"(\b(?:bearer|basic) +)(?=\S*\d)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
)
_NAMES = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|BEARER|COOKIE|WEBHOOK|LICEN[CS]E|_DSN$|_AUTH$|CONNECTION_STRING|_PAT$|_SAS$"
)
"""Of environment variables."""
_learned: set[str] = set()
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
_CONTENT = ("messages", "prompt", "tools")
"""Arguments of a request that are the question itself."""
_TELLING = re.compile(r"key|token(?!s)|secret|passw|auth|headers|credential|cookie|client|engine", re.IGNORECASE)
"""Attributes of language models, of their engines and HTTP clients, that may hold a secret."""
_LOOKS = re.compile(r"(?=[a-zA-Z]*\d)(?=\d*[a-zA-Z])[a-zA-Z0-9]{8}")
"""What no word, number, date or name of a model has in it, and most keys do."""
_DSPYS = frozenset({"history", "callbacks", "kwargs", "model"})
"""Attributes of language models that are told, or learned, in another way."""
_SELECTIONS = ("_engine_spec", "_async_engine_spec")
"""What DSPy sends through, mostly by name; an engine of the user's own is looked at where an error comes from it."""
_OF_HTTP = ("method", "status_code", "status", "reason", "reason_phrase", "text")
"""What is told of a request or a reply, beside its address and its headers."""
_MOST_HELD, _DEEPEST_HELD = 400, 3
"""How many values are looked at in each place that an error came through, and how deep inside each other."""
_FOREIGN = ("dspy", "litellm", "asyncio", "concurrent", "threading", __name__.partition(".")[0])
"""Packages whose functions hold no secret that is not a language model's."""


def sampling(lm: Any) -> dict[str, Any]:
    """What the answers of a language model depend on besides the question: its name and its harmless settings."""
    # Not by what was learned: what two runs have in common must not depend on the keys that a process has met before.
    name = _formless(str(getattr(lm, "model", type(lm).__name__)))
    return {"model": name, "settings": harmless(getattr(lm, "kwargs", None) or {})}


def harmless(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that may be read by anybody."""
    told = {name: value for name, value in settings.items() if name in _HARMLESS}
    inner = {name: value for name, value in settings.items() if name in _CONTAINERS and isinstance(value, Mapping)}
    return told | {name: found for name, value in inner.items() if (found := harmless(value))}


def learn_secrets(lm: Any, settings: Mapping[str, Any] | None = None) -> None:
    """Let the credentials of a language model, and of one request to it, stand in no text from now on."""
    given = {**(getattr(lm, "kwargs", None) or {}), **(settings or {})}
    given = {name: value for name, value in given.items() if name not in _CONTENT}
    held = {name: value for name, value in vars(lm).items() if _TELLING.search(name) and name not in _SELECTIONS}
    model = str(getattr(lm, "model", ""))
    # A stand-in for a key, such as the model's own name, is no secret; nor is what any text may hold.
    _learned.update(text for text in (*_texts(given), *_texts(held)) if len(text) >= _SHORTEST and text not in model)


def credentials(lm: Any) -> set[str]:
    """The credentials in a language model's settings, by the names that they are held under, and in the environment."""
    given = getattr(lm, "kwargs", None) or {}
    found = {text for text in _texts({name: one for name, one in _named(given) if _TELLING.search(name)})}
    found |= {text for _, one in _named(given) if isinstance(one, str) and "://" in one for text in _texts(one)}
    model = str(getattr(lm, "model", ""))
    return {one for one in found if len(one) >= _SHORTEST and one not in model} | _of_environment()


def _named(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings by name, those inside others too."""
    for name, value in settings.items():
        yield str(name), value
        if isinstance(value, Mapping):
            yield from _named(value)


def cleaned(text: str) -> str:
    """A text without the secrets that are known, or that stand in it in a known form."""
    secrets = frozenset(_learned | _of_environment())
    text = _pattern(secrets).sub(HIDDEN, _formless(text))
    for encoded in _encoded(secrets):
        text = text.replace(encoded, HIDDEN)
    return text


def _formless(text: str) -> str:
    for form, instead in _FORMS:
        text = form.sub(instead, text)
    return text


def hide(error: BaseException) -> None:
    """Take secrets out of an error's texts, and out of those of the errors behind it, in place."""
    _hide(error, set())


def learn_from(error: BaseException) -> None:
    """Learn the secrets that are at hand where an error came through: those of language models, and what looks so."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        # What is looked at is the user's, and may have code of its own.
        with contextlib.suppress(Exception):
            _learned.update(filter(_looks_secret, _of_held(_held(frame))))


def _held(frame: FrameType) -> list[Any]:
    """What a function holds that may be secret; of a language model its attributes, which are learned by name, too."""
    here = frame.f_locals.get("self")
    if hasattr(here, "kwargs") and hasattr(here, "model"):
        settings = frame.f_locals.get("kwargs")
        learn_secrets(here, settings if isinstance(settings, Mapping) else None)
        return [value for name, value in _attributes(here) if name not in _DSPYS]
    if str(frame.f_globals.get("__name__")).partition(".")[0] in _FOREIGN:
        return []
    return [value for name, value in _at_hand(frame, here) if _TELLING.search(name)]


def _of_held(values: Iterable[Any]) -> Iterator[str]:
    """The texts in values and in what these hold, the nearest first."""
    waiting = deque((value, 0) for value in values)
    for _ in range(_MOST_HELD):
        if not waiting:
            return
        value, depth = waiting.popleft()
        if isinstance(value, (str, bytes, bytearray)):
            yield from _texts(value)
        elif depth < _DEEPEST_HELD:
            waiting.extend((_opened(item), depth + 1) for item in islice(_items(value, told=True), _MOST_HELD))


def _looks_secret(text: str) -> bool:
    spaced = any(map(str.isspace, text))
    return len(text) >= _UNMISTAKABLE and not spaced and _LOOKS.search(text) is not None


def _at_hand(frame: FrameType, here: Any) -> Iterator[tuple[str, Any]]:
    """What a function works with, by name: its variables, those around it, and what its object holds."""
    yield from frame.f_locals.items()
    yield from ((name, frame.f_globals[name]) for name in frame.f_code.co_names if name in frame.f_globals)
    yield from _attributes(here)


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    kinds = [kind for kind in type(thing).__mro__ if not kind.__module__.startswith(("dspy.", "builtins"))]
    for kind in kinds:
        own = {name: value for name, value in vars(kind).items() if not name.startswith("__") and not callable(value)}
        slots = vars(kind).get("__slots__", ())
        yield from ((name, getattr(thing, name, None)) for name in ((slots,) if isinstance(slots, str) else slots))
        yield from own.items()
    yield from getattr(thing, "__dict__", {}).items()


def _hide(error: BaseException, known: set[int]) -> None:
    if id(error) in known or len(known) > _DEEPEST:
        return
    known.add(id(error))
    learn_from(error)
    error.args = tuple(map(_without, error.args))
    for name, value in list(getattr(error, "__dict__", {}).items()):
        without = _without(value)
        if without is not value and without != value:
            with contextlib.suppress(Exception):  # an error may be frozen
                setattr(error, name, without)
    if _tells(error):
        # Its text comes from where it cannot be taken out: better none than that.
        error.args = (f"{type(error).__name__} {HIDDEN}",)
    held = [value for value in getattr(error, "__dict__", {}).values() if isinstance(value, BaseException)]
    behind = [one for one in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())) if one is not None]
    for one in (*behind, *held):
        _hide(one, known)
    if any(map(_tells, behind)):
        error.__cause__ = error.__context__ = None


def _tells(error: BaseException) -> bool:
    try:
        return any(cleaned(text) != text for text in (str(error), repr(error)))
    except Exception:  # noqa: BLE001 - what cannot be made a text tells nothing
        return False


def _without(value: Any) -> Any:
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        return value if cleaned(text) == text else cleaned(text).encode("latin-1")
    if type(value) is dict:
        return {name: _without(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_without, value))
    if value is None or isinstance(value, (int, float, BaseException, type)):
        return value
    return _of_object(value)


def _of_object(value: Any) -> Any:
    """What may stay of what an error holds: of a request or reply over HTTP what is no secret, of others their text."""
    try:
        if hasattr(headers := getattr(value, "headers", None), "items"):
            return _of_message(value, headers)
        if isinstance(value, Mapping) and not isinstance(value, dict):
            return _without(dict(value))
        said = repr(value)
        return value if said == (shown := cleaned(said)) else shown
    except Exception:  # noqa: BLE001 - what cannot be looked at tells nothing
        return value


def _of_message(value: Any, headers: Any) -> SimpleNamespace:
    told: dict[str, Any] = {"url": cleaned(str(getattr(value, "url", ""))), "headers": _without(dict(headers.items()))}
    for name in _OF_HTTP:
        with contextlib.suppress(Exception):  # the text of a stream that nobody read
            if isinstance(one := getattr(value, name), (str, int)):
                told[name] = _without(one)
    return SimpleNamespace(**told)


def _of_environment() -> set[str]:
    return {value for name, value in os.environ.items() if len(value) >= _BEGINNING and _NAMES.search(name.upper())}


@functools.lru_cache(maxsize=8)
def _encoded(secrets: frozenset[str]) -> list[str]:
    """What stands in base64, wherever in the encoded text a secret begins, and in hexadecimal."""
    found = []
    for one in (secret.encode("utf-8", "replace") for secret in secrets if len(secret) >= _UNMISTAKABLE):
        found += [one.hex(), one.hex().upper()]
        for before in range(3):
            # The first and last characters depend on what stands beside it.
            whole = base64.b64encode(bytes(before) + one).decode()
            start, end = (0, 2, 3)[before], len(whole) - (0 if (before + len(one)) % 3 == 0 else 4)
            found += [whole[start:end], whole[start:end].replace("+", "-").replace("/", "_")]
    return list(dict.fromkeys(found))


@functools.lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    # The longest first, for one may be a part of another.
    found = [_alternative(one) for one in sorted(secrets, key=len, reverse=True)]
    return re.compile("|".join(found) or r"(?!)")


def _alternative(secret: str) -> str:
    whole = "".join(map(_spelled, secret))
    if len(secret) < _UNMISTAKABLE:
        return rf"(?<!\w){whole}(?!\w)"
    if len(secret) < _LONG or not any(map(str.isdigit, secret)) or any(map(str.isspace, secret)):
        return whole
    beginning, rest = ("".join(map(_spelled, part)) for part in (secret[:_BEGINNING], secret[_BEGINNING:]))
    return rf"{beginning}(?:{rest}|[^\s\"',;)}}\]]*)"


@functools.lru_cache(maxsize=1024)
def _spelled(character: str) -> str:
    """A character as it may stand in an address, in a literal, in JSON, or in JSON that is quoted in JSON."""
    if character.isascii() and character.isalnum():
        return character
    backslashes = r"\\+" if character == "\\" else r"\\*" + re.escape(character)
    in_address = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "replace"))
    in_literal = rf"\\+(?:u{ord(character):04x}|x{ord(character):02x})"
    newline = r"|\\+n" if character == "\n" else ""
    return rf"(?:{backslashes}|(?i:{in_address}|{in_literal}){newline})"


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """The texts in a value, and the parts of each that may stand alone."""
    value = _opened(value)
    if isinstance(value, (str, bytes, bytearray)):
        yield from _parts(value if isinstance(value, str) else value.decode("latin-1"), depth)
        return
    if isinstance(value, int) and len(str(value)) >= _UNMISTAKABLE:
        yield str(value)
    for item in _items(value) if depth < _DEEPEST_SETTING else ():
        yield from _texts(item, depth + 1)


def _opened(value: Any) -> Any:
    value = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    return value.value if isinstance(value, Enum) else value


def _items(value: Any, *, told: bool = False) -> Iterator[Any]:
    """What a value holds; of an object all attributes if `told`, else those with telling names."""
    if isinstance(value, Mapping):
        yield from (item for name, item in value.items() if name not in _HARMLESS)
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif not isinstance(value, type) and not callable(value):
        yield from (item for name, item in _attributes(value) if told or _TELLING.search(name))


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
