"""Diagnosing a program: its failures, who is to blame for them, what was said of whom, and how sure that is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import dspy
import numpy as np
from dspy.utils.exceptions import LMError

from ..._backward.blame import mean_shares
from ..._backward.pool_blame import pool_blame
from ..._backward.reduce import Remark, Statement, reduce
from ..._evaluate.outcome import Failed, mean, scored
from ..._graph.evidence.replay.probe import Pristine
from ..._graph.trace import OUTPUT
from ..._propose.candidate import clone, read, write
from ..._propose.lessons import Lesson, group_by_predictor
from ..._session.budget import Purpose
from ..._session.lm import for_purpose
from ..._session.run import Run, Settings, check_runs
from .checks import Checker, final_predictors, suspects
from .record import Check, Diagnosis, Finding, PredictorBlame

logger = logging.getLogger("dspy_semantic_backprop")

RESAMPLES = 2000
"""How many times the failing examples are resampled for a confidence interval."""
MOST_FINDINGS = 3
"""How many findings are kept for a predictor."""


class Diagnosing(Run):
    """One diagnosis.

    Args:
        settings: The optimizer's.
        program: The program; it is not changed.
        checks: How many blamed calls to check at most.
        max_calls: The most language-model calls that all checks may make together.
        perfect: An example below this score has failed, in metric points.
    """

    def __init__(
        self, settings: Settings, program: dspy.Module, *, checks: int, max_calls: int, perfect: float
    ) -> None:
        super().__init__(settings, program, {Purpose.CHECK: max_calls})
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
        blames = pool_blame([(outcome.graph, gradients) for outcome, gradients in zip(swept, sweeps, strict=True)])
        rows = [one.by_predictor(outcome.graph) for outcome, one in zip(swept, blames, strict=True)]
        final = final_predictors([outcome.graph for outcome in (*scored(outcomes), *swept)])
        found = zip(swept, sweeps, blames, strict=True)
        everyone = [suspect for one in found for suspect in suspects(*one, final)] if self.checks else []
        checks: tuple[Check, ...] = ()
        if everyone:
            pristine = Pristine.of(write(incumbent, clone(self.student)))
            checker = Checker(self, pristine, most=self.checks, max_calls=self.max_calls)
            checks = await checker(everyone, mean_shares(rows))
        predictors = await self._predictors(rows, group_by_predictor(swept, sweeps)) if rows else []
        return Diagnosis(
            examples=len(outcomes),
            failures=len(failing),
            missing=sum(isinstance(outcome, Failed) for outcome in outcomes),
            score=mean(outcomes),
            predictors=_checked(predictors, checks, final),
            traced=len(swept),
            unknown=float(np.mean([one.unknown for one in blames])) if blames else 0.0,
            checks=checks,
            max_calls=self.max_calls,
            spent=self.ledger.by_purpose,
            seconds=self.ledger.seconds,
            notes={name: times for name, times in self.notes.items() if times},
            warnings=tuple(self.warnings),
        )

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
                findings=await self._findings(name, lessons.get(name, ())) if table[:, at].any() else (),
            )
            for at, name in enumerate(names)
        ]
        return sorted(predictors, key=lambda one: -one.share)

    async def _findings(self, predictor: str, lessons: Sequence[Lesson]) -> tuple[Finding, ...]:
        said = _remarks(lessons)
        settings = self.settings
        try:
            with for_purpose(
                Purpose.REDUCE,
                self.ledger,
                lm=settings.gradient_lm,
                turn=self.turn,
                tally=self.notes,
                cache=settings.gradient_cache,
            ):
                statements = await reduce(said, predictor)
        except LMError as error:
            logger.warning("what was said of %s is not summarised: %s", predictor, error)
            statements = tuple(Statement(one.text, (one.example_id,)) for one in said)
        return tuple(
            Finding(one.text, one.example_ids, disputed=bool(one.contradicts)) for one in statements[:MOST_FINDINGS]
        )


def _remarks(lessons: Sequence[Lesson]) -> list[Remark]:
    """What was said of a predictor by its readers and by its own question; else the feedback on the answer."""
    told: list[Remark] = []
    feedback: list[Remark] = []
    for lesson in lessons:
        for message in lesson.gradient.change_requests:
            kind = feedback if message.sender == OUTPUT else told
            kind.append(Remark(message.value.change, lesson.example_id))
        own = lesson.gradient.own
        if own is not None and own.status == "change":
            told.append(Remark(own.change, lesson.example_id))
    return list(dict.fromkeys(told or feedback))


def _checked(
    predictors: Sequence[PredictorBlame], checks: Sequence[Check], final: Set[str]
) -> tuple[PredictorBlame, ...]:
    """The predictors with the outcome of their own checks."""
    alone = [(check.predictors[0], check) for check in checks if len(check.calls) == 1]
    return tuple(
        replace(
            one,
            checked=sum(name == one.predictor and check.after is not None for name, check in alone),
            confirmed=sum(name == one.predictor and check.confirmed for name, check in alone),
            final=one.predictor in final,
        )
        for one in predictors
    )


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
