"""What executions in other processes ask of the driver: leases to send by, what is known, and what was answered.

The ledger, the journal and DSPy's cache stay where the run is. A worker asks before it sends, and is given a lease: a
bound that counts as spent until the worker says what the request cost; one that it never sent, it gives back. Every
answer is told here before the program sees it. So a worker that dies takes no answer with it: its execution is made
again elsewhere, and is told what it had been told, with what the lost worker says still, as long as it can be heard.

A worker names every second what it has under way. One that is frozen names nothing, nor does one that cannot reach this
process; what was lost on the way back is named no more: all three are the same silence, which is measured here.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from typing import Any

import dspy

from .._errors import Abandoned
from .budget import Account, Bound, Spent
from .entries import Answered, Unanswered
from .ledger import Ledger

MOST_LOSSES = 2
"""So many workers an execution may have lost: those that were lost while it asked nobody, and may be its own doing."""
MOST_ATTEMPTS = 4
"""So often an execution is begun whose workers are lost, for whatever reason."""
BEAT = 1.0
"""Seconds between two times that a worker names what it has under way."""
DRAIN = 1.0
"""Seconds in which a lost worker that is still connected may tell an answer, before its execution is begun again."""
_NO_TICKET = 0
"""Of a request whose ticket stands in the log as ended already."""
_KEY_BYTES = 32
_WAITING = 128
_PAUSE = 0.1
"""Seconds until connections are taken again, after there was no file for one."""


class WorkerLost(Exception):
    """The worker that had an execution has gone, with it or in it."""


@dataclass
class _Seat:
    """One execution elsewhere: what it was told, in order, and what its present attempt has not been told again.

    Args:
        losses: How many of its workers were lost while none of its requests was under way.
        begun: Whether a worker has it.
        silent: Seconds since a worker named it, or since it was sent.
    """

    attempt: int = 0
    losses: int = 0
    begun: bool = False
    silent: float = 0.0
    told: list[tuple[str, Any]] = field(default_factory=list)
    left: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))


@dataclass
class _Lease:
    task: int
    worker: str
    account: Account
    bound: Bound
    announced: bool


class Desk:
    """Answers what workers ask for the executions that they have. Thread-safe.

    Args:
        ledger: The run's; its journal is told, too.

    Attributes:
        parcels: What workers fetch once for each evaluation, by its number, while the evaluation goes on.
        met: Whether any worker has asked anything yet.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._journal = ledger, ledger.journal
        # Threads without a context do not know which execution they belong to: they are of none.
        self._seats: dict[int, _Seat] = {0: _Seat()}
        self._leases: dict[int, _Lease] = {}
        # Counted at their bounds; an answer may be on its way, or come from a worker that was given up too early.
        self._given_up: dict[int, _Lease] = {}
        self._connected: set[str] = set()
        self._lock = threading.Lock()
        self._heard = threading.Condition(self._lock)
        self._last = 0
        self.met = False
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

    def lose(self, task: int) -> bool:
        """Its worker is gone: what was under way counts at its bound; returns whether it may be begun again."""
        under_way = self._lose(lambda lease: lease.task == task)
        with self._lock:
            seat = self._seats.get(task)
            if seat is None:
                return False
            # Whoever waited for an answer did not bring its worker down: that was another one, or nobody's doing.
            seat.losses += seat.begun and not under_way
            seat.begun, seat.silent = False, 0.0
            return seat.losses < MOST_LOSSES and seat.attempt < MOST_ATTEMPTS

    def returned(self, task: int) -> None:
        """Its worker has given it back: it is not lost."""
        with self._lock:
            if (seat := self._seats.get(task)) is not None:
                seat.begun = False

    def came(self, worker: str) -> None:
        """A worker has connected."""
        with self._lock:
            self._connected.add(worker)

    def ended(self, worker: str) -> None:
        """A worker has left: what its threads had under way of no execution, or of one that is over, is lost, too."""
        self._lose(lambda lease: lease.worker == worker)
        with self._heard:
            self._connected.discard(worker)
            self._given_up = {number: one for number, one in self._given_up.items() if one.worker != worker}
            self._heard.notify_all()

    def _lose(self, which: Callable[[_Lease], bool]) -> int:
        with self._lock:
            lost = {number: lease for number, lease in self._leases.items() if which(lease)}
            for number in lost:
                del self._leases[number]
            self._given_up |= lost
        for number, lease in lost.items():
            self._ledger.settle(number, lease.account, lease.bound.lost)
        return len(lost)

    def watched(self, seconds: float, queued: bool) -> None:
        """So many seconds have gone by, in which workers could be heard.

        Args:
            queued: Whether an execution may have to wait until a worker is done with others.
        """
        with self._lock:
            busy = queued and any(seat.begun and seat.silent < 3 * BEAT for seat in self._seats.values())
            for seat in self._seats.values():
                if seat.begun or not busy:
                    seat.silent += seconds

    def silence(self, task: int) -> tuple[float, bool]:
        """Since when nothing was heard of an execution, in seconds, and whether a worker has it."""
        with self._lock:
            seat = self._seats.get(task)
            return (seat.silent, seat.begun) if seat is not None else (0.0, False)

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
        # An engine may begin it again by itself, and only then it is known that its worker was lost.
        again = self.lose(task)
        with self._heard:
            self._heard.wait_for(lambda: not self._may_tell(task), DRAIN)
            seat = self._seats.get(task)
            if seat is None:
                raise Abandoned("nobody waits for this execution any more")
            if not again:
                raise WorkerLost(f"its worker was lost, each of the {seat.attempt} times that it was begun")
            self.met = seat.begun = True
            seat.attempt, seat.silent = seat.attempt + 1, 0.0
            seat.left.clear()
            for key, one in seat.told:
                seat.left[key].append(one)
            return seat.attempt, bool(seat.told or (self._journal and self._journal.answers))

    def _may_tell(self, task: int) -> bool:
        return any(one.task == task and one.worker in self._connected for one in self._given_up.values())

    def on_alive(self, tasks: Iterable[int]) -> None:
        """A worker names the executions that it has."""
        with self._lock:
            self.met = True
            for seat in filter(None, map(self._seats.get, tasks)):
                seat.silent = 0.0

    def on_parcel(self, evaluation: int) -> Any:
        """What an evaluation runs."""
        found = self.parcels.get(evaluation)
        if found is None:
            raise Abandoned("nobody waits for this evaluation any more")
        return found

    def on_lease(self, task: int, attempt: int, worker: str, account: Account, bound: Bound, announced: bool) -> int:
        """Let a request through, once it fits; see `Ledger.admitted`."""
        self._seat(task, attempt)
        number = (self._ledger.lease_now if announced else self._ledger.enter_now)(account, bound)
        with self._lock:
            self._leases[number] = _Lease(task, worker, account, bound, announced)
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
        """A leased request has ended; one that was given up for lost has been counted, and its answer is kept."""
        with self._heard:
            lease = self._leases.pop(number, None)
            late = self._given_up.pop(number, None)
            seat = self._seats.get(one.task) if (one := lease or late) is not None else None
            if seat is not None and answered is not None:
                seat.told.append((key, answered))
            self._heard.notify_all()
        if lease is not None:
            self._ledger.settle(number, lease.account, spent, key, answered)
        elif self._journal and late is not None and late.announced and answered is not None:
            self._journal.ended(_NO_TICKET, late.account, Spent(), key, answered)

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
        desk: Is asked.
        host: The address to listen at; None for this machine alone.

    Attributes:
        address: Where it listens, and the key.
    """

    def __init__(self, desk: Desk, host: str | None) -> None:
        self._desk = desk
        self._listener = Listener((host, 0) if host else None, backlog=_WAITING)
        self._closed = False
        self._open: dict[Connection, str] = {}
        self._lock = threading.Lock()
        self.address: tuple[Any, bytes] = (self._listener.address, secrets.token_bytes(_KEY_BYTES))
        threading.Thread(target=self._listen, name="semantic-backprop-desk", daemon=True).start()

    def close(self) -> None:
        """Listen no longer, and hang up: workers of a cluster outlive the run."""
        self._closed = True
        # A thread that waits for a connection is woken by one only.
        with contextlib.suppress(OSError):
            Client(self.address[0]).close()
        for connection in list(self._open):
            _hang_up(connection)

    def _listen(self) -> None:
        with self._listener:
            while not self._closed:
                try:
                    connection = self._listener.accept()
                except OSError:
                    # No file is left for one more; whoever connects waits until there is.
                    time.sleep(_PAUSE)
                    continue
                talk = threading.Thread(target=self._talk, args=(connection,), name="semantic-backprop-desk")
                talk.daemon = True
                talk.start()

    def _talk(self, connection: Connection) -> None:
        with connection, contextlib.suppress(OSError, EOFError, AuthenticationError):
            if self._closed:
                return
            deliver_challenge(connection, self.address[1])
            answer_challenge(connection, self.address[1])
            with self._known(connection, connection.recv()):
                while not self._closed:
                    method, arguments = connection.recv()
                    try:
                        reply = True, self._desk.answer(method, *arguments)
                    except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
                        reply = False, error
                    connection.send(reply)

    @contextmanager
    def _known(self, connection: Connection, worker: str) -> Iterator[None]:
        """Inside, a worker is connected; when it has no connection any more, it has left."""
        with self._lock:
            self._open[connection] = worker
        self._desk.came(worker)
        try:
            yield
        finally:
            with self._lock:
                del self._open[connection]
                left = worker not in self._open.values()
            if left:
                self._desk.ended(worker)


def _hang_up(connection: Connection) -> None:
    # Another thread waits for what comes through it: to close the file alone would not wake it.
    with contextlib.suppress(OSError, AttributeError), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
