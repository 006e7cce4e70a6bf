"""Requests gathered into batches of the provider, which answers them within a day at half the price.

Executions run as they always do. A request of theirs is not sent but laid in; once whatever runs waits for an answer,
all that was laid in is sent, one batch for each model, and every request is given its line of what comes back, as if
it had been answered by itself: adapters, retries, parsing and the record of the graph know nothing of it.

The journal is told of a batch, and of all that is in it, before anything is sent, and of the provider's name for it
once that is known. So a run that was killed asks for the same batch again; where the kill came before the name was
known, it looks for the batch among those of the account, and where there is none, nothing was paid.
"""

from __future__ import annotations

import contextvars
import functools
import json
import math
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .._errors import Abandoned, ModelError, ModelUnavailable, SetupError
from .._secrets import cleaned
from .._terminal import counted, logger
from .budget import Account, Bound
from .entries import SentBatch
from .events import BatchWaiting
from .ledger import Ledger
from .provider import ENDPOINT, Provider, Reply, is_passing, reply_of

R = TypeVar("R")
_QUIET, _LOOK = 0.1, 0.02
"""Seconds without a new request after which a batch is sent where all wait; and between two looks at that."""
_FIRST_WAIT, _LONGEST_WAIT, _GROWTH = 0.1, 60.0, 0.1
"""Seconds between two looks at a batch: a tenth of how long it was waited for, in these bounds."""
_BYTES = 150_000_000
"""The most bytes in one file of requests; OpenAI takes 200 MB."""
_READS = 4
"""How often a file of replies is read that lacks some of them: it may still be being written."""
_GONE = 404
_OVER = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True)
class Batch:
    """How a run sends its requests as batches of the provider.

    Args:
        seconds: The longest that one batch is waited for, in seconds; then the run ends with a `ModelError`. Providers
            promise a day.
        gather: The longest that requests wait for others that are still on their way, as behind a slow tool, in
            seconds since the last one came.
        requests: The most requests in one batch.

    Raises:
        SetupError: If one is not above 0.
    """

    seconds: float = 90_000.0
    gather: float = 60.0
    requests: int = 50_000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
            if not good or (name == "requests" and not isinstance(value, int)):
                raise SetupError(f"batch.{name} must be a number above 0, not {value!r}")


@dataclass(eq=False)
class Parcel:
    """One request that was laid in.

    Args:
        key: What it is in the journal; "" without one.
        asker: Whose execution waits for it; None for a question of our own.
        access: By what its provider is reached.
        body: What would have been sent by itself.
        answer: What it is answered; None for nothing that anybody knows of.
        out: Whether it was sent, and nothing has come back.
        costless: Whether it is known that nothing is paid for it.
        left: Whether nobody waits for it any more.
    """

    key: str
    lease: int
    account: Account
    bound: Bound
    asker: int | None
    access: Mapping[str, Any] = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)
    answer: Future[Reply | None] = field(default_factory=Future, repr=False)
    out: bool = False
    costless: bool = True
    left: bool = False

    def __post_init__(self) -> None:
        self.answer.set_running_or_notify_cancel()


@dataclass(eq=False)
class _Sent:
    """One batch, sent or about to be.

    Args:
        name: Ours.
        number: The provider's; None where it is not known.
        waiting: Name of a request in it -> the request.
        before: Whether it was sent before the run was resumed.
        replies: What came back; None before anything did.
    """

    name: str
    number: str | None = None
    access: Mapping[str, Any] = field(default_factory=dict, repr=False)
    waiting: dict[str, Parcel] = field(default_factory=dict)
    before: bool = False
    begun: float = 0.0
    replies: Mapping[str, Reply | None] | None = None


class _NeverMade(Exception):
    """A batch was never made, or refused as a whole: nothing was paid, and its requests can be sent in another one."""


class Batches:
    """Gathers the requests of a run into batches, and waits for these. Thread-safe.

    Args:
        running: How many executions and calls of the metric are under way.
        show: Is told how batches are doing.
        warn: Is told what the user must know.
    """

    def __init__(
        self,
        how: Batch,
        ledger: Ledger,
        running: Callable[[], int],
        show: Callable[[BatchWaiting], None],
        warn: Callable[[str], None],
    ) -> None:
        self.how, self._ledger = how, ledger
        self._running, self._show, self._warn = running, show, warn
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._gathered: list[Parcel] = []
        self._sent: list[_Sent] = []
        self._last = 0.0
        self._gathering = False
        self._pending: dict[str, deque[tuple[_Sent, str]]] = defaultdict(deque)
        for one in ledger.journal.batches if ledger.journal else ():
            self._expect(one)

    def _expect(self, known: SentBatch) -> None:
        """Remember a batch that was under way when the run ended."""
        sent = _Sent(known.name, known.number, before=True)
        for one in known.requests:
            self._pending[one.key].append((sent, _id(one.ticket)))

    # What requests do

    def lay(self, parcel: Parcel) -> None:
        """Lay a request into the next batch, or find it in one that was sent before the run was resumed.

        Raises:
            Abandoned: If the run is over.
        """
        with self._changed:
            if self._over.is_set():
                raise Abandoned("the run is over; no more requests are sent")
            known = self._pending.get(parcel.key) if parcel.key else None
            if known:
                self._join(parcel, *known.popleft())
            else:
                self._gather([parcel])

    def leaves(self, parcel: Parcel) -> bool:
        """Whether a request that nobody waits for any more is still under way: then its lease stays open."""
        with self._changed:
            parcel.left = True
            return parcel.out

    def close(self) -> None:
        """Send nothing more, wait for nothing more, and say what is still at the provider."""
        with self._changed:
            if self._over.is_set():
                return
            self._over.set()
            out = [parcel for sent in self._sent for parcel in sent.waiting.values() if parcel.out]
            for parcel in (*self._gathered, *out):
                _fail(parcel, Abandoned("the run is over"))
            names = {str(sent.number or sent.name) for sent in self._sent for one in sent.waiting.values() if one.out}
            self._gathered.clear()
            self._changed.notify_all()
        if out:
            told = f"{counted(len(out), 'request')} {'is' if len(out) == 1 else 'are'} still at the provider"
            resumable = "the same run with the same log_dir waits for the answers, and pays for nothing twice"
            lost = "without a log_dir, the answers are lost; they count at the most that they may cost"
            self._warn(f"{told}, in {', '.join(sorted(names))}: {resumable if self._ledger.journal else lost}")

    def _join(self, parcel: Parcel, sent: _Sent, name: str) -> None:
        self._mark([parcel], out=True)
        if sent.replies is not None:
            _answer(parcel, sent.replies.get(name))
            return
        sent.waiting[name] = parcel
        if not sent.access:
            sent.access = parcel.access
            self._start(sent)

    def _gather(self, parcels: Sequence[Parcel]) -> None:
        self._gathered += parcels
        self._last = time.monotonic()
        if not self._gathering:
            self._gathering = True
            _thread(self._keep_gathering)

    # Gathering

    def _keep_gathering(self) -> None:
        with self._changed:
            while self._gathered:
                if self._due():
                    for access, parcels in self._sorted():
                        self._sent.append(sent := _Sent(uuid.uuid4().hex, access=access))
                        self._start(sent, parcels)
                    self._gathered.clear()
                else:
                    self._changed.wait(_LOOK)
            self._gathering = False

    def _due(self) -> bool:
        """Whether nothing that is still on its way could join."""
        if len(self._gathered) >= self.how.requests:
            return True
        quiet = time.monotonic() - self._last
        everything = [*self._gathered, *(parcel for sent in self._sent for parcel in sent.waiting.values())]
        askers = {parcel.asker for parcel in everything if not parcel.left} - {None}
        waits = len(askers) + self._ledger.held_back >= self._running()
        return quiet >= (_QUIET if waits else self.how.gather)

    def _sorted(self) -> Iterable[tuple[Mapping[str, Any], list[Parcel]]]:
        """What was gathered, by model, each no more than a file may hold."""
        groups: dict[str, list[Parcel]] = defaultdict(list)
        for parcel in self._gathered:
            groups[json.dumps([parcel.access, parcel.body.get("model")], sort_keys=True, default=str)].append(parcel)
        for parcels in groups.values():
            size, some = 0, []
            for parcel in parcels:
                more = len(json.dumps(parcel.body))
                if some and (len(some) >= self.how.requests or size + more > _BYTES):
                    yield some[0].access, some
                    size, some = 0, []
                size += more
                some.append(parcel)
            yield some[0].access, some

    # Sending, waiting, handing out

    def _start(self, sent: _Sent, parcels: Sequence[Parcel] = ()) -> None:
        sent.begun = time.monotonic()
        if sent not in self._sent:
            self._sent.append(sent)
        for parcel in parcels:
            sent.waiting[f"lease-{parcel.lease}"] = parcel
        _thread(functools.partial(self._carry, sent))

    def _carry(self, sent: _Sent) -> None:
        """Everything that becomes of one batch; whatever fails is told to those who wait."""
        try:
            provider = Provider(sent.access)
            if sent.number is None:
                self._make(sent, provider)
            replies = self._read(sent, provider, self._waited(sent, provider))
        except _NeverMade as why:
            self._dissolve(sent, str(why))
        except Abandoned:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            if sent.before and getattr(error, "status_code", None) == _GONE:
                self._hand_out(sent, self._rest(sent, "gone", {}))
            else:
                self._fail(sent, error)
        else:
            self._hand_out(sent, replies)

    def _make(self, sent: _Sent, provider: Provider) -> None:
        if sent.before:
            found = self._persist(sent, functools.partial(provider.find, sent.name))
            if found is None:
                raise _NeverMade("it was never made")
        else:
            found = self._made_anew(sent, provider)
        sent.number = found
        if self._ledger.journal:
            self._ledger.journal.batch_made(sent.name, found)

    def _made_anew(self, sent: _Sent, provider: Provider) -> str:
        with self._changed:
            parcels = list(sent.waiting.values())
            tickets = self._ledger.announce_batch(sent.name, parcels)
            sent.waiting = {_id(ticket): parcel for ticket, parcel in zip(tickets, parcels, strict=True)}
        lines = [
            json.dumps({"custom_id": name, "method": "POST", "url": ENDPOINT, "body": parcel.body})
            for name, parcel in sent.waiting.items()
        ]
        file = self._persist(sent, functools.partial(provider.upload, "\n".join(lines).encode()))
        tried = False

        def create() -> str:
            # What broke off may have made it all the same.
            nonlocal tried
            known = provider.find(sent.name) if tried else None
            tried = True
            return known or provider.create(file, sent.name)

        self._check_open()
        self._mark(parcels, out=True)
        try:
            return self._persist(sent, create)
        except Exception as error:
            self._mark(parcels, out=is_passing(error))
            raise

    def _waited(self, sent: _Sent, provider: Provider) -> Any:
        """How a batch ended."""
        while True:
            found = self._persist(sent, functools.partial(provider.look, str(sent.number)))
            waited = time.monotonic() - sent.begun
            counts = getattr(found, "request_counts", None)
            done = (getattr(counts, "completed", 0) or 0) + (getattr(counts, "failed", 0) or 0)
            self._show(BatchWaiting(str(sent.number), found.status, done, len(sent.waiting), waited))
            if found.status in _OVER:
                return found
            if waited >= self.how.seconds:
                raise ModelUnavailable(ModelError(f"{self._title(sent)} is {found.status} after {waited:,.0f} seconds"))
            self._pause(min(max(_FIRST_WAIT, _GROWTH * waited), _LONGEST_WAIT))

    def _read(self, sent: _Sent, provider: Provider, found: Any) -> dict[str, Reply | None]:
        """What a batch that is over came back with: request -> its reply, None where that is lost.

        Raises:
            _NeverMade: If it was refused as a whole, before the run was resumed.
            ModelUnavailable: If it was refused as a whole now.
        """
        replies: dict[str, Reply | None] = {}
        for turn in range(_READS if found.status == "completed" else 1):
            self._pause(turn * _FIRST_WAIT)
            for file in (found.output_file_id, found.error_file_id):
                lines = self._persist(sent, lambda file=file: list(provider.lines(file)))
                replies = {line["custom_id"]: reply_of(line) for line in reversed(lines)} | replies
            if sent.waiting.keys() <= replies.keys():
                break
        answered = any(reply is not None and reply.status < 400 for reply in replies.values())
        if found.status == "failed" or (found.status != "completed" and not answered):
            self._refuse(sent, found)
        return self._rest(sent, found.status, replies)

    def _refuse(self, sent: _Sent, found: Any) -> None:
        problems = getattr(getattr(found, "errors", None), "data", None) or ()
        said = "; ".join(str(getattr(one, "message", one)) for one in problems)
        if sent.before:
            raise _NeverMade(f"it has {found.status}")
        with self._changed:
            self._mark(sent.waiting.values(), out=False)
        raise ModelUnavailable(
            ModelError(cleaned(f"{self._title(sent)} has {found.status}: {said or 'no reason given'}"))
        )

    def _rest(self, sent: _Sent, status: str, replies: dict[str, Reply | None]) -> dict[str, Reply | None]:
        """The replies, with those that are lost, or that the provider never came to."""
        rest = [name for name in sent.waiting if replies.get(name) is None]
        if rest:
            lost = f"{len(rest)} of {counted(len(sent.waiting), 'request')} in {self._title(sent)}"
            said = f"came back without a reply (it is {status})"
            self._warn(f"{lost} {said}; they are asked again, and count at the most that they may cost")
        return {**dict.fromkeys(rest), **replies}

    def _hand_out(self, sent: _Sent, replies: Mapping[str, Reply | None]) -> None:
        with self._changed:
            sent.replies = replies
            left = [parcel for parcel in sent.waiting.values() if parcel.left]
            for name, parcel in sent.waiting.items():
                _answer(parcel, replies.get(name))
            sent.waiting.clear()
            self._sent.remove(sent)
        for parcel in left:
            self._ledger.settle(parcel.lease, parcel.account, parcel.bound.lost, parcel.key)

    def _dissolve(self, sent: _Sent, why: str) -> None:
        """Gather what was in a batch that came to nothing before the run was resumed."""
        logger.info("%s: %s; its requests are sent in another one", self._title(sent), why)
        with self._changed:
            parcels = list(sent.waiting.values())
            self._mark(parcels, out=False)
            sent.waiting.clear()
            self._sent.remove(sent)
            for key, left in self._pending.items():
                self._pending[key] = deque(one for one in left if one[0] is not sent)
            self._gather(parcels)

    def _fail(self, sent: _Sent, error: BaseException) -> None:
        if isinstance(error, Exception):
            said = f"{self._title(sent)} could not be made or read: {type(error).__name__}: {error}"
            error = ModelUnavailable(ModelError(cleaned(said)))
        with self._changed:
            for parcel in sent.waiting.values():
                _fail(parcel, error)

    def _mark(self, parcels: Iterable[Parcel], out: bool) -> None:
        with self._changed:
            for parcel in parcels:
                parcel.out, parcel.costless = out, not out

    def _persist(self, sent: _Sent, step: Callable[[], R]) -> R:
        """Take a step, again and again where what fails is passing, as long as the batch is waited for."""
        wait = _FIRST_WAIT
        while True:
            self._check_open()
            try:
                return step()
            except Exception as error:
                # A batch that was just made may not be known everywhere.
                new = sent.number is not None and not sent.before and getattr(error, "status_code", None) == _GONE
                if not (new or is_passing(error)) or time.monotonic() - sent.begun >= self.how.seconds:
                    raise
                if wait == _FIRST_WAIT:
                    logger.warning("%s: %s; asking again", self._title(sent), cleaned(str(error)))
            self._pause(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _pause(self, seconds: float) -> None:
        self._over.wait(seconds)
        self._check_open()

    def _check_open(self) -> None:
        if self._over.is_set():
            raise Abandoned("the run is over")

    def _title(self, sent: _Sent) -> str:
        return f"batch {sent.number or sent.name}"


def _id(ticket: int) -> str:
    return f"request-{ticket}"


def _answer(parcel: Parcel, reply: Reply | None) -> None:
    parcel.out = False
    if not parcel.answer.done():
        parcel.answer.set_result(reply)


def _fail(parcel: Parcel, error: BaseException) -> None:
    if not parcel.answer.done():
        parcel.answer.set_exception(error)


def _thread(work: Callable[[], None]) -> None:
    # In no context: what is sent here is no request of the program's.
    run = functools.partial(contextvars.Context().run, work)
    threading.Thread(target=run, name="semantic-backprop-batch", daemon=True).start()
