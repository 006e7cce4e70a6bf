"""What the ending says agrees with what is returned, wherever a budget ends the run."""

from __future__ import annotations

import functools
import itertools
import math
import re
from typing import Any

import pytest

from dspy_semantic_backprop import Budget, ProgressBar, Result, SemanticGradientDescent, presets
from dspy_semantic_backprop.integrations import ExampleDone, Projected, StepDone
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


def run(metric: Any, budget: Budget, *subscribers: Any) -> Result:
    optimizer = SemanticGradientDescent(
        metric, budget=budget, probe="never", num_threads=1, subscribers=[*subscribers, ProgressBar()]
    )
    return Result.of(optimizer.compile(Chain(), trainset=questions(30)[20:], valset=questions(20)))


def test_the_lines_of_a_run_say_on_which_examples_and_why_the_steps_ended(capsys):
    def lenient(example: Any, prediction: Any, trace: Any = None) -> float:
        """Half of the examples to learn from are right as they are, and some to decide on are never."""
        number = int(re.findall(r"\d+", example.question)[0])
        return float(number >= 25 or (number % 3 > 0 and right(example, prediction)))

    seen: list[Any] = []
    with served(careful) as server:
        ends: list[int] = []
        run(lenient, Budget(calls=400), lambda event: ends.append(server.requests) if type(event) is StepDone else None)
        capsys.readouterr()
        result = run(lenient, Budget(calls=ends[0] + 1), seen.append)
    lines = capsys.readouterr().out.splitlines()
    known = next(at for at, event in reversed(list(enumerate(seen))) if isinstance(event, Projected))
    first = [event.score or 0.0 for event in seen[:known] if isinstance(event, ExampleDone)]
    step, mean = result.steps[0], math.fsum(first) / len(first)
    assert lines[0].endswith("10 examples to learn from, 20 to decide on; as many steps as the budget lasts")
    assert lines[1] == f"start: score {mean:.4g} on 8 examples" and 0 < mean < 1
    assert step.learned is not None and step.learned.examples + step.compared == 3, "a block of the search"
    on = f"on 3 examples, {step.compared} of them to decide on; expected by all scores of the run: "
    assert lines[3].startswith(f"step 1: {step.verdict} (") and on in lines[3]
    assert result.reason == (
        f"the steps ended when 85% of the budget of {ends[0] + 1} language-model calls was spent; "
        "the rest was for the decision at the end"
    )
    assert f"on {result.to_dict()['score']['examples']} example" in lines[-1]


def test_what_was_so_for_a_while_is_no_warning_of_the_result(caplog):
    graded = itertools.count()
    with served(careful):
        result = run(lambda example, prediction: float(next(graded) >= 30), Budget(metric_calls=60))
    flat = "while that is so the metric cannot tell programs apart"
    assert flat in caplog.text and {score for one in result.candidates for score in one.scores.values()} == {0.0, 1.0}
    assert not [warning for warning in result.warnings if flat in warning]
    assert result.steps[0].interval is None, "equal scores on three examples do not say that there is no gain"


def test_what_comes_back_is_named(caplog):
    with served(careful):
        assert not run(right, Budget(calls=10)).changed
    assert caplog.messages[-1].endswith("10 so far; the program as it was given is returned")


def test_what_the_end_returns_though_no_step_accepted_it_is_said():
    state = ended(*CUT[1]).to_dict()
    state["steps"][0]["verdict"] = "rejected"
    said = " ".join(str(Result.from_dict(state)).split())
    assert "; 0 of 1 step accepted a proposal, the decision at the end did draft" in said
