"""Texts without secrets: what stands in an error may be read by anybody.

Providers, HTTP clients and tools repeat in their errors what they were called with: a key, a header, an address with
its password. Two things are done about it. Addresses and headers are known by their form, wherever they stand. The
values that language models were given as credentials are known by heart: whoever meets a language model calls `learn`,
and from then on, in this process, these values stand in no text that went through `cleaned`.

What cannot be done: a value that was never learned and has no known form (a token that a client fetches by itself), one
that was changed on its way (encrypted, encoded in parts), and the variables of frames, which some tools print.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterable
from typing import Any

HIDDEN = "[hidden]"
_SHORTEST, _UNMISTAKABLE, _LONG = 6, 12, 16
"""Characters: shorter values are left, since words would be; below the second only whole words are hidden; from the
third on the beginning of a value is enough, since errors shorten and mask keys."""
_BEGINNING = 8
_DEEPEST = 20
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
            r"|\b(?:[\w-]{1,40}-)?(?:api|subscription)[-_]?key\b[\"']?\s*[:=]\s*(?:b?[\"'])?)[^\s\"',;}\])]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # Bearer ...
    (re.compile(r"(\b(?:bearer|basic) +)(?=\S*\d)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
)
_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|_AUTH$|CONNECTION_STRING|_PAT$")
"""Of environment variables."""
_learned: set[str] = set()


def learn(values: Iterable[str]) -> None:
    """Let these values stand in no text from now on; what is so short that words would be hidden is left."""
    _learned.update(value for value in values if len(value) >= _SHORTEST)


def cleaned(text: str) -> str:
    """A text without the secrets that are known, or that stand in it in a known form."""
    for form, instead in _FORMS:
        text = form.sub(instead, text)
    return _pattern(frozenset(_learned | _of_environment())).sub(HIDDEN, text)


def hide(error: BaseException) -> None:
    """Take secrets out of an error's texts, and out of those of the errors behind it, in place."""
    _hide(error, set())


def _hide(error: BaseException, known: set[int]) -> None:
    if id(error) in known or len(known) > _DEEPEST:
        return
    known.add(id(error))
    error.args = tuple(map(_without, error.args))
    for name, value in list(getattr(error, "__dict__", {}).items()):
        without = _without(value)
        if without is not value and without != value:
            with contextlib.suppress(Exception):  # an error may be frozen
                setattr(error, name, without)
    if _tells(error):
        # Its text comes from where it cannot be taken out: better none than that.
        error.args = (f"{type(error).__name__} {HIDDEN}",)
    behind = [one for one in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())) if one is not None]
    for one in behind:
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
    return value


def _of_environment() -> set[str]:
    return {value for name, value in os.environ.items() if len(value) >= _BEGINNING and _NAMES.search(name.upper())}


@functools.lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    # The longest first, for one may be a part of another.
    found = [_alternative(one) for one in sorted(secrets, key=len, reverse=True)]
    return re.compile("|".join(found) or r"(?!)")


def _alternative(secret: str) -> str:
    escaped = re.escape(secret)
    if len(secret) < _UNMISTAKABLE:
        return rf"(?<!\w){escaped}(?!\w)"
    if len(secret) < _LONG or not any(map(str.isdigit, secret)) or any(map(str.isspace, secret)):
        return escaped
    return rf"{re.escape(secret[:_BEGINNING])}[^\s\"',;)}}\]]*"
