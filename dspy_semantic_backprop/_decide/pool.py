"""Every candidate of a run, with what is known of it: nothing is evaluated twice, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from .._evaluate.outcome import Outcome
from .._propose.candidate import Candidate
from .comparison import Comparison

Evaluate = Callable[[Candidate, Candidate, Sequence[int]], Awaitable[Sequence[Outcome]]]
"""Runs a candidate, made from another one, on the examples with these ids."""


@dataclass
class Entry:
    """One candidate.

    Args:
        number: Its number in the run, in the order of proposals; 0 is the start.
        candidate: Its instructions.
        parent: The candidate that it was made from; itself for the start.
        step: The step that it was proposed in; -1 for the start.
        origin: Where it comes from: start, proposal, credit, recombined.
        outcomes: Example id -> outcome, as far as it was evaluated.
    """

    number: int
    candidate: Candidate
    parent: Candidate
    step: int = -1
    origin: str = "start"
    outcomes: dict[int, Outcome] = field(default_factory=dict)


class Pool:
    """The candidates of a run.

    Args:
        start: The program as it was given.
        evaluate: Runs a candidate on examples.
    """

    def __init__(self, start: Candidate, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._entries: dict[Candidate, Entry] = {start: Entry(0, start, start)}
        self.start = start

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
        """A candidate's outcomes on some examples; those that are not known yet are evaluated.

        Args:
            candidate: A candidate of the pool.
            ids: The examples' ids.

        Returns:
            One outcome for each example, in order.
        """
        entry = self._entries[candidate]
        unknown = [number for number in ids if number not in entry.outcomes]
        if unknown:
            found = await self._evaluate(candidate, entry.parent, unknown)
            entry.outcomes.update(zip(unknown, found, strict=True))
        return [entry.outcomes[number] for number in ids]

    def compare(self, old: Candidate, new: Candidate, ids: Sequence[int]) -> Comparison:
        """Two candidates on those of the examples that both were evaluated on, in the order of the ids."""
        one, other = self._entries[old].outcomes, self._entries[new].outcomes
        both = [number for number in ids if number in one and number in other]
        return Comparison.of([one[number] for number in both], [other[number] for number in both])
