"""Reads files of logs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import dspy

from .._errors import SetupError
from .._graph.record.snapshots import describe
from . import chats, mlflow, openinference
from .log import Log
from .spans import log_of_spans

LogFormat = Literal["openai", "openinference", "mlflow", "whoandwhen"]
"""Chat messages; spans of OpenTelemetry by OpenInference's conventions; MLflow's traces; the logs of Who&When."""

_SPACE = re.compile(r"\s*")
_SUFFIXES = (".json", ".jsonl", ".ndjson")


def read_logs(path: str | os.PathLike[str], format: LogFormat, program: dspy.Module | None = None) -> list[Log]:
    """Read logs of failed executions, so that `diagnose_logs` can say who is to blame.

    Args:
        path: A file with one JSON value or several, as JSON lines are; or a folder of such files.
        format: "openai" for chat messages, "openinference" for spans of OpenTelemetry, "mlflow" for traces of MLflow,
            "whoandwhen" for the logs of that data set.
        program: The program that the spans are of, by whose predictors they are named where fields and instruction
            tell whose they are; None: they are named by their signature. Nothing is run.

    Returns:
        The logs, in the order of the files and of their lines.

    Raises:
        SetupError: If a file cannot be read, or holds something else; it is named.
    """
    if format not in get_args(LogFormat):
        raise SetupError(f"format must be one of {', '.join(get_args(LogFormat))}, not {format!r}")
    if program is not None and not isinstance(program, dspy.Module):
        raise SetupError(f"program must be a dspy.Module, not of type {type(program).__name__}")
    logs = [log for file in _files(path) for log in _logs(file, format, program)]
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


def _logs(file: Path, format: str, program: dspy.Module | None) -> Iterator[Log]:
    states = _states(file, format)
    if format == "openinference":
        with _named(f"{file}", format):
            traces = openinference.spans_by_trace(states)
        for trace, spans in traces.items():
            with _named(f"trace {trace} of {file}", format):
                yield log_of_spans(spans, trace, program)
        return
    for number, state in enumerate(states):
        alone = len(states) == 1
        with _named(f"{file}" if alone else f"value {number} (from 0) of {file}", format):
            yield _log(state, format, file.stem if alone else f"{file.stem}:{number}", program)


def _log(state: Any, format: str, name: str, program: dspy.Module | None) -> Log:
    if format == "mlflow":
        spans = mlflow.spans_in(state)
        return log_of_spans(spans, mlflow.name_of(state, name), program, *mlflow.wanted(state))
    return chats.openai(state, name) if format == "openai" else chats.whoandwhen(state, name)


@contextmanager
def _named(where: str, format: str) -> Iterator[None]:
    """Inside, what is no log is refused by its place."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        why = str(error) if type(error) is ValueError else f"something in it is of another kind ({describe(error)})"
        raise SetupError(f"{where} is no log in the format {format!r}: {why}") from error


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
