"""The statistics of reports: what varies by itself, which gains can be told from it, how sure blame is."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import (
    Commit,
    Comparison,
    Confident,
    Gated,
    Pair,
    Preflight,
    confident,
    strict,
    strictly_better,
)
from dspy_semantic_backprop._evaluate.outcome import score_range
from dspy_semantic_backprop._reports.preflight.noise import (
    Chance,
    Power,
    agreeing,
    chance,
    flips,
    lost,
    luck,
    reworded,
    step_of,
)
from dspy_semantic_backprop._reports.preflight.preflight import advise
from dspy_semantic_backprop._reports.preflight.record import Detectable, Noise

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
    assert luck(examples, Chance(2 * share * (1 - share), 1.0), tries) == pytest.approx(np.mean(gains), abs=0.02)
    assert luck(examples, Chance(0.0, 1.0), tries) == luck(0, Chance(0.5, 1.0), tries) == 0
    by = Chance(0.2, 1.0)
    assert luck(20, by, 1) < luck(20, by, 4) < luck(20, by, 16)
    assert luck(20, by, 4) < luck(20, by, 4, reached=0.25) < luck(20, by, 4, reached=0.05)


@pytest.mark.parametrize("failed", [0.0, 0.05, 0.3, 0.5])
def test_what_is_lost_by_chance_is_inferred_from_how_often_runs_differ(failed):
    assert lost(2 * failed * (1 - failed)) == pytest.approx(failed, abs=1e-6)


def test_a_mere_wording_breaks_what_it_mends():
    good, bad = compared(1, 1, 1, -1, 0, 0, 0, 0, 0, 0), compared(-1, -1, -1, -1, -1, 0, 0, 0, 0, 0)
    assert reworded([good, bad]) == pytest.approx(0.2)
    assert reworded([]) == 0


def test_chance_is_what_runs_or_edits_show_and_what_they_were_too_few_to_show():
    runs = flips([{0: 0.5, 1: 0.0}, {0: 0.51, 1: 0.0}])
    small = chance(runs, [], 1.0)
    assert (small.differing, small.size) == (0.5, pytest.approx(0.01))
    broken = chance(runs, [compared(0.4, -0.4, 0, 0)], 1.0)
    assert broken.spread == pytest.approx(2 * 0.4**2 / 4) and broken.differing == 0.5
    assert chance(flips([]), [], 2.0) == Chance(0.0, 2.0)
    least = small.at_least(49, 0.6)
    assert (least.differing, least.spread) == (0.5, pytest.approx(0.36 / 50))
    assert Chance(0.3, 1.0).at_least(49, 1.0).spread == pytest.approx(0.3)


def test_a_step_is_what_the_bad_examples_lack():
    assert step_of([1, 1, 0, 0], 1.0) == 1 and step_of([0, 0], 5.0) == 5
    assert step_of([1, *[0.01] * 20], 1.0) > 0.8


@given(st.none() | st.integers(1, 2000), st.floats(0.01, 1), st.integers(1, 500), st.none() | st.floats(0, 1))
def test_how_many_examples_it_takes_agrees_with_what_is_found_on_those_there_are(needed, gain, examples, likely):
    many = agreeing(needed, gain, examples, likely)
    assert many is None or (many <= examples) == (likely is not None and likely <= gain)


@pytest.mark.parametrize(
    ("differing", "size", "step"), [(0.4, 0.02, 0.8), (0.42, 0.02, 0.04), (0.0, 0.5, 0.5), (1, 9, 2)]
)
def test_never_less_than_one_example_is_asked_for(differing, size, step):
    power = Power(Gated(confident, Commit(fresh=0)), 0, Chance(differing, size), step)
    for needed in map(power.needed, (0.05, 0.1)):
        assert needed is None or needed >= 1


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
    power = Power(Gated(confident, commit), 7, Chance(differing, 1.0), 1.0)
    fresh = commit.kept(examples)
    even, likely = power.gains(examples - fresh, fresh)
    assert even is not None and likely is not None and 0 < even < likely
    rng = np.random.default_rng(99)
    for gain, often in ((even, 0.5), (likely, 0.8)):
        returned = [power._returned(examples - fresh, fresh, gain, rng) for _ in range(300)]
        assert np.mean(returned) == pytest.approx(often, abs=0.12)


def test_more_examples_find_smaller_gains_and_noise_hides_them():
    def likely(examples: int, differing: float) -> float:
        (gain,) = Power(Gated(confident, Commit(fresh=0)), 3, Chance(differing, 1.0), 1.0).gains(examples, 0, (0.8,))
        assert gain is not None
        return gain

    assert likely(120, 0.1) < likely(30, 0.1) < likely(30, 0.4)


def test_the_number_of_examples_that_is_asked_for_is_about_enough():
    commit = Commit()
    power = Power(Gated(confident, commit), 7, Chance(0.1, 1.0), 1.0)
    for gain in (0.05, 0.1):
        needed = power.needed(gain)
        assert needed is not None
        fresh = commit.kept(needed)
        (found,) = power.gains(needed - fresh, fresh, (0.8,))
        assert found == pytest.approx(gain, rel=0.35)


def test_what_a_gate_can_never_accept_is_not_found():
    assert Power(Gated(confident, Commit()), 3, Chance(0.0, 1.0), 1.0).gains(2, 0) == (None, None)
    assert Power(Gated(strict, Commit()), 3, Chance(0.0, 1.0), 1.0).gains(4, 0) == (None, None)
    assert Power(Gated(Confident(0.4), Commit()), 0, Chance(0.0, 1.0), 1.0).gains(0, 0) == (None, None)
    # The paper's rule takes any rise for a gain.
    found = Power(Gated(strictly_better, None), 3, Chance(0.0, 1.0), 1.0).gains(2, 0)
    assert all(gain is not None for gain in found)


shares = st.floats(0, 1)
graded = st.lists(st.tuples(shares, shares), min_size=1, max_size=24)


@settings(max_examples=60)
@given(shares, shares, st.lists(graded, max_size=3), shares, st.none() | shares, st.none() | st.integers(1, 5000))
def test_what_is_advised_agrees_with_what_is_shown(score, lost_share, scored, differing, even, needed):
    tried = [Comparison(tuple(Pair(at, *two) for at, two in enumerate(one))) for one in scored]
    noise = Noise(3, 16, 5, differing, 0.1, differing, 6, 0.1, cold=False)
    projection: Any = None
    found = Preflight(
        "", "", 16, 0, score, 1.0, lost_share * (1 - score), noise, (), Detectable(16, 0, even), projection
    )

    def lucky(examples: int, reached: float) -> float:
        return luck(examples, Chance(differing, 0.5), len(tried), reached=reached)

    advice, reason = advise(found, 1.0, tried, lucky, lambda gain: needed)
    helped = any(one.gain > max(0, lucky(len(one), 0.25)) for one in tried if one.gain == max(x.gain for x in tried))
    lasting = found.headroom - found.by_chance
    denied = "none of" in reason or "did not help" in reason
    assert denied == (advice == "nothing helped") and not (denied and helped)
    assert advice != "no headroom" or lasting <= 0.03
    assert (advice == "nothing helped") <= (lasting > 0.03)
    assert (advice == "go") <= (even is not None) and ("cheap candidate promises" in reason) <= helped
    asked = re.search(r"pass about ([\d,]+) examples", reason)
    assert (advice == "more examples first") == (asked is not None)
    assert asked is None or int(asked[1].replace(",", "")) > found.examples


def test_scores_in_points_of_any_size_are_found_in_points():
    (small,) = Power(Gated(confident, Commit()), 3, Chance(0.1, 1.0), 1.0).gains(30, 0, (0.8,))
    (large,) = Power(Gated(confident, Commit()), 3, Chance(0.1, 100.0), 100.0).gains(30, 0, (0.8,))
    assert small is not None and large == pytest.approx(100 * small, rel=1e-3)
