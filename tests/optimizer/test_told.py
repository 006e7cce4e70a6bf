"""What the ending says agrees with what is returned, wherever a budget ends the run."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from dspy_semantic_backprop import Budget, Result, SemanticGradientDescent, presets
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served

METHODS = {"published": presets.published, "default": presets.semantic}
CUT = [("published", 70), ("default", 38)]


@functools.cache
def ended(method: str, calls: int) -> Result:
    with served(careful):
        optimizer = SemanticGradientDescent(
            right, method=METHODS[method](), budget=Budget(calls=calls), probe="never", num_threads=1, subscribers=()
        )
        better: Any = optimizer.compile(Chain(), trainset=questions(30)[20:], valset=questions(20))
    return better.detailed_results


@pytest.mark.parametrize(("method", "calls"), CUT)
def test_what_is_returned_has_a_step_that_accepted_it_wherever_the_budget_ends(method, calls):
    result = ended(method, calls)
    accepted = [step for step in result.steps if step.verdict == "accepted"]
    assert bool(result.changed) <= bool(accepted)
    assert ("the start is returned" in str(result)) <= (not result.changed)


@pytest.mark.parametrize(("method", "calls"), [*CUT, ("default", 90)])
def test_scores_are_of_the_same_examples_and_what_is_missing_is_said_once(method, calls):
    result, said = ended(method, calls), " ".join(str(ended(method, calls)).split())
    (row,) = [one for one in result.table() if one["returned"]]
    assert (result.score_before, result.score_after) == (row["start_score"], row["score"])
    assert f"on {row['shared']} example" in said
    assert "unknown" not in said
    assert said.count("more calls would run both on all") == (method == "default")
    assert any("were both run on" in one for one in result.warnings) == (method == "default" and row["shared"] < 4)


def test_without_an_example_in_common_no_score_stands_beside_another():
    result = ended(*CUT[0])
    state = result.to_dict()
    state["score"] = {"before": None, "after": None}
    state["candidates"][1]["scores"] = {"900": 1.0}
    said = " ".join(str(Result.from_dict(state)).split())
    assert "unknown" not in said and "->" not in said
    assert "the start scores 0 on 20 examples, the returned program scores 1 on 1 example: not comparable" in said


def test_no_gain_is_larger_than_what_the_scores_leave():
    def graded(example: Any, prediction: Any, trace: Any = None) -> float:
        return 1.0 if right(example, prediction) else 0.95

    with served(careful):
        optimizer = SemanticGradientDescent(
            graded, budget=Budget(calls=90), probe="never", num_threads=1, subscribers=()
        )
        final = Result.of(optimizer.compile(Chain(), trainset=questions(16))).final
    assert final is not None and final.interval is not None and final.gain is not None
    assert final.interval[0] <= final.gain <= 0.05 + 1e-9
    assert final.gain <= final.interval[1] < 0.1, "the start's score is unsure itself"
