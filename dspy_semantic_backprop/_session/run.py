"""What compiling, explaining and diagnosing share: one program, one ledger, outcomes and their gradients."""

from __future__ import annotations

import logging
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Protocol, cast

import anyio
import dspy
from dspy.utils.exceptions import AdapterParseError, LMError

from .._backward.cache import GradientCache
from .._backward.gradient import TextGradient
from .._backward.propagate import propagate
from .._backward.seed import seed_messages
from .._concurrency import gather
from .._errors import ProgramError
from .._evaluate.evaluate import Evaluator
from .._evaluate.metric import adapt
from .._evaluate.outcome import Outcome, Scored, mean, scored
from .._evaluate.reuse import Reuse
from .._graph.evidence.replay.probe import Pristine, Probe, prove
from .._graph.graph import ComputationGraph, Edge, edge_from_dict, edge_to_dict
from .._graph.record.values import describe
from .._propose.candidate import Candidate, Parameters, clone, write
from ..integrations.progress import ProgressBar
from ..presets import Method
from .budget import Budget, Purpose
from .events import EvaluationDone, EvaluationStarted, Event, ExampleDone, Subscriber, publish
from .journal import Journal, digest_of
from .ledger import Ledger
from .limits import Limits
from .lm import for_purpose, install, limit, uncached
from .projection import Auto

logger = logging.getLogger("dspy_semantic_backprop")

MOST_STRAYED = 3
"""After so many executions that did not repeat the incumbent's, a run reuses none of its answers any more."""


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
    budget: Budget | None
    auto: Auto | None
    limits: Limits


class Run:
    """One run over one program.

    Args:
        settings: The optimizer's.
        student: The program; it is not changed.
        caps: Purpose -> the most requests that it may send.
        journal: The run's log; None for none.
        budget: The most that the run may spend; None takes the optimizer's.
        ledger: Where the calls are booked, for a run that goes on with another one's; None for one of its own.
    """

    def __init__(
        self,
        settings: Settings,
        student: dspy.Module,
        caps: Mapping[Purpose, int] | None = None,
        journal: Journal | None = None,
        budget: Budget | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        threads = settings.num_threads if settings.num_threads is not None else dspy.settings.num_threads or 8
        self.settings = settings
        self.student = student
        self.journal = journal if journal is not None else Journal()
        budget = budget if budget is not None else settings.budget
        self.ledger: Ledger = ledger or self.journal.open_ledger(
            caps=caps, budget=budget, request_seconds=settings.limits.request
        )
        self.rng = random.Random(settings.seed)
        self.parameters = Parameters.of(student)
        self.turn = limit(None if math.isinf(threads) else int(threads))
        self.limiter = anyio.CapacityLimiter(threads if math.isinf(threads) else int(threads))
        self.subscribers = [ProgressBar(self.ledger)] if settings.subscribers is None else list(settings.subscribers)
        self.evaluator = Evaluator(
            metric=adapt(settings.metric),
            ledger=self.ledger,
            limiter=self.limiter,
            failure_score=settings.failure_score,
            limits=settings.limits,
            on_outcome=self._on_outcome,
        )
        self.shapes: dict[Any, tuple[Edge, ...]] = {}
        self.evaluations = 0
        self.strayed = 0
        self.sweeps = 0
        self.warnings: list[str] = []
        self.notes: Counter[str] = Counter()

    async def evaluate(  # noqa: PLR0913 - keyword-only parts of one question
        self,
        what: str,
        examples: Sequence[dspy.Example],
        candidate: Candidate,
        *,
        ids: Sequence[int] | None = None,
        purpose: Purpose = Purpose.FORWARD,
        known: Sequence[Outcome] = (),
        planned: int | None = None,
        reuse: Reuse | None = None,
        fresh: bool = False,
    ) -> tuple[Outcome, ...]:
        """Run and grade the program, with a candidate's instructions, on examples.

        Args:
            what: Which set, for subscribers.
            examples: The examples.
            candidate: The instructions.
            ids: What each example is called in its outcome; None: its position.
            purpose: What the calls are booked under.
            known: The candidate's outcomes on other examples of the same set.
            planned: How many outcomes there are going to be; None: these and the known ones.
            reuse: The outcomes of the program that was edited, so that only what the edit can reach is asked; None asks
                everything, and so does a run whose program was seen `MOST_STRAYED` times not to repeat itself.
            fresh: Whether DSPy's cache must not answer.

        Raises:
            TooManyFailures: If the provider left too many examples unanswered.
        """
        program = write(candidate, clone(self.student))
        install(program, self.ledger)
        self.evaluations += 1
        where = f"evaluation {self.evaluations}"
        self.publish(EvaluationStarted(what, len(examples)))
        with uncached(program, self.ledger) if fresh else nullcontext():
            outcomes = await self.evaluator(
                program, examples, ids=ids, purpose=purpose, where=where, reuse=self._allowed(reuse)
            )
        self._count_strayed(outcomes)
        self.evaluator.check_missing([*known, *outcomes], planned or len(known) + len(outcomes))
        self.publish(EvaluationDone(what, mean(outcomes), len(outcomes) - len(scored(outcomes))))
        return outcomes

    def _allowed(self, reuse: Reuse | None) -> Reuse | None:
        return reuse if self.strayed < MOST_STRAYED else None

    def _count_strayed(self, outcomes: Sequence[Outcome]) -> None:
        # Between evaluations and not within one, so that a resumed run decides alike.
        self.strayed += sum(outcome.strayed for outcome in scored(outcomes))
        if self.strayed >= MOST_STRAYED:
            self.warn(
                "the program is not deterministic: its predictors were given other inputs than before although nothing "
                "upstream of them had changed; from now on proposals are evaluated in full, which takes more calls"
            )

    async def proved(self, chosen: Sequence[Scored], incumbent: Candidate) -> list[Scored]:
        """The outcomes with the edges of their graphs proved by replay, as far as that can be done safely."""
        pristine = Pristine.of(write(incumbent, clone(self.student)))
        return [replace(outcome, graph=await self._prove(outcome, pristine)) for outcome in chosen]

    async def _prove(self, outcome: Scored, pristine: Pristine | str) -> ComputationGraph:
        shape = (tuple(call.id for call in outcome.graph), outcome.graph.edges)
        if shape not in self.shapes:
            # Executions of one shape have the same edges: what one of them proved holds for all.
            self.shapes[shape] = await self._proved_edges(outcome, pristine)
        return replace(outcome.graph, edges=self.shapes[shape])

    async def _proved_edges(self, outcome: Scored, pristine: Pristine | str) -> tuple[Edge, ...]:
        # How far a proof gets depends on the time it has: a resumed run goes by what was found before.
        key = ""
        if self.journal:
            key = digest_of(
                ["edges", [call.id for call in outcome.graph], list(map(edge_to_dict, outcome.graph.edges))]
            )
            known = self.journal.take(key)
            if known is not None:
                return tuple(map(edge_from_dict, known))
        graph = await prove(outcome.graph, outcome.trace, pristine, self.settings.probe)
        for warning in graph.warnings:
            self.warn(warning)
        self.journal.keep("edges", key, list(map(edge_to_dict, graph.edges)))
        return graph.edges

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
        self.sweeps += 1
        sweeps = await gather(lambda pair: self.sweep_one(*pair), list(zip(chosen, repeats, strict=True)))
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
        opened = for_purpose(
            Purpose.BACKWARD,
            self.ledger,
            lm=lm,
            where=f"sweep {self.sweeps}, example {outcome.example_id}, {repeat}",
            turn=self.turn,
            rollout=repeat,
            tally=self.notes,
            cache=answers,
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
        """Write an event down, and show it to every subscriber."""
        self.journal.event(event)
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
