"""Two programs on the same examples: what the new one gained, and how sure that is.

Only examples on which the two differ say anything. Where all differences are of one size (right or wrong), the
test is McNemar's exact one; else the differences' signs are flipped at random, which asks the same of graded
scores: if the edit had no effect, each difference might as well have had the other sign.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._evaluate.outcome import Outcome, Scored
from .._values.text import printed

RESAMPLES = 9_999
"""How many random sign flips, or bootstrap samples, where there are too many to try them all."""
FEW = 10
"""The most different labels that count as classes."""
_SAME = 1e-9
"""Differences in metric points up to here are none."""


@dataclass(frozen=True)
class Pair:
    """The scores of two programs on one example.

    Args:
        example_id: The example's position in its set.
        old: The score of the program to beat, in metric points.
        new: The score of the other one.
    """

    example_id: int
    old: float
    new: float


@dataclass(frozen=True)
class Comparison:
    """Two programs on the examples that both were scored on.

    Args:
        pairs: One for each example, in the order in which they were evaluated.
    """

    pairs: tuple[Pair, ...]

    @classmethod
    def of(cls, old: Sequence[Outcome], new: Sequence[Outcome]) -> Comparison:
        """Pair the outcomes of two programs, without the examples that either is missing on.

        Args:
            old: The outcomes of the program to beat.
            new: The outcomes of the other one, on the same examples.

        Raises:
            ValueError: If the two are not about the same examples.
        """
        if [outcome.example_id for outcome in old] != [outcome.example_id for outcome in new]:
            raise ValueError("the programs were evaluated on different examples and cannot be compared pair by pair")
        return cls(
            tuple(
                Pair(one.example_id, one.score, other.score)
                for one, other in zip(old, new, strict=True)
                if isinstance(one, Scored) and isinstance(other, Scored)
            )
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def first(self, count: int) -> Comparison:
        """The same comparison when only so many examples had been evaluated."""
        return Comparison(self.pairs[:count])

    @functools.cached_property
    def differences(self) -> tuple[float, ...]:
        """New score minus old score of each example, in metric points."""
        return tuple(pair.new - pair.old for pair in self.pairs)

    @property
    def before(self) -> float:
        """The old program's mean score, in metric points; NaN of nothing."""
        return _mean([pair.old for pair in self.pairs])

    @property
    def after(self) -> float:
        """The new program's mean score, in metric points; NaN of nothing."""
        return _mean([pair.new for pair in self.pairs])

    @property
    def gain(self) -> float:
        """The mean difference, in metric points; 0 of nothing."""
        return float(math.fsum(self.differences) / len(self.pairs)) if self.pairs else 0.0

    @functools.cached_property
    def fixes(self) -> tuple[int, ...]:
        """The ids of the examples on which the new program is better."""
        return tuple(pair.example_id for pair in self.pairs if pair.new - pair.old > _SAME)

    @functools.cached_property
    def regressions(self) -> tuple[int, ...]:
        """The ids of the examples on which it is worse."""
        return tuple(pair.example_id for pair in self.pairs if pair.old - pair.new > _SAME)

    @functools.cached_property
    def graded(self) -> bool:
        """Whether the differences are of more than one size."""
        sizes = [abs(one) for one in self._moved]
        return bool(sizes) and max(sizes) - min(sizes) > _SAME

    @property
    def _moved(self) -> list[float]:
        return [one for one in self.differences if abs(one) > _SAME]

    @functools.cached_property
    def p_value(self) -> float:
        """How probable at least this gain is if the edit has no effect, 0 to 1: exact, one-sided."""
        fixes, regressions = len(self.fixes), len(self.regressions)
        if not fixes + regressions:
            return 1.0
        import numpy as np
        from scipy import stats

        if not self.graded:
            return float(stats.binomtest(fixes, fixes + regressions, alternative="greater").pvalue)
        test = stats.permutation_test(
            (np.array(self._moved),),
            _total,
            permutation_type="samples",
            alternative="greater",
            n_resamples=RESAMPLES,
            vectorized=True,
            rng=np.random.default_rng(0),
        )
        return float(test.pvalue)

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Where the true gain lies with this confidence, in metric points.

        Of right and wrong: Clopper and Pearson's for the share of fixes among what differs, given how much differs, so
        that its lower end is above 0 exactly where the test says so. Of graded scores: the bootstrap's (BCa).

        Args:
            level: The confidence, 0 to 1, both sides together.
        """
        fixes, regressions = len(self.fixes), len(self.regressions)
        if not self.pairs:
            return -math.inf, math.inf
        if not fixes + regressions:
            return 0.0, 0.0
        if self.graded:
            return _bootstrap(self.differences, level)
        from scipy import stats

        size = max(map(abs, self.differences))
        share = stats.binomtest(fixes, fixes + regressions).proportion_ci(level)
        scale = size * (fixes + regressions) / len(self.pairs)
        return float(scale * (2 * share.low - 1)), float(scale * (2 * share.high - 1))

    def by_class(self, classes: Mapping[int, str]) -> dict[str, Comparison]:
        """The comparison of each class alone.

        Args:
            classes: Example id -> class; see `classes_of`.
        """
        names = sorted({classes[pair.example_id] for pair in self.pairs if pair.example_id in classes})
        return {
            name: Comparison(tuple(pair for pair in self.pairs if classes.get(pair.example_id) == name))
            for name in names
        }


def classes_of(examples: Mapping[int, Any]) -> dict[int, str]:
    """The class of each example, where the label is a single field with few different values.

    Args:
        examples: Example id -> `dspy.Example`.

    Returns:
        Example id -> class; empty where there is no such field, or its values are as good as all different.
    """
    fields = {tuple(example.labels().keys()) for example in examples.values()}
    if len(fields) != 1 or len(next(iter(fields))) != 1:
        return {}
    ((name,),) = fields
    values = {number: printed(example[name]) for number, example in examples.items()}
    few = 1 < len(set(values.values())) <= min(FEW, len(values) // 2)
    return values if few else {}


def _total(sample: Any, axis: int = -1) -> Any:
    return sample.sum(axis=axis)


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores) if scores else math.nan


def _bootstrap(differences: Sequence[float], level: float) -> tuple[float, float]:
    import numpy as np
    from scipy import stats

    low = high = math.nan
    for kind in ("BCa", "percentile"):
        rng = np.random.default_rng(0)
        with np.errstate(all="ignore"):
            found = stats.bootstrap(
                (differences,), np.mean, confidence_level=level, n_resamples=RESAMPLES, method=kind, rng=rng
            ).confidence_interval
        low, high = float(found.low), float(found.high)
        if math.isfinite(low) and math.isfinite(high):
            break
    return low, high
