"""Placebo arms at equal budget, through a real client against a real server."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Budget, Placebo, SemanticGradientDescent, SetupError, presets
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served

ALL = questions(40)
TRAIN, VAL, TEST = ALL[:12], ALL[12:28], ALL[28:]


def told_by_gradients(prompt):
    """As `careful`, but a proposal helps only where a gradient asks for it."""
    answers = careful(prompt)
    if "new_instruction" in answers and "should be careful" not in prompt.inputs["lessons"]:
        answers["new_instruction"] = f"{prompt.inputs['current_instruction']} Try."
    return answers


def compared(rule=told_by_gradients, *, how: Any = None, test=TEST, lm: Any = None, **settings):
    with served(rule, **(lm or {})) as server:
        optimizer = SemanticGradientDescent(right, **{"steps": 2, "probe": "never", "subscribers": (), **settings})
        found = optimizer.placebo(Chain(), TRAIN, VAL, test, **(how or {}))
    return found, server


@pytest.fixture(scope="module")
def worth() -> Any:
    """What all arms came to, and the server that was asked."""
    return compared(num_threads=1)  # of several under way, the budget's end cancels some before they are sent


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> Any:
    """What two arms came to, the folder of their logs, and what was said."""
    said: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: said.append(record.getMessage())
    logger, folder = logging.getLogger("dspy_semantic_backprop"), tmp_path_factory.mktemp("logs")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        found, _ = compared(test=[*TEST, *TRAIN[:2]], log_dir=folder, how={"arms": ["one_step"]})
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return found, folder, said


def test_what_the_gradients_are_worth_shows_and_every_call_is_booked(worth):
    found, server = worth
    arms = {arm.name: arm for arm in found.arms}
    assert list(arms) == ["semantic", "isolated", "shuffled", "no_gradient", "one_step"]
    assert found.score == 0 and arms["semantic"].score == 1
    assert arms["no_gradient"].score == arms["one_step"].score == 0
    assert set(found.better_than) == {"no_gradient", "one_step"}
    behind = arms["no_gradient"].behind
    assert behind is not None and behind.fixes == len(TEST) and behind.p_value < 0.001
    calls = sum(spent.calls for arm in found.arms for spent in arm.spent)
    held_out = sum(spent.calls for spent in found.spent.values())
    assert calls + held_out == server.requests
    assert all(spent.calls <= found.budget["calls"] for arm in found.arms for spent in arm.spent)
    assert "better than no_gradient, one_step" in " ".join(str(found).split())


def test_a_method_that_returns_the_start_gains_exactly_nothing(worth):
    found, _ = worth
    (arm,) = [arm for arm in found.arms if arm.name == "no_gradient"]
    assert arm.returned == (False,)
    assert (arm.gain.gain, arm.gain.fixes, arm.gain.regressions, arm.gain.p_value) == (0, 0, 0, 1)


def test_a_twin_of_the_method_spends_as_much_although_caches_are_on():
    twin = replace(presets.semantic(), name="twin")
    found, _ = compared(how={"arms": [twin]}, lm={"cache": True}, num_threads=1)  # which call meets the budget
    own, other = found.arms
    assert [one.calls for one in own.spent] == [one.calls for one in other.spent]
    assert own.scores == other.scores and not any(one.cached for one in (*own.spent, *other.spent))
    assert other.behind is not None and other.behind.gain == 0


def test_every_seed_is_a_run_and_examples_are_averaged_over_seeds():
    found, _ = compared(how={"arms": ["one_step"], "seeds": (3, 4)}, test=TEST[:6])
    assert all(len(arm.scores) == len(arm.spent) == 2 for arm in found.arms)
    assert all(arm.gain.examples == 6 for arm in found.arms)
    assert found.seeds == (3, 4)


def test_the_users_budget_is_that_of_every_run_and_not_of_the_held_out_examples():
    found, _ = compared(budget=Budget(calls=70), how={"arms": ["one_step"]})
    assert found.budget == {"calls": 70}
    assert all(spent.calls <= 70 for arm in found.arms for spent in arm.spent)
    assert found.spent["heldout"].calls >= 2 * len(TEST)


def test_the_cost_is_told_before(logged):
    found, _, said = logged
    (told,) = [one for one in said if "projected for 2 runs" in one]
    assert f"{2 * int(found.budget['calls']):,} calls" in told


def test_held_out_examples_that_are_learned_from_are_said_aloud(logged):
    found, *_ = logged
    assert any("2 of 14 held-out examples are in the trainset" in warning for warning in found.warnings)
    assert Placebo.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_every_run_of_placebos_has_a_log(logged):
    first, folder, _ = logged
    assert {path.name for path in folder.iterdir()} == {"semantic-0", "one_step-0"}
    assert first.arms[0].score == 1


def test_the_program_and_the_settings_stay_as_they_are():
    program: Any = Chain()
    with served(told_by_gradients) as server:
        program.judge.lm = own = server.lm(cache=True)
        optimizer = SemanticGradientDescent(right, steps=1, seed=5, subscribers=())
        before = (program.dump_state(), {**vars(optimizer)})
        optimizer.placebo(program, TRAIN, VAL, TEST, arms=["one_step"])
    assert (program.dump_state(), vars(optimizer)) == before
    assert program.judge.lm is own and own.cache


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"arms": ["sham"]}, "'sham' is neither"),
        ({"arms": [7]}, "7 is neither"),
        ({"arms": "one_step"}, "arms must be a list"),
        ({"arms": []}, "arms must be a list"),
        ({"arms": ["one_step", "one_step"]}, "different values"),
        ({"arms": [presets.semantic()]}, "a name of its own"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (0, 0)}, "different"),
        ({"seeds": ("one",)}, "seeds"),
    ],
)
def test_bad_arguments_are_refused_before_money_is_spent(how, message):
    with served(careful) as server, pytest.raises(SetupError, match=message):
        SemanticGradientDescent(right, steps=1, subscribers=()).placebo(Chain(), TRAIN, VAL, TEST, **how)
    assert server.requests == 0


def test_bad_sets_and_no_steps_are_refused_before_money_is_spent():
    with served(careful) as server:
        with pytest.raises(SetupError, match="testset is empty"):
            SemanticGradientDescent(right, subscribers=()).placebo(Chain(), TRAIN, VAL, [])
        with pytest.raises(SetupError, match="steps"):
            SemanticGradientDescent(right, steps=0, subscribers=()).placebo(Chain(), TRAIN, VAL, TEST)
    assert server.requests == 0


def test_the_one_step_rewrite_is_told_the_expected_answer_and_nothing_of_the_graph():
    asked: list[str] = []

    def rule(prompt):
        if "new_instruction" in prompt.names:
            asked.append(prompt.inputs["lessons"])
        return careful(prompt)

    with served(rule):
        optimizer = SemanticGradientDescent(right, steps=1, method=presets.one_step(), subscribers=())
        better: Any = optimizer.compile(Chain(), trainset=TRAIN)
    assert "backward" not in better.detailed_results.spent
    assert len(asked) == 2 * 2
    for lessons in asked:
        assert len(re.findall(r"The expected answer is 'careful answer'", lessons)) == 2
        assert "should be careful" not in lessons
    # The first step sees its own inputs and outputs only.
    drafts = [lessons for lessons in asked if "draft: sloppy draft" in lessons and "question:" in lessons]
    assert [draft.count("Given:") for draft in drafts] == [2, 2] and isinstance(dspy.Example(), dspy.Example)
