"""Values that the simulated model says and compares: their form, the same value in other words, a slip."""

from __future__ import annotations

import re
from collections import Counter

from dspy_semantic_backprop.testing import Prompt

from .reading import EDGES
from .skills import Kind


def canonical(value: str) -> str:
    """A value without what does not matter when two are compared: quotes, case, spaces, a final period."""
    text = " ".join(value.split()).strip(EDGES).casefold()
    return text.replace(",", "") if re.fullmatch(r"-?[\d,]+", text) else text


def kind_of(value: str) -> Kind:
    """The shape of an answer."""
    if re.fullmatch(r"\([A-Za-z]\)", value):
        return "option"
    if re.fullmatch(r"[-$]?[\d,.]+%?", value):
        return "number"
    if re.fullmatch(r"yes|no|true|false|valid|invalid|plausible|implausible", value, re.IGNORECASE):
        return "word"
    return "words" if re.fullmatch(r"[a-z&'-]+(?: [a-z&'-]+)+", value[:2000]) else "text"


def majority(values: list[str]) -> str:
    """The value said most often, the first of those on a tie; of verdicts, yes if most are in doubt."""
    counts = Counter(map(canonical, values))
    if set(counts) <= {"doubtful", "trustworthy"}:
        return "yes" if counts["doubtful"] * 2 > len(values) else "no"
    return next(value for value in values if canonical(value) == counts.most_common(1)[0][0])


def truth_value(value: str, name: str, prompt: Prompt) -> str:
    """Yes (a lie) means false where the label is about the truth of a statement."""
    choices = {str(choice).casefold() for choice in prompt.schemas[name].get("enum", [])}
    if value in ("yes", "no") and "lie" not in name and "false" in choices:
        return "false" if value == "yes" else "true"
    return value


def slipped(value: str, kind: Kind) -> str:
    """A wrong answer of the same form."""
    if kind == "number":
        return str(int(value) + 1) if re.fullmatch(r"-?\d{1,300}", value) else f"{value}1"
    pairs = {"yes": "no", "no": "yes", "Yes": "No", "No": "Yes", "True": "False", "False": "True"}
    turned = "(A)" if value != "(A)" else "(B)"
    return turned if kind == "option" else pairs.get(value, " ".join(value.split()[::-1]))
