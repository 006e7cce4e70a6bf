"""What one run of gradient descent is made of, and what it has found so far."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy

from ._decide.comparison import classes_of
from ._decide.consider import Decision, Selection
from ._decide.final import BLOCK, LastDecision
from ._decide.gate import looks_of
from ._decide.health import of_scores, of_sizes
from ._decide.pool import Pool, evaluation
from ._decide.records import Final, StepRecord, step_record
from ._decide.split import Split
from ._errors import BudgetSpent
from ._evaluate.candidate import Candidate, read
from ._evaluate.outcome import Outcome, Scored, scored
from ._evaluate.regrade import regraded
from ._evaluate.score_range import score_range
from ._evaluate.student import Student, check_runs
from ._propose.choose import Standing
from ._propose.lessons import Learned
from ._propose.propose import Rewriter
from ._propose.protected import Parameters
from ._propose.screen import Screen
from ._session.budget import Purpose, Spent
from ._session.events import Projected, StepDone
from ._session.projection import Projection, measured
from ._session.session import Session, logger
from ._settings import Settings


@dataclass
class Run:
    """One run: its parts, and its state.

    Args:
        settings: The optimizer's.
        session: What surrounds it.
        student: The program.
        trainset: The examples to learn from.
        examples: The examples that are decided on; the trainset where there are no others.
        split: Which of them are for what.
        projection: What the run is expected to cost.
        pool: The candidates, on `examples`.
        train: The same on the trainset.
        selection: Decides on proposals.
        rewriter: Asks for them.
        last: Decides what is returned.
        accepted: The start and what the gate accepted; the last one is the incumbent.
        records: One for each step.
        final: The decision at the end, once it was made.
    """

    settings: Settings
    session: Session
    student: Student
    trainset: Sequence[dspy.Example]
    examples: Sequence[dspy.Example]
    split: Split
    projection: Projection
    pool: Pool
    train: Pool
    selection: Selection
    rewriter: Rewriter
    last: LastDecision
    accepted: list[Candidate]
    rng: random.Random
    records: list[StepRecord] = field(default_factory=list)
    final: Final | None = None
    _unread: list[int] = field(default_factory=list)
    _checked: int = 0

    @classmethod
    def of(
        cls,
        settings: Settings,
        session: Session,
        program: dspy.Module,
        sets: tuple[Sequence[dspy.Example], Sequence[dspy.Example] | None],
        plan: tuple[Split, Projection],
    ) -> Run:
        """Put a run together.

        Args:
            settings: The optimizer's.
            session: What surrounds it.
            program: The program; it is not changed.
            sets: The examples to learn from, and those to decide on; None for the same.
            plan: Which examples are for what, and what the run is expected to cost; see `Settings.plan`.
        """
        (trainset, valset), (split, projection), method = sets, plan, settings.method
        examples = trainset if valset is None else valset
        start, student = read(program), settings.student(program, session)
        on: dict[str, Any] = {"downstream": method.downstream}
        gate = evaluation(student, examples, what="gate", purpose=Purpose.GATE, planned=len(split.decide), **on)
        train = evaluation(student, trainset, what="train", purpose=Purpose.FORWARD, planned=len(split.learn), **on)
        pool = Pool(start, gate)
        screen = Screen.of(Parameters.of(program), method.restraint, [*trainset, *(valset or ())], start)
        return cls(
            settings=settings,
            session=session,
            student=student,
            trainset=trainset,
            examples=examples,
            split=split,
            projection=projection,
            pool=pool,
            train=Pool(start, train) if split.separate else pool,
            selection=Selection(screen, method.gate, pool, split.decide),
            rewriter=Rewriter(session, method.propose, screen),
            last=LastDecision(student, pool, split, examples, method.gate, method.commit, method.downstream),
            accepted=[start],
            rng=random.Random(settings.seed),
        )

    @property
    def start(self) -> Candidate:
        """The program as it was given."""
        return self.pool.start

    @property
    def incumbent(self) -> Candidate:
        """The best program so far."""
        return self.accepted[-1]

    def standing(self) -> list[Standing]:
        """The programs that a step may start from, the incumbent last."""
        known = [(one, scored(list(self.pool[one].outcomes.values()))) for one in self.accepted]
        return [Standing(one, {outcome.example_id: outcome.score for outcome in found}) for one, found in known]

    def accept(self, candidate: Candidate, parent: Candidate) -> None:
        """Take a candidate in that is better than its parent; it is the incumbent if it is better than that too."""
        old = self.incumbent
        better = parent == old or self.pool.compare(old, candidate, self.split.decide).gain > 0
        self.accepted.insert(len(self.accepted) - (not better), candidate)

    def take_unfinished(self) -> None:
        """Where the budget ended a race, its leader is judged by what is known of it."""
        leader = self.selection.unfinished()
        if leader is not None:
            self.accept(leader, self.pool[leader].parent)

    async def look_at_the_start(self) -> None:
        """Evaluate the start on the first examples that its gate looks at, and say what speaks against the run.

        Raises:
            ProgramError: If it raises on every example.
        """
        seconds = self.session.ledger.seconds
        decide, method = self.split.decide, self.settings.method
        outcomes = await self.pool.outcomes(self.start, decide[: looks_of(method.gate, len(decide))[0]])
        if all(outcome.raised is not None for outcome in scored(outcomes)):
            outcomes = await self.pool.outcomes(self.start, decide)
            check_runs(outcomes)
        self._measure(len(outcomes), self.session.ledger.seconds - seconds)
        for warning in (*self._health(outcomes), *await regraded(self.student, outcomes)):
            self.session.warn(warning)

    async def to_learn_from(self, parent: Candidate) -> list[Scored]:
        """Some outcomes of a program, as the method chooses them; no more examples are evaluated than that takes."""
        chosen = await self._chosen(parent)
        known = self.pool[self.start].outcomes
        if self._checked < len(self.split.decide) and all(number in known for number in self.split.decide):
            for warning in self._health([known[number] for number in self.split.decide]):
                self.session.warn(warning)
        return chosen

    async def _chosen(self, parent: Candidate) -> list[Scored]:
        choose, entry = self.settings.method.choose_examples, self.pool[parent]
        known = self.train.add(parent, entry.parent, entry.step, entry.origin).outcomes
        seen = [] if self.split.separate else [known[at] for at in self.split.learn if at in known]
        while True:
            left = [number for number in self.split.learn if number not in known]
            if not left:
                return choose(scored([known[number] for number in self.split.learn]), self.rng)
            chosen = choose(scored(seen), self.rng) if seen else []
            if len({outcome.example_id for outcome in chosen}) >= choose.wanted:
                return chosen
            # Each step meets other examples, until all have been met.
            self._unread = [number for number in self._unread if number in left] or self.rng.sample(left, len(left))
            block = self._unread[: BLOCK if math.isfinite(choose.wanted) else None]
            self._unread = self._unread[len(block) :]
            seen += await self.train.outcomes(parent, block)

    async def nothing_to_gain(self) -> bool:
        """Whether the incumbent is right wherever it is decided: then no proposal can be shown to be better."""

        def right(outcomes: Sequence[Outcome]) -> bool:
            scores = [outcome.score for outcome in scored(outcomes)]
            scale = score_range(scores, self.settings.method.choose_examples.perfect)
            return scale.known and all(score >= scale.best for score in scores)

        # The rest is only run where what is known leaves nothing to gain.
        if not right(list(self.pool[self.incumbent].outcomes.values())):
            return False
        return right(await self.pool.outcomes(self.incumbent, self.split.decide))

    def record(self, step: int, learned: Learned, decision: Decision) -> None:
        """Write down what became of a step."""
        classes = classes_of({number: self.examples[number] for number in self.split.decide})
        self.records.append(step_record(step, learned, decision, self.pool, classes))
        self.session.publish(StepDone(step, self.records[-1].to_dict()))

    def check_time(self) -> None:
        """End the loop where the seconds that are left are needed for the decision at the end.

        Raises:
            BudgetSpent: If they are.
        """
        left = self.session.ledger.seconds_left
        if left is not None and left < self.last.seconds:
            raise BudgetSpent(f"the budget of {self.session.ledger.budget.seconds:g} seconds is nearly spent")

    def warn_of_sizes(self) -> None:
        """Say what the sizes of the sets alone say against the run."""
        for warning in (*self.split.warnings, *self._health()):
            self.session.warn(warning)

    def _health(self, outcomes: Sequence[Outcome] | None = None) -> list[str]:
        """What speaks against the run that costs nothing to know: from its sizes, or from the start's outcomes."""
        method, decide, fresh = self.settings.method, len(self.split.decide), len(self.split.fresh)
        if not self.settings.most_steps:
            return []
        if outcomes is None:
            return of_sizes(method.gate, method.commit, decide, fresh)
        kinds = {} if self._checked else self.student.evaluator.kinds
        self._checked = len(outcomes)
        scores = [outcome.score for outcome in scored(outcomes)]
        return of_scores((method.gate, method.commit), scores, (decide, fresh), kinds)

    def _measure(self, executions: int, seconds: float) -> None:
        ledger = self.session.ledger
        spent = ledger.by_purpose.get(Purpose.FORWARD, Spent())
        self.projection = measured(self.projection, executions, spent, seconds)
        # What depends on the clock would not be told again alike by a run that is resumed.
        self.session.show(Projected(self.projection))
        logger.info("%s", self.projection)
        for name, needed in (("calls", self.projection.calls), ("tokens", self.projection.tokens)):
            bound = getattr(ledger.budget, name)
            if bound is not None and needed is not None and needed > bound:
                self.session.warn(
                    f"the budget of {bound:,} {name} may not last for {self.projection.steps} steps, "
                    f"which are projected to take {needed:,}"
                )
        self.last.reserve(executions, spent, seconds)
