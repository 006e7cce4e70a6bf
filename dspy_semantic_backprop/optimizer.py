"""Semantic gradient descent as a DSPy optimizer: the only room that sees all floors."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

import anyio
import dspy
from dspy.teleprompt import Teleprompter
from dspy.utils.exceptions import AdapterParseError, LMError

from . import preflight
from .backward.cache import GradientCache
from .backward.explanation import Explanation
from .backward.gradient import TextGradient
from .backward.propagate import propagate
from .backward.seed import seed as seed_messages
from .concurrency import run_sync
from .errors import ModelError, ModelUnavailable, ProgramError
from .forward.capture import describe
from .forward.evaluate import Evaluator, Outcome, Scored, mean, scored
from .forward.graph import ComputationGraph, Edge
from .forward.metric import adapt
from .forward.probe import Pristine, Probe, prove
from .lm import install, limit, passage
from .presets import Method, semantic
from .run.budget import Ledger
from .run.events import (
    EvaluationDone,
    EvaluationStarted,
    Event,
    ExampleDone,
    GradientsReady,
    RunStarted,
    StepDone,
    Subscriber,
    publish,
)
from .run.progress import ProgressBar
from .run.result import Ending, Result, StepRecord
from .step.candidate import Candidate, Parameters, clone, read, write
from .step.consider import Decision, Door, Verdict
from .step.lessons import Lesson, group_by_predictor
from .step.propose import Subject, render

logger = logging.getLogger("dspy_semantic_backprop")


class SemanticGradientDescent(Teleprompter):
    """Optimises the instructions of a program with several predictors by semantic backpropagation.

    Each step takes examples from the incumbent's own evaluation, sends the metric's feedback back through
    the computation graph of those very executions, rewrites instructions from what every call was told,
    and keeps the rewrite if the gate accepts it (arXiv 2412.03624, section 4).

    Args:
        metric: `metric(example, prediction)`, with a trace, or GEPA's five or six arguments; returns a
            number, a bool, or `dspy.Prediction(score=..., feedback=...)`.
        gradient_lm: Writes gradients and instructions; None takes DSPy's configured language model.
        steps: How many proposals to make.
        method: The parts that a step is put together from; None takes `presets.semantic()`.
        failure_score: The score of an execution in which the program itself failed, in metric points.
        num_threads: How many programs, and how many of our own calls, run at once; None takes DSPy's
            setting, `math.inf` sets no bound.
        probe: How far to prove the edges of the examples learned from, as in `trace`.
        seed: Of all random choices.
        gradient_cache: A directory where the gradient model's answers are kept as JSON files, so that an
            unchanged question is not paid for again, in this run or another; None keeps them in memory.
        subscribers: Called with every event of the run; None shows a progress bar, () nothing.

    Raises:
        SetupError: If an argument cannot work.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of one object, as in every DSPy optimizer
        self,
        metric: Any,
        *,
        gradient_lm: Any = None,
        steps: int = 8,
        method: Method | None = None,
        failure_score: float = 0.0,
        num_threads: float | None = None,
        probe: Probe = "auto",
        seed: int = 0,
        gradient_cache: str | os.PathLike[str] | None = None,
        subscribers: Sequence[Subscriber] | None = None,
    ) -> None:
        super().__init__()
        adapt(metric)
        preflight.check_number("steps", steps, 0)
        preflight.check_number("failure_score", failure_score, -math.inf, whole=False)
        preflight.check_choice("probe", probe, get_args(Probe))
        preflight.check_number("num_threads", 1 if num_threads is None else num_threads, 1, whole=False)
        self.metric = metric
        self.gradient_lm = gradient_lm
        self.steps = steps
        self.method = method if method is not None else semantic()
        self.failure_score = failure_score
        self.num_threads = num_threads
        self.probe: Probe = probe
        self.seed = seed
        self.subscribers = subscribers
        self.gradient_cache = preflight.opened("gradient_cache", GradientCache, gradient_cache)

    def compile(
        self,
        student: dspy.Module,
        *,
        trainset: list[dspy.Example],
        teacher: Any = None,
        valset: list[dspy.Example] | None = None,
    ) -> dspy.Module:
        """Optimise a program; see `acompile`. Works in notebooks, where an event loop runs already."""
        return run_sync(self.acompile(student, trainset=trainset, teacher=teacher, valset=valset))

    async def acompile(
        self,
        student: dspy.Module,
        *,
        trainset: list[dspy.Example],
        teacher: Any = None,
        valset: list[dspy.Example] | None = None,
    ) -> dspy.Module:
        """Optimise the instructions of a program.

        Args:
            student: The program; it is not changed.
            trainset: The examples to learn from.
            teacher: Not used; accepted since DSPy's optimizers are called with it.
            valset: The examples on which proposals are decided; None decides on the trainset.

        Returns:
            A program of the same class with the best instructions found, and a `Result` as its
            `detailed_results`.

        Raises:
            SetupError: If the arguments cannot work; nothing was spent.
            MetricError: If the metric raises or returns no score.
            ModelError: If a language model refuses for good (key, billing, unknown model).
            ProgramError: If the program raises on every example.
            TooManyFailures: If the provider leaves too many examples unanswered.
        """
        preflight.check_program(student)
        preflight.check_examples("trainset", trainset, student)
        if valset is not None:
            preflight.check_examples("valset", valset, student)
        preflight.check_models(student, self.gradient_lm)
        if teacher:
            logger.warning("SemanticGradientDescent takes no teacher; the one given is not used")
        try:
            return await _Run(self, student, trainset, valset).descend()
        except ModelUnavailable as stop:
            raise ModelError(f"{type(stop.error).__name__}: {stop.error}") from stop.error

    def explain(self, program: dspy.Module, example: dspy.Example) -> Explanation:
        """Run a program on one example and show the gradients of its calls; see `aexplain`."""
        return run_sync(self.aexplain(program, example))

    async def aexplain(self, program: dspy.Module, example: dspy.Example) -> Explanation:
        """Run a program on one example and send the metric's feedback back through its graph.

        Args:
            program: The program; it is not changed.
            example: An example with inputs and labels.

        Returns:
            The score, the feedback, the graph and every call's gradient.

        Raises:
            SetupError: If the arguments cannot work; nothing was spent.
            MetricError: If the metric raises or returns no score.
            ModelError: If a language model refuses for good.
            TooManyFailures: If the provider did not answer.
        """
        preflight.check_program(program)
        preflight.check_examples("example", [example], program)
        preflight.check_models(program, self.gradient_lm)
        try:
            run = _Run(self, program, [example], None)
            incumbent = read(program)
            (outcome,) = await run.proved(scored(await run.evaluate("explain", [example], incumbent)), incumbent)
            return Explanation(outcome, await run.sweep_one(outcome, 0) or {})
        except ModelUnavailable as stop:
            raise ModelError(f"{type(stop.error).__name__}: {stop.error}") from stop.error


class _Run:
    """One compile: what its steps share."""

    def __init__(
        self,
        settings: SemanticGradientDescent,
        student: dspy.Module,
        trainset: Sequence[dspy.Example],
        valset: Sequence[dspy.Example] | None,
    ) -> None:
        threads = settings.num_threads if settings.num_threads is not None else dspy.settings.num_threads or 8
        self.settings = settings
        self.student = student
        self.trainset = trainset
        self.gate_set = trainset if valset is None else valset
        self.ledger = Ledger()
        self.rng = random.Random(settings.seed)
        self.parameters = Parameters.of(student)
        self.turn = limit(None if math.isinf(threads) else int(threads))
        self.subscribers = [ProgressBar()] if settings.subscribers is None else list(settings.subscribers)
        self.evaluator = Evaluator(
            metric=adapt(settings.metric),
            ledger=self.ledger,
            limiter=anyio.CapacityLimiter(threads if math.isinf(threads) else int(threads)),
            failure_score=settings.failure_score,
            on_outcome=self.on_outcome,
        )
        self.asked: Counter[tuple[str, str, str]] = Counter()
        self.records: list[StepRecord] = []
        self.shapes: dict[Any, tuple[Edge, ...]] = {}
        self.warnings: list[str] = []
        self.notes: Counter[str] = Counter()

    async def descend(self) -> dspy.Module:
        start = incumbent = read(self.student)
        door = Door(self.parameters, self.settings.method.gate, functools.partial(self.evaluate, "gate", self.gate_set))
        self.publish(RunStarted(tuple(start.instructions), len(self.trainset), len(self.gate_set), self.settings.steps))
        outcomes = first = await self.evaluate("gate", self.gate_set, start)
        _check_runs(first)
        learned_from = outcomes if self.gate_set is self.trainset else ()
        ending = Ending.STEPS
        for step in range(self.settings.steps):
            learned_from = learned_from or await self.evaluate("train", self.trainset, incumbent)
            chosen = self.settings.method.choose_examples(scored(learned_from), self.rng)
            if not chosen:
                ending = Ending.PERFECT
                break
            swept, sweeps = await self.sweep(await self.proved(chosen, incumbent))
            texts = await self.proposals(step, group_by_predictor(swept, sweeps), incumbent)
            decision = await door.consider(texts, incumbent, outcomes)
            self.record(step, swept, sweeps, decision)
            if decision.verdict is Verdict.ACCEPTED:
                incumbent, outcomes = decision.candidate, decision.outcomes
                learned_from = outcomes if self.gate_set is self.trainset else ()
        return self.finish(start, incumbent, mean(first), mean(outcomes), ending)

    async def evaluate(self, what: str, examples: Sequence[dspy.Example], candidate: Candidate) -> tuple[Outcome, ...]:
        program = write(candidate, clone(self.student))
        install(program, self.ledger)
        self.publish(EvaluationStarted(what, len(examples)))
        outcomes = await self.evaluator(program, examples)
        self.publish(EvaluationDone(what, mean(outcomes), len(outcomes) - len(scored(outcomes))))
        return outcomes

    async def proved(self, chosen: Sequence[Scored], incumbent: Candidate) -> list[Scored]:
        pristine = Pristine.of(write(incumbent, clone(self.student)))
        return [replace(outcome, graph=await self.prove(outcome, pristine)) for outcome in chosen]

    async def prove(self, outcome: Scored, pristine: Pristine | str) -> ComputationGraph:
        shape = (tuple(call.id for call in outcome.graph), outcome.graph.edges)
        if shape not in self.shapes:
            graph = await prove(outcome.graph, outcome.trace, pristine, self.settings.probe)
            for warning in graph.warnings:
                self.warn(warning)
            # Executions of one shape have the same edges: what one of them proved holds for all.
            self.shapes[shape] = graph.edges
        return replace(outcome.graph, edges=self.shapes[shape])

    def warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)
            logger.warning("%s", warning)

    async def sweep(self, chosen: Sequence[Scored]) -> tuple[list[Scored], list[dict[str, TextGradient]]]:
        seen: Counter[int] = Counter()
        repeats = []
        for outcome in chosen:
            repeats.append(seen[outcome.example_id])
            seen[outcome.example_id] += 1
        sweeps = await asyncio.gather(*map(self.sweep_one, chosen, repeats))
        done = [(outcome, sweep) for outcome, sweep in zip(chosen, sweeps, strict=True) if sweep is not None]
        return [outcome for outcome, _ in done], [sweep for _, sweep in done]

    async def sweep_one(self, outcome: Scored, repeat: int) -> dict[str, TextGradient] | None:
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

    async def proposals(self, step: int, lessons: Mapping[str, list[Lesson]], incumbent: Candidate) -> dict[str, str]:
        known = [name for name in incumbent.instructions if name in lessons]
        chosen = self.settings.method.choose_predictors(known, step, self.rng) if known else []
        texts = await asyncio.gather(*(self.proposal(name, lessons[name], incumbent) for name in chosen))
        return dict(zip(chosen, texts, strict=True))

    async def proposal(self, name: str, lessons: Sequence[Lesson], incumbent: Candidate) -> str:
        free = self.parameters.free(name, incumbent.instructions[name])
        question = (name, free, render(lessons))
        attempt = self.asked[question]
        self.asked[question] += 1
        try:
            with passage("propose", self.ledger, lm=self.settings.gradient_lm, turn=self.turn, tally=self.notes):
                return await self.settings.method.propose(Subject(name, free, lessons, attempt))
        except LMError as error:
            logger.warning("no proposal for predictor %s: %s", name, error)
            return ""

    def record(
        self, step: int, chosen: Sequence[Scored], sweeps: Sequence[Mapping[str, TextGradient]], decision: Decision
    ) -> None:
        pairs = decision.pairs
        gradients = tuple(
            (outcome.example_id, {call: str(gradient) for call, gradient in sweep.items()})
            for outcome, sweep in zip(chosen, sweeps, strict=True)
        )
        self.publish(GradientsReady(step, gradients))
        proposed = {name: decision.candidate.instructions[name] for name in decision.changed}
        self.records.append(
            StepRecord(
                step=step,
                examples=tuple(outcome.example_id for outcome in chosen),
                verdict=decision.verdict.name.lower(),
                changed=decision.changed,
                proposed=proposed,
                refused=decision.refused or {},
                gradients=gradients,
                before=sum(old for old, _ in pairs) / len(pairs) if pairs else None,
                after=sum(new for _, new in pairs) / len(pairs) if pairs else None,
                compared=len(pairs),
                missing=len(decision.outcomes) - len(pairs) if decision.outcomes else 0,
            )
        )
        self.publish(StepDone(step, self.records[-1].to_dict()))

    def finish(self, start: Candidate, best: Candidate, before: float, after: float, ending: Ending) -> dspy.Module:
        program: Any = write(best, clone(self.student))
        program._compiled = False
        program.detailed_results = Result(
            ending=ending,
            score_before=before,
            score_after=after,
            instructions_before=dict(start.instructions),
            instructions_after=dict(best.instructions),
            steps=tuple(self.records),
            spent=self.ledger.by_purpose,
            seconds=self.ledger.seconds,
            seed=self.settings.seed,
            method=self.settings.method.name,
            notes={name: times for name, times in self.notes.items() if times},
        )
        return program

    def on_outcome(self, outcome: Outcome) -> None:
        score = outcome.score if isinstance(outcome, Scored) else None
        self.publish(ExampleDone(outcome.example_id, score))

    def publish(self, event: Event) -> None:
        publish(self.subscribers, event)


def _check_runs(outcomes: Sequence[Outcome]) -> None:
    raised = [outcome.raised for outcome in scored(outcomes)]
    if raised and all(error is not None and not isinstance(error, AdapterParseError) for error in raised):
        first = cast(BaseException, raised[0])
        message = f"the program raised on every one of {len(raised)} examples; the first: {describe(first)}"
        raise ProgramError(message) from first
