"""How much an edit may change, and what the proposing model is told."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop._errors import SetupError
from dspy_semantic_backprop._propose.restraint import Restraint, edit_size

WORDS = st.lists(st.sampled_from("add all and count give no not only the units".split()), max_size=12)  # noqa: SIM905


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [
        ("Count the pears.", "Count the pears.", 0),
        ("Count the pears.", "Count\n  the pears. ", 0),
        ("Count the pears.", "Count all the pears.", 1),
        ("Count all the pears.", "Count the pears.", 1),
        ("Count the pears.", "Count the plums.", 1),
        ("Count the pears.", "Count every single ripe pear.", 4),
        ("Count the pears.", "Add. Count the pears. Stop.", 2),
        ("", "Count the pears.", 3),
        ("Count the pears.", "", 3),
        ("a b c d e f", "d e f a b c", 6),
    ],
)
def test_an_edit_is_as_large_as_the_words_that_it_changes(old, new, size):
    assert edit_size(old, new) == size


@given(WORDS, WORDS, WORDS, WORDS)
def test_one_patch_is_as_large_as_its_longer_side(before, removed, added, behind):
    old, new = " ".join([*before, *removed, *behind]), " ".join([*before, *added, *behind])
    assert edit_size(old, new) == edit_size(new, old) <= max(len(removed), len(added))
    assert (edit_size(old, new) == 0) == (old.split() == new.split())


def test_long_texts_are_compared_in_little_time():
    old = " ".join(f"Read line {line} of the text and say what it says." for line in range(350))
    started = time.process_time()
    assert edit_size(old, old.replace("Read", "Take", 3).replace("and say", "and tell", 100)) == 103
    assert edit_size("Add and count. " * 1300, "Count and add. " * 1300) == 2600
    # 17 and 19 KB; measured 0.3 seconds.
    assert time.process_time() - started < 3


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
