"""What a log tells of the processes that wrote it: answers, grades, and what they cost."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, create_model

from .._errors import JournalError
from .._terminal import logger
from .._values.text import printed
from .budget import Account, Bound, Purpose, Spent
from .lines import SCHEMA, damaged, read_lines

KEY = "journal.key"
"""The file with the key of the digests in a log's head."""
_SETTLED = ("EvaluationDone", "StepDone")
"""Events that rest on what came before: a failure before one of them is part of the run, a later one is not."""
_FRAME = ("event", "at", "seconds", "line", "sum")
APART = "result"
"""The field of an event that holds clocks and costs, and so is not the same when the same thing happens again."""


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


@dataclass(frozen=True)
class LaidIn:
    """One request of a batch: its ticket, what it is booked under, the most that it can cost, and its key."""

    ticket: int
    account: Account
    bound: Bound
    key: str


@dataclass
class SentBatch:
    """A batch that was under way at the end: our name, the provider's where it was known, and what is not answered."""

    name: str
    number: str | None = None
    requests: list[LaidIn] = field(default_factory=list)


@dataclass
class JournalState:
    """What happened before a run was resumed; of a new run, nothing.

    Args:
        kept: Key -> what is remembered under it, in order: answers, failures, grades, edges.
        events: Digest of an event -> how often it happened.
        accounts: What was spent; a request under way at the end counts at its bound.
        seconds: How long the run took, in seconds.
        ticket: The last ticket of a request.
        lines: How many lines there are.
        batches: Our name -> a batch under way at the end; its requests are in no account.
    """

    kept: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    events: Counter[str] = field(default_factory=Counter)
    steps: set[int] = field(default_factory=set)
    accounts: dict[Account, Spent] = field(default_factory=lambda: defaultdict(Spent))
    metric_calls: int = 0
    seconds: float = 0.0
    ticket: int = 0
    lines: int = 0
    batches: dict[str, SentBatch] = field(default_factory=dict)


# What the lines of each kind hold. A number that no run can have written would lift a budget.
_Count = Annotated[int, Field(ge=0, strict=True)]
_Amount = Annotated[float, Field(ge=0, strict=True)]
_Text = Annotated[str, Field(strict=True)]


def _amounts(kind: Any) -> Any:
    types = {one.name: (_Count if one.type == "int" else _Amount, one.default) for one in fields(kind)}
    return create_model(f"{kind.__name__}Line", __config__={"extra": "forbid"}, **types)  # pyright: ignore


class _Event(BaseModel):
    event: _Text
    seconds: _Amount


class _Step(_Event):
    step: _Count


class _Sent(_Event):
    ticket: _Count
    purpose: Purpose
    predictor: _Text
    bound: _amounts(Bound)  # pyright: ignore[reportInvalidTypeForm]


class _InBatch(BaseModel):
    ticket: _Count
    purpose: Purpose
    predictor: _Text
    bound: _amounts(Bound)  # pyright: ignore[reportInvalidTypeForm]
    key: _Text


class _Batch(_Event):
    name: _Text
    requests: list[_InBatch]


class _Made(_Event):
    name: _Text
    batch: _Text


class _Lost(_Event):
    ticket: _Count
    purpose: Purpose
    predictor: _Text
    spent: _amounts(Spent)  # pyright: ignore[reportInvalidTypeForm]


class _Reply(_Lost):
    key: _Text
    outputs: list[Any]
    usage: dict[str, Any]


class _Failure(_Event):
    key: _Text
    kind: _Text
    message: _Text
    status: int | None


class _Kept(_Event):
    what: _Text
    key: _Text
    value: Any


_KINDS: Mapping[str, type[_Event]] = {
    "sent": _Sent,
    "batch": _Batch,
    "batch made": _Made,
    "lost": _Lost,
    "answer": _Reply,
    "failure": _Failure,
    "kept": _Kept,
    "StepDone": _Step,
}


def read_state(path: Path, data: bytes, header: Mapping[str, Any], key: bytes | None) -> JournalState:
    """What the whole lines of a log, at least one, tell.

    Args:
        header: What the run is.
        key: Of the digests in the log's head; None where it is lost.

    Raises:
        JournalError: If a line was changed or lost, holds what cannot be, or the log is of another run.
    """
    lines = read_lines(path, data, header.get("version"))
    _check(path, lines[0], header, key)
    found = JournalState(lines=len(lines))
    under_way: dict[int, tuple[Account, Bound]] = {}
    laid: dict[int, tuple[str, LaidIn]] = {}
    settled = max((at for at, line in enumerate(lines) if line["event"] in _SETTLED), default=-1)
    for at, line in enumerate(lines[1:], start=1):
        entry = _entry(path, line)
        found.seconds = max(found.seconds, entry.seconds)
        if isinstance(entry, _Sent):
            found.ticket = max(found.ticket, entry.ticket)
            under_way[entry.ticket] = ((entry.purpose, entry.predictor), Bound(**entry.bound.model_dump()))
        elif isinstance(entry, _Batch):
            found.ticket = max(found.ticket, *(one.ticket for one in entry.requests))
            found.batches[entry.name] = SentBatch(entry.name)
            laid |= {one.ticket: (entry.name, _laid_in(one)) for one in entry.requests}
        elif isinstance(entry, _Made):
            found.batches[entry.name].number = entry.batch
        elif isinstance(entry, _Lost):
            under_way.pop(entry.ticket, None)
            laid.pop(entry.ticket, None)
            _spent(found, entry)
        elif not isinstance(entry, _Failure) or at < settled:
            _remember(found, entry, line)
    for account, bound in under_way.values():
        found.accounts[account] += bound.lost
    for name, one in laid.values():
        found.batches[name].requests.append(one)
    found.batches = {name: one for name, one in found.batches.items() if one.requests}
    return found


def _laid_in(one: _InBatch) -> LaidIn:
    return LaidIn(one.ticket, (one.purpose, one.predictor), Bound(**one.bound.model_dump()), one.key)


def _entry(path: Path, line: Mapping[str, Any]) -> _Event:
    try:
        return _KINDS.get(line["event"], _Event).model_validate(line)
    except ValidationError as error:
        wrong = ", ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise JournalError(damaged(path, line["line"], wrong)) from None


def _spent(found: JournalState, entry: _Lost) -> None:
    found.accounts[entry.purpose, entry.predictor] += Spent(**entry.spent.model_dump())
    if isinstance(entry, _Reply):
        found.kept[entry.key].append(Answered(entry.outputs, entry.usage))


def _remember(found: JournalState, entry: _Event, line: Mapping[str, Any]) -> None:
    if isinstance(entry, _Failure):
        found.kept[entry.key].append(Unanswered(entry.kind, entry.message, entry.status))
    elif isinstance(entry, _Kept):
        found.metric_calls += entry.what == "grade"
        found.kept[entry.key].append(entry.value)
    elif entry.event != "resumed":
        found.events[digest_of([entry.event, _unframed(line)])] += 1
        if isinstance(entry, _Step):
            found.steps.add(entry.step)


def _unframed(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in (*_FRAME, APART)}


def _check(path: Path, first: Mapping[str, Any], header: Mapping[str, Any], key: bytes | None) -> None:
    known, now = _unframed(first), sealed({"schema": SCHEMA, **header}, key)
    if key is None and (without := _unsealed(known)) != known:
        known = without
        logger.warning(
            "%s stands without its %s: whether the metric and the program hold what they held cannot be told", path, KEY
        )
    if known != now:
        raise JournalError(
            f"{path} belongs to another run: {difference(known, now)}; "
            "go back to what it was, or choose another log_dir"
        )


@dataclass(frozen=True)
class Held:
    """What a metric or a program holds: in the head of a log only its digest stands, under the log's own key.

    Why a key, and why in a file of its own: of a password of four digits a mere digest tells everything to whoever
    tries them all. A log can be shown to others without its key, and they cannot.
    """

    value: Any = field(repr=False)


def sealed(value: Any, key: bytes | None) -> Any:
    """JSON values, with digests in place of what is held; without a key, with nothing."""
    if isinstance(value, Held):
        content = digest_of(value.value).encode("ascii")
        return {"held": None if key is None else hmac.new(key, content, "sha256").hexdigest()[:16]}
    if isinstance(value, Mapping):
        return {str(name): sealed(item, key) for name, item in value.items()}
    return [sealed(item, key) for item in value] if isinstance(value, (list, tuple)) else plain(value)


def _unsealed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {"held": None} if value.keys() == {"held"} else {name: _unsealed(item) for name, item in value.items()}
    return [_unsealed(item) for item in value] if isinstance(value, list) else value


def digest_of(value: Any) -> str:
    """The SHA-256 of a value's canonical JSON."""
    canonical = json.dumps(plain(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def plain(value: Any) -> Any:
    """A value as JSON values: dataclasses as dicts, tuples as lists, numbers that JSON does not have as None."""
    if type(value) in _AS_THEY_ARE:
        return value
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
    return printed(value)


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
