"""The judgements of many sweeps as arrays, and how blame flows through them under assumptions about the reader.

Every reading call of a failure was misled by one of its sources: a predecessor, or its own instruction. Of each source
the sweep said that it must change, that it is fine, or nothing, and may be wrong. What was said by calls that the blame
does not pass counts for nothing: nobody knows how they speak. Executions of one structure are one array, so that
all of them take a few operations, under many sets of parameters at once.

Axes: c, a set of parameters; n, an execution of the structure; s, a source of a reader; g, a predictor among its
sources; e, a pair of a reading predictor and a predictor that it reads, or itself; p, a predictor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._graph.graph import ComputationGraph

Array = Any
"""A numpy array, which is not imported before it is wanted."""

Choose = Callable[[Array], Array]
"""Shares of the blame along the last axis -> where it goes: the same shares, or all of it to one, drawn by them."""


@dataclass(frozen=True)
class Judgements:
    """What one sweep said: call id -> source ("" for its own instruction) -> -1 (fine) to 1 (must change).

    Args:
        start: The calls at which the blame starts.
        said: Every call with predecessors.
        helped: Call id -> whether changing its output made the answer better, where that was tried.
    """

    graph: ComputationGraph
    start: Sequence[str]
    said: Mapping[str, Mapping[str, float]]
    helped: Mapping[str, bool] = field(default_factory=dict)

    def predictor(self, source: str) -> str:
        """The predictor of a source; of an instruction ""."""
        return self.graph[source].predictor if source else ""


@dataclass(frozen=True)
class Assumptions:
    """What is assumed, for every c.

    Args:
        usual: [c, e] How often the reading predictor is misled by that source.
        accused, cleared: [c, e] What "must change" and "fine" add to the log odds that it was.
        astray: [c] How often the reader speaks as if it had been misled by another source than it was.
        lure: [c, e] By which.
        checks: [c, 2] What a change that did not help, and one that did, multiply the odds by that the blame
            passes the call.
        alarms: [c, e] How often that source is accused where it is not at fault.
        chances: [c, 2] How often a change does not help, and helps, where the blame does not pass the call.
    """

    usual: Array
    accused: Array
    cleared: Array
    astray: Array
    lure: Array
    checks: Array
    alarms: Array
    chances: Array


@dataclass(frozen=True)
class Reader:
    """A reading call of a structure.

    Args:
        sources: The place of each source in the structure; -1 for its own instruction.
        group: [s] The g of each source.
        pairs: [g] The e of each g.
        said: [n, s] As in `Judgements`.
        accused, cleared: [n, g] The mean over the predictor's calls: how far it was accused, and how far cleared.
    """

    sources: tuple[int, ...]
    group: Array
    pairs: Array
    said: Array
    accused: Array
    cleared: Array

    def weigh(self, at: Assumptions) -> tuple[Array, Array, Array]:
        """[c, n, g] each: weights by Bayes' rule, the chance that each was seen if true, what was seen if not."""
        import numpy as np

        odds = self.accused * at.accused[:, None, self.pairs] + self.cleared * at.cleared[:, None, self.pairs]
        told = np.exp(odds)
        lure = at.lure[:, None, self.pairs]
        lured = lure / lure.sum(axis=2, keepdims=True) * told
        astray = at.astray[:, None, None]
        seen, missed = (1 - astray) * told, astray * lured.sum(axis=2, keepdims=True)
        return at.usual[:, None, self.pairs] * (seen + missed), seen / (seen + missed), normalised(lured)

    def likelihood(self, weights: Array, at: Assumptions) -> Array:
        """[c, n] The log likelihood of what was said, given the weights by which it was misled."""
        import numpy as np

        alarms = at.alarms[:, None, self.pairs]
        none = (self.accused * np.log(alarms) + self.cleared * np.log1p(-alarms)).sum(axis=2)
        return none + np.log(weights.sum(axis=2)) - np.log(at.usual[:, None, self.pairs].sum(axis=2))

    def apart(self, weights: Array, at: Assumptions) -> Array:
        """[c, n, s] The weight of a predictor (what is usual is known of these) shared out to its calls."""
        import numpy as np

        if len(self.sources) == len(self.pairs):
            return weights.copy()
        pairs = self.pairs[self.group]
        odds = np.exp(np.where(self.said > 0, at.accused[:, None, pairs], -at.cleared[:, None, pairs]) * self.said)
        return weights[:, :, self.group] * odds / self.grouped(odds)[:, :, self.group]

    @property
    def asked(self) -> Array:
        """[n] Whether it said anything."""
        return (self.said != 0).any(axis=1)

    def grouped(self, values: Array) -> Array:
        """[.., s] -> [.., g], summed."""
        import numpy as np

        return values @ np.eye(len(self.pairs))[self.group]


@dataclass(frozen=True)
class Flow:
    """Where the blame of a structure's executions went.

    Args:
        received: [c, n, call] How much reached each call.
        kept: [c, n, call] How much stayed there.
        left: Reading call -> [c, n, g] the part that each of its sources misled it by.
        judged: Reading call -> the chances of `Reader.weigh`.
        likelihood: [c, n] The log likelihood of all that was said and tried.
    """

    received: Array
    kept: Array
    left: Mapping[int, Array]
    judged: Mapping[int, tuple[Array, Array]]
    likelihood: Array


@dataclass(frozen=True)
class Structure:
    """Executions with the same calls and the same edges.

    Args:
        rows: Which of all executions they are.
        calls: The ids of the calls, each after all that it read.
        predictors: [call] The p of each.
        readers: The reading calls, by their place.
        start: Where the blame starts.
        helped: [n, call] Whether changing its output helped: 1, -1, or 0 where that was not tried.
    """

    rows: list[int]
    calls: tuple[str, ...]
    predictors: Array
    readers: Mapping[int, Reader]
    start: tuple[int, ...]
    helped: Array

    def flow(self, at: Assumptions, choose: Choose) -> Flow:
        """Let the blame flow from the calls that were told of the failure, against the edges."""
        import numpy as np

        shape = (len(at.usual), *self.helped.shape)
        splits, judged, likelihood = self._splits(at, shape)
        received = np.zeros(shape)
        received[:, :, self.start] = choose(np.full((*shape[:2], len(self.start)), 1 / len(self.start)))
        kept, left = received.copy(), {}
        for call in reversed(range(shape[2])):
            kept[:, :, call] = received[:, :, call]
            if call in splits:
                reader = self.readers[call]
                parts = received[:, :, call, None] * choose(splits[call])
                left[call] = reader.grouped(parts)
                for at_source, source in enumerate(reader.sources):
                    if source < 0:
                        kept[:, :, call] = parts[:, :, at_source]
                    else:
                        received[:, :, source] += parts[:, :, at_source]
        return Flow(received, kept, left, judged, likelihood)

    def _splits(self, at: Assumptions, shape: tuple[int, ...]) -> tuple[dict[int, Array], dict[int, Any], Array]:
        """What each reader hands on. A check speaks for every path through its call: its factor is handed down, too.

        What a reader off the path says is taken to be as likely as what any of that predictor says.
        """
        import numpy as np

        factors, likelihood = np.ones(shape), np.zeros(shape[:2])
        for value, which in ((-1, 0), (1, 1)):
            tried = self.helped == value
            if not tried.any():
                continue
            factors = np.where(tried, at.checks[:, which, None, None], factors)
            likelihood += tried.sum(axis=1) * np.log(at.chances[:, which, None])
        splits, judged = {}, {}
        for call, reader in self.readers.items():
            weights, *judged[call] = reader.weigh(at)
            likelihood += reader.likelihood(weights, at)
            parts = reader.apart(normalised(weights), at)
            for at_source, source in enumerate(reader.sources):
                if source >= 0:
                    parts[:, :, at_source] *= factors[:, :, source]
            factors[:, :, call] *= parts.sum(axis=2)
            splits[call] = normalised(parts)
        return splits, judged, likelihood + np.log(factors[:, :, self.start].mean(axis=2))


@dataclass(frozen=True)
class Failures:
    """All executions.

    Args:
        pairs: The reading predictor and its source, of each e.
        predictors: The name of each p.
    """

    structures: list[Structure]
    pairs: list[tuple[str, str]]
    predictors: list[str]

    @property
    def readers(self) -> Array:
        """[e, e] 1 for two pairs of the same reading predictor."""
        import numpy as np

        return np.array([[float(one == other) for other, _ in self.pairs] for one, _ in self.pairs])


def normalised(weights: Array) -> Array:
    """Weights that sum to 1 along the last axis."""
    return weights / weights.sum(axis=-1, keepdims=True)


def arranged(executions: Sequence[Judgements]) -> Failures:
    """Executions by their structure; those without a call, where there is nobody to blame, are left out."""
    import numpy as np

    alike: dict[Any, list[int]] = {}
    for row, one in enumerate(executions):
        if not one.graph.calls:
            continue
        calls = tuple((call.id, call.predictor, tuple(one.said.get(call.id, ()))) for call in one.graph)
        alike.setdefault((calls, tuple(one.start)), []).append(row)
    pairs: dict[tuple[str, str], int] = {}
    known: dict[str, int] = {}
    structures = []
    for rows in alike.values():
        some = [executions[row] for row in rows]
        first = some[0]
        calls = tuple(name for wave in first.graph.waves for name in wave)
        place = {name: at for at, name in enumerate(calls)}
        readers = {place[name]: _reader(name, some, place, pairs) for name in calls if name in first.said}
        numbers = [known.setdefault(first.graph[name].predictor, len(known)) for name in calls]
        helped = np.array([[2 * one.helped[name] - 1 if name in one.helped else 0 for name in calls] for one in some])
        start = tuple(place[name] for name in first.start)
        structures.append(Structure(rows, calls, np.array(numbers), readers, start, helped))
    return Failures(structures, list(pairs), list(known))


def _reader(
    name: str, some: Sequence[Judgements], place: Mapping[str, int], pairs: dict[tuple[str, str], int]
) -> Reader:
    import numpy as np

    sources = list(some[0].said[name])
    names = [some[0].predictor(source) for source in sources]
    groups = list(dict.fromkeys(names))
    group = np.array([groups.index(one) for one in names])
    known = np.array([pairs.setdefault((some[0].graph[name].predictor, one), len(pairs)) for one in groups])
    said = np.array([[one.said[name][source] for source in sources] for one in some])
    mean = np.eye(len(groups))[group] / np.bincount(group)
    places = tuple(place[source] if source else -1 for source in sources)
    return Reader(places, group, known, said, np.maximum(said, 0) @ mean, np.maximum(-said, 0) @ mean)
