"""The metered client: the only way that a run has to a language model.

Every call, the user's program's included, goes through a metered copy of its language model: one request at a time,
let through by the ledger, retried here, written down in the journal, and booked as a proxy in front of the server
would count it. Why a retry loop and a subclass of our own: see docs/design/decisions.md.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dspy
from dspy.clients import base_lm
from dspy.utils.exceptions import LMError, LMUnexpectedError
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from ..._errors import Abandoned, ModelUnavailable, SetupError, Stop
from ..._secrets.errors import hide
from ..._secrets.known import learn_secrets
from ..._secrets.settings import harmless, sampling
from ..._terminal import logger
from ..batch.provider import access_of, unbatchable
from ..batch.shipment import BatchedRequest
from ..budget import Bound, Purpose, Spent
from ..journal import Answered, Journal, Unanswered, digest_of
from ..ledger import Ledger
from ..limits import LONGEST_REQUEST
from .context import lm_context
from .failures import NoAnswer, is_fatal, is_transient, is_unanswered, remembered
from .replies import no_answer, revived
from .sending import awaited_within, called_in_thread, forward_in_thread, load_client, within
from .sending import overrides_call_alone as calls_alone
from .several import asked_again, sends_itself
from .usage import RequestUsage, batch_share, bound_of, most_of, stated_price

_CONTENT = ("messages", "prompt", "tools")
"""Arguments of a request that are the question itself."""
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 60.0
HISTORY = 200
"""The most calls that DSPy's histories keep during a run."""
_HISTORY_LOCK = threading.Lock()
_OTHERS = 500
_ASKED_AGAIN = (Purpose.BACKWARD, Purpose.REDUCE, Purpose.PROPOSE)
"""Whose failures a resumed run does not go by: it asks again."""
RETRIES = 6
"""The least number of retries of a transient failure, where the language model allows any."""


def install(program: dspy.Module, ledger: Ledger) -> None:
    """Replace every language model that a program, a copy of the user's, holds by its metered copy, in place."""
    copies: dict[int, Any] = {}
    for _, module in program.named_sub_modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, dspy.BaseLM):
                setattr(module, name, copies.setdefault(id(value), metered(value, ledger)))


def metered(lm: Any, ledger: Ledger) -> Any:
    """A copy of a language model, with the same settings, that retries, books and writes down every request."""
    if getattr(lm, "_semantic_ledger", None) is ledger:
        return lm
    learn_secrets(lm)
    copy = lm.copy()
    if not hasattr(lm, "_semantic_ledger"):
        retries = getattr(lm, "num_retries", 0) or 0
        copy._semantic_attempts = 1 + (max(retries, RETRIES) if retries else 0)
        copy.num_retries = 0
        copy.__class__ = _metered_class(type(lm))
    copy._semantic_ledger = ledger
    if ledger.batches is not None and hasattr(copy, "_engine_spec"):
        copy._engine_spec = "litellm" if isinstance(copy._engine_spec, str) else copy._engine_spec
    copy.history = lm.history
    return copy


def is_metered(lm: Any) -> bool:
    """Whether a language model is a metered copy."""
    return hasattr(lm, "_semantic_ledger")


def _server(lm: Any, settings: dict[str, Any]) -> list[Any]:
    """What else tells language models apart: two servers may have a model of one name. Never written down.

    A key does not: an answer is the same for whoever pays, and a worker has a key of its own.
    """
    known = {**(getattr(lm, "kwargs", None) or {}), **settings}
    return [type(lm).__qualname__, {name: one for name, one in known.items() if name not in (*_CONTENT, "api_key")}]


@functools.cache
def _metered_class(cls: Any) -> Any:
    # One that overrides `__call__` alone, as simple doubles do, is synchronous only.
    call = functools.partial(called_in_thread, cls.__call__) if calls_alone(cls) else cls.acall

    class MeteredLM(cls):
        semantic_metered = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            request = _Request(self, args, kwargs)
            if request.recalled():
                return request.outputs
            with request.reported():
                return _retrying(Retrying, request)(request.once, functools.partial(cls.__call__, self, *args))

        async def acall(self, *args: Any, **kwargs: Any) -> Any:
            request = _Request(self, args, kwargs)
            if request.recalled():
                await asyncio.sleep(0)  # as at every request, other tasks have their turn
                return request.outputs
            with request.reported():
                return await _retrying(AsyncRetrying, request)(request.aonce, functools.partial(call, self, *args))

        def update_history(self, entry: Any) -> None:
            attempt = dspy.settings.usage_tracker
            if isinstance(attempt, RequestUsage):
                attempt.entry = entry
                if attempt.quiet:
                    return
            with _HISTORY_LOCK:
                super().update_history(entry)
                _forget_the_oldest(self._semantic_ledger.shown, entry)

    if cls.aforward is dspy.BaseLM.aforward:
        # A language model of the user's own may be synchronous only; our own questions are asynchronous.
        MeteredLM.aforward = forward_in_thread

    MeteredLM.__module__, MeteredLM.__qualname__, MeteredLM.__name__ = cls.__module__, cls.__qualname__, cls.__name__
    return MeteredLM


def _forget_the_oldest(shown: deque[Any], entry: Any) -> None:
    """Take a run's older calls out of DSPy's history of the process, which would keep ten thousand of them."""
    shown.append(entry)
    if len(shown) <= HISTORY:
        return
    oldest, everything = shown.popleft(), base_lm.GLOBAL_HISTORY
    newest = len(everything) - HISTORY
    # Calls of others may stand between those of the run.
    for at in range(newest, max(-1, newest - _OTHERS), -1):
        if at < len(everything) and everything[at] is oldest:
            del everything[at]
            return


def _retrying(kind: Any, request: _Request) -> Any:
    # A language model that passes its calls on to another one leaves the retries to that one.
    stop = stop_after_attempt(request.lm._semantic_attempts)
    retry = retry_if_exception(lambda error: is_transient(error) and not request.passed_on)
    return kind(stop=stop, retry=retry, wait=request.wait, reraise=True)


class _Request:
    """One call of a language model by the program or by us: remembered, or sent once or more."""

    def __init__(self, lm: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.lm = lm
        self.asked = args[0] if args else kwargs.get("messages") or kwargs.get("prompt")
        self.args = args
        self.kwargs = kwargs
        self.ledger: Ledger = lm._semantic_ledger
        self.journal: Journal | None = self.ledger.journal
        self.context = lm_context()
        self.account = (self.context.purpose, self._predictor())
        self.memory = self.context.memory
        self.outputs: Any = None
        self.empty = self.passed_on = False
        outer = dspy.settings.usage_tracker
        self.outer: RequestUsage | None = outer if isinstance(outer, RequestUsage) else None
        self.callers = dspy.settings.get("caller_modules")
        self.key = self.question = ""
        if self.journal or self.memory is not None:
            content = {name: value for name, value in kwargs.items() if name in _CONTENT}
            asked = [self.account[1], sampling(lm), args, content | harmless(kwargs)]
            self.key = digest_of([self.context.where, *asked]) if self.journal else ""
            self.question = self._question(asked) if self.memory is not None else ""

    def _predictor(self) -> str:
        named = dspy.settings.get("semantic_predictor")
        if named is not None:
            return named
        names = map(self.context.name_of, reversed(dspy.settings.get("caller_modules") or ()))
        return next(filter(None, names), "")

    def _question(self, asked: list[Any]) -> str:
        try:
            return digest_of([_server(self.lm, self.kwargs), *asked])
        except Exception:  # noqa: BLE001 - what has no digest is asked, and its answer given to nobody else
            self.memory = None
            return ""

    def recalled(self) -> bool:
        """Whether the outcome is known: an answer that is paid for, or a failure that is raised again."""
        if self.memory is not None and (answered := self.memory.recall(self.question)) is not None:
            self.ledger.book(self.account, Spent(reused=self._bound().calls))
            self._answered(answered)
            return True
        found = self.journal.take(self.key) if self.journal else None
        if isinstance(found, Unanswered):
            error = remembered(found.kind, found.message, found.status)
            self.context.unanswered(error, self.callers)
            raise error
        if not isinstance(found, Answered):
            return False
        self._answered(Answered(revived(found.outputs), found.usage))
        return True

    def _answered(self, answered: Answered) -> None:
        self._heard()
        if (recording := dspy.settings.get("semantic_recording")) is not None:
            recording.asks(self.lm)
        if self.memory is not None:
            self.memory.keep(self.question, answered)
        if any(answered.usage.values()):
            attempt = RequestUsage(dspy.settings.usage_tracker, quiet=True)
            attempt.recalled = True
            with dspy.context(usage_tracker=attempt):
                attempt.add_usage(self.lm.model, dict(answered.usage))
        self.outputs = answered.outputs
        if answered.shown is not None and not dspy.settings.disable_history:
            prompt = self.args[0] if self.args else self.kwargs.get("prompt")
            asked = {"prompt": prompt, "messages": self.kwargs.get("messages"), "outputs": answered.outputs}
            self.lm.update_history({**asked, **answered.shown})

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Say what a failure means that outlived all retries."""
        try:
            yield
        except Stop as stop:
            self.context.stops.append(stop)
            raise
        except Exception as error:
            hide(error)
            if is_fatal(error, answered=self._model in self.ledger.answering):
                self.context.stops.append(ModelUnavailable(error))
                raise self.context.stops[-1] from error
            # Whoever passed the call on may have another one to ask.
            if (
                self.outer is None
                and self.context.ledger is not None
                and is_unanswered(error, hasattr(self.lm, "_engine_spec"))
            ):
                self.context.unanswered(error, self.callers)
                if self.journal and self.context.purpose not in _ASKED_AGAIN:
                    kind, status = type(error).__name__, getattr(error, "status", None)
                    self.journal.unanswered(self.key, Unanswered(kind, getattr(error, "message", str(error)), status))
            if self.context.purpose in _ASKED_AGAIN and not isinstance(error, LMError):
                raise LMUnexpectedError(message=f"{type(error).__name__}: {error}") from error
            raise

    def wait(self, state: RetryCallState) -> float:
        """Seconds until the request is sent again: as the server asks, at most as long as the run may take."""
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None)
        if asked is None:
            return min(_FIRST_WAIT * 2.0 ** (state.attempt_number - 1), _LONGEST_WAIT)
        left = self.ledger.seconds_left
        seconds = min(asked, left if left is not None else LONGEST_REQUEST)
        if seconds > _LONGEST_WAIT:
            logger.warning("%s asks for a pause of %g seconds; waiting %g", self.lm.model, asked, seconds)
        return seconds

    @property
    def _model(self) -> str:
        known = {**(getattr(self.lm, "kwargs", None) or {}), **self.kwargs}
        return f"{getattr(self.lm, 'model', '')} {known.get('api_base')} {known.get('base_url')}"

    def _heard(self) -> None:
        self.ledger.answering.add(self._model)
        self.context.answered(self.callers)

    def _settings(self) -> dict[str, Any]:
        # DSPy's cache holds the reply without an answer, too.
        kept = self.empty and getattr(self.lm, "cache", False) and hasattr(self.lm, "_engine_spec")
        return {**self.kwargs, "cache": False} if kept else self.kwargs

    def once(self, call: Callable[[], Any]) -> Any:
        """Send one request, from a thread."""
        load_client(self.lm)
        bound = self._bound()
        with self._attempt(bound, self.ledger.lease_now(self.account, bound, self.key)) as attempt:
            attempt.outputs = within(self._seconds, functools.partial(self._sent, attempt, call))
        return self._read(attempt)

    async def aonce(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Send one request, from the event loop."""
        await called_in_thread(load_client, self.lm)
        bound = self._bound()
        with self._attempt(bound, await self.ledger.lease(self.account, bound, self.key)) as attempt:
            attempt.outputs = await awaited_within(self._seconds, self._asent(attempt, call))
        return self._read(attempt)

    def _sent(self, attempt: RequestUsage, call: Callable[..., Any]) -> Any:
        self._begin(attempt)
        return call(**self._settings())

    async def _asent(self, attempt: RequestUsage, call: Callable[..., Awaitable[Any]]) -> Any:
        self._begin(attempt)
        return await call(**self._settings())

    def _begin(self, attempt: RequestUsage) -> None:
        # The last moment at which it costs nothing: on a busy machine a thread may start long after it was let through.
        self.ledger.check_open()
        attempt.begun = True

    def _read(self, attempt: RequestUsage) -> Any:
        if attempt.problem is not None:
            self.empty = isinstance(attempt.problem, NoAnswer)
            raise attempt.problem
        self._heard()
        if attempt.usage and attempt.laid is None and self.ledger.batches is not None:
            self.ledger.batches.passed_by(self.lm.model)
        return attempt.outputs

    @property
    def _seconds(self) -> float | None:
        """How long the request may take: a longer time that the client was given counts where no limit was set."""
        if self.ledger.batches is not None:
            return None
        limit, own = self.ledger.request_seconds, (getattr(self.lm, "kwargs", None) or {}).get("timeout")
        return max(LONGEST_REQUEST, own) if limit == LONGEST_REQUEST and isinstance(own, (int, float)) else limit

    def _most(self, answered: Any = None) -> Bound:
        return self._less(most_of(self.lm, self.ledger.budget, self.asked, self.kwargs, answered))

    def _less(self, bound: Bound) -> Bound:
        return bound if self.ledger.batches is None else replace(bound, usd=bound.usd * batch_share(self.lm))

    def _bound(self) -> Bound:
        if self.context.over:
            raise Abandoned("nobody waits for this example any more")
        if self.outer is not None and self.outer.passed_on is not None:
            self.outer.passed_on()
        if self.ledger.batches is not None and (why := unbatchable(self.lm)):
            raise ModelUnavailable(SetupError(f"batch: {why}"))
        return self._less(bound_of(self.lm, self.ledger.budget, self.asked, self.kwargs))

    def _lay(self, lease: int, bound: Bound, body: Any) -> BatchedRequest:
        asker = None if self.context.purpose in _ASKED_AGAIN else id(self.context)
        laid = BatchedRequest(self.key, lease, self.account, bound, asker, access_of(self.lm, self.kwargs), body)
        self.ledger.batches.lay(laid)
        return laid

    def _asked_inside(self, lease: int) -> None:
        if sends_itself(self.lm):
            # A callback asks: this request is sent as well, and nobody may wait for its room.
            self.ledger.keep_for_good(lease)
        else:
            # What is asked inside is counted by itself, and needs the place that this one holds.
            self.passed_on = True
            self.ledger.leave(lease)

    @contextmanager
    def _attempt(self, bound: Bound, lease: int) -> Iterator[RequestUsage]:
        attempt = RequestUsage(dspy.settings.usage_tracker, quiet=bool(dspy.settings.disable_history))
        answered: Answered | None = None
        spent = bound.lost

        attempt.asked = self.asked
        attempt.sends = asked_again(self.ledger, self.account, bound, lease, lambda: self.passed_on)
        attempt.passed_on = functools.partial(self._asked_inside, lease)
        if self.ledger.batches is not None:
            attempt.lay = functools.partial(self._lay, lease, bound)
        try:
            with dspy.context(usage_tracker=attempt, disable_history=False):
                yield attempt
            spent = attempt.spent(lambda: self._most(attempt.outputs), stated_price(self.lm, self.ledger.budget))
            offered = self.kwargs.get("tools") or (getattr(self.lm, "kwargs", None) or {}).get("tools")
            attempt.problem = no_answer(attempt.entry, attempt.outputs, bool(offered))
            answered = Answered(attempt.outputs, attempt.tokens) if attempt.problem is None else None
            if self.memory is not None and attempt.problem is None:
                self.memory.keep(self.question, Answered(attempt.outputs, attempt.reported, attempt.shown))
        except Exception as error:
            learn_secrets(self.lm, self.kwargs)
            hide(error)
            seen, price = attempt.laid is None and sends_itself(self.lm), stated_price(self.lm, self.ledger.budget)
            spent = attempt.spent_in_vain(error, self._most, price, seen=seen)
            raise
        except Stop:
            # What a callback asked was not let through: before this one was sent, or behind it.
            spent = bound.lost if attempt.sent or attempt.usage else Spent()
            raise
        finally:
            laid, batches = attempt.laid, self.ledger.batches
            out = laid is not None and batches is not None and batches.leaves(laid)
            # A request that is cancelled may have been worked on: it counts at its bound, once it was begun.
            if self.passed_on or not attempt.begun or (laid is not None and laid.costless):
                spent = Spent()
            if laid is not None:
                spent = replace(spent, usd=spent.usd * batch_share(self.lm))
            # What is still under way in a batch stays so: its answer may come when the run is resumed.
            if not out:
                self.ledger.settle(lease, self.account, spent, self.key, answered)
