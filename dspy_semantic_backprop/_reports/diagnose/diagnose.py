"""Diagnosing a program: its failures, who is to blame for them, what was said of whom, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import dspy
from dspy.utils.exceptions import LMError

from ..._backward.blame import mean_shares, pool_blame
from ..._backward.reduce import Remark, Statement, reduce
from ..._backward.sweep import sweep
from ..._checks import check_number
from ..._errors import told_to_callers
from ..._evaluate.candidate import read
from ..._evaluate.outcome import Failed, mean, scored
from ..._evaluate.student import check_runs
from ..._graph.evidence.replay.isolation.replica import Pristine
from ..._graph.trace import OUTPUT
from ..._propose.lessons import Lesson, group_by_predictor
from ..._session.budget import Purpose
from ..._session.session import Session, logger
from ..._settings import Optimizer, Settings
from .blame_checks import Checker, final_predictors, suspects
from .record import Check, Diagnosis, Finding, PredictorBlame

RESAMPLES = 2000
"""How many times the failing examples are resampled for a confidence interval."""
MOST_FINDINGS = 3
"""How many findings are kept for a predictor."""


async def adiagnose(
    optimizer: Optimizer,
    program: dspy.Module,
    devset: list[dspy.Example],
    *,
    checks: int = 8,
    max_calls: int | None = None,
    perfect: float = 1.0,
) -> Diagnosis:
    """Evaluate a program, go back through its failures, and say which predictors are to blame.

    The blame is checked on a sample: a blamed call's output is changed as its gradient asks, only what
    lies downstream is run again, and the metric says whether that would have helped.

    Args:
        optimizer: Whose settings are used.
        program: The program; it is not changed.
        devset: Examples with inputs and labels.
        checks: How many checks to make at most; 0 makes none.
        max_calls: The most language-model calls that all checks may make together; None: four for each.
        perfect: An example below this score has failed, in metric points.

    Returns:
        A record that prints within one screen.

    Raises:
        SetupError: If the arguments cannot work; nothing was spent.
        OutOfBudget: If the budget does not last.
        SemanticBackpropError: As `acompile` says.
    """
    settings = optimizer.settings
    settings.check(program, devset=devset)
    check_number("checks", checks, 0)
    most = 4 * checks if max_calls is None else max_calls
    check_number("max_calls", most, 0)
    check_number("perfect", perfect, -math.inf, whole=False)
    with told_to_callers():
        return await _diagnosed(settings, program, devset, (checks, most), perfect)


async def _diagnosed(
    settings: Settings, program: dspy.Module, devset: Sequence[dspy.Example], caps: tuple[int, int], perfect: float
) -> Diagnosis:
    """The diagnosis; `caps`: how many checks at most, and how many calls of language models for them."""
    checks, max_calls = caps
    session, start = settings.session(caps={Purpose.CHECK: max_calls}), read(program)
    student = settings.student(program, session)
    outcomes = await student.evaluate("diagnose", devset, start)
    check_runs(outcomes)
    failing = [outcome for outcome in scored(outcomes) if outcome.score < perfect]
    proved = await student.prove(failing, start)
    swept, sweeps = await sweep(session, proved, settings.method, seed=settings.seed, where="diagnose")
    blames = pool_blame([(outcome.graph, gradients) for outcome, gradients in zip(swept, sweeps, strict=True)])
    rows = [one.by_predictor(outcome.graph) for outcome, one in zip(swept, blames, strict=True)]
    final = final_predictors([outcome.graph for outcome in (*scored(outcomes), *swept)])
    found = zip(swept, sweeps, blames, strict=True)
    everyone = [suspect for one in found for suspect in suspects(*one, final)] if checks else []
    made: tuple[Check, ...] = ()
    if everyone:
        pristine = Pristine.of(student.copy_with(start))
        made = await Checker(student, pristine, most=checks, max_calls=max_calls)(everyone, mean_shares(rows))
    names = [name for name, _ in program.named_predictors()]
    lessons = group_by_predictor(swept, sweeps)
    predictors = await _predictors(session, names, rows, lessons, settings.seed) if rows else []
    return Diagnosis(
        examples=len(outcomes),
        failures=len(failing),
        missing=sum(isinstance(outcome, Failed) for outcome in outcomes),
        score=mean(outcomes),
        predictors=_checked(predictors, made, final),
        traced=len(swept),
        unknown=math.fsum(one.unknown for one in blames) / len(blames) if blames else 0.0,
        checks=made,
        max_calls=max_calls,
        spent=session.ledger.by_purpose,
        seconds=session.ledger.seconds,
        notes=dict(+session.notes),
        warnings=tuple(session.warnings),
    )


async def _predictors(
    session: Session,
    known: Sequence[str],
    rows: Sequence[Mapping[str, float]],
    lessons: Mapping[str, Sequence[Lesson]],
    seed: int,
) -> list[PredictorBlame]:
    """Every predictor's share, how sure it is, and what was said; the largest share first."""
    names = dict.fromkeys([*known, *(name for row in rows for name in row)])
    most = [max(row.values(), default=0.0) for row in rows]
    predictors = []
    for name in names:
        shares = [row.get(name, 0.0) for row in rows]
        leads = sum(share > 0 and share >= top - 1e-9 for share, top in zip(shares, most, strict=True))
        findings = await _findings(session, name, lessons.get(name, ())) if any(shares) else ()
        share = math.fsum(shares) / len(shares)
        predictors.append(PredictorBlame(name, share, interval(shares, seed), leads, findings))
    return sorted(predictors, key=lambda one: -one.share)


async def _findings(session: Session, predictor: str, lessons: Sequence[Lesson]) -> tuple[Finding, ...]:
    said = _remarks(lessons)
    try:
        with session.asking(Purpose.REDUCE):
            statements = await reduce(said, predictor)
    except LMError as error:
        logger.warning("what was said of %s is not summarised: %s", predictor, error)
        statements = tuple(Statement(one.text, (one.example_id,)) for one in said)
    kept = statements[:MOST_FINDINGS]
    return tuple(Finding(one.text, one.example_ids, disputed=bool(one.contradicts)) for one in kept)


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


def interval(shares: Sequence[float], seed: int) -> tuple[float, float]:
    """A 95 % confidence interval for the mean of shares of the blame, 0 to 1, at least one.

    The percentiles of the mean under resampling of the examples. Where all examples have the same share, resampling
    cannot tell how sure it is, and it is Wilson's interval for a proportion.
    """
    import numpy as np

    values = np.asarray(shares, dtype=float)
    if np.ptp(values) > 1e-9:
        picks = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
        low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
        return float(low), float(high)
    share, count, z = float(values.mean()), len(values), 1.959964
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * float(np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)))
    return max(0.0, middle - half), min(1.0, middle + half)
