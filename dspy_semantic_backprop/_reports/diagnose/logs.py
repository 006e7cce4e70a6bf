"""Diagnosing logs: the same backward pass and the same report, of executions that cannot be run again.

Nothing is run and nothing is graded, so there are no checks: all that is known is what the model said, and how far it
agrees with itself over several logs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dspy

from ... import _checks as checks
from ..._backward.ask import GradientCache
from ..._backward.gradient import TextGradient
from ..._backward.question import QuestionForm
from ..._backward.semantic import Semantic
from ..._backward.sweep import sweep
from ..._backward.text import estimate_tokens
from ..._concurrency import gather, synchronous
from ..._errors import BudgetSpent, OutOfBudget, SetupError, told_to_callers
from ..._evaluate.outcome import Scored
from ..._graph.graph import ComputationGraph
from ..._graph.trace import Trace
from ..._logs.log import Log, within
from ..._method import Method
from ..._session.budget import Budget
from ..._session.events import EvaluationDone, EvaluationStarted, ExampleDone, Subscriber
from ..._session.limits import Limits
from ..._session.projection import ASKED_AGAIN, Projection
from ..._session.session import Session
from ..._settings import Settings
from .diagnose import blamed
from .record import Diagnosis

WINDOW = 16
"""How many earlier turns a turn is taken to have read, where the log does not say."""
LONGEST = 1000
"""The most tokens of one turn in a question; of a longer one the two ends are shown."""
_ASKED, _ANSWERED = 900, 100
"""Tokens, about, of a question's own words and its answer's, and of what it says of one output and is told of it."""


async def adiagnose_logs(  # noqa: PLR0913 - keyword-only settings, as the optimizer has them
    logs: Sequence[Log],
    *,
    gradient_lm: Any = None,
    method: Method | None = None,
    window: int | None = WINDOW,
    num_threads: float | None = None,
    seed: int = 0,
    gradient_cache: str | os.PathLike[str] | None = None,
    budget: Budget | None = None,
    limits: Limits | None = None,
    subscribers: Sequence[Subscriber] | None = None,
) -> Diagnosis:
    """Say which agents, and which turns, failed executions come from that are known from their logs only.

    What was wanted is sent back through each log. Nothing can be run again, so no blame is checked.

    Args:
        logs: What `read_logs` gave, or some of it: only executions that failed.
        gradient_lm: Reads the logs; None takes DSPy's configured language model.
        method: Its backward function, collection and delivery are used; None: those of `presets.semantic()`, with at
            most 1000 tokens of each turn in a question.
        window: How many earlier turns a turn is taken to have read, where the log does not say what it read;
            None: all of them.
        num_threads: How many questions are asked at once; None takes DSPy's setting.
        seed: Of all random choices.
        gradient_cache: A directory where answers are kept, so that an unchanged question is not paid for again.
        budget: The most that may be spent. Where it does not last for all logs, the others are diagnosed.
        limits: How long to wait for a request, and how many logs may be left unanswered.
        subscribers: Called with every event; None shows a progress bar, () nothing.

    Returns:
        A record that prints within one screen: the agents, and of each log the turns with the largest shares.

    Raises:
        SetupError: If the arguments cannot work; nothing was spent.
        OutOfBudget: If the budget does not last for a single log.
        ModelError: If the language model refuses for good (key, billing, unknown model).
        TooManyFailures: If the provider leaves too many logs unanswered.
    """
    settings = _settings(
        gradient_lm, method, num_threads=num_threads, seed=seed, budget=budget, limits=limits, subscribers=subscribers
    )
    settings = replace(settings, answers=checks.opened("gradient_cache", GradientCache, gradient_cache))
    _check(logs, window)
    checks.check_models(dspy.Module(), gradient_lm)
    checks.check_prices(dspy.Module(), gradient_lm, budget)
    with told_to_callers():
        return await _diagnosed(settings, logs, window)


diagnose_logs = synchronous(adiagnose_logs)


def project_logs(logs: Sequence[Log], *, method: Method | None = None, window: int | None = WINDOW) -> Projection:
    """What `diagnose_logs` takes, from the logs alone; nothing is asked.

    Args:
        logs: The logs.
        method: As in `diagnose_logs`.
        window: As in `diagnose_logs`.

    Returns:
        Language-model calls and tokens at most, if every turn is blamed, and, as `likely`, if a quarter is.

    Raises:
        SetupError: If the arguments cannot work.
    """
    form = _settings(None, method).method.backward
    _check(logs, window)
    form = form if isinstance(form, QuestionForm) else QuestionForm()
    costs = [_cost(within(log.graph, window)[0], form) for log in logs]
    calls, tokens = sum(one for one, _ in costs), sum(one for _, one in costs)
    share = max(0.25, len(logs) / calls) if calls else 0.0
    likely = _projection(share * calls, share * tokens)
    return replace(_projection(ASKED_AGAIN * calls, ASKED_AGAIN * tokens), likely=likely)


def _projection(calls: float, tokens: float) -> Projection:
    return Projection(0, 0, math.ceil(calls), math.ceil(calls), round(tokens))


def _cost(graph: ComputationGraph, form: QuestionForm) -> tuple[int, float]:
    """The questions of one log at most, and their tokens."""
    size = {call.id: min(form.longest, estimate_tokens(str(dict(call.outputs)))) for call in graph}
    calls, tokens = 0, 0.0
    for call in graph:
        sources = graph.predecessors(call.id)
        if sources:
            read = sum(size[name] + _ANSWERED for name in sources)
            several = max(1, math.ceil(read / form.budget)) if form.siblings else len(sources)
            calls += several
            own = size[call.id] + min(form.longest, estimate_tokens(call.instruction)) + _ASKED
            tokens += read + several * own
    return calls, tokens


def _unscored(example: Any, prediction: Any) -> float:
    """There is no metric: what is in a log to diagnose has failed."""
    return 0.0


def _settings(gradient_lm: Any, method: Method | None, **given: Any) -> Settings:
    method = method if method is not None else Method(backward=Semantic(longest=LONGEST))
    return Settings(
        _unscored,
        gradient_lm=gradient_lm,
        method=method,
        **{name: value for name, value in given.items() if value is not None},
    )


def _check(logs: Any, window: int | None) -> None:
    if isinstance(logs, (str, bytes, Log)) or not isinstance(logs, Sequence) or not logs:
        raise SetupError(f"logs must be a list with at least one Log, as read_logs gives it, not {logs!r:.200}")
    for at, log in enumerate(logs):
        if not isinstance(log, Log):
            raise SetupError(f"logs[{at}] must be a Log, as read_logs gives it, not {type(log).__name__}")
    checks.check_number("window", 1 if window is None else window, 1)


async def _diagnosed(settings: Settings, logs: Sequence[Log], window: int | None) -> Diagnosis:
    session = settings.session()
    for log in logs:
        for warning in log.graph.warnings:
            session.warn(f"{log.name}: {warning}")
    seen = [within(log.graph, window) for log in logs]
    outcomes = [_outcome(at, log, graph) for at, (log, (graph, _)) in enumerate(zip(logs, seen, strict=True))]
    session.publish(EvaluationStarted("diagnose", len(logs)))
    swept, sweeps = await _swept(settings, session, outcomes)
    session.publish(EvaluationDone("diagnose", math.nan, len(logs) - len(swept)))
    _say_what_was_cut(session, sum(cut for _, cut in seen), sum(len(graph.edges) for graph, _ in seen), window)
    return Diagnosis(
        examples=len(logs),
        failures=len(logs),
        missing=0,
        score=math.nan,
        logs=tuple(log.name for log in logs),
        **await blamed(session, (), swept, sweeps, seed=settings.seed),
    )


def _outcome(at: int, log: Log, graph: ComputationGraph) -> Scored:
    # No example: its labels would be shown twice, and the feedback says what there is to say.
    trace = Trace(graph.inputs, graph.calls, graph.output, graph.error)
    return Scored(at, dspy.Example().with_inputs(), 0.0, log.told, graph, trace)


async def _swept(
    settings: Settings, session: Session, outcomes: Sequence[Scored]
) -> tuple[list[Scored], list[dict[str, TextGradient]]]:
    """A sweep over each log; where the budget is spent, over those for which it lasted."""
    stopped: list[BudgetSpent] = []

    async def one(outcome: Scored) -> tuple[list[Scored], list[dict[str, TextGradient]]]:
        try:
            return await sweep(session, [outcome], settings.method, seed=settings.seed, where="diagnose")
        except BudgetSpent as stop:
            stopped.append(stop)
            return [], []
        finally:
            session.publish(ExampleDone(outcome.example_id, None))

    found = await gather(one, outcomes)
    if len(stopped) == len(outcomes):
        raise OutOfBudget(str(stopped[0])) from stopped[0]
    if stopped:
        session.warn(f"{len(stopped)} of {len(outcomes)} logs were not gone through: {stopped[0]}")
    return [outcome for some, _ in found for outcome in some], [gradients for _, some in found for gradients in some]


def _say_what_was_cut(session: Session, cut: int, kept: int, window: int | None) -> None:
    if cut:
        session.warn(
            f"of {cut + kept:,} readings of earlier turns {cut:,} lie further back than the window of {window} and "
            "were not asked about; a larger window costs more"
        )
    if session.notes["left out"]:
        session.warn(f"{session.notes['left out']:,} texts were shown by their two ends only, since they are too long")
