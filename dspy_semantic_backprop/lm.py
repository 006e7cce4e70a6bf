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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

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
from dspy.utils.usage_tracker import UsageTracker
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from .errors import ModelUnavailable
from .run.budget import Ledger, Spent

_FATAL = (LMAuthError, LMBillingError, LMConfigurationError, LMUnsupportedModelError)
_NEVER_SENT = (ConnectionRefusedError, LMConfigurationError)
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 60.0
_REPETITIONS = 1000


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


@dataclass
class Passage:
    """What a stretch of work is for, carried by DSPy's context to every call in it.

    Args:
        purpose: forward, metric, backward, propose or check.
        turn: Bounds how many of our own calls run at once.
        rollout: Tells repetitions of the same work apart; 0 for the first.
        failures: The provider's failures that outlived all retries, in the order they happened.
        tally: What happened, by name, how often ("asked", "missing", "cache hit"); see `backward.tally`.
    """

    purpose: str
    turn: AbstractAsyncContextManager[Any] = field(default_factory=nullcontext)
    rollout: int = 0
    failures: list[Exception] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)

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
) -> Iterator[Passage]:
    """Send every language-model call made inside through the door, booked under `purpose`.

    Args:
        purpose: forward, metric, backward, propose or check.
        ledger: Where to book.
        lm: The default language model inside; None keeps the one that DSPy is configured with.
        turn: Bounds how many calls of `ask` run at once.
        rollout: Tells repetitions of the same work apart, so that a cache does not answer them alike.
        tally: Where what happens inside is counted by name; None counts for this passage alone.

    Yields:
        The passage, which collects the provider's failures.
    """
    default = lm if lm is not None else dspy.settings.lm
    here = Passage(purpose, turn if turn is not None else nullcontext(), rollout)
    here.tally = tally if tally is not None else here.tally
    tracker = _Outside(ledger, purpose, dspy.settings.usage_tracker)
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
            if isinstance(attempt, _Attempt):
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
    attempt = _Attempt(dspy.settings.usage_tracker, quiet=bool(dspy.settings.disable_history))
    with ledger.admitted(purpose):
        try:
            with dspy.context(usage_tracker=attempt, disable_history=False):
                yield
        except Exception as error:
            ledger.book(purpose, attempt.spent_in_vain(error))
            raise
        else:
            ledger.book(purpose, attempt.spent())


class _Attempt(UsageTracker):
    """Learns from DSPy whether one request was answered by a server or by the cache, and at what price."""

    def __init__(self, parent: Any, quiet: bool) -> None:
        super().__init__()
        self.parent = parent
        self.quiet = quiet
        self.entry: Any = None
        self.usage: list[dict[str, Any]] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> _Attempt:
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        # DSPy calls this for every answer that did not come from its cache, and only for those.
        self.usage.append(usage_entry or {})
        if self.parent is not None and not isinstance(self.parent, _Outside):
            self.parent.add_usage(lm, usage_entry)

    def spent(self) -> Spent:
        if not self.usage:
            return Spent(cached=1)
        entry = self.entry if isinstance(self.entry, dict) else {}
        replies = entry.get("response")
        cost = entry.get("cost")
        return Spent(
            # DSPy's native engine sends one request for each completion that `n` asks for.
            calls=len(replies) if isinstance(replies, (tuple, list)) else 1,
            prompt_tokens=sum(int(usage.get("prompt_tokens") or 0) for usage in self.usage),
            completion_tokens=sum(int(usage.get("completion_tokens") or 0) for usage in self.usage),
            usd=float(cost or 0.0),
            unpriced=int(cost is None),
        )

    def spent_in_vain(self, error: Exception) -> Spent:
        if self.usage:
            return self.spent()
        return Spent(calls=int(isinstance(error, LMError) and not _caused_by(error, _NEVER_SENT)))


def _caused_by(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        if isinstance(current, kinds) or "connection refused" in str(current).lower():
            return True
        seen.add(id(current))
        current = current.__cause__ or current.__context__
    return False


class _Outside(UsageTracker):
    """Books the answered calls of language models that a program keeps where we cannot replace them."""

    def __init__(self, ledger: Ledger, purpose: str, parent: Any) -> None:
        super().__init__()
        self.ledger = ledger
        self.purpose = purpose
        self.parent = parent

    def __deepcopy__(self, memo: dict[int, Any]) -> _Outside:
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        usage = usage_entry or {}
        prompt, completion = (int(usage.get(key) or 0) for key in ("prompt_tokens", "completion_tokens"))
        spent = Spent(calls=1, prompt_tokens=prompt, completion_tokens=completion, unpriced=1)
        self.ledger.book(self.purpose, spent)
        if self.parent is not None:
            self.parent.add_usage(lm, usage_entry)


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
    here: Passage | None = dspy.settings.get("semantic_passage")
    predict = dspy.Predict(signature)
    answered: dict[str, Any] = {}
    rollout += here.rollout * _REPETITIONS if here else 0
    for attempt in (rollout, rollout + _REPETITIONS**2):
        fresh = {"rollout_id": attempt, "temperature": 1.0} if attempt else {}
        try:
            async with here.turn if here else nullcontext():
                with dspy.context(adapter=dspy.ChatAdapter(), send_stream=None):
                    prediction = await predict.acall(config=fresh, **inputs)
        except AdapterParseError as error:
            answered = {**answered, **_readable_part(error)}
        else:
            return {**answered, **dict(prediction.items())}
    return {name: value for name, value in answered.items() if name in signature.output_fields}


def _readable_part(error: BaseException | None) -> dict[str, Any]:
    # The chat format's own failure, with the fields that it could read, hides behind that of the JSON fallback.
    part: dict[str, Any] = {}
    while error is not None:
        found = getattr(error, "parsed_result", None)
        part = {**(found if isinstance(found, dict) else {}), **part}
        error = error.__context__
    return part


def limit(calls: int | None) -> AbstractAsyncContextManager[Any]:
    """A bound on how many calls of `ask` run at once; None for no bound."""
    return asyncio.Semaphore(calls) if calls is not None else nullcontext()
