"""Whether a metric scores the same prediction twice alike, found out without any call of a model."""

from __future__ import annotations

from collections.abc import Sequence

from .._concurrency import gather
from .._errors import MetricError
from .._session.budget import Purpose, Spent
from .outcome import Outcome, Scored, scored
from .student import Student

MOST = 8
"""How many predictions are graded again."""
_SAME = 1e-9


async def regraded(student: Student, outcomes: Sequence[Outcome]) -> list[str]:
    """Grade some predictions again, where that is free.

    It is not where the metric asks a language model, or where the budget counts its calls.

    Args:
        student: The program.
        outcomes: Outcomes of one candidate.

    Returns:
        What is wrong, in words; empty where nothing is, or nothing was found out.
    """
    ledger = student.session.ledger
    asked = ledger.by_purpose.get(Purpose.METRIC, Spent())
    if ledger.budget.metric_calls is not None or asked.calls or asked.cached:
        return []
    again = [one for one in scored(outcomes) if one.raised is None][:MOST]

    async def differs(outcome: Scored) -> bool:
        where = f"again, example {outcome.example_id}"
        try:
            grade = await student.evaluator.grade(outcome.example_id, outcome.example, outcome.returned, where=where)
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
