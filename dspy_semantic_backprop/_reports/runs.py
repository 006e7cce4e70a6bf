"""What is in a folder of logs: which program, how far it came, whether it goes on, and what it has cost."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .._errors import JournalError, SetupError
from .._session.budget import Spent
from .._session.files import content, opened
from .._session.journal import FILE, LOCK
from .._session.lines import read_lines
from .._terminal import clean, counted, logger, printable, wrapped

_OPEN = ("running", "unfinished", "unreadable")
_DEEPEST = 3
"""How many folders below the given one logs are looked for."""


@dataclass(frozen=True)
class LoggedRun:
    """A run as its log tells of it.

    Args:
        folder: Where the log is.
        program: The class of the program; "" where the log cannot be read.
        state: "running", "unfinished", the name of its `Ending` in small letters, or "unreadable".
        resumable: Whether starting the same call again goes on, or gives the same result for nothing.
        why: Why, or why not, in words.
        steps: How many steps were made.
        score: The mean score of the best program so far on the examples decided on, in metric points; None for none.
        spent: What was spent, requests without an answer left out.
        seconds: Wall time, in seconds.
        started: When the log begins, as an ISO date.
    """

    folder: str
    program: str
    state: str
    resumable: bool
    why: str
    steps: int = 0
    score: float | None = None
    spent: Spent = field(default_factory=Spent)
    seconds: float = 0.0
    started: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)

    @printable
    def __str__(self) -> str:
        score = "no score yet" if self.score is None else f"score {self.score:.4g}"
        usd = f", ${self.spent.usd:.2f}" if self.spent.usd else ""
        steps = counted(self.steps, "step")
        spent = f"{counted(self.spent.calls, 'call')}, {self.spent.tokens:,} tokens{usd}, {self.seconds:.0f} s"
        about = f"{clean(self.program)}, {self.started[:16].replace('T', ' ')} UTC: {steps}, {score}; {spent}"
        goes_on = f"{'resumable' if self.resumable else 'not resumable'}: {clean(self.why)}"
        lines = [*wrapped(about, "", 2, indent=2)] if self.program else []
        state = self.state if self.state in _OPEN else f"ended, {self.state}"
        return "\n".join([f"{clean(self.folder)}: {state}", *lines, *wrapped(goes_on, "", 8, indent=2)])


def runs_in(folder: str | os.PathLike[str]) -> list[LoggedRun]:
    """The runs whose logs are in a folder, or up to three folders below it, by their paths."""
    if not Path(folder).is_dir():
        raise SetupError(f"{os.fspath(folder)!r} is no folder")
    return [_run(found) for found in sorted(_logs(Path(folder), _DEEPEST))]


def logged_run(folder: str | os.PathLike[str]) -> LoggedRun | None:
    """The run whose log is in a folder; None for none."""
    return _run(Path(folder)) if os.path.lexists(Path(folder) / FILE) else None


def _logs(folder: Path, depth: int) -> Iterator[Path]:
    if os.path.lexists(folder / FILE):
        yield folder
    try:
        below = [one for one in folder.iterdir() if one.is_dir() and not one.is_symlink()] if depth else []
    except OSError as error:
        logger.warning("%s cannot be looked into: %s", folder, error.strerror)
        return
    for one in below:
        yield from _logs(one, depth - 1)


def _run(folder: Path) -> LoggedRun:
    try:
        lines, torn = _lines(folder / FILE)
        return _told(folder, lines, torn)
    except (JournalError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        said = str(error) if isinstance(error, (JournalError, OSError)) else "a line is of another kind"
        return LoggedRun(str(folder), "", "unreadable", False, said)


def _lines(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The whole lines of a log, and whether the last one is torn."""
    handle = opened(path, os.O_RDONLY)
    try:
        data = content(handle)
    finally:
        os.close(handle)
    end = data.rfind(b"\n") + 1
    if not end:
        raise JournalError(f"{path} holds no whole line")
    return read_lines(path, data[:end], version("dspy-semantic-backprop")), end < len(data)


def _told(folder: Path, lines: Sequence[Mapping[str, Any]], torn: bool) -> LoggedRun:
    # What happened before a run was resumed is not written again: only what is new comes after its end.
    told = [line for line in lines if line["event"] != "resumed"]
    done = told[-1] if told[-1]["event"] == "RunDone" else None
    steps = {line["step"]: line["record"] for line in lines if line["event"] == "StepDone"}
    start = next((line["score"] for line in lines if line["event"] == "EvaluationDone"), None)
    accepted = [one["after"] for one in steps.values() if one["verdict"] == "accepted" and one["after"] is not None]
    paid = [Spent(**line["spent"]) for line in lines if line["event"] in ("answer", "lost")]
    state, resumable, why = _state(folder, done, torn)
    return LoggedRun(
        folder=str(folder),
        program=str(lines[0]["program"]["class"]),
        state=state,
        resumable=resumable,
        why=why,
        steps=len(steps),
        score=_returned(done) or (accepted[-1] if accepted else start),
        spent=sum(paid, Spent()),
        seconds=max(line["seconds"] for line in lines),
        started=str(lines[0]["at"]),
    )


def _returned(done: Mapping[str, Any] | None) -> float | None:
    """The score of the program that a run gave back, where the log says it."""
    result = (done or {}).get("result") or {}
    return result.get("score", {}).get("after")


def _state(folder: Path, done: Mapping[str, Any] | None, torn: bool) -> tuple[str, bool, str]:
    if _in_use(folder):
        return "running", False, "another process works on it; wait for it to end"
    if done is None:
        end = "; its last line is torn and is paid for again" if torn else ""
        return "unfinished", True, f"the same call goes on from there with the same program, data and settings{end}"
    again = "the same call gives the same result and pays for nothing"
    if done["ending"] == "budget":
        again = "the same call goes on with a larger budget"
    elif done["ending"] in ("interrupted", "journal", "failed"):
        again = "the same call goes on from there"
    return str(done["ending"]), True, f"{again}; it ended because: {done['reason']}"


def _in_use(folder: Path) -> bool:
    """Whether a process holds the log."""
    import filelock

    if not (folder / LOCK).is_file():
        return False
    try:
        with filelock.FileLock(folder / LOCK, timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        # A folder that cannot be written to is no folder that a run works in.
        return False
