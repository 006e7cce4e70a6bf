"""The fault-localisation study runs as published, and its world is as fair as it says."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import dspy
import pytest
from faults.cases import KINDS, Fault, faults
from faults.claims import THINGS, System, claims, say
from faults.reader import View, judge
from faults.report import wilson
from faults.shapes import SHAPES, rule
from faults.verdict import METHODS
from faults.words import CAPITALS, TASKS, cases, metric
from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop.testing import Faults
from tests.experiments.script import run
from tests.scripted import served


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


def model(prompt):
    """Names capitals as it is told; as a reader it accuses every output, as a judge the step that names the capital."""
    told, given = TASKS["trip"].told, str(next(iter(prompt.inputs.values()), ""))
    if "suspicion" in prompt.names:
        return {"reasoning": "That is no capital.", "suspicion": {"country": 0.1, "capital": 0.8, "loud": 0.1}}
    if any(name.startswith("change_") for name in prompt.names):
        asked = {name: name.replace("change_", "output_") in prompt.inputs for name in prompt.names}
        return {name: "Name the capital." if output else "No change needed." for name, output in asked.items()}
    if prompt.instruction == told["country"]:
        return {"answer": re.findall(r" to (\w+) with ", given)[0]}
    if prompt.instruction == told["capital"]:
        return {"answer": CAPITALS.get(given, "nothing")}
    return {"answer": given.upper() if prompt.instruction == told["loud"] else "nothing"}


def real(folder, server, *arguments: str):
    where = ("--base_model", f"openai/{server.model}", "--api_base", server.url, "--shapes", "trip")
    return run("fault_localization", *where, *arguments, folder=folder)


def test_a_study_with_a_real_model_goes_on_where_it_ended(tmp_path):
    with served(model) as server:
        first = real(tmp_path, server, "--faults", "2")
        lines, kept = first.path().with_suffix(".jsonl"), first.record()["faults"]
        more = real(tmp_path, server, "--faults", "4").record()
        asked = server.requests
        lines.unlink()
        again = real(tmp_path, server, "--faults", "4").record()
        assert server.requests == asked
    assert more["faults"][: len(kept)] == kept and len(more["faults"]) > len(kept)
    assert again["faults"] == more["faults"]
    assert {row["n"] for row in more["overall"]} == {4}


def test_what_a_real_model_said_of_a_fault_stands_in_its_line(tmp_path):
    with served(model) as server:
        written = real(tmp_path, server, "--faults", "3").record()
    assert {row["method"] for row in written["overall"]} == set(METHODS) - {"judges", "judges_pooled"}
    assert written["unbroken"]["by_shape"] == {"trip": {"right": 8, "of": 8}}
    for line in written["faults"]:
        assert line["commit"] and line["date"] and line["how"]["model"].startswith("openai/")
        assert set(line["said"]) == {"executions", "semantic", "isolated", "judge"}
        assert line["hits"]["judge"]["top1"] == (line["predictor"] == "capital")
        assert "Name the capital" in json.dumps(line["said"]["semantic"])


def test_a_failure_of_the_unbroken_program_is_no_fault(tmp_path):
    with served(lambda prompt: {"answer": "nothing"} if "answer" in prompt.names else model(prompt)) as server:
        done = real(tmp_path, server, "--faults", "1")
    assert done.returncode != 0 and "no fault made an answer wrong" in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "fault_localization-real-seed0.jsonl").read_text().splitlines()]
    assert all(line["hits"] == {} and line["right"] == 0 for line in lines) and lines


def test_faults_in_words_are_balanced_wherever_a_study_is_broken_off():
    every = list(cases(list(TASKS), 1))
    assert len(set(every)) == len(every) >= 40
    for count in (12, 16, 24):
        for name, most in (("shape", 0), ("kind", 2)):
            counted = Counter(getattr(one, name) for one in every[:count])
            assert max(counted.values()) - min(counted.values()) <= most, (count, name)


@pytest.mark.parametrize("case", list(cases(list(TASKS), 0)), ids=lambda one: f"{one.shape}-{one.predictor}-{one.kind}")
def test_a_fault_in_words_changes_one_instruction(case):
    told, broken = (dict(_told(case, broken=which)) for which in (False, True))
    assert [name for name in told if told[name] != broken[name]] == [case.predictor]


@pytest.mark.parametrize(
    ("wanted", "answer", "right"),
    [
        *(("LISBON", "LISBON.", 1), ("LISBON", "Lisbon", 0), ("LISBON", "", 0), ("Rome Cairo", "Rome, Cairo", 1)),
        *(("Rome Cairo", "Cairo Rome", 0), ("Rome Cairo", "RomeCairo", 0), ("Rome Cairo", "Rome and Cairo", 0)),
    ],
)
def test_an_answer_in_words_is_graded(wanted, answer, right):
    assert metric(dspy.Example(wanted=wanted), dspy.Prediction(answer=answer)).score == right


def test_a_model_that_is_not_there_ends_the_study_and_leaves_no_line(tmp_path):
    with served(model, faults=Faults(auth=1.0)) as server:
        done = real(tmp_path, server, "--faults", "1")
    assert done.returncode != 0 and "the same command goes on" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "fault_localization-real-seed0.jsonl").exists()
