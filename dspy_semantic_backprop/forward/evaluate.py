"""Many examples -> one outcome each: scored, or failed for a reason that is not the program's.

Failure is a type and never a number: an example that the provider would not answer is missing. What
the program itself got wrong, an unreadable answer or an exception of its own, is scored and explained.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
import dspy

from ..concurrency import gather
from ..errors import TooManyFailures
from ..lm import is_provider_failure, passage
from ..run.budget import Ledger
from .capture import capture
from .edges import recover
from .graph import ComputationGraph
from .metric import Grade, Metric
from .names import Names
from .trace import OUTPUT, Trace
from .values import describe


@dataclass(frozen=True)
class Scored:
    """An example that the program was run and graded on.

    Args:
        example_id: The example's position in its set.
        example: The example.
        score: In metric points.
        feedback: The metric's words; None where it has none.
        graph: The computation graph of this very execution, as its values suggest it.
        trace: The record of this very execution, from which the graph can be proved.
        raised: What the program raised; None where it returned.
    """

    example_id: int
    example: dspy.Example
    score: float
    feedback: str | None
    graph: ComputationGraph = field(repr=False)
    trace: Trace = field(repr=False)
    raised: BaseException | None = None


@dataclass(frozen=True)
class Failed:
    """An example that could not be run: it is missing, not wrong.

    Args:
        example_id: The example's position in its set.
        example: The example.
        error: The provider's failure, as text.
    """

    example_id: int
    example: dspy.Example
    error: str


Outcome = Scored | Failed


@dataclass(frozen=True)
class Evaluator:
    """How programs are evaluated in a run.

    Args:
        metric: The metric.
        ledger: Where calls are booked.
        limiter: Bounds how many programs run at once.
        failure_score: The score of an execution in which the program itself failed, in metric points.
        max_missing: The largest share of examples that may be missing, 0 to 1.
        on_outcome: Called with each outcome as it comes.
    """

    metric: Metric
    ledger: Ledger
    limiter: anyio.CapacityLimiter
    failure_score: float = 0.0
    max_missing: float = 0.2
    on_outcome: Callable[[Outcome], None] = lambda outcome: None

    async def __call__(self, program: dspy.Module, examples: Sequence[dspy.Example]) -> tuple[Outcome, ...]:
        """Run and grade a program on every example, concurrently.

        Args:
            program: A copy that belongs to the run.
            examples: The examples.

        Returns:
            One outcome for each example, in order.

        Raises:
            MetricError: If the metric breaks its contract.
            TooManyFailures: If the provider left more than `max_missing` of the examples unanswered.
            ModelUnavailable: If the provider never will answer.
        """
        one = functools.partial(self._one, program, Names(program))
        bound = self.limiter.total_tokens
        outcomes = tuple(await gather(one, list(enumerate(examples)), None if math.isinf(bound) else int(bound)))
        missing = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        if len(missing) > self.max_missing * len(outcomes):
            raise TooManyFailures(
                f"{len(missing)} of {len(outcomes)} examples could not be run because the provider failed "
                f"(at most {self.max_missing:.0%} may); the first: example {missing[0].example_id}: {missing[0].error}"
            )
        return outcomes

    async def _one(self, program: dspy.Module, names: Names, numbered: tuple[int, dspy.Example]) -> Outcome:
        example_id, example = numbered
        with passage("forward", self.ledger) as forward:
            returned, error, trace = await capture(program, dict(example.inputs()), names=names, limiter=self.limiter)
        failure = error if error is not None and is_provider_failure(error) else None
        # A program may swallow the provider's failure and answer without it: that answer is not its own.
        failure = failure or next(iter(forward.failures), None)
        if failure is not None:
            outcome: Outcome = Failed(example_id, example, describe(failure))
        else:
            outcome = await self._graded(program, (example_id, example), returned, trace, error)
        self.on_outcome(outcome)
        return outcome

    async def _graded(
        self,
        program: dspy.Module,
        numbered: tuple[int, dspy.Example],
        returned: Any,
        trace: Trace,
        raised: BaseException | None,
    ) -> Scored:
        example_id, example = numbered
        graph = recover(trace)
        if raised is not None:
            grade = Grade(self.failure_score, f"The program failed: {trace.error}")
        else:
            grade = await self.grade(example_id, example, returned)
            if grade.feedback is None:
                with passage("metric", self.ledger):
                    ask = functools.partial(self._ask, program, example, returned, graph, _where(example_id, example))
                    words = await anyio.to_thread.run_sync(ask, limiter=self.limiter, abandon_on_cancel=True)
                    grade = Grade(grade.score, words)
        return Scored(example_id, example, grade.score, grade.feedback, graph, trace, raised)

    async def grade(self, example_id: int, example: dspy.Example, returned: Any, *, purpose: str = "metric") -> Grade:
        """Grade what a program returned for an example.

        Args:
            example_id: The example's position in its set.
            example: The example.
            returned: What the program returned.
            purpose: What the metric's own language-model calls are booked under.

        Raises:
            MetricError: If the metric breaks its contract.
        """
        score = functools.partial(self.metric.score, example, returned, _where(example_id, example))
        with passage(purpose, self.ledger):
            return await anyio.to_thread.run_sync(score, limiter=self.limiter, abandon_on_cancel=True)

    def _ask(
        self, program: dspy.Module, example: dspy.Example, returned: Any, graph: ComputationGraph, where: str
    ) -> str | None:
        writers = graph.group(OUTPUT)
        if not self.metric.explains or not writers:
            return None
        predictors = dict(program.named_predictors())
        entries = {
            call.id: (predictors.get(call.predictor), dict(call.inputs), dspy.Prediction(**call.outputs))
            for call in graph
            if call.error is None
        }
        writer = writers[-1].call
        own = [entries[writer.id]]
        return self.metric.feedback(example, returned, (list(entries.values()), own), writer.predictor, where)


def _where(example_id: int, example: dspy.Example) -> str:
    return f"example {example_id} ({brief(example.toDict())})"


def scored(outcomes: Sequence[Outcome]) -> tuple[Scored, ...]:
    """The outcomes that are not missing."""
    return tuple(outcome for outcome in outcomes if isinstance(outcome, Scored))


def mean(outcomes: Sequence[Outcome]) -> float:
    """The mean score of the outcomes that are not missing, in metric points; NaN where there is none."""
    scores = [outcome.score for outcome in scored(outcomes)]
    return math.fsum(scores) / len(scores) if scores else math.nan


def brief(values: Mapping[str, Any], width: int = 80) -> str:
    """Values in one short line, for messages."""
    text = ", ".join(f"{name}={str(value)!r}" for name, value in values.items())
    return text if len(text) <= width else text[: width - 3] + "..."
