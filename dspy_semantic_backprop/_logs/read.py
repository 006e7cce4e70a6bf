"""Reads files of logs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from .._errors import SetupError
from . import chats
from .log import Log

LogFormat = Literal["openai", "openinference", "mlflow", "whoandwhen"]
"""Chat messages; spans of OpenTelemetry by OpenInference's conventions; MLflow's traces; the logs of Who&When."""

_READERS: dict[str, Callable[[Any, str], Log]] = {"openai": chats.openai, "whoandwhen": chats.whoandwhen}
_SPACE = re.compile(r"\s*")
_SUFFIXES = (".json", ".jsonl", ".ndjson")


def read_logs(path: str | os.PathLike[str], format: LogFormat) -> list[Log]:
    """Read logs of failed executions, so that `diagnose_logs` can say who is to blame.

    Args:
        path: A file with one JSON value or several, as JSON lines are; or a folder of such files.
        format: "openai" for chat messages, "openinference" for spans of OpenTelemetry, "mlflow" for traces of MLflow,
            "whoandwhen" for the logs of that data set.

    Returns:
        The logs, in the order of the files and of their lines.

    Raises:
        SetupError: If a file cannot be read, or holds something else; it is named.
    """
    if format not in get_args(LogFormat):
        raise SetupError(f"format must be one of {', '.join(get_args(LogFormat))}, not {format!r}")
    logs = [log for file in _files(path) for log in _logs(file, format)]
    if not logs:
        raise SetupError(f"{os.fspath(path)!r} holds no log")
    return logs


def _files(path: str | os.PathLike[str]) -> Sequence[Path]:
    found = Path(path)
    if not found.is_dir():
        return [found]
    files = [one for one in found.iterdir() if one.suffix in _SUFFIXES and one.is_file()]
    # 2.json before 10.json.
    return sorted(files, key=lambda file: (len(file.stem), file.name))


def _logs(file: Path, format: str) -> Iterator[Log]:
    states = _states(file, format)
    for number, state in enumerate(states):
        name = file.stem if len(states) == 1 else f"{file.stem}:{number}"
        try:
            yield _READERS[format](state, name)
        except ValueError as error:
            where = f"{file}" if len(states) == 1 else f"value {number} (from 0) of {file}"
            raise SetupError(f"{where} is no log in the format {format!r}: {error}") from error


def _states(file: Path, format: str) -> list[Any]:
    """The JSON values of a file; of a list, its items, unless it is a list of messages."""
    found: list[Any] = []
    for value in _values(file):
        one = not isinstance(value, list) or (format == "openai" and _is_chat(value))
        found += [value] if one else value
    return found


def _is_chat(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(one, dict) and "role" in one for one in values)


def _values(file: Path) -> Iterator[Any]:
    """JSON values one after another: a single one, one on each line, or as a console exporter prints them."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SetupError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    decoder, at = json.JSONDecoder(), _after_space(text, 0)
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise SetupError(f"{file} is no JSON at line {text.count(chr(10), 0, at) + 1}: {error}") from error
        yield value
        at = _after_space(text, at)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
