"""Grading what was graded already: whether a metric says the same twice, found out without any call of a model."""

from __future__ import annotations

from collections.abc import Sequence

from ..._concurrency import gather
from ..._errors import MetricError
from ..._evaluate.outcome import Outcome, Scored, scored
from ..._session.budget import Purpose, Spent
from ..._session.run import Run
from .doubts import of_regrading

MOST = 8
"""How many predictions are graded again."""
_SAME = 1e-9


async def regraded(run: Run, outcomes: Sequence[Outcome]) -> list[str]:
    """Grade some predictions of a run again, where that is free.

    It is not where the metric asks a language model, or where the budget counts its calls.

    Args:
        run: The run.
        outcomes: Outcomes of one program.

    Returns:
        What is wrong, in words; empty where nothing is, or nothing was found out.
    """
    asked = run.ledger.by_purpose.get(Purpose.METRIC, Spent())
    if run.ledger.budget.metric_calls is not None or asked.calls or asked.cached:
        return []
    again = [one for one in scored(outcomes) if one.raised is None][:MOST]

    async def differs(outcome: Scored) -> bool:
        try:
            grade = await run.evaluator.grade(
                outcome.example_id, outcome.example, outcome.returned, where=f"again, example {outcome.example_id}"
            )
        except MetricError:
            return True
        return abs(grade.score - outcome.score) > _SAME

    return of_regrading(sum(await gather(differs, again)), len(again))
