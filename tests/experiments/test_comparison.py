"""The comparison runs as published; its cap holds, and its figures follow from its rows."""

from __future__ import annotations

from itertools import combinations
from operator import attrgetter
from typing import Any

import dspy
import pytest
from contest.graphs import PASSAGES, search
from contest.guard import BestSoFar, CapReached, Guard, language_model
from contest.heat import Heat, scored
from contest.programs import PROGRAMS, sets
from contest.questions import counting
from contest.report import differences, holm, standings
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import SimulatedModel
from simulated.routes import ROUTE
from simulated.tasks import CUES, FORMS, TASKS

from dspy_semantic_backprop.programs import LayeredProgram, exact_match
from tests.experiments.script import run

SMOKE = ("--smoke", "--optimizers", "semantic", "one_step", "gepa", "copro")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    return run("comparison", *SMOKE, folder=tmp_path_factory.mktemp("smoke"))


def test_smoke_writes_a_record_of_the_promised_form(smoke):
    written = smoke.record()
    assert written["simulated"] is True
    assert {row["optimizer"] for row in written["rows"]} == set(SMOKE[2:])
    for row in written["rows"]:
        assert {"optimizer", "program", "seed", "noise", "calls", "tokens", "heldout", "cap", "commit"} <= set(row)
        assert 0 <= row["calls"] <= row["cap"]
        assert (row["tokens"] > 0) == (row["calls"] > 0)
        assert 0 <= row["heldout"] <= 1
        assert row["ended"] in ("itself", "cap")
    assert {one["optimizer"] for one in written["differences"]} == set(SMOKE[3:])


def test_a_run_that_has_a_line_is_not_made_again(smoke):
    lines = smoke.path().with_suffix(".jsonl")
    before = lines.read_text()
    again = run("comparison", *SMOKE, folder=lines.parent)
    assert lines.read_text() == before
    assert again.record()["rows"] == smoke.record()["rows"]


@pytest.mark.parametrize("threads", [1, 6])
def test_a_guard_never_lets_one_request_too_many_through(threads):
    program: Any = LayeredProgram()
    examples = counting(30, 0)
    server = SimulatedModel().serve()
    with dspy.context(lm=language_model(Guard(server, 40), 1.0).copy(rollout_id=1)):
        evaluate = dspy.Evaluate(devset=examples, metric=exact_match, num_threads=threads, display_progress=False)
        with pytest.raises(CapReached):
            evaluate(program)
    assert server.requests == 40


def test_answers_from_the_cache_are_not_counted():
    program: Any = LayeredProgram()
    (example,) = counting(1, 0)
    server = SimulatedModel().serve()
    with dspy.context(lm=language_model(Guard(server, 3), 0.0)):
        first = program(**example.inputs())
        # The twins' one question may have been asked twice.
        assert server.requests in (2, 3)
        if server.requests < 3:
            assert program(**example.inputs()).answer == first.answer


def test_the_best_so_far_is_the_best_of_those_evaluated_on_all_examples():
    told = {name: skill.sentence for name, skill in zip("ab", TASKS["object_counting"].skills, strict=True)}
    examples = counting(24, 1)

    def taught(*names: str) -> dspy.Module:
        program: Any = LayeredProgram()
        for node in program.hidden:
            node.signature = node.signature.with_instructions(" ".join(["Work it out.", *(told[one] for one in names)]))
        return program

    observer = BestSoFar(LayeredProgram(), len(examples))
    start = observer.state
    lm = language_model(Guard(SimulatedModel().serve(), 10**6), 0.0)
    with dspy.context(lm=lm, callbacks=[observer]):
        evaluate = dspy.Evaluate(devset=examples, metric=exact_match, num_threads=1, display_progress=False)
        evaluate(taught("a", "b"), devset=examples[:5])
        assert observer.state == start
        evaluate(taught())
        evaluate(taught("a", "b"))
        evaluate(taught("a"))
    assert observer.state == taught("a", "b").dump_state()


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_no_question_is_on_two_sides(name):
    program = PROGRAMS[name]
    for seed in range(3):
        drawn = sets(program, (12, 12, 40), seed)
        sides = [{one[program.question] for one in side} for side in (drawn.train, drawn.val, drawn.held_out)]
        assert [len(side) for side in (drawn.train, drawn.val, drawn.held_out)] == [12, 12, 40]
        assert not sides[0] & sides[1] and not (sides[0] | sides[1]) & sides[2]


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_no_two_predictors_have_equal_signatures(name):
    predictors: Any = PROGRAMS[name].build().predictors()
    # As GEPA compares them when it looks for a predictor's calls.
    assert not any(one.signature.equals(other.signature) for one, other in combinations(predictors, 2))


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_a_program_that_is_told_all_is_right_and_one_that_is_told_nothing_is_not(name):
    heat = Heat("semantic", name, 3, 0.0, 6, (12, 12, 12))
    taught: Any = PROGRAMS[name].build()
    skills = [skill for one, task in TASKS.items() if one != "statements" for skill in task.skills]
    for where, predictor in taught.named_predictors():
        subject = where.removeprefix("hint_")
        said = [CUES[subject]] if subject in CUES else skills
        told = " ".join(skill.sentence for skill in [*said, *FORMS.values(), ROUTE])
        predictor.signature = predictor.signature.with_instructions(f"{predictor.signature.instructions} {told}")
    assert scored(heat, taught) >= 0.9 > 0.7 > scored(heat, PROGRAMS[name].build())


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_no_question_and_no_instruction_names_what_is_to_be_learnt(name):
    told = [signature.instructions for signature in map(attrgetter("signature"), PROGRAMS[name].build().predictors())]
    shown = [f"{key}: {value}" for one in PROGRAMS[name].examples(5)[:40] for key, value in one.items()]
    skills = [skill for task in TASKS.values() for skill in task.skills]
    assert not [skill.name for skill in (*skills, *FORMS.values(), ROUTE) if skill.named_in("\n".join([*told, *shown]))]


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_made_up_questions_have_the_answer_that_a_skilled_solver_gives(seed):
    task = TASKS["object_counting"]
    for example in counting(5, seed):
        assert task.solve(task.parse(example.question), {"quantity", "category"}) == example.answer


def test_the_search_finds_the_passage_that_names_what_is_asked():
    assert all(search(passage, 1) == [passage] for passage in PASSAGES)


def row(optimizer: str, seed: int, heldout: float) -> dict[str, Any]:
    return {
        **{"optimizer": optimizer, "program": "bbh", "seed": seed, "noise": 0.0, "calls": 1, "tokens": 100},
        **{"heldout": heldout, "heldout_before": 0.2, "seconds": 1.0},
    }


scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8)


@given(scores)
@settings(max_examples=10, deadline=None)
def test_differences_are_ours_minus_theirs(pairs):
    rows = [
        row(optimizer, seed, score)
        for seed, pair in enumerate(pairs)
        for optimizer, score in zip(("semantic", "gepa"), pair, strict=True)
    ]
    (found,) = differences(rows)
    mean = sum(ours - theirs for ours, theirs in pairs) / len(pairs)
    assert found["mean"] == pytest.approx(mean, abs=1e-3)
    assert found["interval"][0] - 1e-3 <= mean <= found["interval"][1] + 1e-3
    assert 0 < found["p"] <= found["p_corrected"] <= 1 and found["better"] + found["worse"] <= found["n"] == len(pairs)
    means = {one["optimizer"]: one["heldout"] for one in standings(rows) if one["program"] == "all"}
    assert means["semantic"] - means["gepa"] == pytest.approx(mean, abs=1e-3)


def test_a_tie_is_no_difference_and_a_constant_gain_is_one():
    tied = [row(name, seed, 0.5) for seed in range(8) for name in ("semantic", "one_step")]
    ahead = [row("gepa", seed, 0.4 + seed / 100) for seed in range(8)]
    by = {one["optimizer"]: one for one in differences([*tied, *ahead])}
    assert (by["one_step"]["mean"], by["one_step"]["p"]) == (0, 1)
    assert by["gepa"]["mean"] == pytest.approx(0.065, abs=1e-3) and by["gepa"]["p"] < 0.02


def test_holms_correction():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
