"""Semantic gradient descent as a DSPy optimizer: the only room that sees all floors."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from typing import Any, get_args

import dspy
from dspy.teleprompt import Teleprompter

from . import preflight
from .backward.cache import GradientCache
from .backward.explanation import Explanation
from .concurrency import Interrupt, run_sync
from .descent import Descent
from .diagnosing import Diagnosing
from .errors import BudgetSpent, ModelError, ModelUnavailable, OutOfBudget, SetupError
from .fingerprint import fingerprint
from .forward.evaluate import scored
from .forward.metric import adapt
from .forward.replaying.probe import Probe
from .presets import Method, semantic
from .run.budget import Budget
from .run.diagnosis import Diagnosis
from .run.events import Subscriber
from .run.journal import Journal
from .run.limits import Limits
from .run.projection import STEPS, Auto
from .running import Run
from .step.candidate import read

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
        steps: How many proposals to make; None: 8, or what `auto` says.
        auto: "light", "medium" or "heavy": 4, 10 or 24 steps, with a budget of three times the calls that they are
            projected to take, unless one is given.
        method: The parts that a step is put together from; None takes `presets.semantic()`.
        failure_score: The score of an execution in which the program itself failed, in metric points.
        num_threads: How many programs, and how many of our own calls, run at once; None takes DSPy's
            setting, `math.inf` sets no bound.
        probe: How far to prove the edges of the examples learned from, as in `trace`.
        seed: Of all random choices.
        gradient_cache: A directory where the gradient model's answers are kept as JSON files, so that an
            unchanged question is not paid for again, in this run or another; None keeps them in memory.
        budget: The most that a run may spend: `Budget(calls=..., tokens=..., usd=..., metric_calls=..., seconds=...)`,
            checked before every call; the best program so far is returned when one is spent. None sets no bound.
        limits: How long to wait for a request, an example and a metric, and how many examples may be missing.
        log_dir: A directory for the log of `compile`. A run that was killed, interrupted or out of budget goes on
            from there when it is started again with the same program, data and settings, and pays for nothing
            twice; the program's own code and its tools run again, on the recorded answers. None keeps no log.
        subscribers: Called with every event of the run; None shows a progress bar, () nothing.

    Raises:
        SetupError: If an argument cannot work.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of one object, as in every DSPy optimizer
        self,
        metric: Any,
        *,
        gradient_lm: Any = None,
        steps: int | None = None,
        auto: Auto | None = None,
        method: Method | None = None,
        failure_score: float = 0.0,
        num_threads: float | None = None,
        probe: Probe = "auto",
        seed: int = 0,
        gradient_cache: str | os.PathLike[str] | None = None,
        budget: Budget | None = None,
        limits: Limits | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        subscribers: Sequence[Subscriber] | None = None,
    ) -> None:
        super().__init__()
        adapt(metric)
        preflight.check_number("steps", 0 if steps is None else steps, 0)
        preflight.check_choice("auto", auto, (None, *get_args(Auto)))
        if auto is not None and steps is not None:
            raise SetupError(f"auto={auto!r} and steps={steps} both say how many steps to make; give one of them")
        preflight.check_number("failure_score", failure_score, -math.inf, whole=False)
        preflight.check_choice("probe", probe, get_args(Probe))
        preflight.check_kind("budget", budget, Budget)
        preflight.check_kind("limits", limits, Limits)
        preflight.check_kind("log_dir", log_dir, (str, os.PathLike))
        preflight.check_number("num_threads", 1 if num_threads is None else num_threads, 1, whole=False)
        self.metric = metric
        self.gradient_lm = gradient_lm
        self.auto: Auto | None = auto
        self.steps = steps if steps is not None else STEPS[auto] if auto is not None else 8
        self.method = method if method is not None else semantic()
        self.failure_score = failure_score
        self.num_threads = num_threads
        self.probe: Probe = probe
        self.seed = seed
        self.subscribers = subscribers
        self.budget = budget
        self.limits = limits if limits is not None else Limits()
        self.log_dir = log_dir
        self.gradient_cache = preflight.opened("gradient_cache", GradientCache, gradient_cache)

    def compile(
        self,
        student: dspy.Module,
        *,
        trainset: list[dspy.Example],
        teacher: Any = None,
        valset: list[dspy.Example] | None = None,
    ) -> dspy.Module:
        """Optimise a program; see `acompile`. Works in notebooks, where an event loop runs already.

        Ctrl-C ends the run and returns the best program so far; a second one raises KeyboardInterrupt.
        """
        interrupt = Interrupt()
        running = self._compile(student, trainset, teacher, valset, interrupt)
        return run_sync(running, lambda: interrupt("the run was interrupted (Ctrl-C)"))

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
            valset: The examples on which proposals are decided; None, or none at all, decides on the trainset.

        Returns:
            A program of the same class with the best instructions found, and a `Result` as its
            `detailed_results`. Where the budget is spent or the log cannot be written any more, the best so far.

        Raises:
            SetupError: If the arguments cannot work; nothing was spent.
            JournalError: If `log_dir` cannot be used, or holds the log of another run; nothing was spent.
            MetricError: If the metric raises or returns no score.
            ModelError: If a language model refuses for good (key, billing, unknown model).
            ProgramError: If the program raises on every example.
            TooManyFailures: If the provider leaves too many examples unanswered.
        """
        return await self._compile(student, trainset, teacher, valset, Interrupt())

    async def _compile(
        self, student: dspy.Module, trainset: Any, teacher: Any, valset: Any, interrupt: Interrupt
    ) -> dspy.Module:
        preflight.check_program(student)
        preflight.check_examples("trainset", trainset, student)
        if isinstance(valset, (list, tuple)) and not valset:
            # DSPy's own optimizers are given an empty one by BetterTogether where the trainset is small.
            logger.warning("valset is empty: proposals are decided on the trainset, where scores flatter")
            valset = None
        if valset is not None:
            preflight.check_examples("valset", valset, student)
        preflight.check_models(student, self.gradient_lm)
        preflight.check_prices(student, self.gradient_lm, self.budget)
        for path in preflight.frozen(student):
            logger.warning(
                "sub-module %s was compiled before, which freezes its instructions; set `_compiled = False` on it to "
                "optimise them too",
                path,
            )
        if teacher:
            logger.warning("SemanticGradientDescent takes no teacher; the one given is not used")
        header = fingerprint(self, student, trainset, valset) if self.log_dir is not None else None
        journal = Journal(self.log_dir, header)
        try:
            return await Descent(self, student, trainset, valset, journal, interrupt).descend()
        finally:
            journal.close()

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
            OutOfBudget: If the budget does not last.
        """
        preflight.check_program(program)
        preflight.check_examples("example", [example], program)
        preflight.check_models(program, self.gradient_lm)
        preflight.check_prices(program, self.gradient_lm, self.budget)
        try:
            run = Run(self, program)
            incumbent = read(program)
            outcomes = await run.evaluate("explain", [example], incumbent)
            (outcome,) = await run.proved(scored(outcomes), incumbent)
            return Explanation(outcome, await run.sweep_one(outcome, 0) or {})
        except ModelUnavailable as stop:
            raise ModelError(f"{type(stop.error).__name__}: {stop.error}") from stop.error
        except BudgetSpent as stop:
            raise OutOfBudget(str(stop)) from stop

    def diagnose(
        self,
        program: dspy.Module,
        devset: list[dspy.Example],
        *,
        checks: int = 8,
        max_calls: int | None = None,
        perfect: float = 1.0,
    ) -> Diagnosis:
        """Find out who is to blame for a program's failures; see `adiagnose`."""
        return run_sync(self.adiagnose(program, devset, checks=checks, max_calls=max_calls, perfect=perfect))

    async def adiagnose(
        self,
        program: dspy.Module,
        devset: list[dspy.Example],
        *,
        checks: int = 8,
        max_calls: int | None = None,
        perfect: float = 1.0,
    ) -> Diagnosis:
        """Evaluate a program, go back through its failures, and say which predictors are to blame.

        The blame is checked on a sample: a blamed call's output is changed as its gradient asks, only what
        lies downstream is run again, and the metric says whether that would have helped.

        Args:
            program: The program; it is not changed.
            devset: Examples with inputs and labels.
            checks: How many checks to make at most; 0 makes none.
            max_calls: The most language-model calls that all checks may make together; None: four for each.
            perfect: An example below this score has failed, in metric points.

        Returns:
            A record that prints within one screen.

        Raises:
            SetupError: If the arguments cannot work; nothing was spent.
            MetricError: If the metric raises or returns no score.
            ModelError: If a language model refuses for good.
            ProgramError: If the program raises on every example.
            TooManyFailures: If the provider leaves too many examples unanswered.
            OutOfBudget: If the budget does not last.
        """
        preflight.check_program(program)
        preflight.check_examples("devset", devset, program)
        preflight.check_models(program, self.gradient_lm)
        preflight.check_prices(program, self.gradient_lm, self.budget)
        preflight.check_number("checks", checks, 0)
        cap = 4 * checks if max_calls is None else max_calls
        preflight.check_number("max_calls", cap, 0)
        preflight.check_number("perfect", perfect, -math.inf, whole=False)
        try:
            run = Diagnosing(self, program, checks=checks, max_calls=cap, perfect=perfect)
            return await run.diagnose(devset)
        except ModelUnavailable as stop:
            raise ModelError(f"{type(stop.error).__name__}: {stop.error}") from stop.error
        except BudgetSpent as stop:
            raise OutOfBudget(str(stop)) from stop
