"""A diagnosis round-trips through JSON and prints within one screen, whatever it is about."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import Diagnosis

texts = st.text(st.characters(codec="utf-8"), max_size=40)
words = st.one_of(
    texts, st.just("word " * 200), st.just("漢字" * 200), st.just("x" * 5000), st.just("\x1b[31m\n\tred\u202e")
)
counts, few, shares = st.integers(0, 10**6), st.integers(0, 9), st.floats(0, 1)
findings = st.fixed_dictionaries(
    {"text": words, "examples": st.lists(st.integers(0, 10_000), max_size=6), "disputed": st.booleans()}
)
predictors = st.fixed_dictionaries(
    {
        "predictor": words,
        "share": shares,
        "interval": st.lists(shares, min_size=2, max_size=2),
        "if_right": st.lists(shares, min_size=2, max_size=2),
        "failures": st.integers(0, 500),
        "findings": st.lists(findings, max_size=3),
        "checked": few,
        "confirmed": few,
        "final": st.booleans(),
    }
)
checks = st.fixed_dictionaries(
    {
        "example_id": st.integers(0, 500),
        "calls": st.lists(texts, min_size=1, max_size=3),
        "predictors": st.lists(texts, min_size=1, max_size=3),
        "before": st.floats(-5, 5),
        "after": st.none() | st.floats(-5, 5),
        "asked": st.integers(0, 99),
        "problem": words,
    }
)
spent = st.dictionaries(
    st.sampled_from(["forward", "metric", "backward", "check", "reduce"]),
    st.fixed_dictionaries({"calls": st.integers(0, 10**9)}),
)
states = st.fixed_dictionaries(
    {
        "examples": counts,
        "failures": counts,
        "missing": counts,
        "score": st.floats(-1e9, 1e9) | st.none(),
        "predictors": st.lists(predictors, max_size=10),
        "traced": counts,
        "unknown": shares,
        "missed": st.lists(shares, min_size=2, max_size=2),
        "false_alarms": st.lists(shares, min_size=2, max_size=2),
        "checks": st.lists(checks, max_size=3),
        "max_calls": counts,
        "spent": spent,
        "seconds": st.floats(0, 1e7),
        "notes": st.dictionaries(texts, st.integers(0, 99), max_size=3),
        "warnings": st.lists(words, max_size=3),
    }
)
diagnoses = states.map(Diagnosis.from_dict)


def diagnosis_of(predictors, failures=1, traced=1) -> Diagnosis:
    counted = {"examples": 50, "failures": failures, "missing": 0, "score": 0.5, "traced": traced}
    return Diagnosis.from_dict({**counted, "predictors": predictors})


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
@given(states)
def test_it_round_trips_through_json(state):
    diagnosis = Diagnosis.from_dict(state)
    told = json.loads(json.dumps(diagnosis.to_dict()))
    again = Diagnosis.from_dict(told)
    assert json.dumps(again.to_dict()) == json.dumps(diagnosis.to_dict())
    assert str(again) == str(diagnosis)
    for name in state.keys() - {"predictors", "checks", "spent"}:
        assert told[name] == state[name]
    for one, given_one in zip(told["predictors"] + told["checks"], state["predictors"] + state["checks"], strict=True):
        assert {name: one[name] for name in given_one} == given_one
        assert one.keys() - given_one.keys() <= {"verdict", "confirmed"}


def test_a_record_that_lacks_a_part_is_refused():
    state = diagnosis_of([]).to_dict()
    for name in ("score", "examples"):
        with pytest.raises(ValueError, match=name):
            Diagnosis.from_dict({key: value for key, value in state.items() if key != name})


@pytest.mark.parametrize(
    ("checked", "confirmed", "verdict"),
    [(0, 0, "unchecked"), (1, 1, "confirmed"), (4, 2, "confirmed"), (4, 1, "not confirmed"), (2, 0, "not confirmed")],
)
def test_verdicts(checked, confirmed, verdict):
    found = diagnosis_of([{"predictor": "p", "share": 0.5, "checked": checked, "confirmed": confirmed}])
    assert found.predictors[0].verdict == found.to_dict()["predictors"][0]["verdict"] == verdict


def test_a_name_that_is_too_long_keeps_its_end():
    long = "layers[0].a_very_long_name_of_a_module_indeed.nodes[17]"
    printed = str(diagnosis_of([{"predictor": long, "share": 1.0}]))
    assert ".nodes[17]" in printed and "…" in printed


def test_what_does_not_fit_is_summed_up():
    many = [{"predictor": f"predictor_{at}", "share": 0.025} for at in range(40)]
    printed = str(diagnosis_of(many, 40, 40))
    assert "32 others with 80 % together" in printed


def test_what_a_check_confirmed_is_shown_however_small_its_share():
    many = [{"predictor": f"predictor_{at}", "share": 0.09} for at in range(11)]
    tried = {"predictor": "confirmed_one", "share": 0.0005, "checked": 8, "confirmed": 5}
    printed = str(diagnosis_of([tried, *many], 40, 40)).split("\n")
    first = printed[1 + next(at for at, line in enumerate(printed) if line.startswith("  predictor "))]
    assert "confirmed_one" in first and "confirmed (5 of 8)" in first
    once = {"predictor": "helped_once", "share": 0.0005, "checked": 8, "confirmed": 1}
    assert "not confirmed (1 of 8)" in str(diagnosis_of([*many, once], 40, 40))


def test_it_says_what_is_sure_and_what_to_do_where_nothing_is():
    sure = [
        {"predictor": "a", "share": 0.9, "interval": [0.6, 1]},
        {"predictor": "b", "share": 0.1, "interval": [0, 0.4]},
    ]
    assert "Sure whose share is largest: a." in str(diagnosis_of(sure, 40, 40))
    unsure = [{**one, "interval": [0.2, 0.8]} for one in sure]
    printed = " ".join(str(diagnosis_of(unsure, 40, 40)).split())
    assert "Not sure whose share is largest: a or b. To be surer: checks" in printed


def test_failures_without_gradients_are_counted_and_say_why():
    for failures, said in ((1, "1 failure is left out"), (3, "3 failures are left out")):
        printed = str(diagnosis_of([], failures, 0))
        assert f"{said}: no gradients, since the model did not answer." in printed
