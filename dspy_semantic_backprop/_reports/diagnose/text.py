"""A diagnosis as text for a terminal: at most 24 lines of at most 80 columns, whatever the program is called."""

from __future__ import annotations

from collections.abc import Sequence

from ..._terminal import COLUMNS, LINES, clean, columns, first, fitted, wrapped
from .record import Check, Diagnosis, Finding, PredictorBlame

_ROWS = 8
_NAME = 22
_IDS = 4
_FINDING = 3


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """A diagnosis as text.

    Args:
        diagnosis: The diagnosis.

    Returns:
        At most 24 lines of at most 80 columns; what does not fit is cut, and says so.
    """
    head = _head(diagnosis)
    if not diagnosis.predictors:
        return "\n".join([*head, *_tail(diagnosis)])
    tail = _tail(diagnosis)
    blamed = [one for one in diagnosis.predictors if one.share >= 0.005][:_ROWS]
    width = min(_NAME, max((columns(clean(one.predictor)) for one in blamed), default=0))
    rest = _rest(diagnosis, blamed)
    rows = [_row(one, width) for one in blamed]
    width = max(width, len("predictor"))
    table = f"  {'predictor':{width}}  share    95 % sure  worst in  check (helped in)"
    room = LINES - len(head) - len(tail) - len(rows) - len(rest) - 1
    said = _said(blamed, room)
    body = [line for row, lines in zip(rows, said, strict=True) for line in (row, *lines)]
    return "\n".join([*head, table, *body, *rest, *tail])


def _head(diagnosis: Diagnosis) -> list[str]:
    run = diagnosis.examples - diagnosis.missing
    line = f"{diagnosis.failures} of {run} examples failed, mean score {diagnosis.score:.3g}"
    line += f"; {diagnosis.missing} more are missing" if diagnosis.missing else ""
    if not diagnosis.failures:
        return [line, "There is nothing to blame."] if run else ["No example could be run."]
    untraced = diagnosis.failures - diagnosis.traced
    if untraced:
        failures = "1 failure is" if untraced == 1 else f"{untraced} failures are"
        return [line, f"{failures} left out: no gradients, since the model did not answer."]
    return [line]


def _row(one: PredictorBlame, width: int) -> str:
    low, high = one.interval
    name = fitted(one.predictor, width)
    sure = f"{low * 100:.0f} to {high * 100:.0f} %"
    row = f"  {name}  {one.share * 100:3.0f} %  {sure:>11}  {one.failures:>8}  {_verdict(one)}"
    return first(row, COLUMNS)


def _verdict(one: PredictorBlame) -> str:
    if one.checked:
        return f"{one.verdict} ({one.confirmed} of {one.checked})"
    return "unchecked (final step)" if one.final else "unchecked"


def _said(blamed: Sequence[PredictorBlame], room: int) -> list[list[str]]:
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
                sentence = wrapped(f"- {clean(finding.text)}", _where(finding), min(_FINDING, room))
                lines[at] += sentence
                room -= len(sentence)
    return lines


def _where(finding: Finding) -> str:
    ids = finding.examples
    if not ids:
        return ""
    some = ", ".join(map(str, ids[:_IDS])) + (", ..." if len(ids) > _IDS else "")
    return f" ({'disputed; ' if finding.disputed else ''}example{'s' if len(ids) > 1 else ''} {some})"


def _rest(diagnosis: Diagnosis, shown: Sequence[PredictorBlame]) -> list[str]:
    others = [one for one in diagnosis.predictors if one not in shown]
    if not others:
        return []
    share = sum(one.share for one in others)
    names = ", ".join(clean(one.predictor) for one in others)
    return wrapped(f"{len(others)} others with {share * 100:.0f} % together: {names}", "", 2, indent=2)


def _tail(diagnosis: Diagnosis) -> list[str]:
    lines = []
    if diagnosis.unknown >= 0.005:
        lines.append(f"No usable answer came about {diagnosis.unknown * 100:.0f} % of the blame.")
    checks = diagnosis.checks
    calls = {purpose: spent.calls for purpose, spent in diagnosis.spent.items()}
    if checks:
        alone = [check for check in checks if len(check.calls) == 1]
        together = _rose([check for check in checks if len(check.calls) > 1])
        text = f"Checks: changing one output helped in {_rose(alone)}"
        text += f", changing all blamed ones of an example in {together}" if together != "0 of 0" else ""
        lines += wrapped(f"{text}; {calls.get('check', 0)} calls, at most {diagnosis.max_calls}.", "", 2, indent=0)
        lines += _problems([check for check in checks if check.after is None])
    for warning in diagnosis.warnings[:2]:
        lines += wrapped(f"Warning: {clean(warning)}", "", 2, indent=0)
    spent = ", ".join(f"{purpose} {count}" for purpose, count in calls.items())
    total = diagnosis.total
    text = f"Spent: {total.calls} calls ({spent}), {total.tokens:,} tokens, {diagnosis.seconds:.0f} s."
    return lines + wrapped(text, "", 2, indent=0)


def _rose(checks: Sequence[Check]) -> str:
    return f"{sum(check.confirmed for check in checks)} of {sum(check.after is not None for check in checks)}"


def _problems(failed: Sequence[Check]) -> list[str]:
    if not failed:
        return []
    text = f"{len(failed)} could not be made: {clean(failed[0].problem)}"
    return wrapped(text, "", 2, indent=0)
