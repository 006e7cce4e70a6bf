"""The log of a run: JSON lines from which a killed run goes on, paying for nothing twice.

What was paid for is written down as it arrives: every answer of a language model, under a key that says where in the
run and to which question it belongs, and every grade of the metric. A resumed run begins again from its first step and
is given these instead of paying. Every request is also announced before it is sent, so that those under way at a kill
are known, and counted by the budget at the most that they may have cost.

A line is written before its result is used, and the disk is told to keep it within a fraction of a second; a
process that dies loses nothing that was written, a computer that dies at most that fraction.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .._errors import JournalError, JournalFailed
from .._terminal import logger, spelled
from .budget import Account, Bound, Spent
from .entries import (
    APART,
    KEY,
    Answered,
    JournalState,
    LaidIn,
    SentBatch,
    Unanswered,
    digest_of,
    plain,
    read_state,
    sealed,
)
from .files import content, opened, refused
from .ledger import Ledger
from .lines import BEGIN, FIRST, SCHEMA, damaged, is_whole, line_of

FILE, LOCK = "journal.jsonl", "journal.lock"
_SYNC_SECONDS = 0.2
_KEY_BYTES = 32
_NOT_KEPT = {errno.ENOSPC, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}


class Journal:
    """The log of one run; without a folder, one that keeps nothing and knows nothing. Thread-safe.

    Args:
        folder: Where the log is, or is to be; None for none.
        header: What the run is: program, data, settings. A log of another run is refused. What is `Held` in it is
            written as a digest.

    Attributes:
        resumed: Whether there was a log to go on from.
        answers: How many answers of language models stood there.

    Raises:
        JournalError: If the folder cannot be used; nothing was spent.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, header: Mapping[str, Any] | None = None) -> None:
        self.folder = None if folder is None else Path(os.fsdecode(folder))
        self.resumed, self.answers = False, 0
        self._state = JournalState()
        self._lock = threading.Lock()
        self._file = -1
        self._process = os.getpid()
        self._dirty = threading.Event()
        self._closing = False
        self._unsynced = False
        self._failed: OSError | None = None
        self._read_to = 0
        self.ledger: Ledger | None = None
        if self.folder is not None:
            try:
                if not str(folder):
                    raise ValueError("it names no folder")
                # A program may change the working directory.
                self._path = self.folder.absolute() / FILE
                self._held = _locked(self.folder)
                try:
                    self._open(dict(header or {}))
                except BaseException:
                    self._held.release()
                    raise
            except JournalError:
                raise
            except (OSError, ValueError, NotImplementedError, JournalFailed) as error:
                raise refused(str(self.folder), error) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> Journal:
        return self

    def __bool__(self) -> bool:
        return self.folder is not None

    # What a resumed run is told

    def open_ledger(self, **settings: Any) -> Ledger:
        """The run's ledger, with these settings and what earlier processes have spent; its requests are kept here."""
        state = self._state
        self.ledger = Ledger(
            **settings, carried=state.accounts, metric_calls=state.metric_calls, seconds=state.seconds, journal=self
        )
        self.ledger.inherit([one for batch in self.batches for one in batch.requests])
        return self.ledger

    @property
    def batches(self) -> list[SentBatch]:
        """The provider's batches that were under way when the run ended."""
        return list(self._state.batches.values())

    def take(self, key: str, kind: Any = Any, check: Callable[[Any], Any] = bool) -> Any:
        """What was written down under a key, each line once and in order; None where nothing is left.

        Args:
            kind: What it must be, as a type.
            check: Raises a `ValueError` where it cannot be what it says.

        Raises:
            JournalError: If it is something else.
        """
        with self._lock:
            left = self._state.kept.get(key)
            found = left.popleft() if left else None
        if found is None or kind is Any:
            return found
        try:
            value = _adapter(kind).validate_python(found)
            check(value)
            return value
        except ValueError as error:
            wrong = error.errors()[0]["msg"] if isinstance(error, ValidationError) else spelled(str(error))
            raise JournalError(
                f"{self._path} holds a value that cannot be ({wrong}); restore the file, or choose another log_dir"
            ) from None

    # What a run writes down

    def sent(self, account: Account, bound: Bound) -> int:
        """A request is about to be sent; returns its ticket."""
        with self._lock:
            self._state.ticket += 1
            ticket = self._state.ticket
        self._append("sent", ticket=ticket, purpose=account[0], predictor=account[1], bound=asdict(bound))
        return ticket

    def batch(self, name: str, requests: Sequence[tuple[int | None, Account, Bound, str]]) -> list[int]:
        """Requests are about to be sent as one batch, under a name of ours; returns their tickets.

        Args:
            requests: Ticket, None for a new one, what it is booked under, its bound, and its key.
        """
        laid: list[LaidIn] = []
        with self._lock:
            for ticket, account, bound, key in requests:
                self._state.ticket += ticket is None
                laid.append(LaidIn(self._state.ticket if ticket is None else ticket, account, bound, key))
        lines = [{**asdict(one), "purpose": one.account[0], "predictor": one.account[1]} for one in laid]
        self._append("batch", name=name, requests=[_without(one, "account") for one in lines])
        return [one.ticket for one in laid]

    def batch_made(self, name: str, batch: str) -> None:
        """The provider has made the batch of a name of ours, and has this name for it."""
        self._append("batch made", name=name, batch=batch)

    def ended(
        self, ticket: int, account: Account, spent: Spent, key: str = "", answered: Answered | None = None
    ) -> None:
        """A request was answered, or failed at a known cost."""
        amounts = {name: value for name, value in asdict(spent).items() if value}
        fields: dict[str, Any] = {"ticket": ticket, "purpose": account[0], "predictor": account[1], "spent": amounts}
        if answered is None or not _is_json(answered.outputs):
            self._append("lost", **fields)
        else:
            self._append("answer", key=key, **fields, outputs=answered.outputs, usage=plain(answered.usage))

    def unanswered(self, key: str, failure: Unanswered) -> None:
        """A request failed for good."""
        self._append("failure", key=key, **asdict(failure))

    def keep(self, what: str, key: str, value: Any) -> None:
        """Write down what was worked out at a cost, as JSON values: a grade, or edges; `take` gives it back."""
        self._append("kept", what=what, key=key, value=value)

    def event(self, event: Any) -> None:
        """Write down an event of the run, unless it stands there from before the run was resumed."""
        if not self:
            return
        kind, fields = type(event).__name__, plain(event)
        digest = digest_of([kind, {name: value for name, value in fields.items() if name != APART}])
        with self._lock:
            # An end is told again where something came after the one that stands there.
            repeated = self._state.events[digest] > 0 and (kind != "RunDone" or self._state.lines == self._read_to)
            self._state.events[digest] -= repeated
        if repeated:
            return
        if kind == "StepDone" and fields.get("step") in self._state.steps:
            logger.warning(
                "step %s went another way than before the run was resumed: the program, its tools or its metric "
                "do not repeat themselves",
                fields["step"],
            )
        self._append(kind, **fields)

    def close(self) -> None:
        """Write everything to the disk and let others use the folder; a second call does nothing."""
        if self._file < 0:
            return
        self._closing = True
        self._dirty.set()
        self._syncer.join()
        with self._lock:
            self._sync()
            try:
                os.close(self._file)
            except OSError as error:  # a network's file system may tell only now
                self._failed = error
            self._file = -1
        self._held.release()
        if self._failed is not None:
            logger.error("the end of the log in %s may be lost: %s", self.folder, self._failed)

    def _append(self, event: str, /, **fields: Any) -> None:
        if not self or not self._is_mine():
            return
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        seconds = round(self.ledger.seconds if self.ledger is not None else self._state.seconds, 3)
        line = {"event": event, "at": now, "seconds": seconds, **fields}
        with self._lock:
            if self._file < 0:
                return  # what ends in an abandoned thread after the run is nobody's any more
            self._write(line_of(self._state.lines + 1, line))
            self._state.lines += 1
        self._dirty.set()

    def _is_mine(self) -> bool:
        """Whether this is the process that opened the log; what a fork of it is answered cannot stand there."""
        if os.getpid() == self._process:
            return True
        if self._process:
            self._process = 0
            logger.warning("a forked process asks language models; its answers do not stand in the log %s", self.folder)
        return False

    def _write(self, line: bytes) -> None:
        try:
            if self._failed is not None:
                raise self._failed
            self._check_there()
            self._write_whole(line)
        except OSError as error:
            raise JournalFailed(f"the log in {self.folder} cannot be written: {error}") from error

    def _write_whole(self, line: bytes) -> None:
        start = self._size
        try:
            while line:
                written = os.write(self._file, line)
                self._size, line = self._size + written, line[written:]
        except OSError:
            # Half a line would hide behind the next one.
            self._size = start
            try:
                os.ftruncate(self._file, start)
            except OSError:
                logger.exception("the log %s ends with half a line", self.folder)
            raise

    def _check_there(self) -> None:
        """Find out that the file was removed, or that somebody else writes to it: money is spent on what is kept."""
        here, found = os.fstat(self._file), os.lstat(self._path)
        if (here.st_dev, here.st_ino) != (found.st_dev, found.st_ino):
            raise FileNotFoundError(errno.ENOENT, "another file stands in its place", str(self._path))
        if here.st_size != self._size:
            raise OSError(errno.EIO, "something else has written to it, or has cut it", str(self._path))

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            if error.errno in _NOT_KEPT:
                self._failed = error
            elif not self._unsynced:
                self._unsynced = True
                logger.warning("%s cannot be told to keep the log at once (%s); the run goes on", self.folder, error)

    def _keep_syncing(self) -> None:
        while not self._closing:
            self._dirty.wait()
            self._dirty.clear()
            self._sync()
            if not self._closing:
                threading.Event().wait(_SYNC_SECONDS)

    # Opening

    def _open(self, header: dict[str, Any]) -> None:
        self._file = opened(self._path)
        try:
            end = self._read(header)
            os.ftruncate(self._file, end)
            os.lseek(self._file, end, os.SEEK_SET)
            with contextlib.suppress(OSError, AttributeError):  # not our own on a shared volume; or Windows
                os.fchmod(self._file, 0o600)
            self._size, self.resumed = end, end > 0
            if self.resumed:
                kept = [one for left in self._state.kept.values() for one in left]
                self.answers = sum(isinstance(one, Answered) for one in kept)
                self._append("resumed", remembered=len(kept))
                self._read_to = self._state.lines
            else:
                self._append("run", schema=SCHEMA, **sealed(header, _key(self._path, make=True)))
        except BaseException:
            os.close(self._file)
            self._file = -1
            raise
        self._syncer = threading.Thread(target=self._keep_syncing, name="semantic-backprop-log", daemon=True)
        self._syncer.start()

    def _read(self, header: dict[str, Any]) -> int:
        """Read what stands there, and return where its whole lines end."""
        begin = content(self._file, len(FIRST))
        ours = BEGIN.startswith(begin[: len(BEGIN)])
        data = content(self._file) if ours else b""
        end = data.rfind(b"\n") + 1
        if not ours or (not end and not FIRST.startswith(begin)):
            raise JournalError(f"{self._path} is no log of this package; it is left as it is: choose another log_dir")
        if is_whole(data[end:-1]):
            raise JournalError(damaged(self._path, data.count(b"\n") + 1, "its end was changed"))
        if data[end:]:
            logger.warning("the last line of %s is torn and is left out", self._path)
        if end:
            self._state = read_state(self._path, data[:end], header, _key(self._path))
        return end


def _without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {one: value for one, value in fields.items() if one != name}


def _locked(folder: Path) -> Any:
    import filelock

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not every version of filelock looks at what it opens.
    os.close(opened(folder / LOCK))
    lock = filelock.FileLock(folder / LOCK, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise JournalError(
            f"log_dir={str(folder)!r} is in use by another run; wait for it to end, or choose another folder"
        ) from error
    return lock


def _key(log: Path, make: bool = False) -> bytes | None:
    """The key of the digests in a log's head; None where it is lost."""
    path = log.with_name(KEY)
    if not make and not os.path.lexists(path):
        return None
    handle = opened(path)
    try:
        found = content(handle)
        if make and not found:
            found = secrets.token_hex(_KEY_BYTES).encode("ascii") + b"\n"
            os.write(handle, found)
        whole = re.fullmatch(rb"[0-9a-f]{64}\n", found) is not None
        if make and not whole:
            raise JournalError(f"{path} is no key of this package; it is left as it is: choose another log_dir")
        return found if whole else None
    finally:
        os.close(handle)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _is_json(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError, RecursionError):
        return False
