"""Where a budget ends a run, the order in which threads are answered decides nothing of what comes of it."""

from __future__ import annotations

import random
import time
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Budget, SemanticGradientDescent, presets
from dspy_semantic_backprop.integrations import Event, ExampleDone
from dspy_semantic_backprop.testing import Prompt
from tests.scripted import careful, number_from_the_start, questions, served


class Wide(dspy.Module):
    """Five hints and a verdict: an execution of six calls, which a spent budget may break off anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.hints = [dspy.Predict("question -> hint") for _ in range(5)]
        self.verdict = dspy.Predict("question, hints: list[str] -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return self.verdict(question=question, hints=[hint(question=question).hint for hint in self.hints])


def unevenly(prompt: Prompt) -> dict[str, Any] | str:
    """As `careful`, after another time each time."""
    time.sleep(random.uniform(0, 0.02))
    return careful(prompt)


def half_right(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
    """Right for every third question, and for three of four where the answer is a careful one."""
    number = int(example.question.split()[-1].rstrip("?"))
    return float(number % 4 != 0 if "careful" in prediction.answer else number % 3 == 0)


def found(budget: Budget, method: Any) -> tuple[Any, ...]:
    """What comes of a run with so much: the program, what was scored, and why it ended."""
    scores: list[tuple[int, float | None]] = []

    def note(event: Event) -> None:
        if isinstance(event, ExampleDone):
            scores.append((event.example_id, event.score))

    number_from_the_start()
    with served(unevenly, max_tokens=60):
        optimizer = SemanticGradientDescent(half_right, budget=budget, method=method, subscribers=(note,))
        better = optimizer.compile(Wide(), trainset=questions(16))
    result = better.detailed_results
    return better.dump_state(), sorted(scores), len(result.steps), result.ending.name


@pytest.mark.parametrize("method", [presets.semantic(), presets.proven()], ids=["semantic", "proven"])
@pytest.mark.parametrize("budget", [Budget(calls=75), Budget(calls=110), Budget(metric_calls=14)], ids=repr)
def test_what_is_left_of_a_budget_goes_to_the_same_executions(budget, method):
    first, *others = [found(budget, method) for _ in range(3)]
    assert first[-1] == "BUDGET" and first[1]
    for other in others:
        assert other == first


def test_an_execution_is_not_broken_off_by_what_comes_behind_it():
    """Of 40 calls, six executions of six are made; eight at once would have spent them on halves."""
    finished: list[Event] = []
    with served(unevenly):
        optimizer = SemanticGradientDescent(
            half_right, budget=Budget(calls=40), subscribers=(finished.append,), num_threads=16
        )
        optimizer.compile(Wide(), trainset=questions(16))
    assert sum(isinstance(event, ExampleDone) for event in finished) == 6
