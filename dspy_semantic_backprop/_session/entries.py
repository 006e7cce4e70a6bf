"""What a log tells of the processes that wrote it: answers, grades, and what they cost."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from .._errors import JournalError
from .budget import Account, Bound, Purpose, Spent

SCHEMA = 1
"""Of the lines; another one is not read."""
_SETTLED = ("EvaluationDone", "StepDone")
"""Events that rest on what came before: a failure before one of them is part of the run, a later one is not."""
_FRAME = ("event", "at", "seconds")


@dataclass(frozen=True)
class Answered:
    """What a language model answered to one request.

    Args:
        usage: Tokens, as the client reported them.
        shown: The entry that DSPy's history got, without the question; no part of a log, None from there.
    """

    outputs: Any
    usage: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Unanswered:
    """A provider's failure that outlived all retries: the error's class by name, its message, the HTTP status."""

    kind: str
    message: str
    status: int | None = None


@dataclass
class JournalState:
    """What happened before a run was resumed; of a new run, nothing.

    Args:
        kept: Key -> what is remembered under it, in order: answers, failures, grades, edges.
        events: Digest of an event -> how often it happened.
        accounts: What was spent; a request under way at the end counts at its bound.
        seconds: How long the run took, in seconds.
        ticket: The last ticket of a request.
    """

    kept: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    events: Counter[str] = field(default_factory=Counter)
    steps: set[int] = field(default_factory=set)
    accounts: dict[Account, Spent] = field(default_factory=lambda: defaultdict(Spent))
    metric_calls: int = 0
    seconds: float = 0.0
    ticket: int = 0


def read_state(path: Path, data: bytes, header: Mapping[str, Any]) -> JournalState:
    """What the whole lines of a log, at least one, tell; the header says what the run is.

    Raises:
        JournalError: If a line cannot be read, or the log is of another run.
    """
    first, *lines = _read(path, data)
    _check(path, first, json.loads(json.dumps({"schema": SCHEMA, **header}, default=str)))
    found = JournalState()
    under_way: dict[int, tuple[Account, Bound]] = {}
    settled = max((at for at, line in enumerate(lines) if line["event"] in _SETTLED), default=-1)
    try:
        for at, line in enumerate(lines):
            found.seconds = max(found.seconds, float(line["seconds"]))
            if line["event"] == "sent":
                found.ticket = max(found.ticket, line["ticket"])
                under_way[line["ticket"]] = (_account(line), Bound(**line["bound"]))
            elif line["event"] in ("answer", "lost"):
                under_way.pop(line["ticket"], None)
                _spent(found, line)
            elif line["event"] != "failure" or at < settled:
                _remember(found, line)
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(
            f"{path} holds a line that cannot be read ({error!r}); restore the file, or choose another log_dir"
        ) from error
    for account, bound in under_way.values():
        found.accounts[account] += bound.lost
    return found


def _account(line: Mapping[str, Any]) -> Account:
    return Purpose(line["purpose"]), line["predictor"]


def _spent(found: JournalState, line: Mapping[str, Any]) -> None:
    found.accounts[_account(line)] += Spent(**line["spent"])
    if line["event"] == "answer":
        found.kept[line["key"]].append(Answered(line["outputs"], line["usage"]))


def _remember(found: JournalState, line: Mapping[str, Any]) -> None:
    match line["event"]:
        case "failure":
            found.kept[line["key"]].append(Unanswered(line["kind"], line["message"], line["status"]))
        case "kept":
            found.metric_calls += line["what"] == "grade"
            found.kept[line["key"]].append(line["value"])
        case "resumed":
            pass
        case event:
            found.events[digest_of([event, _unframed(line)])] += 1
            if event == "StepDone":
                found.steps.add(line["step"])


def _unframed(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in _FRAME}


def _read(path: Path, data: bytes) -> list[dict[str, Any]]:
    lines = []
    for number, text in enumerate(data.splitlines(), start=1):
        try:
            line = json.loads(text)
            if not isinstance(line, dict) or not isinstance(line.get("event"), str):
                raise ValueError("it is no event")
        except (ValueError, RecursionError) as error:
            raise JournalError(
                f"line {number} of {path} cannot be read ({error}); restore the file, or choose another log_dir"
            ) from error
        lines.append(line)
    return lines


def _check(path: Path, first: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    if first["event"] != "run":
        raise JournalError(f"{path} does not begin with a run; restore the file, or choose another log_dir")
    known = _unframed(first)
    for name in ("schema", "version"):
        if known.get(name) != header.get(name):
            raise JournalError(
                f"{path} was written by another version of this package ({name} {known.get(name)}, here "
                f"{header.get(name)}); finish the run with that version, or choose another log_dir"
            )
    if known != header:
        raise JournalError(
            f"{path} belongs to another run: {difference(known, header)}; "
            "go back to what it was, or choose another log_dir"
        )


def digest_of(value: Any) -> str:
    """The SHA-256 of a value's canonical JSON."""
    canonical = json.dumps(plain(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def plain(value: Any) -> Any:
    """A value as JSON values: dataclasses as dicts, tuples as lists, numbers that JSON does not have as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain({name: getattr(value, name) for name in value.__dataclass_fields__})
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


_MOST_NAMED = 3
"""How many differences are named."""
_WIDTH = 60
_ABSENT = "absent"


def difference(old: Any, new: Any) -> str:
    """The first differences between two JSON values, several by ", ", such as "settings.steps was 8 and is 4"."""
    found = list(_differences(old, new, ""))
    named = [f"{path} was {_short(one)} and is {_short(other)}" for path, one, other in found[:_MOST_NAMED]]
    rest = [f"{len(found) - _MOST_NAMED} more"] if len(found) > _MOST_NAMED else []
    return ", ".join([*named, *rest])


def _differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            below = f"{path}.{name}" if path else str(name)
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), below)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"the length of {path}", len(old), len(new)
        for at, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _differences(one, other, f"{path}[{at}]")
    elif old != new:
        yield path, old, new


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) or value != _ABSENT else _ABSENT
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
