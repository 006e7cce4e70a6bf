"""What the best possible score is, as far as the scores themselves tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ScoreRange:
    """The range of a metric."""

    low: float
    """The worst score, in metric points."""
    best: float
    """The best possible one."""
    known: bool
    """Whether `best` is known: stated, or 1 where nothing lies outside 0 to 1; else it is the best one seen."""

    @property
    def width(self) -> float:
        """The whole range, in metric points; 1 where all that was seen is one score."""
        return self.best - self.low if self.best > self.low else 1.0

    def share(self, score: float) -> float:
        """A score as a share of the range: 0 for the worst, 1 for the best possible one."""
        return (score - self.low) / self.width


def score_range(scores: Iterable[float], perfect: float | None = None) -> ScoreRange:
    """The range of a metric that returned these scores; `perfect` is the best possible one, where it is known."""
    seen = list(scores)
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    if perfect is not None:
        return ScoreRange(min(0.0, low), perfect, True)
    if low >= 0 and high <= 1:
        return ScoreRange(0.0, 1.0, True)
    return ScoreRange(min(0.0, low), high, False)
