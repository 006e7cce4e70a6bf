"""Gradients as values: JSON, truth, text."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import (
    Direction,
    Message,
    Semantic,
    TextGradient,
    accumulate,
    bounded,
    drop,
    join,
    silent,
    the_answers_only,
    to_another,
    to_its_own,
)

directions = st.builds(
    Direction,
    st.text(),
    st.sampled_from(["change", "none", "missing"]),
    st.sampled_from(["none", "minor", "major"]),
    st.text(),
    st.none() | st.integers(0, 99),
    st.lists(st.text(), max_size=3).map(tuple),
    st.integers(1, 5),
)
gradients = st.builds(
    TextGradient,
    st.lists(st.builds(Message, st.text(), st.text(), st.text(), directions), max_size=4).map(tuple),
    st.none() | directions,
    st.none() | st.text(),
)


@settings(deadline=None)
@given(gradients)
def test_a_gradient_goes_through_json_and_back(gradient):
    assert TextGradient.from_dict(json.loads(json.dumps(gradient.to_dict()))) == gradient
    assert bool(gradient) == any(message.value.status == "change" for message in gradient.messages)
    assert isinstance(str(gradient), str)


@settings(deadline=None)
@given(gradients)
def test_a_gradient_can_be_pickled(gradient):
    assert pickle.loads(pickle.dumps(gradient)) == gradient


@pytest.mark.parametrize(
    "part",
    [Semantic(siblings=False), silent, bounded(16), join, drop, to_its_own, to_another, the_answers_only, accumulate],
)
def test_what_a_method_is_made_of_can_be_pickled_and_compared(part):
    assert pickle.loads(pickle.dumps(part)) == part
