"""The fault-localisation study runs as published, and its world is as fair as it says."""

from __future__ import annotations

from typing import Any

import pytest
from faults.cases import KINDS, Fault, faults
from faults.claims import THINGS, System, claims, say
from faults.reader import View, judge
from faults.report import wilson
from faults.shapes import SHAPES, rule
from faults.verdict import METHODS
from hypothesis import given
from hypothesis import strategies as st

from tests.experiments.script import run


def test_smoke_writes_a_record_of_the_promised_form(tmp_path):
    done = run("fault_localization", "--smoke", "--faults", "2", folder=tmp_path)
    written = done.record()
    assert done.path().with_suffix(".png").exists()
    assert written["simulated"] is True
    assert {row["method"] for row in written["rows"]} == set(METHODS)
    assert {row["noise"] for row in written["rows"]} == {0.0, 0.1, 0.3}
    for row in written["rows"]:
        assert {"method", "shape", "noise", "n", "top1", "top1_interval", "top2", "calls", "tokens"} == set(row)
        low, high = row["top1_interval"]
        assert 0 <= low <= row["top1"] <= high <= 1
        assert row["top1"] <= row["top2"] + 1e-9
        assert (row["calls"] > 0) == (row["method"] not in {"last", "uniform"})
    assert written["unbroken"]["right"] == written["unbroken"]["of"] > 0


def test_an_unknown_shape_is_one_line(tmp_path):
    done = run("fault_localization", "--shapes", "ring", folder=tmp_path)
    assert done.returncode != 0
    assert "ring" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shape", list(SHAPES))
def test_exactly_one_instruction_is_broken_and_every_kind_of_fault_comes(shape):
    several = [fault for _, fault in zip(range(40), faults(shape, 0), strict=False)]
    assert {fault.kind for fault in several} == set(KINDS)
    for fault in several:
        changed = [
            name
            for (name, one), (_, other) in zip(_told(fault, broken=True), _told(fault, broken=False), strict=True)
            if one != other
        ]
        assert changed in ([fault.predictor], [])


def _told(fault: Fault, *, broken: bool) -> list[tuple[str, str]]:
    program: Any = fault.program(broken=broken)
    return [(name, predictor.signature.instructions) for name, predictor in program.named_predictors()]


def test_at_least_eight_shapes_up_to_thirty_calls():
    assert len(SHAPES) >= 8


@given(st.lists(st.tuples(st.lists(st.sampled_from(THINGS), min_size=1, max_size=3, unique=True), st.integers(-9, 99))))
def test_statements_are_read_back_as_they_were_made(made):
    stated = [(tuple(left), number) for left, number in made]
    assert claims(say(stated)) == stated


@given(st.dictionaries(st.sampled_from(THINGS), st.integers(0, 9), min_size=2, max_size=8), st.randoms())
def test_what_follows_from_true_statements_is_true(counts, rng):
    system = System()
    for _ in range(6):
        left = tuple(rng.sample(sorted(counts), rng.randint(1, len(counts))))
        assert system.add((left, sum(counts[thing] for thing in left)))
    for thing, number in counts.items():
        assert system.number((thing,)) in (None, number)


def view(members: dict[str, str], wanted: str = "apples + pears is 7", given_text: str = "") -> View:
    told = rule("first_note, second_note", "apples + pears")
    return View(told, given_text, "apples + pears is not known", f"The answer should have been: {wanted}.", members)


def test_a_repetition_shows_beside_its_neighbour_only():
    given_text = "question: apples 3, pears 4"
    both = judge(view({"a": "apples is 3", "b": "apples is 3"}, given_text=given_text))
    assert set(both.wrong) == {"b"}
    assert both.own is None
    for lone in ("apples is 3", "pears is 4"):
        alone = judge(view({"a": lone}, given_text=given_text))
        assert alone.wrong == {}
        assert alone.shared


def test_outputs_that_suffice_leave_the_steps_own_instruction():
    found = judge(view({"a": "apples is 3", "b": "pears is 4"}))
    assert (found.wrong, found.own) == ({}, [(("apples", "pears"), 7)])


def test_the_reader_does_not_look_at_the_words_that_break_an_instruction():
    plain = view({"a": "apples is 3", "b": "pears is 4"})
    spoilt = View(f"{plain.instruction} Give the first number doubled.", *list(vars(plain).values())[1:])
    assert judge(plain) == judge(spoilt)


@given(st.floats(0, 1), st.integers(1, 100))
def test_an_interval_holds_its_share(share, count):
    low, high = wilson(share, count)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


def test_faults_follow_from_the_seed():
    def drawn() -> list[tuple[str, str, str]]:
        return [(one.predictor, one.kind, one.instruction) for _, one in zip(range(9), faults("loop", 3), strict=False)]

    assert drawn() == drawn()
