"""What a user sets once for all that an optimizer does: validated, frozen, and handed on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, get_args

import dspy

from . import _checks as checks
from ._backward.cache import GradientCache
from ._decide.split import Split, affordable, split
from ._errors import SetupError
from ._evaluate.metric import adapt
from ._evaluate.student import Student
from ._graph.evidence.replay.pristine import Probe
from ._method import Method
from ._session.budget import Budget, Purpose
from ._session.events import Subscriber
from ._session.journal import Journal
from ._session.limits import Limits
from ._session.projection import STEPS, Auto, Projection, project
from ._session.session import Session

METHOD, LIMITS = Method(), Limits()
"""Where the user names none."""


@dataclass(frozen=True)
class Settings:
    """The settings of `SemanticGradientDescent`, which explains them.

    Raises:
        SetupError: If one cannot work.
    """

    metric: Any
    gradient_lm: Any = None
    steps: int | None = None
    auto: Auto | None = None
    method: Method = METHOD
    failure_score: float = 0.0
    num_threads: float | None = None
    probe: Probe = "auto"
    seed: int = 0
    answers: GradientCache = field(default_factory=lambda: GradientCache(None))
    budget: Budget | None = None
    limits: Limits = LIMITS
    log_dir: Any = None
    subscribers: Sequence[Subscriber] | None = None

    def __post_init__(self) -> None:
        adapt(self.metric)
        checks.check_number("steps", 0 if self.steps is None else self.steps, 0)
        checks.check_choice("auto", self.auto, (None, *get_args(Auto)))
        if self.auto is not None and self.steps is not None:
            both = f"auto={self.auto!r} and steps={self.steps}"
            raise SetupError(f"{both} both say how many steps to make; give one of them")
        checks.check_number("failure_score", self.failure_score, -math.inf, whole=False)
        checks.check_choice("probe", self.probe, get_args(Probe))
        checks.check_kind("budget", self.budget, Budget)
        checks.check_kind("limits", self.limits, Limits)
        checks.check_kind("log_dir", self.log_dir, (str, os.PathLike))
        checks.check_number("num_threads", 1 if self.num_threads is None else self.num_threads, 1, whole=False)

    @property
    def most_steps(self) -> int:
        """How many steps a run makes."""
        return self.steps if self.steps is not None else STEPS[self.auto] if self.auto is not None else 8

    def check(self, program: Any, **sets: Any) -> None:
        """Check that a program and sets of examples fit these settings; a set that is None is left out.

        Raises:
            SetupError: If they do not.
        """
        checks.check_program(program)
        for name, examples in sets.items():
            if examples is not None:
                checks.check_examples(name, examples, program)
        checks.check_models(program, self.gradient_lm)
        checks.check_prices(program, self.gradient_lm, self.budget)

    def session(
        self, journal: Journal | None = None, *, budget: Budget | None = None, caps: Mapping[Purpose, int] | None = None
    ) -> Session:
        """What surrounds a run with these settings.

        Args:
            journal: The log; None for none.
            budget: The most that the run may spend; None takes the setting.
            caps: Purpose -> the most requests that it may send.
        """
        opened = Session.open(
            journal=journal,
            budget=budget if budget is not None else self.budget,
            caps=caps,
            limits=self.limits,
            num_threads=self.num_threads,
            gradient_lm=self.gradient_lm,
            answers=self.answers,
        )
        shown = self.subscribers if self.subscribers is not None else default_subscribers(opened.ledger)
        return replace(opened, subscribers=tuple(shown))

    def student(self, program: dspy.Module, session: Session) -> Student:
        """A program as a run with these settings works on it."""
        return Student.of(program, session, self.metric, failure_score=self.failure_score, probe=self.probe)

    def plan(
        self, program: dspy.Module, trainset: Sequence[dspy.Example], valset: Sequence[dspy.Example] | None
    ) -> tuple[Split, Projection]:
        """Which examples a run is going to use for what, and what it is going to cost, from its sizes alone.

        Args:
            program: The program.
            trainset: The examples to learn from.
            valset: The examples to decide on; None for the trainset.
        """
        predictors = len(program.predictors())
        found = split(trainset, valset, self.method.commit, self.seed, affordable(self.budget, predictors))
        sizes = (predictors, len(found.learn), len(found.decide), self.most_steps)
        return found, project(*sizes, fresh=len(found.fresh), separate=found.separate)


class Optimizer(Protocol):
    """What a report needs of `SemanticGradientDescent`: its methods `explain`, `diagnose` ... are these functions."""

    settings: Settings
    advice: dict[str, str]
    """Digest of a program, its sets and settings -> what a pre-flight said against compiling it."""


def default_subscribers(ledger: Any) -> Sequence[Subscriber]:
    """A progress bar: what shows a run to a user who names no subscribers."""
    from .integrations.progress import ProgressBar

    return [ProgressBar(ledger)]
