"""What a run takes, beside what it was told to take: at most, probably, and within a budget."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from dataclasses import replace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Budget, Ending, SemanticGradientDescent, only, presets
from dspy_semantic_backprop.integrations import Projected
from dspy_semantic_backprop.testing import Prompt
from tests.scripted import served

REST = "that it was projected to take at most: its program calls its predictors more often than in the first executions"
WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "ledge")


def lucky(prompt: Prompt) -> dict[str, Any]:
    """Answers, gradients and instructions by the request's hash: half of all answers are right."""
    dice = random.Random(hashlib.sha256(prompt.text.encode()).digest())
    said = {name: " ".join(dice.choices(WORDS, k=4)) for name in prompt.names}
    said |= {name: "" for name in said if name.startswith(("severity_", "quote_"))}
    return {**said, **({"answer": dice.choice(["yes", "no"])} if "answer" in said else {})}


class Hints(dspy.Module):
    def __init__(self, count: int, chained: bool) -> None:
        super().__init__()
        self.hints = [dspy.Predict("text -> hint") for _ in range(count - 1)]
        self.last = dspy.Predict("question, hints: list[str] -> answer")
        self.chained = chained

    def forward(self, question: str) -> Any:
        told: list[str] = []
        for number, hint in enumerate(self.hints):
            told.append(hint(text=told[-1] if self.chained and told else f"{number} {question}").hint)
        return self.last(question=question, hints=told[-1:] if self.chained else told)


def ran(program: dspy.Module, examples: int, **settings: Any) -> tuple[list[Any], Any]:
    train = [dspy.Example(question=f"Is {at} so?", answer="yes").with_inputs("question") for at in range(examples)]
    told: list[Any] = []

    def heard(event: Any) -> None:
        told.extend([event.projection] if isinstance(event, Projected) else [])

    optimizer = SemanticGradientDescent(
        lambda example, prediction, trace=None: prediction.answer == example.answer, subscribers=[heard], **settings
    )
    with served(lucky):
        return told, optimizer.compile(program, trainset=train).detailed_results


@pytest.mark.parametrize(
    ("predictors", "chained", "examples", "steps"), [(2, True, 12, 3), (10, False, 10, 1), (30, True, 4, 1)]
)
def test_a_run_takes_no_more_than_it_was_told_to_and_about_what_is_likely(predictors, chained, examples, steps):
    told, result = ran(Hints(predictors, chained), examples, steps=steps)
    assert len(result.steps) == steps
    assert result.total.calls <= told[-1].calls <= 1.2 * told[-1].probable.calls
    # How long the decision at the end takes is a matter of luck, more so with few examples.
    assert 0.8 <= told[-1].probable.calls / result.total.calls <= 1.8


def test_as_many_steps_are_projected_as_were_asked_for_or_as_a_budget_lasts_for():
    asked = Budget(metric_calls=20)  # It ends the run, whatever was asked for.
    assert ran(Hints(2, False), 8, steps=20, budget=asked)[0][-1].steps == 20
    told, result = ran(Hints(2, False), 8, budget=Budget(calls=150))
    assert 0.5 <= told[-1].steps / len(result.steps) <= 2


def test_a_decision_that_keeps_to_the_bill_says_so_and_a_larger_budget_lets_it_look_further():
    told, kept = ran(Hints(5, chained=False), 12, steps=1, seed=2)
    _, free = ran(Hints(5, chained=False), 12, steps=1, seed=2, budget=Budget(calls=2 * told[-1].calls))
    assert any("keeps to the calls" in warning for warning in kept.warnings)
    assert not any("keeps to the calls" in warning for warning in free.warnings)
    assert free.total.calls > told[-1].calls >= kept.total.calls


def test_what_a_budget_does_not_allow_is_not_projected():
    told, _ = ran(Hints(2, chained=True), 8, steps=2, budget=Budget(calls=30, metric_calls=20))
    assert [(one.calls, one.executions, one.probable.calls) for one in told] == [(30, 20, 30)] * 2
    assert all(one.probable.executions < 20 for one in told), "the calls end it before the metric does"


class Straying(Hints):
    """Asks another question each time."""

    asked = itertools.count()

    def forward(self, question: str) -> Any:
        return super().forward(f"{question} ({next(Straying.asked)})")


class Growing(dspy.Module):
    """Drafts once at first, and later so often."""

    runs = 0

    def __init__(self, later: int) -> None:
        super().__init__()
        self.later, Growing.runs = later, 0
        self.draft = dspy.Predict("question, number: int -> draft")
        self.last = dspy.Predict("question, drafts: list[str] -> answer")

    def forward(self, question: str) -> Any:
        Growing.runs += 1
        times = 1 if Growing.runs <= 8 else self.later
        drafts = [self.draft(question=question, number=number).draft for number in range(times)]
        return self.last(question=question, drafts=drafts)


def test_a_program_that_does_not_repeat_itself_is_held_to_what_is_then_said():
    method = replace(presets.semantic(), choose_predictors=only("last"))
    told, result = ran(Straying(5, chained=False), 10, steps=2, method=method, num_threads=1)
    said = next(warning for warning in result.warnings if "evaluated in full" in warning)
    most = int(re.findall(r"at most ([\d,]+) in all", said)[0].replace(",", ""))
    assert told[-1].calls <= most and result.total.calls <= most


def test_a_program_that_takes_more_and_more_is_told():
    told, result = ran(Growing(3), 10, steps=2)
    over = [warning for warning in result.warnings if "more than the" in warning]
    assert result.total.calls > told[-1].calls and result.ending is Ending.STEPS
    assert over == [f"the run took {result.total.calls:,} calls, more than the {told[-1].calls:,} {REST}"]


def test_a_program_that_takes_several_times_as_much_is_stopped_unless_there_is_a_budget():
    told, stopped = ran(Growing(30), 10, steps=2)
    assert stopped.ending is Ending.BUDGET and "times what the run was projected to take" in stopped.reason
    assert told[-1].calls < stopped.total.calls <= 3 * told[-1].calls
    _, free = ran(Growing(30), 10, steps=2, budget=Budget(calls=10_000))
    assert free.ending is Ending.STEPS and free.total.calls > stopped.total.calls
