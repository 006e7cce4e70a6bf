"""Two programs on the same examples: what the new one gained, and how sure that is.

Only examples on which the two differ say anything. Where all differences are of one size (right or wrong), the
test is McNemar's exact one. Else it is one of the mean: bets on a gain, each of a fixed share of what was won so far,
win nothing in expectation where the mean gain is not above 0, so that 1 over what they make of 1 is a p-value, whatever
the scores' distribution within their range (Waudby-Smith and Ramdas 2024). Examples that belong together (`group`)
count as one: their differences are added up.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._evaluate.outcome import Outcome, Scored, score_range
from .._values.text import printed

RESAMPLES = 9_999
"""How many bootstrap samples."""
BETS = 20
"""How many shares are bet, evenly from none to all."""
FEW = 10
"""The most different labels that count as classes."""
_SAME = 1e-9
"""Differences in metric points up to here are none."""


class Pair(NamedTuple):
    """The scores of two programs on one example.

    Attributes:
        example_id: The example's position in its set.
        old: The score of the program to beat, in metric points.
        new: The score of the other one.
        group: What the example belongs to; None: it stands alone.
    """

    example_id: int
    old: float
    new: float
    group: Hashable = None


@dataclass(frozen=True)
class Comparison:
    """Two programs on the examples that both were scored on.

    Args:
        pairs: One for each example, in the order in which they were evaluated.
    """

    pairs: tuple[Pair, ...]

    @classmethod
    def of(
        cls, old: Sequence[Outcome], new: Sequence[Outcome], groups: Mapping[int, Hashable] | None = None
    ) -> Comparison:
        """Pair the outcomes of two programs, without the examples that either is missing on.

        Args:
            old: The outcomes of the program to beat.
            new: The outcomes of the other one, on the same examples.
            groups: Example id -> what it belongs to; None: each stands alone.

        Raises:
            ValueError: If the two are not about the same examples.
        """
        if [outcome.example_id for outcome in old] != [outcome.example_id for outcome in new]:
            raise ValueError("the programs were evaluated on different examples and cannot be compared pair by pair")
        return cls(
            tuple(
                Pair(one.example_id, one.score, other.score, (groups or {}).get(one.example_id))
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
        sizes = [abs(one) for one, _ in self._units if abs(one) > _SAME]
        return bool(sizes) and (max(sizes) - min(sizes) > _SAME or len(self._units) < len(self))

    @property
    def tested(self) -> str:
        """What the p-value is of, and by which test, in words."""
        return "the mean gain, by bets on it" if self.graded else "fixes against regressions, by McNemar's exact test"

    def worst(self, most: int = 3) -> tuple[tuple[int, float, float], ...]:
        """The examples that lost most, where differences are of more than one size: id, old and new score.

        Args:
            most: How many at most.
        """
        sizes = [abs(one) for one in self.differences if abs(one) > _SAME]
        if not sizes or max(sizes) - min(sizes) <= _SAME:
            return ()
        lost = sorted((pair for pair in self.pairs if pair.old - pair.new > _SAME), key=lambda one: one.new - one.old)
        return tuple((pair.example_id, pair.old, pair.new) for pair in lost[:most])

    @functools.cached_property
    def _units(self) -> tuple[tuple[float, int], ...]:
        """What is independent of each other: the sum of differences and the number of examples of each group."""
        units: dict[Hashable, list[float]] = {}
        for at, (pair, difference) in enumerate(zip(self.pairs, self.differences, strict=True)):
            units.setdefault(("alone", at) if pair.group is None else ("group", pair.group), []).append(difference)
        return tuple((math.fsum(one), len(one)) for one in units.values())

    @functools.cached_property
    def p_value(self) -> float:
        """How probable at least this gain is if the edit gains nothing in expectation, 0 to 1: one-sided."""
        fixes, regressions = len(self.fixes), len(self.regressions)
        if not fixes + regressions:
            return 1.0
        if not self.graded:
            return mcnemar(fixes, fixes + regressions)
        import numpy as np

        # No group can lose more than this: what the range allows, as far as it was seen.
        scale = score_range(score for pair in self.pairs for score in (pair.old, pair.new))
        most = scale.width if scale.known else scale.unit
        sizes = most * max(count for _, count in self._units)
        bets = (np.arange(BETS) + 0.5) / BETS
        won = np.log1p(np.outer(bets, [total / sizes for total, _ in self._units])).sum(axis=1)
        return float(min(1.0, 1 / np.exp(won).mean()))

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Where the true gain lies with this confidence, in metric points.

        Of right and wrong: Clopper and Pearson's for the share of fixes among what differs, given how much differs, so
        that its lower end is above 0 exactly where the test says so. Of graded scores, and of examples that belong
        together: the bootstrap's (BCa), of whole groups.

        Args:
            level: The confidence, 0 to 1, both sides together.
        """
        fixes, regressions = len(self.fixes), len(self.regressions)
        if not self.pairs:
            return -math.inf, math.inf
        if not fixes + regressions:
            return 0.0, 0.0
        alike = abs(self.gain) > _SAME and len({round(total / count, 9) for total, count in self._units}) == 1
        if self.graded and not alike:
            return _bootstrap(self._units, level)
        from scipy import stats

        scale = max(map(abs, self.differences)) * (fixes + regressions) / len(self.pairs)
        if alike:
            # Units that all gain the same leave the bootstrap nothing to vary: each is a fix, or each a regression.
            fixes, regressions = len(self._units) * (self.gain > 0), len(self._units) * (self.gain < 0)
            scale = abs(self.gain)
        share = stats.binomtest(fixes, fixes + regressions).proportion_ci(level)
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
    """Example id -> class, where the label is a single field with few different values; else empty."""
    fields = {tuple(example.labels().keys()) for example in examples.values()}
    if len(fields) != 1 or len(next(iter(fields))) != 1:
        return {}
    ((name,),) = fields
    values = {number: printed(example[name]) for number, example in examples.items()}
    few = 1 < len(set(values.values())) <= min(FEW, len(values) // 2)
    return values if few else {}


@functools.lru_cache(maxsize=4096)
def mcnemar(fixes: int, differing: int) -> float:
    """The p-value of McNemar's exact test, one-sided: so many fixes, or more, of all that differ."""
    # A gate asks again with every example, and what is simulated asks the same thousands of times.
    from scipy import stats

    return float(stats.binomtest(fixes, differing, alternative="greater").pvalue)


def _ratio(totals: Any, counts: Any, axis: int = -1) -> Any:
    return totals.sum(axis=axis) / counts.sum(axis=axis)


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores) if scores else math.nan


def _bootstrap(units: Sequence[tuple[float, int]], level: float) -> tuple[float, float]:
    import numpy as np
    from scipy import stats

    low = high = math.nan
    for kind in ("BCa", "percentile"):
        rng = np.random.default_rng(0)
        with np.errstate(all="ignore"):
            found = stats.bootstrap(
                tuple(np.array(units, float).T),
                _ratio,
                paired=True,
                vectorized=True,
                confidence_level=level,
                n_resamples=RESAMPLES,
                method=kind,
                rng=rng,
            ).confidence_interval
        low, high = float(found.low), float(found.high)
        if math.isfinite(low) and math.isfinite(high):
            break
    return low, high
