"""What the ending of a pooled search says: what gain is expected, and whether it is more than luck."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from .comparison import Comparison
from .records import Final

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


def told(found: Found, width: float, compared: Comparison, *, candidate: int, returned: bool) -> Final:
    """The decision as a record.

    Args:
        found: What is estimated of the candidate.
        width: The scores' range, in metric points.
        compared: The start and the candidate.
        candidate: The candidate's number.
        returned: Whether it is returned.
    """
    low, high = found.interval
    final = Final(
        returned=returned,
        candidate=candidate,
        proven=found.p_value <= PROVEN,
        p_value=found.p_value,
        error=PROVEN,
        worse=found.worse,
        gain=found.gain * width,
        interval=(low * width, high * width),
        worst=compared.worst(),
        tested=TESTED,
    )
    return replace(final, reason=reason(final))


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


def seen_by_both(compared: Comparison, examples: int) -> str:
    """What is told where a budget ended before start and best program were run on all of so many examples; else ""."""
    seen = len(compared.pairs)
    if seen >= examples:
        return ""
    told = f"were both run on {seen} of {examples} examples to decide on"
    return f"the budget ended before the decision had seen all: start and best program {told}"
