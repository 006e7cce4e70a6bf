"""Many examples -> one outcome each: scored, or failed for a reason that is not the program's."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import dspy
from dspy.utils.exceptions import AdapterParseError

from .._concurrency import gather, in_thread, threads_kept
from .._errors import BudgetSpent, MetricError, TooManyFailures
from .._graph.evidence.code.from_code import FromCode, Slices
from .._graph.record.names import Names
from .._graph.record.snapshots import describe
from .._graph.trace import Call
from .._session.budget import Purpose, Spent
from .._session.journal import digest_of, plain
from .._session.ledger import Ledger
from .._session.limits import Limits
from .._session.lm import LMContext, for_purpose, is_provider_failure
from .._session.spans import span
from .._values.same import digest
from .execution import ExampleRun, Executed, Runnable, executed, unless_stopped
from .metric import Grade, Metric, NoGrade
from .outcome import Failed, Outcome, Scored, brief, scored
from .places import Row
from .reuse import Reuse, ReusedAnswers

_REGRADED = 8
"""How many predictions are graded again."""
_SAME = 1e-9
Keep = Callable[[Sequence[Outcome]], None]
"""Told outcomes that were paid for although others of the same evaluation could not be."""
Away = Callable[[ExampleRun], Awaitable[Executed]]
"""Makes an execution in another process."""


@dataclass(frozen=True)
class Evaluator:
    """How programs are evaluated in a run.

    Args:
        limiter: Bounds how many programs run at once.
        failure_score: The score of an execution in which the program itself failed, in metric points.
        sets: Name -> examples, by which errors name an example.
        slices: What the code of the program says; all programs that are evaluated are copies of one.
        kinds: What the metric returned, by kind, how often; see `Grade`.
    """

    metric: Metric
    ledger: Ledger
    limiter: anyio.CapacityLimiter
    sets: Mapping[str, Sequence[dspy.Example]] = field(default_factory=dict, repr=False)
    failure_score: float = 0.0
    limits: Limits = field(default_factory=Limits)
    on_outcome: Callable[[Outcome], None] = lambda outcome: None
    slices: Slices = field(default_factory=dict, repr=False)
    kinds: Counter[str] = field(default_factory=Counter)

    async def __call__(  # noqa: PLR0913 - keyword-only parts of one question
        self,
        program: dspy.Module,
        examples: Sequence[dspy.Example],
        *,
        ids: Sequence[int],
        row: Row,
        purpose: Purpose = Purpose.FORWARD,
        where: str = "",
        reuse: Reuse | None = None,
        away: Away | None = None,
        keep: Keep = lambda outcomes: None,
        on_told: Callable[[Mapping[str, Any]], None] = lambda call: None,
    ) -> tuple[Outcome, ...]:
        """Run and grade a program, a copy that belongs to the run, on every example, concurrently and in order.

        Where the budget does not last for one example, those under way are finished as far as it goes, and none begins.

        Args:
            ids: What each example is called in its outcome.
            row: Their places, in which they are begun.
            where: Which evaluation of the run it is, for its journal.
            reuse: The incumbent's outcomes, so that only what an edit can reach is asked; None asks everything.
            away: Runs the very same program elsewhere; None in this process.
            keep: Told the outcomes that were paid for where the budget does not last for all.
            on_told: See `capture`; nothing is told of what runs in another process.
        """
        names = Names(program)
        runnable = Runnable(program, names, FromCode(program, names, self.slices), self.ledger, on_told)
        one = _Execution(self, runnable, purpose, where, reuse, away)
        bound = self.limiter.total_tokens
        numbered = list(zip(ids, examples, strict=True))
        stops: list[BudgetSpent] = []

        async def paid(item: tuple[int, dspy.Example]) -> Outcome | None:
            if stops:
                return None  # and without a wait for its place
            try:
                async with row.at(item[0]):
                    return None if stops else await one(item)
            except BudgetSpent as stop:
                stops.append(stop)
                return None

        with threads_kept():
            outcomes = await gather(paid, numbered, None if math.isinf(bound) else int(bound))
        done = tuple(outcome for outcome in outcomes if outcome is not None)
        if stops:
            keep(done)
            raise stops[0]
        return done

    @functools.cached_property
    def _places(self) -> dict[int, str]:
        numbered = [(name, *one) for name, examples in self.sets.items() for one in enumerate(examples)]
        return {id(example): f"example {at} of the {name}" for name, at, example in reversed(numbered)}

    def title(self, example_id: int, example: dspy.Example) -> str:
        """An example for messages: its place in its set, and what it holds, in short."""
        return f"{self._places.get(id(example), f'example {example_id}')} ({brief(example)})"

    def check_missing(self, outcomes: Sequence[Outcome], planned: int) -> None:
        """Refuse outcomes so far if more than `limits.missing` of all planned ones are missing, or all of several."""
        missing = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        nothing = bool(missing) and len(missing) == len(outcomes) and len(missing) > min(1, planned - 1)
        if nothing or len(missing) > self.limits.missing * planned:
            raise TooManyFailures(
                f"{len(missing)} of {len(outcomes)} examples could not be run because the provider failed or they took "
                f"too long (at most {self.limits.missing:.0%} may); the first: "
                f"{self.title(missing[0].example_id, missing[0].example)}: "
                f"{missing[0].error}"
            )

    async def grade(
        self,
        example_id: int,
        example: dspy.Example,
        returned: Any,
        *,
        purpose: Purpose = Purpose.METRIC,
        where: str = "",
    ) -> Grade:
        """Grade what a program returned for an example; the metric's own requests are booked under `purpose`.

        A `NoGrade` where a language model that the metric asks does not answer, or not readably.
        """
        title = self.title(example_id, example)
        grade = await self._asked(purpose, where, returned, title, lambda: self.metric.score(example, returned, title))
        self.kinds[grade.kind] += 1
        return grade

    async def words(self, program: dspy.Module, outcome: Scored, writer: Call) -> Grade | None:
        """What a metric that takes GEPA's arguments says to one call that wrote the answer; None for another metric."""
        entries = _dspy_trace(program, outcome.graph.calls)
        if not self.metric.explains or outcome.raised is not None or writer.id not in entries:
            return None
        example, title = outcome.example, self.title(outcome.example_id, outcome.example)
        traces = list(entries.values()), [entries[writer.id]]
        ask = functools.partial(self.metric.explain, example, outcome.returned, traces, writer.predictor, title)
        where = f"words for {writer.id}, example {outcome.example_id}"
        return await self._asked(Purpose.METRIC, where, outcome.returned, title, ask)

    async def _asked(self, purpose: Purpose, where: str, returned: Any, title: str, ask: Callable[[], Grade]) -> Grade:
        journal = self.ledger.journal
        key = digest_of(["grade", purpose, where, digest(returned)]) if journal else ""
        known = journal.take(key, Grade) if journal else None
        if known is not None:
            return known
        self.ledger.metric_call(purpose)
        with for_purpose(purpose, self.ledger, where=where) as here:
            grade = await self._in_time(ask, here, title)
            _check_answered(here)
        if journal:
            journal.keep("grade", key, plain(grade))
        return grade

    async def _in_time(self, ask: Callable[[], Grade], here: LMContext, title: str) -> Grade:
        try:
            with anyio.fail_after(self.limits.metric):
                return await unless_stopped(here, in_thread(ask, self.limiter))
        except MetricError as error:
            if isinstance(error.__cause__, AdapterParseError) or is_provider_failure(error.__cause__ or error):
                raise NoGrade(describe(error.__cause__ or error)) from error
            _check_answered(here)
            raise
        except TimeoutError as error:
            here.over = True
            raise MetricError(
                f"metric {self.metric.name!r} took longer than {self.limits.metric:g} seconds for {title} "
                "(Limits.metric)"
            ) from error


@dataclass(frozen=True)
class _Execution:
    """Runs and grades one program on one example after the other."""

    evaluator: Evaluator
    runnable: Runnable
    purpose: Purpose
    where: str
    reuse: Reuse | None
    away: Away | None

    async def __call__(self, numbered: tuple[int, dspy.Example]) -> Outcome:
        with span("example", example=numbered[0]):
            return await self._run(numbered)

    async def _run(self, numbered: tuple[int, dspy.Example]) -> Outcome:
        example_id, example = numbered
        where = f"{self.where}, example {example_id}"
        memory = ReusedAnswers() if self.reuse is None else self.reuse.memory(example_id)
        seconds = self.evaluator.limits.example
        asked = ExampleRun(dict(example.inputs()), self.purpose, where, memory, seconds)
        done = await self._executed(asked)
        if done.trace is None or done.graph is None:
            return self._done(Failed(example_id, example, done.missing))
        try:
            grade = await self._grade(numbered, done, where)
        except NoGrade as ungraded:
            unsaid = f"the metric's language model did not answer: {ungraded}"
            return self._done(Failed(example_id, example, unsaid))
        parts = (example_id, example, grade.score, grade.feedback, done.graph, done.trace, done.raised, done.strayed)
        return self._done(Scored(*parts, returned=done.returned))

    async def _executed(self, asked: ExampleRun) -> Executed:
        if self.away is not None:
            return await self.away(asked)
        return await executed(self.runnable, asked, self.evaluator.limiter)

    def _done(self, outcome: Outcome) -> Outcome:
        self.evaluator.on_outcome(outcome)
        return outcome

    async def _grade(self, numbered: tuple[int, dspy.Example], done: Executed, where: str) -> Grade:
        if done.raised is not None:
            error = done.trace.error if done.trace is not None else None
            return Grade(self.evaluator.failure_score, f"The program failed: {error}")
        purpose = Purpose.FINAL if self.purpose is Purpose.FINAL else Purpose.METRIC
        return await self.evaluator.grade(*numbered, done.returned, purpose=purpose, where=where)


def _check_answered(here: LMContext) -> None:
    """Refuse what a metric made of a question that was not answered, whatever it returned or raised."""
    if here.stops:
        raise here.stops[0]
    if here.failures:
        raise NoGrade(describe(here.failures[0])) from here.failures[0]


def _dspy_trace(program: dspy.Module, calls: Sequence[Call]) -> dict[str, tuple[Any, dict[str, Any], dspy.Prediction]]:
    """Call id -> what DSPy's own trace holds of it: predictor, inputs, prediction; nothing of calls that failed."""
    predictors = dict(program.named_predictors())
    return {
        call.id: (predictors.get(call.predictor), dict(call.inputs), dspy.Prediction(**call.outputs))
        for call in calls
        if call.error is None
    }


async def regraded(evaluator: Evaluator, outcomes: Sequence[Outcome]) -> list[str]:
    """Whether a metric scores the same prediction twice alike, in warnings; none where that is not free to find out.

    It is not where the metric asks a language model, or where the budget counts its calls.
    """
    ledger = evaluator.ledger
    asked = ledger.by_purpose.get(Purpose.METRIC, Spent())
    if ledger.budget.metric_calls is not None or asked.calls or asked.cached:
        return []
    again = [one for one in scored(outcomes) if one.raised is None][:_REGRADED]

    async def differs(outcome: Scored) -> bool:
        where = f"again, example {outcome.example_id}"
        try:
            grade = await evaluator.grade(outcome.example_id, outcome.example, outcome.returned, where=where)
        except NoGrade:
            return False
        except MetricError:
            return True
        return abs(grade.score - outcome.score) > _SAME

    differing = sum(await gather(differs, again))
    if not differing:
        return []
    return [
        f"the metric is not deterministic: graded again, {differing} of {len(again)} of the very same predictions "
        "scored differently; what it varies by looks like gains and losses"
    ]
