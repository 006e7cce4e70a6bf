"""How much scores move although nothing was changed: from several runs of one program on the same examples."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..._decide.comparison import Comparison

_SAME = 1e-9
_SIMULATIONS = 4000


@dataclass(frozen=True)
class Flips:
    """How much the scores of two runs of one program differ.

    Args:
        examples: On how many examples at least two runs were scored.
        rate: The probability that an example is scored differently in two runs, 0 to 1.
        changed: How many examples were scored differently in any two runs.
        deviation: The standard deviation of the mean score from run to run, in metric points.
        size: By how much a score changes where it does, in metric points (root mean square); None where none did.
    """

    examples: int
    rate: float
    changed: int
    deviation: float
    size: float | None


def flips(runs: Sequence[Mapping[int, float]]) -> Flips:
    """Measure how much the scores move from run to run.

    Args:
        runs: For each run, example id -> score; an example may be missing in some.
    """
    ids = dict.fromkeys(number for run in runs for number in run)
    repeated = [scores for number in ids if len(scores := [run[number] for run in runs if number in run]) > 1]
    if not repeated:
        return Flips(0, 0.0, 0, 0.0, None)
    apart = [[abs(one - other) for one, other in itertools.combinations(scores, 2)] for scores in repeated]
    moved = [size for sizes in apart for size in sizes if size > _SAME]
    return Flips(
        examples=len(repeated),
        rate=statistics.fmean(statistics.fmean(size > _SAME for size in sizes) for sizes in apart),
        changed=sum(max(sizes) > _SAME for sizes in apart),
        deviation=math.sqrt(sum(map(statistics.variance, repeated))) / len(repeated),
        size=math.sqrt(math.fsum(size**2 for size in moved) / len(moved)) if moved else None,
    )


def reworded(comparisons: Sequence[Comparison]) -> float:
    """The share of examples, 0 to 1, whose score changes with the wording alone.

    As many examples get better as get worse by chance: what an edit breaks, it also mends for no reason. The edit that
    breaks least is the one to go by, since others may be bad.

    Args:
        comparisons: Of edits with the program that they were made from.
    """
    return min((2 * len(one.regressions) / len(one) for one in comparisons if len(one)), default=0.0)


def size_of(comparisons: Sequence[Comparison]) -> float | None:
    """By how much a score changes where it does, in metric points (root mean square); None where none did."""
    moved = [size for one in comparisons for size in one.differences if abs(size) > _SAME]
    return math.sqrt(math.fsum(size**2 for size in moved) / len(moved)) if moved else None


def lost(differing: float) -> float:
    """The share of examples, 0 to 1, that a program fails by chance, if so many are scored differently in two runs.

    If each is failed by chance with a probability e, two runs differ with 2 e (1 - e).
    """
    return (1 - math.sqrt(max(0.0, 1 - 2 * differing))) / 2


def luck(examples: int, differing: float, size: float, tries: int, seed: int = 0) -> float:
    """How much better than the program the best of some edits without any effect looks, in metric points.

    Args:
        examples: On how many examples all are evaluated.
        differing: The share of examples that are scored differently in two runs, 0 to 1.
        size: By how much, in metric points.
        tries: How many edits.
        seed: Of the simulation.

    Returns:
        The mean over simulated searches; the start is run once, as in a search.
    """
    if not examples or tries < 1:
        return 0.0
    import numpy as np

    rng = np.random.default_rng(seed)
    # A run is off its own mean by half of what two runs differ by.
    hit = rng.binomial(examples, min(1.0, differing), (_SIMULATIONS, tries + 1))
    off = (2 * rng.binomial(hit, 0.5) - hit) * size / (examples * math.sqrt(2))
    return float((off[:, 1:].max(axis=1) - off[:, 0]).mean())
