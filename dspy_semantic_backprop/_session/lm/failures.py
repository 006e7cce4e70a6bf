"""What a language model's failure means: end the run, ask again, or nothing of ours."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import dspy.utils.exceptions as kinds
from dspy.utils.exceptions import (
    LMAuthError,
    LMBillingError,
    LMConfigurationError,
    LMError,
    LMProviderError,
    LMUnexpectedError,
    LMUnsupportedModelError,
    is_retryable_lm_error,
)

_FATAL = (LMAuthError, LMBillingError, LMConfigurationError, LMUnsupportedModelError)
_SECRET_NAMES = ("key", "token", "secret", "password", "authorization", "headers", "credentials")
_SHORTEST_SECRET = 8
_HIDDEN = "[hidden]"
_DEEPEST = 20


def is_fatal(error: BaseException) -> bool:
    """Whether no retry and no other input can change this failure (key, billing, unknown model)."""
    # Older clients report a used-up quota as a rate limit.
    return isinstance(error, _FATAL) or getattr(error, "provider_code", None) == "insufficient_quota"


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed later.

    Besides what DSPy retries, a reply that is no reply (a 200 with a broken body) is the server's
    failure, not the model's answer.
    """
    if not isinstance(error, Exception) or is_fatal(error):
        return False
    broken_reply = type(error) is LMProviderError or isinstance(error, LMUnexpectedError)
    # Older clients report a 500 as an invalid request.
    server_error = isinstance(error, LMError) and (getattr(error, "status", None) or 0) >= 500
    return broken_reply or server_error or is_retryable_lm_error(error)


def is_provider_failure(error: BaseException) -> bool:
    """Whether the error says something about the server and nothing about the program's answer."""
    return is_transient(error) or is_fatal(error)


def was_refused(error: BaseException) -> bool:
    """Whether the server said no with a status of its own: it did no work that could be billed."""
    return isinstance(error, LMError) and (getattr(error, "status", None) or 0) >= 400


def remembered(kind: str, message: str, status: int | None) -> LMError:
    """A failure as it was written down, to be raised again: the name of DSPy's class, its message, the HTTP status."""
    found: Any = getattr(kinds, kind, None)
    made = found if isinstance(found, type) and issubclass(found, LMError) else LMProviderError
    error = made(message=message)
    error.status = status
    return error


def secrets(lm: Any) -> frozenset[str]:
    """The texts that nobody may read in a log: the keys of a language model, its headers, those of the environment."""
    found: set[str] = set()
    for name, value in {**vars(lm), **(getattr(lm, "kwargs", None) or {})}.items():
        if any(part in name.lower() for part in _SECRET_NAMES) and "tokens" not in name.lower():
            found |= _texts(value)
    for name, value in os.environ.items():
        if name.upper().endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")):
            found.add(value)
    # A stand-in for a key, such as the model's own name, is no secret; nor is what any text may hold.
    shown = f"{getattr(lm, 'model', '')} {(getattr(lm, 'kwargs', None) or {}).get('api_base', '')}"
    return frozenset(text for text in found if len(text) >= _SHORTEST_SECRET and text not in shown)


def _texts(value: Any) -> set[str]:
    if isinstance(value, str):
        # A header holds the key behind the name of its scheme.
        return {value, value.rpartition(" ")[2]}
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return set().union(*map(_texts, items))


def hide(error: BaseException, hidden: Collection[str], depth: int = 0) -> None:
    """Take secrets out of an error's texts, and out of those of the errors behind it, in place."""
    if not hidden or depth > _DEEPEST:
        return
    error.args = tuple(_hidden_in(argument, hidden) for argument in error.args)
    for name, value in list(getattr(error, "__dict__", {}).items()):
        cleaned = _hidden_in(value, hidden)
        if cleaned is not value and cleaned != value:
            setattr(error, name, cleaned)
    if any(secret in str(error) for secret in hidden):
        # Its text comes from where it cannot be taken out: better none than that.
        error.args = (f"{type(error).__name__} {_HIDDEN}",)
    for behind in (error.__cause__, error.__context__):
        if behind is not None and behind is not error:
            hide(behind, hidden, depth + 1)
    for behind in (error.__cause__, error.__context__):
        if behind is not None and any(secret in str(behind) for secret in hidden):
            error.__cause__ = error.__context__ = None


def _hidden_in(value: Any, hidden: Collection[str]) -> Any:
    if isinstance(value, str):
        for secret in sorted(hidden, key=len, reverse=True):
            value = value.replace(secret, _HIDDEN)
        return value
    if type(value) is dict:
        return {name: _hidden_in(item, hidden) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_hidden_in(item, hidden) for item in value)
    return value
