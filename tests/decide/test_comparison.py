"""Paired comparisons say what changed, how sure that is, and are not fooled by order, scale or looking early."""

from __future__ import annotations

import math

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop import SetupError
from dspy_semantic_backprop._decide.comparison import Comparison, Pair, classes_of
from dspy_semantic_backprop._decide.gate import (
    Confident,
    Verdict,
    accept_always,
    chance,
    confident,
    looks_of,
    strict,
    strictly_better,
)

RIGHT_WRONG = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
GRADED = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12)


def compared(scores) -> Comparison:
    return Comparison(tuple(Pair(at, float(old), float(new)) for at, (old, new) in enumerate(scores)))


def differing(fixes: int, regressions: int, same: int = 0) -> Comparison:
    return compared([(0, 1)] * fixes + [(1, 0)] * regressions + [(1, 1)] * same)


@given(RIGHT_WRONG)
def test_the_p_value_of_right_and_wrong_is_mcnemars_exact_one(scores):
    from scipy import stats

    fixes = sum(new and not old for old, new in scores)
    regressions = sum(old and not new for old, new in scores)
    one = compared(scores)
    assert (len(one.fixes), len(one.regressions)) == (fixes, regressions)
    exact = stats.binom.sf(fixes - 1, fixes + regressions, 0.5) if fixes + regressions else 1.0
    assert one.p_value == pytest.approx(exact)


@given(GRADED)
def test_of_graded_scores_the_order_and_the_metrics_unit_do_not_matter(scores):
    one = compared(scores)
    assert 0 < one.p_value <= 1
    assert compared(reversed(scores)).p_value == pytest.approx(one.p_value)
    assert one.gain > 0 or one.p_value > 0.5


@pytest.mark.parametrize("gate", [confident, strict])
@pytest.mark.parametrize("size", [12, 40])
def test_an_edit_that_helps_a_little_often_and_harms_much_seldom_is_no_gain(gate, size):
    """The mean of these differences is -0.01, and most of them are gains: they are by no means symmetric."""
    from scipy import stats

    rng = np.random.default_rng(size)
    runs, accepted = 300, 0
    for _ in range(runs):
        differences = np.where(rng.random(size) < 0.96, 0.02, -0.73) + rng.uniform(-0.005, 0.005, size)
        one = compared([(0.75, 0.75 + difference) for difference in differences])
        accepted += gate(one, 0) is Verdict.ACCEPT
    assert stats.binomtest(accepted, runs).proportion_ci(0.99).low <= gate.error


def test_a_plain_gain_of_graded_scores_is_found():
    rng = np.random.default_rng(0)
    old = rng.uniform(0.2, 0.4, 20)
    one = compared(list(zip(old, old + rng.uniform(0.2, 0.5, 20), strict=True)))
    assert strict(one, 0) is Verdict.ACCEPT and one.interval()[0] > 0.2


def grouped(scores, members: int) -> Comparison:
    return Comparison(
        tuple(Pair(at, float(old), float(new), f"document {at // members}") for at, (old, new) in enumerate(scores))
    )


@pytest.mark.parametrize("members", [4, 10])
def test_what_belongs_together_is_tested_as_one(members):
    """All examples of a document are right or wrong together: they are no more evidence than one of them."""
    from scipy import stats

    rng = np.random.default_rng(members)
    runs, level, found, naive = 300, 0.05, 0, 0
    for _ in range(runs):
        documents = rng.random((40 // members, 2)) < 0.5
        scores = [tuple(one) for one in documents for _ in range(members)]
        found += grouped(scores, members).p_value <= level
        naive += compared(scores).p_value <= level
    assert stats.binomtest(found, runs).proportion_ci(0.99).low <= level < stats.binomtest(naive, runs).statistic


def test_groups_of_one_change_nothing():
    scores = [(0, 1)] * 6 + [(1, 0), (1, 1)]
    assert grouped(scores, 1).p_value == compared(scores).p_value
    assert grouped(scores, 1).interval() == compared(scores).interval()


def test_the_interval_of_grouped_examples_is_as_wide_as_the_groups_are_few():
    scores = [(0, 1)] * 8 + [(0, 0)] * 8 + [(0, 1)] * 8 + [(1, 0)] * 8
    alone, together = compared(scores).interval(), grouped(scores, 8).interval()
    assert together[1] - together[0] > alone[1] - alone[0]


def test_groups_that_all_gain_the_same_are_as_sure_as_they_are_many():
    few, many = grouped([(0, 1)] * 40, 8).interval(), grouped([(0, 1)] * 40, 2).interval()
    assert 0 < few[0] < many[0] < 1 == few[1] == many[1]


@given(RIGHT_WRONG, st.floats(0.1, 1000))
def test_neither_order_nor_the_metrics_scale_matters(scores, scale):
    one = compared(scores)
    other = compared([(old * scale, new * scale) for old, new in reversed(scores)])
    assert other.p_value == pytest.approx(one.p_value)
    assert other.gain == pytest.approx(one.gain * scale)
    assert confident(other, 0) is confident(compared(list(reversed(scores))), 0)


@given(RIGHT_WRONG)
def test_the_interval_holds_the_gain_and_agrees_with_the_test(scores):
    one = compared(scores)
    low, high = one.interval(0.9)
    assert low - 1e-9 <= one.gain <= high + 1e-9
    assert (low > 0) == (one.p_value < 0.05)


def test_the_interval_of_graded_scores_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(150):
        old = rng.uniform(0, 1, 40)
        one = compared(list(zip(old, np.clip(old + rng.normal(0.1, 0.2, 40), -9, 9), strict=True)))
        low, high = one.interval(0.9)
        hits += low <= 0.1 <= high
    assert 0.8 <= hits / 150 <= 0.97


def test_fixes_and_regressions_are_named_also_by_class():
    examples = {
        at: dspy.Example(question=f"q{at}", label=["true", "false"][at % 2]).with_inputs("question") for at in range(8)
    }
    one = Comparison(tuple(Pair(at, float(at in (0, 1)), float(at in (1, 2, 4))) for at in range(8)))
    assert (one.fixes, one.regressions) == ((2, 4), (0,))
    parts = one.by_class(classes_of(examples))
    assert {name: (len(part), part.fixes, part.regressions) for name, part in parts.items()} == {
        "true": (4, (2, 4), (0,)),
        "false": (4, (), ()),
    }


@pytest.mark.parametrize("labels", [[f"answer {at}" for at in range(8)], ["one"] * 8])
def test_labels_that_are_no_classes_make_none(labels):
    examples = {at: dspy.Example(question="q", label=one).with_inputs("question") for at, one in enumerate(labels)}
    assert classes_of(examples) == {}


def test_of_nothing_there_is_no_gain_and_no_proof():
    nothing = Comparison(())
    assert (nothing.gain, nothing.p_value, nothing.interval()) == (0.0, 1.0, (-math.inf, math.inf))
    assert math.isnan(nothing.before)
    assert confident(nothing, 0) is Verdict.REJECT


@pytest.mark.parametrize(
    ("fixes", "regressions", "said"),
    [
        (2, 0, {"confident": True, "strict": False, ">": True}),
        (3, 2, {"confident": False, "strict": False, ">": True}),
        (5, 0, {"confident": True, "strict": True, ">": True}),
        (0, 0, {"confident": False, "strict": False, ">": False}),
        (2, 2, {"confident": False, "strict": False, ">": False}),
        (9, 3, {"confident": True, "strict": False, ">": True}),
        (0, 5, {"confident": False, "strict": False, ">": False}),
    ],
)
def test_what_each_gate_accepts(fixes, regressions, said):
    one = differing(fixes, regressions)
    gates = {"confident": confident, "strict": strict, ">": strictly_better}
    assert {name: gate(one, 0) is Verdict.ACCEPT for name, gate in gates.items()} == said


def test_before_the_last_example_the_published_gates_ask_for_more():
    assert strictly_better(differing(5, 0), 3) is Verdict.MORE
    assert accept_always(differing(0, 5), 3) is Verdict.MORE
    assert accept_always(differing(0, 5), 0) is Verdict.ACCEPT


def test_a_clear_case_is_decided_early_and_an_open_one_is_not():
    assert confident(differing(20, 0, 5), 75) is Verdict.ACCEPT
    assert confident(differing(0, 20, 5), 75) is Verdict.REJECT
    assert confident(differing(3, 2, 20), 75) is Verdict.MORE


@given(RIGHT_WRONG, st.integers(0, 60))
def test_what_was_decided_stays_decided_whenever_one_looks(scores, more):
    """A verdict on some examples is the verdict on any more of them: looking often changes nothing."""
    size = len(scores) + more
    whole = [*scores, *[(True, False)] * more]
    first = confident(compared(scores), more)
    if first is not Verdict.MORE:
        assert confident(compared(whole), 0) is first
    assert confident(compared(whole), 0) is not Verdict.MORE
    assert looks_of(confident, size)[-1] == size


@pytest.mark.parametrize("gate", [confident, Confident(0.2), strict])
@pytest.mark.parametrize("size", [12, 40, 100])
def test_an_edit_without_effect_passes_no_more_often_than_stated_though_looked_at_after_every_example(gate, size):
    from scipy import stats

    rng = np.random.default_rng(size)
    runs, accepted = 300, 0
    for _ in range(runs):
        old, new = rng.random(size) < 0.7, rng.random(size) < 0.7
        one = compared(list(zip(old, new, strict=True)))
        for count in range(1, size + 1):
            verdict = gate(one.first(count), size - count)
            if verdict is not Verdict.MORE:
                break
        accepted += verdict is Verdict.ACCEPT
    # The stated rate lies above the lower end of what was measured.
    assert stats.binomtest(accepted, runs).proportion_ci(0.99).low <= gate.error


def test_the_predicted_chance_is_what_then_happens():
    from scipy import stats

    rng = np.random.default_rng(1)
    seen, left, level = differing(4, 2, 14), 40, 0.2
    wins = 0
    for _ in range(4000):
        differ = rng.binomial(left, rng.beta(7, 15))
        fixes = rng.binomial(differ, rng.beta(5, 3))
        wins += stats.binom.sf(4 + fixes - 1, 6 + differ, 0.5) <= level
    assert chance(seen, left, level) == pytest.approx(wins / 4000, abs=0.03)


@pytest.mark.parametrize("error", [0, 1, -0.1, True, "a lot", math.nan])
def test_an_error_that_is_none_is_refused(error):
    with pytest.raises(SetupError, match="error must be a number above 0"):
        Confident(error)


@pytest.mark.parametrize("looks", [(), (0.5,), (0.5, 0.5, 1.0), (0.0, 1.0), (1.0, 0.5)])
def test_looks_that_are_none_are_refused(looks):
    with pytest.raises(SetupError, match="looks must be rising"):
        Confident(0.2, looks)


def test_other_examples_cannot_be_compared():
    from dspy_semantic_backprop._evaluate.outcome import Failed

    one, other = Failed(0, dspy.Example(), "gone"), Failed(1, dspy.Example(), "gone")
    assert len(Comparison.of([one], [one])) == 0
    with pytest.raises(ValueError, match="different examples"):
        Comparison.of([one], [other])
