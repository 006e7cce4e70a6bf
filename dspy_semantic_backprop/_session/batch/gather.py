"""Requests gathered into batches of the provider, which answers them within a day at half the price.

Executions run as they always do. A request of theirs is not sent but laid in; once whatever runs waits for an answer,
all that was laid in is sent, one batch for each model, and every request is given its line of what comes back, as if
it had been answered by itself: adapters, retries, parsing and the record of the graph know nothing of it.
"""

from __future__ import annotations

import contextvars
import functools
import json
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..._errors import Abandoned
from ..._terminal import counted, logger
from ..events import BatchWaiting
from ..ledger import Ledger
from .carry import Carrier
from .provider import BatchReply
from .shipment import Batch, BatchedRequest, NeverMade, Shipment, called, mark

_QUIET, _LOOK = 0.1, 0.02
"""Seconds without a new request after which a batch is sent where all wait; and between two looks at that."""
_BYTES = 150_000_000
"""The most bytes in one file of requests; OpenAI takes 200 MB."""


class Batches:
    """Gathers a run's requests into batches while so many executions and metric calls are `running`. Thread-safe."""

    def __init__(
        self,
        how: Batch,
        ledger: Ledger,
        running: Callable[[], int],
        show: Callable[[BatchWaiting], None],
        warn: Callable[[str], None],
    ) -> None:
        self._how, self._ledger, self._running, self._warn = how, ledger, running, warn
        self._changed, self._over = threading.Condition(), threading.Event()
        self._carrier = functools.partial(
            Carrier, how=how, ledger=ledger, over=self._over, lock=self._changed, show=show, warn=warn
        )
        self._gathered: list[BatchedRequest] = []
        self._sent: list[Shipment] = []
        self._last = 0.0
        self._gathering = False
        self._pending: dict[str, deque[tuple[Shipment, str]]] = defaultdict(deque)
        for known in ledger.journal.batches if ledger.journal else ():
            sent = Shipment(known.name, known.number, before=True)
            for one in known.requests:
                self._pending[one.key].append((sent, called(one.ticket)))

    def lay(self, request: BatchedRequest) -> None:
        """Lay a request into the next batch, or find it in one that was sent before the run was resumed."""
        with self._changed:
            if self._over.is_set():
                raise Abandoned("the run is over; no more requests are sent")
            known = self._pending.get(request.key) if request.key else None
            if known:
                self._join(request, *known.popleft())
            else:
                self._gather([request])

    def leaves(self, request: BatchedRequest) -> bool:
        """Whether a request that nobody waits for any more is still under way: then its lease stays open."""
        with self._changed:
            request.left = True
            if request in self._gathered:
                self._gathered.remove(request)
            return request.out

    def passed_by(self, model: Any) -> None:
        """Say that a request was answered that was not laid in."""
        self._warn(f"requests to {model!r} were sent by themselves, at the full price: its client does not ask LiteLLM")

    def close(self) -> None:
        """Send nothing more, wait for nothing more, and say what is still at the provider."""
        with self._changed:
            if self._over.is_set():
                return
            self._over.set()
            out = [(sent, one) for sent in self._sent for one in sent.waiting.values()]
            for request in (*self._gathered, *(one for _, one in out)):
                request.fail(Abandoned("the run is over"))
            titles = [sent.title for sent, one in out if one.out]
            self._gathered.clear()
        if titles:
            told = f"{counted(len(titles), 'request')} {'is' if len(titles) == 1 else 'are'} still at the provider"
            resumable = "the same run with the same log_dir waits for the answers, and pays for nothing twice"
            lost = "without a log_dir, the answers are lost; they count at the most that they may cost"
            places = ", ".join(dict.fromkeys(titles))
            self._warn(f"{told}, in {places}: {resumable if self._ledger.journal else lost}")

    def _join(self, request: BatchedRequest, sent: Shipment, name: str) -> None:
        """Give a request its place in a batch that was sent before; whoever comes first has the way to the provider."""
        mark([request], out=True)
        if sent.replies is not None:
            request.give(sent.replies.get(name))
            return
        sent.waiting[name] = request
        if not sent.access:
            sent.access = request.access
            self._start(sent)

    # Gathering

    def _gather(self, requests: Sequence[BatchedRequest]) -> None:
        self._gathered += requests
        self._last = time.monotonic()
        if not self._gathering and self._gathered:
            self._gathering = True
            _thread(self._keep_gathering)

    def _keep_gathering(self) -> None:
        with self._changed:
            while self._gathered:
                if self._due():
                    for requests in self._sorted():
                        waiting = {str(number): one for number, one in enumerate(requests)}
                        self._start(Shipment(uuid.uuid4().hex, access=requests[0].access, waiting=waiting))
                    self._gathered.clear()
                else:
                    self._changed.wait(_LOOK)
            self._gathering = False

    def _due(self) -> bool:
        """Whether nothing that is still on its way could join."""
        if len(self._gathered) >= self._how.requests:
            return True
        quiet = time.monotonic() - self._last
        everything = [*self._gathered, *(one for sent in self._sent for one in sent.waiting.values())]
        askers = {one.asker for one in everything if not one.left} - {None}
        waits = len(askers) + self._ledger.held_back >= self._running()
        return quiet >= (_QUIET if waits else self._how.gather)

    def _sorted(self) -> Iterator[list[BatchedRequest]]:
        """What was gathered, by model, each no more than a file may hold."""
        groups: dict[str, list[BatchedRequest]] = defaultdict(list)
        for one in self._gathered:
            groups[json.dumps([one.access, one.body.get("model")], sort_keys=True, default=str)].append(one)
        for requests in groups.values():
            size, some = 0, []
            for one in requests:
                more = len(json.dumps(one.body))
                if some and (len(some) >= self._how.requests or size + more > _BYTES):
                    yield some
                    size, some = 0, []
                size += more
                some.append(one)
            yield some

    # Handing out

    def _start(self, sent: Shipment) -> None:
        sent.begun = time.monotonic()
        self._sent.append(sent)
        _thread(functools.partial(self._carry, sent))

    def _carry(self, sent: Shipment) -> None:
        try:
            replies = self._carrier(sent).replies()
        except NeverMade as why:
            self._dissolve(sent, str(why))
        except Abandoned:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            with self._changed:
                for request in sent.waiting.values():
                    request.fail(error)
        else:
            self._hand_out(sent, replies)

    def _hand_out(self, sent: Shipment, replies: Mapping[str, BatchReply | None]) -> None:
        with self._changed:
            sent.replies = replies
            left = [request for request in sent.waiting.values() if request.left]
            for name, request in sent.waiting.items():
                request.give(replies.get(name))
            self._forget(sent)
        for request in left:
            self._ledger.settle(request.lease, request.account, request.bound.lost)

    def _dissolve(self, sent: Shipment, why: str) -> None:
        """Gather anew what was in a batch that came to nothing before the run was resumed."""
        logger.info("%s: %s; its requests are sent in another one", sent.title, why)
        with self._changed:
            requests = list(sent.waiting.values())
            mark(requests, out=False)
            self._forget(sent)
            for key, places in self._pending.items():
                self._pending[key] = deque(place for place in places if place[0] is not sent)
            self._gather(requests)

    def _forget(self, sent: Shipment) -> None:
        sent.waiting = {}
        self._sent.remove(sent)


def _thread(work: Callable[[], Any]) -> None:
    # In no context: what is sent here is no request of the program's.
    run = functools.partial(contextvars.Context().run, work)
    threading.Thread(target=run, name="semantic-backprop-batch", daemon=True).start()
