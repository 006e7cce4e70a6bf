"""What each edit of a run gains, from every score that was seen: one regression over all candidates and examples.

A score is the start's, plus what the example is like, plus what the candidate's edits gain, plus luck. Edits are drawn
from a normal distribution around a common mean, examples likewise: a linear mixed model with known variances, whose
posterior is a ridge regression (Henderson 1975; Searle, Casella and McCulloch 1992, chapter 7). So little evidence
shrinks towards the start, the winner's curse with it, and edits that were made together are told apart by whatever
other candidates hold them too, at no further cost.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EFFECT = 0.17
"""The standard deviation of what the edits of up to three predictors gain together, as a share of the scores' range."""
COMMON = 0.03
"""That of the mean gain of a run's edits around 0, likewise."""
OPTIMISM = 0.15
"""That of how much better an edit looks on the examples that it was made from, likewise."""
LEVEL = 0.5
"""That of the start's mean score around the middle of the range, likewise."""
BETWEEN = 0.3
"""The share of the scores' variance that is due to the examples."""
LEAST_VARIANCE = 0.05
"""The least variance of scores that is reckoned with: few scores may be equal by chance."""
_COLUMNS = 3


@dataclass(frozen=True)
class Seen:
    """One score.

    Args:
        edits: The numbers of the candidate's edits.
        example: The example's id.
        score: Between 0 and 1, the ends of the scores' range.
        learned: Whether one of the edits was made from this very example.
    """

    edits: tuple[int, ...]
    example: Hashable
    score: float
    learned: bool = False


class Estimate:
    """The gains of edits, given what was seen.

    Args:
        seen: The scores.
        count: How many edits there are; they are numbered from 0.
        predictors: How many predictors the program has: the more, the less a single edit is expected to do.
    """

    def __init__(self, seen: Sequence[Seen], count: int, predictors: int = 1) -> None:
        import numpy as np

        self._count = count
        self._scores = np.array([one.score for one in seen]) - 0.5
        self._examples = _places(seen)
        spread = max(LEAST_VARIANCE, float(self._scores.var())) if len(seen) else LEAST_VARIANCE
        noise, between = (1 - BETWEEN) * spread, BETWEEN * spread
        precision = np.diag(np.array([LEVEL**-2, COMMON**-2, OPTIMISM**-2, *[min(3, predictors) / EFFECT**2] * count]))
        moments = np.zeros((_COLUMNS + count, len(seen)))
        for places in self._examples:
            # The example's own level is integrated out: its scores share `between` of their variance.
            rows = np.array([self._row(seen[at].edits, seen[at].learned) for at in places])
            shared = between / (noise + len(rows) * between)
            total = rows.sum(axis=0)
            precision += (rows.T @ rows - shared * np.outer(total, total)) / noise
            moments[:, places] = (rows.T - shared * total[:, None]) / noise
        self._covariance: Any = np.linalg.inv(precision)
        self._weights: Any = self._covariance @ moments
        self._mean: Any = self._weights @ self._scores

    def _row(self, edits: Sequence[int], learned: bool = False) -> Any:
        import numpy as np

        row = np.zeros(_COLUMNS + self._count)
        row[:_COLUMNS] = 1, len(edits), learned
        np.add.at(row, [_COLUMNS + one for one in edits], 1)
        return row

    def gain(self, one: Sequence[int], other: Sequence[int] = ()) -> tuple[float, float]:
        """What one set of edits gains over another one: the expectation and its standard deviation, as a share."""
        row = self._row(one) - self._row(other)
        return float(row @ self._mean), math.sqrt(max(float(row @ self._covariance @ row), 0.0))

    def worse(self, one: Sequence[int], other: Sequence[int] = ()) -> float:
        """The probability, 0 to 1, that the first set of edits is worse than the other one."""
        gain, deviation = self.gain(one, other)
        return 0.5 * math.erfc(gain / deviation / math.sqrt(2)) if deviation else float(gain < 0)

    def luck(self, candidates: Sequence[Sequence[int]], seed: int = 0, times: int = 999) -> float:
        """The probability, 0 to 1, that the best of some candidates looks as good as it does if no edit has an effect.

        Then the candidates' scores on an example might as well have been exchanged: they are, on all examples at once,
        many times, and each time the surest gain is looked for among all candidates, however they depend on each
        other (Westfall and Young 1993).

        Args:
            candidates: The edits of every candidate but the start.
            seed: Of the exchanges.
            times: How many.
        """
        import numpy as np

        rng = np.random.default_rng(seed)
        rows = np.array([self._row(edits) - self._row(()) for edits in candidates])
        deviations = np.sqrt(np.einsum("ij,jk,ik->i", rows, self._covariance, rows))
        sure = rows @ self._weights / deviations[:, None]
        seen = float((sure @ self._scores).max())
        exchanged = np.tile(self._scores, (times, 1))
        for places in self._examples:
            exchanged[:, places] = rng.permuted(exchanged[:, places], axis=1)
        best = (sure @ exchanged.T).max(axis=0)
        return float((1 + np.sum(best >= seen - 1e-12)) / (1 + times))


def _places(seen: Sequence[Seen]) -> list[list[int]]:
    """Where the scores of each example stand."""
    places: dict[Hashable, list[int]] = {}
    for at, one in enumerate(seen):
        places.setdefault(one.example, []).append(at)
    return list(places.values())


class Lineage:
    """Which edits a candidate consists of: a text that was made from another one holds that one's edits too.

    Args:
        start: Predictor's name -> instruction.
    """

    def __init__(self, start: Mapping[str, str]) -> None:
        self._edits: dict[tuple[str, str], tuple[int, ...]] = {(name, text): () for name, text in start.items()}
        self._sources: list[frozenset[Hashable]] = []

    def __len__(self) -> int:
        return len(self._sources)

    def add(self, name: str, text: str, parent: str, sources: frozenset[Hashable]) -> None:
        """A predictor's text was made from another one, and from examples."""
        if (name, text) not in self._edits:
            self._edits[name, text] = (*self._edits[name, parent], len(self._sources))
            self._sources.append(sources)

    def edits(self, instructions: Mapping[str, str]) -> tuple[int, ...]:
        """The edits of a candidate."""
        return tuple(edit for pair in instructions.items() for edit in self._edits[pair])

    def learned(self, edits: Sequence[int], example: Hashable) -> bool:
        """Whether one of some edits was made from an example."""
        return any(example in self._sources[edit] for edit in edits)
