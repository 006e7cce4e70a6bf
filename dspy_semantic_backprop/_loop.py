"""Semantic gradient descent: evaluate, go back through wrong examples, rewrite, keep what the gate accepts.

Then, once, the decision whether what was found may be returned (`step.commit`).
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Sequence
from typing import Any

import dspy

from ._concurrency import Interrupt
from ._decide.comparison import classes_of
from ._decide.consider import Decision, Door, Fate
from ._decide.final import Committing, planned
from ._decide.gate import looks_of
from ._decide.pool import Pool
from ._errors import BudgetSpent, JournalFailed, ModelError, ModelUnavailable, SemanticBackpropError
from ._evaluate.outcome import Outcome, Scored, mean, scored
from ._evaluate.reuse import Reuse
from ._evaluate.score_range import score_range
from ._propose.candidate import Candidate, changed, clone, read, write
from ._propose.choose import Standing
from ._propose.screen import Screen
from ._propose.step import Learned, Proposing
from ._reports.preflight.doubts import of_scores, of_sizes
from ._reports.preflight.regrade import regraded
from ._reports.records import candidate_records, step_record
from ._reports.result import Ending, Final, Result, StepRecord
from ._session.budget import Purpose, Spent
from ._session.events import Event, GradientsReady, Projected, RunDone, RunStarted, StepDone, publish
from ._session.journal import Journal
from ._session.lm.prices import quick
from ._session.projection import budget_for, measured
from ._session.run import Run, Settings, check_runs

logger = logging.getLogger("dspy_semantic_backprop")

GRACE = 1.0
"""How long a run that is over waits for the answers that are still under way, in seconds."""
BLOCK = 8
"""How many training examples are evaluated at once in the search for wrong ones."""


class Descent(Run):
    """One compile.

    Args:
        settings: The optimizer's.
        student: The program; it is not changed.
        trainset: The examples to learn from.
        valset: The examples that proposals are decided on; None for the trainset.
        journal: The run's log.
        interrupt: Ends the run early.
    """

    def __init__(
        self,
        settings: Settings,
        student: dspy.Module,
        trainset: Sequence[dspy.Example],
        valset: Sequence[dspy.Example] | None,
        journal: Journal,
        interrupt: Interrupt,
    ) -> None:
        self.trainset = trainset
        self.examples = trainset if valset is None else valset
        self.split, self.projection = planned(settings, student, trainset, valset)
        named = settings.budget is None and settings.auto is not None
        budget = budget_for(self.projection) if named else settings.budget
        super().__init__(settings, student, journal=journal, budget=budget)
        self.interrupt = interrupt
        self.start = self.incumbent = read(student)
        self.pool = Pool(self.start, self._evaluate)
        self.train = Pool(self.start, self._evaluate_train) if self.split.separate else self.pool
        self.accepted = [self.start]
        examples = [*trainset, *(valset or ())]
        self.screen = Screen.of(self.parameters, settings.method.restraint, examples, self.start)
        self.door = Door(self.screen, settings.method.gate, self.pool, self.split.decide)
        self.proposing = Proposing(self, self.screen)
        self.classes = classes_of({number: self.examples[number] for number in self.split.decide})
        self.records: list[StepRecord] = []
        self.unread: list[int] = []
        self.doubted = 0
        self.committing = Committing(self, self.pool, self.split, self.examples)
        self.final: Final | None = None

    async def descend(self) -> dspy.Module:
        """Make the steps; the best program found, with its `Result`.

        Returns:
            The best program so far, also where the budget is spent, the run was interrupted, or its log cannot
            be written any more.

        Raises:
            SemanticBackpropError: As `SemanticGradientDescent.acompile` says; its `best` is the best program so far.
            ModelUnavailable: If a language model never will answer.
        """
        try:
            ending, reason = await self._until_stopped()
        except ModelUnavailable as stop:
            error = ModelError(f"{type(stop.error).__name__}: {stop.error}")
            error.best = self._best(error)
            raise error from stop.error
        except SemanticBackpropError as error:
            error.best = self._best(error)
            raise
        finally:
            self.ledger.close()
            await self.ledger.settled(GRACE)
        if ending is not Ending.STEPS and ending is not Ending.PERFECT:
            logger.warning("%s; the best program so far is returned", reason)
        self.publish_last(RunDone(ending.name.lower(), reason))
        return self._finish(ending, reason)

    async def _until_stopped(self) -> tuple[Ending, str]:
        try:
            with quick():
                ending = await self.interrupt.guard(self._run(), self.ledger.seconds_left)
        except BudgetSpent as stop:
            return Ending.BUDGET, str(stop)
        except JournalFailed as stop:
            return Ending.JOURNAL, str(stop)
        if ending is not None:
            return ending
        if self.interrupt.reason:
            return Ending.INTERRUPTED, self.interrupt.reason
        return Ending.BUDGET, f"the budget of {self.ledger.budget.seconds:g} seconds is spent"

    def publish_last(self, event: Event) -> None:
        """Publish an event also where the log cannot be written any more."""
        with contextlib.suppress(JournalFailed):
            self.publish(event)

    def _best(self, error: BaseException) -> dspy.Module | None:
        return self._finish(Ending.FAILED, str(error)) if self.pool[self.start].outcomes else None

    async def _run(self) -> tuple[Ending, str]:
        started = RunStarted(
            tuple(self.start.instructions), len(self.trainset), len(self.split.decide), self.settings.steps
        )
        self.publish(started)
        self.publish(Projected(self.projection))
        logger.info("%s", self.projection)
        for warning in (*self.split.warnings, *self._doubts()):
            self.warn(warning)
        try:
            ending = await self._steps()
            reason = ending.value
        except BudgetSpent as stop:
            ending, reason = Ending.BUDGET, str(stop)
            self._take_unfinished()
        self.final = await self.committing.decide(self.incumbent)
        return ending, reason

    async def _steps(self) -> Ending:
        seconds = self.ledger.seconds
        outcomes = await self._first_outcomes()
        self._measure(len(outcomes), self.ledger.seconds - seconds)
        method = self.settings.method
        for warning in (*self._doubts(outcomes), *await regraded(self, outcomes)):
            self.warn(warning)
        for step in range(self.settings.steps):
            left = self.ledger.seconds_left
            if left is not None and left < self.committing.seconds:
                raise BudgetSpent(f"the budget of {self.ledger.budget.seconds:g} seconds is nearly spent")
            parent = method.choose_parent([self._standing(one) for one in self.accepted], self.rng)
            chosen = await self._to_learn_from(parent)
            self._doubt_the_whole()
            if not chosen:
                return Ending.PERFECT
            learned = await self.proposing.learn(chosen, parent)
            self.publish(GradientsReady(step, learned.gradients))
            proposals = await self.proposing.propose(learned, step, method.proposals)
            decision = await self.door.consider(step, proposals, parent)
            if decision.fate is Fate.ACCEPTED:
                self._accept(decision.candidate, parent)
            self._record(step, learned, decision)
            if decision.fate is Fate.ACCEPTED and await self._nothing_to_gain():
                return Ending.PERFECT
        return Ending.STEPS

    def _doubt_the_whole(self) -> None:
        """Say what speaks against the run once the start was run on all that is decided on."""
        known = self.pool[self.start].outcomes
        if self.doubted < len(self.split.decide) and all(number in known for number in self.split.decide):
            for warning in self._doubts([known[number] for number in self.split.decide]):
                self.warn(warning)

    def _doubts(self, outcomes: Sequence[Outcome] | None = None) -> list[str]:
        """What speaks against the run that costs nothing to know: from its sizes, or from the start's outcomes."""
        method, decide, fresh = self.settings.method, len(self.split.decide), len(self.split.fresh)
        if not self.settings.steps:
            return []
        if outcomes is None:
            return of_sizes(method.gate, method.commit, decide, fresh)
        kinds = {} if self.doubted else self.evaluator.kinds
        self.doubted = len(outcomes)
        scores = [outcome.score for outcome in scored(outcomes)]
        return of_scores((method.gate, method.commit), scores, (decide, fresh), kinds)

    def _accept(self, candidate: Candidate, parent: Candidate) -> None:
        better = parent == self.incumbent or self.pool.compare(self.incumbent, candidate, self.split.decide).gain > 0
        self.accepted.insert(len(self.accepted) - (not better), candidate)
        self.incumbent = self.accepted[-1]

    async def _first_outcomes(self) -> list[Outcome]:
        """The start on the first examples that its gate looks at; the others are run when they are needed."""
        decide = self.split.decide
        outcomes = await self.pool.outcomes(self.start, decide[: looks_of(self.settings.method.gate, len(decide))[0]])
        if all(outcome.raised is not None for outcome in scored(outcomes)):
            outcomes = await self.pool.outcomes(self.start, decide)
            check_runs(outcomes)
        return outcomes

    def _take_unfinished(self) -> None:
        """Where the budget ended a race, its leader is judged by what is known of it."""
        leader = self.door.unfinished()
        if leader is not None:
            self._accept(leader, self.pool[leader].parent)

    async def _nothing_to_gain(self) -> bool:
        """Whether the incumbent is right wherever it is decided: then no proposal can be shown to be better."""
        perfect = getattr(self.settings.method.choose_examples, "perfect", None)

        def right(outcomes: Sequence[Outcome]) -> bool:
            scores = [outcome.score for outcome in scored(outcomes)]
            scale = score_range(scores, perfect)
            return scale.known and all(score >= scale.best for score in scores)

        # The rest is only run where what is known leaves nothing to gain.
        if not right(list(self.pool[self.incumbent].outcomes.values())):
            return False
        return right(await self.pool.outcomes(self.incumbent, self.split.decide))

    def _standing(self, candidate: Candidate) -> Standing:
        outcomes = scored(list(self.pool[candidate].outcomes.values()))
        return Standing(candidate, {outcome.example_id: outcome.score for outcome in outcomes})

    async def _to_learn_from(self, parent: Candidate) -> list[Scored]:
        """Some outcomes of a program, as the method chooses them; no more examples are evaluated than that takes."""
        choose = self.settings.method.choose_examples
        wanted: float = getattr(choose, "wanted", math.inf)
        entry = self.pool[parent]
        known = self.train.add(parent, entry.parent, entry.step, entry.origin).outcomes
        seen = [] if self.split.separate else [known[at] for at in self.split.learn if at in known]
        while True:
            left = [number for number in self.split.learn if number not in known]
            if not left:
                return choose(scored([known[number] for number in self.split.learn]), self.rng)
            chosen = choose(scored(seen), self.rng) if seen else []
            if len({outcome.example_id for outcome in chosen}) >= wanted:
                return chosen
            # Each step meets other examples, until all have been met.
            self.unread = [number for number in self.unread if number in left] or self.rng.sample(left, len(left))
            block = self.unread[: BLOCK if math.isfinite(wanted) else None]
            self.unread = self.unread[len(block) :]
            seen += await self.train.outcomes(parent, block)

    async def _evaluate(self, candidate: Candidate, parent: Candidate, ids: Sequence[int]) -> Sequence[Outcome]:
        return await self._evaluated("gate", self.pool, candidate, parent, ids)

    async def _evaluate_train(self, candidate: Candidate, parent: Candidate, ids: Sequence[int]) -> Sequence[Outcome]:
        return await self._evaluated("train", self.train, candidate, parent, ids)

    async def _evaluated(
        self, what: str, pool: Pool, candidate: Candidate, parent: Candidate, ids: Sequence[int]
    ) -> Sequence[Outcome]:
        examples = self.trainset if what == "train" else self.examples
        purpose = Purpose.FORWARD if what == "train" or candidate == self.start else Purpose.GATE
        before = scored([pool[parent].outcomes[at] for at in ids if at in pool[parent].outcomes])
        edited = frozenset(changed(parent, candidate))
        reuse = Reuse({outcome.example_id: outcome for outcome in before}, edited)
        return await self.evaluate(
            what,
            [examples[at] for at in ids],
            candidate,
            ids=ids,
            purpose=purpose,
            known=list(pool[candidate].outcomes.values()),
            planned=len(self.split.learn if what == "train" else self.split.decide),
            reuse=reuse if self.settings.method.downstream else None,
        )

    def _measure(self, executions: int, seconds: float) -> None:
        spent = self.ledger.by_purpose.get(Purpose.FORWARD, Spent())
        self.projection = measured(self.projection, executions, spent, seconds)
        # What depends on the clock would not be told again alike by a run that is resumed.
        publish(self.subscribers, Projected(self.projection))
        logger.info("%s", self.projection)
        most = self.ledger.budget
        for name, needed in (("calls", self.projection.calls), ("tokens", self.projection.tokens)):
            bound = getattr(most, name)
            if bound is not None and needed is not None and needed > bound:
                self.warn(
                    f"the budget of {bound:,} {name} may not last for {self.projection.steps} steps, "
                    f"which are projected to take {needed:,}"
                )
        self.committing.reserve(executions, spent, seconds)

    def _record(self, step: int, learned: Learned, decision: Decision) -> None:
        self.records.append(step_record(step, learned, decision, self.pool, self.classes))
        self.publish(StepDone(step, self.records[-1].to_dict()))

    def _score(self, candidate: Candidate) -> float:
        return mean(list(self.pool[candidate].outcomes.values()))

    def _finish(self, ending: Ending, reason: str) -> dspy.Module:
        # Where the end came before the decision at the end, it is made by what is known.
        final = self.final if self.final is not None else self.committing.decided(self.incumbent)
        best = self.incumbent if final is None or final.returned else self.start
        program: Any = write(best, clone(self.student))
        program._compiled = False
        program.detailed_results = Result(
            ending=ending,
            score_before=self._score(self.start),
            score_after=self._score(best),
            instructions_before=dict(self.start.instructions),
            instructions_after=dict(best.instructions),
            steps=tuple(self.records),
            spent=self.ledger.by_purpose,
            seconds=self.ledger.seconds,
            seed=self.settings.seed,
            method=self.settings.method.name,
            notes={name: times for name, times in self.notes.items() if times},
            reason=reason,
            by_predictor=self.ledger.by_predictor,
            metric_calls=self.ledger.metric_calls,
            log_dir=None if self.journal.folder is None else str(self.journal.folder),
            final=final,
            candidates=candidate_records(self.pool),
            warnings=tuple(self.warnings),
        )
        return program
