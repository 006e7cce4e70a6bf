"""How often a pooled search is going to run the program, by what runs on scripted models took."""

from __future__ import annotations

import math

from .._session.projection import Executions

AT_END, LONGER_AT_END, MOST_AT_END = 1.3, 0.35, 3.75
"""How often the decision at the end goes through all examples: after one step, more with each doubling, at most."""
WHOLE = 1.6
"""As often as that what is unseen at first is then run in full, not only what an edit can reach."""


def executions(size: int, steps: int, *, first: int, block: int, proposals: int) -> Executions:
    """How often the program is run on so many examples in so many steps; the rest is as `Pooled` has it."""
    programs, first, block = 1 + steps * proposals, min(first, size), min(block, size)
    if not steps:
        return Executions(first, first, first)
    # What a step improves is known on the first block, and on few of the later ones.
    parents, looked = (steps - 1) * block, steps * proposals * block
    end = size * min(programs, AT_END + LONGER_AT_END * math.log2(steps))
    unseen = (size - first) * (WHOLE if steps > 1 else 1)
    most = first + steps * (block * (1 + proposals) + 2) + round(size * min(programs, MOST_AT_END))
    return Executions(most, first + parents + looked + round(end), first + parents + round(unseen), elastic=True)
