"""Ranges of blame: they hold the true shares where the reader errs, narrow with checks, and say what they rest on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import (
    OUTPUT,
    Call,
    ComputationGraph,
    Direction,
    Edge,
    End,
    Message,
    TextGradient,
    estimate_blame,
)

CHANGE, FINE = Direction("Write something else."), Direction("", "none", "none")
HINTS = ("first", "second", "third")
NAMES = (*HINTS, "final")
READERS = {
    "misses half": lambda guilty, rng: guilty and rng.random() < 0.5,
    "accuses everybody": lambda guilty, rng: True,
    "errs in 30 %": lambda guilty, rng: guilty != (rng.random() < 0.3),
}


def graph() -> ComputationGraph:
    calls = tuple(
        Call(f"{name}[0]", name, 0, "", {}, {"y": name}, started=2 * at, ended=2 * at + 1)
        for at, name in enumerate(NAMES)
    )
    ends = [(name, End("final[0]", "x")) for name in HINTS] + [("final", End(OUTPUT, "y"))]
    return ComputationGraph(calls, tuple(Edge(End(f"{one}[0]", "y"), to, "data", "replay", 1.0) for one, to in ends))


GRAPH = graph()


def swept(accused: dict[str, bool]):
    """What the final step says of each hint and of its own instruction."""
    told = {name: [Message("final[0]", f"{name}[0]", "y", CHANGE if accused[name] else FINE)] for name in HINTS}
    told["final"] = [Message(OUTPUT, "final[0]", "y", CHANGE)]
    own = {"final": CHANGE if accused["final"] else FINE}
    return GRAPH, {f"{name}[0]": TextGradient(tuple(told[name]), own.get(name)) for name in NAMES}


def failed(shares: dict[str, float], kind: str, count: int, seed: int):
    """Failures by their true causes, as a reader of that kind reads them; and the causes."""
    rng = random.Random(seed)
    causes = rng.choices(NAMES, [shares[name] for name in NAMES], k=count)
    return [swept({name: READERS[kind](name == one, rng) for name in NAMES}) for one in causes], causes


UNEVEN = {"first": 0.65, "second": 0.25, "third": 0.1, "final": 0.0}


@pytest.mark.parametrize("checks", [0, 8])
@pytest.mark.parametrize("kind", READERS)
def test_ranges_hold_the_true_shares_where_the_reader_errs(kind, checks):
    held = asked = 0
    for seed in range(8):
        failures, causes = failed(UNEVEN, kind, 15, seed)
        rng = random.Random(seed)
        helped: list[dict[str, bool]] = [{} for _ in failures]
        for row in range(checks):
            name = HINTS[row % 3]
            helped[row][f"{name}[0]"] = rng.random() < (0.8 if causes[row] == name else 0.03)
        found = estimate_blame(failures, helped, seed=seed)
        held += sum(found.ranges[name][0] <= share <= found.ranges[name][1] for name, share in UNEVEN.items())
        asked += len(UNEVEN)
    assert held >= 0.85 * asked


def width(found) -> float:
    return sum(high - low for low, high in found.ranges.values()) / len(found.ranges)


def test_ranges_are_narrow_where_there_is_reason_to_be_sure():
    accused = [dict.fromkeys(NAMES, False) | {"second": True}] * 40
    failures = [swept(one) for one in accused]
    found = estimate_blame(failures)
    assert found.ranges["second"][0] > 0.5 and found.ranges["third"][1] < 0.25
    checked = estimate_blame(failures, [{"second[0]": True}] * 8 + [{}] * 32)
    assert width(checked) < width(found)
    low, high = found.if_right["second"]
    assert low > 0.9 and high == 1.0


def test_a_reader_that_accuses_everybody_tells_nothing_and_checks_do():
    failures = [swept(dict.fromkeys(NAMES, True)) for _ in range(20)]
    blind = estimate_blame(failures)
    assert all(low < 0.05 and high > 0.8 for low, high in blind.ranges.values())
    assert blind.false_alarms[0] > 0.7
    checks = [{"first[0]": True}] * 5 + [{"second[0]": False}] * 5 + [{"third[0]": False}] * 5 + [{}] * 5
    found = estimate_blame(failures, checks)
    assert found.ranges["first"][0] > 0.15
    assert max(found.shares, key=lambda name: found.shares[name]) == "first"


def test_checks_that_fail_take_blame_from_whom_the_reader_always_names():
    accused = dict.fromkeys(NAMES, False) | {"second": True}
    failures = [swept(accused) for _ in range(20)]
    found = estimate_blame(failures, [{"second[0]": False}] * 10 + [{}] * 10)
    assert found.ranges["second"][0] < 0.2


def test_what_nobody_was_asked_about_is_not_sure():
    graph, gradients = swept(dict.fromkeys(NAMES, False))
    unread = {name: TextGradient(one.messages if name == "final[0]" else ()) for name, one in gradients.items()}
    found = estimate_blame([(graph, unread)] * 15)
    assert found.shares["final"] == pytest.approx(1.0)
    assert found.ranges["final"][0] < 0.1


@settings(max_examples=8, deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, st.booleans())), min_size=1, max_size=12), st.integers(0, 9))
def test_ranges_hold_the_share_that_is_shown_and_follow_from_the_seed(accused, seed):
    failures = [swept(one) for one in accused]
    found = estimate_blame(failures, seed=seed)
    assert sum(found.shares.values()) == pytest.approx(1.0)
    for ranges in (found.ranges, found.if_right):
        for name, (low, high) in ranges.items():
            assert 0 <= low <= found.shares[name] + 1e-9 and found.shares[name] - 1e-9 <= high <= 1
    assert estimate_blame(failures, seed=seed) == found


def test_of_no_failures_nothing_is_known():
    found = estimate_blame([])
    assert (found.shares, found.ranges, found.missed) == ({}, {}, (0.0, 1.0))
