"""The ledger of a run as a worker in another process has it: whatever is to be spent is asked for at the run's desk."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import secrets
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from typing import Any

import dspy
from dspy.clients.cache import Cache

from .._concurrency import call_in_thread
from .._errors import Abandoned, BudgetSpent
from .budget import Account, Bound, Budget, Spent
from .entries import Answered, Unanswered
from .lm.context import lm_context
from .lm.patched import Patched

_NOBODY = (0, 0, False)
"""The execution of a thread without a context."""
_PATCHED = Patched()
WORKER = f"{socket.gethostname()}, process {os.getpid()}, {secrets.token_hex(4)}"
"""Which worker this process is, for whoever it asks."""


class Unreachable(Abandoned):
    """The driver cannot be reached: nobody would book what is sent, or keep what is answered."""


class Driver:
    """Asks the desk of a run; several threads at once have a connection each.

    Attributes:
        under_way: The executions of the run that this worker has, by number.

    Raises:
        Unreachable: If the driver cannot be reached.
    """

    def __init__(self, address: tuple[Any, bytes]) -> None:
        self._address = address
        self._idle: deque[Connection] = deque()
        self.under_way: set[int] = set()

    def __call__(self, method: str, *arguments: Any) -> Any:
        try:
            connection = self._connection()
            connection.send((method, arguments))
            answered, value = connection.recv()
        except (OSError, EOFError, AuthenticationError) as error:
            self._idle.clear()
            raise Unreachable(
                f"{WORKER}: the driver of the run cannot be reached at {self._address[0]} ({error})"
            ) from error
        self._idle.append(connection)
        if answered:
            return value
        raise value

    def _connection(self) -> Connection:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        where, key = self._address
        # Without the program's context: it is not the program that opens a socket.
        connection = contextvars.Context().run(functools.partial(Client, where, authkey=key))
        connection.send(WORKER)
        return connection


class LeasedLedger:
    """What a metered language model needs of a `Ledger`, asked for at the run's desk.

    Args:
        ask: Asks the desk: a method's name and its arguments.
        budget: The run's: it says what a request is bound by.
        request_seconds: The longest that one request may take.
        seconds_left: Seconds until the budget is spent; None for no bound.
        answering: As of a `Ledger`.
    """

    def __init__(
        self,
        ask: Callable[..., Any],
        budget: Budget,
        request_seconds: float | None,
        seconds_left: float | None,
        answering: frozenset[str],
    ) -> None:
        self.ask = ask
        self.budget, self.request_seconds = budget, request_seconds
        self.journal = _LeasedJournal(ask)
        self.answering = set(answering)
        self.shown: deque[Any] = deque()
        self.batches = None
        self.outside: dict[int, tuple[Any, Any]] = {}
        self.unmetered: Counter[str] = Counter()
        self._until = None if seconds_left is None else time.monotonic() + seconds_left

    def __deepcopy__(self, memo: dict[int, Any]) -> LeasedLedger:
        return self

    def enter_now(self, account: Account, bound: Bound) -> int:
        """See `Ledger`, as for the others."""
        return self.ask("lease", *_here()[:2], WORKER, account, bound, False)

    def lease_now(self, account: Account, bound: Bound, key: str = "") -> int:
        return self.ask("lease", *_here()[:2], WORKER, account, bound, True)

    async def lease(self, account: Account, bound: Bound, key: str = "") -> int:
        asked = call_in_thread(functools.partial(self.lease_now, account, bound))
        try:
            return await asyncio.shield(asyncio.wrap_future(asked))
        except asyncio.CancelledError:
            # A lease that comes too late is given back.
            asked.add_done_callback(lambda done: done.exception() or self.settle(done.result(), account, Spent()))
            raise

    def leave(self, lease: int) -> None:
        self.ask("leave", lease)

    def settle(
        self, lease: int, account: Account, spent: Spent, key: str = "", answered: Answered | None = None
    ) -> None:
        self.ask("settle", lease, spent, key, answered)

    def book(self, account: Account, spent: Spent) -> None:
        self.ask("book", account, spent)

    def check_open(self) -> None:
        # That the run is not over, the lease says: it counts whatever becomes of the request.
        if self.seconds_left == 0:
            raise BudgetSpent(f"the budget of {self.budget.seconds:g} seconds is spent")

    @property
    def seconds_left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - time.monotonic())


class _LeasedJournal:
    """What was answered before, and where failures are noted; always there: an execution may be made again."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def take(self, key: str) -> Any:
        task, attempt, known = _here()
        return self._ask("take", task, attempt, key) if known else None

    def unanswered(self, key: str, failure: Unanswered) -> None:
        self._ask("unanswered", *_here()[:2], key, failure)


def _here() -> tuple[int, int, bool]:
    """The execution that runs here, its attempt, and whether anything of it is known already."""
    return dspy.settings.get("semantic_task") or _NOBODY


@contextmanager
def cache_of_the_driver() -> Iterator[None]:
    """Inside, executions of a run elsewhere go by DSPy's cache in the driver, so that the same is asked as there."""
    with _PATCHED.inside(lambda: [(Cache, "get", _getting), (Cache, "put", _putting)]):
        yield


def _getting(original: Any) -> Any:
    @functools.wraps(original)
    def get(cache: Cache, request: Any, ignored: Any = None) -> Any:
        ask = _asker()
        if ask is None:
            return original(cache, request, ignored)
        key = _key(cache, request, ignored)
        found = ask("cached", key) if key else None
        return None if found is None else cache._prepare_cached_response(found)

    return get


def _putting(original: Any) -> Any:
    @functools.wraps(original)
    def put(cache: Cache, request: Any, value: Any, ignored: Any = None, *more: Any, **named: Any) -> None:
        ask = _asker()
        if ask is None:
            original(cache, request, value, ignored, *more, **named)
        elif key := _key(cache, request, ignored):
            ask("cache", key, value)

    return put


def _asker() -> Callable[..., Any] | None:
    ledger: Any = lm_context().ledger
    return ledger.ask if isinstance(ledger, LeasedLedger) else None


def _key(cache: Cache, request: Any, ignored: Any) -> str:
    try:
        return cache.cache_key(request, ignored)
    except Exception:  # noqa: BLE001 - as DSPy does, what has no key is not cached
        return ""
