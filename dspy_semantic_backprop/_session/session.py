"""What surrounds a run: budget, log, limits, subscribers, and the model that is asked for gradients.

What a function of this package may spend, wait for and tell anybody is the same question for `compile`, `explain`,
`diagnose`, `preflight` and GEPA's proposals; one frozen record answers it for all of them.
"""

from __future__ import annotations

import asyncio
import math
import traceback
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import anyio
import dspy
from pydantic import NonNegativeInt

from .._concurrency import gather, on_event_loop
from .._errors import SetupError, Stop, TooManyFailures
from .._secrets.errors import hide
from .._secrets.known import cleaned, told
from .._terminal import logger, spelled
from .batch.gather import Batches
from .batch.shipment import Batch
from .budget import Budget, Purpose
from .events import Event, Subscriber, Working
from .journal import Journal, digest_of
from .ledger import Ledger
from .limits import Limits
from .lm import LMContext, for_predictor, for_purpose, limit, unmetered

P = TypeVar("P")
R = TypeVar("R")


@dataclass
class Asked:
    """How often something was asked for that depends on a language model, and not answered; `now`: of late."""

    times: int = 0
    failed: int = 0
    now: tuple[int, int] = (0, 0)
    first: str = ""

    def count(self, error: BaseException | str | None) -> None:
        """Note one more; None where it was answered."""
        failed = error is not None
        self.times, self.failed = self.times + 1, self.failed + failed
        self.now = self.now[0] + 1, self.now[1] + failed
        if failed and not self.first:
            self.first = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        self.first = self.first or (
            str(error) if isinstance(error, str) else f"{type(error).__name__}: {error}" if failed else ""
        )


HELD = (
    "the decision at the end keeps to the calls that the run was projected to take, and rests on what was evaluated by "
    "then; with steps and a larger budget it looks further"
)
OVERRUN = (
    "the run took {0:,} calls, more than the {1:,} that it was projected to take at most: its program calls its "
    "predictors more often than in the first executions"
)
UNKEPT = (
    "without a log_dir a run in batches that ends early cannot be resumed: what is at the provider by then is paid and "
    "lost"
)
UNANSWERED = "were not answered"
FEW = 10
"""So many questions stand behind a share of failures at least: one of three says little."""


@dataclass(frozen=True)
class Session:
    """What surrounds a run.

    Args:
        limiter: Bounds how many programs run at once.
        turn: Bounds how many questions of our own are asked at once.
        gradient_lm: The language model that is asked for gradients and instructions; None for DSPy's configured one.
        answers: What it answered before.
        warnings: What has been warned of, in order, each once.
        notes: What happened in backward passes, by name, how often.
        asked: How often backward passes, proposals and executions were asked for and not answered, by those words.
    """

    ledger: Ledger
    journal: Journal
    limits: Limits
    limiter: anyio.CapacityLimiter
    turn: AbstractAsyncContextManager[Any]
    gradient_lm: Any = field(default=None, repr=False)
    answers: Any = field(default=None, repr=False)
    subscribers: Sequence[Subscriber] = field(default=(), repr=False)
    warnings: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    asked: dict[str, Asked] = field(default_factory=lambda: defaultdict(Asked))

    @classmethod
    def open(
        cls,
        *,
        journal: Journal | None = None,
        budget: Budget | None = None,
        caps: Mapping[Purpose, int] | None = None,
        limits: Limits | None = None,
        num_threads: float | None = None,
        gradient_lm: Any = None,
        answers: Any = None,
    ) -> Session:
        """A session with a ledger of its own; `caps`: purpose -> the most requests that it may send."""
        journal = journal if journal is not None else Journal()
        limits = limits if limits is not None else Limits()
        threads = num_threads if num_threads is not None else dspy.settings.num_threads or 8
        return cls(
            ledger=journal.open_ledger(caps=caps, budget=budget, request_seconds=limits.request),
            journal=journal,
            limits=limits,
            **_bounds(threads),
            gradient_lm=gradient_lm,
            answers=answers,
        )

    def send_in_batches(self, how: Batch | None) -> None:
        """Send requests as batches of the provider; None sends each by itself.

        Raises:
            SetupError: If a batch is under way from before the run was resumed, and its answers would be paid twice.
        """
        if how is None:
            if self.journal.batches:
                raise SetupError(
                    f"{self.journal.folder} is the log of a run with a batch under way at the provider; go on with "
                    "batch=True, which asks for that batch, or choose another log_dir"
                )
            return
        told, running = _in_loop(self.show), lambda: self.limiter.borrowed_tokens
        self.ledger.batches = Batches(how, self.ledger, running, told, self.warn)
        if not self.journal:
            self.warn(UNKEPT)

    def in_this_loop(self) -> Session:
        """The same session for another event loop: what waits for a turn belongs to one."""
        return replace(self, **_bounds(self.limiter.total_tokens))

    @contextmanager
    def asking(
        self, purpose: Purpose, *, where: str = "", predictor: str | None = None, rollout: int = 0
    ) -> Iterator[LMContext]:
        """Inside, questions of our own go to the gradient model; `rollout`: how often the same was asked."""
        opened = for_purpose(
            purpose,
            self.ledger,
            lm=self.gradient_lm,
            where=where,
            turn=self.turn,
            rollout=rollout,
            tally=self.notes,
            cache=self.answers if purpose in (Purpose.BACKWARD, Purpose.REDUCE) else None,
        )
        with opened as here:
            if predictor is None:
                yield here
            else:
                with for_predictor(predictor):
                    yield here

    def check_answers(self, *kinds: str) -> None:
        """Refuse to go on where more than `limits.missing` of all was not answered, or nothing of late."""
        for kind in kinds:
            one = self.asked[kind]
            (times, failed), one.now = one.now, (0, 0)
            nothing = one.failed > 1 and (failed == times > 1 or one.failed == one.times)
            if one.failed and (nothing or one.failed > self.limits.missing * max(one.times, FEW)):
                raise TooManyFailures(
                    f"{one.failed} of {one.times} {kind} were not answered by the gradient model (at most "
                    f"{self.limits.missing:.0%} may be without an answer); the first: {one.first}"
                )

    def room(self, executions: int, ahead: int = 0) -> int:
        """How many executions more, beside those made and those made `ahead`, keep to what was projected."""
        key = digest_of(["room", executions]) if self.journal else ""
        known = self.journal.take(key, NonNegativeInt) if self.journal else None
        if known is None:
            known = self.ledger.room(executions, ahead)
            self.journal.keep("room", key, known)
        if not known:
            self.warn(HELD)
        return known

    def warn_of_overrun(self) -> None:
        """Say, at the end, that the run took more than was projected, where it did."""
        over = self.ledger.overrun
        if over is not None:
            self.warn(OVERRUN.format(*over))

    @property
    def unanswered(self) -> list[str]:
        """What was not answered, or not counted, with counts, in warnings."""
        return [unmetered(host, times) for host, times in self.ledger.unmetered.items()] + [
            f"{one.failed} of {one.times} {kind} {UNANSWERED}; the first: {one.first}"
            for kind, one in self.asked.items()
            if one.failed
        ]

    async def working(self, what: str, work: Callable[[P], Awaitable[R]], pieces: Sequence[P]) -> list[R]:
        """The pieces of some work at once; its progress is shown."""
        done = 0
        self.show(Working(what, done, len(pieces)))

        async def one(piece: P) -> R:
            nonlocal done
            found = await work(piece)
            done += 1
            self.show(Working(what, done, len(pieces)))
            return found

        return await gather(one, pieces)

    def publish(self, event: Event) -> None:
        """Write an event down, and show it to every subscriber."""
        self.journal.event(event)
        self.show(event)

    def show(self, event: Event) -> None:
        """Show an event to every subscriber; one that raises is logged and changes nothing but what it asked for."""
        for subscriber in self.subscribers:
            try:
                # What it asks once the run is over stands in no result, and is its own affair.
                with nullcontext() if self.ledger.closed else for_purpose(Purpose.SUBSCRIBER, self.ledger):
                    subscriber(event)
            except (Exception, Stop) as error:  # noqa: BLE001 - it is the user's code, and changes nothing
                hide(error)
                name = getattr(subscriber, "__qualname__", type(subscriber).__qualname__)
                # Not `exception`: of some errors the words cannot be changed.
                came = cleaned("".join(traceback.format_exception(error)))
                logger.error("subscriber %s raised on %s; the run goes on\n%s", name, type(event).__name__, came)

    def warn(self, warning: str) -> None:
        """Log a warning, once, and keep it for the report."""
        warning = spelled(told(warning))
        if warning not in self.warnings:
            self.warnings.append(warning)
            logger.warning("%s", warning)


def _in_loop(tell: Callable[[Any], None]) -> Callable[[Any], None]:
    """What tells something in the event loop that runs here, from whichever thread."""
    if not on_event_loop():
        return tell
    loop = asyncio.get_running_loop()

    def later(event: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, event)

    return later


def _bounds(threads: float) -> dict[str, Any]:
    most = None if math.isinf(threads) else int(threads)
    return {"limiter": anyio.CapacityLimiter(math.inf if most is None else most), "turn": limit(most)}
