"""Text for a terminal of 80 columns, whatever script it is written in and whatever characters it holds.

What nobody can see (control characters, escape sequences, marks of direction, tags) is spelled out, and secrets are
taken out: in all that the package prints, logs and raises (`printable` is where it goes through). The former also in
what a language model is shown.
"""

from __future__ import annotations

import functools
import logging
import math
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import regex

from ._secrets.errors import learn_from
from ._secrets.known import told

COLUMNS, LINES = 80, 24
_NARROWEST = 40
_LONGEST = 2000
_SAID = 24
"""Lines of a warning at most."""
T = TypeVar("T")

_UNSEEN = r"[[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{DI}\p{NChar}]--[\t\n\p{PCM}]]"
_JOINING = r"[[[\p{L}\p{M}]&&[\p{jt=D}\p{jt=R}\p{jt=L}]][[\p{L}\p{M}]--\p{InSC=Other}]--\p{DI}]"
_RIGHT_TO_LEFT = r"[[\p{bc=R}\p{bc=AL}]&&\p{L}]"
_BRITISH = "|".join("".join(chr(0xE0000 + ord(one)) for one in name) for name in ("gbeng", "gbsct", "gbwls"))
_NEEDED = "|".join(
    (
        r"\r(?=\n)",
        # Joiners inside words of scripts whose letters join or stack (Persian, Hindi, Bengali); never a row of them.
        rf"(?<={_JOINING}[\p{{Mn}}--\p{{DI}}]*)[\u200c\u200d](?!{_UNSEEN})",
        # Breaks between words of scripts without spaces (Khmer, Thai).
        r"(?<=\p{lb=SA})\u200b(?=\p{lb=SA})",
        # A mark of direction, one, in a line that has letters from right to left.
        rf"(?<!{_UNSEEN})[\u061c\u200e\u200f](?!{_UNSEEN})"
        rf"(?:(?<={_RIGHT_TO_LEFT}[^\n]{{0,80}})|(?=[^\n]{{0,80}}{_RIGHT_TO_LEFT}))",
        # Emoji: how they are shown, keycaps, what is joined of several, the flags of parts of a country.
        r"(?<=[\p{Emoji}--[0-9#*]])[\ufe0e\ufe0f](?!\p{Variation_Selector})|(?<=[0-9#*])\ufe0f(?=\u20e3)",
        r"(?<=\p{Extended_Pictographic}(?:\ufe0f|\p{Emoji_Modifier})?)\u200d(?=\p{Extended_Pictographic})",
        rf"(?<=\U0001f3f4)(?:{_BRITISH})\U000e007f",
        rf"(?<=[\p{{Script=Mongolian}}&&\p{{L}}])[\u180b-\u180f](?!{_UNSEEN})",
    )
)
_UNSEEN_ROW = regex.compile(rf"(?V1)(?:(?=[^ -~\t\n]){_UNSEEN})+")
_NEEDED_HERE = regex.compile(rf"(?V1)(?:{_NEEDED})")


def _hidden(text: str) -> Iterator[tuple[int, int]]:
    """Where characters stand that nobody can see and that no script needs there: each row of them."""
    for row in _UNSEEN_ROW.finditer(text):
        start, at = row.start(), row.start()
        while at < row.end():
            needed = _NEEDED_HERE.match(text, at)
            if needed and start < at:
                yield start, at
            at = needed.end() if needed else at + 1
            start = at if needed else start
        if start < at:
            yield start, at


def hidden(text: str) -> list[str]:
    """The characters of a text that nobody can see and that no script needs where they stand, each row of them."""
    return [text[start:end] for start, end in _hidden(text)]


def seen(text: str) -> str:
    """A text without all that nobody can see, also where a script needs it."""
    return _UNSEEN_ROW.sub("", text)


def spelled(text: str) -> str:
    """A text with what nobody can see spelled out, as in Python: it can be printed, sent and read by anybody."""
    if text.isascii() and text.isprintable():
        return text
    parts, at = [], 0
    for start, end in _hidden(text):
        parts += [text[at:start], *map(_escape, text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"


def printable(write: Callable[[Any], str]) -> Callable[[Any], str]:
    """A method that makes a text, `__str__` above all, such that anybody can be shown what it returns."""

    @functools.wraps(write)
    def written(self: Any) -> str:
        return spelled(told(write(self)))

    return written


def shown(kind: type[T]) -> type[T]:
    """A class that holds values of users, such that a terminal can be given its `repr`, too."""
    setattr(kind, "__repr__", printable(kind.__repr__))  # noqa: B010 - a type checker takes it for a slot
    return kind


def displayed(kind: type[T]) -> type[T]:
    """A class that IPython and notebooks show as its `str`, not as the long `repr` of its fields."""
    setattr(kind, "_repr_pretty_", lambda self, printer, cycle: printer.text(str(self)))  # noqa: B010 - as above
    return kind


class Printable(logging.Filter):
    """Makes what a logger says such that anybody can be shown it, tracebacks included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Spell out a record's message and traceback; every record passes."""
        if record.exc_info and record.exc_info[1] is not None:
            learn_from(record.exc_info[1])
        record.msg, record.args = spelled(told(record.getMessage())), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = spelled(told(logging.Formatter().formatException(record.exc_info)))
        return True


class Aloud(logging.Handler):
    """Says warnings where nobody has configured logging: above a progress bar, and in a notebook as ordinary output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record down for a person."""
        stream = sys.stdout if "ipykernel" in sys.modules else sys.stderr
        if stream is None or logging.getLogger().handlers or logger.handlers != [self]:
            return
        text = self.format(record)
        if not record.exc_text and (stream is sys.stdout or stream.isatty()):
            text = "\n".join(wrapped(f"{record.levelname.capitalize()}: {text}", "", _SAID, indent=0))
        bars: Any = sys.modules.get("tqdm.std")
        try:
            if bars is not None:
                bars.tqdm.write(text, file=stream)  # a bar that stands there is taken away and drawn again below
            else:
                print(text, file=stream, flush=True)
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)


logger = logging.getLogger("dspy_semantic_backprop")
"""The one logger of the package."""
logger.addFilter(Printable())
logger.addHandler(Aloud(logging.WARNING))


def wrapped(text: str, end: str, most: int, indent: int = 4) -> list[str]:
    """A text in at most so many lines; one that is too long is cut between words, and its end is kept."""
    if most <= 0:
        return []
    # What fits into 80 columns must not be cut for want of lines in a narrower terminal.
    most = math.ceil(most * COLUMNS / terminal_columns())
    space = terminal_columns() - indent - 2
    lines = _lines(text + end, space)
    if len(lines) > most == 1:
        return []
    if len(lines) > most:
        kept = _lines(text, space)[:most]
        kept[-1] = f"{first(kept[-1], space - columns(end) - 4).rsplit(' ', 1)[0]} ...{end}"
        lines = kept
    return [" " * (indent + 2 * bool(at)) + line for at, line in enumerate(lines)]


def warned_within(warnings: Sequence[str], room: int) -> list[str]:
    """As many warnings as there are lines for, one at least, and how many more there are."""
    whole = warned(warnings, len(warnings))
    return whole if len(whole) <= room else warned(warnings, max(1, (room - 1) // 3))


def warned(warnings: Sequence[str], most: int, lines: int = 3) -> list[str]:
    """So many warnings at most, each in so many lines, and how many more there are."""
    said = [line for one in warnings[:most] for line in wrapped(f"Warning: {clean(one)}", "", lines, indent=0)]
    more = len(warnings) - most
    return [*said, f"{more} more in `warnings`"] if more > 0 else said


def terminal_columns() -> int:
    """How many columns there are to write in: 80, or as many as a narrower terminal has."""
    here = shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else COLUMNS
    return max(_NARROWEST, min(COLUMNS, here))


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
    """A text on one line, with what nobody can see spelled out."""
    return " ".join(spelled(text[:_LONGEST]).split())


def counted(number: int, noun: str) -> str:
    """So many of something: "1 step", "1,200 steps"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def columns(text: str) -> int:
    """How many columns of the terminal a text takes."""
    return sum(_cells(one) for one in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
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
