"""What each edit of a run gains, from every score that was seen: one regression over all candidates and examples.

A score is the start's, plus what the example is like, plus what the candidate's edits gain, plus luck. Edits are drawn
from a normal distribution around a common mean, examples likewise: a linear mixed model with known variances, whose
posterior is a ridge regression (Henderson 1975; Searle, Casella and McCulloch 1992, chapter 7). So little evidence
shrinks towards the start, the winner's curse with it, and edits that were made together are told apart by whatever
other candidates hold them too, at no further cost.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

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


class Seen(NamedTuple):
    """One score, 0 to 1, of edits, by number, on an example; `learned` where one was made from that one."""

    edits: tuple[int, ...]
    example: Hashable
    score: float
    learned: bool = False


class Model:
    """What is assumed of edits and examples before anything was seen.

    Args:
        sizes: For each edit, how many predictors it changes; 1 for each where every predictor's is an edit of its own.
        predictors: How many the program has: the more, the less a single edit is expected to do.
    """

    def __init__(self, sizes: Sequence[int], predictors: int = 1) -> None:
        import numpy as np

        self._sizes = np.array(sizes, float)
        each = EFFECT**2 / min(3, predictors)
        self._prior = np.array([LEVEL**2, COMMON**2, OPTIMISM**2, *(each * self._sizes)])
        self.row = functools.cache(self._row)

    def _row(self, edits: tuple[int, ...], learned: bool = False) -> Any:
        """A score as a sum: of the start's, what all edits have in common, optimism, and each edit's gain."""
        import numpy as np

        row = np.zeros(len(self._prior))
        row[0], row[2] = 1, learned
        for one in edits:
            row[_COLUMNS + one] += 1
        row[1] = row[_COLUMNS:] @ self._sizes
        return row

    def fit(self, rows: Any, examples: Any, scores: Any) -> tuple[Any, Any]:
        """What the parts of the sum are, given scores from 0 to 1: expectations and covariance; see `row`."""
        import numpy as np

        products = rows.T @ rows
        # Edits that no score tells of stay what they are assumed to be.
        told = np.flatnonzero(products.diagonal()) if len(rows) else np.arange(_COLUMNS)
        mean, covariance = np.zeros(len(self._prior)), np.diag(self._prior)
        if len(told) < len(mean):
            rows, products = rows[:, told], products[told[:, None], told]
        scores = scores - 0.5
        spread = max(LEAST_VARIANCE, _variance(scores))
        noise, between = (1 - BETWEEN) * spread, BETWEEN * spread
        # The examples' own levels are integrated out: the scores of each share `between` of their variance.
        counts = np.bincount(examples, minlength=1)
        # A game of `luck` fits hundreds of times: of what adds up by index this is the fastest.
        cells, width = len(counts) * len(told), len(told)
        places = examples[:, None] * width + np.arange(width)
        totals = np.bincount(places.ravel(), rows.ravel(), cells).reshape(len(counts), width)
        shared = (between / (noise + counts * between))[:, None] * totals
        precision = (products - totals.T @ shared) / noise
        precision.flat[:: width + 1] += 1 / self._prior[told]
        covariance[told[:, None], told] = found = np.linalg.inv(precision)
        mean[told] = found @ ((rows - shared[examples]).T @ scores) / noise
        return mean, covariance


def _variance(values: Any) -> float:
    # What `numpy.var` does, without its checks, which take several times as long for so few values.
    if not len(values):
        return 0.0
    deviations = values - values.sum() / len(values)
    return float((deviations * deviations).sum() / len(values))


class Estimate:
    """The gains of edits, numbered from 0, given what was seen; of more predictors each is expected to do less."""

    def __init__(self, model: Model, rows: Any, examples: Any, scores: Any) -> None:
        self._model = model
        self._mean, self._covariance = model.fit(rows, examples, scores)

    @classmethod
    def of(cls, seen: Sequence[Seen], count: int, predictors: int = 1) -> Estimate:
        """The gains of so many edits, each of one predictor."""
        import numpy as np

        model = Model([1] * count, predictors)
        edits, examples, scores, learned = zip(*seen, strict=True) if seen else ((), (), (), ())
        numbers = {example: number for number, example in enumerate(dict.fromkeys(examples))}
        # Hundreds of scores are those of a few candidates.
        kinds = {kind: at for at, kind in enumerate(dict.fromkeys(zip(edits, learned, strict=True)))}
        table = np.array([model.row(*kind) for kind in kinds]).reshape(len(kinds), _COLUMNS + count)
        rows = table[np.array([kinds[kind] for kind in zip(edits, learned, strict=True)], int)]
        places = np.array([numbers[example] for example in examples], int)
        return cls(model, rows, places, np.array(scores, float))

    @classmethod
    def of_runs(cls, runs: Sequence[tuple[list[int], list[float]]], share: Callable[[Any], Any]) -> Estimate:
        """The gains of edits made alone: of the start, and of each edit, numbers of examples, and the scores there."""
        import numpy as np

        model, sizes = Model([1] * (len(runs) - 1)), [len(examples) for examples, _ in runs]
        rows = np.repeat([model.row(()), *(model.row((edit,)) for edit in range(len(runs) - 1))], sizes, axis=0)
        examples, scores = (np.array([*chain.from_iterable(some)]) for some in zip(*runs, strict=True))
        return cls(model, rows, examples.astype(int), share(scores))

    def gain(self, one: Sequence[int], other: Sequence[int] = ()) -> tuple[float, float]:
        """What one set of edits gains over another one: the expectation and its standard deviation, as a share."""
        row = self._model.row(tuple(one)) - self._model.row(tuple(other))
        return float(row @ self._mean), math.sqrt(max(float(row @ self._covariance @ row), 0.0))

    def worse(self, one: Sequence[int], other: Sequence[int] = ()) -> float:
        """The probability, 0 to 1, that the first set of edits is worse than the other one."""
        gain, deviation = self.gain(one, other)
        return 0.5 * math.erfc(gain / deviation / math.sqrt(2)) if deviation else float(gain < 0)


class Lineage:
    """Which edits a candidate consists of: a text that was made from another one holds that one's edits too."""

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
