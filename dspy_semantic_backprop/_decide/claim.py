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


def told(found: Found, scale: ScoreRange, start: Sequence[float], compared: Comparison, **known: Any) -> Final:
    """The decision as a record.

    Args:
        found: What is estimated of the candidate.
        scale: The scores' range.
        start: The start's scores, in metric points.
        compared: The start and the candidate.
        known: Further parts of the record.
    """
    least, most = _room(scale, start)
    gain, low, high = (min(max(one * scale.unit, least), most) for one in (found.gain, *found.interval))
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
    return replace(final, reason=reason(final))


def _room(scale: ScoreRange, start: Sequence[float]) -> tuple[float, float]:
    """The most that can be lost and gained, in metric points, by what the start scores."""
    if not scale.known:
        return -math.inf, math.inf
    points = math.fsum(one - scale.low for one in start)
    # That a start scored badly on few examples makes no loss impossible: it is lent one that it does perfectly.
    return -(points + scale.width) / (len(start) + 1), scale.width - points / len(start)


def reason(final: Final) -> str:
    """The decision in words."""
    low, high = final.interval or (0.0, 0.0)
    found = f"expected gain {final.gain:+.3g} (90 % sure: {low:+.3g} to {high:+.3g})"
    if not final.returned:
        risk = f"it would be worse than the start with a probability of {final.worse:.0%}"
        return f"{found}, but {risk}; the program is returned as it was given"
    sure = f"p = {final.p_value:.2g}; tested: {final.tested}"
    if final.proven:
        return f"{found}; more than luck ({sure}){final.losses}"
    return f"{found}; probably better, not proven ({sure}; probability of a loss: {final.worse:.0%}){final.losses}"


def few_in_common(final: Final, shared: int) -> str:
    """What is told where start and candidate were both run on few of the examples to decide on; else ""."""
    if shared >= min(FEW, final.planned):
        return ""
    return (
        f"start and best program were both run on {shared} of {final.planned} examples to decide on: the decision "
        f"rests on what the edits gained in other programs too; about {final.missing_calls:,} more calls would run "
        "both on all"
    )
