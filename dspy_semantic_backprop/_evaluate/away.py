"""Executions of a run in other processes: what travels, who asks, and what is done where it does not work.

What cannot travel stays in this process, and the run says why. What a worker was answered is known at the desk, so that
the execution of a worker that was lost, or of one that cannot send back what came of it, is made again for nothing.
"""

from __future__ import annotations

import asyncio
import functools
import linecache
import os
import secrets
import types
import weakref
from collections.abc import Sequence
from typing import Any

import dspy
from dspy.utils import DummyLM

from .._errors import SetupError, TooManyFailures
from .._graph.record.snapshots import describe
from .._session.desk import MOST_LOSSES, Desk, DeskServer, WorkerLost
from .._session.entries import Unanswered, digest_of
from .._session.leased import Unreachable
from .._session.lm import unmetered
from .._session.session import Session, logger
from .carried import CARRIED
from .engines import Engine, engine_of
from .evaluate import Away
from .execution import ExampleRun, Executed
from .parcel import packed, signatures, unpacked
from .watch import Silent, Watch
from .worker import Errand, Parcel, Returned, Workshop

MOST_SENT = 2 * MOST_LOSSES
"""So often an execution is sent whose workers are lost, those included that had not begun it."""
_TELLING = (dspy.Module, dspy.BaseLM, dspy.Adapter, dspy.Tool)
"""What callbacks may be given to."""
SILENT = (
    "workers from which nothing was heard for {0:g} seconds were given up; what they were doing was begun again, and "
    "what they were asking counts as spent, at its bound"
)
_OURS = ("semantic_", "trace", "callbacks", "usage_tracker", "caller_", "send_stream", "stream_listeners", "branch_idx")
"""Beginnings of the names of DSPy's settings that belong to this process."""


class Elsewhere:
    """The workers of a run."""

    def __init__(self, engine: Engine, session: Session) -> None:
        self._engine, self._session = engine, session
        self._desk = Desk(session.ledger)
        self._server = DeskServer(self._desk, engine.host)
        self._watch = Watch(engine, self._desk, session.limits)
        self._run = secrets.token_hex(8)
        self._evaluations = 0
        self._workshop = Workshop()
        self._problem, self._raises = "", False
        self._end = weakref.finalize(self, _end, engine, self._server, self._watch)

    def close(self) -> None:
        """End the workers that were started for the run, and hear no others."""
        self._end()

    def runner(self, program: dspy.Module, fresh: bool) -> Away | None:
        """Makes executions of a program, as it is now, elsewhere; None where that cannot be, which is said."""
        problem = self._problem or _bound_here(program)
        if not problem:
            try:
                parcel = self._parcel(program, fresh)
                self._evaluations += 1
                self._desk.parcels[self._evaluations] = parcel
                return functools.partial(self._made, parcel, self._evaluations, signatures(program))
            except SetupError:
                raise
            except Exception as error:  # noqa: BLE001 - any class of the user's may refuse to be carried in its own way
                problem = f"the program cannot be sent ({describe(error, 200)})"
        self._stay(problem)
        return None

    def _stay(self, problem: str) -> None:
        self._problem = problem
        self._session.warn(f"the program is run in threads of this process: {problem}")

    def _parcel(self, program: dspy.Module, fresh: bool) -> Parcel:
        ledger, trusted = self._session.ledger, self._engine.trusted
        shipped = {name: one for name, one in dspy.settings.config.items() if not name.startswith(_OURS)}
        parts = packed((program, _sources(program)), trusted=trusted), packed(shipped, trusted=trusted)
        return Parcel(*parts, fresh, ledger.budget, ledger.request_seconds)

    async def _made(self, _parcel: Parcel, evaluation: int, known: tuple[Any, ...], asked: ExampleRun) -> Executed:
        # The parcel is held here for the desk, from which workers fetch it while its evaluation goes on.
        if missing := self._lost(asked):
            return Executed(missing=missing)
        ledger, number, tracker = self._session.ledger, self._desk.open(), dspy.settings.usage_tracker
        state = ledger.seconds_left, frozenset(ledger.answering), tracker is not None
        errand = Errand(number, self._server.address, self._run, evaluation, asked, *state)
        try:
            done = Returned(problem=self._problem) if self._problem else await self._returned(errand, known)
            if done.problem or (done.executed is not None and done.executed.raised is not None and not self._raises):
                done = await self._made_here(errand, done)
            self._note(done)
            if done.stop is not None:
                raise done.stop
        except WorkerLost as lost:
            return Executed(missing=self._lost(asked, str(lost)))
        finally:
            self._desk.close(number)
        assert done.executed is not None
        return done.executed

    async def _made_here(self, errand: Errand, there: Returned) -> Returned:
        """Make an execution in this process that a worker could not make, or that raised there, on the answers it had.

        A worker may lack what a module was told at run time, a file, a service; one execution that raises here as well
        says that it is the program.
        """
        if there.problem and not self._problem:
            self._stay(there.problem)
        self._desk.returned(errand.number)
        done = await self._workshop.perform(errand, self._desk.answer, dspy.settings.usage_tracker)
        raised = there.executed.raised if there.executed is not None else None
        self._raises |= done.executed is not None and done.executed.raised is not None
        if raised is not None and not self._raises:
            self._stay(f"in a worker it raised what it does not raise here ({describe(raised, 200)})")
        return done

    def _lost(self, asked: ExampleRun, why: str = "") -> str:
        """Why an execution is missing that was lost with its workers, in this process of the run or an earlier one."""
        journal = self._session.journal
        key = digest_of(["lost", asked.purpose, asked.where]) if journal else ""
        if why:
            why = f"it was lost with its workers: {why}"
            journal.unanswered(key, Unanswered("WorkerLost", why))
            return why
        found = journal.take(key) if journal.answers else None
        return found.message if isinstance(found, Unanswered) else ""

    async def _returned(self, errand: Errand, known: tuple[Any, ...]) -> Returned:
        try:
            data = packed(errand, trusted=self._engine.trusted)
        except Exception as error:  # noqa: BLE001 - as for a program
            return Returned(problem=f"an example cannot be sent ({describe(error, 200)})")
        losses: list[WorkerLost] = []
        while True:
            reply = self._engine.submit(data)
            try:
                with self._watch.over(errand.number, reply):
                    done = unpacked(await asyncio.wrap_future(reply), known)
                if not isinstance(done.stop, Unreachable):
                    return done
                losses.append(WorkerLost(str(done.stop)))
            except WorkerLost as lost:
                losses.append(lost)
            self._lose(errand.number, losses)

    def _lose(self, number: int, losses: Sequence[WorkerLost]) -> None:
        """A worker was lost with an execution, which is made again.

        Raises:
            WorkerLost: Instead, if that happened to it too often.
            SetupError: If no worker has ever begun anything, whatever it was sent.
            TooManyFailures: If there will never be a worker again.
        """
        last, waited = losses[-1], sum(isinstance(one, Silent) and not one.begun for one in losses)
        if isinstance(last, Silent):
            self._session.warn(SILENT.format(self._watch.longest))
        if self._engine.gone and self._desk.met:
            # What is under way, however little, is not a missing example here and there: all that follows would be.
            raise TooManyFailures(f"the cluster is gone: {last}; what was paid for is in `log_dir`, if there is one")
        again = self._desk.lose(number) and len(losses) < MOST_SENT and waited < MOST_LOSSES
        if again:
            logger.warning("a worker was lost (%s); what it was doing is done again", last)
        elif self._desk.met:
            raise last
        else:
            raise SetupError(f"no worker has begun anything, and nothing was spent in them: {last}")

    def _note(self, done: Returned) -> None:
        ledger = self._session.ledger
        ledger.answering |= done.answering
        for host, times in done.unmetered.items():
            if host not in ledger.unmetered:
                logger.warning("%s", unmetered(host))
            ledger.unmetered[host] += times
        for model, entries in done.usage.items():
            for entry in entries:
                dspy.settings.usage_tracker.add_usage(model, entry)
        if done.carried:
            names = ", ".join(f"`{name}`" for name in done.carried)
            self._session.warn(CARRIED.format(names))


def _end(engine: Engine, server: DeskServer, watch: Watch) -> None:
    watch.close()
    engine.close()
    server.close()


def elsewhere(where: Any, session: Session) -> Elsewhere | None:
    """The workers that `where=` asks for; None for threads of this process."""
    engine = engine_of(where)
    return None if engine is None else Elsewhere(engine, session)


def _bound_here(program: dspy.Module) -> str:
    """What ties a program's executions to this process, in words; empty where nothing does."""
    held = [one for _, module in program.named_sub_modules() for one in (module, *vars(module).values())]
    told = [one for one in (dspy.settings.lm, dspy.settings.adapter, *held) if isinstance(one, _TELLING)]
    if dspy.settings.callbacks or any(getattr(one, "callbacks", None) for one in told):
        return "DSPy's callbacks are told of calls in this process only"
    if dspy.settings.send_stream is not None:
        return "somebody listens to a stream in this process"
    if any(isinstance(one, DummyLM) for one in (dspy.settings.lm, *held)):
        return "a DummyLM gives its answers in turn, and each worker would begin with the first one"
    return ""


def _sources(program: dspy.Module) -> dict[str, list[str]]:
    """File name -> lines, of the code of a program's classes that a worker may not have: a notebook's, a script's."""
    kinds = [one for _, module in program.named_sub_modules() for one in type(module).__mro__]
    own = [one for one in dict.fromkeys(kinds) if not one.__module__.startswith(("dspy.", "builtins"))]
    functions = [one for kind in own for one in vars(kind).values() if isinstance(one, types.FunctionType)]
    files = {one.__code__.co_filename: one.__module__ for one in functions}
    lacking = [file for file, module in files.items() if module == "__main__" or not os.path.exists(file)]
    return {file: linecache.getlines(file) for file in lacking}
