"""What a language model's failure means: end the run, ask again, or nothing of ours."""

from __future__ import annotations

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
