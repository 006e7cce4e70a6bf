"""What the ending of a pooled search says: what gain is expected, and whether it is more than luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .._evaluate.outcome import ScoreRange
from .comparison import Comparison
from .records import Final

OPEN = 0.3
"""What may be worse with more than this probability is not tested for luck."""
FEW = 4
"""Fewer examples in common than this do not compare two programs."""
TESTED = "the mean gain, by searches on scores without any effect"
"""What the p-value is of, in words."""
PROVEN = 0.05
"""The p-value up to which a gain is said to be more than luck."""


class Found(NamedTuple):
    """What is estimated of a candidate, as shares of the scores' range."""

    gain: float
    interval: tuple[float, float]
    worse: float
    p_value: float


def told(
    found: Found, scale: ScoreRange, start: Sequence[float], compared: Comparison, allowed: float, **known: Any
) -> Final:
    """The decision as a record; what is returned may be worse with the probability `allowed`, 0 to 1."""
    least, most = _room(scale, start)
    # Nothing is expected beyond what the start left on what it was run on; the range is less sure of that.
    left = scale.best - math.fsum(start) / len(start) if scale.known else math.inf
    gain = min(max(found.gain * scale.unit, least), left)
    low, high = (min(max(one * scale.unit, least), most) for one in found.interval)
    low, high = min(low, gain), max(high, gain)
    final = Final(
        proven=found.p_value <= PROVEN,
        p_value=found.p_value,
        error=PROVEN,
        worse=found.worse,
        gain=gain,
        interval=(low, high),
        worst=compared.worst(),
        tested=TESTED,
        **known,
    )
    return replace(final, reason=_reason(final, allowed))


def _room(scale: ScoreRange, start: Sequence[float]) -> tuple[float, float]:
    """The most that can be lost and gained, in metric points, by what the start may score: 95 % sure to each side.

    That is Jeffreys' interval for a share. Graded scores that differ little count as more scores than they are.
    """
    if not scale.known:
        return -math.inf, math.inf
    from scipy import stats

    count, shares = len(start), [min(max((one - scale.low) / scale.width, 0.0), 1.0) for one in start]
    mean = math.fsum(shares) / count
    most = mean * (1 - mean)
    variance = (math.fsum((one - mean) ** 2 for one in shares) + most) / (count + 1)
    weight = count * most / variance if variance else count
    low, high = stats.beta.ppf((0.05, 0.95), weight * mean + 0.5, weight * (1 - mean) + 0.5)
    return -float(high) * scale.width, float(1 - low) * scale.width


def _reason(final: Final, allowed: float) -> str:
    """The decision in words."""
    low, high = final.interval or (0.0, 0.0)
    found = f"expected gain {final.gain:+.3g} (90 % sure: {low:+.3g} to {high:+.3g})"
    if not final.returned:
        risk = f"it may be worse than the start with a probability of {final.worse:.1%}, and {allowed:.3g} is allowed"
        return f"{found}, but {risk} (Pooled(worse=...)); the program is returned as it was given"
    sure, risk = f"p = {final.p_value:.2g}; tested: {final.tested}", f"probability of a loss: {final.worse:.0%}"
    if final.proven:
        risk = f"; {risk}" if (final.worse or 0) >= PROVEN else ""
        return f"{found}; more than luck ({sure}{risk}){final.losses}"
    sure += ", on examples that no edit was made from"
    return f"{found}; probably better, not proven ({sure}; by all scores, {risk}){final.losses}"


def few_in_common(final: Final, shared: int) -> str:
    """What is told where start and candidate were both run on few of the examples to decide on; else ""."""
    if shared >= min(FEW, final.planned):
        return ""
    return (
        f"start and best program were both run on {shared} of {final.planned} examples to decide on: the decision "
        f"rests on what the edits gained in other programs too; about {final.missing_calls:,} more calls would run "
        "both on all"
    )
