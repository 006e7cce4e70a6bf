"""Steps and candidates as the records that a result holds."""

from __future__ import annotations

from collections.abc import Mapping

from .._decide.comparison import Comparison
from .._decide.consider import Decision
from .._decide.pool import Pool
from .._evaluate.outcome import mean, scored
from .._propose.candidate import changed
from .._propose.step import Learned
from .paired import Paired
from .result import CandidateRecord, StepRecord


def step_record(step: int, learned: Learned, decision: Decision, pool: Pool, classes: Mapping[int, str]) -> StepRecord:
    """What became of a step.

    Args:
        step: The step of the run.
        learned: What it learned from.
        decision: What was decided.
        pool: The candidates of the run.
        classes: Example id -> class.
    """
    comparison = decision.comparison
    known = pool[decision.candidate].outcomes if len(comparison) else {}
    return StepRecord(
        step=step,
        examples=tuple(outcome.example_id for outcome in learned.outcomes),
        verdict=decision.fate.name.lower(),
        changed=decision.changed,
        proposed={name: decision.candidate.instructions[name] for name in decision.changed},
        refused=dict(decision.refused),
        gradients=learned.gradients,
        before=comparison.before if len(comparison) else None,
        after=comparison.after if len(comparison) else None,
        compared=len(comparison),
        missing=len(known) - len(scored(list(known.values()))),
        p_value=comparison.p_value if len(comparison) else None,
        interval=comparison.interval() if len(comparison) else None,
        fixes=comparison.fixes,
        regressions=comparison.regressions,
        by_class={
            name: (len(part), len(part.fixes), len(part.regressions))
            for name, part in comparison.by_class(classes).items()
        },
        credit={one.predictor: one.earned for one in decision.credit},
        parent=pool[learned.parent].number,
        candidates=tuple(pool[one.candidate].number for one in decision.raced),
    )


def paired(comparison: Comparison) -> Paired:
    """A comparison of at least one example as a record."""
    return Paired(
        examples=len(comparison),
        before=comparison.before,
        after=comparison.after,
        gain=comparison.gain,
        interval=comparison.interval(),
        p_value=comparison.p_value,
        fixes=len(comparison.fixes),
        regressions=len(comparison.regressions),
    )


def candidate_records(pool: Pool) -> tuple[CandidateRecord, ...]:
    """Every candidate of a run."""
    records = []
    for entry in pool:
        outcomes = scored(list(entry.outcomes.values()))
        records.append(
            CandidateRecord(
                number=entry.number,
                parent=pool[entry.parent].number,
                step=entry.step,
                origin=entry.origin,
                instructions={
                    name: entry.candidate.instructions[name] for name in changed(pool.start, entry.candidate)
                },
                scores={outcome.example_id: outcome.score for outcome in outcomes},
                score=mean(outcomes) if outcomes else None,
            )
        )
    return tuple(records)
