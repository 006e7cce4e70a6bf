"""A pre-flight and a placebo comparison print within one screen and round-trip, whatever is in them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop import Placebo, Preflight
from dspy_semantic_backprop._decide.records import Paired
from dspy_semantic_backprop._reports.placebo import Arm
from dspy_semantic_backprop._reports.preflight.record import Attempt, Detectable, Noise
from dspy_semantic_backprop._session.budget import Spent
from dspy_semantic_backprop._session.projection import Projection
from dspy_semantic_backprop._terminal import columns

words = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.sampled_from(["word " * 200, "漢字" * 200, "x" * 5000, "\x1b[31m\n\tred\u202e"]),
)
counts, points = st.integers(0, 10**7), st.floats(-1e6, 1e6)
pairs = st.builds(
    Paired,
    counts,
    points,
    points,
    points,
    st.tuples(points, points),
    st.floats(0, 1),
    counts,
    counts,
)
spents = st.dictionaries(st.sampled_from(["forward", "noise", "headroom"]), st.builds(Spent, counts, counts, counts))
preflights = st.builds(
    Preflight,
    recommendation=st.sampled_from(["go", "more examples first", "no headroom", "too noisy"]),
    reason=words,
    examples=counts,
    missing=counts,
    score=points,
    best=points,
    by_chance=points,
    noise=st.builds(Noise, counts, counts, counts, points, points, points, counts, points, st.booleans()),
    attempts=st.lists(st.builds(Attempt, words, st.none() | pairs), max_size=3).map(tuple),
    detectable=st.builds(
        Detectable, counts, counts, st.none() | points, st.none() | points, st.none() | counts, st.none() | counts
    ),
    projection=st.builds(Projection, counts, counts, counts, counts, st.none() | counts, st.none() | points),
    spent=spents,
    seconds=st.floats(0, 1e6),
    warnings=st.lists(words, max_size=6).map(tuple),
)
arms = st.integers(1, 3).flatmap(
    lambda runs: st.builds(
        Arm,
        words,
        st.tuples(*[points] * runs),
        st.tuples(*[st.booleans()] * runs),
        st.tuples(*[st.builds(Spent, counts)] * runs),
        pairs,
        pairs,
    )
)
placebos = st.builds(
    Placebo,
    counts,
    points,
    st.lists(counts, min_size=1, max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(["calls", "usd"]), points),
    st.lists(arms, min_size=1, max_size=6).map(tuple),
    spents,
    st.floats(0, 1e6),
    st.lists(words, max_size=6).map(tuple),
)


def fits(text: str) -> bool:
    lines = text.split("\n")
    return len(lines) <= 24 and all(columns(line) <= 80 for line in lines)


@given(preflights)
def test_a_preflight_prints_within_a_screen_and_round_trips(found):
    assert fits(str(found))
    assert found.recommendation.upper() in str(found)
    assert Preflight.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@given(placebos)
def test_a_placebo_prints_within_a_screen_and_round_trips(found):
    assert fits(str(found))
    assert Placebo.from_dict(json.loads(json.dumps(found.to_dict()))) == found
