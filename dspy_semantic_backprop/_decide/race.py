"""Several candidates against the program they were made from, block by block: who cannot win stops costing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._concurrency import gather
from .._evaluate.candidate import Candidate
from .comparison import Comparison
from .gate import HOPELESS, Gate, Verdict, chance, looks_of
from .pool import Pool

BETTER = 0.5
"""Of two candidates that the gate may accept, the one with the larger gain wins: any p-value below this will do."""


@dataclass(frozen=True)
class Raced:
    """One candidate at the end of a race; `MORE` is the verdict on one that was given up as another one is better."""

    candidate: Candidate
    verdict: Verdict
    comparison: Comparison


async def race(
    pool: Pool, parent: Candidate, entrants: Sequence[Candidate], ids: Sequence[int], gate: Gate
) -> list[Raced]:
    """Evaluate candidates, the examples in order, until the gate has judged each or it cannot be the best any more."""
    verdicts = dict.fromkeys(entrants, Verdict.MORE)
    running = list(verdicts)
    for count in looks_of(gate, len(ids)):
        block, left = ids[:count], len(ids) - count
        await pool.outcomes(parent, block)
        # The best so far is evaluated on, so that the others can be compared with it.
        leaders = _leaders(pool, parent, verdicts, block)[:1]
        await gather(lambda one, block=block: pool.outcomes(one, block), dict.fromkeys([*leaders, *running]))
        for one in running:
            verdicts[one] = gate(pool.compare(parent, one, block), left)
        running = [one for one in running if verdicts[one] is Verdict.MORE]
        running = _able_to_win(pool, parent, verdicts, running, block, left)
        if not running:
            break
    return [Raced(one, verdicts[one], pool.compare(parent, one, ids)) for one in entrants]


def _leaders(pool: Pool, parent: Candidate, verdicts: dict[Candidate, Verdict], ids: Sequence[int]) -> list[Candidate]:
    alive = [one for one, verdict in verdicts.items() if verdict is not Verdict.REJECT]
    return sorted(alive, key=lambda one: -pool.compare(parent, one, ids).gain)


def _able_to_win(
    pool: Pool,
    parent: Candidate,
    verdicts: dict[Candidate, Verdict],
    running: Sequence[Candidate],
    block: Sequence[int],
    left: int,
) -> list[Candidate]:
    leaders = _leaders(pool, parent, verdicts, block)
    if not leaders:
        return []
    return [
        one
        for one in running
        if one == leaders[0] or chance(pool.compare(leaders[0], one, block), left, BETTER) >= HOPELESS
    ]
