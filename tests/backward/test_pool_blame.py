"""Blame pooled over failures: sums to 1, agrees with single blame where nothing errs, outvotes what does."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import ComputationGraph, Direction, pool_blame

from .test_blame import FINE, HINTS, MAJOR, MINOR, MISSING, blame, gradients, graph_of

CHAIN = graph_of("abcdef", ["ab", "bc", "cd", "de", "ef", "f>"])
SAID = st.sampled_from([FINE, MISSING, MAJOR, MINOR])


def mean(rows):
    return {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}


def shares(cases):
    return mean([one.by_predictor(graph) for one, (graph, _) in zip(pool_blame(cases), cases, strict=True)])


@settings(deadline=None)
@given(st.lists(st.tuples(SAID, SAID, SAID), min_size=1, max_size=6))
def test_every_failure_has_one_whole_blame(said):
    cases = [(HINTS, gradients(HINTS, {">f": MAJOR, "fa": a, "fb": b}, {"f": own})) for a, b, own in said]
    for one in pool_blame(cases):
        assert sum(one.shares.values()) == pytest.approx(1.0)
        assert min(one.shares.values()) >= 0


@pytest.mark.parametrize("guilty", "abf")
def test_where_all_say_the_same_it_is_the_blame_of_each(guilty):
    said = {">f": MAJOR, "fa": FINE, "fb": FINE, f"f{guilty}": MAJOR}
    own = {"f": MAJOR if guilty == "f" else FINE}
    said.pop("ff", None)
    case = (HINTS, gradients(HINTS, said, own))
    single = blame(*case).by_predictor(HINTS)
    assert shares([case] * 4) == pytest.approx(single, abs=1e-4)


def test_a_branch_that_is_seldom_taken_is_blamed_where_it_is_as_much_as_what_is_always_there():
    taken = [graph_of(f"r{branch}f", ["rf", f"{branch}f", "f>"]) for branch in "bbbc"]
    told = [{">f": MAJOR, "fr": MAJOR, f"f{branch}": MAJOR} for branch in "bbbc"]
    found = pool_blame([(one, gradients(one, said, {"f": MAJOR})) for one, said in zip(taken, told, strict=True)])
    for one in found:
        assert list(one.shares.values()) == pytest.approx([1 / 3] * 3, abs=0.12)


def test_checks_of_which_none_helps_rule_nobody_out():
    case = (HINTS, gradients(HINTS, {">f": MAJOR, "fa": MAJOR, "fb": MINOR}, {"f": MINOR}))

    def first(vain, helped):
        tried = [{"a[0]": False}] * vain + [{"b[0]": True}] * helped
        found = pool_blame([case] * 16, [*tried, *[{}] * (16 - len(tried))])
        return statistics.fmean(one.shares["a[0]"] for one in found)

    assert first(0, 0) > first(8, 0) > 0.5 and first(8, 8) < first(8, 0) / 2


def test_nothing_said_leaves_the_blame_at_the_answer():
    case = (CHAIN, gradients(CHAIN, {">f": MAJOR}))
    assert shares([case] * 3) == pytest.approx({**dict.fromkeys("abcde", 0.0), "f": 1.0})


def test_a_no_change_needed_in_one_execution_counts_against_what_another_accused():
    torn = (HINTS, gradients(HINTS, {">f": MAJOR, "fa": MINOR, "fb": MINOR}, {"f": FINE}))
    fine = (HINTS, gradients(HINTS, {">f": MAJOR, "fa": FINE, "fb": MISSING}, {"f": MISSING}))
    found = shares([torn, fine])
    assert found["a"] < found["b"] / 2


def test_a_call_that_was_never_accused_is_less_to_blame_than_one_of_which_nothing_was_said():
    # Both hints were told nothing but "no change needed" or nothing at all: only the former is evidence.
    case = (HINTS, gradients(HINTS, {">f": MAJOR, "fa": FINE}, {"f": MISSING}))
    found = shares([case] * 2)
    assert found["a"] < found["b"] / 4


def test_an_execution_that_failed_before_its_first_call_blames_nobody_and_changes_nothing():
    case = (HINTS, gradients(HINTS, {">f": MAJOR, "fa": MAJOR, "fb": FINE}, {"f": FINE}))
    first, empty, last = pool_blame([case, (ComputationGraph((), (), error="no thread"), {}), case])
    assert empty.shares == {}
    assert [first, last] == pool_blame([case, case])


def test_two_causes_stay_apart():
    one = (HINTS, gradients(HINTS, {">f": MAJOR, "fa": MAJOR, "fb": FINE}, {"f": FINE}))
    other = (HINTS, gradients(HINTS, {">f": MAJOR, "fa": FINE, "fb": MAJOR}, {"f": FINE}))
    first, *_, last = pool_blame([one] * 3 + [other] * 3)
    assert first.shares["a[0]"] > 0.9
    assert last.shares["b[0]"] > 0.9


def noisy_sweep(rng: random.Random, guilty: str, noise: float):
    """What readers that err say along a chain: a wrong "fine" ends the path."""
    said: dict[str, Direction] = {">f": MAJOR}
    own: dict[str, Direction] = {}
    for reader, member in zip("fedcb", "edcba", strict=True):
        true_member = MAJOR if guilty <= member else FINE
        true_own = MAJOR if reader == guilty else FINE
        own[reader] = true_own if rng.random() >= noise else (FINE if true_own is MAJOR else MAJOR)
        said[f"{reader}{member}"] = true_member if rng.random() >= noise else (FINE if true_member is MAJOR else MAJOR)
        if said[f"{reader}{member}"] is FINE:
            break
    return gradients(CHAIN, said, own)


def test_readers_that_err_in_three_of_ten_judgements_are_outvoted():
    right = single = 0
    for number in range(60):
        rng = random.Random(number)
        guilty = rng.choice("abcdef")
        cases = [(CHAIN, noisy_sweep(rng, guilty, 0.3)) for _ in range(12)]
        alone = mean([blame(*case).by_predictor(CHAIN) for case in cases])
        together = shares(cases)
        right += max(together, key=together.__getitem__) == guilty
        single += max(alone, key=alone.__getitem__) == guilty
    assert right >= 0.75 * 60
    assert right > single
