"""Which of the edits made together earned the gain: each is taken away, and tried alone, where they mattered."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from .._concurrency import gather
from .._evaluate.candidate import Candidate, changed
from .._evaluate.outcome import Scored
from .comparison import Comparison
from .pool import Pool

MOST = 12
"""The most examples that edits are told apart on where some of them do harm: that may change the decision."""
SOME = 3
"""The most where none does, and the most on which nothing was gained."""
ALONE = 3
"""Up to so many edits are also tried alone where some do harm."""


@dataclass(frozen=True)
class Credit:
    """What one edit of several contributed.

    Args:
        predictor: Whose instruction was edited.
        alone: What the edit gains alone, in metric points, mean over the examples; None where that was not tried.
        missed: What is lost when it is taken away, likewise.
        examples: On how many examples this rests: some on which the edits together made a difference, or failed to.
    """

    predictor: str
    alone: float | None
    missed: float
    examples: int

    @property
    def earned(self) -> float:
        """The mean of both: of two edits the Shapley value, of more an estimate of it; metric points."""
        return self.missed if self.alone is None else (self.alone + self.missed) / 2


async def credits(
    pool: Pool, parent: Candidate, candidate: Candidate, comparison: Comparison, step: int
) -> tuple[Credit, ...]:
    """Tell the edits of a candidate apart.

    Where the edits together fixed nothing, none of them is tried.

    Args:
        pool: Where the candidates are; those with some of the edits are added.
        parent: The program without the edits.
        candidate: The program with all of them.
        comparison: The two on the examples that they were compared on.
        step: The step of the run.

    Returns:
        One credit for each edited predictor; empty where there is one edit, or nothing differed.
    """
    edits = changed(parent, candidate)
    ids, harm = _telling(comparison), bool(comparison.regressions)
    if len(edits) < 2 or not ids:
        return ()
    without = {name: candidate.revised({name: parent.instructions[name]}) for name in edits}
    single = edits if harm and len(edits) <= ALONE else ()
    alone = {name: parent.revised({name: candidate.instructions[name]}) for name in single}
    tried = dict.fromkeys([*without.values(), *alone.values()])
    for one in tried:
        pool.add(one, parent, step, "credit")
    await gather(lambda one: pool.outcomes(one, ids), tried)
    return tuple(
        Credit(
            name,
            _difference(pool, parent, alone[name], ids) if name in alone else None,
            _difference(pool, without[name], candidate, ids),
            len(ids),
        )
        for name in edits
    )


def earning(candidate: Candidate, parent: Candidate, found: Sequence[Credit]) -> Candidate | None:
    """The candidate with only those of its edits that earned something; None where these are all or none of them.

    Args:
        candidate: The program with all edits.
        parent: The program without.
        found: What each edit contributed.
    """
    kept = {one.predictor: candidate.instructions[one.predictor] for one in found if one.earned > 0}
    harmful = [one for one in found if one.earned < 0]
    return parent.revised(kept) if kept and harmful else None


def _telling(comparison: Comparison) -> list[int]:
    """Some of the examples that differ, fixes and regressions in turn, and some on which nothing was gained.

    Why the latter: an edit that undoes what the others fix leaves an example as it was.
    """
    if not comparison.fixes:
        return []
    differ = itertools.chain.from_iterable(itertools.zip_longest(comparison.regressions, comparison.fixes))
    telling = [number for number in differ if number is not None][: MOST if comparison.regressions else SOME]
    best = max(pair.new for pair in comparison.pairs)
    stuck = [pair.example_id for pair in comparison.pairs if pair.new <= pair.old and pair.new < best]
    return [*telling, *[number for number in stuck if number not in telling][:SOME]]


def _difference(pool: Pool, old: Candidate, new: Candidate, ids: Sequence[int]) -> float:
    one, other = pool[old].outcomes, pool[new].outcomes
    both = [(one[at], other[at]) for at in ids if isinstance(one[at], Scored) and isinstance(other[at], Scored)]
    return sum(after.score - before.score for before, after in both) / len(both) if both else 0.0  # type: ignore[union-attr]
