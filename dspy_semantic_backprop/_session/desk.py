"""What executions in other processes ask of the driver: leases to send by, what is known, and what was answered.

The ledger, the journal and DSPy's cache stay where the run is. A worker asks before it sends, and is given a lease: a
bound that counts as spent until the worker says what the request cost; one that it never sent, it gives back. Every
answer is told here before the program sees it. So a worker that dies takes no answer with it: its execution is made
again elsewhere, and is told what it had been told.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import weakref
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from typing import Any

import dspy

from .._errors import Abandoned
from .budget import Account, Bound, Spent
from .entries import Answered, Unanswered
from .ledger import Ledger

MOST_ATTEMPTS = 2
"""So often an execution is begun whose workers are lost."""
_KEY_BYTES = 32
_WAITING = 128


class WorkerLost(Exception):
    """The worker that had an execution has gone, with it or in it."""


@dataclass
class _Seat:
    """One execution elsewhere: what it was told, in order, and what its present attempt has not been told again."""

    attempt: int = 0
    told: list[tuple[str, Any]] = field(default_factory=list)
    left: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))


@dataclass
class _Lease:
    task: int
    account: Account
    bound: Bound
    announced: bool


class Desk:
    """Answers what workers ask for the executions that they have. Thread-safe.

    Args:
        ledger: The run's; its journal is told, too.

    Attributes:
        parcels: What workers fetch once for each evaluation, by its number, while the evaluation goes on.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._journal = ledger, ledger.journal
        # Threads without a context do not know which execution they belong to: they are of none.
        self._seats: dict[int, _Seat] = {0: _Seat()}
        self._leases: dict[int, _Lease] = {}
        self._lock = threading.Lock()
        self._last = 0
        self.parcels: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def open(self) -> int:
        """Begin an execution elsewhere; its number."""
        with self._lock:
            self._last += 1
            self._seats[self._last] = _Seat()
            return self._last

    def close(self, task: int) -> None:
        """Nobody waits for it any more: it is given no leases. What it has under way is booked when it ends."""
        with self._lock:
            self._seats.pop(task, None)

    def lose(self, task: int) -> int:
        """Its worker is gone: what was under way counts at its bound, since nobody knows what it cost.

        Returns:
            How often the execution was begun.
        """
        with self._lock:
            begun = self._seats[task].attempt if task in self._seats else MOST_ATTEMPTS
            lost = {number: lease for number, lease in self._leases.items() if lease.task == task}
            for number in lost:
                del self._leases[number]
        for number, lease in lost.items():
            self._ledger.settle(number, lease.account, lease.bound.lost)
        return begun

    def answer(self, method: str, *arguments: Any) -> Any:
        """What a worker asks, by name: a method whose name begins with `on_`."""
        return getattr(self, f"on_{method}")(*arguments)

    # What workers ask

    def on_begin(self, task: int) -> tuple[int, bool]:
        """An attempt at an execution begins: its number, and whether anything of it is known already.

        Raises:
            WorkerLost: If it was begun too often.
            Abandoned: If nobody waits for it.
        """
        with self._lock:
            seat = self._seats.get(task)
            if seat is None:
                raise Abandoned("nobody waits for this execution any more")
            if seat.attempt >= MOST_ATTEMPTS:
                raise WorkerLost(f"its worker was lost {MOST_ATTEMPTS} times")
            seat.attempt += 1
            seat.left.clear()
            for key, one in seat.told:
                seat.left[key].append(one)
            attempt, known = seat.attempt, bool(seat.told or (self._journal and self._journal.answers))
        self.lose(task)
        return attempt, known

    def on_parcel(self, evaluation: int) -> Any:
        """What an evaluation runs."""
        found = self.parcels.get(evaluation)
        if found is None:
            raise Abandoned("nobody waits for this evaluation any more")
        return found

    def on_lease(self, task: int, attempt: int, account: Account, bound: Bound, announced: bool) -> int:
        """Let a request through, once it fits; see `Ledger.admitted`."""
        self._seat(task, attempt)
        number = (self._ledger.lease_now if announced else self._ledger.enter_now)(account, bound)
        with self._lock:
            self._leases[number] = _Lease(task, account, bound, announced)
        try:
            self._seat(task, attempt)
        except Abandoned:
            self.on_settle(number, Spent())
            raise
        return number

    def on_leave(self, number: int) -> None:
        """A request stands for others, which are leased by themselves, or is not told to the journal."""
        with self._lock:
            if number in self._leases and not self._leases[number].announced:
                del self._leases[number]
        self._ledger.leave(number)

    def on_settle(self, number: int, spent: Spent, key: str = "", answered: Answered | None = None) -> None:
        """A leased request has ended; one that was given up for lost has been counted."""
        with self._lock:
            lease = self._leases.pop(number, None)
            seat = self._seats.get(lease.task) if lease is not None else None
            if seat is not None and answered is not None:
                seat.told.append((key, answered))
        if lease is not None:
            self._ledger.settle(number, lease.account, spent, key, answered)

    def on_take(self, task: int, attempt: int, key: str) -> Any:
        """What is known under a key: what an attempt before this one was told, else what the journal has."""
        seat = self._seat(task, attempt)
        with self._lock:
            if seat.left[key]:
                return seat.left[key].popleft()
        found = self._journal.take(key) if self._journal else None
        if found is not None:
            with self._lock:
                seat.told.append((key, found))
        return found

    def on_unanswered(self, task: int, attempt: int, key: str, failure: Unanswered) -> None:
        """A request failed for good."""
        seat = self._seat(task, attempt)
        with self._lock:
            seat.told.append((key, failure))
        if self._journal:
            self._journal.unanswered(key, failure)

    def on_book(self, account: Account, spent: Spent) -> None:
        """Book what needs no lease: answers that are reused, or that a client of the program's own reported."""
        self._ledger.book(account, spent)

    def on_cached(self, key: str) -> Any:
        """What DSPy's cache holds under a key."""
        cache = dspy.cache
        with contextlib.suppress(Exception):  # as DSPy does, what cannot be read is not there
            found = cache.memory_cache.get(key) if cache.enable_memory_cache else None
            return found if found is not None or not cache.enable_disk_cache else cache.disk_cache.get(key)
        return None

    def on_cache(self, key: str, value: Any) -> None:
        """Put an answer into DSPy's cache."""
        cache = dspy.cache
        if cache.enable_memory_cache:
            with cache._lock:
                cache.memory_cache[key] = value
        if cache.enable_disk_cache:
            with contextlib.suppress(Exception):
                cache.disk_cache.set(key, value)

    def _seat(self, task: int, attempt: int) -> _Seat:
        with self._lock:
            seat = self._seats.get(task)
        if seat is None or seat.attempt != attempt:
            raise Abandoned("nobody waits for this execution any more")
        return seat


class DeskServer:
    """Lets other processes ask a desk; whoever connects has to know the key.

    Args:
        answer: Is given what is asked: a method's name and its arguments.
        host: The address to listen at; None for this machine alone.

    Attributes:
        address: Where it listens, and the key.
    """

    def __init__(self, answer: Callable[..., Any], host: str | None) -> None:
        self._answer = answer
        self._listener = Listener((host, 0) if host else None, backlog=_WAITING)
        self._closed = False
        self.address: tuple[Any, bytes] = (self._listener.address, secrets.token_bytes(_KEY_BYTES))
        threading.Thread(target=self._listen, name="semantic-backprop-desk", daemon=True).start()

    def close(self) -> None:
        """Listen no longer."""
        self._closed = True
        # A thread that waits for a connection is woken by one only.
        with contextlib.suppress(OSError):
            Client(self.address[0]).close()

    def _listen(self) -> None:
        with self._listener:
            while True:
                connection = self._listener.accept()
                if self._closed:
                    connection.close()
                    return
                talk = threading.Thread(target=self._talk, args=(connection,), name="semantic-backprop-desk")
                talk.daemon = True
                talk.start()

    def _talk(self, connection: Connection) -> None:
        with connection, contextlib.suppress(OSError, EOFError, AuthenticationError):
            deliver_challenge(connection, self.address[1])
            answer_challenge(connection, self.address[1])
            while True:
                method, arguments = connection.recv()
                try:
                    reply = True, self._answer(method, *arguments)
                except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
                    reply = False, error
                connection.send(reply)
