"""Semantic gradient descent: evaluate, go back through wrong examples, rewrite, keep what the gate accepts."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from .backward.blame import mean_shares
from .backward.gradient import TextGradient
from .backward.pooled import pooled
from .concurrency import Interrupt, gather
from .errors import BudgetSpent, JournalFailed, ModelError, ModelUnavailable, SemanticBackpropError
from .forward.evaluate import Scored, mean, scored
from .lm import about, passage
from .lm.prices import quick
from .run.budget import Spent
from .run.events import Event, GradientsReady, Projected, RunDone, RunStarted, StepDone, publish
from .run.journal import Journal, digest_of
from .run.projection import budget_for, measured, project
from .run.result import Ending, Result, StepRecord
from .running import Run, Settings, check_runs
from .step.candidate import Candidate, clone, read, write
from .step.consider import Decision, Door, Verdict
from .step.lessons import Lesson, group_by_predictor
from .step.propose import Subject, render

logger = logging.getLogger("dspy_semantic_backprop")

GRACE = 1.0
"""How long a run that is over waits for the answers that are still under way, in seconds."""


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
        self.gate_set = trainset if valset is None else valset
        sizes = (len(student.predictors()), len(trainset), len(self.gate_set), settings.steps)
        self.projection = project(*sizes, separate=valset is not None)
        named = settings.budget is None and settings.auto is not None
        budget = budget_for(self.projection) if named else settings.budget
        super().__init__(settings, student, journal=journal, budget=budget)
        self.interrupt = interrupt
        self.asked: Counter[str] = Counter()
        self.records: list[StepRecord] = []
        self.start = self.incumbent = read(student)
        self.before = self.after = math.nan

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
                ending = await self.interrupt.guard(self._steps(), self.ledger.seconds_left)
        except BudgetSpent as stop:
            return Ending.BUDGET, str(stop)
        except JournalFailed as stop:
            return Ending.JOURNAL, str(stop)
        if ending is not None:
            return ending, ending.value
        if self.interrupt.reason:
            return Ending.INTERRUPTED, self.interrupt.reason
        return Ending.BUDGET, f"the budget of {self.ledger.budget.seconds:g} seconds is spent"

    def publish_last(self, event: Event) -> None:
        """Publish an event also where the log cannot be written any more."""
        with contextlib.suppress(JournalFailed):
            self.publish(event)

    def _best(self, error: BaseException) -> dspy.Module | None:
        return None if math.isnan(self.before) else self._finish(Ending.FAILED, str(error))

    async def _steps(self) -> Ending:
        evaluate = functools.partial(self.evaluate, "gate", self.gate_set, purpose="gate")
        door = Door(self.parameters, self.settings.method.gate, evaluate)
        started = RunStarted(
            tuple(self.start.instructions), len(self.trainset), len(self.gate_set), self.settings.steps
        )
        self.publish(started)
        self.publish(Projected(self.projection))
        logger.info("%s", self.projection)
        seconds = self.ledger.seconds
        outcomes = await self.evaluate("gate", self.gate_set, self.start)
        check_runs(outcomes)
        self._project_again(len(outcomes), self.ledger.seconds - seconds)
        self.before = self.after = mean(outcomes)
        learned_from = outcomes if self.gate_set is self.trainset else ()
        for step in range(self.settings.steps):
            learned_from = learned_from or await self.evaluate("train", self.trainset, self.incumbent)
            chosen = self.settings.method.choose_examples(scored(learned_from), self.rng)
            if not chosen:
                return Ending.PERFECT
            swept, sweeps = await self.sweep(await self.proved(chosen, self.incumbent))
            texts = await self._proposals(step, swept, sweeps, self.incumbent)
            decision = await door.consider(texts, self.incumbent, outcomes)
            if decision.verdict is Verdict.ACCEPTED:
                self.incumbent, outcomes, self.after = decision.candidate, decision.outcomes, mean(decision.outcomes)
                learned_from = outcomes if self.gate_set is self.trainset else ()
            self._record(step, swept, sweeps, decision)
        return Ending.STEPS

    def _project_again(self, executions: int, seconds: float) -> None:
        spent = self.ledger.by_purpose.get("forward", Spent())
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

    async def _proposals(
        self, step: int, swept: Sequence[Scored], sweeps: Sequence[Mapping[str, TextGradient]], incumbent: Candidate
    ) -> dict[str, str]:
        lessons = group_by_predictor(swept, sweeps)
        known = [name for name in incumbent.instructions if name in lessons]
        graphs = [outcome.graph for outcome in swept]
        blames = pooled(list(zip(graphs, sweeps, strict=True)))
        shares = mean_shares([one.by_predictor(graph) for one, graph in zip(blames, graphs, strict=True)])
        chosen = self.settings.method.choose_predictors(known, step, self.rng, shares) if known else []
        texts = await gather(lambda name: self._proposal(name, lessons[name], incumbent), chosen)
        return dict(zip(chosen, texts, strict=True))

    async def _proposal(self, name: str, lessons: Sequence[Lesson], incumbent: Candidate) -> str:
        free = self.parameters.free(name, incumbent.instructions[name])
        question = digest_of([name, free, render(lessons)])
        attempt = self.asked[question]
        self.asked[question] += 1
        try:
            lm, where = self.settings.gradient_lm, f"proposal {attempt} for {name}"
            with (
                passage("propose", self.ledger, lm=lm, where=where, turn=self.turn, tally=self.notes),
                about(name),
            ):
                return await self.settings.method.propose(Subject(name, free, lessons, attempt))
        except LMError as error:
            logger.warning("no proposal for predictor %s: %s", name, error)
            return ""

    def _record(
        self, step: int, chosen: Sequence[Scored], sweeps: Sequence[Mapping[str, TextGradient]], decision: Decision
    ) -> None:
        pairs = decision.pairs
        gradients = tuple(
            (outcome.example_id, {call: str(gradient) for call, gradient in sweep.items()})
            for outcome, sweep in zip(chosen, sweeps, strict=True)
        )
        self.publish(GradientsReady(step, gradients))
        proposed = {name: decision.candidate.instructions[name] for name in decision.changed}
        self.records.append(
            StepRecord(
                step=step,
                examples=tuple(outcome.example_id for outcome in chosen),
                verdict=decision.verdict.name.lower(),
                changed=decision.changed,
                proposed=proposed,
                refused=decision.refused or {},
                gradients=gradients,
                before=sum(old for old, _ in pairs) / len(pairs) if pairs else None,
                after=sum(new for _, new in pairs) / len(pairs) if pairs else None,
                compared=len(pairs),
                missing=len(decision.outcomes) - len(pairs) if decision.outcomes else 0,
            )
        )
        self.publish(StepDone(step, self.records[-1].to_dict()))

    def _finish(self, ending: Ending, reason: str) -> dspy.Module:
        program: Any = write(self.incumbent, clone(self.student))
        program._compiled = False
        program.detailed_results = Result(
            ending=ending,
            score_before=self.before,
            score_after=self.after,
            instructions_before=dict(self.start.instructions),
            instructions_after=dict(self.incumbent.instructions),
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
        )
        return program
