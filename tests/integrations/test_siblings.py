"""Two sibling predictors with one signature: whose example is whose?"""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import SemanticGradientDescent, any_example, only, presets
from tests.scripted import questions, served

COUNT = 80


class Siblings(dspy.Module):
    def __init__(self):
        super().__init__()
        self.left = dspy.Predict("question -> hint")
        self.right = dspy.Predict("question -> hint")
        self.final = dspy.Predict("left_hint, right_hint -> answer")

    def forward(self, question):
        left = self.left(question=f"left side of {question}").hint
        right = self.right(question=f"right side of {question}").hint
        return self.final(left_hint=left, right_hint=right)


def rule(prompt):
    answers = {}
    for name in prompt.names:
        if name.startswith("change_"):
            read = prompt.inputs.get(name.replace("change_", "output_"))
            answers[name] = "No change needed." if read is None else f"change the {read}"
        elif name.startswith(("severity_", "quote_")):
            answers[name] = ""
        elif name == "new_instruction":
            answers[name] = "Anything."
        elif name == "hint":
            answers[name] = f"hint on the {prompt.inputs['question']}"
        else:
            answers[name] = "an answer"
    return answers


def test_every_gradient_reaches_the_right_sibling():
    from dataclasses import replace

    method = replace(presets.published(), choose_examples=any_example(COUNT), choose_predictors=only("final"))
    with served(rule):
        optimizer = SemanticGradientDescent(lambda e, p: 0.0, steps=1, method=method, subscribers=(), num_threads=16)
        better: Any = optimizer.compile(Siblings(), trainset=questions(COUNT))
    gradients = better.detailed_results.steps[0].gradients
    assert len(gradients) == COUNT
    for side in ("left", "right"):
        reached = sum(f"change the hint on the {side} side" in calls[f"{side}[0]"] for _, calls in gradients)
        assert reached == COUNT


def test_gepa_mixes_the_same_siblings_on_the_same_trajectories():
    pytest.importorskip("gepa", reason="dspy.GEPA needs gepa, which DSPy installs below Python 3.15")
    from dspy.teleprompt.gepa.gepa_utils import DspyAdapter

    program: Any = Siblings()
    with served(rule):
        trajectories = []
        for example in questions(COUNT):
            with dspy.context(trace=[]):
                prediction = program(**example.inputs())
                trace = list(dspy.settings.trace)
            trajectories.append({"example": example, "prediction": prediction, "trace": trace, "score": 0.0})
    feedback = {
        name: lambda **_: dspy.Prediction(score=0.0, feedback="wrong") for name, _ in program.named_predictors()
    }
    adapter = DspyAdapter(student_module=program, metric_fn=lambda *_: 0.0, feedback_map=feedback, rng=random.Random(0))
    batch: Any = SimpleNamespace(trajectories=trajectories, scores=[0.0] * COUNT)
    candidate = {name: predictor.signature.instructions for name, predictor in program.named_predictors()}
    rows = adapter.make_reflective_dataset(candidate, batch, ["left"])["left"]
    own = sum("left side" in str(row["Inputs"]) for row in rows)
    print(f"dspy.GEPA: {own} of {len(rows)} rows of 'left' are its own; ours: {COUNT} of {COUNT}")
    assert len(rows) == COUNT
    assert own < 0.7 * COUNT
