"""A pre-flight and a placebo comparison print within one screen and round-trip, whatever is in them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop import Placebo, Preflight
from tests.reports.test_diagnosis_record import columns

words = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.sampled_from(["word " * 200, "漢字" * 200, "x" * 5000, "\x1b[31m\n\tred\u202e"]),
)
counts, points, shares = st.integers(0, 10**7), st.floats(-1e6, 1e6), st.floats(0, 1)


def record(**parts: st.SearchStrategy) -> st.SearchStrategy:
    return st.fixed_dictionaries(parts)


amounts = record(calls=counts, prompt_tokens=counts, completion_tokens=counts)
spents = st.dictionaries(st.sampled_from(["forward", "noise", "headroom"]), amounts)
pairs = record(
    examples=counts,
    before=points,
    after=points,
    gain=points,
    interval=st.lists(points, min_size=2, max_size=2),
    p_value=shares,
    fixes=counts,
    regressions=counts,
)
noises = record(
    runs=counts,
    examples=counts,
    changed=counts,
    rate=points,
    deviation=points,
    differing=points,
    tries=counts,
    luck=points,
    cold=st.booleans(),
)
preflights = record(
    recommendation=st.sampled_from(
        ["go", "more examples first", "no headroom", "nothing helped", "nothing to learn", "too noisy"]
    ),
    reason=words,
    examples=counts,
    missing=counts,
    score=points,
    best=points,
    by_chance=points,
    noise=noises,
    attempts=st.lists(record(name=words, result=st.none() | pairs), max_size=3),
    detectable=record(
        decide=counts,
        fresh=counts,
        even=st.none() | points,
        likely=st.none() | points,
        five=st.none() | counts,
        ten=st.none() | counts,
    ),
    projection=record(
        steps=counts,
        executions=counts,
        calls=counts,
        own=counts,
        tokens=st.none() | counts,
        usd=st.none() | points,
        seconds=st.none() | points,
    ),
    spent=spents,
    seconds=st.floats(0, 1e6),
    warnings=st.lists(words, max_size=6),
)
arms = st.integers(1, 3).flatmap(
    lambda runs: record(
        name=words,
        scores=st.lists(points, min_size=runs, max_size=runs),
        returned=st.lists(st.booleans(), min_size=runs, max_size=runs),
        spent=st.lists(amounts, min_size=runs, max_size=runs),
        gain=pairs,
        behind=pairs,
    )
)
placebos = record(
    examples=counts,
    score=points,
    seeds=st.lists(counts, min_size=1, max_size=3),
    budget=st.dictionaries(st.sampled_from(["calls", "usd"]), points),
    arms=st.lists(arms, min_size=1, max_size=6),
    spent=spents,
    seconds=st.floats(0, 1e6),
    warnings=st.lists(words, max_size=6),
)


def fits(text: str) -> bool:
    lines = text.split("\n")
    return len(lines) <= 24 and all(columns(line) <= 80 for line in lines)


def holds(told, given) -> bool:
    """Whether JSON values are those that were given, besides parts that were left to their defaults."""
    if isinstance(given, dict):
        return all(name in told and holds(told[name], value) for name, value in given.items())
    if isinstance(given, list):
        return len(told) == len(given) and all(map(holds, told, given))
    return told == given


@given(preflights)
def test_a_preflight_prints_within_a_screen_and_round_trips(state):
    found = Preflight.from_dict(state)
    assert fits(str(found))
    assert found.recommendation.upper() in str(found)
    told = json.loads(json.dumps(found.to_dict()))
    assert Preflight.from_dict(told) == found and holds(told, state)


@given(placebos)
def test_a_placebo_prints_within_a_screen_and_round_trips(state):
    found = Placebo.from_dict(state)
    assert fits(str(found))
    told = json.loads(json.dumps(found.to_dict()))
    assert Placebo.from_dict(told) == found and holds(told, state)
