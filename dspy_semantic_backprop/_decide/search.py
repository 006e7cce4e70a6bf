"""The seam between the loop and how it searches: whom a step improves, what is evaluated, what is returned."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .._evaluate.candidate import Candidate
from .._evaluate.outcome import Scored, scored
from .._evaluate.student import Student
from .._propose.choose import ChooseExamples
from .._propose.screen import Screen
from .._session.projection import Executions
from .comparison import Comparison
from .consider import Decision
from .pool import Pool
from .records import Final
from .split import Split

Proposal = tuple[Mapping[str, str], Sequence[Scored]]
"""Predictor's name -> proposed text, and the outcomes that it was made from."""


@dataclass(frozen=True)
class Material:
    """What a search works on.

    `pool` has the candidates on the `examples` that are decided on, `train` on those to learn from, which may be the
    same; `downstream` says whether only what an edit can reach is asked again.
    """

    student: Student
    split: Split
    pool: Pool
    train: Pool
    examples: Sequence[Any]
    screen: Screen
    choose: ChooseExamples
    downstream: bool
    rng: random.Random

    def known_in_train(self, candidate: Candidate) -> dict[int, Any]:
        """A candidate's outcomes on the examples to learn from, as far as it was evaluated on them."""
        entry = self.pool[candidate]
        known = self.train.add(candidate, entry.parent, entry.step, entry.origin).outcomes
        return {number: known[number] for number in self.split.learn if number in known}

    def compared(self, old: Candidate, new: Candidate) -> tuple[Comparison, Comparison]:
        """Two candidates on the examples to decide on, and on those to learn from that are no other's twin."""
        decide = self.pool.compare(old, new, self.split.decide)
        if not self.split.separate:
            return decide, Comparison(())
        for one in (old, new):
            self.known_in_train(one)
        learn = [number for number in self.split.learn if number not in self.split.twins.values()]
        return decide, self.train.compare(old, new, learn)

    def scores(self, candidate: Candidate) -> dict[int, float]:
        """Example's id -> score, on the examples that are decided on."""
        return {one.example_id: one.score for one in scored(list(self.pool[candidate].outcomes.values()))}


class Searching(Protocol):
    """A search in a run."""

    @property
    def best(self) -> Candidate:
        """The best candidate so far."""
        ...

    @property
    def stuck(self) -> bool:
        """Whether the last steps brought nothing that had not been tried."""
        ...

    @property
    def seconds(self) -> float:
        """What the end of the run is going to take, in seconds."""
        ...

    async def start(self) -> Sequence[Any]:
        """Evaluate the program as it was given, as far as the search needs it at first; returns the outcomes."""
        ...

    def reserve(self, executions: int, seconds: float) -> None:
        """Keep what the end needs of the budget, by what some executions took."""
        ...

    async def batches(self, step: int) -> tuple[Candidate, list[list[Scored]]]:
        """Whom a step improves, and the outcomes that each of its proposals learns from; none: nothing to learn."""
        ...

    async def ahead(self, parent: Candidate) -> None:
        """Run, while proposals are made, what will be run of their parent whatever they are."""
        ...

    async def consider(self, step: int, proposals: Sequence[Proposal], parent: Candidate) -> Decision:
        """Evaluate proposals, and decide on the best of them."""
        ...

    def cut(self) -> Decision | None:
        """What is accepted of proposals whose evaluation was broken off, by what is known; None: nothing is."""
        ...

    async def finished(self) -> bool:
        """Whether no proposal could gain anything any more."""
        ...

    async def end(self) -> Final | None:
        """Spend what was kept for the end, and decide what is returned; None: there is nothing to decide."""
        ...

    def decided(self) -> Final | None:
        """Decide by what is known, at no cost."""
        ...


class Search(Protocol):
    """A way to search: a part of a method."""

    @property
    def proposals(self) -> int:
        """How many proposals a step makes."""
        ...

    def kept(self, examples: int) -> int:
        """How many of so many examples to decide on are kept for the end."""
        ...

    def evidence(self, learn: int, decide: int) -> int:
        """How many examples tell what a candidate is worth; `learn` is 0 where the two are one set."""
        ...

    def begin(self, material: Material) -> Searching:
        """Begin a search in a run."""
        ...

    def executions(self, learn: int, decide: int, steps: int) -> Executions:
        """How often the program is going to be run in so many steps; `learn` is 0 where the two are one set."""
        ...

    def returns(self, loop: Comparison, rivals: Sequence[Comparison], fresh: Comparison | None) -> bool:
        """Whether a candidate with such outcomes would be returned: compared with the start, as its rivals are."""
        ...
