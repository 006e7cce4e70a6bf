"""Whatever scale a metric has, a run learns it: nothing depends on scores between 0 and 1."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import dspy
import numpy as np
import pytest

from dspy_semantic_backprop import MetricError, SemanticGradientDescent
from dspy_semantic_backprop.testing import Prompt
from tests.scripted import careful, questions, right, served


def mostly(prompt: Prompt) -> dict[str, Any]:
    """As `careful`, but some questions are easy enough for anyone."""
    answers = careful(prompt)
    if "answer" in answers and any(f"number {easy}?" in prompt.inputs["question"] for easy in range(3)):
        answers["answer"] = "careful answer"
    return answers


def result_of(worst: Any, best: Any) -> Any:
    with served(mostly):
        optimizer = SemanticGradientDescent(
            lambda e, p: best if right(e, p) else worst, steps=1, probe="never", subscribers=()
        )
        return optimizer.compile(dspy.Predict("question -> answer"), trainset=questions(8)).detailed_results


@pytest.mark.parametrize(
    ("worst", "best"),
    [
        *((False, True), (0, 100), (-1000.0, 0.0), (-3.5, -3.0), (0.0, 1e-4), (1_000_000, 1_000_001)),
        *((np.float32(1), np.float32(5)), (Decimal("0.1"), Decimal(7)), (Fraction(0), Fraction(1, 3))),
        ({"score": -5, "feedback": "Be careful."}, {"score": 0, "feedback": None}),
        (dspy.Prediction(score=10, feedback="Be careful."), dspy.Prediction(score=20)),
    ],
)
def test_what_is_better_is_found_on_every_scale(worst, best):
    result = result_of(worst, best)
    low, high = (float(one["score"] if isinstance(one, dict) else getattr(one, "score", one)) for one in (worst, best))
    assert result.final.returned and result.score_after == high > result.score_before > low
    assert 0 < result.final.gain <= high - low


@pytest.mark.parametrize("seen", [(1.0, "feedback"), [1.0], np.array([1.0, 2.0]), 1j, float("inf"), dspy.Prediction()])
def test_what_is_no_number_is_refused(seen):
    with pytest.raises(MetricError, match=r"return a number, a bool or dspy\.Prediction"):
        result_of(seen, seen)
