"""The order of a run's executions where its budget may not last for all of them.

Threads answer in another order each time. Were the last of a budget shared out as they come, other executions would be
the finished ones in every run of the same seed, and some broken off when half of them was paid. So an execution that
might take what one before it needs waits: those that a spent budget leaves out are the last ones, every time.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from .._session.budget import Bound, Purpose, Spent
from .._session.ledger import Ledger
from .outcome import Outcome, Scored

_POLL = 0.01
"""Seconds between two looks of one that waits."""


class Places:
    """The executions of a run that are planned or under way, in the order in which they were asked for.

    Args:
        calls: How many requests one takes, as far as that is known before any was made.
    """

    def __init__(self, ledger: Ledger, calls: int) -> None:
        self._ledger = ledger
        self._rows: list[Row] = []
        self._calls, self._tokens = calls, 0

    @contextmanager
    def row(self, ids: Sequence[int], purpose: Purpose) -> Iterator[Row]:
        """Places for an evaluation on the examples with these ids, behind all that were asked for before."""
        row = Row(self, ids, purpose)
        self._rows.append(row)
        try:
            yield row
        finally:
            self._rows.remove(row)

    def before(self, row: Row) -> int:
        """How many executions of earlier evaluations have not ended."""
        return sum(len(one.open) for one in self._rows[: self._rows.index(row)])

    def fit(self, executions: int, purpose: Purpose) -> bool:
        """Whether so many executions fit into the budget, each at the most that one took so far."""
        if self._ledger.batches is not None:
            return True  # one after the other they would take a batch each, up to a day
        spent, ledger = self._ledger.by_purpose, self._ledger
        whole, judged = sum(spent.values(), Spent()), spent.get(Purpose.METRIC, Spent())
        # What the metric asked is known of all executions together alone.
        graded = max(1, ledger.metric_calls)
        tokens = executions * (self._tokens + judged.tokens / graded)
        calls = math.ceil(executions * (self._calls + judged.calls / graded))
        bound = Bound(calls, math.ceil(tokens), tokens * whole.usd / max(1, whole.tokens))
        return ledger.has_room(purpose, bound, executions)

    def ended(self, outcome: Outcome) -> None:
        """Look at what an execution took, answers that it was not asked for again among it."""
        if isinstance(outcome, Scored):
            calls = outcome.trace.calls
            asked = sum(1 + len(call.further) for call in calls) + sum(one.name == "lm" for one in outcome.trace.asides)
            used = (call.usage.get(part, 0) for call in calls for part in ("prompt_tokens", "completion_tokens"))
            self._calls, self._tokens = max(self._calls, asked), max(self._tokens, sum(used))


class Row:
    """The places of one evaluation; `open`: the ids of those that have not ended, in order."""

    def __init__(self, places: Places, ids: Sequence[int], purpose: Purpose) -> None:
        self._places, self._purpose = places, purpose
        # Of a dict the first key that is left is found by a walk past all that are gone.
        self.open = OrderedDict.fromkeys(ids)

    @asynccontextmanager
    async def at(self, example_id: int) -> AsyncIterator[None]:
        """Inside is the execution on one example: begun once it fits beside all before it, or these have ended."""
        while not self._may_begin(example_id):
            await asyncio.sleep(_POLL)
        try:
            yield
        finally:
            self.open.pop(example_id, None)

    def _may_begin(self, example_id: int) -> bool:
        before = self._places.before(self)
        for one in self.open:
            if one == example_id:
                break
            before += 1
        return not before or self._places.fit(before + 1, self._purpose)
