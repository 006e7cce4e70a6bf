"""Gives up workers of whom nothing is heard: frozen ones, and those that this process cannot reach any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .._session.desk import BEAT, Desk, WorkerLost
from .._session.limits import LONGEST_REQUEST, Limits
from .engines import Engine, Reply

GRACE = 5.0
"""Seconds by which a worker may be late."""
START = 60.0
"""Seconds that a worker is given to start in, beside that."""


class Silent(WorkerLost):
    """Nothing was heard of an execution, `begun` by a worker or not, for too long."""

    def __init__(self, why: str, begun: bool) -> None:
        super().__init__(why)
        self.begun = begun


class Watch:
    """Watches the executions that are elsewhere, in a thread that ends when it is closed.

    Nothing is heard for longer than the shortest of the limits that the run has: an example that may take a minute has
    taken longer than that. Where neither examples nor requests have a limit it is the one of requests by default, for
    what a worker says every second does not depend on what its program does.
    """

    def __init__(self, engine: Engine, desk: Desk, limits: Limits) -> None:
        self._engine, self._desk = engine, desk
        given = [one for one in (limits.example, limits.request) if one is not None]
        self.longest = min(given, default=LONGEST_REQUEST) + GRACE
        self._waiting: dict[int, Reply] = {}
        self._closed = threading.Event()
        self._started = False

    @contextmanager
    def over(self, number: int, reply: Reply) -> Iterator[None]:
        """Inside, an execution is watched."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._look, name="semantic-backprop-watch", daemon=True).start()
        self._waiting[number] = reply
        try:
            yield
        finally:
            del self._waiting[number]

    def close(self) -> None:
        """Watch no longer."""
        self._closed.set()

    def _look(self) -> None:
        before = time.monotonic()
        while not self._closed.wait(BEAT):
            now = time.monotonic()
            # Where this process was suspended, its workers could not be heard, and perhaps were, too.
            self._desk.watched(min(now - before, 2 * BEAT), self._engine.queued)
            before = now
            for number, reply in list(self._waiting.items()):
                silent, begun = self._desk.silence(number)
                starting = not begun and self._engine.starting(reply)
                if silent > self.longest + starting * START and not reply.done():
                    self._engine.give_up(reply, Silent(self._sentence(silent, begun), begun))

    def _sentence(self, silent: float, begun: bool) -> str:
        if begun:
            allowed = f"Limits allow {self.longest - GRACE:g} for a request or an example"
            return f"it said nothing for {silent:.0f} seconds ({allowed})"
        return f"no worker has begun it for {silent:.0f} seconds"
