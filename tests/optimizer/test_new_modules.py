"""What DSPy has new: optimised, or refused with a sentence."""

from __future__ import annotations

from typing import Any

import dspy
import pytest
from dspy import experimental

from dspy_semantic_backprop import SemanticGradientDescent, SetupError, presets, trace
from tests.scripted import careful, questions, right, served


class Judge(dspy.Module):
    """Decides by a Boolean with a confidence."""

    def __init__(self) -> None:
        super().__init__()
        fields = {
            "question": (str, dspy.InputField()),
            "safe": (experimental.Noul, dspy.OutputField(desc="whether it is safe")),
        }
        self.safe = dspy.Predict(dspy.make_signature(fields, "Is it safe?"))
        self.final = dspy.Predict("question, verdict -> answer")

    def forward(self, question: str) -> Any:
        safe = self.safe(question=question).safe
        return self.final(question=question, verdict="fine" if safe else "sloppy")


class Thinker(dspy.Module):
    """Hands its thoughts on."""

    def __init__(self) -> None:
        super().__init__()
        fields = {
            "question": (str, dspy.InputField()),
            "reasoning": (dspy.Reasoning, dspy.OutputField()),
            "hint": (str, dspy.OutputField()),
        }
        self.think = dspy.Predict(dspy.make_signature(fields, "Think."))
        self.final = dspy.Predict("question, hint, thoughts -> answer")

    def forward(self, question: str) -> Any:
        found = self.think(question=question)
        return self.final(question=question, hint=found.hint, thoughts=found.reasoning)


def deciding(prompt: Any) -> dict[str, Any]:
    sure = 0.9 if "careful" in prompt.instruction.lower() else 0.1
    asked = {name: "Be careful." for name in prompt.names if name.startswith("change_")}
    return {**careful(prompt), **asked, **{name: {"noul": sure} for name in prompt.names if name == "safe"}}


def compiled(program: dspy.Module, **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(right, steps=2, method=presets.published(), subscribers=(), **settings)
    return optimizer.compile(program, trainset=questions(5))


@pytest.mark.parametrize(("program", "read"), [(Judge, "verdict"), (Thinker, "thoughts")])
def test_decisions_and_reasoning_are_read_and_optimised(program, read):
    with served(deciding):
        graph = trace(program(), {"question": "Why?"})
        assert read in {edge.target.field for edge in graph.edges} and not graph.warnings
        assert compiled(program()).detailed_results.score_after == 1


def test_a_decision_is_shown_by_its_value_and_confidence():
    with served(deciding) as server:
        example = dspy.Example(question="Why?", answer="careful answer").with_inputs("question")
        SemanticGradientDescent(right, subscribers=()).explain(Judge(), example)
    asked = [str(one.messages[-1]["content"]) for one in server.log if "change_" in str(one.messages[0]["content"])]
    assert asked and all("value" in text and "confidence" in text and "without a text" not in text for text in asked)


def test_what_is_written_as_code_is_refused_or_named():
    class Mixed(dspy.Module):
        def __init__(self):
            super().__init__()
            self.code = dspy.Flex("question -> hint")
            self.final = dspy.Predict("question -> answer")

        def forward(self, question):
            return self.final(question=question)

    with served(careful):
        with pytest.raises(SetupError, match=r"a dspy.Flex is made of code, which is not optimised here"):
            compiled(dspy.Flex("question -> answer"))
        told = compiled(Mixed()).detailed_results.warnings
    assert "code is a dspy.Flex, whose code is not optimised here" in told
