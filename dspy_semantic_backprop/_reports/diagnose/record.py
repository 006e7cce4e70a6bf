"""Who is to blame for a program's failures, and how sure that is: a record that prints within one screen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..._json import from_json, to_json
from ..._session.budget import Spent
from ..._terminal import (
    LINES,
    clean,
    columns,
    counted,
    displayed,
    first,
    fitted,
    printable,
    terminal_columns,
    warned,
    wrapped,
)

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
        share: Its mean share of the blame over the failing examples, 0 to 1, by what was said and checked.
        interval: Where its share of such failures lies with 95 % probability, errors of the reader and of the checks
            counted.
        if_right: The same, given that every failure was read right.
        failures: In how many examples no predictor has a larger share.
        findings: The most frequent things said of it, most frequent first.
        checked: How many of its calls were checked alone.
        confirmed: How many of these checks made the score rise.
        final: Whether its outputs go straight into the returned prediction, so that there is nothing to check.
    """

    predictor: str
    share: float
    interval: tuple[float, float] = (0.0, 1.0)
    if_right: tuple[float, float] = (0.0, 1.0)
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
class BlamedCall:
    """One call's part in one failure.

    Args:
        example_id: The failing example, or the number of the log.
        call: The call's id; of a log it names the turn.
        share: Its share of the blame for that failure, 0 to 1.
        said: How its output, or its instruction, should have been different.
    """

    example_id: int
    call: str
    predictor: str
    share: float
    said: tuple[str, ...] = ()


@displayed
@dataclass(frozen=True)
class Diagnosis:
    """Who is to blame for a program's failures on a set of examples.

    Args:
        examples: How many examples there are.
        failures: How many of them failed.
        missing: How many the provider left unanswered.
        score: The mean score of the others, in metric points.
        predictors: Every predictor's part; first the largest by its share, or by how often checks are sure to help.
        traced: How many failures the blame rests on; the others have no gradients.
        unknown: The share of the blame, 0 to 1, for which no usable answer came.
        missed: How much of what was at fault the reader let pass, with 95 % probability, 0 to 1.
        false_alarms: How much of what was not at fault it accused.
        checks: Every check, in the order of their planning.
        max_calls: The most language-model calls that the checks might make.
        most_checks: The most single checks that might be made.
        left_out: How many of these `max_calls` left no room for.
        calls: Of each failure the calls with the largest shares, the largest first.
        logs: The names of the logs, where logs were diagnosed, which cannot be run again: nothing was checked, and
            there is no score.
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
    missed: tuple[float, float] = (0.0, 1.0)
    false_alarms: tuple[float, float] = (0.0, 1.0)
    checks: tuple[Check, ...] = ()
    max_calls: int = 0
    most_checks: int = 0
    left_out: int = 0
    calls: tuple[BlamedCall, ...] = ()
    logs: tuple[str, ...] = ()
    spent: Mapping[str, Spent] = field(default_factory=dict)
    seconds: float = 0.0
    notes: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def total(self) -> Spent:
        """Everything that was spent."""
        return sum(self.spent.values(), Spent())

    @printable
    def __str__(self) -> str:
        head, tail = [*_head(self), *_turns(self)], _tail(self)
        if not self.predictors:
            return "\n".join([*head, *tail])
        blamed = _shown(self, LINES - len(head) - len(tail) - 1 - _REST)
        rest = _rest(self, blamed)
        table, *rows = _table(blamed)
        room = LINES - len(head) - len(tail) - len(rows) - len(rest) - 1
        said = _said(blamed, room, "log" if self.logs else "example")
        body = [line for row, lines in zip(rows, said, strict=True) for line in (row, *lines)]
        return "\n".join([*head, table, *body, *rest, *tail])

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as JSON values; each predictor with its `verdict`, each check with `confirmed`."""
        state = to_json(self)
        # JSON has no number for the mean of nothing.
        state["score"] = None if math.isnan(self.score) else state["score"]
        for one, shown in zip(self.predictors, state["predictors"], strict=True):
            shown["verdict"] = one.verdict
        for check, shown in zip(self.checks, state["checks"], strict=True):
            shown["confirmed"] = check.confirmed
        return state

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Diagnosis:
        """The inverse of `to_dict`.

        Raises:
            ValueError: If a part is missing or of another kind.
        """
        unknown = {"score": math.nan} if "score" in state and state["score"] is None else {}
        return from_json(cls, {**state, **unknown})


_ROWS, _REST, _NAME, _IDS, _FINDING, _LEADING = 8, 2, 22, 4, 3, 2
_SINGLE, _LOGS = 3, 4
"""How many turns of a single log are shown, and of how many logs a line."""
_SHARE, _SURE, _IF_RIGHT, _CHECK = "share", "95 % sure", "if right", "check (helped in)"
_SHORTEST, _LEAST = 6, 12
"""A name gets so many columns at least, and the second before a range gets any."""
_SHOWN = 0.005
"""A smaller share is none, in whole percents."""


def _head(diagnosis: Diagnosis) -> list[str]:
    if diagnosis.logs:
        line = f"{diagnosis.traced} of {len(diagnosis.logs)} logs were gone through; a log cannot be run again, so "
        said = wrapped(line + "nothing was checked: shares are what the model said.", "", 2, indent=0)
        return [*said, *(_concluded(diagnosis) if diagnosis.traced else [])]
    run = diagnosis.examples - diagnosis.missing
    line = f"{diagnosis.failures} of {run} examples failed, mean score {diagnosis.score:.3g}"
    line = first(line + f"; {diagnosis.missing} more are missing" if diagnosis.missing else line, terminal_columns())
    if not diagnosis.failures:
        return [line, "There is nothing to blame."] if run else ["No example could be run."]
    untraced = diagnosis.failures - diagnosis.traced
    if untraced:
        failures = "1 failure is" if untraced == 1 else f"{untraced} failures are"
        return [line, f"{failures} left out: no gradients, since the model did not answer.", *_concluded(diagnosis)]
    return [line, *_concluded(diagnosis)]


def _turns(diagnosis: Diagnosis) -> list[str]:
    """Of logs the turns with the largest shares: of a single log several and what was said of them."""
    if not diagnosis.logs:
        return []
    by_log: dict[int, list[BlamedCall]] = {}
    for one in diagnosis.calls:
        by_log.setdefault(one.example_id, []).append(one)
    if len(diagnosis.logs) == 1:
        some = [one for calls in by_log.values() for one in calls[:_SINGLE]]
        told = [(f"{_part(one)}: {clean(one.said[0])}" if one.said else _part(one)) for one in some]
        return [line for text in told for line in wrapped(text, "", _FINDING, indent=2)]
    lines = [
        first(f"  log {number}, {clean(diagnosis.logs[number])}: {_part(calls[0])}", terminal_columns())
        for number, calls in list(by_log.items())[:_LOGS]
    ]
    more = len(by_log) - len(lines)
    return [*lines, *([f"  and {more} more {'log' if more == 1 else 'logs'}: see `calls`"] if more else [])]


def _part(one: BlamedCall) -> str:
    return f"{clean(one.call)} ({one.share * 100:.0f} %)"


def _shown(diagnosis: Diagnosis, room: int) -> list[PredictorBlame]:
    """The predictors that get a row: whatever a check confirmed, then the largest shares."""
    wanted = [one for one in diagnosis.predictors if one.share >= _SHOWN or one.confirmed]
    first_of_all = sorted(wanted, key=lambda one: (not one.confirmed, -one.share))[: max(1, min(_ROWS, room))]
    return [one for one in wanted if one in first_of_all]


def _table(shown: Sequence[PredictorBlame]) -> Iterator[str]:
    """A head and a row for each; in a narrow terminal without the ranges that are least needed."""
    longest = max([len("predictor"), *(columns(clean(one.predictor)) for one in shown)])
    verdicts = max((len(_verdict(one)) for one in shown), default=0)
    rest = [_CHECK, _SHARE, _SURE, _IF_RIGHT]
    space = terminal_columns() - 4 - max(verdicts, len(_CHECK)) - sum(len(one) + 2 for one in rest[1:])
    while space < min(longest, _LEAST) and len(rest) > 2:
        space += len(rest.pop()) + 2
    width = max(_SHORTEST, min(longest, _NAME, space))
    yield "  ".join(["", fitted("predictor", width), *rest[1:], _CHECK])
    for one in shown:
        said = {
            _SHARE: f"{one.share * 100:3.0f} %",
            _SURE: f"{_percent(one.interval):>{len(_SURE)}}",
            _IF_RIGHT: f"{_percent(one.if_right):>{len(_IF_RIGHT)}}",
        }
        yield "  ".join(["", fitted(one.predictor, width), *(said[name] for name in rest[1:]), _verdict(one)])


def _percent(within: tuple[float, float]) -> str:
    low, high = (f"{bound * 100:.0f}" for bound in within)
    return f"{low} %" if low == high else f"{low}-{high} %"


def _verdict(one: PredictorBlame) -> str:
    if one.checked:
        return f"{one.verdict} ({one.confirmed} of {one.checked})"
    return "unchecked (final step)" if one.final else "unchecked"


def _said(blamed: Sequence[PredictorBlame], room: int, unit: str) -> list[list[str]]:
    """The findings of each predictor in as many lines as there are, one finding a round.

    Why the most blamed come first and not everybody gets one: a whole sentence can be acted on, half of one cannot.
    """
    lines: list[list[str]] = [[] for _ in blamed]
    most = max((len(one.findings) for one in blamed), default=0)
    # Blame that failed its check waits until the others have had their say.
    order = sorted(range(len(blamed)), key=lambda at: blamed[at].share * (1 + (blamed[at].verdict != "not confirmed")))
    for rank in range(most):
        for at in reversed(order):
            if rank < len(blamed[at].findings):
                finding = blamed[at].findings[rank]
                sentence = wrapped(f"- {clean(finding.text)}", _where(finding, unit), min(_FINDING, room))
                lines[at] += sentence
                room -= len(sentence)
    return lines


def _where(finding: Finding, unit: str) -> str:
    ids = finding.examples
    if not ids:
        return ""
    some = ", ".join(map(str, ids[:_IDS])) + (", ..." if len(ids) > _IDS else "")
    return f" ({'disputed; ' if finding.disputed else ''}{unit}{'s' if len(ids) > 1 else ''} {some})"


def _rest(diagnosis: Diagnosis, shown: Sequence[PredictorBlame]) -> list[str]:
    others = [one for one in diagnosis.predictors if one not in shown]
    if not others:
        return []
    share, most = sum(one.share for one in others), max(one.interval[1] for one in others)
    names = ", ".join(clean(one.predictor) for one in others)
    count = "1 other" if len(others) == 1 else f"{len(others)} others"
    each = f"{count} with {share * 100:.0f} % together, each at most {most * 100:.0f} %: {names}"
    return wrapped(each, "", _REST, indent=2)


def _tail(diagnosis: Diagnosis) -> list[str]:
    lines = _reader(diagnosis)
    if diagnosis.unknown >= 0.005:
        lines.append(f"No usable answer came about {diagnosis.unknown * 100:.0f} % of the blame.")
    checks = diagnosis.checks
    calls = {purpose: spent.calls for purpose, spent in diagnosis.spent.items()}
    if checks:
        alone = [check for check in checks if len(check.calls) == 1]
        together = _rose([check for check in checks if len(check.calls) > 1])
        text = f"Checks: changing one output helped in {_rose(alone)}"
        text += f", changing all blamed ones of an example in {together}" if together != "0 of 0" else ""
        text += f"; {counted(calls.get('check', 0), 'call')}, at most {diagnosis.max_calls}."
        lines += wrapped(text, "", 2, indent=0)
        failed = [check.problem for check in checks if check.after is None]
        lines += wrapped(f"{len(failed)} could not be made: {clean(failed[0])}", "", 2, indent=0) if failed else []
    lines += warned(diagnosis.warnings, 2, 2)
    spent = ", ".join(f"{purpose} {count}" for purpose, count in calls.items())
    total = diagnosis.total
    text = f"Spent: {counted(total.calls, 'call')} ({spent}), {total.tokens_told}, {diagnosis.seconds:.0f} s."
    return lines + wrapped(text, "", 2, indent=0)


def _reader(diagnosis: Diagnosis) -> list[str]:
    """How far what the gradient model read can be trusted."""
    if len(diagnosis.predictors) < 2:
        return []
    missed, alarms = _percent(diagnosis.missed), _percent(diagnosis.false_alarms)
    reader = f"'if right': had the reader not erred; it missed {missed} of what was wrong"
    return wrapped(f"{reader} and accused {alarms} of the rest.", "", 2, indent=0)


def _concluded(diagnosis: Diagnosis) -> list[str]:
    """What is sure and what is not, and what would make it surer."""
    if len(diagnosis.predictors) < 2:
        return []
    least = max(min(one.interval) for one in diagnosis.predictors)
    leading = [fitted(one.predictor, _NAME).strip() for one in diagnosis.predictors if max(one.interval) >= least]
    named = leading[: _LEADING if len(leading) > _LEADING + 1 else None]
    more = [f"{len(leading) - len(named)} more"] if len(named) < len(leading) else []
    *some, last = [*named, *more]
    unsure = f"Not sure whose share is largest: {', '.join(some)} or {last}. {_next(diagnosis)}"
    return wrapped(unsure if some else f"Sure whose share is largest: {last}.", "", 3, indent=0)


def _next(diagnosis: Diagnosis) -> str:
    """What to do where it is not sure who is to blame."""
    made = sum(one.checked for one in diagnosis.predictors)
    if diagnosis.logs:
        return "To be surer: more failed logs."
    if diagnosis.left_out:
        return f"To be surer: more calls for checks (max_calls={diagnosis.max_calls + 4 * diagnosis.left_out})."
    if made:
        more = "" if made < diagnosis.most_checks else f"more checks (checks={2 * made}) or "
        return f"To be surer: {more}more failures."
    if not diagnosis.max_calls and not all(one.final for one in diagnosis.predictors):
        return "To be surer: checks (checks=8); none were made."
    return "To be surer: more failures; nothing blamed could be checked."


def _rose(checks: Sequence[Check]) -> str:
    return f"{sum(check.confirmed for check in checks)} of {sum(check.after is not None for check in checks)}"
