"""The outcome of a check, in words for a terminal and with an exit status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..._decide.records import Paired
from ..._json import from_json, to_json
from ..._session.budget import Spent
from ..._terminal import clean, counted, displayed, printable, warned, wrapped
from ..diagnose.record import Diagnosis, PredictorBlame
from .written import junit, markdown

_SHOWN = 5
_STATUS = {"passed": 0, "regressed": 1, "unknown": 2}


@dataclass(frozen=True)
class Broken:
    """An example on which the program is worse than the baseline says.

    Args:
        example_id: Its position.
        id: As in the baseline.
        example: What it holds, in short.
        before: The baseline's score, in metric points.
        after: The program's.
        must: Whether it must not regress.
        error: What the program raised; empty where it returned.
    """

    example_id: int
    id: str
    example: str
    before: float
    after: float
    must: bool = False
    error: str = ""

    @property
    def lost(self) -> float:
        """How much, in metric points."""
        return self.before - self.after


@displayed
@dataclass(frozen=True)
class Checked:
    """Whether a program got worse than a baseline.

    Args:
        verdict: "passed", "regressed", or "unknown" where it could not be told, as after an outage.
        reason: Why, in words.
        result: The program beside the baseline, on the examples that both were scored on; None where there is none.
        p_value: How probable at least this loss is if the program did not get worse, 0 to 1: one-sided.
        level: The p-value up to which the loss is a regression.
        examples: How many examples there are.
        missing: How many could not be run, since a language model or another service did not answer.
        new: How many have no score in the baseline.
        gone: How many of the baseline's are not among the examples.
        musts: How many must not regress.
        broken: The examples that got worse; those that must not first, then those that lost most.
        changed: The predictors whose instruction is not the baseline's.
        blame: Who is to blame for what got worse; None where nobody was asked.
        baseline: The baseline's program, model and date, in words.
        spent: By purpose: forward, metric, backward, check.
        seconds: Wall time, in seconds.
        warnings: What could not be established, in words.
    """

    verdict: Literal["passed", "regressed", "unknown"]
    reason: str
    result: Paired | None
    p_value: float
    level: float
    examples: int
    missing: int = 0
    new: int = 0
    gone: int = 0
    musts: int = 0
    broken: tuple[Broken, ...] = ()
    changed: tuple[str, ...] = ()
    blame: Diagnosis | None = None
    baseline: str = ""
    spent: Mapping[str, Spent] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The exit status of a process: 0 passed, 1 regressed, 2 could not be told."""
        return _STATUS[self.verdict]

    @property
    def blamed(self) -> PredictorBlame | None:
        """The predictor that what got worse comes from, as far as is known: confirmed, else the largest share."""
        first = next(iter(self.blame.predictors), None) if self.blame is not None else None
        return first if first is not None and first.share > 0 else None

    @property
    def total(self) -> Spent:
        """Everything that was spent."""
        return sum(self.spent.values(), Spent())

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values, with its `status`."""
        state = to_json(self)
        state["blame"] = None if self.blame is None else self.blame.to_dict()
        return {**state, "status": self.status}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Checked:
        """The inverse of `to_dict`.

        Raises:
            ValueError: If a part is missing or of another kind.
        """
        rest = {name: value for name, value in state.items() if name not in ("status", "blame")}
        blame = None if state.get("blame") is None else Diagnosis.from_dict(state["blame"])
        return from_json(cls, {**rest, "blame": blame})

    def junit(self) -> str:
        """The outcome as JUnit's XML: a test for all examples, one for each that must not regress and did."""
        return junit(self)

    def markdown(self) -> str:
        """The outcome as Markdown, such as a summary on a page of a build."""
        return markdown(self)

    @printable
    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from wrapped(f"{self.verdict.upper()}: {clean(self.reason)}", "", 4, indent=0)
        yield from wrapped(self.score, "", 3, indent=2)
        for one in self.broken[:_SHOWN]:
            must = ", must not regress" if one.must else ""
            error = f"; {clean(one.error)}" if one.error else ""
            said = f"worse: example {one.example_id}, {one.before:.3g} -> {one.after:.3g}{must} ({clean(one.example)})"
            yield from wrapped(said + error, "", 2, indent=2)
        if len(self.broken) > _SHOWN:
            yield f"  and {len(self.broken) - _SHOWN} more"
        for line in self.guilty:
            yield from wrapped(clean(line), "", 3, indent=2)
        yield from wrapped(clean(self.counts), "", 3, indent=2)
        yield from warned(self.warnings, 3)

    @property
    def score(self) -> str:
        """The two scores, and what differs, in words."""
        one = self.result
        if one is None:
            return "No example has a score in both."
        return (
            f"Score {one.before:.3g} -> {one.after:.3g} on {one.examples} examples: {one.regressions} worse, "
            f"{one.fixes} better; a loss like this by chance: p = {self.p_value:.2g} (regression up to {self.level:g})."
        )

    @property
    def counts(self) -> str:
        """What it was compared with, what was left out, and what that cost, in words."""
        left = [f"{count} {what}" for count, what in self._left if count]
        total = self.total
        usd = f", ${total.usd:.4g}" if total.usd else ""
        return (
            f"Baseline: {self.baseline}; {self.musts} must not regress{''.join(f'; {one}' for one in left)}. "
            f"Spent {counted(total.calls, 'call')}, {total.tokens_told}{usd}, {self.seconds:.0f} s."
        )

    @property
    def _left(self) -> tuple[tuple[int, str], ...]:
        return (self.missing, "missing"), (self.new, "not in the baseline"), (self.gone, "only in the baseline")

    @property
    def guilty(self) -> list[str]:
        """Who is to blame and whose instruction is another than the baseline's, in sentences."""
        lines, one = [], self.blamed
        if one is not None:
            checked = f"; another output of it helped in {one.confirmed} of {one.checked} checks" if one.checked else ""
            lines.append(f"To blame: {one.predictor}, for {one.share * 100:.0f} % of what got worse{checked}.")
            lines += [f"It was said of {one.predictor}: {finding.text}" for finding in one.findings[:1]]
        if self.changed:
            lines.append(f"Another instruction than the baseline's: {', '.join(self.changed)}.")
        return lines
