"""Every optimizer as its documentation has it, with its own budget parameters fitted to a cap on calls.

| optimizer  | learns from     | decides on      | parameter fitted to the cap                          |
|------------|-----------------|-----------------|------------------------------------------------------|
| `semantic` | train           | val             | `Budget(calls=cap)`                                  |
| `gepa`     | train           | val             | `max_metric_calls`, ample: the guard ends it         |
| `miprov2`  | train           | val             | `num_candidates`; three times the trials it advises  |
| `copro`    | nothing         | val             | `breadth`                                            |
| `simba`    | train and val   | train and val   | `max_steps`, the largest that ends within the cap    |

COPRO looks at no example, so it gets those that all others decide on; SIMBA learns from what it scores, so it gets
both. Ours is given no guard: its budget must hold. What the guard stops has the best program so far, which is also
what the optimizer would have returned. SIMBA decides at its very end only, so for it a run counts that ends by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import dspy

from dspy_semantic_backprop import Budget, SemanticGradientDescent

from .pipelines import Sets

MINIBATCH, SIMBA_CANDIDATES = 8, 4


@dataclass(frozen=True)
class Entry:
    """What an optimizer is given.

    Args:
        program: The program; optimizers do not change it.
        sets: The examples; the held-out ones are not for it.
        metric: Grades an answer, with feedback.
        student: The program's language model.
        proposer: The optimizer's.
        cap: The most calls.
        seed: Of its choices.
    """

    program: dspy.Module
    sets: Sets
    metric: Callable[..., Any]
    student: dspy.LM
    proposer: dspy.LM
    cap: int
    seed: int

    @property
    def predictors(self) -> int:
        """Predictors of the program, each called once for an example."""
        return len(self.program.predictors())

    @property
    def evaluations(self) -> float:
        """How many times the cap allows to run the program on all examples of val, with nothing cached."""
        return self.cap / (self.predictors * len(self.sets.val))

    def score(self, example: dspy.Example, prediction: Any, trace: Any = None) -> float:
        """The score as a number: MIPROv2 takes any other object for a pass."""
        return self.metric(example, prediction).score


@dataclass(frozen=True)
class Contestant:
    """An optimizer in the contest.

    Args:
        compile: Optimises, given what there is and a rung of its ladder.
        first: The rung to begin with; None where there is one rung only, and the best so far counts at the cap.
        needs: A package that it cannot run without.
        bounded: Whether it keeps to the cap by itself, so that no guard has to end it.
    """

    compile: Callable[[Entry, int], dspy.Module]
    first: Callable[[Entry], int] | None = None
    needs: str = "dspy"
    bounded: bool = False

    @property
    def available(self) -> bool:
        """Whether that package is there."""
        return find_spec(self.needs) is not None


def semantic(entry: Entry, rung: int) -> dspy.Module:
    """Ours, as it comes: the budget ends it."""
    optimizer = SemanticGradientDescent(
        entry.metric,
        gradient_lm=entry.proposer,
        steps=1000,
        budget=Budget(calls=entry.cap),
        num_threads=1,
        seed=entry.seed,
        subscribers=(),
    )
    return optimizer.compile(entry.program, trainset=entry.sets.train, valset=entry.sets.val)


def gepa(entry: Entry, rung: int) -> dspy.Module:
    """GEPA as it comes."""
    optimizer = dspy.GEPA(
        entry.metric,
        # Cached answers are no calls: with a bound that counts them it would stop too early.
        max_metric_calls=6 * entry.cap // entry.predictors,
        reflection_lm=entry.proposer,
        num_threads=1,
        seed=entry.seed,
    )
    return optimizer.compile(entry.program, trainset=entry.sets.train, valset=entry.sets.val)


def miprov2(entry: Entry, rung: int) -> dspy.Module:
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
        num_trials=3 * trials(entry, candidates),
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


def copro(entry: Entry, rung: int) -> dspy.Module:
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


def simba(entry: Entry, rung: int) -> dspy.Module:
    """SIMBA with demonstrations, as it comes, on small batches.

    Args:
        entry: What there is.
        rung: The number of steps; 0 is one step with half the candidates.
    """
    optimizer = dspy.SIMBA(
        metric=entry.metric,
        bsize=min(MINIBATCH, len(entry.sets.train)),
        num_candidates=SIMBA_CANDIDATES if rung else SIMBA_CANDIDATES // 2,
        max_steps=max(1, rung),
        prompt_model=entry.proposer,
        num_threads=1,
    )
    return optimizer.compile(entry.program, trainset=[*entry.sets.train, *entry.sets.val], seed=entry.seed)


def simba_steps(entry: Entry) -> int:
    """The most steps that fit the cap with nothing cached."""
    runs = entry.cap / entry.predictors
    final = (SIMBA_CANDIDATES + 1) * (len(entry.sets.train) + len(entry.sets.val))
    return max(1, int((runs - final) / (MINIBATCH * (2 * SIMBA_CANDIDATES + 1))))


OPTIMIZERS = {
    "semantic": Contestant(semantic, bounded=True),
    "gepa": Contestant(gepa, needs="gepa"),
    "miprov2": Contestant(miprov2, needs="optuna"),
    "simba": Contestant(simba, first=simba_steps),
    "copro": Contestant(copro),
}
