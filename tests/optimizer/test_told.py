"""What the ending says agrees with what is returned, wherever a budget ends the run."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from dspy_semantic_backprop import Budget, Result, SemanticGradientDescent, presets
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served

METHODS = {"published": presets.published, "default": presets.semantic}
CUT = [("published", 70), ("default", 38)]


@functools.cache
def ended(method: str, calls: int) -> Result:
    with served(careful):
        optimizer = SemanticGradientDescent(
            right, method=METHODS[method](), budget=Budget(calls=calls), num_threads=1, subscribers=()
        )
        better: Any = optimizer.compile(Chain(), trainset=questions(30)[20:], valset=questions(20))
    return better.detailed_results


@pytest.mark.parametrize(("method", "calls"), CUT)
def test_what_is_returned_has_a_step_that_accepted_it_wherever_the_budget_ends(method, calls):
    result = ended(method, calls)
    accepted = [step for step in result.steps if step.verdict == "accepted"]
    assert bool(result.changed) <= bool(accepted)
    assert ("the start is returned" in str(result)) <= (not result.changed)
