"""What a run has spent: a ledger that every request passes before it is sent.

A request is let through only where its upper bound fits into what is left, with the bounds of all requests under way
counted as spent; where only these stand in the way, it waits for them. So a budget is never exceeded, by any number
of threads; the price is that its last part, smaller than a single request may cost, stays unspent.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .._concurrency import on_event_loop
from .._errors import Abandoned, BudgetSpent, CapReached
from .budget import WORDS, Account, Bound, Budget, Purpose, Spent, spent_up
from .projection import SLACK

_POLL, _POLL_BATCHES, _PATIENCE = 0.01, 0.1, 60.0
UNBOUNDED = 1_000_000_000
"""More executions than any run makes."""


class Ledger:
    """Books what a run spends, by purpose and predictor, and lets through what the budget allows. Thread-safe.

    Args:
        caps: Purpose -> the most requests that it may send; without one, no bound.
        budget: The most that all purposes may spend together.
        carried: What earlier processes of the same run have spent; so often they called the metric, and ran so long.
        request_seconds: The longest that one request may take; None for no limit.
        journal: Where requests and answers are written down, a `Journal`; None for nowhere.

    Attributes:
        shown: The run's newest entries in DSPy's history of calls.
        metric_calls: How often the metric was called.
        outside: Language models that no copy of the program holds, by identity, and their metered copies.
        unmetered: Host -> how many requests were seen that pass the meter by; see `lm/unmetered.py`.
        answering: Language models that have answered before, by what tells them apart.
        batches: Gathers requests into batches of the provider, a `Batches`; None where each is sent by itself.
        held_back: How many requests wait for room.
        closed: Whether the run is over, and nothing is let through any more.
    """

    def __init__(
        self,
        caps: Mapping[Purpose, int] | None = None,
        *,
        budget: Budget | None = None,
        carried: Mapping[Account, Spent] | None = None,
        metric_calls: int = 0,
        seconds: float = 0.0,
        request_seconds: float | None = None,
        journal: Any = None,
    ) -> None:
        self.caps = dict(caps or {})
        self.budget = budget if budget is not None else Budget()
        self.request_seconds = request_seconds
        self.journal = journal
        self.shown: deque[Any] = deque()
        self.answering: set[str] = set()
        self.unmetered: Counter[str] = Counter()
        self.outside: dict[int, tuple[Any, Any]] = {}
        self.batches: Any = None
        self.held_back = 0
        self._accounts = defaultdict(Spent, carried or {})
        self._whole = sum(self._accounts.values(), Spent())
        self._under_way: dict[int, tuple[Account, Bound]] = {}
        self._largest = Bound(0)
        self._for_good: set[int] = set()
        self._announced: dict[int, int] = {}
        self._inherited: dict[str, deque[int]] = defaultdict(deque)
        self._tickets = 0
        self.metric_calls = metric_calls
        self._reserved: tuple[Purpose | None, Bound, int] = (None, Bound(0), 0)
        self.hold()
        self.closed = False
        self._changed = threading.Condition()
        self._started = time.monotonic() - seconds

    def __deepcopy__(self, memo: dict[int, Any]) -> Ledger:
        # A program may deep-copy its language model (BestOfN does): the copy's calls cost the same money.
        return self

    @contextmanager
    def admitted(self, account: Account, bound: Bound | None = None) -> Iterator[None]:
        """Let one request through, once it fits; `book` it inside. Blocks the thread while others may make room.

        Without a bound, it is one call of unknown size.

        Raises:
            CapReached: Before the request, if its purpose has sent as many as it may.
            BudgetSpent: Before the request, if it does not fit into the budget, or into a multiple of the projection.
            Abandoned: If the run is over.
        """
        ticket = self.enter_now(account, bound if bound is not None else Bound())
        try:
            yield
        finally:
            self.leave(ticket)

    async def enter(self, account: Account, bound: Bound) -> int:
        """As `admitted`, without blocking the event loop; give the ticket to `leave` when all is booked."""
        with self._changed:
            ticket = self._enter(account, bound)
        if ticket is not None:
            return ticket
        with self._holding_back() as since:
            while True:
                await asyncio.sleep(_POLL if self.batches is None else _POLL_BATCHES)
                with self._changed:
                    self._check_hope(account, bound, since)
                    ticket = self._enter(account, bound)
                if ticket is not None:
                    return ticket

    def enter_now(self, account: Account, bound: Bound) -> int:
        """As `enter`, from synchronous code; on an event loop, where those under way cannot end, it refuses at once."""
        with self._changed:
            if (ticket := self._enter(account, bound)) is not None:
                return ticket
            with self._holding_back() as since:
                while (ticket := self._enter(account, bound)) is None:
                    self._check_hope(account, bound, since)
                    if on_event_loop():
                        raise BudgetSpent(self._refusal(account, bound)[0])
                    self._changed.wait(_POLL if self.batches is None else _POLL_BATCHES)
        return ticket

    @contextmanager
    def _holding_back(self) -> Iterator[float]:
        with self._changed:
            self.held_back += 1
        try:
            yield time.monotonic()
        finally:
            with self._changed:
                self.held_back -= 1

    def _check_hope(self, account: Account, bound: Bound, since: float) -> None:
        """Refuse what waits, by the monotonic clock since then, for leases that nobody has asked for again."""
        unasked = {ticket for left in self._inherited.values() for ticket in left}
        if unasked and self._under_way.keys() <= unasked and time.monotonic() - since > _PATIENCE:
            raise BudgetSpent(self._refusal(account, bound)[0])

    def lease_now(self, account: Account, bound: Bound, key: str = "") -> int:
        """As `enter_now`, for a request that the journal is told of before it is sent; give the lease to `settle`.

        Where requests are sent in batches, the journal is told by `announce_batch`.
        """
        lease = self._taken_over(key)
        return lease if lease is not None else self._announce(self.enter_now(account, bound), account, bound)

    async def lease(self, account: Account, bound: Bound, key: str = "") -> int:
        """As `lease_now`, without blocking the event loop."""
        lease = self._taken_over(key)
        return lease if lease is not None else self._announce(await self.enter(account, bound), account, bound)

    def inherit(self, requests: Iterable[Any]) -> None:
        """Requests of a batch, as `LaidIn`, were under way at the end: their leases wait for whoever asks again."""
        for one in requests:
            self._tickets += 1
            self._under_way[self._tickets] = (one.account, one.bound)
            self._announced[self._tickets] = one.ticket
            self._inherited[one.key].append(self._tickets)

    def _taken_over(self, key: str) -> int | None:
        with self._changed:
            left = self._inherited.get(key)
            return left.popleft() if left else None

    def announce_batch(self, name: str, requests: Sequence[Any]) -> list[int]:
        """Tell the journal of leased requests, each a `BatchedRequest`, that are sent as one batch; their tickets."""
        if not self.journal:
            return [one.lease for one in requests]
        rows = [(self._announced.get(one.lease), one.account, one.bound, one.key) for one in requests]
        tickets = self.journal.batch(name, rows)
        self._announced |= {one.lease: ticket for one, ticket in zip(requests, tickets, strict=True)}
        return tickets

    def _announce(self, ticket: int, account: Account, bound: Bound) -> int:
        try:
            if self.journal and self.batches is None:
                self._announced[ticket] = self.journal.sent(account, bound)
        except BaseException:
            self.leave(ticket)
            raise
        return ticket

    def settle(self, lease: int, account: Account, spent: Spent, key: str = "", answered: Any = None) -> None:
        """A leased request has ended: what it cost is booked, and its answer written down."""
        try:
            self.book(account, spent)
            if lease in self._announced:
                self.journal.ended(self._announced.pop(lease), account, spent, key, answered)
        finally:
            self.leave(lease)

    def reserve(self, purpose: Purpose | None, bound: Bound, metric_calls: int) -> None:
        """Keep a part of the budget for one purpose; all others have so much less. None and nothing give it back."""
        with self._changed:
            self._reserved = (purpose, bound, metric_calls)

    def hold(self, calls: int = UNBOUNDED, executions: int = UNBOUNDED, each: float = 1.0, full: int = 0) -> None:
        """Remember what the run was projected to take at most: calls, executions, and so many calls for each of these.

        Who can do with less asks for `room`; nothing is refused but what comes to `SLACK` times as many.

        Args:
            full: What it takes at most where every execution is one in full.
        """
        self._held, self._full = (calls, executions, each), full

    def hold_in_full(self) -> int:
        """Go by what the run takes at most where every execution is one in full, and return it; 0: nothing was held."""
        calls, executions, each = self._held
        self._held = (max(calls, self._full), executions, each)
        return self._full

    @property
    def overrun(self) -> tuple[int, int] | None:
        """The calls made, and how many were projected at most, where it is more than these."""
        return (self._whole.calls, self._held[0]) if self._whole.calls > self._held[0] else None

    def room(self, executions: int, ahead: int = 0) -> int:
        """How many executions more fit beside those made into what was projected; `UNBOUNDED` where nothing was.

        So many as were made `ahead` do not count as made.
        """
        calls, most, each = self._held
        return max(0, min(int((calls - self._whole.calls) / each) + ahead, most - executions))

    def has_room(self, purpose: Purpose, need: Bound, metric_calls: int) -> bool:
        """Whether the budget lasts for so much beside what is under way, and for the bound of any request so far."""
        with self._changed:
            graded = self._may_grade(purpose, metric_calls)
            return graded and not self._refusal((purpose, ""), need + self._largest)[0]

    def leave(self, ticket: int) -> None:
        """A request that was let through has ended."""
        with self._changed:
            self._under_way.pop(ticket, None)
            self._for_good.discard(ticket)
            self._changed.notify_all()

    def keep_for_good(self, ticket: int) -> None:
        """A request under way will not end before another one that now asks to enter: its bound counts as spent."""
        with self._changed:
            self._for_good.add(ticket)

    def _enter(self, account: Account, need: Bound) -> int | None:
        """A ticket; None where the request must wait for those under way."""
        self.check_open()
        self._check_cap(account[0], need)
        refusal, wait = self._refusal(account, need)
        if refusal and not wait:
            raise BudgetSpent(refusal)
        if refusal:
            return None
        self._tickets += 1
        self._under_way[self._tickets] = (account, need)
        self._largest = self._largest.or_more(need)
        return self._tickets

    def check_open(self) -> None:
        """Refuse a request that comes too late, as the time is up or the run is over, wherever it has got to."""
        if self.closed:
            raise Abandoned("the run is over; no more requests are sent")
        if self.budget.seconds is not None and self.seconds >= self.budget.seconds:
            raise BudgetSpent(f"the budget of {self.budget.seconds:g} seconds is spent")

    def _check_cap(self, purpose: Purpose, need: Bound) -> None:
        most, under_way = max(self._held[0], self._full), sum(bound.calls for _, bound in self._under_way.values())
        if self._whole.calls + under_way + need.calls > SLACK * most:
            raise BudgetSpent(
                f"{self._whole.calls:,} calls are {SLACK} times what the run was projected to take at most, {most:,}: "
                "its program calls its predictors ever more often; with a budget it goes on"
            )
        cap = self.caps.get(purpose)
        if cap is None:
            return
        sent = sum(spent.calls for (name, _), spent in self._accounts.items() if name == purpose)
        sent += sum(bound.calls for (name, _), bound in self._under_way.values() if name == purpose)
        if sent + need.calls > cap:
            raise CapReached(f"{purpose}: {cap} requests are the most that it may send")

    def _refusal(self, account: Account, need: Bound) -> tuple[str, bool]:
        """Why a request does not fit ("" if it does), and whether requests under way may make room."""
        whole = self._whole
        spent = {
            "calls": whole.calls,
            "tokens": whole.tokens + whole.unsure_tokens,
            "usd": whole.usd + whole.unsure_usd,
        }
        refusal = ""
        for name, used in spent.items():
            most = getattr(self.budget, name)
            if most is None:
                continue
            kept = 0 if account[0] == self._reserved[0] else getattr(self._reserved[1], name)
            wanted = getattr(need, name) + kept
            waiting = sum(getattr(one, name) for at, (_, one) in self._under_way.items() if at not in self._for_good)
            used += sum(getattr(self._under_way[at][1], name) for at in self._for_good & self._under_way.keys())
            slack = 1e-9 * most if name == "usd" else 0
            if used + wanted > most + slack:
                return spent_up(name, most, used, wanted - kept, kept), False
            if used + waiting + wanted > most + slack:
                refusal = spent_up(name, most, used + waiting, wanted - kept, kept)
        return refusal, True

    def metric_call(self, purpose: Purpose = Purpose.METRIC) -> None:
        """Count a call of the metric that is about to be made, or refuse it where the budget allows no more."""
        with self._changed:
            if self.closed:
                raise Abandoned("the run is over; the metric is not called any more")
            if not self._may_grade(purpose, 1):
                raise BudgetSpent(f"the budget of {self.budget.metric_calls:,} metric calls is spent")
            self.metric_calls += 1

    def _may_grade(self, purpose: Purpose, times: int) -> bool:
        most, kept = self.budget.metric_calls, 0 if purpose == self._reserved[0] else self._reserved[2]
        return most is None or self.metric_calls + kept + times <= most

    def close(self) -> None:
        """Let nothing through any more: what goes on in abandoned threads must not cost anything."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        if self.batches is not None:
            self.batches.close()

    async def settled(self, seconds: float) -> None:
        """Wait until nothing is under way any more, no longer than so many seconds."""
        until = time.monotonic() + seconds
        while self._under_way and time.monotonic() < until:
            await asyncio.sleep(_POLL)

    def book(self, account: Account, spent: Spent) -> None:
        """Add an amount to one account."""
        with self._changed:
            self._accounts[account] += spent
            self._whole += spent
            self._changed.notify_all()

    @property
    def accounts(self) -> dict[Account, Spent]:
        """A snapshot: (purpose, predictor) -> amount; once closed, with what is still under way at its bound."""
        with self._changed:
            accounts = self._accounts.copy()
            for account, bound in self._under_way.values() if self.closed else ():
                accounts[account] += bound.lost
            return dict(accounts)

    @property
    def by_purpose(self) -> dict[str, Spent]:
        """A snapshot: purpose -> amount."""
        return _added(self.accounts, 0)

    @property
    def by_predictor(self) -> dict[str, Spent]:
        """A snapshot: predictor -> amount, "" for what was for none."""
        return _added(self.accounts, 1)

    @property
    def total(self) -> Spent:
        """Everything booked so far."""
        return sum(self.accounts.values(), Spent())

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, those of earlier processes included."""
        return time.monotonic() - self._started

    @property
    def nearest(self) -> tuple[float, str]:
        """How much of the budget is spent, 0 to 1, by the bound that is nearest, and which; 0 and "" without one."""
        total, budget = self.total, self.budget
        spent = {"calls": total.calls, "tokens": total.tokens, "usd": total.usd, "seconds": self.seconds}
        spent["metric_calls"] = self.metric_calls
        bounds = {name: bound for name in spent if (bound := getattr(budget, name))}
        shares = ((spent[name] / bound, f"{bound:,.6g} {WORDS.get(name, name)}") for name, bound in bounds.items())
        return max(shares, default=(0.0, ""))

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the budget is spent, at least 0; None for no bound."""
        return None if self.budget.seconds is None else max(0.0, self.budget.seconds - self.seconds)


def _added(accounts: Mapping[Account, Spent], part: int) -> dict[str, Spent]:
    total: dict[str, Spent] = defaultdict(Spent)
    for account, spent in accounts.items():
        total[str(account[part])] += spent
    return dict(total)
