"""One batch on its way: told to the journal, made at the provider, waited for, and read.

The journal is told of a batch, and of all that is in it, before anything is sent, and of the provider's name for it
once that is known. So a run that was killed asks for the same batch again; where the kill came before the name was
known, it looks for the batch among those of the account, and where there is none, nothing was paid.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..._errors import Abandoned, ModelError, ModelUnavailable
from ..._secrets.known import cleaned
from ..._terminal import counted, logger
from ..events import BatchWaiting
from ..ledger import Ledger
from .provider import ENDPOINT, BatchReply, Provider, is_passing, reply_of, status_of
from .shipment import Batch, NeverMade, Shipment, called, mark

R = TypeVar("R")
_FIRST_WAIT, _LONGEST_WAIT, _GROWTH = 0.1, 60.0, 0.1
"""Seconds between two looks at a batch: a tenth of how long it was waited for, in these bounds."""
_READS = 4
"""How often a file of replies is read that lacks some of them: it may still be being written."""
_OVER = ("completed", "failed", "expired", "cancelled")
_GONE = 404
_LINE = {"method": "POST", "url": ENDPOINT}
_REFUSED = 400
Replies = dict[str, BatchReply | None]


@dataclass(frozen=True)
class Carrier:
    """Takes one batch to the provider; `over` is set once the run is, `lock` guards what becomes of requests."""

    sent: Shipment
    how: Batch
    ledger: Ledger
    over: threading.Event
    lock: threading.Condition
    show: Callable[[BatchWaiting], None]
    warn: Callable[[str], None]

    def replies(self) -> Replies:
        """What becomes of each request: its reply, None where that is lost.

        Raises:
            NeverMade: If the batch came to nothing before the run was resumed.
            ModelUnavailable: If it came to nothing now.
            Abandoned: If the run is over.
        """
        provider = Provider(self.sent.access)
        try:
            if self.sent.number is None:
                self._make(provider)
            return self._read(provider, self._waited(provider))
        except Exception as error:
            if self.sent.before and status_of(error) == _GONE:
                return self._rest("gone", {})
            if isinstance(error, NeverMade):
                raise
            said = f"{self.sent.title} could not be made or read: {cleaned(f'{type(error).__name__}: {error}')}"
            raise ModelUnavailable(ModelError(said)) from error

    def _make(self, provider: Provider) -> None:
        number = self._found(provider) if self.sent.before else self._made(provider)
        self.sent.number = number
        if self.ledger.journal:
            self.ledger.journal.batch_made(self.sent.name, number)

    def _found(self, provider: Provider) -> str:
        number = self._persist(partial(provider.find, self.sent.name))
        if number is None:
            raise NeverMade("it was never made")
        return number

    def _made(self, provider: Provider) -> str:
        self._announce()
        file, tried = self._uploaded(provider), False

        def create() -> str:
            # What broke off may have made it all the same.
            nonlocal tried
            known = provider.find(self.sent.name) if tried else None
            tried = True
            return known or provider.create(file, self.sent.name)

        try:
            return self._persist(create)
        except Exception as error:
            with self.lock:
                mark(self.sent.waiting.values(), out=is_passing(error))
            raise

    def _announce(self) -> None:
        """Tell the journal what the batch holds."""
        with self.lock:
            self._drop_left()
            requests = list(self.sent.waiting.values())
            tickets = self.ledger.announce_batch(self.sent.name, requests)
            self.sent.waiting = {called(ticket): one for ticket, one in zip(tickets, requests, strict=True)}

    def _uploaded(self, provider: Provider) -> str:
        """The file of requests, all of which are waited for at the moment from which on they count as sent."""
        while True:
            with self.lock:
                self._drop_left()
                lines = [{"custom_id": name, **_LINE, "body": one.body} for name, one in self.sent.waiting.items()]
            file = self._persist(partial(provider.upload, "\n".join(map(json.dumps, lines)).encode()))
            with self.lock:
                self._check_open()
                if not any(one.left for one in self.sent.waiting.values()):
                    mark(self.sent.waiting.values(), out=True)
                    return file

    def _drop_left(self) -> None:
        self.sent.waiting = {name: one for name, one in self.sent.waiting.items() if not one.left}
        if not self.sent.waiting:
            raise Abandoned("nobody waits for any of its requests")

    def _waited(self, provider: Provider) -> Any:
        """How the batch ended, as the provider says."""
        while True:
            found = self._persist(partial(provider.look, str(self.sent.number)))
            waited, counts = time.monotonic() - self.sent.begun, getattr(found, "request_counts", None)
            done = (getattr(counts, "completed", 0) or 0) + (getattr(counts, "failed", 0) or 0)
            self.show(BatchWaiting(str(self.sent.number), found.status, done, len(self.sent.waiting), waited))
            if found.status in _OVER:
                return found
            if waited >= self.how.seconds:
                said = f"{self.sent.title} is still {found.status} after {waited:,.0f} seconds (Batch.seconds)"
                raise ModelUnavailable(ModelError(said))
            self._pause(min(max(_FIRST_WAIT, _GROWTH * waited), _LONGEST_WAIT))

    def _read(self, provider: Provider, found: Any) -> Replies:
        """The replies of a batch that is over; the first one counts where a request has several."""
        replies: Replies = {}
        for turn in range(_READS if found.status == "completed" else 1):
            self._pause(turn * _FIRST_WAIT)
            for file in filter(None, (found.output_file_id, found.error_file_id)):
                lines = self._persist(partial(provider.lines, file))
                replies = {line["custom_id"]: reply_of(line) for line in reversed(lines)} | replies
            if self.sent.waiting.keys() <= replies.keys():
                break
        answered = any(reply is not None and reply.status < _REFUSED for reply in replies.values())
        if found.status == "failed" or (found.status != "completed" and not answered):
            self._refuse(found)
        return self._rest(str(found.status), replies)

    def _refuse(self, found: Any) -> None:
        problems = getattr(getattr(found, "errors", None), "data", None) or ()
        said = "; ".join(str(getattr(one, "message", one)) for one in problems)
        if self.sent.before:
            raise NeverMade(f"it has {found.status}")
        with self.lock:
            mark(self.sent.waiting.values(), out=False)
        raise ModelUnavailable(ModelError(f"{self.sent.title} is {found.status}: {cleaned(said) or 'no reason given'}"))

    def _rest(self, status: str, replies: Replies) -> Replies:
        """The replies, and None for each request that has none."""
        rest = [name for name in self.sent.waiting if replies.get(name) is None]
        if rest:
            lost = f"{len(rest)} of {counted(len(self.sent.waiting), 'request')} in {self.sent.title}"
            said = f"came back without a reply (the batch is {status})"
            self.warn(f"{lost} {said}; they are asked again, and count at the most that they may cost")
        return {**dict.fromkeys(rest), **replies}

    def _persist(self, step: Callable[[], R]) -> R:
        """Take a step, again and again where what fails is passing, as long as the batch is waited for."""
        wait = _FIRST_WAIT
        while True:
            self._check_open()
            try:
                return step()
            except Exception as error:
                # A batch that was just made may not be known everywhere yet.
                new = self.sent.number is not None and not self.sent.before and status_of(error) == _GONE
                if not (new or is_passing(error)) or time.monotonic() - self.sent.begun >= self.how.seconds:
                    raise
                if wait == _FIRST_WAIT:
                    logger.warning("%s: %s; asking again", self.sent.title, cleaned(f"{type(error).__name__}: {error}"))
            self._pause(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _pause(self, seconds: float) -> None:
        self.over.wait(seconds)
        self._check_open()

    def _check_open(self) -> None:
        if self.over.is_set():
            raise Abandoned("the run is over")
