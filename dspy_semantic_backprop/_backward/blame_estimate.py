"""How sure shares of the blame are where the reader may be wrong: draws from all that is possible after what was seen.

A Gibbs sampler over the path of every failure's blame, what usually misleads each predictor, how often a fault of each
source is missed and a good output of it accused, how often a reader speaks of the wrong source altogether, and how
often a check is wrong. Very different stories may explain the same words (it is always the one that is accused; or the
reader accuses that one by habit, and it is the other), and a chain does not get from one to another. So many chains are
told of ever more failures (iterated batch importance sampling, Chopin 2002): by turns they are drawn anew in
proportion to how likely they found the next failures, and each story keeps as many as it deserves.

A reader that always names one source, in three of ten failures the wrong one, looks as if it never erred: only checks
can tell. So `ASTRAY` is presumed, and without checks the ranges are as wide as that makes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .blame import CHECK_ALARMS, CHECK_MISSES, Blame, Failure, Helped, judgements, mean_shares, pool_blame
from .blame_model import Array, Assumptions, Failures, Reader, arranged

Range = tuple[float, float]
"""Where something lies with 95 % probability, 0 to 1, in whole percents."""

CHAINS, GROWING, KEPT, APART = 64, 20, 20, 2
"""Chains, in how many turns they are told of the failures, how many draws of each are kept, and of how many one is."""

ASTRAY = (1.0, 8.0)
"""A beta prior of how often a reader speaks of the wrong source altogether: in one failure of nine, or in none."""
CHECK_WEIGHT = 8.0
"""So many checks' worth is presumed of how often checks are wrong."""
RATES = (1.0, 3.0)
"""A beta prior of misses and of false alarms: readers are thought to be right more often than wrong."""
ALIKE = (1.0, 4.0, 16.0, 64.0, 256.0)
"""So many judgements' worth the sources of a program tell about each other; with 1 each is passed or accused by
habit, with 256 all alike."""
_LEAST = 1e-4


@dataclass(frozen=True)
class BlameEstimate:
    """Who is to blame, and how sure that is after what was said and what was tried.

    Args:
        failures: The blame for each failure, as `pool_blame` has it.
        shares: Predictor -> its mean share over these failures, 0 to 1.
        ranges: Predictor -> where its share of such failures lies with 95 % probability, errors of the reader and
            of the checks counted.
        if_right: The same, given that every failure was read right.
        missed: How much of what was at fault the reader let pass.
        false_alarms: How much of what was not at fault it accused.
    """

    failures: Sequence[Blame]
    shares: Mapping[str, float]
    ranges: Mapping[str, Range]
    if_right: Mapping[str, Range]
    missed: Range = (0.0, 1.0)
    false_alarms: Range = (0.0, 1.0)


def estimate_blame(failures: Sequence[Failure], helped: Sequence[Helped] = (), *, seed: int = 0) -> BlameEstimate:
    """The share of the blame of every predictor, and how sure that is.

    Args:
        failures: Failed executions of one program: each graph, and call id -> gradient of a sweep over it.
        helped: For each of them call id -> whether the answer became better when that call's output was
            changed, of the calls where that was tried; empty where it was not tried at all.
        seed: Of the draws.
    """
    if not failures:
        return BlameEstimate([], {}, {}, {})
    pooled = pool_blame(failures, helped)
    shares = mean_shares([one.by_predictor(graph) for one, (graph, _) in zip(pooled, failures, strict=True)])
    known = arranged(judgements(failures, helped))
    drawn = list(_draws(known, len(failures), seed))
    ranges = {
        name: _range([one.shares[:, at] for one in drawn], shares[name]) for at, name in enumerate(known.predictors)
    }
    missed, false_alarms = (_range([one.errors[:, which] for one in drawn]) for which in (0, 1))
    if_right = {name: range_of(share, len(failures)) for name, share in shares.items()}
    return BlameEstimate(pooled, shares, ranges, if_right, missed, false_alarms)


def _range(draws: Sequence[Array], share: float | None = None) -> Range:
    """The middle 95 % of draws, rounded outwards: a share of nothing is then within. What is shown is within, too."""
    import numpy as np

    low, high = np.quantile(np.concatenate(draws), [0.025, 0.975])
    within = (low, high) if share is None else (min(low, share), max(high, share))
    return float(np.floor(within[0] * 100 + 1e-9) / 100), float(np.ceil(within[1] * 100 - 1e-9) / 100)


def range_of(share: float, count: int) -> Range:
    """Where a share lies that was found in so many failures, each of them read right: Jeffreys' interval."""
    from scipy.stats import beta

    low, high = beta.ppf([0.025, 0.975], share * count + 0.5, (1 - share) * count + 0.5)
    return _range([[low, high]], share)


@dataclass(frozen=True)
class _Draw:
    """[c, p] Shares of the blame; [c, 2] misses and false alarms among the judgements of these failures."""

    shares: Array
    errors: Array


def _draws(known: Failures, count: int, seed: int) -> Iterator[_Draw]:
    import numpy as np

    rng = np.random.default_rng(seed)
    sampler = _Sampler(known, rng)
    order = rng.permutation(count)
    told = np.zeros(count, bool)
    for size in np.ceil(np.geomspace(1, count, GROWING)).astype(int):
        new = np.zeros(count, bool)
        new[order[:size]] = True
        sampler.select(new & ~told)
        told = new
        sampler.learn(sampler.paths(told))
    for number in range(KEPT * APART):
        seen = sampler.paths(told)
        if number % APART == 0:
            # Each share beside all others together: a prior over many predictors at once would hide the large ones.
            several = len(known.predictors) > 1
            shares = rng.beta(seen.kept + 0.5, count - seen.kept + 0.5) if several else seen.kept / count
            totals = seen.truth.sum(axis=2)
            yield _Draw(shares, rng.beta(seen.truth[:, :, 1] + 0.5, totals - seen.truth[:, :, 1] + 0.5))
        sampler.learn(seen)


class _Counts:
    """What one draw of all paths counts.

    kept: [c, p] failures whose blame stayed with a predictor; misled, lured: [c, e] by which source, in truth and
    where readers were astray; open_to: [c, e] how long each could have, in the time that `_Sampler._waited` draws;
    judged: [2, 2, c, e] of what was named and of what was not, right and wrong judgements; truth: [c, 2, 2] the same
    of what was at fault; astray: [2, c] seen and astray; checks: [2, 2, c] of calls off the path and on it, changes
    that helped not and that helped.
    """

    def __init__(self, sets: int, pairs: int, predictors: int) -> None:
        import numpy as np

        self.kept = np.zeros((sets, predictors))
        self.misled, self.lured, self.open_to = (np.zeros((sets, pairs)) for _ in range(3))
        self.judged, self.truth = np.zeros((2, 2, sets, pairs)), np.zeros((sets, 2, 2))
        self.astray, self.checks = np.zeros((2, sets)), np.zeros((2, 2, sets))


class _Sampler:
    """The chains' present state, and how it moves on; it begins with what is presumed."""

    def __init__(self, known: Failures, rng: Array) -> None:
        import numpy as np

        self.known, self.rng = known, rng
        pairs = len(known.pairs)
        self.same = known.readers if pairs else np.zeros((0, 0))
        # In sum one failure's worth for each reader: with more, many sources would seem to have equal shares.
        self.prior = 1 / self.same.sum(axis=1) if pairs else np.zeros(0)
        self.varying = np.zeros(pairs, bool)
        """[e] Whether the reading predictor does not always read the same ones."""
        for reader in (reader for one in known.structures for reader in one.readers.values()):
            mine = self.same[reader.pairs[0]] > 0
            self.varying |= mine & (len(reader.pairs) < mine.sum())
        levels = np.repeat(rng.beta(*RATES, size=(2, CHAINS, 1)), pairs, axis=2)
        self.misses, self.alarms = np.clip(levels, 0.02, 0.98)
        self.learn(_Counts(CHAINS, pairs, len(known.predictors)))

    def select(self, new: Array) -> None:
        """Draw the chains anew, by how likely they find what was said of failures that they were not told of."""
        import numpy as np

        if not new.any():
            return
        at = self._assumed()
        found = np.zeros(CHAINS)
        for one in self.known.structures:
            found += one.flow(at, self._one).likelihood @ new[one.rows].astype(float)
        weights = np.exp(found - found.max())
        places = (np.arange(CHAINS) + self.rng.random()) / CHAINS
        kept = np.minimum(np.searchsorted(np.cumsum(weights) / weights.sum(), places), CHAINS - 1)
        for name in ("usual", "lure", "misses", "alarms", "astray", "check_misses", "check_alarms"):
            setattr(self, name, getattr(self, name)[kept])

    def _assumed(self) -> Assumptions:
        import numpy as np

        chances = np.stack([1 - self.check_alarms, self.check_alarms], axis=1)
        return Assumptions(
            usual=self.usual,
            # An accusation never speaks for innocence: without that, right and wrong could change places.
            accused=np.maximum(0, np.log((1 - self.misses) / self.alarms)),
            cleared=np.minimum(0, np.log(self.misses / (1 - self.alarms))),
            astray=self.astray,
            lure=self.lure,
            checks=np.stack([self.check_misses, 1 - self.check_misses], axis=1) / chances,
            alarms=self.alarms,
            chances=chances,
        )

    def paths(self, told: Array) -> _Counts:
        """Draw where the blame of the failures went that the chains were told of."""
        at = self._assumed()
        counts = _Counts(CHAINS, len(self.known.pairs), len(self.known.predictors))
        scale = self.rng.exponential(size=self.usual.shape)[:, self.same.argmax(axis=1)] if self.varying.any() else None
        for one in self.known.structures:
            flow, mine = one.flow(at, self._one), told[one.rows, None].astype(float)
            for call, predictor in enumerate(one.predictors):
                counts.kept[:, predictor] += flow.kept[:, :, call] @ mine[:, 0]
            for on_path, passing in ((0, 1 - flow.received), (1, flow.received)):
                for which, value in ((0, -1), (1, 1)):
                    counts.checks[on_path, which] += (passing * mine * (one.helped == value)).sum(axis=(1, 2))
            for call in flow.left:
                self._count(counts, one.readers[call], flow.left[call] * mine, flow.judged[call])
                if scale is not None:
                    self._waited(counts, one.readers[call], flow.left[call] * mine, scale)
        return counts

    def _count(self, counts: _Counts, reader: Reader, left: Array, judged: tuple[Array, Array]) -> None:
        """Count what a reader said of its sources, where it was on the path and said something."""

        at = left * reader.asked[:, None]
        seen = self.rng.random(at.shape) < judged[0]
        astray = (at * ~seen).sum(axis=2, keepdims=True) * self._one(judged[1])
        named = at * seen + astray
        asked = at.sum(axis=2, keepdims=True)
        counts.misled[:, reader.pairs] += at.sum(axis=1)
        counts.lured[:, reader.pairs] += astray.sum(axis=1)
        counts.astray += (at * seen).sum(axis=(1, 2)), astray.sum(axis=(1, 2))
        for truly, (right, wrong) in enumerate(((reader.accused, reader.cleared), (reader.cleared, reader.accused))):
            for one, judgement in enumerate((right, wrong)):
                counts.judged[truly, one][:, reader.pairs] += (abs(truly * asked - named) * judgement).sum(axis=1)
                counts.truth[:, truly, one] += (abs(truly * asked - at) * judgement).sum(axis=(1, 2))

    def _waited(self, counts: _Counts, reader: Reader, left: Array, scale: Array) -> None:
        """Count how long each source was there to mislead: what is seldom read is not rare where it is.

        Were each source to mislead after a time of its own, the first would be drawn in proportion to what is usual
        among those that are there; given these times what is usual has a gamma distribution (Caron and Doucet 2012).
        """
        if self.varying[reader.pairs[0]]:
            passed = (left * reader.asked[:, None]).sum(axis=(1, 2))
            speed = (self.usual * scale)[:, reader.pairs].sum(axis=1)
            counts.open_to[:, reader.pairs] += (self.rng.standard_gamma(passed) / speed)[:, None]

    def learn(self, seen: _Counts) -> None:
        """Draw what the paths say of the program, of the reader and of the checks."""
        import numpy as np

        rng = self.rng
        self.usual, self.lure = self._shares(self.prior + seen.misled, seen.open_to), self._shares(1 + seen.lured)
        self.astray = np.clip(rng.beta(ASTRAY[0] + seen.astray[1], ASTRAY[1] + seen.astray[0]), _LEAST, 1 - _LEAST)
        self.misses = self._rates(self.misses, *seen.judged[0])
        self.alarms = self._rates(self.alarms, *seen.judged[1])
        (vain_off, helped_off), (vain_on, helped_on) = seen.checks
        prior = CHECK_WEIGHT * np.array([CHECK_MISSES, 1 - CHECK_MISSES, CHECK_ALARMS, 1 - CHECK_ALARMS])
        self.check_misses = np.clip(rng.beta(prior[0] + vain_on, prior[1] + helped_on), _LEAST, 1 - _LEAST)
        self.check_alarms = np.clip(rng.beta(prior[2] + helped_off, prior[3] + vain_off), _LEAST, 1 - _LEAST)

    def _rates(self, now: Array, right: Array, wrong: Array) -> Array:
        """Each source's share of wrong judgements, given the others': the level and how alike they are on a grid."""
        import numpy as np
        from scipy.special import gammaln

        levels = np.linspace(0.02, 0.98, 25)
        wrongs, rights = (np.outer(side, ALIKE).ravel() for side in (levels, 1 - levels))
        prior = (RATES[0] - 1) * np.log(levels) + (RATES[1] - 1) * np.log(1 - levels)
        fit = np.outer(np.log(now).sum(axis=1), wrongs - 1) + np.outer(np.log1p(-now).sum(axis=1), rights - 1)
        fit += now.shape[1] * (gammaln(wrongs + rights) - gammaln(wrongs) - gammaln(rights))
        drawn = (fit + np.repeat(prior, len(ALIKE)) + self.rng.gumbel(size=fit.shape)).argmax(axis=1)
        rates = self.rng.beta(wrongs[drawn, None] + wrong, rights[drawn, None] + right)
        return np.clip(rates, _LEAST, 1 - _LEAST)

    def _shares(self, weights: Array, open_to: Array | float = 0.0) -> Array:
        """Dirichlet draws, those of each reading predictor by themselves, by how long each source was there."""
        import numpy as np

        drawn = self.rng.gamma(weights) / (1 + open_to) + 1e-300
        return np.maximum(drawn / (drawn @ self.same), 1e-9)

    def _one(self, shares: Array) -> Array:
        """All to one place along the last axis, drawn by the shares."""
        import numpy as np

        at = (shares.cumsum(axis=-1) < self.rng.random((*shares.shape[:-1], 1))).sum(axis=-1)
        return np.eye(shares.shape[-1])[np.minimum(at, shares.shape[-1] - 1)]
