"""What compiling, explaining and diagnosing share: one program, one ledger, outcomes and their gradients."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import anyio
import dspy
from dspy.utils.exceptions import AdapterParseError, LMError

from .backward.cache import GradientCache
from .backward.gradient import TextGradient
from .backward.propagate import propagate
from .backward.seed import seed as seed_messages
from .errors import ProgramError
from .forward.evaluate import Evaluator, Outcome, Scored, mean, scored
from .forward.graph import ComputationGraph, Edge
from .forward.metric import adapt
from .forward.probe import Pristine, Probe, prove
from .forward.values import describe
from .lm import install, limit, passage
from .presets import Method
from .run.budget import Ledger
from .run.events import EvaluationDone, EvaluationStarted, Event, ExampleDone, Subscriber, publish
from .run.progress import ProgressBar
from .step.candidate import Candidate, Parameters, clone, write

logger = logging.getLogger("dspy_semantic_backprop")


class Settings(Protocol):
    """What a run takes from the optimizer; see `SemanticGradientDescent`."""

    metric: Any
    gradient_lm: Any
    steps: int
    method: Method
    failure_score: float
    num_threads: float | None
    probe: Probe
    seed: int
    subscribers: Sequence[Subscriber] | None
    gradient_cache: GradientCache


class Run:
    """One run over one program.

    Args:
        settings: The optimizer's.
        student: The program; it is not changed.
        ledger: Where every request is booked.
    """

    def __init__(self, settings: Settings, student: dspy.Module, ledger: Ledger | None = None) -> None:
        threads = settings.num_threads if settings.num_threads is not None else dspy.settings.num_threads or 8
        self.settings = settings
        self.student = student
        self.ledger = ledger if ledger is not None else Ledger()
        self.rng = random.Random(settings.seed)
        self.parameters = Parameters.of(student)
        self.turn = limit(None if math.isinf(threads) else int(threads))
        self.limiter = anyio.CapacityLimiter(threads if math.isinf(threads) else int(threads))
        self.subscribers = [ProgressBar()] if settings.subscribers is None else list(settings.subscribers)
        self.evaluator = Evaluator(
            metric=adapt(settings.metric),
            ledger=self.ledger,
            limiter=self.limiter,
            failure_score=settings.failure_score,
            on_outcome=self._on_outcome,
        )
        self.shapes: dict[Any, tuple[Edge, ...]] = {}
        self.warnings: list[str] = []
        self.notes: Counter[str] = Counter()

    async def evaluate(self, what: str, examples: Sequence[dspy.Example], candidate: Candidate) -> tuple[Outcome, ...]:
        """Run and grade the program, with a candidate's instructions, on examples.

        Args:
            what: Which set, for subscribers.
            examples: The examples.
            candidate: The instructions.
        """
        program = write(candidate, clone(self.student))
        install(program, self.ledger)
        self.publish(EvaluationStarted(what, len(examples)))
        outcomes = await self.evaluator(program, examples)
        self.publish(EvaluationDone(what, mean(outcomes), len(outcomes) - len(scored(outcomes))))
        return outcomes

    async def proved(self, chosen: Sequence[Scored], incumbent: Candidate) -> list[Scored]:
        """The outcomes with the edges of their graphs proved by replay, as far as that can be done safely."""
        pristine = Pristine.of(write(incumbent, clone(self.student)))
        return [replace(outcome, graph=await self._prove(outcome, pristine)) for outcome in chosen]

    async def _prove(self, outcome: Scored, pristine: Pristine | str) -> ComputationGraph:
        shape = (tuple(call.id for call in outcome.graph), outcome.graph.edges)
        if shape not in self.shapes:
            graph = await prove(outcome.graph, outcome.trace, pristine, self.settings.probe)
            for warning in graph.warnings:
                self.warn(warning)
            # Executions of one shape have the same edges: what one of them proved holds for all.
            self.shapes[shape] = graph.edges
        return replace(outcome.graph, edges=self.shapes[shape])

    def warn(self, warning: str) -> None:
        """Log a warning, once, and keep it for the report."""
        if warning not in self.warnings:
            self.warnings.append(warning)
            logger.warning("%s", warning)

    async def sweep(self, chosen: Sequence[Scored]) -> tuple[list[Scored], list[dict[str, TextGradient]]]:
        """Send the feedback of outcomes back through their graphs.

        Args:
            chosen: Outcomes with proved graphs; one that stands there twice gets two different sweeps.

        Returns:
            The outcomes whose sweep the provider answered, and call id -> gradient for each of them.
        """
        seen: Counter[int] = Counter()
        repeats = []
        for outcome in chosen:
            repeats.append(seen[outcome.example_id])
            seen[outcome.example_id] += 1
        sweeps = await asyncio.gather(*map(self.sweep_one, chosen, repeats))
        done = [(outcome, sweep) for outcome, sweep in zip(chosen, sweeps, strict=True) if sweep is not None]
        return [outcome for outcome, _ in done], [sweep for _, sweep in done]

    async def sweep_one(self, outcome: Scored, repeat: int) -> dict[str, TextGradient] | None:
        """One sweep; None where the provider did not answer.

        Args:
            outcome: A scored example.
            repeat: How many sweeps of the same example came before.
        """
        lm, method, answers = self.settings.gradient_lm, self.settings.method, self.settings.gradient_cache
        rng = random.Random(f"{self.settings.seed}/{outcome.example_id}/{repeat}")
        self.notes["failed call"] += sum(call.error is not None for call in outcome.graph)
        opened = passage(
            "backward", self.ledger, lm=lm, turn=self.turn, rollout=repeat, tally=self.notes, answers=answers
        )
        try:
            with opened:
                graph = outcome.graph
                gradients = await propagate(graph, seed_messages(outcome), method.backward, method.collect)
                return method.deliver(graph, gradients, rng)
        except LMError as error:
            self.notes["no gradient"] += 1
            logger.warning("no gradients for example %d: %s", outcome.example_id, error)
            return None

    def _on_outcome(self, outcome: Outcome) -> None:
        score = outcome.score if isinstance(outcome, Scored) else None
        self.publish(ExampleDone(outcome.example_id, score))

    def publish(self, event: Event) -> None:
        """Show an event to every subscriber."""
        publish(self.subscribers, event)


def check_runs(outcomes: Sequence[Outcome]) -> None:
    """Refuse a program that raised on every example: there is nothing to learn from.

    Raises:
        ProgramError: If it did.
    """
    raised = [outcome.raised for outcome in scored(outcomes)]
    if raised and all(error is not None and not isinstance(error, AdapterParseError) for error in raised):
        first = cast(BaseException, raised[0])
        message = f"the program raised on every one of {len(raised)} examples; the first: {describe(first)}"
        raise ProgramError(message) from first
