"""When a text shows that another one was passed on to it, and when it is there by accident."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

SHORT = 12
"""Texts of fewer characters occur anywhere."""
SPAN = 40
"""Of a longer text its first so many characters are looked for."""
WORDS = re.compile(r"\w+")


def parts_of(value: Any, depth: int = 3) -> Iterator[Any]:
    """A value and what it holds, a few levels deep."""
    yield value
    if depth == 0 or isinstance(value, str):
        return
    inside = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        for item in inside:
            yield from parts_of(item, depth - 1)


def telling(value: Any) -> bool:
    """Whether being the same object says something: the interpreter shares small numbers and short strings."""
    if isinstance(value, str):
        return len(value) > 1
    return not isinstance(value, (bool, int, float, bytes, type(None)))


def contained(output: str, text: str, background: list[str]) -> float:
    """How surely an output's text stands in an input's text, 0 to 1.

    Args:
        output: The output, normalised.
        text: The input, normalised.
        background: The program's own inputs, normalised: what stands there proves nothing.
    """
    span = output if len(output) <= SPAN else output[:SPAN]
    at = text.find(span) if span else -1
    if at < 0 or any(span in given for given in background):
        return 0.0
    if output == text:
        return 0.9 if len(output) >= SHORT else 0.7
    if len(span) >= SHORT:
        return 0.9
    before, after = text[at - 1 : at], text[at + len(span) : at + len(span) + 1]
    return 0.0 if before.isalnum() or after.isalnum() else 0.5


def text_of(value: Any) -> str:
    """A value as normalised text: one space between words, case folded."""
    return " ".join(str(value).split()).casefold()


def shows(value: Any, output: Any) -> bool:
    """Whether an input shows that an output was passed on to it: most of the output's words stand in it."""
    words = set(WORDS.findall(text_of(value)))
    if isinstance(output, (str, int, float)):
        own = set(WORDS.findall(text_of(output)))
        return bool(own) and len(own & words) >= 0.6 * len(own)
    return any(own & words for part in parts_of(output) if (own := set(WORDS.findall(text_of(part)))))
