"""Edges from replays: change one answer at a time, and see what else moves.

An input that moves was fed by the answer (data); a call that disappears was decided by it (control). Every
other answer stays as recorded, so what is seen is direct. A suggested edge is ruled out where its reader was
reached with the answer changed and did not move; it stands where no replay got that far.

A replay runs the user's code with made-up answers, so it runs where it can do nothing: in a process forked from this
one and sealed. The copy of the program and of the world around it is the operating system's, exact and nearly free.
Replays are believed only if two unchanged ones reproduce the record, and one more at the end. Where they do not because
the program keeps something from one to the next, a copy of the program is replayed each time; where that is not enough,
each replay gets a process of its own.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

from ...._concurrency import in_thread
from ...._errors import SemanticBackpropError
from ...edges import FoundEdges
from ...record.snapshots import describe
from ...record.threads import threads_followed
from ...trace import Trace
from .chance import chance
from .clock import own_modules
from .compare import ReplayComparison
from .process import Lost, Peer, fork
from .replay import Change, Observed
from .replayer import Replayer, copies
from .sealed import seal
from .shown import ReplayEvidence
from .survey import ANSWERS, Surveyed, survey
from .syscalls import is_restricted
from .transfer import received, sent

Probe = Literal["auto", "never", "always"]
"""How far edges are proved: by a bounded number of replays, not at all, or however many it takes."""
AUTO_CALLS = 200
"""The largest execution, in calls, that `probe="auto"` replays."""
_NOT = "edges are not proved by replay:"
_AT_ONCE = threading.BoundedSemaphore(os.cpu_count() or 1)


class Replays:
    """Replays of a program from the state that this process has when they are started, in a process of their own."""

    def __init__(self, program: Any, inputs: Mapping[str, Any]) -> None:
        self._program = program
        self._inputs = inputs
        self._peer: Peer | None = None
        self._problem = ""

    async def start(self) -> None:
        """Fork now, before the execution that is to be replayed."""
        try:
            await in_thread(partial(self._fork, None, False), nullcontext())
        except SemanticBackpropError as error:
            self._problem = f"no process could be forked ({error})"

    async def __call__(self, trace: Trace, probe: Probe) -> FoundEdges:
        """The edges that replays show, and what they rule out; nothing but a warning where nothing is replayed."""
        problem = _too_large(trace) if probe == "auto" else ""
        if not problem and self._peer is None:
            problem = "; ".join(trace.blocked[:3])
        try:
            if not problem:
                return await in_thread(partial(self._found, trace, probe), nullcontext())
        except Exception as error:  # noqa: BLE001 - the run is paid for: its graph must not be lost to a replay
            problem = f"it ended with {describe(error, 200)}"
        return FoundEdges(warnings=(f"{_NOT} {problem}",))

    def close(self) -> None:
        """End the process, if there is one."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()

    def _fork(self, trace: Trace | None, every: bool) -> None:
        if not hasattr(os, "fork"):
            self._problem = "this system has no fork, and nothing else keeps a replay from the world"
            return
        if not is_restricted() and sys.platform == "linux":
            self._problem = f"the kernel cannot be told what a replay may do on this machine ({platform.machine()})"
            return
        try:
            own_modules()
            state = chance()
            self._peer = fork(lambda parent: _answer(parent, self._program, self._inputs, trace, every, state))
        except Exception as error:  # noqa: BLE001 - a run is not lost to a system that cannot fork so
            self._problem = f"no process could be forked ({describe(error)})"

    def _found(self, trace: Trace, probe: Probe) -> FoundEdges:
        with _AT_ONCE:
            try:
                if self._peer is not None:
                    self._tell(self._peer, trace, probe == "always")
                elif not self._problem:
                    self._fork(trace, probe == "always")
                if self._peer is None:
                    return FoundEdges(warnings=(f"{_NOT} {self._problem}",))
                surveyed = Surveyed.of_plain(self._peer.receive())
            except Lost as error:
                surveyed = Surveyed(problem=str(error))
            finally:
                self.close()
        if surveyed.problem:
            return FoundEdges(warnings=(f"{_NOT} {surveyed.problem}",))
        return ReplayEvidence(trace, surveyed).found()

    def _tell(self, peer: Peer, trace: Trace, every: bool) -> None:
        """Send the record; where the process has ended unheard, fork another one, unless the world has changed."""
        try:
            peer.send(sent((trace, every)))
        except Lost:
            self.close()
            if trace.blocked:
                raise
            self._fork(trace, every)


def _too_large(trace: Trace) -> str:
    if len(trace.calls) > AUTO_CALLS:
        return f"{len(trace.calls)} calls are more than {AUTO_CALLS}; probe='always' replays them"
    return ""


def _answer(
    parent: Peer, program: Any, inputs: Mapping[str, Any], trace: Trace | None, every: bool, state: tuple[Any, Any]
) -> None:
    """What the first process does: wait for the record, have it replayed, and tell what moved."""
    try:
        restricted = seal((parent.reads, parent.writes), parent.nowhere)
        if sys.platform == "linux" and not restricted:
            raise Lost("the kernel does not restrict its process (seccomp)")
        record, every = (trace, every) if trace is not None else received(parent.receive())
        with threads_followed():
            surveyed = _surveyed(partial(Replayer, program, inputs, record, state), every)
    except Lost as error:
        surveyed = Surveyed(problem=str(error))
    except Exception as error:  # noqa: BLE001 - values have code of their own
        surveyed = Surveyed(problem=f"it ended with {describe(error, 200)}")
    parent.send(surveyed.plain())


def _surveyed(ready: Callable[..., Replayer], every: bool) -> Surveyed:
    """What replays show that start, one after the other, in a way that leaves nothing behind that matters."""
    most = float("inf") if every else ANSWERS

    def of(replayer: Replayer, replay: Callable[..., Observed]) -> Surveyed:
        return survey(ReplayComparison(replayer.trace, replay, most), replayer.program, replayer.inputs)

    def in_place(copied: bool) -> Surveyed:
        replayer = ready(copied=copied)
        if copied and not copies(replayer.program):
            return Surveyed(unstable=True)
        return of(replayer, replayer.replay)

    def alone() -> Surveyed:
        replayer = ready()

        def replay(changes: Sequence[Change] = (), **how: Any) -> Observed:
            child = fork(lambda us: us.send(sent(vars(replayer.replay(changes, **how)))))
            try:
                observed = Observed(**received(child.receive()))
            finally:
                child.close()
            replayer.ran.update(observed.ran)
            return observed

        return of(replayer, replay)

    return _first_stable((partial(in_place, False), partial(in_place, True), alone))


def _first_stable(ways: Sequence[Callable[[], Surveyed]]) -> Surveyed:
    """What the first way shows in which replays leave nothing behind that matters, else the last one."""
    if len(ways) == 1:
        return ways[0]()

    def go_on(us: Peer) -> None:
        us.receive()
        us.send(_first_stable(ways[1:]).plain())

    try:
        # It keeps the state from which the next way has to start.
        spare = fork(go_on)
    except OSError:
        return ways[0]()
    try:
        surveyed = ways[0]()
        if surveyed.unstable:
            spare.send(b"")
            surveyed = Surveyed.of_plain(spare.receive())
        return surveyed
    finally:
        spare.close()
