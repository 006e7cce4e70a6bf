"""Steps, candidates and decisions as the records that a result and a log hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._evaluate.candidate import changed
from .._evaluate.outcome import mean, scored
from .._json import to_json
from .._propose.lessons import Learned
from .._terminal import printable
from .comparison import Comparison
from .consider import Decision
from .pool import Pool


@dataclass(frozen=True)
class Paired:
    """What one program scored more than another on the same examples.

    Args:
        examples: On how many examples.
        before: The mean score of the program to beat, in metric points.
        after: The other one's.
        gain: The mean difference, in metric points.
        interval: Where the true gain lies with 90 % confidence, in metric points.
        p_value: How probable at least this gain is if the two are equally good, 0 to 1.
        fixes: On how many examples the other one is better.
        regressions: On how many it is worse.
    """

    examples: int
    before: float
    after: float
    gain: float
    interval: tuple[float, float]
    p_value: float
    fixes: int
    regressions: int

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return to_json(self)

    @printable
    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.gain:+.3f} ({low:+.3f} to {high:+.3f}), {self.fixes} better, {self.regressions} worse"


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
        compared: On how many of the examples to decide on.
        learned: The same on the examples to learn from, which the default search decides by, too: a block has some of
            each; None where there are none.
        missing: How many of the evaluated examples could not be compared, since the provider failed.
        p_value: How probable at least this gain is if the edit has no effect, 0 to 1; None if not evaluated.
        interval: Where the true gain lies with 90 % confidence, in metric points; None if not evaluated, or if no score
            differs, which says nothing of other examples.
        fixes: The ids of the examples on which the proposal is better.
        regressions: The ids of those on which it is worse.
        by_class: Class of the examples -> (compared, fixes, regressions), where labels are few.
        gains: Predictor -> what its edit is expected to gain, in metric points, by all scores of the run; empty where
            the search does not estimate it.
        parent: The number of the candidate that the proposal was made from.
        candidates: The numbers of all candidates that the step evaluated; the rest of the record is about one of them.
        blame: Predictor -> its mean share of the blame for the failures that the step learned from, 0 to 1.
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
    gains: Mapping[str, float] = field(default_factory=dict)
    parent: int = 0
    candidates: tuple[int, ...] = ()
    blame: Mapping[str, float] = field(default_factory=dict)
    learned: Paired | None = None

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON values."""
        gradients = [{"example": number, "calls": dict(calls)} for number, calls in self.gradients]
        return {**to_json(self), "gradients": gradients}


@dataclass(frozen=True)
class CandidateRecord:
    """One candidate of a run.

    Args:
        number: In the order of proposals; 0 is the start.
        parent: The number of the candidate that it was made from.
        step: The step that it was proposed in; -1 for the start.
        origin: start or proposal.
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
        return to_json(self)


@dataclass(frozen=True)
class Final:
    """The decision at the end of a run: whether what was found is returned, how good it is, and what is proven.

    Args:
        returned: Whether it is returned; else the start is.
        candidate: The number of the candidate that the decision was about.
        proven: Whether its gain is more than luck, by `p_value` and `error`.
        p_value: How probable as good an outcome is, 0 to 1, if no edit of the run has any effect; None where that was
            not tested.
        error: The p-value up to which a gain counts as proven; None likewise.
        worse: The probability, 0 to 1, that the candidate is worse than the start; None where it is not estimated. What
            is `proven` is returned even where it is above `Pooled(worse=...)`.
        gain: The gain that is expected of it on other examples, in metric points; None where nothing tells.
        interval: Where the true gain lies with 90 % confidence, in metric points; None likewise.
        examples: On how many examples that nothing was decided on before both were evaluated; 0: there are none.
        before: The start's mean score on these, in metric points; None where there are none.
        after: The candidate's, likewise.
        fixes: How many of these examples the candidate does better.
        regressions: How many worse.
        worst: Of graded scores the examples that lose most: id, the start's score, the candidate's, in metric points.
        tested: What the p-value is of, and by which test; "" where nothing was tested.
        planned: How many examples there are to decide on, where not all of them have to be run; else 0.
        missing_calls: About how many more calls would have run the start and the candidate on all of these.
        reason: The decision in words.
    """

    returned: bool
    candidate: int = 0
    proven: bool = False
    p_value: float | None = None
    error: float | None = None
    worse: float | None = None
    gain: float | None = None
    interval: tuple[float, float] | None = None
    examples: int = 0
    before: float | None = None
    after: float | None = None
    fixes: int = 0
    regressions: int = 0
    worst: tuple[tuple[int, float, float], ...] = ()
    tested: str = ""
    planned: int = 0
    missing_calls: int = 0
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return to_json(self)

    @property
    def losses(self) -> str:
        """What is returned and scores less on some examples, in words; "" where none is listed."""
        shown = ", ".join(f"example {number} ({old:.3g} -> {new:.3g})" for number, old, new in self.worst)
        return f"; lost most: {shown}" if shown and self.returned else ""


def step_record(step: int, learned: Learned, decision: Decision, pool: Pool, classes: Mapping[int, str]) -> StepRecord:
    """What became of a step; `classes`: example id -> class."""
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
        interval=comparison.interval() if comparison.fixes or comparison.regressions else None,
        fixes=comparison.fixes,
        regressions=comparison.regressions,
        by_class={
            name: (len(part), len(part.fixes), len(part.regressions))
            for name, part in comparison.by_class(classes).items()
        },
        gains=dict(decision.gains),
        parent=pool[learned.parent].number,
        candidates=tuple(pool[one].number for one in decision.evaluated),
        blame={name: round(share, 6) for name, share in learned.blame.items()},
        learned=paired(decision.learned) if len(decision.learned) else None,
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
