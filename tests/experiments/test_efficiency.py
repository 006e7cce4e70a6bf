"""The study of efficiency runs as published; its cap holds, and its figures follow from its rows."""

from __future__ import annotations

from typing import Any

import dspy
import pytest
from contest.guard import BestSoFar, CapReached, Guard, GuardedLM
from contest.pipelines import PIPELINES, counting, sets
from contest.report import areas, differences, standings
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import SimulatedModel
from simulated.tasks import TASKS

from dspy_semantic_backprop.programs import LayeredProgram, exact_match
from tests.experiments.script import run


def test_smoke_writes_a_record_of_the_promised_form(tmp_path):
    done = run("efficiency", "--smoke", folder=tmp_path)
    written = done.record()
    assert done.path().with_suffix(".png").exists()
    assert written["simulated"] is True
    assert {row["optimizer"] for row in written["rows"]} | set(written["left_out"]) == {
        *("semantic", "gepa", "miprov2", "simba", "copro")
    }
    for row in written["rows"]:
        assert {"optimizer", "program", "seed", "calls", "tokens", "heldout", "cap", "heldout_before"} <= set(row)
        assert 0 <= row["calls"] <= row["cap"]
        assert (row["tokens"] > 0) == (row["calls"] > 0)
        assert 0 <= row["heldout"] <= 1
        assert row["ended"] in ("itself", "cap")
    assert {one["peer"] for one in written["differences"]} == {row["optimizer"] for row in written["rows"]} - {
        "semantic"
    }


@pytest.mark.parametrize("threads", [1, 6])
def test_a_guard_never_lets_one_request_too_many_through(threads):
    program: Any = LayeredProgram()
    examples = counting(30, 0)
    with SimulatedModel().serve(latency=0.01) as server:
        guard = Guard(server, 40)
        with dspy.context(lm=GuardedLM(guard, 1.0).copy(rollout_id=1)):
            evaluate = dspy.Evaluate(devset=examples, metric=exact_match, num_threads=threads, display_progress=False)
            with pytest.raises(CapReached):
                evaluate(program)
    # Requests under way when the cap comes near are reckoned as not yet counted.
    assert 40 - 2 * threads <= server.requests <= 40


def test_answers_from_the_cache_are_not_counted():
    program: Any = LayeredProgram()
    (example,) = counting(1, 0)
    with SimulatedModel().serve() as server, dspy.context(lm=GuardedLM(Guard(server, 3), 0.0)):
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
    with SimulatedModel().serve() as server, dspy.context(lm=server.lm(), callbacks=[observer]):
        evaluate = dspy.Evaluate(devset=examples, metric=exact_match, num_threads=1, display_progress=False)
        evaluate(taught("a", "b"), devset=examples[:5])
        assert observer.state == start
        evaluate(taught())
        evaluate(taught("a", "b"))
        evaluate(taught("a"))
    assert observer.state == taught("a", "b").dump_state()


@pytest.mark.parametrize("name", list(PIPELINES))
def test_no_question_is_on_two_sides(name):
    pipeline = PIPELINES[name]
    for seed in range(3):
        drawn = sets(pipeline, None, (24, 24, 60), seed)
        sides = [{one[pipeline.question] for one in side} for side in (drawn.train, drawn.val, drawn.held_out)]
        assert [len(drawn.train), len(drawn.val)] == [24, 24] and len(drawn.held_out) >= 50
        assert not sides[0] & sides[1] and not (sides[0] | sides[1]) & sides[2]


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_made_up_questions_have_the_answer_that_a_skilled_solver_gives(seed):
    task = TASKS["object_counting"]
    for example in counting(5, seed):
        assert task.solve(task.parse(example.question), {"quantity", "category"}) == example.answer


def row(optimizer: str, seed: int, cap: int, tokens: int, heldout: float) -> dict[str, Any]:
    return {
        **{"optimizer": optimizer, "program": "bbh", "seed": seed, "cap": cap},
        **{"tokens": tokens, "heldout": heldout, "heldout_before": 0.2},
    }


def test_an_area_is_the_mean_score_over_the_tokens_that_anybody_spent():
    rows = [row("semantic", 0, 1, 100, 0.6), row("semantic", 0, 2, 200, 1.0), row("gepa", 0, 2, 400, 1.0)]
    found = {one["optimizer"]: one["area"] for one in areas(rows)}
    assert found == {"semantic": (100 * 0.2 + 100 * 0.6 + 200 * 1.0) / 400, "gepa": 0.2}


scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8)


@given(scores)
def test_differences_are_ours_minus_theirs_and_ranks_agree_with_them(pairs):
    rows = [
        row(optimizer, seed, 1, 100, score)
        for seed, pair in enumerate(pairs)
        for optimizer, score in zip(("semantic", "gepa"), pair, strict=True)
    ]
    per_seed = areas(rows)
    (found,) = [one for one in differences(per_seed) if (one["program"], one["what"]) == ("all", "final")]
    assert found["mean"] == pytest.approx(sum(ours - theirs for ours, theirs in pairs) / len(pairs), abs=1e-3)
    assert 0 <= found["p"] <= 1 and found["better"] + found["worse"] <= found["n"] == len(pairs)
    ranks = {one["optimizer"]: one["final_rank"] for one in standings(per_seed) if one["program"] == "all"}
    assert ranks["semantic"] + ranks["gepa"] == pytest.approx(3, abs=0.02)
