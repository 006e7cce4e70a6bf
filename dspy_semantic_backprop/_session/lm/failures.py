"""What a language model's failure means: end the run, ask again, leave the example out, or nothing of ours.

| what happened                                                    | what it means                     |
|------------------------------------------------------------------|-----------------------------------|
| no budget at the provider, nothing configured                    | the run ends                      |
| 401, 403, 404 before the model answered anything in this run     | the run ends                      |
| 408, 409, 425, 429, 5xx, transport, a reply that is no reply     | asked again; then missing         |
| any other refusal: 400, 413, 422, a content filter, 401 later on | missing                           |
| a prompt that is longer than the model's context                 | the program's own, and scored     |
| the machine has no thread left, Python's parser failed           | missing                           |
| an answer that no adapter can read                               | the program's own, and scored     |

Why a prompt that is too long is the program's own: the same program with a shorter instruction, or with a shorter
history, would have been answered. A candidate that makes its program ask too much is worse, and has to be scored so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import dspy.utils.exceptions as kinds
from dspy.utils.exceptions import (
    DSPyError,
    LMAuthError,
    LMBillingError,
    LMConfigurationError,
    LMError,
    LMInvalidRequestError,
    LMProviderError,
    LMUnexpectedError,
    LMUnsupportedModelError,
    is_retryable_lm_error,
)

_FATAL = (LMAuthError, LMBillingError, LMConfigurationError, LMUnsupportedModelError)
_OF_ONE_REQUEST = (LMAuthError, LMUnsupportedModelError)
"""Fatal, unless the very model has answered before: then it is one request that it will not answer."""
_RETRIED = (408, 409, 425, 429)
_TOO_LONG = ("ContextWindowExceededError", "ContextLengthError")
_SAYS_TOO_LONG = re.compile(r"context (length|window)|prompt is too long|too many (input )?tokens", re.IGNORECASE)
"""Servers that have no code for it say it in words."""
_STATUS_ERRORS = ("APIStatusError", "HTTPStatusError")
"""Of the libraries below LiteLLM: what they raise where a server answered with a status that is no success."""
_OF_THE_MACHINE = ("can't start new thread", "AST constructor recursion depth mismatch")
"""Python's own words: it has no class for either. The parser of some versions of 3.11 and 3.12 fails now and then where
threads use it at once, as a program does that makes signatures of texts while it runs."""
_NEVER_SENT = frozenset(
    {
        *("ConnectionRefusedError", "gaierror"),
        *("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError"),
        *("ClientConnectorError", "InvalidURL", "NewConnectionError", "ConnectTimeoutError"),
    }
)
"""Classes, of httpx, aiohttp, urllib3, DSPy and the standard library, of failures before anything was sent."""
_REFUSED_HERE = ("LMConfigurationError", "LMUnsupportedFeatureError")
"""Classes of DSPy's of failures before anything was sent, or of replies that its client does not take."""
_SAYS_NEVER_SENT = re.compile(
    "connection refused|unsupported scheme|missing scheme|port must be 0-65535", re.IGNORECASE
)


class NoAnswer(LMProviderError):
    """A reply in which the provider answered nothing: no choice, no content, a call of tools that nobody offered."""

    default_code = "no_answer"


class Withheld(LMInvalidRequestError):
    """A reply in which the provider declined to answer this very request, as its content filter does."""

    default_code = "withheld"


def is_fatal(error: BaseException, answered: bool = False) -> bool:
    """Whether no retry and no other input can change this failure; `answered`: this model did so before in the run."""
    # Older clients report a used-up quota as a rate limit.
    if getattr(error, "provider_code", None) == "insufficient_quota":
        return True
    return isinstance(error, _FATAL) and not (answered and isinstance(error, _OF_ONE_REQUEST))


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed later.

    Besides what DSPy retries, a reply that is no reply (a 200 with a broken body, or with nothing in it) is the
    server's failure, not the model's answer.
    """
    if not isinstance(error, Exception) or is_fatal(error):
        return False
    if isinstance(error, (ConnectionError, TimeoutError)) or is_retryable_lm_error(error):
        return True
    # Older clients report a 500 as an invalid request.
    status = _status(error)
    return isinstance(error, NoAnswer) or _is_broken(error, status) or status in _RETRIED or status >= 500


def _status(error: BaseException) -> int:
    found = getattr(error, "status", None) or getattr(error, "status_code", None)
    return found if isinstance(found, int) else 0


def _is_broken(error: BaseException, status: int) -> bool:
    return isinstance(error, LMUnexpectedError) or (type(error) is LMProviderError and status < 400)


def is_provider_failure(error: BaseException) -> bool:
    """Whether the error says that a language model was asked and gave no answer, and so nothing about the program.

    The same is said where the machine has no thread left to ask in, or to run the program in, and where Python fails.
    """
    of_the_machine = any(words in str(error) for words in _OF_THE_MACHINE)
    return (isinstance(error, LMError) and not _is_too_long(error)) or of_the_machine


def _is_too_long(error: BaseException) -> bool:
    """Whether a prompt did not fit into the model's context."""
    said = isinstance(error, LMInvalidRequestError) and _SAYS_TOO_LONG.search(str(error)) is not None
    return said or _is_a(error, _TOO_LONG)


def is_unanswered(error: BaseException, managed: bool) -> bool:
    """The same of whatever a language model raised.

    Args:
        managed: Whether it is DSPy's own client, whose other errors are due to what it was given.
    """
    if isinstance(error, LMError) or managed:
        return is_provider_failure(error)
    return isinstance(error, Exception) and not _is_too_long(error)


def was_refused(error: BaseException) -> bool:
    """Whether the server said no with a status of its own: it did no work that could be billed."""
    if not isinstance(error, LMError) or _status(error) < 400:
        return False
    # LiteLLM gives the status 500 to connections that broke and to replies that it could not read, in classes that
    # are kinds of OpenAI's errors of status.
    behind = list(_chain(error))
    below = [one for one in behind if not type(one).__module__.startswith("litellm")]
    return len(below) == len(behind) or any(_is_a(one, _STATUS_ERRORS) for one in below)


def was_never_sent(error: BaseException, seen: bool = False) -> bool:
    """Whether the request failed before anything of it was sent: no server, no address, refused by the client.

    Args:
        seen: Whether a request was seen to be made: then the client refused the reply.
    """
    names = _NEVER_SENT if seen else _NEVER_SENT.union(_REFUSED_HERE)
    return any(_is_a(one, names) or _SAYS_NEVER_SENT.search(str(one)) for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it, up to another one of DSPy's: that is of an earlier request."""
    known: set[int] = set()
    while error is not None and id(error) not in known and not (known and isinstance(error, DSPyError)):
        known.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_a(error: BaseException, names: Collection[str]) -> bool:
    # By name, since none of these libraries need be loaded, or be there.
    return any(kind.__name__ in names for kind in type(error).__mro__)


def remembered(kind: str, message: str, status: int | None) -> LMError:
    """A failure as it was written down, to be raised again: the name of DSPy's class, its message, the HTTP status."""
    found: Any = getattr(kinds, kind, None) or globals().get(kind)
    made = found if isinstance(found, type) and issubclass(found, LMError) else LMProviderError
    error = made(message=message)
    error.status = status
    return error
