"""The lines of a log: JSON, numbered, each with a checksum, so that a log says itself whether it is whole.

A line that was changed or lost is found; lines that stand doubled or in another order are put right. The last line is
another matter: a process that was killed leaves half of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import JournalError
from .._terminal import logger

SCHEMA = 2
"""Of the lines; another one is not read."""
BEGIN, FIRST = b'{"event":', b'{"event":"run","at":"'
"""How every line begins, and how the first one does."""
_SUM = re.compile(rb'(.*),"sum":"([0-9a-f]{16})"\}', re.DOTALL)


def line_of(number: int, fields: Mapping[str, Any]) -> bytes:
    """A line with its number and its checksum."""
    text = json.dumps(
        {**fields, "line": number}, ensure_ascii=True, separators=(",", ":"), allow_nan=False, default=_class_of
    )
    body = text[:-1].encode("ascii")
    return body + b',"sum":"' + _checksum(body) + b'"}\n'


def read_lines(path: Path, data: bytes, version: str | None) -> list[dict[str, Any]]:
    """The lines of a log, in the order in which they were written, each once.

    Args:
        version: Of the package; the log of another one is not read.

    Raises:
        JournalError: If a line was changed or is missing.
    """
    raw = data.removesuffix(b"\n").split(b"\n")
    _check_version(path, raw[0], version)
    found: dict[int, tuple[bytes, dict[str, Any]]] = {}
    for at, text in enumerate(raw, start=1):
        line = read_line(path, at, text)
        if found.setdefault(line["line"], (text, line))[0] != text:
            raise JournalError(damaged(path, at, f"another line bears its number, {line['line']}"))
    missing = next((number for number in range(1, max(found) + 1) if number not in found), None)
    if missing == 1:
        raise JournalError(f"{path} does not begin with a run; {_WAYS_OUT}")
    if missing is not None:
        at = list(found).index(next(number for number in found if number > missing)) + 1
        raise JournalError(damaged(path, at, f"line number {missing} is lost"))
    if list(found) != sorted(found) or len(found) < len(raw):
        logger.warning("lines of %s stand doubled or in another order; each is read once, in its place", path)
    return [line for _, (_, line) in sorted(found.items())]


_WAYS_OUT = "restore the file, or choose another log_dir"


def damaged(path: Path, at: int, why: str) -> str:
    """What to say of a line that cannot be read, and what to do."""
    before = f"; its first {at - 1} lines alone (head -n {at - 1}) are a log from which the rest is paid for again"
    return f"line {at} of {path} cannot be read ({why}); {_WAYS_OUT}{before if at > 1 else ''}"


def is_whole(text: bytes) -> bool:
    """Whether a line, without its end, is as it was written."""
    parts = _SUM.fullmatch(text)
    return parts is not None and _checksum(parts[1]) == parts[2]


def read_line(path: Path, at: int, text: bytes) -> dict[str, Any]:
    """One line without its end; it stands at this place of the log, from 1.

    Raises:
        JournalError: If it was changed, or is no event.
    """
    if not is_whole(text):
        raise JournalError(damaged(path, at, "it was changed: its checksum is another"))
    try:
        line = _parsed(text)
        if not isinstance(line.get("event"), str) or type(line.get("line")) is not int or line["line"] < 1:
            raise ValueError("it is no event")
        return line
    except (ValueError, RecursionError) as error:
        raise JournalError(damaged(path, at, str(error))) from error


def _check_version(path: Path, text: bytes, version: str | None) -> None:
    try:
        first = _parsed(text)
    except (ValueError, RecursionError):
        return
    for name, here in (("schema", SCHEMA), ("version", version)):
        if first.get("event") == "run" and first.get(name) != here:
            raise JournalError(
                f"{path} was written by another version of this package ({name} {first.get(name)}, here {here}); "
                "finish the run with that version, or choose another log_dir"
            )


def _parsed(text: bytes) -> dict[str, Any]:
    line = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    if not isinstance(line, dict):
        raise ValueError("it is no event")
    return line


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode("ascii")


def _class_of(value: Any) -> str:
    return type(value).__name__
