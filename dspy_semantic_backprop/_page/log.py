"""A run as its log tells it: the same values that `Result.to_dict()` gives, as far as they stand there.

A log holds every answer of a long run and may be larger than memory: it is read line by line, and answers are added up.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .._errors import JournalError
from .._session.budget import Spent
from .._session.journal import FILE
from .._session.lines import BEGIN, SCHEMA, read_line

MOST_POINTS = 400
"""How many points of the cost curve are kept, beside the ends of steps."""
UNFINISHED = "the log ends before the run did: it was stopped, or it is still under way"
_AMOUNTS = tuple(one.name for one in fields(Spent))

Line = Mapping[str, Any]


def read_log(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A run and its cost curve, by its `log_dir`, in which nothing is changed.

    The run is what `Result.to_dict()` gives, as far as it stands there; the curve has points with `seconds`, `calls`,
    `tokens`, `usd`, and `step` where one ended.
    """
    path, told = Path(folder) / FILE, _Told()
    try:
        with path.open("rb") as file:
            for line in _lines(path, file):
                told.take(line)
    except OSError as error:
        raise JournalError(f"{str(folder)!r} holds no log of a run that can be read: {error.strerror}") from error
    if "run" not in told.last:
        raise JournalError(f"{path} is no log of this package")
    return told.state(), told.curve()


def _lines(path: Path, file: Any) -> Iterator[Line]:
    """The whole lines of a log, each once; the last one may still be half."""
    seen: set[int] = set()
    for at, text in enumerate(file, start=1):
        if at == 1 and not text.startswith(BEGIN):
            raise JournalError(f"{path} is no log of this package")
        if not text.endswith(b"\n"):
            break
        line = read_line(path, at, text[:-1])
        if line["event"] == "run" and line.get("schema") != SCHEMA:
            raise JournalError(f"{path} was written by another version of this package, and is not read")
        if line["line"] not in seen:
            seen.add(line["line"])
            yield line
    if seen and max(seen) != len(seen):
        raise JournalError(f"{path} has lost {max(seen) - len(seen)} of its lines: what it tells would be wrong")


@dataclass
class _Told:
    """What a log tells, added up line by line; one of `every` so many answers becomes a point of the cost curve."""

    last: dict[str, Line] = field(default_factory=dict)
    steps: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    spent: dict[tuple[str, str], Spent] = field(default_factory=lambda: defaultdict(Spent))
    whole: Spent = field(default_factory=Spent)
    points: list[dict[str, Any]] = field(default_factory=list)
    answers: int = 0
    every: int = 1
    grades: int = 0
    seconds: float = 0.0

    def take(self, line: Line) -> None:
        """Take one more line in."""
        self.seconds = max(self.seconds, line["seconds"])
        if line["event"] != "resumed":  # what comes after an end makes it none
            self.last.pop("RunDone", None)
        if line["event"] in ("answer", "lost"):
            self._spend(line)
        elif line["event"] == "kept":
            self.grades += line.get("what") == "grade"
        elif line["event"] in ("run", "RunStarted", "GraphKnown", "RunDone"):
            self.last[line["event"]] = line
        if line["event"] == "StepDone":
            self.steps[line["step"]] = line["record"]
            self.points.append({**self._point(line["seconds"]), "step": line["step"]})

    def _spend(self, line: Line) -> None:
        amount = Spent(**{name: line["spent"].get(name, 0) for name in _AMOUNTS})
        self.spent[line["purpose"], line["predictor"]] += amount
        self.whole, self.answers = self.whole + amount, self.answers + 1
        if self.answers % self.every == 0:
            self.points.append(self._point(line["seconds"]))
        if len(self.points) - len(self.steps) > 2 * MOST_POINTS:
            self.every *= 2
            self.points = [one for at, one in enumerate(self.points) if at % 2 or "step" in one]

    def _point(self, seconds: float) -> dict[str, Any]:
        return {"seconds": seconds, "calls": self.whole.calls, "tokens": self.whole.tokens, "usd": self.whole.usd}

    def curve(self) -> list[dict[str, Any]]:
        """What was spent by when, up to the end."""
        end = [self._point(self.seconds)] if self.answers else []
        return sorted([*self.points, *end], key=lambda one: one["seconds"])

    def state(self) -> dict[str, Any]:
        """What `Result.to_dict()` gives: the result at the log's end, or what is known of a run that did not end."""
        done = self.last.get("RunDone", {})
        if done.get("result"):
            return dict(done["result"])
        head, records = self.last["run"], [record for _, record in sorted(self.steps.items())]
        return {
            "ending": "",
            "reason": UNFINISHED,
            "score": {"before": None, "after": None},
            "instructions": {"before": self.last.get("RunStarted", {}).get("instructions", {}), "after": {}},
            "steps": records,
            "spent": self._by(0),
            "spent_by_predictor": self._by(1),
            "metric_calls": self.grades,
            "usd_per_point": None,
            "seconds": self.seconds,
            "seed": head.get("settings", {}).get("seed"),
            "method": "",
            "notes": {},
            "log_dir": None,
            "final": None,
            "candidates": list(_candidates(records)),
            "warnings": [],
            "program": head.get("program", {}).get("class", ""),
            "graph": self.last.get("GraphKnown", {}).get("graph"),
            "examples": [],
        }

    def _by(self, part: int) -> dict[str, dict[str, Any]]:
        total: dict[str, Spent] = defaultdict(Spent)
        for account, amount in self.spent.items():
            total[account[part]] += amount
        return {name: asdict(amount) for name, amount in total.items()}


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
