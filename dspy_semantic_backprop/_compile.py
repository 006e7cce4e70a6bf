"""One compile from its beginning to its end, whatever ends it: a run, made, guarded, and turned into a `Result`."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import dspy

from ._concurrency import Interrupt
from ._decide.examples import example_records
from ._decide.records import Final, candidate_records
from ._errors import (
    BudgetSpent,
    Ending,
    JournalFailed,
    ModelUnavailable,
    SemanticBackpropError,
    refused,
    shortened,
)
from ._evaluate.candidate import Candidate
from ._loop import optimise
from ._result import Result
from ._run import Run
from ._secrets.known import cleaned
from ._session.events import Resumed, RunDone
from ._session.fingerprint import fingerprint
from ._session.journal import Journal
from ._session.lm.usage import remembered_prices
from ._session.projection import budget_for
from ._session.session import logger
from ._session.spans import span
from ._settings import Settings

_FROM_OUTSIDE = (KeyboardInterrupt, CancelledError)
GRACE = 1.0
"""How long a run that is over waits for the answers that are still under way, in seconds."""


async def compiled(
    settings: Settings,
    program: dspy.Module,
    trainset: Sequence[dspy.Example],
    valset: Sequence[dspy.Example] | None,
    interrupt: Interrupt,
    warnings: Sequence[str] = (),
) -> dspy.Module:
    """Optimise a program; `warnings` are said first.

    Returns the best program so far, with its `Result`; also where the budget is spent, the run was interrupted, or its
    log cannot be written any more. An error has it as its `best`.
    """
    plan = settings.plan(program, trainset, valset)
    header = fingerprint(settings, program, trainset, valset) if settings.log_dir is not None else None
    journal, run = Journal(settings.log_dir, header), None
    try:
        named = settings.budget is None and settings.auto is not None
        session = settings.session(journal, budget=budget_for(plan[1].projection()) if named else None)
        run = Run.of(settings, session, program, (trainset, valset), plan)
        if journal.resumed:
            session.show(Resumed(journal.answers))
        for warning in warnings:
            session.warn(warning)
        with span("compile", method=settings.method.name, predictors=list(run.start.instructions)) as current:
            return await _until_stopped(run, interrupt, current)
    finally:
        if run is not None and run.student.away is not None:
            run.student.away.close()
        journal.close()


async def _until_stopped(run: Run, interrupt: Interrupt, current: Any) -> dspy.Module:
    try:
        ending, reason = await _settled(run, interrupt)
    except ModelUnavailable as stop:
        error = refused(stop)
        _fail(run, error, current)
        raise shortened(error) from (stop.error if error is not stop.error else None)
    except BaseException as error:
        _fail(run, error, current)
        if isinstance(error, SemanticBackpropError):
            raise shortened(error)  # noqa: B904 - it is the same one
        raise
    result = _told(run, ending, reason, current)
    if ending is not Ending.STEPS and ending is not Ending.PERFECT:
        best = "the best program so far" if result.changed else "the program as it was given"
        logger.warning("%s; %s is returned", reason, best)
    return _finished(run, result)


async def _settled(run: Run, interrupt: Interrupt) -> tuple[Ending, str]:
    """How a run ends; the answers that are under way then are waited for a while."""
    ledger = run.session.ledger
    try:
        return await _guarded(run, interrupt)
    finally:
        ledger.close()
        await ledger.settled(GRACE)


def _fail(run: Run, error: BaseException, current: Any) -> None:
    """Tell of a run that an error ended, and let the error carry the best program so far."""
    ending = Ending.INTERRUPTED if isinstance(error, _FROM_OUTSIDE) else Ending.FAILED
    result = _told(run, ending, _in_words(error), current)
    if isinstance(error, SemanticBackpropError) and run.pool[run.start].outcomes:
        error.best = _finished(run, result)


def _in_words(error: BaseException) -> str:
    if isinstance(error, _FROM_OUTSIDE):
        return "the run was stopped from outside, by Ctrl-C or by a cancellation"
    said = str(error)
    # Ours is told already as it may be.
    return said if said and isinstance(error, SemanticBackpropError) else cleaned(f"{type(error).__name__}: {said}")


def _told(run: Run, ending: Ending, reason: str, current: Any) -> Result:
    """The result of a run, told to its log, its subscribers and its span."""
    if current is not None:
        current.set_attributes({"semantic_backprop.ending": ending.name.lower(), "semantic_backprop.reason": reason})
    with suppress(JournalFailed):  # then it stands in the result alone
        run.record_cut()
    result = _result(run, ending, reason)
    try:
        run.session.publish(RunDone(ending.name.lower(), reason, result.to_dict()))
    except JournalFailed as stop:
        if ending is not Ending.JOURNAL:
            run.session.warn(f"the end of the run does not stand in its log: {stop}")
            result = replace(result, warnings=(*run.session.warnings, *run.session.unanswered))
    return result


async def _guarded(run: Run, interrupt: Interrupt) -> tuple[Ending, str]:
    ledger = run.session.ledger
    try:
        with remembered_prices():
            ending = await interrupt.guard(optimise(run), ledger.seconds_left)
    except BudgetSpent as stop:
        return Ending.BUDGET, str(stop)
    except JournalFailed as stop:
        return Ending.JOURNAL, str(stop)
    if ending is not None:
        return ending
    if interrupt.reason:
        return Ending.INTERRUPTED, interrupt.reason
    return Ending.BUDGET, f"the budget of {ledger.budget.seconds:g} seconds is spent"


def _finished(run: Run, result: Result) -> dspy.Module:
    program: Any = run.student.copy_with(_returned(run)[0])
    program._compiled = False
    program.detailed_results = result
    return program


def _returned(run: Run) -> tuple[Candidate, Final | None]:
    """What is returned, and by which decision."""
    # Where the end came before the decision at the end, it is made by what is known.
    final = run.final if run.final is not None else run.search.decided()
    return run.search.best if final is None or final.returned else run.start, final


def _result(run: Run, ending: Ending, reason: str) -> Result:
    best, final = _returned(run)
    ledger, folder = run.session.ledger, run.session.journal.folder

    # Means over other examples of each would not be comparable.
    both = run.pool.compare(run.start, best, list(run.pool[run.start].outcomes))
    return Result(
        ending=ending,
        score_before=both.before,
        score_after=both.after,
        instructions_before=dict(run.start.instructions),
        instructions_after=dict(best.instructions),
        steps=tuple(run.records),
        spent=ledger.by_purpose,
        seconds=ledger.seconds,
        seed=run.settings.seed,
        method=run.settings.method.name,
        notes={name: times for name, times in run.session.notes.items() if times},
        reason=reason,
        by_predictor=ledger.by_predictor,
        metric_calls=ledger.metric_calls,
        log_dir=None if folder is None else str(folder),
        final=final,
        candidates=candidate_records(run.pool),
        warnings=(*run.session.warnings, *run.session.unanswered),
        program=type(run.student.program).__qualname__,
        graph=run.graph,
        examples=example_records(run.pool, run.train, run.records, best),
    )
