"""What a run gives back besides the program: every step, what it spent, and why it ended."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._session.budget import Spent


class Ending(enum.Enum):
    """Why a run ended; the values are what logs and reports say."""

    STEPS = "all steps were made"
    PERFECT = "no example is left to learn from, or to gain on"
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
        before: The mean score of the program that it was made from on the compared examples, in metric points; None if
            not evaluated.
        after: The proposal's, likewise.
        compared: On how many examples.
        missing: How many of the evaluated examples could not be compared, since the provider failed.
        p_value: How probable at least this gain is if the edit has no effect, 0 to 1; None if not evaluated.
        interval: Where the true gain lies with 90 % confidence, in metric points; None if not evaluated.
        fixes: The ids of the examples on which the proposal is better.
        regressions: The ids of those on which it is worse.
        by_class: Class of the examples -> (compared, fixes, regressions), where labels are few.
        credit: Predictor -> what its edit contributed, in metric points over the examples that differ; empty where one
            edit was made or it was not found out.
        parent: The number of the candidate that the proposal was made from.
        candidates: The numbers of all candidates that the step evaluated.
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
    p_value: float | None = None
    interval: tuple[float, float] | None = None
    fixes: tuple[int, ...] = ()
    regressions: tuple[int, ...] = ()
    by_class: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    credit: Mapping[str, float] = field(default_factory=dict)
    parent: int = 0
    candidates: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON values."""
        record = asdict(self)
        record["gradients"] = [{"example": number, "calls": dict(calls)} for number, calls in self.gradients]
        record["by_class"] = {name: list(counts) for name, counts in self.by_class.items()}
        return _listed(record)


@dataclass(frozen=True)
class CandidateRecord:
    """One candidate of a run.

    Args:
        number: In the order of proposals; 0 is the start.
        parent: The number of the candidate that it was made from.
        step: The step that it was proposed in; -1 for the start.
        origin: start, proposal, credit (some of the edits of another one), recombined.
        instructions: Predictor's name -> instruction, where it differs from the start.
        scores: Example id -> score, in metric points, on the examples that the loop decided on.
        score: Their mean; None where it was evaluated on none.
    """

    number: int
    parent: int
    step: int
    origin: str
    instructions: Mapping[str, str]
    scores: Mapping[int, float]
    score: float | None

    def to_dict(self) -> dict[str, Any]:
        """The candidate as JSON values."""
        return {**asdict(self), "scores": {str(number): score for number, score in self.scores.items()}}


@dataclass(frozen=True)
class Final:
    """The decision at the end of a run: whether what was found is returned, and how good it is.

    Args:
        returned: Whether it is; else the start is.
        p_value: How probable as good an outcome is, 0 to 1, if no edit of the run has any effect; None where the method
            makes no such decision.
        error: The p-value up to which it is returned; None likewise.
        candidate: The number of the candidate that the decision was about.
        examples: On how many fresh examples both were evaluated; 0: there were none, or they could not be paid for.
        before: The start's mean score on these, in metric points; None where there are none.
        after: The candidate's, likewise.
        gain: The difference.
        interval: Where the true gain lies with 90 % confidence, in metric points; None likewise.
        fixes: How many of these examples the candidate does better.
        regressions: How many worse.
        reason: The decision in words.
    """

    returned: bool
    p_value: float | None = None
    error: float | None = None
    candidate: int = 0
    examples: int = 0
    before: float | None = None
    after: float | None = None
    gain: float | None = None
    interval: tuple[float, float] | None = None
    fixes: int = 0
    regressions: int = 0
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return _listed(asdict(self))


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

    def __str__(self) -> str:
        accepted = sum(step.verdict == "accepted" for step in self.steps)
        return (
            f"score {_shown(self.score_before)} -> {_shown(self.score_after)}, "
            f"{accepted} of {len(self.steps)} proposals accepted, "
            f"{self.total.calls} calls, {self.total.tokens} tokens, {self.seconds:.1f} s; "
            f"{self.reason or self.ending.value}" + (f"; {self.final.reason}" if self.final is not None else "")
        )


def _listed(record: dict[str, Any]) -> dict[str, Any]:
    """A record with lists for tuples, as JSON gives it back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shown(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "unknown"
