"""Whether a run may return what it found: one decision, made once, that counts how often the run has tried.

While a run explores it may believe a little luck; the best of twelve edits without any effect looks far better
than the start. Here the start is compared with the one program that the run would return, on two kinds of
examples: those of the loop, where the p-value is paid for every candidate that was tried (the union bound, by
what each could attain: Westfall and Wolfinger 1997), and fresh ones that nothing was ever decided on. The two
are independent and are combined by Fisher's method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import SetupError
from .comparison import Comparison
from .gate import attainable

ENOUGH = 40
"""The fewest examples to decide on of which some are kept fresh for the end."""


@dataclass(frozen=True)
class Evidence:
    """What a run knows of the program that it would return, compared with the start.

    Args:
        loop: On the examples that were decided on in the loop.
        rivals: The same for every other candidate that was evaluated.
        looks: How often the loop may have looked at these before it stopped; 1 where all were evaluated.
        fresh: On examples that nothing was decided on; None where there are none.
    """

    loop: Comparison
    rivals: Sequence[Comparison] = ()
    looks: int = 1
    fresh: Comparison | None = None

    @property
    def loop_p_value(self) -> float:
        """The p-value on the loop's examples, paid for every candidate that was tried."""
        alone = self.loop.p_value
        paid = sum(attainable(rival, alone) for rival in self.rivals)
        return min(1.0, alone * self.looks + paid)

    @property
    def p_value(self) -> float:
        """How probable as good an outcome is, 0 to 1, if no edit of the run has any effect."""
        if self.fresh is None or not len(self.fresh):
            return self.loop_p_value
        from scipy import stats

        parts = (self.loop_p_value, self.fresh.p_value)
        combined: Any = stats.combine_pvalues(parts, method="fisher")
        return float(combined.pvalue)


@dataclass(frozen=True)
class Commit:
    """Return what the run found only if it is better than the start, by all evidence.

    A run in which no edit has an effect, or all are harmful, returns another program than the start with a
    probability of at most `error`, however many candidates it tried.

    Args:
        error: That probability, above 0 and below 1.
        fresh: Which share of the examples to decide on is kept for this decision, 0 to 0.8, where there are at least
            40; they also say how good the returned program is.

    Raises:
        SetupError: If these are no such numbers.
    """

    error: float = 0.2
    fresh: float = 0.4

    def __post_init__(self) -> None:
        if isinstance(self.error, bool) or not isinstance(self.error, (int, float)) or not 0 < self.error < 1:
            raise SetupError(f"error must be a number above 0 and below 1, not {self.error!r}")
        if isinstance(self.fresh, bool) or not isinstance(self.fresh, (int, float)) or not 0 <= self.fresh <= 0.8:
            raise SetupError(f"fresh must be a share from 0 to 0.8, not {self.fresh!r}")

    def __call__(self, evidence: Evidence) -> bool:
        """Whether the program may be returned: fresh examples that show a loss have the last word."""
        lost = evidence.fresh is not None and evidence.fresh.gain < 0
        return evidence.p_value <= self.error and not lost

    def kept(self, examples: int) -> int:
        """How many of so many examples are kept fresh."""
        return int(self.fresh * examples) if examples >= ENOUGH else 0
