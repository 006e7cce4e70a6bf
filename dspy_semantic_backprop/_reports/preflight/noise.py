"""How much scores move although nothing was changed, and which gains a method can tell from that."""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..._decide.comparison import Comparison, Pair
from ..._decide.search import Search

_SAME = 1e-9
_SIMULATIONS = 4000
RUNS = (60, 60, 180)
"""How many runs are simulated: over all gains that are possible, and then twice over those that matter."""
_SHRINKAGE, _TURNS = 0.001, 50
REFERENCE = 60
"""The fewest examples from which it is inferred how many others would take."""


@dataclass(frozen=True)
class Flips:
    """How much the scores of two runs of one program differ, as `Noise` says; no `size` where none did."""

    examples: int
    rate: float
    changed: int
    deviation: float
    size: float | None


def flips(runs: Sequence[Mapping[int, float]]) -> Flips:
    """How much the scores move from run to run; of each run, example id -> score, as far as there is one."""
    ids = dict.fromkeys(number for run in runs for number in run)
    repeated = [scores for number in ids if len(scores := [run[number] for run in runs if number in run]) > 1]
    if not repeated:
        return Flips(0, 0.0, 0, 0.0, None)
    apart = [[abs(one - other) for one, other in itertools.combinations(scores, 2)] for scores in repeated]
    return Flips(
        examples=len(repeated),
        rate=statistics.fmean(statistics.fmean(size > _SAME for size in sizes) for sizes in apart),
        changed=sum(max(sizes) > _SAME for sizes in apart),
        deviation=math.sqrt(sum(map(statistics.variance, repeated))) / len(repeated),
        size=_typical([size for sizes in apart for size in sizes]),
    )


def reworded(comparisons: Sequence[Comparison]) -> float:
    """The share of examples, 0 to 1, whose score changes with the wording alone, by edits beside their program.

    As many examples get better as get worse by chance: what an edit breaks, it also mends for no reason. The edit that
    breaks least is the one to go by, since others may be bad; not one that the budget left with a few examples.
    """
    return min((2 * len(one.regressions) / len(one) for one in _whole(comparisons)), default=0.0)


def _whole(comparisons: Sequence[Comparison]) -> list[Comparison]:
    most = max(map(len, comparisons), default=0)
    return [one for one in comparisons if len(one) > most / 2]


def _typical(differences: Sequence[float]) -> float | None:
    moved = [size for size in differences if abs(size) > _SAME]
    return math.sqrt(math.fsum(size**2 for size in moved) / len(moved)) if moved else None


@dataclass(frozen=True)
class Chance:
    """What an edit without effect changes, as often for the better as for the worse.

    Args:
        differing: The share of examples whose score it changes, 0 to 1.
        size: By how much where it does, in metric points (root mean square).
    """

    differing: float
    size: float

    @property
    def spread(self) -> float:
        """The mean square of the change of an example, in metric points squared."""
        return self.differing * self.size**2

    def at_least(self, executions: int, step: float) -> Chance:
        """The same where one change more was to come, of `step` metric points: executions were too few to show it.

        Few runs show the usual change and hardly ever the rare and large one: of scores that mostly move by a
        hundredth, one in forty may still be lost altogether.
        """
        differing = max(self.differing, 1 / (executions + 1))
        spread = max(self.spread, step**2 / (executions + 1))
        return Chance(differing, math.sqrt(spread / differing))


def chance(moved: Flips, comparisons: Sequence[Comparison], width: float) -> Chance:
    """What was seen to change without effect: from run to run, or by what an edit breaks, whichever is more.

    Where nothing changed, `width` metric points are taken for the size of a change.
    """
    broken = [[min(0.0, size) ** 2 for size in one.differences] for one in _whole(comparisons)]
    differing = max(moved.rate, reworded(comparisons))
    spread = max(
        moved.rate * (moved.size or 0.0) ** 2,
        min((2 * math.fsum(sizes) / len(sizes) for sizes in broken), default=0.0),
    )
    return Chance(differing, math.sqrt(spread / differing) if differing and spread else width)


def step_of(lacking: Sequence[float], width: float) -> float:
    """By how much an example that is put right changes, in metric points, where these lack so much to the best score.

    Those that lack more count for more, so that many near misses do not make it small.
    """
    missing = [max(0.0, one) for one in lacking]
    return math.fsum(one**2 for one in missing) / math.fsum(missing) if any(missing) else width


def lost(differing: float) -> float:
    """The share of examples, 0 to 1, that a program fails by chance, if so many are scored differently in two runs.

    If each is failed by chance with a probability e, two runs differ with 2 e (1 - e).
    """
    return (1 - math.sqrt(max(0.0, 1 - 2 * differing))) / 2


def luck(examples: int, by: Chance, tries: int, seed: int = 0, reached: float | None = None) -> float:
    """By how many metric points the best of some edits without effect looks better, over simulated searches.

    The mean, or what it surpasses with the probability `reached`, 0 to 1; the start is run once, as in a search.
    """
    if not examples or tries < 1:
        return 0.0
    import numpy as np

    rng = np.random.default_rng(seed)
    # A run is off its own mean by half of what two runs differ by.
    hit = rng.binomial(examples, min(1.0, by.differing), (_SIMULATIONS, tries + 1))
    off = (2 * rng.binomial(hit, 0.5) - hit) * by.size / (examples * math.sqrt(2))
    best = off[:, 1:].max(axis=1) - off[:, 0]
    return float(best.mean() if reached is None else np.quantile(best, 1 - reached))


@dataclass(frozen=True)
class Power:
    """One edit with a true gain among others without any, as a run decides on it, on simulated outcomes.

    An edit changes the score of some examples by chance, as often for the better as for the worse, and its gain is
    made of further examples that it puts right. Graded scores are taken to change by one size for each of the two.

    Args:
        by: What an edit without effect changes.
        step: By how much a score changes that is put right, in metric points: no gain is larger.
    """

    search: Search
    rivals: int
    by: Chance
    step: float
    seed: int = 0

    def gains(self, decide: int, fresh: int, chances: tuple[float, ...] = (0.5, 0.8)) -> tuple[float | None, ...]:
        """The true gains, in metric points, that a run returns with these probabilities; None where none is."""
        import numpy as np

        rng = np.random.default_rng(self.seed)
        top, tried, returned = self.step, [], []
        # Each round looks closer at the gains that the one before left open.
        for runs in RUNS:
            some = np.linspace(0, top, runs).tolist()
            tried += some
            returned += [self._returned(decide, fresh, gain, rng) for gain in some]
            top = min([self.step, *(2 * gain for gain in _crossings(tried, returned, (max(chances),)) if gain)])
        found = _crossings(tried, returned, chances)
        return tuple(gain if gain is not None and gain <= self.step else None for gain in found)

    def needed(self, gain: float) -> int | None:
        """About how many examples it takes to return a true gain, in metric points, with a probability of 0.8.

        By what can be found on `REFERENCE` examples and how chance shrinks with their number; None where nothing can be
        found at all, or no gain is so large.
        """
        found = self._found
        if not found or gain > self.step:
            return None
        return max(1, math.ceil(REFERENCE * found**2 / self._spread(found) * self._spread(gain) / gain**2))

    @functools.cached_property
    def _found(self) -> float | None:
        fresh = self.search.kept(REFERENCE)
        return self.gains(REFERENCE - fresh, fresh, (0.8,))[0]

    def _spread(self, gain: float) -> float:
        """The variance of one difference, in metric points squared, if the gain is so large."""
        return self.by.spread + max(0.0, gain * (self.step - gain)) + 1e-12 * self.step**2

    def _returned(self, decide: int, fresh: int, gain: float, rng: Any) -> bool:
        (loop,) = self._outcomes(1, decide, gain, rng)
        # Of edits without effect most are given up half-way.
        rivals = self._outcomes(self.rivals, math.ceil(decide / 2), 0.0, rng)
        return self.search.returns(loop, rivals, self._outcomes(1, fresh, gain, rng)[0] if fresh else None)

    def _outcomes(self, edits: int, examples: int, gain: float, rng: Any) -> list[Comparison]:
        worse = min(self.by.differing, 1.0) / 2
        right = worse + min(1 - worse, gain / self.step)
        drawn = rng.random((edits, examples))
        signs = (drawn >= worse) * (drawn < right) * self.step
        signs = signs + ((drawn >= right) * (drawn < right + worse) * 1.0 - (drawn < worse)) * self.by.size
        pairs = (
            zip(range(examples), itertools.repeat(0.0), one, itertools.repeat(None), strict=False)
            for one in signs.tolist()
        )
        return [Comparison(tuple(map(Pair._make, one))) for one in pairs]


def _crossings(gains: Sequence[float], returned: Sequence[bool], chances: Sequence[float]) -> list[float | None]:
    """Where the probability of a return reaches the chances: a logistic curve through what was simulated."""
    if not any(returned):
        return [None for _ in chances]
    import numpy as np
    from scipy import special

    largest = max(gains)
    x, y = np.stack([np.ones(len(gains)), np.asarray(gains) / largest], axis=1), np.asarray(returned, dtype=float)

    def unlikely(line: Any) -> float:
        bent = x @ line
        # A little shrinkage: the curve through runs that all end alike would be infinitely steep.
        return float(np.sum(np.logaddexp(0, bent) - y * bent) + _SHRINKAGE * line @ line)

    # Newton's method: for two parameters a general optimizer takes a hundred times as long.
    line = np.zeros(2)
    for _ in range(_TURNS):
        likely = special.expit(x @ line)
        slopes = x.T @ (likely - y) + 2 * _SHRINKAGE * line
        bend = (x.T * (likely * (1 - likely))) @ x + 2 * _SHRINKAGE * np.eye(2)
        move = np.linalg.solve(bend, slopes)
        while unlikely(line - move) > unlikely(line) and abs(move).max() > _SAME:
            move = move / 2
        line = line - move
        if abs(move).max() <= _SAME:
            break
    start, slope = line
    if slope <= 0:
        return [None for _ in chances]
    return [max(0.0, float((special.logit(chance) - start) / slope * largest)) for chance in chances]


def agreeing(needed: int | None, gain: float, examples: int, likely: float | None) -> int | None:
    """How many examples a gain takes, in agreement with what is returned four times in five on those there are.

    The one number is inferred from another set's size, the other simulated at this one.
    """
    if likely is not None and likely <= gain:
        return min(examples, needed or examples)
    return None if needed is None else max(needed, examples + 1)
