"""The statistics of reports: what varies by itself, which gains can be told from it, how sure blame is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop import Commit, Comparison, Confident, Gated, Pair, confident, strict, strictly_better
from dspy_semantic_backprop._evaluate.outcome import score_range
from dspy_semantic_backprop._reports.preflight.noise import Power, flips, lost, luck, reworded, size_of

scores = st.floats(-100, 100)
runs = st.lists(st.dictionaries(st.integers(0, 9), scores, max_size=8), max_size=5)


def compared(*differences: float) -> Comparison:
    return Comparison(tuple(Pair(number, 0.0, one) for number, one in enumerate(differences)))


def test_flips_are_counted_between_every_two_runs():
    found = flips([{0: 1.0, 1: 0.0, 2: 1.0}, {0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}])
    assert (found.examples, found.changed, found.size) == (2, 1, 1.0)
    assert found.rate == pytest.approx((0 + 2 / 3) / 2)
    # The one example that varies has the variance 1/3; the mean of two examples a quarter of it.
    assert found.deviation == pytest.approx((1 / 3) ** 0.5 / 2)


@given(runs)
def test_flips_of_any_runs_are_shares_and_none_of_equal_runs(some):
    found = flips(some)
    assert 0 <= found.rate <= 1 and 0 <= found.changed <= found.examples and found.deviation >= 0
    same = flips([some[0], some[0], some[0]]) if some else found
    assert not some or (same.rate, same.changed, same.size) == (0, 0, None)
    assert not some or same.deviation < 1e-9


def test_the_measured_deviation_is_that_of_the_mean():
    rng = np.random.default_rng(0)
    means, deviations = [], []
    for _ in range(300):
        drawn = rng.random((3, 40)) < 0.8
        means.append(drawn[0].mean())
        deviations.append(flips([dict(enumerate(run.astype(float))) for run in drawn]).deviation)
    assert np.mean(deviations) == pytest.approx(np.std(means), rel=0.15)


def test_luck_is_what_a_search_without_any_effect_seems_to_gain():
    rng = np.random.default_rng(1)
    share, examples, tries = 0.1, 20, 12
    gains = []
    for _ in range(3000):
        wrong = rng.random((tries + 1, examples)) < share
        gains.append((wrong[0].mean() - wrong[1:].mean(axis=1)).max())
    assert luck(examples, 2 * share * (1 - share), 1.0, tries) == pytest.approx(np.mean(gains), abs=0.02)
    assert luck(examples, 0.0, 1.0, tries) == luck(0, 0.5, 1.0, tries) == 0
    assert luck(20, 0.2, 1.0, 1) < luck(20, 0.2, 1.0, 4) < luck(20, 0.2, 1.0, 16)


@pytest.mark.parametrize("failed", [0.0, 0.05, 0.3, 0.5])
def test_what_is_lost_by_chance_is_inferred_from_how_often_runs_differ(failed):
    assert lost(2 * failed * (1 - failed)) == pytest.approx(failed, abs=1e-6)


def test_a_mere_wording_breaks_what_it_mends():
    good, bad = compared(1, 1, 1, -1, 0, 0, 0, 0, 0, 0), compared(-1, -1, -1, -1, -1, 0, 0, 0, 0, 0)
    assert reworded([good, bad]) == pytest.approx(0.2)
    assert reworded([]) == 0 and size_of([compared(0, 0)]) is None
    assert size_of([compared(0.5, -0.5, 0)]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("seen", "perfect", "low", "best", "known"),
    [
        ([0, 0.5], None, 0, 1, True),
        ([3, 87], None, 0, 87, False),
        ([-4, -1], None, -4, -1, False),
        ([3, 87], 100, 0, 100, True),
        ([1e6, 1e6 + 1], None, 0, 1e6 + 1, False),
        ([], None, 0, 1, True),
    ],
)
def test_the_best_score_is_one_or_stated_or_the_best_seen(seen, perfect, low, best, known):
    scale = score_range(seen, perfect)
    assert (scale.low, scale.best, scale.known) == (low, best, known) and scale.width > 0


@pytest.mark.parametrize("seen", [[0, 1e-4], [0.2, 0.201], [1e6, 1e6 + 1], [-1000, -999]])
def test_scores_that_lie_close_together_are_measured_by_each_other(seen):
    scale = score_range(seen)
    assert (scale.share(seen[0]), scale.share(seen[1])) == (0, pytest.approx(1))
    assert scale.unit == pytest.approx(seen[1] - seen[0])
    assert score_range([seen[0]] * 2).unit == score_range([seen[0]] * 2).width


@pytest.mark.parametrize(("examples", "differing"), [(20, 0.0), (40, 0.1), (100, 0.2)])
def test_a_gain_that_is_found_four_times_in_five_is_found_as_often(examples, differing):
    commit = Commit()
    power = Power(Gated(confident, commit), 7, differing, 1.0)
    fresh = commit.kept(examples)
    even, likely = power.gains(examples - fresh, fresh)
    assert even is not None and likely is not None and 0 < even < likely
    rng = np.random.default_rng(99)
    for gain, chance in ((even, 0.5), (likely, 0.8)):
        returned = [power._returned(examples - fresh, fresh, gain, rng) for _ in range(300)]
        assert np.mean(returned) == pytest.approx(chance, abs=0.12)


def test_more_examples_find_smaller_gains_and_noise_hides_them():
    def likely(examples: int, differing: float) -> float:
        (gain,) = Power(Gated(confident, Commit(fresh=0)), 3, differing, 1.0).gains(examples, 0, (0.8,))
        assert gain is not None
        return gain

    assert likely(120, 0.1) < likely(30, 0.1) < likely(30, 0.4)


def test_the_number_of_examples_that_is_asked_for_is_about_enough():
    commit = Commit()
    power = Power(Gated(confident, commit), 7, 0.1, 1.0)
    for gain, needed in zip((0.05, 0.1), power.needed((0.05, 0.1), commit.kept), strict=True):
        assert needed is not None
        fresh = commit.kept(needed)
        (found,) = power.gains(needed - fresh, fresh, (0.8,))
        assert found == pytest.approx(gain, rel=0.35)


def test_what_a_gate_can_never_accept_is_not_found():
    assert Power(Gated(confident, Commit()), 3, 0.0, 1.0).gains(2, 0) == (None, None)
    assert Power(Gated(strict, Commit()), 3, 0.0, 1.0).gains(4, 0) == (None, None)
    assert Power(Gated(Confident(0.4), Commit()), 0, 0.0, 1.0).gains(0, 0) == (None, None)
    # The paper's rule takes any rise for a gain.
    found = Power(Gated(strictly_better, None), 3, 0.0, 1.0).gains(2, 0)
    assert all(gain is not None for gain in found)


def test_scores_in_points_of_any_size_are_found_in_points():
    (small,) = Power(Gated(confident, Commit()), 3, 0.1, 1.0).gains(30, 0, (0.8,))
    (large,) = Power(Gated(confident, Commit()), 3, 0.1, 100.0).gains(30, 0, (0.8,))
    assert small is not None and large == pytest.approx(100 * small, rel=1e-3)
