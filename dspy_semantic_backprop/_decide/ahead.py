"""Executions that the decision at the end is likely to want next, made beside those that it waits for.

It runs few examples of two programs, and their scores say which come next, while most threads are idle. Where it
compares the same two programs again, it mostly goes on with them: so the next blocks of both are run as well, one block
further each time, up to a bound. What is run ahead is looked at when it would have been run, and not before: decisions,
and how often they err, are those of a search that runs nothing ahead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from .._evaluate.candidate import Candidate
from .pool import Pool
from .search import Material
from .split import Key

IN_VAIN = "executions ahead in vain"
"""What a result's notes count them as that were never looked at."""
RunOn = Callable[[Pool, Candidate, Sequence[int]], Awaitable[object]]
"""How a candidate is run on examples: `Pool.outcomes`, `Pool.run_ahead`."""
Turn = tuple[Candidate, Sequence[Key], RunOn]


class Ahead:
    """How far a search runs ahead, at most so many blocks of examples, and what it has run and not looked at."""

    def __init__(self, most: int, block: int, material: Material) -> None:
        budget = material.student.session.ledger.budget
        bounds = (budget.calls, budget.tokens, budget.usd, budget.metric_calls, budget.seconds)
        # What a budget has may be wanted for something else; what stands in both sets is run in one of them alone.
        self._most = most if all(bound is None for bound in bounds) and not material.split.twins else 0
        self._block = block
        self._pools = {"learn": material.train, "decide": material.pool}
        self._pair: Collection[Candidate] = ()
        self._times = 0

    def left(
        self, pair: Sequence[Candidate], ids: Sequence[Key], known: Callable[[Candidate], Collection[Key]]
    ) -> list[tuple[Candidate, list[Key]]]:
        """The next examples of two programs: first those that the other one was run on; none for one that has all.

        A block of each, and one further for each time that the two were compared just before, up to the bound. `known`
        says which of the examples a candidate was run on.
        """
        self._times = self._times + 1 if {*pair} == {*self._pair} else 0
        self._pair, most = pair, self._block * (1 + min(self._times, self._most))
        found = {}
        for one, other in zip(pair, reversed(pair), strict=True):
            mine, theirs = known(one), known(other)
            found[one] = sorted((key for key in ids if key not in mine), key=lambda key, them=theirs: key not in them)
        return [(one, keys[:most]) for one, keys in found.items() if keys]

    def turns(self, left: Sequence[tuple[Candidate, Sequence[Key]]], room: int) -> list[Turn]:
        """What is run of the next examples: a block of each, as far as there is room, and the others ahead."""
        first = len(left[0][1][: self._block])
        now = [(one, keys[: self._block][: max(0, room - at * first)]) for at, (one, keys) in enumerate(left)]
        later = [(one, keys[self._block :]) for one, keys in left]
        # Nobody waits for what is run ahead alone.
        if all(self._has(one, key) for one, keys in now for key in keys) or room <= sum(len(keys) for _, keys in left):
            later = []
        return [*((*turn, Pool.outcomes) for turn in now), *((*turn, Pool.run_ahead) for turn in later)]

    def _has(self, candidate: Candidate, key: Key) -> bool:
        side, number = key
        return candidate in self._pools[side] and number in self._pools[side][candidate].ahead

    @property
    def waiting(self) -> int:
        """How many executions were made and not looked at yet."""
        return sum(len(entry.ahead) for pool in dict.fromkeys(self._pools.values()) for entry in pool)
