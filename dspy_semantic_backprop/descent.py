"""Semantic gradient descent: evaluate, go back through wrong examples, rewrite, keep what the gate accepts."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from .backward.blame import mean_shares
from .backward.gradient import TextGradient
from .backward.pooled import pooled
from .forward.evaluate import Scored, mean, scored
from .lm import passage
from .run.events import GradientsReady, RunStarted, StepDone
from .run.result import Ending, Result, StepRecord
from .running import Run, Settings, check_runs
from .step.candidate import Candidate, clone, read, write
from .step.consider import Decision, Door, Verdict
from .step.lessons import Lesson, group_by_predictor
from .step.propose import Subject, render

logger = logging.getLogger("dspy_semantic_backprop")


class Descent(Run):
    """One compile.

    Args:
        settings: The optimizer's.
        student: The program; it is not changed.
        trainset: The examples to learn from.
        valset: The examples that proposals are decided on; None for the trainset.
    """

    def __init__(
        self,
        settings: Settings,
        student: dspy.Module,
        trainset: Sequence[dspy.Example],
        valset: Sequence[dspy.Example] | None,
    ) -> None:
        super().__init__(settings, student)
        self.trainset = trainset
        self.gate_set = trainset if valset is None else valset
        self.asked: Counter[tuple[str, str, str]] = Counter()
        self.records: list[StepRecord] = []

    async def descend(self) -> dspy.Module:
        """Make the steps; the best program found, with its `Result`."""
        start = incumbent = read(self.student)
        door = Door(self.parameters, self.settings.method.gate, functools.partial(self.evaluate, "gate", self.gate_set))
        self.publish(RunStarted(tuple(start.instructions), len(self.trainset), len(self.gate_set), self.settings.steps))
        outcomes = first = await self.evaluate("gate", self.gate_set, start)
        check_runs(first)
        learned_from = outcomes if self.gate_set is self.trainset else ()
        ending = Ending.STEPS
        for step in range(self.settings.steps):
            learned_from = learned_from or await self.evaluate("train", self.trainset, incumbent)
            chosen = self.settings.method.choose_examples(scored(learned_from), self.rng)
            if not chosen:
                ending = Ending.PERFECT
                break
            swept, sweeps = await self.sweep(await self.proved(chosen, incumbent))
            texts = await self._proposals(step, swept, sweeps, incumbent)
            decision = await door.consider(texts, incumbent, outcomes)
            self._record(step, swept, sweeps, decision)
            if decision.verdict is Verdict.ACCEPTED:
                incumbent, outcomes = decision.candidate, decision.outcomes
                learned_from = outcomes if self.gate_set is self.trainset else ()
        return self._finish(start, incumbent, mean(first), mean(outcomes), ending)

    async def _proposals(
        self, step: int, swept: Sequence[Scored], sweeps: Sequence[Mapping[str, TextGradient]], incumbent: Candidate
    ) -> dict[str, str]:
        lessons = group_by_predictor(swept, sweeps)
        known = [name for name in incumbent.instructions if name in lessons]
        graphs = [outcome.graph for outcome in swept]
        blames = pooled(list(zip(graphs, sweeps, strict=True)))
        shares = mean_shares([one.by_predictor(graph) for one, graph in zip(blames, graphs, strict=True)])
        chosen = self.settings.method.choose_predictors(known, step, self.rng, shares) if known else []
        texts = await asyncio.gather(*(self._proposal(name, lessons[name], incumbent) for name in chosen))
        return dict(zip(chosen, texts, strict=True))

    async def _proposal(self, name: str, lessons: Sequence[Lesson], incumbent: Candidate) -> str:
        free = self.parameters.free(name, incumbent.instructions[name])
        question = (name, free, render(lessons))
        attempt = self.asked[question]
        self.asked[question] += 1
        try:
            with passage("propose", self.ledger, lm=self.settings.gradient_lm, turn=self.turn, tally=self.notes):
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

    def _finish(self, start: Candidate, best: Candidate, before: float, after: float, ending: Ending) -> dspy.Module:
        program: Any = write(best, clone(self.student))
        program._compiled = False
        program.detailed_results = Result(
            ending=ending,
            score_before=before,
            score_after=after,
            instructions_before=dict(start.instructions),
            instructions_after=dict(best.instructions),
            steps=tuple(self.records),
            spent=self.ledger.by_purpose,
            seconds=self.ledger.seconds,
            seed=self.settings.seed,
            method=self.settings.method.name,
            notes={name: times for name, times in self.notes.items() if times},
        )
        return program
