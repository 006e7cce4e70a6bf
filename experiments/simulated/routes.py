"""Sending a question to the step that is for its kind."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .skills import Skill
from .tasks import find

ROUTE = Skill(
    "route",
    "Choose amounts where a number is asked for, and logic where something is true or false.",
    r"amounts where|logic where|(?:number|quantity) is asked for",
)
_SAID = re.compile(r"\broute\b(?: ## \]\])?[\"']?\s*[:=]?\s*[\"']?(amounts|logic)\b")


def right_route(question: str, choices: Sequence[str]) -> str:
    """The choice that a question belongs to; the first one where none of them is known."""
    found = find(question)
    right = "amounts" if found and found[0].kind == "number" else "logic"
    return right if right in choices else choices[0]


def route_in(text: str) -> str:
    """The route that an output says; empty for none."""
    said = _SAID.search(text) or re.fullmatch(r"\W*(amounts|logic)\W*", text)
    return said[1] if said else ""


def misrouted(text: str) -> bool:
    """Whether a stretch of text shows a question that was sent to the wrong step."""
    said = _SAID.search(text)
    return bool(said and find(text) and right_route(text, ["amounts", "logic"]) != said[1])
