"""The default search: many proposals on few examples each, all scores pooled into one estimate of every edit's gain.

A step makes some proposals of the best program so far, each from other failures, and runs them and that program on the
same small block of examples. What every edit gains is estimated from all scores of the run together (`estimate`), so
no edit is ever taken away and tried alone, and none has to be accepted or rejected on the spot. What is expected to be
best is improved further, and in the end returned, unless it may well be worse than the start.

Why not a gate: in simulated worlds a gate at each step and a proof at the end cost most of the budget and gave the
start back in spite of large gains, while one estimate from all scores found more with half of the calls
(`experiments/decisions.py`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from .._errors import BudgetSpent, SetupError
from .._evaluate.candidate import Candidate, changed
from .._evaluate.outcome import Outcome, Scored, ScoreRange, score_range, scored
from .._session.budget import Purpose
from .._session.journal import digest_of
from .._session.projection import Executions
from .ahead import IN_VAIN, Ahead, RunOn, Turn
from .claim import OPEN, PROVEN, Found, few_in_common, told
from .comparison import Comparison
from .consider import Considered, Decision, Fate, consider
from .effort import executions
from .estimate import Estimate, Lineage, Seen
from .luck import RIVALS, SETTLED, Design, luck
from .pool import Pool, as_paid
from .records import Final
from .search import Material, Proposal
from .split import Key, in_turn

SURE = 1.645
"""So many standard deviations to both sides hold 90 % of a normal distribution."""
ENDED = "the steps ended when {:.0%} of the budget of {} was spent; the rest was for the decision at the end"
STUCK = 5
"""After so many steps in a row without a new candidate the search ends."""


@dataclass(frozen=True)
class Pooled:
    """Many proposals on few examples each, all scores pooled into one estimate.

    Args:
        proposals: How many proposals a step makes, each from other failures.
        block: On how many examples a step compares them; examples to learn from and to decide on are taken in turn.
        first: On how many examples the start is run at first.
        worse: The program found is returned if it is worse than the start with at most this probability, or more than
            luck.
        end: The share of a budget, 0 to 1, at which the last examples go to the decision at the end.
        ahead: So many blocks at most the decision at the end runs ahead, where there is no budget: it takes less time
            and decides the same; `result.notes` counts the executions that were made in vain.

    Raises:
        SetupError: If a number is out of its range.
    """

    proposals: int = 2
    block: int = 3
    first: int = 8
    worse: float = 0.15
    end: float = 0.15
    ahead: int = 0

    def __post_init__(self) -> None:
        for name, least in (("proposals", 1), ("block", 1), ("first", 1), ("ahead", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SetupError(f"{name} must be a whole number of at least {least}, not {value!r}")
        for name in ("worse", "end"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise SetupError(f"{name} must be a number from 0 to 1, not {value!r}")

    def kept(self, examples: int) -> int:
        """No examples are kept for the end: all count towards one estimate."""
        return 0

    def evidence(self, learn: int, decide: int) -> int:
        """All examples tell what a candidate is worth."""
        return learn + decide

    def begin(self, material: Material) -> PooledSearch:
        """Begin a search in a run."""
        return PooledSearch(self, material)

    def executions(self, learn: int, decide: int, steps: int) -> Executions:
        """How often the program is going to be run; by what runs on scripted models took."""
        return executions(learn + decide, steps, first=self.first, block=self.block, proposals=self.proposals)

    def returns(self, loop: Comparison, rivals: Sequence[Comparison], fresh: Comparison | None) -> bool:
        """Whether a candidate with such outcomes would be returned."""
        scale = score_range([score for pair in loop.pairs for score in (pair.old, pair.new)])
        edits, edited = range(1 + len(rivals)), [one.pairs for one in (loop, *rivals)]
        runs = [([pair[0] for pair in loop.pairs], [pair.old for pair in loop.pairs])]
        runs += [([pair[0] for pair in pairs], [pair[2] for pair in pairs]) for pairs in edited]
        estimate = Estimate.of_runs(runs, scale.share)
        best = max(edits, key=lambda edit: estimate.gain((edit,))[0])
        return best == 0 and estimate.gain((0,))[0] > 0 and estimate.worse((0,)) <= self.worse


class PooledSearch:
    """A `Pooled` search in a run."""

    seconds = 0.0

    def __init__(self, search: Pooled, material: Material) -> None:
        self.search = search
        self.material = material
        self.pool, self.split = material.pool, material.split
        self.best = self.pool.start
        self._side = "learn" if material.split.separate else "decide"
        self.ids = in_turn(material.split, random.Random(f"{material.rng.random()}/blocks"))
        self.lineage = Lineage(self.pool.start.instructions)
        self._ahead = Ahead(search.ahead, search.block, material)
        self._steps: list[tuple[int, ...]] = []
        self._open: tuple[Candidate, Considered] | None = None
        self._ended = False
        self._position = 0
        self._nothing_new = 0
        self._spent, self._dearest, self._roomy = 0.0, 0.0, False

    async def start(self) -> Sequence[Outcome]:
        """The start on a few examples."""
        await self._run(self.best, self.ids[: self.search.first])
        return list(self._outcomes(self.best).values())

    async def _run(self, candidate: Candidate, keys: Sequence[Key], how: RunOn = Pool.outcomes) -> None:
        """Run a candidate on examples."""
        self.material.known_in_train(candidate)
        pools = (("learn", self.material.train), ("decide", self.pool))
        sides = [(pool, [number for name, number in keys if name == side]) for side, pool in pools]
        # What stands in both sets is run once: the second pool has it from the first.
        await as_paid(lambda one: how(one[0], candidate, one[1]), sides, 1 if self.split.twins else None)

    async def _run_all(self, turns: Sequence[Turn]) -> None:
        """Run several at once."""
        await as_paid(lambda turn: self._run(*turn), turns)

    def _outcomes(self, candidate: Candidate) -> dict[Key, Outcome]:
        """What is known of a candidate, on all examples."""
        known: dict[Key, Outcome] = {("decide", at): one for at, one in self.pool[candidate].outcomes.items()}
        if self.split.separate and candidate in self.material.train:
            known |= {("learn", at): one for at, one in self.material.train[candidate].outcomes.items()}
        return known

    def reserve(self, executions: int, seconds: float) -> None:
        """Nothing is reserved: exploring stops when the share for the end is reached."""

    async def batches(self, step: int) -> tuple[Candidate, list[list[Scored]]]:
        """The best program so far, and other failures of it for each proposal."""
        if not self._goes_on(step):
            _, bound = self.material.student.session.ledger.nearest
            raise BudgetSpent(ENDED.format(1 - self.search.end, bound))
        parent = self.best
        batches = [await self._failures(parent) for _ in range(self.search.proposals)]
        return parent, batches if all(batches) else []

    def _goes_on(self, step: int) -> bool:
        """Whether there is budget for another step; a resumed run goes on as it did before."""
        session = self.material.student.session
        key = digest_of(["goes on", step]) if session.journal else ""
        before, self._spent = self._spent, session.ledger.nearest[0]
        self._dearest = max(self._dearest, self._spent - before)
        self._roomy = self._spent + self._dearest <= 1  # for one as dear as any before it
        if session.journal and session.journal.take(key, bool):
            return True
        if goes_on := self._spent < 1 - self.search.end:
            session.journal.keep("goes on", key, True)
        return goes_on

    async def _failures(self, parent: Candidate) -> list[Scored]:
        """Outcomes to learn from; others of the examples are only run where what is known has none."""
        choose = self.material.choose
        while True:
            known = self.material.known_in_train(parent)
            chosen = choose(scored(list(known.values())), self.material.rng) if known else []
            left = [key for key in self.ids if key[0] == self._side and key[1] not in known]
            if chosen or not left:
                return chosen
            await self._run(parent, left[:2])

    @property
    def stuck(self) -> bool:
        """Whether the last steps brought nothing that had not been tried."""
        return self._nothing_new >= STUCK

    def _block(self) -> list[Key]:
        """The next examples, in turn."""
        size = len(self.ids)
        return [self.ids[(self._position + at) % size] for at in range(min(self.search.block, size))]

    async def ahead(self, parent: Candidate) -> None:
        """Run the parent on the next examples, which are the same for the next step if this one has no proposal."""
        # Where the budget may not last, proposals come first: which of both got the rest would be an accident.
        with suppress(BudgetSpent):
            if self._roomy:
                await self._run(parent, self._block())

    async def consider(self, step: int, proposals: Sequence[Proposal], parent: Candidate) -> Decision:
        """Run the proposals and their parent on a block of examples; the best by all scores is improved next."""
        found = consider(step, [texts for texts, _ in proposals], parent, self.pool, self.material.screen)
        self._nothing_new = 0 if found.candidates else self._nothing_new + 1
        if not found.candidates:
            return Decision(found.fate, parent, refused=found.refused)
        for candidate, number in found.candidates.items():
            sources = self._sources(proposals[number][1])
            for name in changed(parent, candidate):
                self.lineage.add(name, candidate.instructions[name], parent.instructions[name], sources)
        self._steps.append(tuple(len(changed(parent, one)) for one in found.candidates))
        block, self._open = self._block(), (parent, found)
        self._position = (self._position + len(block)) % len(self.ids)
        await self._run(parent, block)
        await self._run_all([(one, block, Pool.outcomes) for one in found.candidates])
        self._open = None
        return self._decide(parent, found)

    def cut(self) -> Decision | None:
        """Where the end broke off a block, what was run of it counts like all else."""
        if self._open is None:
            return None
        (parent, found), self._open = self._open, None
        tried = [one for one in found.candidates if self._outcomes(one)]
        accepted = tried and self._ranked(self._estimate())[0] in tried
        return self._decide(parent, replace(found, candidates=dict.fromkeys(tried, 0))) if accepted else None

    def _decide(self, parent: Candidate, found: Considered) -> Decision:
        """What the candidates of a step are worth by all scores: the best candidate of the run is improved next."""
        screen, estimate = self.material.screen, self._estimate()
        self.best = self._ranked(estimate)[0]
        tried = list(found.candidates)
        accepted = self.best in tried
        shown = self.best if accepted else max(tried, key=lambda one: estimate.gain(self._edits(one))[0])
        # No text is held against a predictor for good: on so few examples a good one may look bad.
        for name in changed(parent, shown) if accepted else ():
            screen.accepted(name)
        compared, learned = self.material.compared(parent, shown)
        gains = {name: self._gain(estimate, name, shown, parent) for name in changed(parent, shown)}
        fate = Fate.ACCEPTED if accepted else Fate.REJECTED
        return Decision(fate, shown, tuple(gains), found.refused, compared, gains, tuple(tried), learned)

    def _sources(self, outcomes: Sequence[Scored]) -> frozenset[Hashable]:
        """The examples that a proposal was made from."""
        return frozenset(self._group((self._side, one.example_id)) for one in outcomes)

    def _group(self, key: Key) -> Hashable:
        """What an example belongs to; itself where it stands alone."""
        groups = (self.pool if key[0] == "decide" else self.material.train).groups
        return ("group", groups[key[1]]) if key[1] in groups else key

    def _gain(self, estimate: Estimate, name: str, candidate: Candidate, parent: Candidate) -> float:
        """What one predictor's new text is expected to gain, in metric points."""
        one, other = ({name: which.instructions[name]} for which in (candidate, parent))
        return estimate.gain(self.lineage.edits(one), self.lineage.edits(other))[0] * self._range().unit

    def _edits(self, candidate: Candidate) -> tuple[int, ...]:
        return self.lineage.edits(candidate.instructions)

    def _range(self) -> ScoreRange:
        scores = (score for one in self.pool for score in self._scores(one.candidate).values())
        return score_range(scores, self.material.choose.perfect)

    def _scores(self, candidate: Candidate) -> dict[Key, float]:
        return {key: one.score for key, one in self._outcomes(candidate).items() if isinstance(one, Scored)}

    def _estimate(self, seen: Sequence[Seen] | None = None) -> Estimate:
        seen = self._seen("decide", "learn") if seen is None else seen
        return Estimate.of(seen, len(self.lineage), len(self.pool.start.instructions))

    def _seen(self, *sides: str) -> list[Seen]:
        scale, seen = self._range(), []
        for entry in self.pool:
            edits, together = self._edits(entry.candidate), {}
            for key, score in self._scores(entry.candidate).items():
                if key[0] in sides:
                    together.setdefault(self._group(key), []).append(scale.share(score))
            # What belongs together may err together: it counts as one.
            for group, scores in together.items():
                seen.append(Seen(edits, group, math.fsum(scores) / len(scores), self.lineage.learned(edits, group)))
        return seen

    def _sureness(self) -> float:
        """The gain of the best program in its standard deviations, by examples that it was not made from.

        What an edit was made from is a failure of the program that was edited. Where the edit has the step that failed
        answer anew, it is likely to be right there without being any better, and no game on exchanged scores knows by
        how much: with ten predictors and true blame a test on all scores said "more than luck" of 16 % instead of 5 %.
        Such examples are left out for the start as well, whose failures they are.
        """
        edits = self._edits(self.best)
        seen = [one for one in self._seen("decide") if not self.lineage.learned(edits, one.example)]
        gain, deviation = self._estimate(seen).gain(edits)
        return gain / deviation

    def _ranked(self, estimate: Estimate) -> list[Candidate]:
        """The candidates that were evaluated, the best by expectation first; less what they lose for having grown."""
        screen, start, width = self.material.screen, self.pool.start, self._range().unit

        def expected(one: Candidate) -> float:
            penalty = screen.penalty(start, one, changed(start, one)) / width
            return estimate.gain(self._edits(one))[0] - penalty

        known = [entry.candidate for entry in self.pool if self._outcomes(entry.candidate)]
        return sorted(known or [start], key=lambda one: -expected(one))

    async def finished(self) -> bool:
        """Whether the best program is known to be right on all that is decided on; nothing is run to find out."""
        known, scale = self._scores(self.best), self._range()
        decide = [known.get(("decide", number)) for number in self.split.decide]
        return scale.known and all(score is not None and score >= scale.best for score in decide)

    async def end(self) -> Final | None:
        """Run the best program and the one most like to be better on what they have not seen, while that can decide."""
        start, session = self.pool.start, self.material.student.session
        decide = [key for key in self.ids if key[0] == "decide"]
        with suppress(BudgetSpent):
            while True:
                estimate = self._estimate()
                ranked = self._ranked(estimate)
                self.best = ranked[0]
                rivals = [one for one in dict.fromkeys([start, *ranked[:RIVALS]]) if one != self.best]
                if not rivals:
                    break
                rival = max(rivals, key=lambda one: estimate.worse(self._edits(self.best), self._edits(one)))
                settled = estimate.worse(self._edits(self.best), self._edits(rival)) < SETTLED
                # What is settled, or cannot be, is run on for a score that a person can read: the start's and its own.
                pairs = [*([] if settled else [(rival, self.ids)]), (start, decide)]
                lefts = (self._ahead.left((self.best, one), ids, self._outcomes) for one, ids in pairs)
                if not (left := next(filter(None, lefts), [])):
                    break
                made = sum(len(self._outcomes(entry.candidate)) for entry in self.pool)
                room = session.room(made, self._ahead.waiting)
                if not room:
                    raise BudgetSpent("what was planned is used up")
                await self._run_all(self._ahead.turns(left, room))
            self._ended = True
        session.notes[IN_VAIN] += self._ahead.waiting
        final = self.decided()
        if final is not None and (few := few_in_common(final, len(self._compared()))):
            session.warn(few)
        return final

    def _compared(self) -> Comparison:
        """The start and the best program on the examples to decide on."""
        return self.pool.compare(self.pool.start, self.best, self.split.decide)

    def _missing_calls(self) -> int:
        """About how many more calls would run the start and the best program on all examples to decide on."""
        spent = self.material.student.session.ledger.by_purpose
        calls = sum(spent[one].calls + spent[one].cached for one in (Purpose.FORWARD, Purpose.GATE) if one in spent)
        runs = sum(len(self._outcomes(entry.candidate)) for entry in self.pool) + self._ahead.waiting
        missing = 2 * len(self.split.decide) - sum(len(self.pool[one].outcomes) for one in (self.pool.start, self.best))
        return math.ceil(missing * calls / runs)

    def decided(self) -> Final | None:
        """Decide by what is known; None where nothing better than the start was found."""
        start = self.pool.start
        if not self._outcomes(start) or not len(self.lineage):
            return None
        estimate = self._estimate()
        self.best = self._ranked(estimate)[0]
        if self.best == start:
            return None
        edits, scores = self._edits(self.best), list(self._scores(start).values())
        (gain, deviation), worse = estimate.gain(edits), estimate.worse(edits)
        p_value = self._luck() if gain > 0 and worse <= OPEN else 1.0
        found = Found(gain, (gain - SURE * deviation, gain + SURE * deviation), worse, p_value)
        returned = gain > 0 and (p_value <= PROVEN or worse <= self.search.worse)
        known = {"planned": len(self.split.decide), "missing_calls": self._missing_calls(), "returned": returned}
        known |= {"candidate": self.pool[self.best].number}
        return told(found, self._range(), scores, self._compared(), self.search.worse, **known)

    def _luck(self) -> float:
        """How probable as sure a gain is if no edit has any effect."""
        scale, places, sureness = self._range(), {key: at for at, key in enumerate(self.ids)}, self._sureness()
        if sureness <= 0:
            return 1.0
        scores = [
            {places[key]: scale.share(score) for key, score in self._scores(entry.candidate).items()}
            for entry in self.pool
        ]
        numbers = {group: number for number, group in enumerate(dict.fromkeys(map(self._group, self.ids)))}
        design = Design(
            groups=tuple(numbers[self._group(key)] for key in self.ids),
            learn=frozenset(at for key, at in places.items() if key[0] == self._side),
            decide=frozenset(at for key, at in places.items() if key[0] == "decide"),
            first=self.search.first,
            block=self.search.block,
            steps=tuple(self._steps),
            # Where no budget ended it, a search goes on until nothing is open.
            executions=len(self.ids) * len(scores) if self._ended else sum(map(len, scores)),
            predictors=len(self.pool.start.instructions),
        )
        return luck(design, scores, sureness)
