"""Whether a new program replaces the old one, from their scores on the same examples: yes, no, or not yet known."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .._errors import SetupError
from .comparison import Comparison, mcnemar

LEAST = 8
"""The fewest examples before a verdict: where the first look would fall on fewer, only the last one counts."""
HOPELESS = 0.05
"""A candidate whose chance of being accepted in the end is below this is given up."""


class Verdict(enum.Enum):
    """What a gate says; the values are what logs and reports say."""

    ACCEPT = "accept"
    REJECT = "reject"
    MORE = "more examples are needed"


class Gate(Protocol):
    """Compares two programs on the examples that both were scored on."""

    @property
    def looks(self) -> Sequence[float]:
        """At which shares of the examples a verdict is possible, rising, the last one 1."""
        ...

    def __call__(self, comparison: Comparison, left: int, /) -> Verdict:
        """Judge.

        Args:
            comparison: The examples evaluated so far, in a fixed order.
            left: How many more could be evaluated; at 0 there is no `MORE`.
        """
        ...


@dataclass(frozen=True)
class Confident:
    """Accept where the lower confidence bound of the gain is above 0.

    An edit without any effect, or a harmful one, is accepted with a probability of at most `error`, however often
    and whenever the gate is asked before the last example: only at the fixed looks can it accept, and each look
    has its share of `error` (the shares add up to it; the union bound). Given up is an edit whose chance of
    being accepted in the end, by what has been seen of it, is below 5 %: that can only lower the error.

    The error is that of one decision on one candidate. What a run of many decisions amounts to is `commit`'s affair.

    Assumes that examples are independent and that, without an effect, a difference is as probable as its opposite.

    Args:
        error: The largest probability of accepting an edit without effect, above 0 and below 1.
        looks: At which shares of the examples a verdict is possible, rising, the last one 1.

    Raises:
        SetupError: If these are no such numbers.
    """

    error: float = 0.4
    looks: tuple[float, ...] = (0.25, 0.5, 1.0)

    def __post_init__(self) -> None:
        if isinstance(self.error, bool) or not isinstance(self.error, (int, float)) or not 0 < self.error < 1:
            raise SetupError(f"error must be a number above 0 and below 1, not {self.error!r}")
        rising = all(0 < low < high for low, high in zip(self.looks, self.looks[1:], strict=False))
        if not self.looks or not rising or self.looks[-1] != 1 or not self.looks[0] > 0:
            raise SetupError(f"looks must be rising shares of the examples that end with 1.0, not {self.looks!r}")

    def __call__(self, comparison: Comparison, left: int, /) -> Verdict:
        """Judge; see `Gate`."""
        size = len(comparison) + left
        spent = 0.0
        for look, count in zip(self.looks, self._counts(size), strict=True):
            if count > len(comparison):
                return Verdict.MORE
            seen = comparison.first(count)
            # The last look may use all that the earlier ones could not.
            level = self.error - spent if count == size else self.error * look**2 - spent
            if seen.p_value <= level:
                return Verdict.ACCEPT
            spent += attainable(seen, level)
            if count == size or hopeless(seen, size - count, self.error - spent):
                return Verdict.REJECT
        return Verdict.REJECT

    def _counts(self, size: int) -> list[int]:
        counts = [math.ceil(size * look) for look in self.looks]
        return [size if count < LEAST else count for count in counts]


confident = Confident()
"""The gate of `presets.proven()`: the gain's lower bound at 60 % confidence is above 0."""

strict = Confident(error=0.05)
"""The gain's lower bound at 95 % confidence is above 0. On few examples it accepts next to nothing."""


@dataclass(frozen=True)
class StrictlyBetter:
    """Accept when the total rises (the paper's rule: a raw `>`)."""

    looks: tuple[float, ...] = (1.0,)

    def __call__(self, comparison: Comparison, left: int, /) -> Verdict:
        """Judge; see `Gate`."""
        if left:
            return Verdict.MORE
        return Verdict.ACCEPT if math.fsum(comparison.differences) > 0 else Verdict.REJECT


strictly_better = StrictlyBetter()
"""The paper's gate."""


@dataclass(frozen=True)
class AcceptAlways:
    """Accept whatever comes (the published `--no_select`)."""

    looks: tuple[float, ...] = (1.0,)

    def __call__(self, comparison: Comparison, left: int, /) -> Verdict:
        """Judge; see `Gate`."""
        return Verdict.MORE if left else Verdict.ACCEPT


accept_always = AcceptAlways()
"""No gate at all."""


def looks_of(gate: Gate, size: int) -> list[int]:
    """After how many of `size` examples a gate wants to be asked; the last one is `size`."""
    counts = [max(LEAST, math.ceil(size * share)) for share in gate.looks]
    return sorted({min(count, size) for count in counts} | {size})


def accepts(gate: Gate, comparison: Comparison) -> bool:
    """Whether a gate that is asked at its looks accepts what it has seen in the end."""
    for count in looks_of(gate, len(comparison)) if len(comparison) else ():
        verdict = gate(comparison.first(count), len(comparison) - count)
        if verdict is not Verdict.MORE:
            return verdict is Verdict.ACCEPT
    return False


def hopeless(comparison: Comparison, left: int, level: float) -> bool:
    """Whether a p-value of at most `level` has become improbable, with `left` examples still to come: below 5 %.

    Predicted from how many examples differed so far and how (uniform priors).
    """
    return chance(comparison, left, level) < HOPELESS


def chance(comparison: Comparison, left: int, level: float) -> float:
    """The predicted probability that a comparison ends with a p-value of at most `level`; see `hopeless`.

    Graded differences are predicted by their signs.
    """
    fixes, regressions = len(comparison.fixes), len(comparison.regressions)
    return _chance(fixes, regressions, len(comparison) - fixes - regressions, left, level)


@functools.lru_cache(maxsize=4096)
def _chance(fixes: int, regressions: int, same: int, left: int, level: float) -> float:
    import numpy as np
    from scipy import stats

    differing = fixes + regressions
    more, fixed = np.arange(left + 1)[:, None], np.arange(left + 1)[None, :]
    needed = needed_fixes(differing + left, level)[differing:, None] - fixes
    differ = stats.betabinom.pmf(more[:, 0], left, differing + 1, same + 1)
    with np.errstate(invalid="ignore"):
        fix = np.where(fixed <= more, stats.betabinom.pmf(fixed, more, fixes + 1, regressions + 1), 0.0)
    return float(differ @ np.sum(fix, axis=1, where=fixed >= needed))


@functools.lru_cache(maxsize=256)
def needed_fixes(most: int, level: float) -> Any:
    """For each number of differing examples up to `most`, how many must be fixes for a p-value of at most `level`.

    More than these where it cannot be reached.
    """
    import numpy as np
    from scipy import stats

    counts = np.arange(most + 1)
    needed = stats.binom.isf(level, counts, 0.5).astype(int) + 1
    needed[0] = 1
    return needed


def attainable(comparison: Comparison, level: float) -> float:
    """The largest p-value of at most `level` that a comparison with as many differing examples can have.

    Exact tests of few differences have few possible p-values: this much of its level a test can really use.
    """
    differing = len(comparison.fixes) + len(comparison.regressions)
    if level <= 0 or not differing or 0.5**differing > level:
        return 0.0
    if comparison.graded:
        return level
    return mcnemar(int(needed_fixes(differing, level)[differing]), differing)
