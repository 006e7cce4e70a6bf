"""Diagnosing a program: its failures, who is to blame for them, and whether that stands the test.

The test is counterfactual: a blamed call's output is changed as its gradient asks, what lies downstream is
run again, and the metric decides. It says that the change would have helped, not that no other would have.
Calls whose outputs are the answer are not tested: to change an answer into the wanted one proves nothing.

Why a check is only begun where the cap leaves room for all of it: half a check costs and says nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import dspy
import numpy as np
from dspy.utils.exceptions import LMError

from .backward.amend import amend
from .backward.blame import Blame, blame, mean_shares
from .backward.gradient import TextGradient
from .concurrency import gather
from .errors import CapReached, MetricError
from .forward.evaluate import Failed, Scored, mean, scored
from .forward.graph import ComputationGraph
from .forward.probe import Pristine, unsafe
from .forward.rerun import PURPOSE, Rerun, rerun
from .forward.trace import OUTPUT, Call
from .lm import passage
from .run.budget import Ledger
from .run.diagnosis import Check, Diagnosis, Finding, PredictorBlame
from .running import Run, Settings, check_runs
from .step.candidate import clone, read, write
from .step.lessons import Lesson, group_by_predictor

logger = logging.getLogger("dspy_semantic_backprop")

RESAMPLES = 2000
"""How many times the failing examples are resampled for a confidence interval."""
MOST_FINDINGS = 3
"""How many findings are kept for a predictor."""


@dataclass(frozen=True)
class _Suspect:
    """A call that a check may be made of.

    Args:
        outcome: The failing example.
        call: The call.
        share: Its share of the blame for that example, 0 to 1.
        gradient: What it was told.
        fields: The output fields to change: those that other calls read.
        cost: How many language-model calls the check is expected to take.
    """

    outcome: Scored
    call: Call
    share: float
    gradient: TextGradient
    fields: tuple[str, ...]
    cost: int


class Diagnosing(Run):
    """One diagnosis.

    Args:
        settings: The optimizer's.
        program: The program; it is not changed.
        checks: How many counterfactual checks to make at most.
        max_calls: The most language-model calls that they may make together.
        perfect: An example below this score has failed, in metric points.
    """

    def __init__(
        self, settings: Settings, program: dspy.Module, *, checks: int, max_calls: int, perfect: float
    ) -> None:
        super().__init__(settings, program, Ledger({PURPOSE: max_calls}))
        self.checks = checks
        self.max_calls = max_calls
        self.perfect = perfect

    async def diagnose(self, devset: Sequence[dspy.Example]) -> Diagnosis:
        """Evaluate, go back through the failures, attribute them, and check a sample."""
        incumbent = read(self.student)
        outcomes = await self.evaluate("diagnose", devset, incumbent)
        check_runs(outcomes)
        failing = [outcome for outcome in scored(outcomes) if outcome.score < self.perfect]
        swept, sweeps = await self.sweep(await self.proved(failing, incumbent))
        blames = [blame(outcome.graph, gradients) for outcome, gradients in zip(swept, sweeps, strict=True)]
        final = _final([outcome.graph for outcome in (*scored(outcomes), *swept)])
        suspects = [
            suspect
            for outcome, gradients, one in zip(swept, sweeps, blames, strict=True)
            for suspect in _suspects(outcome, gradients, one, final)
        ]
        rows = [one.by_predictor(outcome.graph) for outcome, one in zip(swept, blames, strict=True)]
        planned = self._planned(suspects, mean_shares(rows))
        checks = await self._checked(planned, Pristine.of(write(incumbent, clone(self.student)))) if planned else ()
        predictors = await self._predictors(rows, group_by_predictor(swept, sweeps)) if rows else []
        return Diagnosis(
            examples=len(outcomes),
            failures=len(failing),
            missing=sum(isinstance(outcome, Failed) for outcome in outcomes),
            score=mean(outcomes),
            predictors=_verdicts(predictors, checks, final),
            traced=len(swept),
            unknown=float(np.mean([one.unknown for one in blames])) if blames else 0.0,
            checks=checks,
            max_calls=self.max_calls,
            spent=self.ledger.by_purpose,
            seconds=self.ledger.seconds,
            notes={name: times for name, times in self.notes.items() if times},
            warnings=tuple(self.warnings),
        )

    def _planned(self, left: list[_Suspect], shares: Mapping[str, float]) -> list[_Suspect]:
        """The calls to check: in proportion to the blame of their predictors, spread over examples, within the cap."""
        planned: list[_Suspect] = []
        room = self.max_calls
        while left and len(planned) < self.checks:
            by_predictor = [one.call.predictor for one in planned]
            by_example = [one.outcome.example_id for one in planned]

            def rank(one: _Suspect, names: list[str] = by_predictor, used: list[int] = by_example) -> tuple[float, ...]:
                turn = shares[one.call.predictor] / (1 + names.count(one.call.predictor))
                return turn, -used.count(one.outcome.example_id), one.share

            best = max(left, key=rank)
            left.remove(best)
            if best.cost <= room:
                room -= best.cost
                planned.append(best)
        if left and len(planned) < self.checks:
            self._warn(f"some checks would take more than the {self.max_calls} calls that they may make; see max_calls")
        return planned

    async def _checked(self, planned: Sequence[_Suspect], pristine: Pristine | str) -> tuple[Check, ...]:
        # Programs that change globals cannot be run again beside each other.
        alone = not isinstance(pristine, Pristine) or bool(pristine.surroundings)
        return tuple(await gather(lambda one: self._check(one, pristine), planned, 1 if alone else None))

    async def _check(self, suspect: _Suspect, pristine: Pristine | str) -> Check:
        outcome = suspect.outcome
        check = Check(outcome.example_id, suspect.call.id, suspect.call.predictor, outcome.score)
        problem = unsafe(outcome.trace, pristine, self.settings.probe)
        if problem is not None or not isinstance(pristine, Pristine):
            return replace(check, problem=f"the program is not run again: {problem}")
        try:
            values = await self._amended(suspect)
            if not values:
                return replace(check, problem="no other output came from the gradient")
            done = await rerun(
                pristine,
                outcome.trace,
                {(suspect.call.id, name): value for name, value in values.items()},
                ledger=self.ledger,
                limiter=self.limiter,
                allow_effects=self.settings.probe == "always",
            )
            check = replace(check, asked=len(done.live), problem=done.problem)
            return check if done.problem else replace(check, after=await self._score(outcome, done))
        except CapReached as stop:
            return replace(check, problem=str(stop))
        except (LMError, MetricError) as error:
            return replace(check, problem=str(error))

    async def _amended(self, suspect: _Suspect) -> dict[str, Any]:
        with passage(PURPOSE, self.ledger, lm=self.settings.gradient_lm, turn=self.turn, tally=self.notes):
            return await amend(suspect.call, suspect.gradient, suspect.fields)

    async def _score(self, outcome: Scored, done: Rerun) -> float:
        if done.error is not None:
            return self.settings.failure_score
        grade = await self.evaluator.grade(outcome.example_id, outcome.example, done.returned, purpose=PURPOSE)
        return grade.score

    async def _predictors(
        self, rows: Sequence[Mapping[str, float]], lessons: Mapping[str, Sequence[Lesson]]
    ) -> list[PredictorBlame]:
        """Every predictor's share, how sure it is, and what was said; the largest share first."""
        names = dict.fromkeys([name for name, _ in self.student.named_predictors()])
        names |= dict.fromkeys(name for row in rows for name in row)
        table = np.array([[row.get(name, 0.0) for name in names] for row in rows])
        leads = (table >= table.max(axis=1, keepdims=True) - 1e-9) & (table > 0)
        predictors = [
            PredictorBlame(
                predictor=name,
                share=float(table[:, at].mean()),
                interval=interval(table[:, at], self.settings.seed),
                failures=int(leads[:, at].sum()),
                findings=await self._findings(lessons.get(name, ())) if table[:, at].any() else (),
            )
            for at, name in enumerate(names)
        ]
        return sorted(predictors, key=lambda one: -one.share)

    async def _findings(self, lessons: Sequence[Lesson]) -> tuple[Finding, ...]:
        said: dict[str, dict[int, None]] = {}
        for lesson in lessons:
            for message in lesson.gradient.wishes:
                said.setdefault(message.value.change, {})[lesson.example_id] = None
        ranked = sorted(said.items(), key=lambda item: -len(item[1]))
        return tuple(Finding(text, tuple(ids)) for text, ids in ranked[:MOST_FINDINGS])


def _verdicts(
    predictors: Sequence[PredictorBlame], checks: Sequence[Check], final: Set[str]
) -> tuple[PredictorBlame, ...]:
    """The predictors with the outcome of their checks."""
    return tuple(
        replace(
            one,
            checked=sum(check.predictor == one.predictor and check.after is not None for check in checks),
            confirmed=sum(check.predictor == one.predictor and check.confirmed for check in checks),
            final=one.predictor in final,
        )
        for one in predictors
    )


def _suspects(
    outcome: Scored, gradients: Mapping[str, TextGradient], shares: Blame, final: Set[str]
) -> Iterator[_Suspect]:
    """The calls of one failing example that carry blame and can be checked."""
    graph = outcome.graph
    for call in graph:
        share, gradient = shares.shares[call.id], gradients[call.id]
        if not share or not gradient or call.predictor in final:
            continue
        fields = _read_fields(graph, call)
        # What a failed call stood in the way of is not in the record.
        behind = len(outcome.trace.predictors) if call.error is not None else len(graph.descendants(call.id))
        if fields and behind:
            yield _Suspect(outcome, call, share, gradient, fields, 1 + behind)


def _read_fields(graph: ComputationGraph, call: Call) -> tuple[str, ...]:
    """The output fields that other calls read; of a failed call, all."""
    if call.error is not None:
        return tuple(field.name for field in call.output_fields)
    read = {edge.source.field for edge in graph.edges if edge.source.call == call.id and edge.target.call != OUTPUT}
    return tuple(name for name in call.outputs if name in read)


def _final(graphs: Sequence[ComputationGraph]) -> frozenset[str]:
    """The predictors whose outputs no other call ever read."""
    called = {call.predictor for graph in graphs for call in graph}
    return frozenset(called - {call.predictor for graph in graphs for call in graph if graph.descendants(call.id)})


def interval(shares: Sequence[float] | np.ndarray, seed: int) -> tuple[float, float]:
    """A 95 % confidence interval for a mean share of the blame.

    Args:
        shares: The shares, 0 to 1, in each failing example; at least one.
        seed: Of the resampling.

    Returns:
        The percentiles of the mean under resampling of the examples. Where all examples have the same share,
        resampling cannot tell how sure it is, and Wilson's interval for a proportion is given.
    """
    values = np.asarray(shares, dtype=float)
    if np.ptp(values) > 1e-9:
        picks = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
        low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
        return float(low), float(high)
    share, count, z = float(values.mean()), len(values), 1.959964
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * float(np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)))
    return max(0.0, middle - half), min(1.0, middle + half)
