"""Which program a step starts from, which examples it learns from, and which predictors it rewrites."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .._errors import SetupError
from .._evaluate.candidate import Candidate
from .._evaluate.outcome import Scored, score_range


class ChooseExamples(Protocol):
    """Picks outcomes to propagate back from."""

    @property
    def wanted(self) -> float:
        """How many examples it picks: it is asked as soon as it can; infinity: once all examples are evaluated."""
        ...

    @property
    def perfect(self) -> float | None:
        """The best possible score, in metric points; None where the scores themselves are to tell."""
        ...

    def __call__(self, outcomes: Sequence[Scored], rng: random.Random, /) -> list[Scored]:
        """Return the chosen outcomes; an outcome twice asks for two sweeps. Empty: nothing to learn."""
        ...


class ChoosePredictors(Protocol):
    """Picks the predictors that a step rewrites."""

    def __call__(
        self, predictors: Sequence[str], step: int, rng: random.Random, blame: Mapping[str, float], /
    ) -> list[str]:
        """Return the chosen names, in the order given.

        `blame` is each predictor's mean share, 0 to 1, of the failures that the step learns from.
        """
        ...


@dataclass(frozen=True)
class _Drawn:
    """So many of the examples below a score, at random."""

    wanted: float
    perfect: float | None
    sweeps: int

    def __call__(self, outcomes: Sequence[Scored], rng: random.Random, /) -> list[Scored]:
        possible = score_range([outcome.score for outcome in outcomes], self.perfect)
        candidates = [outcome for outcome in outcomes if outcome.score < possible.best]
        if not candidates and not possible.known:
            # All scored the same, and nothing says that this is the best there is.
            candidates = list(outcomes)
        return rng.sample(candidates, int(min(self.wanted, len(candidates)))) * self.sweeps


def wrong(count: int = 2, *, perfect: float | None = None, sweeps: int = 1) -> ChooseExamples:
    """Wrong examples, at random (the published `--use_bad_samples`).

    Args:
        count: How many examples (`--errors_per_gradient`).
        perfect: An example below this score is wrong, in metric points; None: 1, or the best score seen where some lie
            outside 0 to 1.
        sweeps: How many sweeps for each of them (`--gradients_per_error`).
    """
    return _Drawn(count, perfect, sweeps)


def any_example(count: int = 2, *, sweeps: int = 1) -> ChooseExamples:
    """Any examples, at random, right or wrong; `sweeps`: how many for each of them."""
    return _Drawn(count, math.inf, sweeps)


def every(predictors: Sequence[str], step: int, rng: random.Random, blame: Mapping[str, float], /) -> list[str]:
    """All predictors at once (the published `--full_update`)."""
    return list(predictors)


def one_by_one(predictors: Sequence[str], step: int, rng: random.Random, blame: Mapping[str, float], /) -> list[str]:
    """One predictor a step, in turn."""
    return [predictors[step % len(predictors)]]


def coin_flips(predictors: Sequence[str], step: int, rng: random.Random, blame: Mapping[str, float], /) -> list[str]:
    """Each predictor with probability one half, never none (published without `--full_update`)."""
    return [name for name in predictors if rng.random() < 0.5] or [rng.choice(list(predictors))]


@dataclass(frozen=True)
class _Only:
    chosen: tuple[str, ...]

    def __call__(
        self, predictors: Sequence[str], step: int, rng: random.Random, blame: Mapping[str, float], /
    ) -> list[str]:
        return [name for name in predictors if name in self.chosen]


def only(*chosen: str) -> ChoosePredictors:
    """Predictors by their names in `named_predictors()` only (the published `--opt_keys`)."""
    return _Only(chosen)


@dataclass(frozen=True)
class _Without:
    left_out: tuple[str, ...]
    of: ChoosePredictors

    def __call__(
        self, predictors: Sequence[str], step: int, rng: random.Random, blame: Mapping[str, float], /
    ) -> list[str]:
        return self.of([name for name in predictors if name not in self.left_out], step, rng, blame)


def without(*left_out: str, of: ChoosePredictors = every) -> ChoosePredictors:
    """A choice `of` the other predictors than these, by name (the published `include_final=False`)."""
    return _Without(left_out, of)


@dataclass(frozen=True)
class _Blamed:
    share: float

    def __call__(
        self, predictors: Sequence[str], step: int, rng: random.Random, blame: Mapping[str, float], /
    ) -> list[str]:
        most = max(blame.get(name, 0.0) for name in predictors)
        chosen = [name for name in predictors if blame.get(name, 0.0) >= self.share]
        return chosen or [rng.choice([name for name in predictors if blame.get(name, 0.0) == most])]


def blamed(share: float = 0.2) -> ChoosePredictors:
    """The predictors that the failures of the step are blamed on; at least one of those blamed most.

    Args:
        share: The least share of the blame, 0 to 1, that makes a predictor one to rewrite.

    Raises:
        SetupError: If that is no number between 0 and 1.
    """
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise SetupError(f"share must be a number from 0 to 1, not {share!r}")
    return _Blamed(share)


@dataclass(frozen=True)
class _AllOrBlamed:
    many: int
    share: float

    def __call__(
        self, predictors: Sequence[str], step: int, rng: random.Random, blame: Mapping[str, float], /
    ) -> list[str]:
        # Which of the two pays nobody knows beforehand: where many predictors are at fault the broad proposals get on
        # with few executions, where few are the narrow ones do less harm.
        if len(predictors) <= self.many or rng.random() < 0.5:
            return list(predictors)
        if not any(blame.get(name, 0.0) >= self.share for name in predictors):
            drawn = rng.sample(list(predictors), self.many)
            return [name for name in predictors if name in drawn]
        return _Blamed(self.share)(predictors, step, rng, blame)


def all_or_blamed(many: int = 3, share: float = 0.2) -> ChoosePredictors:
    """Every predictor of a program with up to `many`; of a larger one all or those to blame, as a coin falls.

    Args:
        many: How many predictors a program may have for all to be rewritten always; so many are drawn where nobody
            carries enough of the blame.
        share: The least share of the blame, 0 to 1, that makes a predictor one to blame.
    """
    return _AllOrBlamed(many, share)


@dataclass(frozen=True)
class _Blind:
    of: ChoosePredictors

    def __call__(
        self, predictors: Sequence[str], step: int, rng: random.Random, blame: Mapping[str, float], /
    ) -> list[str]:
        return self.of(predictors, step, rng, {})


def blind(of: ChoosePredictors) -> ChoosePredictors:
    """A choice `of` predictors that is told of no blame, as a placebo needs it."""
    return _Blind(of)


def check_choice(choose: ChoosePredictors, predictors: Sequence[str]) -> None:
    """Check that a choice by names fits a program's predictors, and leaves one to rewrite."""
    if isinstance(choose, _Blind):
        check_choice(choose.of, predictors)
    named = choose.chosen if isinstance(choose, _Only) else choose.left_out if isinstance(choose, _Without) else ()
    unknown = [name for name in named if name not in predictors]
    if unknown:
        raise SetupError(f"no predictor is named {unknown[0]!r}; the program has {', '.join(predictors)}")
    if isinstance(choose, _Without):
        left = [name for name in predictors if name not in choose.left_out]
        if not left:
            raise SetupError(f"choose_predictors leaves out all predictors of the program: {', '.join(predictors)}")
        check_choice(choose.of, left)


def how_many(choose: ChoosePredictors, predictors: int) -> tuple[int, int]:
    """How many of so many predictors a step rewrites: at most, and probably."""
    if isinstance(choose, _Blind) and isinstance(choose.of, _AllOrBlamed):
        few = min(predictors, choose.of.many)
        return predictors, (predictors + few + 1) // 2
    if isinstance(choose, _AllOrBlamed):
        few = predictors if predictors <= choose.many else how_many(_Blamed(choose.share), predictors)[1]
        return predictors, (predictors + few + 1) // 2
    if isinstance(choose, _Blamed):
        # Shares of the blame add up to 1.
        most = min(predictors, int(1 / choose.share) if choose.share else predictors)
        return most, min(most, 2)
    if isinstance(choose, _Only):
        return len(choose.chosen), len(choose.chosen)
    if choose is one_by_one:
        return 1, 1
    return predictors, (predictors + 1) // 2 if choose is coin_flips else predictors


@dataclass(frozen=True)
class Standing:
    """A program that a step may start from: the start of the run, or one that the gate has accepted.

    Args:
        scores: Example id -> score, in metric points, as far as it was evaluated.
    """

    candidate: Candidate
    scores: Mapping[int, float]


class ChooseParent(Protocol):
    """Picks the program that a step improves."""

    def __call__(self, standing: Sequence[Standing], rng: random.Random, /) -> Candidate:
        """Return one of them; the last one is the incumbent."""
        ...


def incumbent(standing: Sequence[Standing], rng: random.Random, /) -> Candidate:
    """The best program so far (the paper's choice)."""
    return standing[-1].candidate


def pareto(standing: Sequence[Standing], rng: random.Random, /) -> Candidate:
    """A program that is best at some example, with a probability in proportion to the number of such examples.

    What no other program can do is not lost for being worse on average (the choice of `dspy.GEPA`).
    """
    best: dict[int, float] = {}
    for one in standing:
        for number, score in one.scores.items():
            best[number] = max(score, best.get(number, -math.inf))
    wins = [sum(score >= best[number] for number, score in one.scores.items()) for one in standing]
    if not any(wins):
        return standing[-1].candidate
    return rng.choices([one.candidate for one in standing], wins)[0]
