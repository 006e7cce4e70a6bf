"""Requests in plain text that other optimizers write: what they ask for, read from what they show.

- TextGrad asks for feedback to a span of text, `<VARIABLE>`, and then for the span with it, `<IMPROVED_VARIABLE>`.
- OptoPrime (OpenTrace) shows variables, values and feedback under headings, and asks for a JSON object of new values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NO_LESSON = re.compile(r"<LM_SYSTEM_PROMPT>.*?</LM_SYSTEM_PROMPT>|<VARIABLE>.*?</VARIABLE>", re.DOTALL)
_SECTION = re.compile(r"^#(\w+)[ \t]*$", re.MULTILINE)
_VARIABLE = re.compile(r"^\(str\) (\w+)=", re.MULTILINE)


@dataclass(frozen=True)
class Tagged:
    """A request about a span of text.

    Args:
        improves: Whether the span itself is asked for, and not words about it.
        told: Whether the span is an instruction, and not an output.
        span: The span.
        material: What a lesson can be drawn from.
    """

    improves: bool
    told: bool
    span: str
    material: str


def tagged(text: str) -> Tagged | None:
    """The request about a span of text; None for any other."""
    # The glossary and the examples of the format come before the request.
    _, _, request = text.rpartition("<ROLE>")
    role, span = request.partition("</ROLE>")[0], _between(request, "VARIABLE")
    if not role or not span:
        return None
    instruction = "instruction" in role or "prompt" in role
    whole = _between(request, "LM_SYSTEM_PROMPT")
    # A long span is shown by its beginning and its end.
    if instruction and " (...) " in span and whole.startswith(span.partition(" (...) ")[0]):
        span = whole
    return Tagged("<IMPROVED_VARIABLE>" in request, instruction, span, _NO_LESSON.sub("", request))


def _between(text: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return found[1].strip() if found else ""


def variables(text: str) -> tuple[dict[str, str], str] | None:
    """The variables that are to be given new values, and the rest under the headings; None for any other request."""
    if '"suggestion"' not in text:
        return None
    sections = dict(_sections(text.rpartition("Now you see problem instance:")[2]))
    pieces = _VARIABLE.split(sections.pop("Variables", ""))
    material = "\n".join(sections.get(name, "") for name in ("Inputs", "Others", "Outputs", "Feedback"))
    return {name: value.strip() for name, value in zip(pieces[1::2], pieces[2::2], strict=True)}, material


def _sections(text: str) -> Iterator[tuple[str, str]]:
    pieces = _SECTION.split(text)
    yield from zip(pieces[1::2], pieces[2::2], strict=True)
