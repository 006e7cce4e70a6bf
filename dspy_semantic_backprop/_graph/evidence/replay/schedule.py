"""Which answers are changed in which replay: one at a time as far as there is time for it, then many at once.

A changed answer at a time tells most, and in a large execution takes too long: a replay runs all calls, and
there are as many replays as outputs times kinds of change. So every output of a large execution is changed
alone only a few times. After that the calm ones, whose changes let every call happen, are changed in halves
drawn at random, each output in its own way: where nothing moves that is not explained by a known edge, nothing
is to be found in that half. Otherwise the half is split, down to the output that is to blame.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...edges import End
from ...trace import Call
from .compare import ReplayComparison, Shown
from .replay import Change, Observed

PATIENCE = 14
"""After so many changed values without news an output is done."""
FEW = 12
"""Up to so many outputs all changes are made one at a time."""
MANY = 60
"""Beyond so many outputs each is changed alone once."""


@dataclass
class Output:
    """One output of a call, and what is known of it.

    Args:
        call: The call.
        name: The output field.
        others: What it might have been instead.
        tried: How many of them were tried.
        calm: Whether every call happened, and none was made up, in all replays with it changed.
        shown: What the replays showed.
    """

    call: Call
    name: str
    others: Sequence[Any]
    tried: int = 0
    calm: bool = True
    shown: Shown = field(default_factory=Shown)

    def change(self, kind: int) -> Change:
        """One of its changes."""
        return Change(self.call.id, self.name, self.others[kind])


class OutOfTime(Exception):
    """The deadline has passed."""


async def survey(
    comparison: ReplayComparison, outputs: Sequence[Output], deadline: float | None
) -> tuple[dict[End, Shown], list[str]]:
    """Change outputs until nothing new is seen.

    Returns:
        What was seen of each output that was changed at all, and what there was no time for, in words.
    """
    # Few outputs: every change alone. Many: alone only once or twice, then the calm ones in halves.
    alone = PATIENCE * 3 if len(outputs) <= FEW else 2 if len(outputs) <= MANY else 1
    warnings = []
    try:
        for output in outputs:
            await _alone(comparison, output, alone, deadline)
        calm = [output for output in outputs if output.calm and not output.call.concurrent]
        for output in outputs:
            if output not in calm:
                await _alone(comparison, output, PATIENCE * 3, deadline)
        if len(outputs) > FEW:
            await _together(comparison, calm, alone, deadline)
    except OutOfTime:
        rest = [f"{output.call.id}.{output.name}" for output in outputs if not output.tried]
        some = ", ".join(rest[:3]) + (", ..." if len(rest) > 3 else "")
        warnings = [
            f"{len(rest)} outputs were not probed for lack of time ({some})"
            if rest
            else "not every kind of change was tried on every output, for lack of time"
        ]
    return {End(one.call.id, one.name): one.shown for one in outputs if one.tried or not one.others}, warnings


async def _alone(comparison: ReplayComparison, output: Output, most: int, deadline: float | None) -> None:
    news = output.tried
    while output.tried < min(most, len(output.others)) and output.tried - news < PATIENCE:
        before = output.shown.news
        observed = await _replay(comparison, [output.change(output.tried)], deadline)
        comparison.note(output.call, observed, output.shown)
        output.calm = output.calm and _is_calm(comparison, observed)
        output.tried += 1
        news = output.tried if output.shown.news > before else news


async def _together(comparison: ReplayComparison, outputs: list[Output], start: int, deadline: float | None) -> None:
    for kind in range(start, PATIENCE):
        left = [output for output in outputs if output.calm and kind < len(output.others)]
        random.Random(kind).shuffle(left)
        for half in (left[: len(left) // 2], left[len(left) // 2 :]):
            await _half(comparison, half, kind, deadline)


async def _half(comparison: ReplayComparison, outputs: list[Output], kind: int, deadline: float | None) -> None:
    if not outputs:
        return
    observed = await _replay(comparison, [output.change(kind) for output in outputs], deadline)
    if len(outputs) == 1:
        comparison.note(outputs[0].call, observed, outputs[0].shown)
        outputs[0].calm = _is_calm(comparison, observed)
        return
    if _is_calm(comparison, observed) and not _unexplained(comparison, outputs, observed):
        return
    middle = len(outputs) // 2
    for part in (outputs[:middle], outputs[middle:]):
        await _half(comparison, part, kind, deadline)


async def _replay(comparison: ReplayComparison, changes: list[Change], deadline: float | None) -> Observed:
    if deadline is not None and time.monotonic() > deadline:
        raise OutOfTime
    return await comparison.replay(changes)


def _is_calm(comparison: ReplayComparison, observed: Observed) -> bool:
    return observed.finished and not observed.unrecorded and len(observed.inputs) == len(comparison.trace.calls)


def _unexplained(comparison: ReplayComparison, outputs: list[Output], observed: Observed) -> bool:
    explained = {target for output in outputs for target in output.shown.moved}
    return not comparison.everything_moved(observed) <= explained
