"""What a user sets once for all that an optimizer does: validated, frozen, and handed on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, get_args

import dspy

from . import _checks as checks
from ._backward.ask import GradientCache
from ._decide.split import Group, Split, affordable, groups_of, split
from ._errors import SetupError
from ._evaluate.engines import check_where
from ._evaluate.metric import adapt
from ._evaluate.student import Student
from ._graph.evidence.replay.replays import Probe
from ._method import Method
from ._propose.choose import check_choice, how_many
from ._session.batch.shipment import Batch
from ._session.budget import Budget, Purpose
from ._session.events import Subscriber
from ._session.journal import Journal
from ._session.limits import Limits
from ._session.projection import STEPS, Auto, Executions, Planned
from ._session.session import Session

METHOD, LIMITS = Method(), Limits()
"""Where the user names none."""
STEPS_UNASKED = 8
"""How many steps a run makes that was asked for none and has no budget."""
ENDLESS = 10_000
"""More steps than any budget lasts for."""
AT_ONCE = 1000
"""How many programs run at once in batches where nobody says: a batch is as wide as they are many."""


@dataclass(frozen=True)
class Settings:
    """The settings of `SemanticGradientDescent`, which explains them; a `SetupError` where one cannot work."""

    metric: Any = field(repr=False)
    gradient_lm: Any = field(default=None, repr=False)
    steps: int | None = None
    auto: Auto | None = None
    method: Method = field(default=METHOD, repr=False)
    failure_score: float = 0.0
    num_threads: float | None = None
    probe: Probe = "auto"
    seed: int = 0
    group: Group | None = None
    answers: GradientCache = field(default_factory=lambda: GradientCache(None))
    budget: Budget | None = None
    limits: Limits = LIMITS
    log_dir: Any = None
    subscribers: Sequence[Subscriber] | None = field(default=None, repr=False)
    where: Any = field(default=None, repr=False)
    batch: bool | Batch = False

    def __post_init__(self) -> None:
        adapt(self.metric)
        checks.check_number("steps", 0 if self.steps is None else self.steps, 0)
        checks.check_choice("auto", self.auto, (None, *get_args(Auto)))
        if self.auto is not None and self.steps is not None:
            both = f"auto={self.auto!r} and steps={self.steps}"
            raise SetupError(f"{both} both say how many steps to make; give one of them")
        checks.check_number("failure_score", self.failure_score, -math.inf, whole=False)
        checks.check_choice("probe", self.probe, get_args(Probe))
        if self.group is not None and not isinstance(self.group, str) and not callable(self.group):
            raise SetupError(f"group must name a field, or be a function of an example, not {self.group!r}")
        checks.check_number("seed", self.seed, -math.inf)
        checks.check_method(self.method)
        checks.check_subscribers(() if self.subscribers is None else self.subscribers)
        checks.check_kind("budget", self.budget, Budget)
        checks.check_kind("limits", self.limits, Limits)
        check_where(self.where)
        checks.check_batch(self.batch, self.where, self.limits)
        checks.check_kind("log_dir", self.log_dir, (str, os.PathLike))
        checks.check_number("num_threads", 1 if self.num_threads is None else self.num_threads, 1, whole=False)

    @property
    def most_steps(self) -> int:
        """How many steps a run makes at most: as many as were asked for, else as its budget lasts, else 8."""
        if self.steps is not None or self.auto is not None:
            return self.steps if self.steps is not None else STEPS[self.auto or "light"]
        return STEPS_UNASKED if self.budget is None else ENDLESS

    @property
    def known_steps(self) -> int | None:
        """The same; None where a run makes as many as its budget lasts."""
        return self.most_steps if self.most_steps < ENDLESS else None

    def check(self, program: Any, **sets: Any) -> None:
        """Check that a program and sets of examples fit these settings; a set that is None is left out."""
        checks.check_program(program)
        for name, examples in sets.items():
            if examples is not None:
                checks.check_examples(name, examples, program)
                if name in ("trainset", "valset"):
                    groups_of(self.group, name, examples)
        checks.check_models(program, self.gradient_lm)
        checks.check_prices(program, self.gradient_lm, self.budget, self.metric)
        if self.batch:
            checks.check_batchable(program, self.gradient_lm, self.metric)

    def session(
        self, journal: Journal | None = None, *, budget: Budget | None = None, caps: Mapping[Purpose, int] | None = None
    ) -> Session:
        """What surrounds a run with these settings; `caps`: purpose -> the most requests that it may send."""
        opened = Session.open(
            journal=journal,
            budget=budget if budget is not None else self.budget,
            caps=caps,
            limits=self.limits,
            num_threads=AT_ONCE if self.batch and self.num_threads is None else self.num_threads,
            gradient_lm=self.gradient_lm,
            answers=self.answers,
        )
        shown = self.subscribers if self.subscribers is not None else default_subscribers(opened.ledger)
        opened = replace(opened, subscribers=tuple(shown))
        opened.send_in_batches(Batch() if self.batch is True else self.batch or None)
        return opened

    def student(self, program: dspy.Module, session: Session, **sets: Sequence[dspy.Example] | None) -> Student:
        """A program as a run with these settings works on it; errors name an example by its place in these sets."""
        given = {name: examples for name, examples in sets.items() if examples is not None}
        how = {"failure_score": self.failure_score, "probe": self.probe, "where": self.where}
        return Student.of(program, session, self.metric, sets=given, **how)

    def plan(
        self, program: dspy.Module, trainset: Sequence[dspy.Example], valset: Sequence[dspy.Example] | None
    ) -> tuple[Split, Planned]:
        """Which examples a run is going to use for what, and what it is going to do, from its sizes alone."""
        check_choice(self.method.choose_predictors, [name for name, _ in program.named_predictors()])
        predictors = len(program.predictors())
        kept = self.method.search.kept
        found = split(trainset, valset, kept, self.seed, affordable(self.budget, predictors), self.group)
        return found, self._planned(found, predictors, self._planned_steps(found, predictors))

    def _planned(self, found: Split, predictors: int, steps: int) -> Planned:
        method, search = self.method, self.method.search
        learn, decide = len(found.learn) - len(found.twins) if found.separate else 0, len(found.decide)
        runs, fresh = search.executions(learn, decide, steps), 2 * len(found.fresh) if steps else 0
        elastic = runs.elastic and self.budget is None
        runs = Executions(runs.most + fresh, runs.likely + fresh, runs.whole + fresh, elastic)
        chosen = how_many(method.choose_predictors, predictors)
        if chosen[0] == predictors or not method.downstream:
            # An edit of the first predictors reaches all.
            runs = runs._replace(whole=runs.likely)
        swept = int(min(method.choose_examples.wanted, len(found.learn))) * getattr(method.choose_examples, "sweeps", 1)
        tries = steps * search.proposals
        return Planned(steps, predictors, runs, tries * swept, (tries * chosen[0], tries * chosen[1]))

    def _planned_steps(self, found: Split, predictors: int) -> int:
        """How many steps a run is projected to make: those that were asked for, or as many as the budget pays."""
        if self.known_steps is not None:
            return self.known_steps
        if self.budget is None or self.budget.calls is None:
            return STEPS_UNASKED
        # One step more of many: what ends a run takes what is left of the budget, and no step's share of it.
        few, many = 4 * STEPS_UNASKED, 8 * STEPS_UNASKED
        none, some, more = (
            self._planned(found, predictors, steps).projection().probable.calls for steps in (0, few, many)
        )
        return max(1, (self.budget.calls - none) * (many - few) // max(1, more - some))


class Optimizer(Protocol):
    """What a report needs of `SemanticGradientDescent`: its methods `explain`, `diagnose` ... are these functions."""

    settings: Settings
    advice: dict[str, str]
    """Digest of a program, its sets and settings -> what a pre-flight said against compiling it."""


def default_subscribers(ledger: Any) -> Sequence[Subscriber]:
    """A progress bar: what shows a run to a user who names no subscribers."""
    from .integrations.progress import ProgressBar

    return [ProgressBar(ledger)]
