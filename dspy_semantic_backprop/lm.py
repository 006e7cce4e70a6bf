"""The one door to a language model.

Every call that a run makes, the user's program's included, goes through a *metered* copy of its
language model: one request at a time, retried here, and booked in the ledger as a proxy in front of
the server would count it.

Why our own retry loop, although DSPy has one: DSPy retries inside a single call and reports the
usage of the last attempt only, so its callers cannot know how many requests they sent. The metered
copy asks DSPy for one attempt (`num_retries=0`) and grants the retries that the user configured.

Why a subclass made on the fly and no proxy object: programs and adapters test `isinstance(lm, dspy.LM)`
and read its attributes; the copy passes every such test, and is saved under its own class's name.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import dspy
from dspy.utils.exceptions import (
    AdapterParseError,
    LMAuthError,
    LMBillingError,
    LMConfigurationError,
    LMError,
    LMProviderError,
    LMUnexpectedError,
    LMUnsupportedModelError,
    is_retryable_lm_error,
)
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from .errors import ModelUnavailable
from .run.budget import Ledger
from .usage import Attempt, Outside

_FATAL = (LMAuthError, LMBillingError, LMConfigurationError, LMUnsupportedModelError)
_NOT_SAMPLING = {"api_key", "api_base", "base_url", "headers", "extra_headers", "timeout", "num_retries", "cache"}
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 60.0
REPETITIONS = 1000
"""How far apart the rollouts of repeated sweeps lie."""


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


class Answers(Protocol):
    """A store of earlier answers; `backward.cache.GradientCache` is one."""

    def get(self, key: str, /) -> Mapping[str, str] | None:
        """The answer under a key; None where there is none."""
        ...

    def put(self, key: str, fields: Mapping[str, str], /) -> None:
        """Keep an answer."""
        ...


@dataclass
class Passage:
    """What a stretch of work is for, carried by DSPy's context to every call in it.

    Args:
        purpose: forward, metric, backward, propose or check.
        turn: Bounds how many of our own calls run at once.
        rollout: Tells repetitions of the same work apart; 0 for the first.
        failures: The provider's failures that outlived all retries, in the order they happened.
        tally: What happened, by name, how often ("asked", "missing", "cache hit"); see `backward.tally`.
        answers: Earlier answers, which cost nothing; None for none.
    """

    purpose: str
    turn: AbstractAsyncContextManager[Any] = field(default_factory=nullcontext)
    rollout: int = 0
    failures: list[Exception] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    answers: Answers | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Passage:
        return self


@contextmanager
def passage(
    purpose: str,
    ledger: Ledger,
    *,
    lm: Any = None,
    turn: AbstractAsyncContextManager[Any] | None = None,
    rollout: int = 0,
    tally: Counter[str] | None = None,
    answers: Answers | None = None,
) -> Iterator[Passage]:
    """Send every language-model call made inside through the door, booked under `purpose`.

    Args:
        purpose: forward, metric, backward, propose or check.
        ledger: Where to book.
        lm: The default language model inside; None keeps the one that DSPy is configured with.
        turn: Bounds how many calls of `ask` run at once.
        rollout: Tells repetitions of the same work apart, so that a cache does not answer them alike.
        tally: Where what happens inside is counted by name; None counts for this passage alone.
        answers: Earlier answers of the same purpose, which cost nothing.

    Yields:
        The passage, which collects the provider's failures.
    """
    default = lm if lm is not None else dspy.settings.lm
    here = Passage(purpose, turn if turn is not None else nullcontext(), rollout, answers=answers)
    here.tally = tally if tally is not None else here.tally
    tracker = Outside(ledger, purpose, dspy.settings.usage_tracker)
    with dspy.context(
        semantic_passage=here,
        usage_tracker=tracker,
        lm=metered(default, ledger) if isinstance(default, dspy.BaseLM) else default,
        trace=[],
    ):
        yield here


def current() -> Passage:
    """The passage that this call belongs to; outside of any, one that nobody looks at."""
    return dspy.settings.get("semantic_passage") or Passage("forward")


def install(program: dspy.Module, ledger: Ledger) -> None:
    """Replace every language model that a program holds by its metered copy, in place.

    Args:
        program: A copy that belongs to the run, never the user's own.
        ledger: Where its calls are booked.
    """
    doors: dict[int, Any] = {}
    for _, module in program.named_sub_modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, dspy.BaseLM):
                setattr(module, name, doors.setdefault(id(value), metered(value, ledger)))


def metered(lm: Any, ledger: Ledger) -> Any:
    """A copy of a language model that retries here and books every request.

    Args:
        lm: Any `dspy.BaseLM`.
        ledger: Where to book.

    Returns:
        A language model of a subclass of the same class, with the same settings.
    """
    if getattr(lm, "_semantic_ledger", None) is ledger:
        return lm
    door = lm.copy()
    if not hasattr(lm, "_semantic_ledger"):
        door._semantic_attempts = 1 + (getattr(lm, "num_retries", 0) or 0)
        door.num_retries = 0
        door.__class__ = _door_class(type(lm))
    door._semantic_ledger = ledger
    door.history = lm.history
    return door


@functools.cache
def _door_class(cls: Any) -> Any:
    class Door(cls):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with _reported():
                return _retrying(self)(_once, self, cls.__call__, args, kwargs)

        async def acall(self, *args: Any, **kwargs: Any) -> Any:
            with _reported():
                return await _retrying(self, asynchronous=True)(_aonce, self, cls.acall, args, kwargs)

        def update_history(self, entry: Any) -> None:
            attempt = dspy.settings.usage_tracker
            if isinstance(attempt, Attempt):
                attempt.entry = entry
                if attempt.quiet:
                    return
            super().update_history(entry)

    Door.__module__, Door.__qualname__, Door.__name__ = cls.__module__, cls.__qualname__, cls.__name__
    return Door


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = getattr(error, "retry_after", None)
    return min(asked if asked is not None else _FIRST_WAIT * 2.0 ** (state.attempt_number - 1), _LONGEST_WAIT)


def _retrying(door: Any, asynchronous: bool = False) -> Any:
    return (AsyncRetrying if asynchronous else Retrying)(
        stop=stop_after_attempt(door._semantic_attempts),
        retry=retry_if_exception(is_transient),
        wait=_wait,
        reraise=True,
    )


def _once(door: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    with _attempt(door):
        return call(door, *args, **kwargs)


async def _aonce(door: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    with _attempt(door):
        return await call(door, *args, **kwargs)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_fatal(error):
            raise ModelUnavailable(error) from error
        here: Passage | None = dspy.settings.get("semantic_passage")
        if here is not None and is_transient(error):
            here.failures.append(error)
        raise


@contextmanager
def _attempt(door: Any) -> Iterator[None]:
    here: Passage | None = dspy.settings.get("semantic_passage")
    ledger: Ledger = door._semantic_ledger
    purpose = here.purpose if here else "forward"
    attempt = Attempt(dspy.settings.usage_tracker, quiet=bool(dspy.settings.disable_history))
    with ledger.admitted(purpose):
        try:
            with dspy.context(usage_tracker=attempt, disable_history=False):
                yield
        except Exception as error:
            ledger.book(purpose, attempt.spent_in_vain(error))
            raise
        else:
            ledger.book(purpose, attempt.spent())


@dataclass(frozen=True)
class Reply:
    """What a language model answered to one request.

    Args:
        fields: Output field -> value, those that could be read.
        text: What it wrote, where not every field could be read; None where all could.
    """

    fields: Mapping[str, Any]
    text: str | None = None


async def ask_once(signature: Any, inputs: Mapping[str, Any], *, rollout: int = 0, json_too: bool = False) -> Reply:
    """Ask a language model to fill a signature: one request, and no error where the reply cannot be read.

    Args:
        signature: A `dspy.Signature` class. The chat format is used whatever adapter the program uses.
        inputs: Its input fields.
        rollout: Tells repeated, otherwise equal requests apart; 0 for the first.
        json_too: Ask once more, in the JSON format, where the chat format cannot be read.

    Returns:
        The reply.

    Raises:
        LMError: What the provider refused to answer after all retries.
        ModelUnavailable: For failures that no retry can change.
    """
    fresh = {"rollout_id": rollout, "temperature": 1.0} if rollout else {}
    adapter = dspy.ChatAdapter(use_json_adapter_fallback=json_too)
    try:
        async with current().turn:
            with dspy.context(adapter=adapter, send_stream=None):
                prediction = await dspy.Predict(signature).acall(config=fresh, **inputs)
    except AdapterParseError as error:
        return Reply(_readable_part(error, signature), str(error.lm_response))
    return Reply(dict(prediction.items()))


async def ask(signature: Any, inputs: Mapping[str, Any], *, rollout: int = 0) -> dict[str, Any]:
    """Ask a language model to fill a signature; ask once more if the reply cannot be read.

    Args:
        signature: A `dspy.Signature` class. The chat format is used whatever adapter the program uses.
        inputs: Its input fields.
        rollout: Tells repeated, otherwise equal requests apart; 0 for the first.

    Returns:
        Output field -> value, with those fields missing that two replies left out.

    Raises:
        LMError: What the provider refused to answer after all retries.
        ModelUnavailable: For failures that no retry can change.
    """
    answered: dict[str, Any] = {}
    rollout += current().rollout * REPETITIONS
    for attempt in (rollout, rollout + REPETITIONS**2):
        reply = await ask_once(signature, inputs, rollout=attempt, json_too=True)
        answered |= reply.fields
        if reply.text is None:
            break
    return answered


def sampling(lm: Any) -> dict[str, Any]:
    """What the answers of a language model depend on besides the question: its name and its settings, no keys.

    Args:
        lm: Any `dspy.BaseLM`.
    """
    settings = {name: value for name, value in (getattr(lm, "kwargs", None) or {}).items() if name not in _NOT_SAMPLING}
    return {"model": getattr(lm, "model", type(lm).__name__), "settings": {**settings}}


def _readable_part(error: BaseException | None, signature: Any) -> dict[str, Any]:
    # The chat format's own failure, with the fields that it could read, hides behind that of the JSON fallback.
    part: dict[str, Any] = {}
    while error is not None:
        found = getattr(error, "parsed_result", None)
        found = found or _json_in(str(getattr(error, "lm_response", "")))
        part = {**found, **part}
        error = error.__context__
    return {name: value for name, value in part.items() if name in signature.output_fields}


def _json_in(text: str) -> dict[str, Any]:
    # Some models answer in JSON whatever they were asked for.
    try:
        found = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def limit(calls: int | None) -> AbstractAsyncContextManager[Any]:
    """A bound on how many calls of `ask` run at once; None for no bound."""
    return asyncio.Semaphore(calls) if calls is not None else nullcontext()
