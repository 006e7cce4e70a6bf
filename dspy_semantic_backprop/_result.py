"""What a run gives back besides the program: every step, what it spent, and why it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from ._decide.records import CandidateRecord, Final, StepRecord
from ._errors import Ending
from ._session.budget import Spent
from ._terminal import printable


@dataclass(frozen=True)
class Result:
    """The result of a run, attached to the compiled program as `detailed_results`.

    Args:
        ending: Why the run ended.
        score_before: The starting program's mean score on the examples that the loop decided on, in metric points; NaN
            where the run ended before that was known.
        score_after: The returned program's. As the best of several tries on these examples it flatters; see `final`.
        instructions_before: Predictor's name -> instruction, at the start.
        instructions_after: Predictor's name -> instruction, in the returned program.
        steps: Every step.
        spent: By purpose: forward, gate, metric, backward, propose, final.
        seconds: Wall time, in seconds, that of earlier processes of the run included.
        seed: The seed of the run's random choices.
        method: The name of the method.
        notes: What happened in the backward passes, by name, how often; see `backward.ask`.
        reason: The ending in full, with its numbers: which budget, which error; the ending's own words otherwise.
        by_predictor: What was spent, by predictor; "" for what was for none.
        metric_calls: How often the metric was called.
        log_dir: Where the log is; None for none.
        final: The decision at the end; None where the run ended before it could be made.
        candidates: Every candidate of the run.
        warnings: What could not be established, or is wrong with the data, in words.
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
    final: Final | None = None
    candidates: tuple[CandidateRecord, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def usd_per_point(self) -> float | None:
        """US dollars for each metric point gained; None where nothing was gained or priced.

        On the fresh examples where there are any, else on those that the loop decided on.
        """
        fresh = self.final.gain if self.final is not None and self.final.returned else None
        gained = fresh if fresh is not None else self.score_after - self.score_before
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
            "final": None if self.final is None else self.final.to_dict(),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "warnings": list(self.warnings),
        }

    @printable
    def __str__(self) -> str:
        accepted = sum(step.verdict == "accepted" for step in self.steps)
        return (
            f"score {_shown(self.score_before)} -> {_shown(self.score_after)}, "
            f"{accepted} of {len(self.steps)} proposals accepted, "
            f"{self.total.calls} calls, {self.total.tokens} tokens, {self.seconds:.1f} s; "
            f"{self.reason or self.ending.value}" + (f"; {self.final.reason}" if self.final is not None else "")
        )


@runtime_checkable
class Compiled(Protocol):
    """A program with the result of the run that made it: what `compile` gives back besides the program's own class.

    Args:
        detailed_results: The result of the run.
    """

    detailed_results: Result


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shown(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "unknown"
