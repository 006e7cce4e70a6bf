"""A program run on examples whose scores are known from before: worse, not worse, or not to be told.

Paired, example by example: the loss of all together by the same test by which a run claims a gain, the other way round;
and some examples, named beforehand, of which none may lose anything. What could not be run because a service did not
answer is neither: the program has passed only if it would have with all of that lost.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dspy

from ..._checks import check_number
from ..._decide.comparison import Comparison, Pair
from ..._decide.records import paired
from ..._decide.split import groups_of
from ..._errors import (
    BudgetSpent,
    ModelUnavailable,
    SemanticBackpropError,
    SetupError,
    TooManyFailures,
    told_to_callers,
)
from ..._evaluate.candidate import read
from ..._evaluate.outcome import Failed, Outcome, Scored, brief, scored
from ..._evaluate.student import Student, check_runs
from ..._graph.record.snapshots import describe
from ..._session.budget import Purpose
from ..._session.entries import difference
from ..._settings import Optimizer, Settings
from ..diagnose.diagnose import diagnosis_of
from ..diagnose.record import Diagnosis
from .baseline import Baseline, BaselineScore, described
from .record import Broken, Checked

BLAMED, CHECKS = 8, 4
"""So many of the examples that got worse are looked at, with so many checks, at most."""
_SAME = 1e-9
_NO_ANSWER = {429, *range(500, 600)}
_NAMED = ("Timeout", "TimeoutError", "ConnectError", "ConnectionError")
"""How HTTP clients call what is no `ConnectionError` of Python's."""
Must = Callable[[dspy.Example], Any]


async def abaseline(
    optimizer: Optimizer,
    program: dspy.Module,
    examples: list[dspy.Example],
    *,
    must: Must | None = None,
) -> Baseline:
    """Run a program on examples, and note its scores for later checks.

    Args:
        optimizer: Whose metric and settings are used.
        program: The program; it is not changed.
        examples: Examples with inputs and labels.
        must: Of an example, whether it must not regress; None: of none.

    Returns:
        The baseline; examples that could not be run are not in it.

    Raises:
        SetupError: If the arguments cannot work; nothing was spent.
        TooManyFailures: If an example that must not regress could not be run.
        SemanticBackpropError: As `acompile`.
    """
    settings = optimizer.settings
    settings.check(program, examples=examples)
    known, musts = described(settings, program, examples), _musts(must, examples)
    with told_to_callers():
        student = settings.student(program, settings.session(), examples=examples)
        outcomes = await _outcomes(student, examples)
    for one in outcomes:
        if isinstance(one, Failed) and musts[one.example_id]:
            title = student.evaluator.title(one.example_id, one.example)
            raise TooManyFailures(f"{title} must not regress and could not be run: {one.error}")
    missing = len(outcomes) - len(scored(outcomes))
    if missing:
        student.session.warn(f"{missing} of {len(outcomes)} examples could not be run and are not in the baseline")
    ids = [one.id for one in known.scores]
    kept = [BaselineScore(ids[one.example_id], one.score, musts[one.example_id]) for one in scored(outcomes)]
    return replace(known, scores=tuple(kept))


async def acheck(  # noqa: PLR0913 - keyword-only parts of one question
    optimizer: Optimizer,
    program: dspy.Module,
    examples: list[dspy.Example],
    baseline: Baseline,
    *,
    must: Must | None = None,
    level: float = 0.05,
    tolerance: float = 0.0,
    blame: bool = True,
) -> Checked:
    """Find out whether a program got worse than a baseline, and which predictor that comes from.

    Args:
        optimizer: Whose metric and settings are used.
        program: The program; it is not changed.
        examples: Examples with inputs and labels; those that the baseline knows are compared.
        baseline: What was scored before.
        must: Of an example, whether it must not regress, besides those that the baseline says it of.
        level: The p-value up to which the loss of all examples together is a regression, 0 to 1.
        tolerance: How much an example that must not regress may lose, in metric points.
        blame: Whether to ask, where the program got worse, which predictor is to blame: on the eight examples that
            lost most at most.

    Returns:
        A record that prints within one screen; `status` is an exit status.

    Raises:
        SetupError: If the arguments cannot work, or no regression could be told; nothing was spent.
        SemanticBackpropError: As `acompile`; then nothing can be said of the program.
    """
    settings = optimizer.settings
    settings.check(program, examples=examples)
    check_number("tolerance", tolerance, 0, whole=False)
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise SetupError(f"level must be a number between 0 and 1, not {level!r}")
    gate = _Gate.of(settings, program, examples, baseline, must, (level, tolerance))
    with told_to_callers():
        session = settings.session(caps={Purpose.CHECK: 4 * CHECKS})
        student = settings.student(program, session, examples=examples)
        for warning in gate.warnings:
            session.warn(warning)
        outcomes = await _outcomes(student, examples)
        found = gate.judge(outcomes)
        if found.verdict == "regressed" and blame:
            found = replace(found, blame=await _blamed(settings, student, outcomes, found.broken))
    ledger = session.ledger
    return replace(
        found, spent=ledger.by_purpose, seconds=ledger.seconds, warnings=(*session.warnings, *session.unanswered)
    )


@dataclass(frozen=True)
class _Gate:
    """What is compared with what, by the examples' positions, and what counts as worse; no score is below `low`."""

    examples: Sequence[dspy.Example]
    baseline: Baseline
    now: Baseline
    scores: Mapping[int, BaselineScore]
    musts: frozenset[int]
    groups: Mapping[int, Any]
    low: float
    level: float
    tolerance: float
    warnings: tuple[str, ...]

    @classmethod
    def of(
        cls,
        settings: Settings,
        program: dspy.Module,
        examples: Sequence[dspy.Example],
        baseline: Baseline,
        must: Must | None,
        bounds: tuple[float, float],
    ) -> _Gate:
        """Pair examples with a baseline; a `SetupError` where nothing could be told from them."""
        now = described(settings, program, examples)
        known = {one.id: one for one in baseline.scores}
        scores = {at: known[one.id] for at, one in enumerate(now.scores) if one.id in known}
        asked = {at for at, wanted in enumerate(_musts(must, examples)) if wanted}
        musts = asked | {at for at, one in scores.items() if one.must}
        _check_known(baseline, now, scores, asked)
        low = min([settings.failure_score, *(one.score for one in scores.values())])
        groups = groups_of(settings.group, "examples", examples)
        gate = cls(examples, baseline, now, scores, frozenset(musts), groups, low, *bounds, _differs(baseline, now))
        return replace(gate, warnings=(*gate.warnings, *gate.power()))

    def power(self) -> list[str]:
        """What cannot be told even if every example were lost, in a warning; a `SetupError` if that is everything."""
        worst = self.loss({})
        if worst.p_value <= self.level:
            return []
        at_stake = sum(one.score - self.low > _SAME for one in self.scores.values())
        few = (
            f"{at_stake} examples with a score to lose are too few for a regression at p = {self.level:g}, even if all "
            "were lost"
        )
        if not any(self.scores[at].score - self.low > self.tolerance + _SAME for at in self.musts):
            raise SetupError(f"{few}; add examples, mark some as ones that must not regress, or raise the level")
        return [f"{few}; only those that must not regress are checked"]

    def loss(self, scores: Mapping[int, float]) -> Comparison:
        """The baseline beside new scores, the other way round; an example without one counts as lost."""
        return self._compared(lambda at: (scores.get(at, self.low), self.scores[at].score), self.scores)

    def _compared(self, both: Callable[[int], tuple[float, float]], some: Any) -> Comparison:
        return Comparison(tuple(Pair(at, *both(at), self.groups.get(at)) for at in some))

    def judge(self, outcomes: Sequence[Outcome]) -> Checked:
        """What the outcomes of all examples say."""
        new = {one.example_id: one for one in scored(outcomes) if one.example_id in self.scores}
        result = self._compared(lambda at: (self.scores[at].score, new[at].score), new)
        loss = self._compared(lambda at: (new[at].score, self.scores[at].score), new)
        broken = sorted(
            map(self._broken, map(new.__getitem__, result.regressions)),
            key=lambda one: (not one.must, -one.lost, one.example_id),
        )
        failed = [one for one in broken if one.must and one.lost > self.tolerance + _SAME]
        verdict, reason = self._verdict(failed, loss, {at: one.score for at, one in new.items()})
        before = self.baseline
        return Checked(
            verdict=verdict,
            reason=reason,
            result=paired(result) if len(result) else None,
            p_value=loss.p_value,
            level=self.level,
            examples=len(self.examples),
            missing=len(outcomes) - len(scored(outcomes)),
            new=len(self.examples) - len(self.scores),
            gone=len(before.scores) - len(self.scores),
            musts=len(self.musts),
            broken=tuple(broken),
            changed=tuple(
                name for name, text in self.now.instructions.items() if before.instructions.get(name) != text
            ),
            baseline=f"{before.program} with {before.model}, {before.written[:10]}",
        )

    def _broken(self, one: Scored) -> Broken:
        at, error = one.example_id, "" if one.raised is None else describe(one.raised)
        known = self.scores[at]
        return Broken(at, known.id, brief(one.example, 60), known.score, one.score, at in self.musts, error)

    def _verdict(self, failed: Sequence[Broken], loss: Comparison, scores: Mapping[int, float]) -> tuple[Any, str]:
        worse = [f"{len(failed)} of {len(self.musts)} examples that must not regress got worse"] if failed else []
        if loss.p_value <= self.level:
            worse.append(f"the program lost {loss.gain:.3g} on average, more than chance explains")
        if worse:
            return "regressed", "; ".join(worse)
        away = [at for at in self.scores if at not in scores]
        musts = [at for at in away if at in self.musts]
        if musts:
            named = "1 example" if len(musts) == 1 else f"{len(musts)} examples"
            return "unknown", f"{named} that must not regress could not be run; a service did not answer"
        if away and self.loss(scores).p_value <= self.level:
            return "unknown", f"{len(away)} examples could not be run, and could hide a regression"
        return "passed", "no regression was found" + ("" if loss.gain <= _SAME else "; the loss may be chance")


def _musts(must: Must | None, examples: Sequence[dspy.Example]) -> list[bool]:
    if must is not None and not callable(must):
        raise SetupError(f"must must be a function of an example, not {must!r}")
    return [must is not None and bool(must(example)) for example in examples]


def _check_known(baseline: Baseline, now: Baseline, scores: Mapping[int, BaselineScore], asked: set[int]) -> None:
    """Refuse what would pass for want of anything to compare."""
    for part in ("name", "function", "object"):
        if baseline.metric.get(part) != now.metric.get(part):
            was, is_ = (one.metric.get(part, "another kind of metric") for one in (baseline, now))
            raise SetupError(f"the baseline was scored by another metric, {was}, not {is_}; write it anew")
    if not scores:
        raise SetupError("none of the examples is in the baseline; write it anew with these examples")
    here = {one.id for one in scores.values()}
    gone = [one for one in baseline.scores if one.must and one.id not in here]
    if gone:
        raise SetupError(
            f"{len(gone)} examples of the baseline that must not regress are not among the examples (the first: "
            f"{gone[0].id}); bring them back, or write the baseline anew"
        )
    new = [at for at in sorted(asked) if at not in scores]
    if new:
        raise SetupError(f"example {new[0]} must not regress and is not in the baseline; write it anew")


def _differs(baseline: Baseline, now: Baseline) -> tuple[str, ...]:
    """What else is not as it was, in warnings."""
    found = []
    if baseline.metric != now.metric:
        found.append(f"the metric was changed since the baseline ({difference(baseline.metric, now.metric)})")
    if baseline.model != now.model:
        found.append(f"the baseline was scored with {baseline.model}, and this with {now.model}")
    if baseline.program != now.program:
        found.append(f"the baseline is of the program {baseline.program}, and this one is {now.program}")
    return tuple(found)


async def _outcomes(student: Student, examples: Sequence[dspy.Example]) -> tuple[Outcome, ...]:
    """The program's outcomes; what it raised because a service of its own did not answer is missing, too."""
    outcomes = await student.evaluate("check", examples, read(student.program))
    found = tuple(map(_answered, outcomes))
    student.evaluator.check_missing(found, len(found))
    check_runs(found)
    return found


def _answered(one: Outcome) -> Outcome:
    if isinstance(one, Failed) or one.raised is None or not is_outage(one.raised):
        return one
    return Failed(one.example_id, one.example, describe(one.raised))


def is_outage(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, says that a service could not be reached or had no time."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        status = getattr(getattr(error, "response", None), "status_code", getattr(error, "code", None))
        if isinstance(error, (ConnectionError, TimeoutError, socket.gaierror)) or type(error).__name__.endswith(_NAMED):
            return True
        if isinstance(status, int) and status in _NO_ANSWER:
            return True
        error = error.__cause__ or error.__context__
    return False


async def _blamed(
    settings: Settings, student: Student, outcomes: Sequence[Outcome], broken: Sequence[Broken]
) -> Diagnosis | None:
    """Who is to blame for what got worse; None, with a warning, where that cannot be found out."""
    session = student.session
    worst = {one.example_id for one in broken[:BLAMED]}
    try:
        some = [one for one in scored(outcomes) if one.example_id in worst]
        perfect = max(one.before for one in broken if one.example_id in worst)
        return await diagnosis_of(settings, student, some, (CHECKS, 4 * CHECKS), perfect)
    except ModelUnavailable as stop:
        why = describe(stop.error)
    except (SemanticBackpropError, BudgetSpent) as error:
        why = str(error)
    session.warn(f"which predictor is to blame could not be found out: {why}")
    return None
