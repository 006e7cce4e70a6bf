"""The outcome of a check for machines that show it: JUnit's XML, and Markdown.

Examples, errors and findings come from data and models, and may hold markup of both: in the XML the library escapes it,
and what XML cannot hold is spelled out; in Markdown all of it stands in code spans, where nothing is a link, a tag, an
image or the name of somebody who is told.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from ..._terminal import clean, spelled

_SUITE = "dspy-semantic-backprop check"
_MOST = 50
_LONGEST = 4000
"""Characters of an error or of an id in XML: a build's page shows all of them."""


def junit(checked: Any) -> str:
    """A test for all examples together, and one for each example that must not regress and did."""
    whole = {"regressed": "failure", "unknown": "error"}.get(checked.verdict, "")
    cases = [("no regression", whole, checked.reason, str(checked))]
    for one in checked.broken:
        if one.must:
            said = f"{one.before:g} -> {one.after:g} ({one.example})"
            cases.append((f"example {one.id} must not regress", "failure", said, one.error or said))
    return _suite(cases, checked.seconds)


def junit_of_error(why: str) -> str:
    """The same where there is no outcome: one test, with the error."""
    return _suite([("no regression", "error", why, why)], 0.0)


def _suite(cases: list[tuple[str, str, str, str]], seconds: float) -> str:
    counts = {kind: str(sum(one[1] == kind for one in cases)) for kind in ("failure", "error")}
    about = {"name": _SUITE, "tests": str(len(cases)), "failures": counts["failure"], "errors": counts["error"]}
    suite = ElementTree.Element("testsuite", {**about, "time": f"{seconds:.3f}"})
    for name, kind, message, text in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=_SUITE, name=_cut(name))
        if kind:
            ElementTree.SubElement(case, kind, message=_cut(message)).text = _cut(text)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _cut(text: str) -> str:
    more = len(text) - _LONGEST
    return spelled(text[:_LONGEST]) + (f" ... and {more:,} more characters" if more > 0 else "")


def markdown(checked: Any) -> str:
    """The outcome as Markdown: verdict, scores, who is to blame, and the examples that got worse."""
    lines = [f"### Check: {checked.verdict}", "", f"{_code(checked.reason)}", "", f"- {_code(checked.score)}"]
    lines += [f"- {_code(line)}" for line in checked.guilty]
    lines += [f"- {_code(checked.counts)}"]
    if checked.broken:
        lines += ["", "Worse than the baseline:", ""]
    for one in checked.broken[:_MOST]:
        must = " (must not regress)" if one.must else ""
        error = f", {_code(one.error)}" if one.error else ""
        lines.append(
            f"- example {one.example_id}: {one.before:.3g} to {one.after:.3g}{must}, {_code(one.example)}{error}"
        )
    if len(checked.broken) > _MOST:
        lines.append(f"- and {len(checked.broken) - _MOST} more")
    lines += ["", *(f"- Warning: {_code(warning)}" for warning in checked.warnings)] if checked.warnings else []
    return "\n".join(lines) + "\n"


def markdown_of_error(why: str) -> str:
    """The same where there is no outcome."""
    return f"### Check: could not be told\n\n{_code(why)}\n"


def _code(text: str) -> str:
    """A text as a code span, whatever it holds: its fence is longer than any row of its own."""
    line = clean(spelled(text)) or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    inner = f" {line} " if line.startswith("`") or line.endswith("`") else line
    return f"{fence}{inner}{fence}"
