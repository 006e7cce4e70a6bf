"""What a whole compile makes of gates, races, restraint and the decision at the end."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    Budget,
    Commit,
    Gated,
    Restraint,
    SemanticGradientDescent,
    SetupError,
    only,
    pareto,
    presets,
)
from dspy_semantic_backprop.testing import Prompt
from tests.optimizer.test_compile import Chain, Fan
from tests.scripted import careful, questions, right, served

TRAIN, VAL = questions(40)[30:], questions(30)


def compiled(program: Any, *, train: Any = TRAIN, val: Any = VAL, rule: Any = careful, **settings: Any) -> Any:
    with served(rule) as server:
        optimizer = SemanticGradientDescent(
            right, **{"steps": 3, "probe": "never", "subscribers": (), "method": presets.proven(), **settings}
        )
        better: Any = optimizer.compile(program, trainset=train, valset=val)
        assert better.detailed_results.total.calls == len(server.log)
    return better


def writing(text: str):
    """As `careful`, but every proposal is this text behind the current instruction."""

    def rule(prompt: Prompt) -> dict[str, Any]:
        answers = careful(prompt)
        if "new_instruction" in answers:
            answers["new_instruction"] = f"{prompt.inputs['current_instruction']}\nBe careful. {text}"
        return answers

    return rule


def test_a_gain_is_told_from_fresh_examples_that_nothing_was_decided_on():
    result = compiled(Chain(), val=[*VAL, *questions(70)[40:]]).detailed_results
    final = result.final
    assert final.returned and final.examples == 24
    assert (final.before, final.after, final.gain) == (0.0, 1.0, 1.0)
    assert final.interval[0] > 0.5
    evaluated = {number for candidate in result.candidates for number in candidate.scores}
    assert len(evaluated) <= 36
    assert result.spent["final"].calls > 0
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()


def test_few_examples_are_all_for_the_loop_and_said_so():
    final = compiled(Chain(), val=questions(6)).detailed_results.final
    assert final.returned and final.examples == 0 and final.gain is None


def test_a_method_without_that_decision_returns_what_the_gate_accepts():
    result = compiled(Chain(), method=presets.published()).detailed_results
    assert result.final is None and result.score_after == 1.0


def test_an_edit_is_evaluated_only_where_it_can_reach_and_decided_on_alike():
    chosen: Any = {"choose_predictors": only("final")}
    with_reuse, without = (
        compiled(Fan(), method=replace(presets.semantic(), downstream=switch, **chosen)).detailed_results
        for switch in (True, False)
    )
    decided = [
        [(step.verdict, step.changed, step.fixes, step.regressions) for step in result.steps]
        for result in (with_reuse, without)
    ]
    assert decided[0] == decided[1]
    assert with_reuse.instructions_after == without.instructions_after
    assert with_reuse.total.calls < without.total.calls
    assert with_reuse.total.reused > 0 and without.total.reused == 0


def test_several_proposals_of_a_step_are_raced_and_all_are_kept():
    def rule(prompt: Prompt) -> dict[str, Any]:
        answers = careful(prompt)
        if "new_instruction" in answers:
            useless = "Take your time." if len(asked) % 3 else "Be careful."
            asked.append(prompt)
            answers["new_instruction"] = f"{prompt.inputs['current_instruction']}\n{useless}"
        return answers

    asked: list[Prompt] = []
    bare: Any = dspy.Predict("question -> answer")
    result = compiled(
        bare, rule=rule, num_threads=1, method=replace(presets.proven(), search=Gated(proposals=3))
    ).detailed_results
    assert result.steps[0].verdict == "accepted"
    assert len(result.steps[0].candidates) == 2
    assert "Be careful." in result.instructions_after["self"]


def test_parents_may_be_chosen_per_example():
    result = compiled(Fan(), method=replace(presets.proven(), search=Gated(choose_parent=pareto))).detailed_results
    assert result.final.returned and result.score_after == 1.0


def test_a_proposal_that_quotes_an_example_is_used_without_the_quotation():
    quotation = f"For instance, {TRAIN[0].question} The answer is {TRAIN[0].answer}."
    better = compiled(Chain(), rule=writing(quotation))
    for text in better.detailed_results.instructions_after.values():
        assert "Be careful." in text and "statement number" not in text


def test_a_proposal_that_drops_a_protected_text_is_asked_for_once_more_with_the_reason_and_then_refused():
    def forgetful(prompt: Prompt) -> dict[str, Any]:
        answers = careful(prompt)
        if "new_instruction" in answers:
            constraints.append(prompt.inputs["constraint"])
            answers["new_instruction"] = "Be careful."
        return answers

    constraints: list[str] = []
    program: Any = dspy.Predict("question -> answer")
    program.signature = program.signature.with_instructions("Answer. Never use more than ten words.")
    restraint = Restraint(protect=["Never use more than ten words."])
    method = replace(presets.proven(), restraint=restraint)
    result = compiled(program, rule=forgetful, steps=1, method=method).detailed_results
    assert result.steps[0].verdict == "empty"
    assert "'Never use more than ten words.' stands there nowhere" in result.steps[0].refused["self"]
    assert len(constraints) == 2 and "was refused" in constraints[1]
    assert result.instructions_after == result.instructions_before


def test_a_protected_text_that_is_not_there_is_refused_before_anything_is_spent():
    method = replace(presets.semantic(), restraint=Restraint(protect=["No such text."]))
    with served(careful) as server:
        optimizer = SemanticGradientDescent(right, method=method, subscribers=())
        with pytest.raises(SetupError, match="No such text"):
            optimizer.compile(Chain(), trainset=TRAIN)
        assert not server.log


def test_an_instruction_that_is_not_worth_its_length_is_not_accepted():
    method = replace(presets.semantic(), restraint=Restraint(length_penalty=1000.0))
    assert compiled(Chain(), method=method).detailed_results.steps[0].verdict == "rejected"


@pytest.mark.parametrize(
    ("val", "said"),
    [
        (TRAIN[1:], "every example of the valset is in the trainset too"),
        (questions(35), "5 of 35 examples of the valset are in the trainset too"),
        ([*VAL, *VAL[:3]], "3 of 33 examples of the valset repeat another one"),
        (VAL[:1], "with 1 example to decide on no edit can be shown to be better"),
    ],
)
def test_sets_that_flatter_are_said_aloud(val, said):
    result = compiled(Chain(), val=val, steps=1).detailed_results
    assert any(said in warning for warning in result.warnings), result.warnings


def test_examples_that_are_learned_from_or_repeated_are_never_fresh():
    result = compiled(Chain(), val=[*VAL, *VAL[:10], *TRAIN]).detailed_results
    # Twenty examples stand there once: those of VAL that are not repeated.
    assert result.final.examples <= 20


def test_a_budget_keeps_enough_for_the_decision_at_the_end():
    result = compiled(Chain(), steps=50, rule=writing("Mind it."), budget=Budget(calls=130)).detailed_results
    assert result.final is not None
    assert result.total.calls <= 130


@pytest.mark.parametrize("method", [presets.semantic(), presets.proven()], ids=lambda one: one.name)
def test_luck_is_not_called_a_gain(method):
    """Nothing has an effect and one answer in five flips: what is no better may be returned, but not as proven."""
    rng = random.Random(0)

    def noisy(prompt: Prompt) -> dict[str, Any]:
        answers = careful(prompt)
        if "answer" in answers:
            answers["answer"] = "careful answer" if rng.random() < 0.8 else "sloppy answer"
        if "new_instruction" in answers:
            answers["new_instruction"] = f"{prompt.inputs['current_instruction']} Rule {rng.randrange(10**6)}."
        return answers

    proven = 0
    for seed in range(4):
        program: Any = dspy.Predict("question -> answer")
        result = compiled(
            program, val=VAL[:20], rule=noisy, steps=4, seed=seed, num_threads=1, method=method
        ).detailed_results
        proven += result.final is not None and result.final.proven
    assert proven <= 1


def test_the_stated_error_is_the_users():
    method = replace(presets.proven(), search=Gated(commit=Commit(error=0.001)))
    final = compiled(Chain(), val=questions(6), method=method).detailed_results.final
    assert not final.returned and "may be luck" in final.reason
