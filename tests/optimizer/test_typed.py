"""What `compile` gives back is the student's own type; a type checker reads these lines, too."""

from __future__ import annotations

import dspy
import pytest
import typing_extensions as typed

from dspy_semantic_backprop import Result, SemanticGradientDescent
from tests.scripted import careful, questions, right, served


class Chain(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hint = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, hint -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return self.final(question=question, hint=self.hint(question=question).hint)


def test_a_program_is_compiled_to_its_own_type_with_a_result():
    with served(careful):
        better = SemanticGradientDescent(right, steps=1, subscribers=()).compile(Chain(), trainset=questions(4))
        typed.assert_type(better, Chain)
        found = Result.of(better)
        typed.assert_type(found, Result)
        assert found.score_after == 1
        assert found is vars(better)["detailed_results"]
        assert better(question="Why?").answer == "careful answer"


def test_a_program_that_was_not_compiled_is_none():
    with pytest.raises(TypeError, match="Chain was not made by"):
        Result.of(Chain())
