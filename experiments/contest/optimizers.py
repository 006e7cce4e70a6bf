"""Every optimizer as its documentation has it, with its own budget parameters fitted to a cap on calls.

| optimizer                | learns from | decides on | parameter fitted to the cap                        |
|--------------------------|-------------|------------|----------------------------------------------------|
| ours, six methods        | train       | val        | `Budget(calls=cap)`                                |
| GEPA, by turns or all    | train       | val        | `max_metric_calls`, ample: the guard ends it       |
| MIPROv2                  | train       | val        | `num_candidates`; twice the trials it advises |
| COPRO                    | nothing     | val        | `breadth`                                          |
| SIMBA                    | val         | val        | `max_steps`                                        |
| TextGrad, OptoPrime      | train       | val        | none: the guard ends them                          |

COPRO looks at no example and SIMBA learns from what it scores, so they get those that all others decide on. Ours is
given no guard: its budget must hold. What the guard stops has the best program so far, which is also what the
optimizer would have returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any

import dspy

from dspy_semantic_backprop import Budget, Method, SemanticGradientDescent, presets

from . import others
from .entry import Entry

MINIBATCH, SIMBA_CANDIDATES = 8, 2


@dataclass(frozen=True)
class Contestant:
    """An optimizer in the contest.

    Args:
        compile: Optimises, given what there is.
        needs: A distribution that it cannot run without.
        bounded: Whether it keeps to the cap by itself, so that no guard has to end it.
    """

    compile: Callable[[Entry], dspy.Module]
    needs: str = "dspy"
    bounded: bool = False

    @property
    def available(self) -> bool:
        """Whether that distribution is installed."""
        return any(metadata.distributions(name=self.needs))


def ours(method: Callable[[], Method], entry: Entry) -> dspy.Module:
    """One of our methods: the budget ends it."""
    optimizer = SemanticGradientDescent(
        entry.metric,
        method=method(),
        gradient_lm=entry.proposer,
        steps=1000,
        budget=Budget(calls=entry.cap),
        num_threads=1,
        seed=entry.seed,
        subscribers=(),
    )
    return optimizer.compile(entry.program, trainset=entry.sets.train, valset=entry.sets.val)


def gepa(entry: Entry, **settings: Any) -> dspy.Module:
    """GEPA as it comes."""
    optimizer = dspy.GEPA(
        entry.metric,
        # Cached answers are no calls: with a bound that counts them it would stop too early.
        max_metric_calls=3 * entry.cap // entry.predictors,
        reflection_lm=entry.proposer,
        num_threads=1,
        seed=entry.seed,
        **settings,
    )
    return optimizer.compile(entry.program, trainset=entry.sets.train, valset=entry.sets.val)


def miprov2(entry: Entry) -> dspy.Module:
    """MIPROv2 without demonstrations; cached answers are free, hence more trials than it advises."""
    candidates = instruction_candidates(entry)
    optimizer = dspy.MIPROv2(
        metric=entry.score,
        prompt_model=entry.proposer,
        task_model=entry.student,
        auto=None,
        num_candidates=candidates,
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        num_threads=1,
        # Its seed 0 means none given.
        seed=entry.seed + 1,
    )
    return optimizer.compile(
        entry.program,
        trainset=entry.sets.train,
        valset=entry.sets.val,
        num_trials=2 * trials(entry, candidates),
        # As its own presets do with up to 50 examples.
        minibatch=False,
    )


def trials(entry: Entry, candidates: int) -> int:
    """How many trials MIPROv2 advises for so many candidates of each instruction."""
    return int(max(2 * entry.predictors * math.log2(candidates), 1.5 * candidates))


def instruction_candidates(entry: Entry) -> int:
    """The most candidates whose proposals and advised trials fit the cap; the presets have 6, 12 and 18."""

    def fits(candidates: int) -> bool:
        proposals = 3 * candidates * entry.predictors
        bootstrapping = 5 * candidates * entry.predictors
        share = (trials(entry, candidates) + 1) / entry.evaluations
        return proposals + bootstrapping + share * entry.cap <= entry.cap

    return max([3, *filter(fits, range(3, 19))])


def copro(entry: Entry) -> dspy.Module:
    """COPRO, as broad as its first round fits the cap with nothing cached; its own default is a breadth of 10.

    Its depth is its default: much deeper it nests signatures until Python's recursion limit (DSPy 3.4.1).
    """
    optimizer = dspy.COPRO(
        prompt_model=entry.proposer,
        metric=entry.score,
        breadth=min(10, max(2, round(entry.evaluations / entry.predictors))),
        depth=3,
    )
    settings = {"num_threads": 1, "display_progress": False}
    return optimizer.compile(entry.program, trainset=entry.sets.val, eval_kwargs=settings)


def simba(entry: Entry) -> dspy.Module:
    """SIMBA with demonstrations, as it comes, on small batches, with as many steps as fit with nothing cached."""
    final = (SIMBA_CANDIDATES + 1) * len(entry.sets.val)
    each = MINIBATCH * (2 * SIMBA_CANDIDATES + 1)
    optimizer = dspy.SIMBA(
        metric=entry.metric,
        bsize=min(MINIBATCH, len(entry.sets.val)),
        num_candidates=SIMBA_CANDIDATES,
        max_steps=max(1, int((entry.cap / entry.predictors - final) / each)),
        prompt_model=entry.proposer,
        num_threads=1,
    )
    return optimizer.compile(entry.program, trainset=entry.sets.val, seed=entry.seed)


OURS = {
    "semantic": presets.semantic,
    "isolated": presets.isolated,
    "shuffled": presets.shuffled,
    "no_gradient": presets.no_gradient,
    "one_step": presets.one_step,
    "published": presets.published,
}
OPTIMIZERS = {
    **{name: Contestant(partial(ours, method), bounded=True) for name, method in OURS.items()},
    "gepa": Contestant(gepa, needs="gepa"),
    "gepa_all": Contestant(partial(gepa, component_selector="all"), needs="gepa"),
    "miprov2": Contestant(miprov2, needs="optuna"),
    "simba": Contestant(simba),
    "copro": Contestant(copro),
    "textgrad": Contestant(others.textgrad, needs="textgrad"),
    "optoprime": Contestant(others.optoprime, needs="trace-opt"),
}
