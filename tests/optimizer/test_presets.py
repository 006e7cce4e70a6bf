"""The ablations as methods: one code path, recorded by name."""

from __future__ import annotations

import functools
import pickle
import random
import re
from dataclasses import replace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    Direction,
    Message,
    SemanticGradientDescent,
    TextGradient,
    only,
    presets,
    to_another,
    wrong,
)
from tests.backward.graphs import star
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served


class Three(dspy.Module):
    def __init__(self):
        super().__init__()
        self.left = dspy.Predict("question -> hint")
        self.right = dspy.Predict("question -> hint")
        self.final = dspy.Predict("left_hint, right_hint -> answer")

    def forward(self, question):
        return self.final(left_hint=self.left(question=question).hint, right_hint=self.right(question=question).hint)


NAMES = ["semantic", "isolated", "no_gradient", "shuffled", "comments", "via_analysis", "random_subset"]


def analysing(prompt: Any) -> dict[str, Any]:
    answers = careful(prompt)
    return {**answers, "analysis": "be careful"} if "analysis" in prompt.names else answers


def compiled(optimizer: SemanticGradientDescent) -> Any:
    with served(analysing):
        return optimizer.compile(Three(), trainset=questions(4)).detailed_results


@functools.cache
def ran(name: str) -> tuple[SemanticGradientDescent, Any]:
    """An optimizer with a preset, and what a run of it came to."""
    optimizer = SemanticGradientDescent(
        right, steps=1, method=getattr(presets, name)(), seed=3, probe="never", subscribers=()
    )
    return optimizer, compiled(optimizer)


@pytest.mark.parametrize("name", NAMES)
def test_every_ablation_runs_and_is_recorded_by_its_name(name):
    result = ran(name)[1]
    assert result.method == name == result.to_dict()["method"]
    backward = result.spent["backward"].calls if "backward" in result.spent else 0
    assert backward == len(result.steps[0].examples) * {"no_gradient": 0, "isolated": 2}.get(name, 1)
    assert result.notes.get("asked", 0) + result.notes.get("asked again", 0) == backward


PUBLIC = [name for name, preset in vars(presets).items() if getattr(preset, "__module__", "") == presets.__name__]


@pytest.mark.parametrize("name", [name for name in PUBLIC if callable(getattr(presets, name))])
def test_every_method_and_an_optimizer_with_it_go_to_another_process(name):
    (optimizer, one), method = ran(name), getattr(presets, name)()
    again, copied = pickle.loads(pickle.dumps(optimizer)), pickle.loads(pickle.dumps(method))
    assert copied == again.settings.method == method
    other = compiled(again)
    assert one.instructions_after == other.instructions_after and one.steps == other.steps


def test_shuffled_gives_every_predictor_anothers_gradients_and_the_same_ones_again():
    graph = star(["one", "two", "three"])
    gradients = {call.id: TextGradient((Message("final[0]", call.id, "hint", Direction(call.id)),)) for call in graph}
    for seed in range(20):
        given = to_another(graph, gradients, random.Random(seed))
        assert given == to_another(graph, gradients, random.Random(seed))
        assert sorted(map(str, given.values())) == sorted(gradients)
        for call, gradient in given.items():
            assert str(gradient) != call and gradient.messages[0].receiver == call
    # A call that wrote other fields is addressed by one of its own.
    assert given["final[0]"].messages[0].field == "answer"


def test_with_one_predictor_there_is_nothing_to_shuffle():
    graph = star([])
    gradients = {"final[0]": TextGradient((Message("output", "final[0]", "answer", Direction("so")),))}
    assert to_another(graph, gradients, random.Random(0)) == gradients


def test_what_a_step_says_of_its_own_instruction_reaches_the_proposal():
    def rule(prompt: Any) -> dict[str, Any]:
        seen.append(prompt.inputs.get("lessons", ""))
        return careful(prompt)

    seen: list[str] = []
    with served(rule):
        optimizer = SemanticGradientDescent(right, steps=1, subscribers=())
        optimizer.compile(Three(), trainset=questions(4))
        explained = optimizer.explain(Three(), questions(1)[0])
    assert any("How the instruction should have been different" in text for text in seen)
    assert "should have been told" in str(explained)
    assert set(explained.to_dict()) == {"score", "feedback", "graph", "gradients"}


@pytest.mark.parametrize(("count", "merges"), [(16, False), (20, True)])
def test_many_lessons_reach_the_proposal_as_statements_with_their_examples(count, merges):
    def rule(prompt: Any) -> dict[str, Any]:
        if "statements" in prompt.names:
            keys = re.findall(r"^(\[\w+\]) Count", prompt.inputs["lessons"], re.MULTILINE)
            return {"statements": f"Count everything. {' '.join(keys)}", "contradictions": "none"}
        if "new_instruction" in prompt.names:
            seen.append(prompt.inputs["lessons"])
            return {"new_instruction": "Count."}
        if "draft" in prompt.names:
            return {"draft": f"draft {number_in(prompt.inputs['question'])}"}
        told = {name: "" for name in prompt.names}
        for name in prompt.names:
            if name.startswith("change_") and name.replace("change_", "output_") in prompt.inputs:
                at = number_in(prompt.inputs[name.replace("change_", "output_")])
                told[name] = f"Name the unit of {at}." if at == 9 else f"Count the {'x' * (at + 3)}."
            elif name.startswith("change_"):
                told[name] = "No change needed."
        return told

    def number_in(text: str) -> int:
        return int(re.findall(r"\d+", text)[0])

    seen: list[str] = []
    parts: Any = {"choose_examples": wrong(count), "choose_predictors": only("draft")}
    method = replace(presets.proven(), **parts)
    with served(rule):
        optimizer = SemanticGradientDescent(right, steps=1, method=method, subscribers=())
        optimizer.compile(Chain(), trainset=questions(count))
    text = seen[0]
    assert len(re.findall(r"^Lesson ", text, re.MULTILINE)) == 16
    if not merges:
        assert text.startswith("Lesson 1\n")
        return
    first, second = text.split("\n")[1:3]
    numbers = re.fullmatch(r"1\. Count everything\. \(examples ([\d, ]+)\)", first)
    assert numbers is not None and set(map(int, numbers[1].split(", "))) == set(range(20)) - {9}
    assert second == "2. Name the unit of 9. (example 9)"
    # Every statement's first example is shown whole, whatever its place.
    assert "Lesson of example 9\n" in text
