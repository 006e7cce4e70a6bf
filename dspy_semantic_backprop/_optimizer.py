"""Semantic gradient descent as a DSPy optimizer: the only room that sees all floors."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from typing import Any, get_args

import dspy
from dspy.teleprompt import Teleprompter

from . import _checks as arguments
from ._backward.cache import GradientCache
from ._concurrency import Interrupt, run_sync
from ._errors import SetupError, told_to_callers
from ._evaluate.metric import adapt
from ._evaluate.outcome import scored
from ._graph.evidence.replay.probe import Probe
from ._loop import Descent
from ._propose.candidate import read
from ._reports.diagnose.diagnose import Diagnosing
from ._reports.diagnose.record import Diagnosis
from ._reports.explain import Explanation
from ._reports.placebo.placebo import Placebos
from ._reports.placebo.record import Placebo
from ._reports.preflight.preflight import Forecasting
from ._reports.preflight.record import Preflight
from ._session.budget import Budget
from ._session.events import Subscriber
from ._session.fingerprint import fingerprint
from ._session.journal import Journal, digest_of
from ._session.limits import Limits
from ._session.projection import STEPS, Auto
from ._session.run import Run
from .presets import Method, semantic

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
        auto: "light", "medium" or "heavy": 4, 10 or 24 steps and, unless one is given, a budget of thrice their calls.
        method: The parts of a step; None takes `presets.semantic()`.
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
        arguments.check_number("steps", 0 if steps is None else steps, 0)
        arguments.check_choice("auto", auto, (None, *get_args(Auto)))
        if auto is not None and steps is not None:
            raise SetupError(f"auto={auto!r} and steps={steps} both say how many steps to make; give one of them")
        arguments.check_number("failure_score", failure_score, -math.inf, whole=False)
        arguments.check_choice("probe", probe, get_args(Probe))
        arguments.check_kind("budget", budget, Budget)
        arguments.check_kind("limits", limits, Limits)
        arguments.check_kind("log_dir", log_dir, (str, os.PathLike))
        arguments.check_number("num_threads", 1 if num_threads is None else num_threads, 1, whole=False)
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
        self._preflights: dict[str, Preflight] = {}
        self.gradient_cache = arguments.opened("gradient_cache", GradientCache, gradient_cache)

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
        if isinstance(valset, (list, tuple)) and not valset:
            # DSPy's own optimizers are given an empty one by BetterTogether where the trainset is small.
            logger.warning("valset is empty: proposals are decided on the trainset, where scores flatter")
            valset = None
        self._check(student, trainset=trainset, **_given(valset=valset))
        for path in arguments.frozen(student):
            freed = "set `_compiled = False` on it to optimise them too"
            logger.warning("sub-module %s was compiled before, which freezes its instructions; %s", path, freed)
        if teacher:
            logger.warning("SemanticGradientDescent takes no teacher; the one given is not used")
        header = fingerprint(self, student, trainset, valset) if self.log_dir is not None else None
        journal = Journal(self.log_dir, header)
        try:
            descent = Descent(self, student, trainset, valset, journal, interrupt)
            known = self._preflights.get(self._about(student, trainset, valset)) if self._preflights else None
            if known and known.recommendation != "go":
                descent.warn(f"the pre-flight advised against this run, {known.recommendation}: {known.reason}")
            return await descent.descend()
        finally:
            journal.close()

    def _check(self, program: Any, **sets: Any) -> None:
        arguments.check_program(program)
        for name, examples in sets.items():
            arguments.check_examples(name, examples, program)
        arguments.check_models(program, self.gradient_lm)
        arguments.check_prices(program, self.gradient_lm, self.budget)

    def _about(self, program: dspy.Module, trainset: Any, valset: Any) -> str:
        return digest_of(fingerprint(self, program, trainset, valset))

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
            SemanticBackpropError: As `adiagnose` says.
        """
        self._check(program, example=[example])
        with told_to_callers():
            run = Run(self, program)
            incumbent = read(program)
            outcomes = await run.evaluate("explain", [example], incumbent)
            (outcome,) = await run.proved(scored(outcomes), incumbent)
            return Explanation(outcome, await run.sweep_one(outcome, 0) or {})

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
            OutOfBudget: If the budget does not last.
            SemanticBackpropError: As `acompile` says.
        """
        self._check(program, devset=devset)
        arguments.check_number("checks", checks, 0)
        cap = 4 * checks if max_calls is None else max_calls
        arguments.check_number("max_calls", cap, 0)
        arguments.check_number("perfect", perfect, -math.inf, whole=False)
        with told_to_callers():
            run = Diagnosing(self, program, checks=checks, max_calls=cap, perfect=perfect)
            return await run.diagnose(devset)

    def preflight(
        self,
        program: dspy.Module,
        trainset: list[dspy.Example],
        valset: list[dspy.Example] | None = None,
        *,
        repeats: int = 3,
        candidates: int = 3,
        sample: int = 24,
        perfect: float | None = None,
    ) -> Preflight:
        """Find out whether optimising is worth it; see `apreflight`."""
        how: dict[str, Any] = {"repeats": repeats, "candidates": candidates, "sample": sample, "perfect": perfect}
        return run_sync(self.apreflight(program, trainset, valset, **how))

    async def apreflight(
        self,
        program: dspy.Module,
        trainset: list[dspy.Example],
        valset: list[dspy.Example] | None = None,
        *,
        repeats: int = 3,
        candidates: int = 3,
        sample: int = 24,
        perfect: float | None = None,
    ) -> Preflight:
        """Find out whether `compile` with the same arguments is worth it.

        The program is run several times on the examples to decide on, past DSPy's cache, to see what varies although
        nothing was changed. A few cheap candidates show what there is to gain; a simulation of this method's gate and
        last decision shows which gains such a set can tell from luck. `compile` repeats as a warning what this
        optimizer was advised against.

        Args:
            program: The program; it is not changed.
            trainset: The examples to learn from.
            valset: The examples on which proposals are decided; None decides on the trainset.
            repeats: How often the program is run on these, at least 2.
            candidates: How many cheap candidates to try, 0 to 3: one backward pass on a few failures, "think step by
                step", a rewording without examples.
            sample: On how many examples to try each.
            perfect: The best possible score, in metric points; None: 1, or the best seen where some lie outside 0 to 1.

        Returns:
            A record that prints within one screen.

        Raises:
            SetupError: If the arguments cannot work; nothing was spent.
            MetricError: If the metric raises or returns no score.
            ModelError: If a language model refuses for good.
            ProgramError: If the program raises on every example.
            TooManyFailures: If the provider leaves too many examples unanswered.
            OutOfBudget: If the budget does not last for two runs of the program.
        """
        self._check(program, trainset=trainset, **_given(valset=valset))
        arguments.check_number("repeats", repeats, 2)
        arguments.check_choice("candidates", candidates, range(4))
        arguments.check_number("sample", sample, 1)
        arguments.check_number("perfect", 0 if perfect is None else perfect, -math.inf, whole=False)
        how: dict[str, Any] = {"repeats": repeats, "candidates": candidates, "sample": sample, "perfect": perfect}
        with told_to_callers():
            found = await Forecasting(self, program, trainset, valset, **how).forecast()
        self._preflights[self._about(program, trainset, valset)] = found
        return found

    def placebo(
        self,
        program: dspy.Module,
        trainset: list[dspy.Example],
        valset: list[dspy.Example] | None,
        testset: list[dspy.Example],
        *,
        arms: Sequence[str | Method] | None = None,
        seeds: Sequence[int] = (0,),
    ) -> Placebo:
        """Compare this optimizer with placebos at equal budget; see `aplacebo`."""
        return run_sync(self.aplacebo(program, trainset, valset, testset, arms=arms, seeds=seeds))

    async def aplacebo(
        self,
        program: dspy.Module,
        trainset: list[dspy.Example],
        valset: list[dspy.Example] | None,
        testset: list[dspy.Example],
        *,
        arms: Sequence[str | Method] | None = None,
        seeds: Sequence[int] = (0,),
    ) -> Placebo:
        """Compare this optimizer with placebos: the same run without what its method stands for, at the same budget.

        Every run may spend the optimizer's budget; without one, the calls that its own run is projected to take. It
        makes up to four times as many steps, past DSPy's cache, so that cheap methods use the budget too. What comes
        back is compared, example by example, on held-out examples, whose cost is no part of any budget.

        Args:
            program: The program; it is not changed.
            trainset: The examples to learn from.
            valset: The examples on which proposals are decided; None decides on the trainset.
            testset: The held-out examples.
            arms: The placebos, "isolated", "shuffled", "no_gradient", "one_step", or any `Method`; None: these four.
            seeds: The seeds of the runs; every method runs once with each.

        Returns:
            A record that prints as a table.

        Raises:
            SetupError: If the arguments cannot work; nothing was spent.
            SemanticBackpropError: As `acompile`.
        """
        self._check(program, trainset=trainset, **_given(valset=valset), testset=testset)
        arguments.check_number("steps, where placebos are compared,", self.steps, 1)
        methods = arguments.arms_of(self.method, arms)
        for seed in arguments.check_list("seeds", seeds):
            arguments.check_number("seeds", seed, -math.inf)
        with told_to_callers():
            placebos = Placebos(self, program, trainset, valset, testset)
            return await placebos.compare(
                methods, seeds, lambda arm, student: arm.acompile(student, trainset=trainset, valset=valset)
            )


def _given(**sets: Any) -> dict[str, Any]:
    return {name: examples for name, examples in sets.items() if examples is not None}
