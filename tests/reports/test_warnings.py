"""What `compile` and `preflight` say of data and metrics at no cost, and that they go on where they can."""

from __future__ import annotations

import itertools
import random
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Budget, SemanticGradientDescent, presets
from tests.optimizer.test_compile import Chain
from tests.reports.test_diagnose import Fan, diagnosed
from tests.scripted import careful, questions, right, served


def result_of(metric: Any = right, program: Any = None, count: int = 12, **settings) -> Any:
    with served(careful) as server:
        optimizer = SemanticGradientDescent(
            metric, **{"steps": 2, "probe": "never", "subscribers": (), "method": presets.proven(), **settings}
        )
        better: Any = optimizer.compile(program or Chain(), trainset=questions(count))
        assert better.detailed_results.total.calls == server.requests
    return better.detailed_results


def said(result: Any, words: str) -> bool:
    return any(words in warning for warning in result.warnings)


def test_nothing_is_said_where_nothing_is_wrong():
    assert not result_of().warnings


def test_a_metric_that_is_not_deterministic_is_named_with_the_share_that_differs():
    flips = random.Random(0)
    result = result_of(lambda example, prediction: flips.random() < 0.5, num_threads=1)
    assert said(result, "not deterministic")
    assert said(result, "of 8 of the very same predictions")
    with served(careful):
        found = SemanticGradientDescent(lambda e, p: flips.random(), subscribers=(), num_threads=1).preflight(
            Chain(), questions(12), candidates=0
        )
    assert said(found, "not deterministic")


def test_a_metric_is_not_asked_twice_where_that_costs_something():
    turn, flips = itertools.count(), random.Random(0)

    def flighty(example, prediction):
        return flips.random() < 0.5

    def judged(example, prediction):
        dspy.Predict("question -> draft")(question=prediction.answer)
        return next(turn) % 3 == 0

    assert not said(result_of(flighty, budget=Budget(metric_calls=200), num_threads=1), "deterministic")
    assert not said(result_of(judged, num_threads=1), "deterministic")


@pytest.mark.parametrize(("low", "high"), [(0, 100), (1, 5), (-10, 0)])
def test_any_range_of_scores_works_and_is_said_aloud(low, high):
    def metric(example, prediction):
        # One example in four is right from the start: the range shows.
        easy = int(example.question.split()[-1].strip("?")) % 4 == 0
        return high if easy or prediction.answer == example.answer else low

    result = result_of(metric)
    assert said(result, f"from {low} to {high}, outside 0 to 1")
    assert result.score_before < result.score_after == high
    with served(careful):
        found = SemanticGradientDescent(metric, probe="never", subscribers=()).preflight(Chain(), questions(16))
    assert found.recommendation == "go" and found.best == high and said(found, "outside 0 to 1")


def test_scores_that_are_all_the_same_and_outside_of_0_to_1_are_not_taken_for_perfect():
    result = result_of(lambda example, prediction: 90 if prediction.answer == example.answer else 50)
    assert (result.score_before, result.score_after) == (50, 90)


def test_scores_of_mixed_types_are_said_aloud():
    def metric(example, prediction):
        good = prediction.answer == example.answer
        number = int(example.question.split()[-1].strip("?"))
        return [good, float(good), {"score": int(good)}, dspy.Prediction(score=good)][number % 4]

    result = result_of(metric)
    assert said(result, "mixed types (Prediction 2 times, bool 1 times, dict 2 times, number 3 times)")
    assert result.score_after == 1.0
    assert not said(result_of(lambda e, p: 1 if p.answer == e.answer else 0.0), "mixed")


def test_a_score_at_the_ceiling_leaves_no_headroom():
    assert said(result_of(lambda example, prediction: 1.0), "no headroom: all 12 examples")
    assert not said(result_of(lambda example, prediction: 1.0, steps=0), "headroom")


def test_one_wrong_example_cannot_be_told_from_luck():
    def metric(example, prediction):
        return prediction.answer == example.answer or "number 0?" not in example.question

    result = result_of(metric)
    assert said(result, "no headroom: 1 of 12 examples")
    assert result.score_after == result.score_before
    # The published rule accepts any rise, and does not ask.
    assert not result_of(metric, method=presets.published()).warnings


def test_examples_too_few_for_any_verdict_are_named():
    result = result_of(count=2)
    assert said(result, "with 2 examples to decide on") and said(result, "pass at least 3")
    assert result.score_after == result.score_before
    assert not said(result_of(count=3), "to decide on")


def test_one_thing_is_said_once():
    assert len(result_of(count=1).warnings) == 1
    (perfect,) = result_of(lambda example, prediction: 1.0, method=presets.semantic()).warnings
    assert "no headroom: all 12 examples" in perfect
    losses = result_of(lambda example, prediction: -3.0, steps=1)
    assert said(losses, "returned -3 of everything so far, outside 0 to 1")


def test_near_misses_are_passed_over_where_others_lack_more_and_it_is_said():
    def near(example, prediction, trace=None):
        return 0.99 if example.question[-2] in "13579" else 0.2

    def failed(perfect, metric=near):
        found, _ = diagnosed(Fan(), metric=metric, checks=0, perfect=perfect)
        return found.failures, any("passed over" in one for one in found.warnings)

    assert failed(None) == (2, True) and failed(1.0) == (4, False)
    assert failed(None, lambda example, prediction, trace=None: 0.99) == (4, False)
