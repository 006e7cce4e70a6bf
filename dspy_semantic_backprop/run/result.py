"""What a run gives back besides the program: every step, what it spent, and why it ended."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .budget import Spent


class Ending(enum.Enum):
    """Why a run ended; the values are what logs and reports say."""

    STEPS = "all steps were made"
    PERFECT = "no example is left to learn from"
    BUDGET = "the budget is spent"
    INTERRUPTED = "the run was interrupted"
    JOURNAL = "the log could not be written"
    FAILED = "the run failed"


@dataclass(frozen=True)
class StepRecord:
    """One step of a run.

    Args:
        step: From 0.
        examples: The ids of the training examples that were propagated back from.
        verdict: What became of the proposal.
        changed: The predictors that it changes.
        proposed: Predictor's name -> proposed instruction.
        refused: Predictor's name -> why its proposed text was not used.
        gradients: For each example: its id, and call id -> gradient as text.
        before: The incumbent's mean score on the compared examples, in metric points; None if not evaluated.
        after: The proposal's, likewise.
        compared: On how many examples.
        missing: How many of the gate's examples could not be compared, since the provider failed.
    """

    step: int
    examples: tuple[int, ...]
    verdict: str
    changed: tuple[str, ...] = ()
    proposed: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    gradients: tuple[tuple[int, Mapping[str, str]], ...] = ()
    before: float | None = None
    after: float | None = None
    compared: int = 0
    missing: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON values."""
        record = asdict(self)
        record["gradients"] = [{"example": number, "calls": dict(calls)} for number, calls in self.gradients]
        return {**record, "examples": list(self.examples), "changed": list(self.changed)}


@dataclass(frozen=True)
class Result:
    """The result of a run, attached to the compiled program as `detailed_results`.

    Args:
        ending: Why the run ended.
        score_before: The starting program's mean score on the gate's examples, in metric points; NaN where the run
            ended before that was known.
        score_after: The returned program's.
        instructions_before: Predictor's name -> instruction, at the start.
        instructions_after: Predictor's name -> instruction, in the returned program.
        steps: Every step.
        spent: By purpose: forward, gate, metric, backward, propose.
        seconds: Wall time, in seconds, that of earlier processes of the run included.
        seed: The seed of the run's random choices.
        method: The name of the method.
        notes: What happened in the backward passes, by name, how often; see `backward.tally`.
        reason: The ending in full, with its numbers: which budget, which error; the ending's own words otherwise.
        by_predictor: What was spent, by predictor; "" for what was for none.
        metric_calls: How often the metric was called.
        log_dir: Where the log is; None for none.
    """

    ending: Ending
    score_before: float
    score_after: float
    instructions_before: Mapping[str, str]
    instructions_after: Mapping[str, str]
    steps: tuple[StepRecord, ...]
    spent: Mapping[str, Spent]
    seconds: float
    seed: int
    method: str = "semantic"
    notes: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    by_predictor: Mapping[str, Spent] = field(default_factory=dict)
    metric_calls: int = 0
    log_dir: str | None = None

    @property
    def usd_per_point(self) -> float | None:
        """US dollars for each metric point gained on the gate's examples; None where nothing was gained or priced."""
        gained = self.score_after - self.score_before
        return self.total.usd / gained if gained > 0 and self.total.usd else None

    @property
    def total(self) -> Spent:
        """Everything that was spent."""
        return sum(self.spent.values(), Spent())

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "ending": self.ending.value,
            "reason": self.reason,
            "score": {"before": _number(self.score_before), "after": _number(self.score_after)},
            "instructions": {"before": dict(self.instructions_before), "after": dict(self.instructions_after)},
            "steps": [step.to_dict() for step in self.steps],
            "spent": {purpose: asdict(spent) for purpose, spent in self.spent.items()},
            "spent_by_predictor": {predictor: asdict(spent) for predictor, spent in self.by_predictor.items()},
            "metric_calls": self.metric_calls,
            "usd_per_point": self.usd_per_point,
            "seconds": self.seconds,
            "seed": self.seed,
            "method": self.method,
            "notes": dict(self.notes),
            "log_dir": self.log_dir,
        }

    def __str__(self) -> str:
        accepted = sum(step.verdict == "accepted" for step in self.steps)
        return (
            f"score {_shown(self.score_before)} -> {_shown(self.score_after)}, "
            f"{accepted} of {len(self.steps)} proposals accepted, "
            f"{self.total.calls} calls, {self.total.tokens} tokens, {self.seconds:.1f} s; "
            f"{self.reason or self.ending.value}"
        )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shown(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "unknown"
