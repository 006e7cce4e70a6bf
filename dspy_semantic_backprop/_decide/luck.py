"""How often a search finds as sure a gain by luck alone: it is played again, many times, on scores without any effect.

A search runs what looks best on more examples, and stops when it looks sure. No test that takes its design as given
knows of that: exchanging the programs' scores within examples said "more than luck" in 0 to 16 % of simulated runs
without any effect, at 5 %. So the whole search is played again, with as many proposals in each step and as many
executions in all; but every program's scores on an example are drawn from all that was scored on it, whichever program
it was. How often that ends with a gain as sure as the one that was found is the p-value; all candidates count, however
they depend on each other.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .estimate import Model

SURE = 2.326
"""A normal variable is larger with a probability of `SETTLED`."""
RIVALS = 6
"""So many of the best candidates may be the one that the best is compared with in the end."""
SETTLED = 0.01
"""A rival that is better with less than this probability is compared no further."""
ENOUGH = 20
"""After so many games that end with as sure a gain the p-value is known well enough (Besag and Clifford 1991)."""
MARGIN = 1.5
"""The share of such games is multiplied by this: what an example is like is itself only estimated from its scores."""
TIMES = 149
"""How often a search is played again at most."""
KEPT = 32
"""In a long game only so many of the best programs are remembered, so that it does not take longer and longer."""
_SAME = 1e-9


@dataclass(frozen=True)
class Design:
    """How a search went.

    Args:
        examples: Their number, in the order in which they were run.
        learn: Which of them, by their place in that order, may be learned from.
        decide: Which of them are decided on in the end.
        first: On how many the start was run at first.
        block: On how many a step compares its proposals.
        steps: For each step, how many predictors each of its proposals changes.
        executions: How many there were in all.
        predictors: How many the program has.
    """

    examples: int
    learn: frozenset[int]
    decide: frozenset[int]
    first: int
    block: int
    steps: tuple[tuple[int, ...], ...]
    executions: int
    predictors: int


def luck(design: Design, scores: Sequence[Sequence[float]], sureness: float, times: int = TIMES) -> float:
    """The probability, 0 to 1, that a search without any effect ends with at least as sure a gain.

    Args:
        design: How the search went.
        scores: For each example, in order, what was scored on it, as shares of the range.
        sureness: The gain that was found, in its standard deviations.
        times: How often to play at most.
    """
    every = [score for some in scores for score in some]
    others, as_sure = _others(scores), 0
    for game in range(times):
        as_sure += _Game(design, scores, every, others, game).played() >= sureness - _SAME
        if as_sure >= ENOUGH:
            return min(1.0, MARGIN * as_sure / (game + 1))
    return min(1.0, MARGIN * (1 + as_sure) / (1 + times))


def _others(scores: Sequence[Sequence[float]]) -> float:
    """As much as so many of an example's own scores count those of all examples: by how alike its own are."""
    import numpy as np

    several = [some for some in scores if len(some) > 1]
    total = float(np.var([score for some in scores for score in some], ddof=1)) if several else 0.0
    if not total:
        return 1.0
    within = sum(float(np.var(some) * len(some)) for some in several) / sum(len(some) - 1 for some in several)
    alike = min(0.99, max(0.01, 1 - within / total))
    return (1 - alike) / alike


class _Over(Exception):
    """All executions are spent."""


@dataclass
class _Program:
    """A program in a game: its edits, the examples that they were made from, and its scores."""

    row: Any
    sources: frozenset[int] = frozenset()
    scores: dict[int, float] = field(default_factory=dict)


class _Game:
    """One search on scores without any effect; it goes as `PooledSearch` goes."""

    def __init__(
        self, design: Design, scores: Sequence[Sequence[float]], every: Sequence[float], others: float, seed: int
    ) -> None:
        self.design, self.scores, self.every, self.others = design, scores, every, others
        self.rng = random.Random(seed)
        self.model = Model([size for step in design.steps for size in step], design.predictors)
        self.programs = [_Program(self.model.row(()))]
        self.known = [0]
        self.left = design.executions
        self.best = 0

    def played(self) -> float:
        """How sure the gain is that the game ends with, in standard deviations; less than 0 without one."""
        design, at = self.design, 0
        try:
            self._run(0, range(min(design.first, design.examples)))
            for step in design.steps:
                block = [(at + offset) % design.examples for offset in range(min(design.block, design.examples))]
                at = (at + len(block)) % design.examples
                self._step(step, block)
            while self._compared():
                pass
        except _Over:
            pass
        mean, covariance = self._fit()
        self._rank(mean)
        return self._sureness(0, mean, covariance) if self.best else -1.0

    def _run(self, number: int, examples: Iterable[int]) -> None:
        scores = self.programs[number].scores
        for at in examples:
            if at not in scores:
                if not self.left:
                    raise _Over
                self.left -= 1
                scores[at] = self._drawn(at)

    def _drawn(self, at: int) -> float:
        own = self.scores[at]
        return self.rng.choice(own if self.rng.random() * (len(own) + self.others) < len(own) else self.every)

    def _step(self, step: Sequence[int], block: Sequence[int]) -> None:
        parent, first = self.best, len(self.programs)
        new = list(range(first, first + len(step)))
        for number in new:
            row = self.programs[parent].row + self.model.row((number - 1,))
            row[0] = 1
            sources = self.programs[parent].sources | self._failures(parent)
            self.programs.append(_Program(row, sources))
        self.known += new
        for number in (parent, *new):
            self._run(number, block)
        self.known = sorted({0, *self._rank(self._fit()[0])[:KEPT]})

    def _failures(self, parent: int) -> frozenset[int]:
        scores = self.programs[parent].scores
        wrong = [at for at, score in scores.items() if at in self.design.learn and score < 1 - _SAME]
        return frozenset(self.rng.sample(wrong, min(2, len(wrong))))

    def _fit(self) -> tuple[Any, Any]:
        import numpy as np

        programs = [self.programs[number] for number in self.known]
        counts = [len(one.scores) for one in programs]
        rows = np.repeat([one.row for one in programs], counts, axis=0)
        rows[:, 2] = [at in one.sources for one in programs for at in one.scores]
        examples = np.array([at for one in programs for at in one.scores])
        return self.model.fit(rows, examples, np.array([score for one in programs for score in one.scores.values()]))

    def _sureness(self, rival: int, mean: Any, covariance: Any) -> float:
        row = self.programs[self.best].row - self.programs[rival].row
        return float(row @ mean / max(float(row @ covariance @ row), _SAME) ** 0.5)

    def _rank(self, mean: Any) -> list[int]:
        """The programs with scores, the best by expectation first."""
        run = [number for number in self.known if self.programs[number].scores]
        ranked = sorted(run, key=lambda one: -float(self.programs[one].row @ mean))
        self.best = ranked[0]
        return ranked

    def _compared(self) -> bool:
        """Run the best and its rival on what they have not seen; whether there was anything left."""
        mean, covariance = self._fit()
        rivals = [one for one in dict.fromkeys([0, *self._rank(mean)[:RIVALS]]) if one != self.best]
        if not rivals:
            return False
        sure = {rival: self._sureness(rival, mean, covariance) for rival in rivals}
        rival = min(rivals, key=lambda one: sure[one])
        settled = sure[rival] > SURE
        pair = (self.best, 0 if settled else rival)
        left = {one: self._unseen(one, pair[one == pair[0]], settled) for one in pair}
        for one, examples in left.items():
            self._run(one, examples)
        return any(left.values())

    def _unseen(self, one: int, other: int, settled: bool) -> list[int]:
        known, others = self.programs[one].scores, self.programs[other].scores
        allowed = self.design.decide if settled else range(self.design.examples)
        left = sorted(at for at in allowed if at not in known)
        return sorted(left, key=lambda at: at not in others)[: self.design.block]
