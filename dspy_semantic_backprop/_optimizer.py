"""Semantic gradient descent as a DSPy optimizer: `compile`, and the doors to the reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import dspy
from dspy.teleprompt import Teleprompter

from . import _checks as checks
from ._backward.ask import GradientCache
from ._compile import compiled
from ._concurrency import Interrupt, run_sync, synchronous
from ._graph.evidence.replay.replays import Probe
from ._method import Method
from ._reports.check.check import abaseline, acheck
from ._reports.diagnose.diagnose import adiagnose
from ._reports.explain import aexplain
from ._reports.placebo import aplacebo
from ._reports.preflight.preflight import advised, apreflight
from ._session.batch.shipment import Batch
from ._session.budget import Budget
from ._session.events import Subscriber
from ._session.limits import Limits
from ._session.projection import Auto
from ._settings import Settings
from ._spelling import spelled

Examples = list[dspy.Example]
Program = TypeVar("Program", bound=dspy.Module)


class SemanticGradientDescent(Teleprompter):
    """Optimises the instructions of a program with several predictors by semantic backpropagation.

    Each step takes failures of the best program so far, sends the metric's feedback back through the computation
    graph of those very executions, and rewrites instructions from what every call was told (arXiv 2412.03624,
    section 4). What is expected to be best by all scores of the run is returned, unless it may well be worse.

    Args:
        metric: `metric(example, prediction)`, with a trace, or GEPA's five or six arguments; returns a
            number, a bool, or `dspy.Prediction(score=..., feedback=...)`.
        gradient_lm: Writes gradients and instructions; None takes DSPy's configured language model.
        steps: How many steps to make; None: what `auto` says, else as many as the budget lasts, else 8.
        auto: "light", "medium" or "heavy": 4, 10 or 24 steps and, unless one is given, a budget of thrice their calls.
        method: The parts of a step; None takes `presets.semantic()`.
        failure_score: The score of an execution in which the program itself failed, in metric points.
        num_threads: How many programs, and how many of our own calls, run at once; None takes DSPy's
            setting, `math.inf` sets no bound.
        probe: How far to prove the edges of the examples learned from, as in `trace`; "always" also lets the checks of
            `diagnose` run programs with side effects again.
        seed: Of all random choices.
        group: What an example belongs to, as a document or a user: the name of a field of the examples, or a function
            of an example; None there: it stands alone. No group is torn apart where examples are kept for the end, and
            tests take what belongs together as one. None: all examples are independent.
        gradient_cache: A directory where the gradient model's answers are kept as JSON files, so that an
            unchanged question is not paid for again, in this run or another; None keeps them in memory.
        budget: The most that a run may spend: `Budget(calls=..., tokens=..., usd=..., metric_calls=..., seconds=...)`,
            checked before every call; the best program so far is returned when one is spent. None sets no bound.
        limits: How long to wait for a request, an example and a metric, and how many examples may be missing.
        log_dir: A directory for the log of `compile`. A run that was killed, interrupted or out of budget goes on
            from there when it is started again with the same program, data and settings, and pays for nothing
            twice; the program's own code and its tools run again, on the recorded answers. None keeps no log.
        subscribers: Called with every event of the run; None shows a progress bar, () nothing.
        where: Where programs are run: None or "threads" in threads of this process, "processes" or a number in so many
            processes of this machine, a `dask.distributed.Client` on its workers, "ray" on those of a connected Ray.
        batch: Whether to send requests as batches of the provider, at half the price, each of which may take hours; a
            `Batch(...)` says how long to wait. Programs run as always, by default 1,000 at once: a batch is as wide.

    Raises:
        SetupError: If an argument cannot work.
    """

    @spelled()
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
        group: str | Callable[[dspy.Example], Hashable] | None = None,
        gradient_cache: str | os.PathLike[str] | None = None,
        budget: Budget | None = None,
        limits: Limits | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        subscribers: Sequence[Subscriber] | None = None,
        where: Any = None,
        batch: bool | Batch = False,
    ) -> None:
        super().__init__()
        optional = {"method": method, "limits": limits}
        self.settings = Settings(
            metric,
            gradient_lm=gradient_lm,
            steps=steps,
            auto=auto,
            failure_score=failure_score,
            num_threads=num_threads,
            probe=probe,
            seed=seed,
            group=group,
            budget=budget,
            log_dir=log_dir,
            subscribers=subscribers,
            where=where,
            batch=batch,
            answers=checks.opened("gradient_cache", GradientCache, gradient_cache),
            **{name: value for name, value in optional.items() if value is not None},
        )
        self.advice: dict[str, str] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Settings.__dataclass_fields__:
            raise AttributeError(f"{name} cannot be changed; make another SemanticGradientDescent(..., {name}=...)")
        super().__setattr__(name, value)

    @spelled(Settings.__dataclass_fields__, "SemanticGradientDescent")
    def compile(
        self, student: Program, *, trainset: Examples, teacher: Any = None, valset: Examples | None = None
    ) -> Program:
        """Optimise a program; see `acompile`. Works in notebooks, where an event loop runs already.

        Ctrl-C ends the run and returns the best program so far; a second one raises KeyboardInterrupt.
        """
        interrupt = Interrupt()
        running = self._compiled(student, trainset, teacher, valset, interrupt)
        return run_sync(running, lambda: interrupt("the run was interrupted (Ctrl-C)"))

    @spelled(Settings.__dataclass_fields__, "SemanticGradientDescent")
    async def acompile(
        self, student: Program, *, trainset: Examples, teacher: Any = None, valset: Examples | None = None
    ) -> Program:
        """Optimise the instructions of a program.

        Args:
            student: The program; it is not changed.
            trainset: The examples to learn from.
            teacher: Not used; accepted since DSPy's optimizers are called with it.
            valset: The examples on which proposals are decided; None, or none at all, decides on the trainset.

        Returns:
            A program of the same class with the best instructions found, and a `Result` as its
            `detailed_results`; with its type it is `Result.of(program)`. Where the budget is spent or the log cannot be
            written any more, the best so far.

        Raises:
            SetupError: If the arguments cannot work; nothing was spent.
            JournalError: If `log_dir` cannot be used, or holds the log of another run; nothing was spent.
            MetricError: If the metric raises or returns no score.
            ModelError: If a language model refuses for good (key, billing, unknown model).
            ProgramError: If the program raises on every example.
            TooManyFailures: If the provider leaves too many examples unanswered.
        """
        return await self._compiled(student, trainset, teacher, valset, Interrupt())

    async def _compiled(self, student: Any, trainset: Any, teacher: Any, valset: Any, interrupt: Interrupt) -> Any:
        valset, said = checks.apart(trainset, valset)
        self.settings.check(student, trainset=trainset, valset=valset)
        for path in checks.frozen(student):
            freed = "set `_compiled = False` on it to optimise them too"
            said += [f"sub-module {path} was compiled before, which freezes its instructions; {freed}"]
        if teacher:
            said += ["SemanticGradientDescent takes no teacher; the one given is not used"]
        said += [f"{path} is a dspy.Flex, whose code is not optimised here" for path in checks.written_as_code(student)]
        advice = advised(self, student, trainset, valset) if self.advice else ""
        said += [advice] if advice else []
        return await compiled(self.settings, student, trainset, valset, interrupt, said)

    aexplain = aexplain
    adiagnose = adiagnose
    apreflight = apreflight
    aplacebo = aplacebo
    abaseline = abaseline
    acheck = acheck
    explain = synchronous(aexplain)
    diagnose = synchronous(adiagnose)
    preflight = synchronous(apreflight)
    placebo = synchronous(aplacebo)
    baseline = synchronous(abaseline)
    check = synchronous(acheck)
