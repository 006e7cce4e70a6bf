"""From what a pre-flight measured to a recommendation, with its reason in numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..._decide.comparison import Comparison

Advice = Literal["go", "more examples first", "no headroom", "too noisy"]
"""What to do."""
SMALL = 0.03
"""The share of the metric's range up to which it is not worth a run."""
NOISY = 0.25
"""The share of the metric's range from which a loss by chance is the first thing to mend."""
SEEN = 0.25
"""The p-value up to which a cheap candidate is taken to have helped."""
ENOUGH = 8
"""On fewer examples a candidate that did not help says nothing."""
MOST = 1000
"""More examples than these are not asked for."""


@dataclass(frozen=True)
class Measured:
    """What a pre-flight measured.

    Args:
        score: The program's mean score, in metric points.
        best: The best possible one.
        width: The whole range, in metric points.
        by_chance: How much is lost by chance, in metric points.
        luck: How much the best of the cheap candidates looks to gain if none has any effect, in metric points.
        attempts: The cheap candidates that were evaluated, with the program.
        examples: How many examples the set has that is decided on.
        even: The true gain that is returned every second time, in metric points; None where none is.
        needed: The number of examples on which a true gain, in metric points, is returned four times in five.
    """

    score: float
    best: float
    width: float
    by_chance: float
    luck: float
    attempts: Sequence[Comparison]
    examples: int
    even: float | None
    needed: Callable[[float], int | None]


def advise(found: Measured) -> tuple[Advice, str]:
    """Recommend.

    Args:
        found: What was measured.

    Returns:
        What to do, and why.
    """
    room = found.best - found.score
    lasting = max(0.0, room - found.by_chance)
    tried = [one for one in found.attempts if len(one)]
    top = max(tried, key=lambda one: one.gain, default=None)
    helped = top is not None and top.p_value <= SEEN and top.gain > found.luck
    score = f"the program scores {found.score:.3g} of {found.best:.3g}"
    if room <= SMALL * found.width:
        return "no headroom", f"{score}: {room:.2g} is all that there is to gain."
    if lasting <= SMALL * found.width and not (top is not None and helped and top.p_value <= 0.05):
        if found.by_chance >= NOISY * found.width:
            why = "answers vary so much that no edit can be judged; sample more than once, or lower the temperature"
            return "too noisy", f"{score}, and about {min(room, found.by_chance):.2g} is lost by chance: {why}."
        why = "what fails changes from run to run, or with the mere wording"
        return "no headroom", f"{score}, and what is missing is lost by chance ({why})."
    if tried and not helped and max(len(one) for one in tried) >= ENOUGH:
        gained = max(one.gain for one in tried)
        return "no headroom", (
            f"{score}, but none of {len(tried)} cheap candidates helped on a sample of "
            f"{max(len(one) for one in tried)} (the best: {gained:+.2g}; luck alone: {found.luck:+.2g})."
        )
    hoped = max(SMALL * found.width, top.gain - found.luck) if top is not None and helped else lasting / 2
    hope = f"a gain of about {hoped:.2g}"
    hope += " (as the best cheap candidate had)" if helped else " (half of what is not lost by chance)"
    if found.even is not None and hoped >= found.even:
        return "go", f"{score}; {hope} can be hoped for, and gains from {found.even:.2g} are found on these examples."
    needed = found.needed(hoped)
    even = f"a gain is found every second time only from {found.even:.2g}" if found.even is not None else ""
    even = even or "no gain can be told from luck"
    if needed is not None and needed <= MOST:
        more = f"pass about {max(needed, found.examples + 1):,} examples to decide on"
        return "more examples first", f"{score}; {hope} can be hoped for, but on these examples {even}: {more}."
    return (
        "too noisy",
        f"{score}; {hope} can be hoped for, but {even}, and it takes more than {MOST:,} examples.",
    )
