"""Diagnosing a program: its failures, who is to blame for them, what was said of whom, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from ..._backward.blame import mean_shares, pool_blame
from ..._backward.blame_estimate import BlameEstimate, estimate_blame, range_of
from ..._backward.gradient import TextGradient
from ..._backward.reduce import Remark, Statement, reduce
from ..._backward.sweep import sweep, tell_blame
from ..._checks import check_number
from ..._errors import BudgetSpent, told_to_callers
from ..._evaluate.candidate import read
from ..._evaluate.outcome import Failed, Outcome, Scored, ScoreRange, mean, score_range, scored
from ..._evaluate.student import Student, check_runs
from ..._graph.trace import OUTPUT
from ..._propose.lessons import Lesson, group_by_predictor
from ..._session.budget import Purpose
from ..._session.session import Session, logger
from ..._settings import Optimizer, Settings
from ..._terminal import counted
from .blame_checks import Checker, final_predictors, suspects
from .record import BlamedCall, Check, Diagnosis, Finding, PredictorBlame

SUMMARIES = "summaries of what was said of a predictor"
"""What a session counts them as."""
MOST_FINDINGS = 3
"""How many findings are kept for a predictor."""
NEAR = 0.03
"""The share of the metric's range up to which what an example lacks is no failure beside others that lack more."""
RANKED = 5
"""How many calls are kept of a failure."""


async def adiagnose(
    optimizer: Optimizer,
    program: dspy.Module,
    devset: list[dspy.Example],
    *,
    checks: int = 8,
    max_calls: int | None = None,
    perfect: float | None = None,
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
        perfect: An example below this score has failed, in metric points; None: 1, or the best score seen where some
            lie outside 0 to 1, and what lacks at most 3 % of the range is passed over where others lack more.

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
    check_number("perfect", 0 if perfect is None else perfect, -math.inf, whole=False)
    with told_to_callers():
        return await _diagnosed(settings, program, devset, (checks, most), perfect)


async def _diagnosed(
    settings: Settings,
    program: dspy.Module,
    devset: Sequence[dspy.Example],
    caps: tuple[int, int],
    perfect: float | None,
) -> Diagnosis:
    """The diagnosis; `caps`: how many checks at most, and how many calls of language models for them."""
    session = settings.session(caps={Purpose.CHECK: caps[1]})
    student = settings.student(program, session, devset=devset)
    outcomes = await student.evaluate("diagnose", devset, read(program))
    check_runs(outcomes)
    return await diagnosis_of(settings, student, outcomes, caps, perfect)


async def diagnosis_of(
    settings: Settings,
    student: Student,
    outcomes: Sequence[Outcome],
    caps: tuple[int, int],
    perfect: float | None,
) -> Diagnosis:
    """Who is to blame for what failed among the outcomes of a program, in a session that caps the calls of checks."""
    (checks, max_calls), session, start = caps, student.session, read(student.program)
    scale = score_range([outcome.score for outcome in scored(outcomes)], perfect)
    if not scale.known:
        session.warn(
            f"scores lie outside 0 to 1: what scores less than the best one seen, {scale.best:.12g}, has failed"
        )
    failing = [outcome for outcome in scored(outcomes) if outcome.score < scale.best]
    if perfect is None:
        failing = _without_near_misses(session, failing, scale)
    proved = await student.prove(failing, start)
    swept, sweeps = await sweep(session, proved, settings.method, seed=settings.seed, where="diagnose")
    traced = [(outcome.graph, gradients) for outcome, gradients in zip(swept, sweeps, strict=True)]
    said = pool_blame(traced)
    final = final_predictors([outcome.graph for outcome in (*scored(outcomes), *swept)])
    found = zip(swept, sweeps, said, strict=True)
    everyone = [suspect for one in found for suspect in suspects(*one, final)] if checks else []
    made, checker = (), Checker(student, student.copy_with(start), most=checks, max_calls=max_calls)
    if everyone:
        suspected = mean_shares([one.by_predictor(graph) for one, (graph, _) in zip(said, traced, strict=True)])
        made = await checker(everyone, suspected)
    names = [name for name, _ in student.program.named_predictors()]
    return Diagnosis(
        examples=len(outcomes),
        failures=len(failing),
        missing=sum(isinstance(outcome, Failed) for outcome in outcomes),
        score=mean(outcomes),
        checks=made,
        max_calls=max_calls,
        most_checks=checks,
        left_out=checker.left_out,
        **await blamed(session, names, swept, sweeps, (made, final), settings.seed),
    )


def _without_near_misses(session: Session, failing: list[Scored], scale: ScoreRange) -> list[Scored]:
    """The failures that lack more than next to nothing, if there are any; says how many others are passed over."""
    near = NEAR * scale.unit
    far = [outcome for outcome in failing if scale.best - outcome.score > near]
    if not far or len(far) == len(failing):
        return failing
    passed = counted(len(failing) - len(far), "example")
    session.warn(
        f"{passed} within {near:.2g} of the best score passed over: nobody is to blame for so little "
        f"(perfect={scale.best:.12g} blames for it, too)"
    )
    return far


async def blamed(
    session: Session,
    names: Sequence[str],
    swept: Sequence[Scored],
    sweeps: Sequence[Mapping[str, TextGradient]],
    checked: tuple[Sequence[Check], Set[str]] = ((), frozenset()),
    seed: int = 0,
) -> dict[str, Any]:
    """What a diagnosis says of failures by the sweeps over them: the blame, what was spent, what went wrong.

    Args:
        names: Predictors that are to be named, whether anything is said of them or not.
        checked: The checks that were made, and the predictors whose outputs are the answer.
        seed: Of the draws.
    """
    traced = [(outcome.graph, gradients) for outcome, gradients in zip(swept, sweeps, strict=True)]
    known = estimate_blame(traced, [_helped(outcome.example_id, checked[0]) for outcome in swept], seed=seed)
    tell_blame(swept, sweeps, known.failures)
    rows = [one.by_predictor(graph) for one, (graph, _) in zip(known.failures, traced, strict=True)]
    lessons = group_by_predictor(swept, sweeps)
    predictors = await _predictors(session, names, known, rows, lessons) if rows else []
    return {
        "predictors": _checked(predictors, *checked),
        "traced": len(swept),
        "unknown": math.fsum(one.unknown for one in known.failures) / len(swept) if swept else 0.0,
        "missed": known.missed,
        "false_alarms": known.false_alarms,
        "calls": _calls(swept, sweeps, known),
        "spent": session.ledger.by_purpose,
        "seconds": session.ledger.seconds,
        "notes": dict(+session.notes),
        "warnings": (*session.warnings, *session.unanswered),
    }


def _calls(
    swept: Sequence[Scored], sweeps: Sequence[Mapping[str, TextGradient]], known: BlameEstimate
) -> tuple[BlamedCall, ...]:
    """Of each failure the calls with the largest shares, and what was said of them."""
    found = []
    for outcome, gradients, shares in zip(swept, sweeps, known.failures, strict=True):
        # Of equal shares the earlier call comes first: what went wrong there went on from there.
        for name in sorted(shares.shares, key=lambda name: -shares.shares[name])[:RANKED]:
            call, share = outcome.graph[name], shares.shares[name]
            if share > 0:
                said = _remarks([Lesson(outcome.example_id, call, gradients[name], outcome.score)])
                texts = tuple(one.text for one in said)
                found.append(BlamedCall(outcome.example_id, name, call.predictor, share, texts))
    return tuple(found)


async def _predictors(
    session: Session,
    names: Sequence[str],
    known: BlameEstimate,
    rows: Sequence[Mapping[str, float]],
    lessons: Mapping[str, Sequence[Lesson]],
) -> list[PredictorBlame]:
    """Every predictor's share, how sure it is, and what was said."""
    most = [max(row.values(), default=0.0) for row in rows]
    predictors = []
    # Of a predictor that no failing example called, only their number is known.
    never = range_of(0.0, len(rows))
    for name in dict.fromkeys([*names, *known.shares]):
        shares = [row.get(name, 0.0) for row in rows]
        leads = sum(share > 0 and share >= top - 1e-9 for share, top in zip(shares, most, strict=True))
        findings = await _findings(session, name, lessons.get(name, ())) if any(shares) else ()
        share, if_right = known.shares.get(name, 0.0), known.if_right.get(name, never)
        predictors.append(PredictorBlame(name, share, known.ranges.get(name, never), if_right, leads, findings))
    return predictors


def _helped(example_id: int, checks: Sequence[Check]) -> dict[str, bool]:
    """What the checks of single calls of an example showed."""
    mine = [check for check in checks if check.example_id == example_id and check.after is not None]
    return {check.calls[0]: check.confirmed for check in mine if len(check.calls) == 1}


async def _findings(session: Session, predictor: str, lessons: Sequence[Lesson]) -> tuple[Finding, ...]:
    said = _remarks(lessons)
    try:
        with session.asking(Purpose.REDUCE):
            statements = await reduce(said, predictor)
        session.asked[SUMMARIES].count(None)
    except (LMError, BudgetSpent) as error:
        # What was said is paid for; that it is not put in fewer words is no reason to lose it.
        session.asked[SUMMARIES].count(error)
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
    """The predictors with the outcome of their own checks: first what is sure by checks or has a large share."""
    alone = [(check.predictors[0], check) for check in checks if len(check.calls) == 1]
    found = [
        replace(
            one,
            checked=sum(name == one.predictor and check.after is not None for name, check in alone),
            confirmed=sum(name == one.predictor and check.confirmed for name, check in alone),
            final=one.predictor in final,
        )
        for one in predictors
    ]
    return tuple(sorted(found, key=lambda one: (-_standing(one), -one.share)))


def _standing(one: PredictorBlame) -> float:
    """What ranks a predictor: its share, or the part of its checks that is sure to help, whichever is more.

    A check that helped shows a fault whatever its share, but one of two is little to go by (Wilson's lower bound).
    """
    if not one.confirmed:
        return one.share
    from scipy import stats

    sure = stats.binomtest(one.confirmed, one.checked).proportion_ci(0.9, method="wilson")
    return max(one.share, float(sure.low))
