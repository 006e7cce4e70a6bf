"""A process forked from this one, which answers with texts of its own and can do nothing else.

How long it may take is not counted in seconds, which pass faster for a process on a busy machine: it is given up where
it has ended, and where each of its threads waits for a lock without a limit, as one does that another thread held at
the fork. Where the kernel does not tell that, it is given up when it has used no processor time for a while.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import os
import platform
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from time import monotonic  # the real one, also where replays have a clock of their own
from typing import Any

from .sealed import by_ourselves, die_with_parent, is_sealed
from .severed import forked, severing
from .syscalls import is_restricted

STILL = 10.0
"""After so many seconds without a word and without processor time a process is taken to wait for ever."""
_LONGEST = 300.0
"""The same where the system does not tell the processor time."""
_LOOK = 0.5
_HEAD = struct.Struct("=Q")


class Lost(Exception):
    """The other process will not answer any more; says why."""


@dataclass
class Peer:
    """The process at the other end of two pipes; `pid` is 0 where that is the parent."""

    pid: int
    reads: int
    writes: int
    nowhere: int = -1  # a descriptor of the child that leads nowhere
    lost: bool = False

    def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            Lost: If nobody is there.
        """
        left = memoryview(_HEAD.pack(len(message)) + message)
        try:
            while left:
                left = left[os.write(self.writes, left) :]
        except OSError as error:
            raise Lost(f"its process has ended{self._how()} ({error})") from error

    def receive(self) -> bytes:
        """Wait for a message.

        Raises:
            Lost: If none will come.
        """
        return self._read(_HEAD.unpack(self._read(_HEAD.size))[0])

    def _read(self, size: int) -> bytes:
        got = bytearray()
        since, used = monotonic(), self._processor_time()
        while len(got) < size:
            if self._is_readable():
                part = os.read(self.reads, size - len(got))
                if not part:
                    raise Lost(f"its process has ended{self._how()}")
                got += part
                since = monotonic()
                continue
            before, used = used, self._processor_time()
            if used != before:
                since = monotonic()
            elif self.pid and (
                monotonic() - since > (STILL if used is not None else _LONGEST)
                or (_waits_for_ever(self.pid) and self._processor_time() == used)
            ):
                self.lost = is_sealed()
                raise Lost("its process waits for what never comes, such as a lock that another thread held")
            elif not self.pid and os.getppid() != self._parent:
                raise Lost("the parent has ended")
        return bytes(got)

    def _how(self) -> str:
        """By which signal or with which status the process ended, in words; nothing where the system does not tell."""
        with contextlib.suppress(OSError, AttributeError):
            for _ in range(100 if self.pid else 0):
                # It may have closed its pipe and live on, so nobody waits for its end for ever.
                end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
                if end is None:
                    time.sleep(0.01)
                    continue
                exited = end.si_code == os.CLD_EXITED
                return f" with status {end.si_status}" if exited else f" by {signal.Signals(end.si_status).name}"
        return ""

    def _is_readable(self) -> bool:
        waiting = select.poll()
        waiting.register(self.reads, select.POLLIN)
        with by_ourselves():
            return bool(waiting.poll(_LOOK * 1000))

    def __post_init__(self) -> None:
        self._parent = os.getppid()

    def _processor_time(self) -> float | None:
        """Seconds of processor time that the process has used; None where that is not known."""
        if not self.pid or sys.platform != "linux":
            return None
        with contextlib.suppress(OSError):
            return time.clock_gettime(~self.pid << 3 | 2)
        return None

    def close(self) -> None:
        """End the process if there is one, and forget it."""
        for descriptor in (self.reads, self.writes):
            os.close(descriptor)
        if self.pid:
            # Whoever has waited for all children knows its end already, and its number may be another's.
            with by_ourselves(), contextlib.suppress(OSError):
                if os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                    if not is_sealed():
                        os.kill(self.pid, signal.SIGKILL)
                    if not self.lost:
                        os.waitpid(self.pid, 0)


def fork(work: Callable[[Peer], None]) -> Peer:
    """Start a copy of this process that does some work and ends; returns it.

    The first one is severed from the world; those that it forks in turn are so already.

    Raises:
        OSError: If the system refuses.
    """
    sealed = is_sealed()
    # The child keeps it to its end.
    _held = [] if sealed or is_restricted() else _held_by_threads()
    pid, ours, theirs = -1, (-1, -1), (-1, -1)
    with by_ourselves():
        nowhere = os.open(os.devnull, os.O_RDONLY if sealed else os.O_RDWR)
        try:
            (inward, writes), (reads, outward) = os.pipe(), os.pipe()
            ours, theirs = (inward, outward), (reads, writes)
            pid = forked([] if sealed else severing(theirs, nowhere))
        finally:
            if pid:
                _close((nowhere, *theirs, *(ours if pid < 0 else ())))
    if pid:
        return Peer(pid, *ours)
    try:
        _close(ours)
        if sealed:
            with by_ourselves():
                die_with_parent()
        work(Peer(0, *theirs, nowhere=nowhere))
    finally:
        # No handlers of the interpreter's end, and no buffers of files written: they are the parent's.
        os._exit(0)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _waits_for_ever(pid: int) -> bool:
    """Whether each thread of a process waits for a lock, without a limit: what only another one of them could give.

    Whoever could run and is not given a processor does not wait. Of use only where no processor time passes meanwhile.
    """
    call = _FUTEX.get(platform.machine())
    try:
        with by_ourselves():
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/syscall", encoding="ascii") as file:
                    number, *arguments = file.read().split()
                if number != call or int(arguments[_LIMIT], 16):
                    return False
    except OSError:
        return False
    return call is not None


_FUTEX, _LIMIT = {"x86_64": "202", "aarch64": "98"}, 3
"""The kernel's call that waits for a lock, on each machine, and which of its arguments is a limit in time."""


def _held_by_threads() -> list[Any]:
    """What may be held by a thread alone: its local values, its context, the exceptions that it handles.

    Python drops them in the child of a fork, and what they do at their end reaches the world where the kernel does not
    forbid it. Whoever holds what is returned across the fork keeps them.
    """
    kinds, alive = {contextvars.Context, *with_subclasses(threading.local)}, gc.get_objects()
    found = list(compress(alive, map(kinds.__contains__, map(type, alive))))
    # The values are in a dictionary for each thread, in one of the local object's own.
    of_threads = [one for one in gc.get_referents(*found) if isinstance(one, dict)]
    return [found, gc.get_referents(*of_threads), _handled()]


def _handled() -> dict[int, Any]:
    """The exceptions that threads handle. A collection meanwhile may block CPython before 3.12 for ever (gh-106883)."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_exceptions()
    finally:
        if collects:
            gc.enable()


def with_subclasses(kind: type) -> Iterator[type]:
    """A class and all that derive from it, some perhaps twice."""
    yield kind
    for inner in kind.__subclasses__():
        yield from with_subclasses(inner)
