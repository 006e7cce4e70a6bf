"""The candidates of a run, with every outcome that is known of them, so that nothing is evaluated twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from .._concurrency import gather
from .._errors import BudgetSpent
from .._evaluate.candidate import Candidate, changed
from .._evaluate.outcome import Outcome, Scored, scored
from .._evaluate.reuse import Reuse
from .._evaluate.student import Student
from .._session.budget import Purpose
from .comparison import Comparison

T = TypeVar("T")


@dataclass
class Entry:
    """One candidate.

    Args:
        number: Its number in the run, in the order of proposals; 0 is the start.
        candidate: Its instructions.
        parent: The candidate that it was made from; itself for the start.
        step: The step that it was proposed in; -1 for the start.
        origin: Where it comes from: start, proposal.
        outcomes: Example id -> outcome, as far as it was evaluated.
        inert: Whether none of its edits reaches a prompt: then it is its parent, and is not paid for.
        ahead: Example id -> outcome that nobody has asked for yet; see `run_ahead`.
    """

    number: int
    candidate: Candidate
    parent: Candidate
    step: int = -1
    origin: str = "start"
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    inert: bool = False
    ahead: dict[int, Outcome] = field(default_factory=dict)


Evaluate = Callable[[Entry, Entry, Sequence[int]], Awaitable[Sequence[Outcome]]]
"""Runs a candidate, made from the second one, on examples with these ids; on the first at most if it is inert."""


class Pool:
    """The candidates of a run; `groups`: example id -> what it belongs to, else it stands alone."""

    def __init__(self, start: Candidate, evaluate: Evaluate, groups: Mapping[int, Hashable] | None = None) -> None:
        self._evaluate = evaluate
        self.groups = groups or {}
        self._entries: dict[Candidate, Entry] = {start: Entry(0, start, start)}
        self.start = start
        self._other: tuple[Pool, Mapping[int, int]] = (self, {})

    def share(self, other: Pool, twins: Mapping[int, int]) -> None:
        """Share what is known with another pool of the same candidates; `twins`: an example's id here -> there."""
        self._other = (other, twins)
        other._other = (self, {theirs: ours for ours, theirs in twins.items()})

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate in self._entries

    def __getitem__(self, candidate: Candidate) -> Entry:
        return self._entries[candidate]

    def add(self, candidate: Candidate, parent: Candidate, step: int, origin: str = "proposal") -> Entry:
        """Take a candidate in; one that is known already stays what it is."""
        entry = Entry(len(self._entries), candidate, parent, step, origin)
        return self._entries.setdefault(candidate, entry)

    async def outcomes(self, candidate: Candidate, ids: Sequence[int]) -> list[Outcome]:
        """A candidate's outcomes on some examples, in order; those that are not known yet are evaluated."""
        entry = self._entries[candidate]
        entry.outcomes.update(self._shared(entry, ids))
        new = {number: entry.ahead[number] for number in ids if number in entry.ahead and number not in entry.outcomes}
        unknown = [number for number in ids if number not in entry.outcomes and number not in new]
        if unknown:
            found = [] if entry.inert else await self._evaluate(entry, self._entries[entry.parent], unknown)
            entry.inert = entry.inert or len(found) < len(unknown)
            rest = await self.outcomes(entry.parent, unknown[len(found) :]) if entry.inert else []
            new |= zip(unknown, [*found, *rest], strict=True)
        entry.outcomes.update((number, new[number]) for number in ids if number in new)
        for number in new:
            entry.ahead.pop(number, None)
        return [entry.outcomes[number] for number in ids]

    async def run_ahead(self, candidate: Candidate, ids: Sequence[int]) -> None:
        """Evaluate a candidate on examples that are likely to be asked for; what comes of it is known once they are."""
        entry = self._entries[candidate]
        unknown = [number for number in ids if number not in entry.outcomes and number not in entry.ahead]
        if unknown and not entry.inert:
            found = await self._evaluate(entry, self._entries[entry.parent], unknown)
            entry.ahead.update(zip(unknown, found, strict=False))

    def _shared(self, entry: Entry, ids: Sequence[int]) -> dict[int, Outcome]:
        other, twins = self._other
        known = other._entries[entry.candidate].outcomes if entry.candidate in other else {}
        new = [number for number in ids if number not in entry.outcomes and number in twins]
        found = {number: known.get(twins[number]) for number in new}
        return {at: replace(one, example_id=at) for at, one in found.items() if isinstance(one, Scored)}

    def compare(self, old: Candidate, new: Candidate, ids: Sequence[int]) -> Comparison:
        """Two candidates on those of the examples that both were evaluated on, in the order of the ids."""
        one, other = self._entries[old].outcomes, self._entries[new].outcomes
        both = [number for number in ids if number in one and number in other]
        return Comparison.of([one[number] for number in both], [other[number] for number in both], self.groups)


async def as_paid(function: Callable[[T], Awaitable[object]], items: Sequence[T], limit: int | None = None) -> None:
    """Await a function for several; a budget that does not last for one of them does not break off another."""

    async def one(item: T) -> BudgetSpent | None:
        try:
            await function(item)
        except BudgetSpent as stop:
            return stop
        return None

    for stop in filter(None, await gather(one, items, limit)):
        raise stop


def evaluation(
    student: Student,
    examples: Sequence[Any],
    *,
    what: str,
    purpose: Purpose,
    start_purpose: Purpose = Purpose.FORWARD,
    planned: int | None = None,
    downstream: bool = False,
) -> Evaluate:
    """How the candidates of a pool are evaluated.

    Args:
        student: The program.
        examples: The set that ids are positions in, `dspy.Example` each.
        what: What the set is called, for subscribers.
        purpose: What the calls are booked under.
        start_purpose: The same for the program as it was given.
        planned: On how many examples a candidate may be evaluated in all; None: on those that are asked for.
        downstream: Whether only what an edit can reach is asked again, and all else answered as its parent was.
    """

    async def evaluate(entry: Entry, parent: Entry, ids: Sequence[int]) -> Sequence[Outcome]:
        edits, reach = changed(parent.candidate, entry.candidate), student.reach
        if reach.is_inert(edits):
            return []
        before = scored([parent.outcomes[at] for at in ids if at in parent.outcomes])
        return await student.evaluate(
            what,
            [examples[at] for at in ids],
            entry.candidate,
            ids=ids,
            purpose=start_purpose if entry is parent else purpose,
            known=list(entry.outcomes.values()),
            planned=planned,
            reuse=Reuse({one.example_id: one for one in before}, frozenset(edits)) if downstream else None,
            edited_from=parent.candidate if reach.is_open(edits) else None,
            keep=lambda some: entry.outcomes.update({one.example_id: one for one in some}),
        )

    return evaluate
