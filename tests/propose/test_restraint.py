"""How much an edit may change, and what the proposing model is told."""

from __future__ import annotations

import pytest

from dspy_semantic_backprop import Restraint, SetupError


def test_small_patches_come_first_and_larger_ones_after_failures():
    restraint = Restraint(words=3, patience=2)
    assert [restraint.budget(failures) for failures in range(6)] == [3, 3, 6, 6, 12, 12]
    assert Restraint().budget(0) is None
    assert restraint.budget(1000) is None
    old, new = "Count the pears.", "Count all the ripe and unripe pears."
    assert "replaces 4 words" in restraint.violation(new, old, "step", failures=1)
    assert "at most 3" in restraint.violation(new, old, "step", failures=1)
    assert restraint.violation(new, old, "step", failures=2) == ""


def test_a_long_instruction_is_refused_with_both_sizes():
    said = Restraint(longest=10).violation("Count the pears.", "Count.", "step")
    assert "16 characters" in said
    assert "at most 10" in said
    assert Restraint(longest=16).violation("Count the pears.", "Count.", "step") == ""


def test_growing_costs_and_shrinking_does_not_pay():
    restraint = Restraint(length_penalty=2.0)
    assert restraint.penalty("a" * 100, "a" * 600) == pytest.approx(1.0)
    assert restraint.penalty("a" * 600, "a" * 100) == 0
    assert Restraint().penalty("", "a" * 10_000) == 0


def test_the_proposing_model_is_told_what_it_will_be_refused_for():
    restraint = Restraint(
        longest=900, words=8, protect=["Answer in JSON.", "Stop."], constraints=["Write in French."], leaks="refuse"
    )
    said = restraint.told("Answer in JSON. Answer in JSON.", "step", failures=2)
    assert "900 characters" in said
    assert "at most 16 words" in said
    assert said.count("Answer in JSON.") == 2
    assert "Stop." not in said
    assert "examples" in said
    assert said.endswith("Write in French.")
    assert "examples" not in Restraint(leaks="allow").told("Answer.", "step")


@pytest.mark.parametrize(
    "wrong",
    [
        {"longest": 0},
        {"longest": 1.5},
        {"longest": None},
        {"words": 0},
        {"words": True},
        {"words": "few"},
        {"patience": 0},
        {"patience": None},
        {"length_penalty": -1},
        {"length_penalty": float("nan")},
        {"length_penalty": float("inf")},
        {"length_penalty": "2"},
        {"leaks": "drop"},
        {"leaks": True},
        {"leaks": ["clean"]},
        {"constraints": "Write in French."},
        {"constraints": [" "]},
        {"constraints": 3},
        {"protect": "Stop."},
        {"protect": 3},
    ],
    ids=str,
)
def test_what_cannot_be_is_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(SetupError) as error:
        Restraint(**wrong)
    assert name in str(error.value)
    assert repr(value) in str(error.value) or value == [" "]
