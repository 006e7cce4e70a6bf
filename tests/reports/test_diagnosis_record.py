"""A diagnosis round-trips through JSON and prints within one screen, whatever it is about."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import Diagnosis
from dspy_semantic_backprop._reports.diagnose.record import Check, Finding, PredictorBlame
from dspy_semantic_backprop._session.budget import Spent

texts = st.text(st.characters(codec="utf-8"), max_size=40)
words = st.one_of(
    texts, st.just("word " * 200), st.just("漢字" * 200), st.just("x" * 5000), st.just("\x1b[31m\n\tred\u202e")
)
ids = st.lists(st.integers(0, 10_000), max_size=6).map(tuple)
shares = st.floats(0, 1)
findings = st.lists(st.builds(Finding, words, ids, st.booleans()), max_size=3).map(tuple)
predictors = st.builds(
    PredictorBlame,
    words,
    shares,
    st.tuples(shares, shares),
    st.integers(0, 500),
    findings,
    st.integers(0, 9),
    st.integers(0, 9),
    st.booleans(),
)
checks = st.builds(
    Check,
    st.integers(0, 500),
    st.lists(texts, min_size=1, max_size=3).map(tuple),
    st.lists(texts, min_size=1, max_size=3).map(tuple),
    st.floats(-5, 5),
    st.none() | st.floats(-5, 5),
    st.integers(0, 99),
    words,
)
spent = st.dictionaries(
    st.sampled_from(["forward", "metric", "backward", "check", "reduce"]), st.builds(Spent, st.integers(0, 10**9))
)
diagnoses = st.builds(
    Diagnosis,
    examples=st.integers(0, 10**6),
    failures=st.integers(0, 10**6),
    missing=st.integers(0, 10**6),
    score=st.floats(-1e9, 1e9) | st.just(float("nan")),
    predictors=st.lists(predictors, max_size=10).map(tuple),
    traced=st.integers(0, 10**6),
    unknown=shares,
    checks=st.lists(checks, max_size=3).map(tuple),
    max_calls=st.integers(0, 10**6),
    spent=spent,
    seconds=st.floats(0, 1e7),
    notes=st.dictionaries(texts, st.integers(0, 99), max_size=3),
    warnings=st.lists(words, max_size=3).map(tuple),
)


def columns(line: str) -> int:
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in line)
    return len(line) + wide - sum(unicodedata.category(one) in ("Mn", "Me") for one in line)


@settings(max_examples=40, deadline=None)
@given(diagnoses)
def test_it_prints_within_24_lines_of_80_columns(diagnosis):
    lines = str(diagnosis).split("\n")
    assert len(lines) <= 24
    assert max(map(columns, lines)) <= 80
    assert not any(unicodedata.category(one) in ("Cc", "Cf", "Cs") for line in lines for one in line)


@settings(max_examples=15, deadline=None)
@given(diagnoses)
def test_it_round_trips_through_json(diagnosis):
    state = json.loads(json.dumps(diagnosis.to_dict()))
    again = Diagnosis.from_dict(state)
    assert json.dumps(again.to_dict()) == json.dumps(diagnosis.to_dict())
    assert str(again) == str(diagnosis)


@pytest.mark.parametrize(
    ("checked", "confirmed", "verdict"),
    [(0, 0, "unchecked"), (1, 1, "confirmed"), (4, 2, "confirmed"), (4, 1, "not confirmed"), (2, 0, "not confirmed")],
)
def test_verdicts(checked, confirmed, verdict):
    assert PredictorBlame("p", 0.5, checked=checked, confirmed=confirmed).verdict == verdict


def test_a_name_that_is_too_long_keeps_its_end():
    long = "layers[0].a_very_long_name_of_a_module_indeed.nodes[17]"
    printed = str(Diagnosis(2, 1, 0, 0.5, (PredictorBlame(long, 1.0),), 1))
    assert ".nodes[17]" in printed and "…" in printed


def test_what_does_not_fit_is_summed_up():
    many = tuple(PredictorBlame(f"predictor_{at}", 0.025) for at in range(40))
    printed = str(Diagnosis(50, 40, 0, 0.2, many, 40))
    assert "32 others with 80 % together" in printed


def test_failures_without_gradients_are_counted_and_say_why():
    for failures, said in ((1, "1 failure is left out"), (3, "3 failures are left out")):
        printed = str(Diagnosis(6, failures, 0, 0.5, (), 0))
        assert f"{said}: no gradients, since the model did not answer." in printed
