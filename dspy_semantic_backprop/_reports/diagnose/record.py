"""Who is to blame for a program's failures, and how sure that is: a record that prints within one screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..._session.budget import Spent

Verdict = Literal["confirmed", "not confirmed", "unchecked"]
"""Whether changing the blamed outputs as asked made failing examples better, in at least half of the checks."""


@dataclass(frozen=True)
class Finding:
    """What was said of a predictor's outputs, in plain words.

    Args:
        text: How they should have been different.
        examples: The ids of the examples that it was said of.
        disputed: Whether something else was said of the same predictor that contradicts it.
    """

    text: str
    examples: tuple[int, ...]
    disputed: bool = False


@dataclass(frozen=True)
class Check:
    """One counterfactual: outputs changed as their gradients ask, and the rest of the program run again.

    Args:
        example_id: The failing example.
        calls: The ids of the calls whose outputs are changed: one, or all the blamed ones together.
        predictors: The predictor of each.
        before: The example's score, in metric points.
        after: Its score with the output changed; None where the check could not be carried out.
        asked: How many of the program's calls had to be asked again.
        problem: Why the check could not be carried out, in words; empty where it was.
    """

    example_id: int
    calls: tuple[str, ...]
    predictors: tuple[str, ...]
    before: float
    after: float | None = None
    asked: int = 0
    problem: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether the score rose."""
        return self.after is not None and self.after > self.before


@dataclass(frozen=True)
class PredictorBlame:
    """One predictor's part in the failures.

    Args:
        predictor: Its name.
        share: Its mean share of the blame over the failing examples, 0 to 1.
        interval: Where that mean lies with 95 % confidence, given these examples.
        failures: In how many examples no predictor has a larger share.
        findings: The most frequent things said of it, most frequent first.
        checked: How many of its calls were checked alone.
        confirmed: How many of these checks made the score rise.
        final: Whether its outputs go straight into the returned prediction, so that there is nothing to check.
    """

    predictor: str
    share: float
    interval: tuple[float, float] = (0.0, 1.0)
    failures: int = 0
    findings: tuple[Finding, ...] = ()
    checked: int = 0
    confirmed: int = 0
    final: bool = False

    @property
    def verdict(self) -> Verdict:
        """What the checks say."""
        if not self.checked:
            return "unchecked"
        return "confirmed" if 2 * self.confirmed >= self.checked else "not confirmed"


@dataclass(frozen=True)
class Diagnosis:
    """Who is to blame for a program's failures on a set of examples.

    Args:
        examples: How many examples there are.
        failures: How many of them failed.
        missing: How many the provider left unanswered.
        score: The mean score of the others, in metric points.
        predictors: Every predictor's part, the largest share first.
        traced: How many failures the blame rests on; the others have no gradients.
        unknown: The share of the blame, 0 to 1, for which no usable answer came.
        checks: Every check, in the order of their planning.
        max_calls: The most language-model calls that the checks might make.
        spent: By purpose: forward, metric, backward, check.
        seconds: Wall time, in seconds.
        notes: What happened in the backward passes, by name, how often; see `backward.ask`.
        warnings: What could not be established, in words.
    """

    examples: int
    failures: int
    missing: int
    score: float
    predictors: tuple[PredictorBlame, ...] = ()
    traced: int = 0
    unknown: float = 0.0
    checks: tuple[Check, ...] = ()
    max_calls: int = 0
    spent: Mapping[str, Spent] = field(default_factory=dict)
    seconds: float = 0.0
    notes: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def total(self) -> Spent:
        """Everything that was spent."""
        return sum(self.spent.values(), Spent())

    def __str__(self) -> str:
        from .text import diagnosis_text

        return diagnosis_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as JSON values; each predictor with its `verdict`, each check with `confirmed`."""
        predictors = [{**_predictor(one), "verdict": one.verdict} for one in self.predictors]
        checks = [
            {**vars(one), "calls": list(one.calls), "predictors": list(one.predictors), "confirmed": one.confirmed}
            for one in self.checks
        ]
        return {
            **{name: value for name, value in vars(self).items()},
            "score": self.score if self.score == self.score else None,
            "predictors": predictors,
            "checks": checks,
            "spent": {purpose: asdict(spent) for purpose, spent in self.spent.items()},
            "notes": dict(self.notes),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Diagnosis:
        """The inverse of `to_dict`.

        Raises:
            KeyError: If a part is missing.
            TypeError: If a part is unknown.
        """
        parts = {
            "score": float("nan") if state["score"] is None else state["score"],
            "predictors": tuple(_predictor_from(one) for one in state["predictors"]),
            "checks": tuple(_check_from(one) for one in state["checks"]),
            "spent": {purpose: Spent(**spent) for purpose, spent in state["spent"].items()},
            "warnings": tuple(state["warnings"]),
        }
        return cls(**{**state, **parts})


def _predictor(one: PredictorBlame) -> dict[str, Any]:
    findings = [{**asdict(finding), "examples": list(finding.examples)} for finding in one.findings]
    return {**vars(one), "interval": list(one.interval), "findings": findings}


def _check_from(state: Mapping[str, Any]) -> Check:
    values = {name: value for name, value in state.items() if name != "confirmed"}
    return Check(**{**values, "calls": tuple(state["calls"]), "predictors": tuple(state["predictors"])})


def _predictor_from(state: Mapping[str, Any]) -> PredictorBlame:
    findings = (Finding(**{**one, "examples": tuple(one["examples"])}) for one in state["findings"])
    values = {name: value for name, value in state.items() if name != "verdict"}
    return PredictorBlame(**{**values, "interval": tuple(state["interval"]), "findings": tuple(findings)})
