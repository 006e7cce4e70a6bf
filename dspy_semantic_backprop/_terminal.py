"""Text for a terminal of 80 columns, whatever script it is written in and whatever control characters it holds."""

from __future__ import annotations

import unicodedata

COLUMNS, LINES = 80, 24
_LONGEST = 2000


def wrapped(text: str, end: str, most: int, indent: int = 4) -> list[str]:
    """A text in at most so many lines; one that is too long is cut between words, and its end is kept."""
    if most <= 0:
        return []
    space = COLUMNS - indent - 2
    lines = _lines(text + end, space)
    if len(lines) > most == 1:
        return []
    if len(lines) > most:
        kept = _lines(text, space)[:most]
        kept[-1] = f"{first(kept[-1], space - columns(end) - 4).rsplit(' ', 1)[0]} ...{end}"
        lines = kept
    return [" " * (indent + 2 * bool(at)) + line for at, line in enumerate(lines)]


def _lines(text: str, space: int) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if line and columns(line) + 1 + columns(word) > space:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        while columns(line) > space:
            # Scripts without spaces, and endless words.
            lines.append(first(line, space))
            line = line[len(lines[-1]) :]
    return [*lines, line] if line else lines


def clean(text: str) -> str:
    """A text on one line, without characters that a terminal does not show in one column or two."""
    plain = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in text[:_LONGEST])
    return " ".join(plain.split())


def columns(text: str) -> int:
    """How many columns of the terminal a text takes."""
    return sum(_cells(one) for one in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitted(text: str, width: int) -> str:
    """A name in exactly so many columns; of a longer one the middle goes, since its end tells it from its siblings."""
    text = clean(text) or "?"
    if columns(text) > width:
        tail = (width - 1) // 2
        text = f"{first(text, width - 1 - tail)}…{first(text[::-1], tail)[::-1]}"
    return text + " " * (width - columns(text))


def first(text: str, width: int) -> str:
    """As much of a text as fits into so many columns."""
    used = 0
    for at, character in enumerate(text):
        used += _cells(character)
        if used > width:
            return text[:at]
    return text
