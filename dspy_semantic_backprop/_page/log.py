"""A run as its log tells it: the same values that `Result.to_dict()` gives, as far as they stand there."""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .._errors import JournalError
from .._session.budget import Spent
from .._session.journal import FILE
from .._session.lines import BEGIN, read_lines

MOST_POINTS = 400
"""How many points of the cost curve are kept."""
UNFINISHED = "the log ends before the run did: it was stopped, or it is still under way"

Line = Mapping[str, Any]


def read_log(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A run and its cost curve.

    Args:
        folder: The `log_dir` of the run; nothing in it is changed.

    Returns:
        What `Result.to_dict()` gives, as far as it stands there, and what was spent by when: points with `seconds`,
        `calls`, `tokens`, `usd`, and `step` where one ended.

    Raises:
        JournalError: If there is no log, or it cannot be read.
    """
    lines = _lines(Path(folder))
    ended = max((at for at, line in enumerate(lines) if line["event"] == "RunDone"), default=-1)
    stepped = max((at for at, line in enumerate(lines) if line["event"] == "StepDone"), default=-1)
    done = lines[ended].get("result") if ended > stepped else None
    return dict(done) if done else _unfinished(lines), curve(lines)


def _lines(folder: Path) -> Sequence[Line]:
    path = folder / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalError(f"{str(folder)!r} holds no log of a run that can be read: {error.strerror}") from error
    data = data[: data.rfind(b"\n") + 1]
    if not data.startswith(BEGIN):
        raise JournalError(f"{path} is no log of this package")
    version = None
    with contextlib.suppress(ValueError, RecursionError):
        version = json.loads(data[: data.index(b"\n")]).get("version")
    return read_lines(path, data, version)


def _unfinished(lines: Sequence[Line]) -> dict[str, Any]:
    events = {line["event"]: line for line in lines}
    head, begun = lines[0], events.get("RunStarted", {})
    steps = {line["step"]: line["record"] for line in lines if line["event"] == "StepDone"}
    records = [record for _, record in sorted(steps.items())]
    asked = head.get("settings", {})
    return {
        "ending": "",
        "reason": UNFINISHED,
        "score": {"before": None, "after": None},
        "instructions": {"before": begun.get("instructions", {}), "after": {}},
        "steps": records,
        "spent": _by(lines, "purpose"),
        "spent_by_predictor": _by(lines, "predictor"),
        "metric_calls": sum(line["event"] == "kept" and line.get("what") == "grade" for line in lines),
        "usd_per_point": None,
        "seconds": max(line["seconds"] for line in lines),
        "seed": asked.get("seed"),
        "method": "",
        "notes": {},
        "log_dir": None,
        "final": None,
        "candidates": list(_candidates(records)),
        "warnings": [],
        "program": head.get("program", {}).get("class", ""),
        "graph": events.get("GraphKnown", {}).get("graph"),
        "examples": [],
    }


def _candidates(steps: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The candidates whose instructions the steps tell: where a step made several, its record shows one of them."""
    known: dict[int, dict[str, str]] = {0: {}}
    yield _candidate(0, 0, -1, {})
    for step in steps:
        if len(step["candidates"]) == 1 and step["parent"] in known:
            (number,) = step["candidates"]
            known[number] = {**known[step["parent"]], **step["proposed"]}
            yield _candidate(number, step["parent"], step["step"], known[number])


def _candidate(number: int, parent: int, step: int, instructions: Mapping[str, str]) -> dict[str, Any]:
    origin = "start" if step < 0 else "proposal"
    about = {"number": number, "parent": parent, "step": step, "origin": origin}
    return {**about, "instructions": instructions, "scores": {}, "score": None}


def _by(lines: Sequence[Line], account: str) -> dict[str, dict[str, Any]]:
    spent: dict[str, Spent] = defaultdict(Spent)
    for line in lines:
        if line["event"] in ("answer", "lost"):
            spent[line[account]] += _spent(line)
    return {name: asdict(amount) for name, amount in spent.items()}


def _spent(line: Line) -> Spent:
    return Spent(**{one.name: line["spent"].get(one.name, 0) for one in fields(Spent)})


def curve(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """What was spent by when: at the end of every step, and at points in between."""
    answers = sum(line["event"] in ("answer", "lost") for line in lines)
    every, seen, total = max(1, -(-answers // MOST_POINTS)), 0, Spent()
    points: list[dict[str, Any]] = []
    for line in lines:
        if line["event"] in ("answer", "lost"):
            total, seen = total + _spent(line), seen + 1
            if seen % every == 0 or seen == answers:
                points.append(_point(line, total))
        elif line["event"] == "StepDone":
            points.append({**_point(line, total), "step": line["step"]})
    return points


def _point(line: Line, total: Spent) -> dict[str, Any]:
    return {"seconds": line["seconds"], "calls": total.calls, "tokens": total.tokens, "usd": total.usd}
