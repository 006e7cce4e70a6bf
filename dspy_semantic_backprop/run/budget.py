"""What was spent, on what: a ledger that every language-model request is booked in."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import CapReached


@dataclass(frozen=True)
class Spent:
    """An amount spent.

    Args:
        calls: Requests that reached a language model's server, failed and retried ones included;
            answers from a cache are no requests.
        prompt_tokens: Tokens sent, as the server counted them.
        completion_tokens: Tokens received, as the server counted them.
        usd: US dollars at the price that the client knows.
        unpriced: Answered requests whose price is not known and which `usd` leaves out.
        cached: Answers that came from DSPy's cache and cost nothing.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0
    cached: int = 0

    @property
    def tokens(self) -> int:
        """Tokens sent and received."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Spent) -> Spent:
        mine, theirs = asdict(self), asdict(other)
        return Spent(**{name: mine[name] + theirs[name] for name in mine})


@dataclass
class Ledger:
    """Books what each purpose (forward, backward, propose, metric, check) has spent. Thread-safe.

    Args:
        caps: Purpose -> the most requests that it may send; without one, no bound.
        started: When the ledger was opened.
    """

    caps: Mapping[str, int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    _under_way: dict[str, int] = field(default_factory=dict)
    _by_purpose: dict[str, Spent] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __deepcopy__(self, memo: dict[int, Any]) -> Ledger:
        # A program may deep-copy its language model (BestOfN does): the copy's calls cost the same money.
        return self

    @contextmanager
    def admitted(self, purpose: str) -> Iterator[None]:
        """Let one request through; `book` it inside.

        Raises:
            CapReached: Before the request, if those booked and those under way are as many as the cap.
        """
        with self._lock:
            under_way = self._under_way.get(purpose, 0)
            sent = self._by_purpose.get(purpose, Spent()).calls + under_way
            if purpose in self.caps and sent >= self.caps[purpose]:
                raise CapReached(f"{purpose}: {self.caps[purpose]} requests are the most that it may send")
            self._under_way[purpose] = under_way + 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[purpose] -= 1

    def book(self, purpose: str, spent: Spent) -> None:
        """Add an amount to one purpose."""
        with self._lock:
            self._by_purpose[purpose] = self._by_purpose.get(purpose, Spent()) + spent

    @property
    def by_purpose(self) -> dict[str, Spent]:
        """A snapshot: purpose -> amount."""
        with self._lock:
            return dict(self._by_purpose)

    @property
    def total(self) -> Spent:
        """Everything booked so far."""
        return sum(self.by_purpose.values(), Spent())

    @property
    def seconds(self) -> float:
        """Seconds since the ledger was opened."""
        return time.monotonic() - self.started
