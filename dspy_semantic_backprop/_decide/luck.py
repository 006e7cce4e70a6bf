"""How often a search finds as sure a gain by luck alone: it is played again, many times, on scores without any effect.

A search runs what looks best on more examples, and stops when it looks sure. No test that takes its design as given
knows of that: exchanging the programs' scores within examples said "more than luck" in 0 to 16 % of simulated runs
without any effect, at 5 %. So the whole search is played again, with as many proposals in each step and as many
executions in all; but every program's scores on an example are drawn from all that was scored on it, whichever program
it was (graded scores: by any edited program, or by the start, and brought to the same mean). Where an edit leaves most
predictors alone, a program often scores as the one that it was made from did: by luck that is handed on. How often that
ends with as sure a gain as was found is the p-value; all candidates count, however they depend on each other.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean
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
TIMES = 149
"""How often a search is played again at most."""
KEPT = 32
"""In a long game only so many of the best programs are remembered, so that it does not take longer and longer."""
_SAME = 1e-9


@dataclass(frozen=True)
class Design:
    """How a search went.

    Args:
        groups: For each example, in the order in which they were run, the number of what it belongs to.
        learn: Which of them, by their place in that order, may be learned from.
        decide: Which of them are decided on in the end.
        first: On how many the start was run at first.
        block: On how many a step compares its proposals.
        steps: For each step, how many predictors each of its proposals changes.
        executions: The most that there could be.
        predictors: How many the program has.
    """

    groups: tuple[int, ...]
    learn: frozenset[int]
    decide: frozenset[int]
    first: int
    block: int
    steps: tuple[tuple[int, ...], ...]
    executions: int
    predictors: int

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(self.groups)

    @property
    def kept(self) -> list[float]:
        """For each proposal, the share of the predictors that it leaves alone."""
        return [1 - size / self.predictors for step in self.steps for size in step]


Block = Mapping[int, float]
"""What one program scored on the examples of one group: the example's place -> a share of the range."""


def luck(design: Design, scores: Sequence[Block], sureness: float, times: int = TIMES) -> float:
    """The probability, 0 to 1, that a search without any effect ends with at least as sure a gain.

    `scores`: of each program, the place of an example -> a share of the range; `sureness`: the gain that was found, in
    its standard deviations.
    """
    known = _known(design, scores)
    start = known
    if len({score for some in scores for score in some.values()}) > 2:
        # Edits may change how graded scores scatter, though not their mean: each kind of program scatters as it does.
        first, *edited = scores
        above = _mean(edited) - _mean([first])
        known = _known(design, [{at: score - above for at, score in some.items()} for some in edited], known.others)
        start = _known(design, [first], known.others)
    as_sure = 0
    for game in range(times):
        as_sure += _Game(design, start, known, game).played() >= sureness - _SAME
        if as_sure >= ENOUGH:
            return as_sure / (game + 1)
    return (1 + as_sure) / (1 + times)


@dataclass(frozen=True)
class _Known:
    """What was scored: the blocks of each group, all of them, and as how many of a group's own the others count."""

    own: Sequence[Sequence[Block]]
    every: Sequence[Block]
    others: float


def _known(design: Design, scores: Sequence[Block], others: float | None = None) -> _Known:
    blocks: list[list[Block]] = [[] for _ in range(1 + max(design.groups))]
    for some in scores:
        own: dict[int, dict[int, float]] = {}
        for at, score in some.items():
            own.setdefault(design.groups[at], {})[at] = score
        for group, block in own.items():
            blocks[group].append(block)
    every = [block for some in blocks for block in some]
    return _Known(blocks, every, others if others is not None else _others(blocks, fmean(design.kept)))


def _mean(scores: Sequence[Block]) -> float:
    return fmean(score for some in scores for score in some.values())


def _others(blocks: Sequence[Sequence[Block]], kept: float) -> float:
    """As much as so many of a group's own blocks count those of all groups: by how alike its own are.

    As alike as programs are that keep most of one another's predictors is no property of the group.
    """
    import numpy as np

    means = [[fmean(block.values()) for block in some] for some in blocks]
    several = [some for some in means if len(some) > 1]
    total = float(np.var([one for some in means for one in some], ddof=1)) if several else 0.0
    if not total:
        return 1.0
    within = sum(float(np.var(some) * len(some)) for some in several) / sum(len(some) - 1 for some in several)
    alike = min(0.99, max(0.01, 1 - within / total / (1 - kept)))
    return (1 - alike) / alike


class _Over(Exception):
    """All executions are spent."""


@dataclass
class _Means:
    """The mean score of each group, kept as scores come: it is read far more often."""

    of: dict[int, float] = field(default_factory=dict)
    _sums: dict[int, tuple[float, int]] = field(default_factory=dict)

    def add(self, group: int, score: float) -> None:
        total, count = self._sums.get(group, (0.0, 0))
        self._sums[group] = total, count = total + score, count + 1
        self.of[group] = total / count


@dataclass
class _Program:
    """A program in a game: its edits, the groups that they were made from, its scores, and where it draws them.

    `kept` is the share of its parent's predictors that it leaves alone. `decide` has the means of the examples that
    are decided on alone.
    """

    row: Any
    parent: _Program | None = None
    kept: float = 0.0
    sources: frozenset[int] = frozenset()
    scores: dict[int, float] = field(default_factory=dict)
    together: _Means = field(default_factory=_Means)
    decide: _Means = field(default_factory=_Means)
    drawn: dict[int, Block] = field(default_factory=dict)
    _told: tuple[int, Any] = (-1, ())

    def told(self) -> Any:
        """A row for each group that it has scores of, the groups, and their means; made anew where there are more."""
        import numpy as np

        if self._told[0] != len(self.scores):
            means = self.together.of
            rows = np.repeat([self.row], len(means), axis=0)
            rows[:, 2] = [group in self.sources for group in means]
            groups = np.fromiter(means, int, len(means))
            self._told = len(self.scores), (rows, groups, np.fromiter(means.values(), float, len(means)))
        return self._told[1]


class _Game:
    """One search on scores without any effect; it goes as `PooledSearch` goes."""

    def __init__(self, design: Design, start: _Known, edited: _Known, seed: int) -> None:
        self.design, self.start, self.edited = design, start, edited
        self.rng = random.Random(seed)
        self.kept = design.kept
        self.model = Model([size for step in design.steps for size in step], design.predictors)
        self.programs = [_Program(self.model.row(()))]
        self.known = [0]
        self.left = design.executions
        self.best = 0
        self.every, self.decide = set(range(design.examples)), set(design.decide)

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
        self._rank(self._fit()[0])
        return self._sureness(0, *self._fit(decide=True)) if self.best else -1.0

    def _run(self, number: int, examples: Iterable[int]) -> None:
        program = self.programs[number]
        for at in examples:
            if at not in program.scores:
                if not self.left:
                    raise _Over
                self.left -= 1
                program.scores[at] = score = self._drawn(program, at)
                for means in (program.together, program.decide) if at in self.design.decide else (program.together,):
                    means.add(self.design.groups[at], score)

    def _drawn(self, program: _Program, at: int) -> float:
        """A score: what belongs together is drawn together, as it may err together."""
        block = self._block(program, self.design.groups[at])
        return block[at] if at in block else self.rng.choice(list(block.values()))

    def _block(self, program: _Program, group: int) -> Block:
        """What a program scores on a group: as its parent did, where predictors that it leaves alone decide."""
        if group not in program.drawn:
            if program.parent is not None and self.rng.random() < program.kept:
                program.drawn[group] = self._block(program.parent, group)
            else:
                known = self.start if program.parent is None else self.edited
                own = known.own[group]
                mine = self.rng.random() * (len(own) + known.others) < len(own)
                program.drawn[group] = self.rng.choice(own if mine else known.every)
        return program.drawn[group]

    def _step(self, step: Sequence[int], block: Sequence[int]) -> None:
        parent, first = self.best, len(self.programs)
        new = list(range(first, first + len(step)))
        for number in new:
            row = self.programs[parent].row + self.model.row((number - 1,))
            row[0] = 1
            sources = self.programs[parent].sources | self._failures(parent)
            self.programs.append(_Program(row, self.programs[parent], self.kept[number - 1], sources))
        self.known += new
        for number in (parent, *new):
            self._run(number, block)
        self.known = sorted({0, *self._rank(self._fit()[0])[:KEPT]})

    def _failures(self, parent: int) -> frozenset[int]:
        scores = self.programs[parent].scores
        wrong = [at for at, score in scores.items() if at in self.design.learn and score < 1 - _SAME]
        return frozenset(self.design.groups[at] for at in self.rng.sample(wrong, min(2, len(wrong))))

    def _fit(self, decide: bool = False) -> tuple[Any, Any]:
        import numpy as np

        programs = [self.programs[number] for number in self.known]
        if not decide:
            return self.model.fit(*map(np.concatenate, zip(*(one.told() for one in programs), strict=True)))
        seen = [one.decide.of for one in programs]
        rows = np.repeat([one.row for one in programs], list(map(len, seen)), axis=0)
        groups = np.fromiter(chain.from_iterable(seen), int)
        scores = np.fromiter(chain.from_iterable(some.values() for some in seen), float)
        return self.model.fit(rows, groups, scores)

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
        left = (self.decide if settled else self.every) - self.programs[one].scores.keys()
        both = left & self.programs[other].scores.keys()
        block = self.design.block
        return [*sorted(both), *(sorted(left - both) if len(both) < block else ())][:block]
