"""The published search: one program is improved; a proposal replaces it if a gate says so, on all examples.

What the gate accepted is returned, or, with a `Commit`, only if it is proven to be better than the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .._evaluate.candidate import Candidate, changed
from .._evaluate.outcome import Outcome, Scored, score_range, scored
from .._propose.choose import ChooseParent, Standing, incumbent
from .._session.projection import Executions
from .commit import Commit, Evidence
from .comparison import Comparison
from .consider import Considered, Decision, Fate, consider
from .final import BLOCK, LastDecision
from .gate import Gate, Verdict, accepts, confident, looks_of
from .race import Raced, race
from .records import Final
from .search import Material, Proposal


@dataclass(frozen=True)
class Gated:
    """One program is improved; a proposal replaces it if the gate says so.

    Args:
        gate: Whether a proposal replaces the program that it was made from: `confident`, `strict`, `Confident(error)`,
            `strictly_better`, `accept_always`.
        commit: Whether the run may return what it found: `Commit(error)`; None returns whatever the gate accepted.
        choose_parent: Which program a step improves: `incumbent`, `pareto`.
        proposals: How many proposals a step makes from one backward pass and races against each other.
    """

    gate: Gate = confident
    commit: Commit | None = field(default_factory=Commit)
    choose_parent: ChooseParent = incumbent
    proposals: int = 1

    def kept(self, examples: int) -> int:
        """How many of so many examples to decide on are kept for the end."""
        return self.commit.kept(examples) if self.commit is not None else 0

    def evidence(self, learn: int, decide: int) -> int:
        """Only the examples to decide on tell what a candidate is worth."""
        return decide

    def begin(self, material: Material) -> GatedSearch:
        """Begin a search in a run."""
        return GatedSearch(self, material)

    def executions(self, learn: int, decide: int, steps: int) -> Executions:
        """How often the program is going to be run, probably if every second proposal is accepted."""
        on_all = decide * (1 + steps * self.proposals)
        most, half = (on_all + learn * times if steps else on_all for times in (1 + steps, math.ceil((1 + steps) / 2)))
        return Executions(most, half, half - decide * steps * self.proposals)

    def returns(self, loop: Comparison, rivals: Sequence[Comparison], fresh: Comparison | None) -> bool:
        """Whether a candidate with such outcomes would be returned."""
        return accepts(self.gate, loop) and (self.commit is None or self.commit(Evidence(loop, rivals, 1, fresh)))


class GatedSearch:
    """A `Gated` search in a run."""

    def __init__(self, search: Gated, material: Material) -> None:
        self.search = search
        self.material = material
        self.pool, self.split = material.pool, material.split
        self.accepted = [self.pool.start]
        self._last = LastDecision(material, search.gate, search.commit)
        self._racing: tuple[Candidate, Considered] | None = None
        self._unread: list[int] = []

    @property
    def best(self) -> Candidate:
        """The incumbent."""
        return self.accepted[-1]

    stuck = False

    @property
    def seconds(self) -> float:
        """What the end of the run is going to take, in seconds."""
        return self._last.seconds

    async def start(self) -> Sequence[Outcome]:
        """The start on the first examples that the gate looks at; the others are run when they are needed."""
        decide = self.split.decide
        return await self.pool.outcomes(self.pool.start, decide[: looks_of(self.search.gate, len(decide))[0]])

    def reserve(self, executions: int, seconds: float) -> None:
        """Keep what the end needs of the budget."""
        self._last.reserve(executions, seconds)

    async def batches(self, step: int) -> tuple[Candidate, list[list[Scored]]]:
        """Whom the step improves, and some outcomes of it: no more examples are evaluated than that takes."""
        standing = [Standing(one, self.material.scores(one)) for one in self.accepted]
        parent = self.search.choose_parent(standing, self.material.rng)
        chosen = await self._chosen(parent)
        return parent, [chosen] * self.search.proposals if chosen else []

    async def _chosen(self, parent: Candidate) -> list[Scored]:
        material, choose = self.material, self.material.choose
        known = material.known_in_train(parent)
        seen = [] if self.split.separate else list(known.values())
        while True:
            left = [number for number in self.split.learn if number not in known]
            if not left:
                return choose(scored([known[number] for number in self.split.learn]), material.rng)
            chosen = choose(scored(seen), material.rng) if seen else []
            if len({outcome.example_id for outcome in chosen}) >= choose.wanted:
                return chosen
            # Each step meets other examples, until all have been met.
            self._unread = [number for number in self._unread if number in left] or material.rng.sample(left, len(left))
            block = self._unread[: BLOCK if math.isfinite(choose.wanted) else None]
            self._unread = self._unread[len(block) :]
            seen += await material.train.outcomes(parent, block)
            known = material.known_in_train(parent)

    async def ahead(self, parent: Candidate) -> None:
        """Nothing: what is run of the parent depends on the proposals."""

    async def consider(self, step: int, proposals: Sequence[Proposal], parent: Candidate) -> Decision:
        """Race the proposals of a step; the gate decides on the best."""
        screen = self.material.screen
        found = consider(step, [texts for texts, _ in proposals], parent, self.pool, screen)
        if not found.candidates:
            return Decision(found.fate, parent, refused=found.refused)
        self._racing = parent, found
        raced = await race(self.pool, parent, list(found.candidates), self.split.decide, self.search.gate)
        self._racing = None
        return self._decide(raced, parent, found)

    def _decide(self, raced: Sequence[Raced], parent: Candidate, found: Considered) -> Decision:
        """Accept the best of some candidates, or none."""
        screen, best = self.material.screen, self._best_of(raced, parent)
        accepted = best.verdict is Verdict.ACCEPT and self._worth_its_length(best, parent)
        for name in changed(parent, best.candidate):
            if accepted:
                screen.accepted(name)
            else:
                screen.rejected(name, best.candidate.instructions[name])
        if accepted:
            self._accept(best.candidate, parent)
        return Decision(
            Fate.ACCEPTED if accepted else Fate.REJECTED,
            best.candidate,
            changed(parent, best.candidate),
            found.refused,
            best.comparison,
            evaluated=tuple(one.candidate for one in raced),
        )

    def _accept(self, candidate: Candidate, parent: Candidate) -> None:
        old = self.best
        better = parent == old or self.pool.compare(old, candidate, self.split.decide).gain > 0
        self.accepted.insert(len(self.accepted) - (not better), candidate)

    def _worth(self, one: Raced, parent: Candidate) -> float:
        """The gain of a candidate, less what it loses for having grown; metric points."""
        edits = changed(parent, one.candidate)
        return one.comparison.gain - self.material.screen.penalty(parent, one.candidate, edits)

    def _worth_its_length(self, one: Raced, parent: Candidate) -> bool:
        return self._worth(one, parent) > 0 or not self.material.screen.restraint.length_penalty

    def _best_of(self, raced: Sequence[Raced], parent: Candidate) -> Raced:
        return max(raced, key=lambda one: (one.verdict is Verdict.ACCEPT, self._worth(one, parent)))

    async def finished(self) -> bool:
        """Whether the incumbent is right wherever it is decided."""

        def right(outcomes: Sequence[Any]) -> bool:
            scores = [outcome.score for outcome in scored(outcomes)]
            scale = score_range(scores, self.material.choose.perfect)
            return scale.known and all(score >= scale.best for score in scores)

        # The rest is only run where what is known leaves nothing to gain.
        if self.best == self.pool.start or not right(list(self.pool[self.best].outcomes.values())):
            return False
        return right(await self.pool.outcomes(self.best, self.split.decide))

    def cut(self) -> Decision | None:
        """Where a race was broken off, its leader is judged by what is known of it."""
        if self._racing is None:
            return None
        (parent, found), self._racing = self._racing, None
        known = [(one, self.pool.compare(parent, one, self.split.decide)) for one in found.candidates]
        raced = [Raced(one, self.search.gate(seen, 0), seen) for one, seen in known if len(seen)]
        best = [self._best_of(raced, parent)] if raced else []
        accepted = any(one.verdict is Verdict.ACCEPT and self._worth_its_length(one, parent) for one in best)
        return self._decide(raced, parent, found) if accepted else None

    async def end(self) -> Final | None:
        """Evaluate the fresh examples, and decide."""
        return await self._last.decide(self.best)

    def decided(self) -> Final | None:
        """Decide by what is known."""
        return self._last.decided(self.best)
