"""Any metric that DSPy's optimizers take; anything else is refused by name."""

from __future__ import annotations

import math

import dspy
import pytest

from dspy_semantic_backprop import MetricError, SemanticGradientDescent, SetupError
from tests.scripted import careful, served

EXAMPLE = dspy.Example(question="q", answer="sloppy answer").with_inputs("question")


def graded(metric):
    """The outcome of a program of one predictor, as a metric grades it."""
    program = dspy.Predict("question -> answer")
    with served(careful):
        return SemanticGradientDescent(metric, subscribers=()).explain(program, EXAMPLE).outcome


def two(example, prediction):
    return example.answer == prediction.answer


def three(example, prediction, trace):
    assert trace is None
    return 0.5


def gepa(gold, pred, trace=None, pred_name=None, pred_trace=None):
    return dspy.Prediction(score=0.25, feedback=f"look at {pred_name}")


def gepa_required(gold, pred, trace, pred_name, pred_trace):
    return {"score": 1, "feedback": None}


def six(gold, pred, trace, pred_name, pred_trace, program_trace):
    return 2


@pytest.mark.parametrize(
    ("metric", "score"), [(two, 1.0), (three, 0.5), (gepa, 0.25), (gepa_required, 1.0), (six, 2.0)]
)
def test_every_accepted_signature_is_called_with_what_it_requires(metric, score):
    assert graded(metric).score == score


def test_own_defaults_of_a_metric_are_left_alone():
    given = []

    def metric(example, prediction, trace=None, frac=1.0, strict=True):
        given.append((trace, frac, strict))
        return frac if strict else 0.0

    assert graded(metric).score == 1.0
    assert given == [(None, 1.0, True)]


def test_a_callable_object_is_a_metric():
    class Judge:
        def __call__(self, example, prediction, trace=None):
            return True

    assert graded(Judge()).score == 1.0


def test_feedback_is_asked_with_the_predictor_and_its_trace():
    def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
        if pred_name is None:
            return 0.25
        assert pred_trace is not None
        ((predictor, inputs, outputs),) = pred_trace
        assert trace == pred_trace and isinstance(predictor, dspy.Predict) and inputs == {"question": "q"}
        return dspy.Prediction(score=0.25, feedback=f"look at {pred_name}, which wrote {outputs.answer}")

    assert graded(metric).feedback == "look at self, which wrote sloppy answer"


@pytest.mark.parametrize("returned", [None, math.nan, math.inf, "0.5", b"1", [], {"feedback": "no score"}])
def test_what_is_no_score_is_an_error_that_names_the_example(returned):
    with pytest.raises(MetricError, match=r"returned .* for example 0 \(question='q'"):
        graded(lambda example, prediction: returned)


def test_a_metric_that_raises_is_an_error_that_names_it():
    def broken(example, prediction):
        raise KeyError("oops")

    with pytest.raises(MetricError, match=r"'broken' raised KeyError for example 0"):
        graded(broken)


@pytest.mark.parametrize("metric", [None, 3, "exact", lambda: 1, lambda example: 1, lambda a, b, c, d: 1])
def test_a_metric_that_cannot_be_called_is_refused(metric):
    with pytest.raises(SetupError, match="metric"):
        SemanticGradientDescent(metric)


def test_an_asynchronous_metric_is_refused():
    async def later(example, prediction):
        return 1

    with pytest.raises(SetupError, match="asynchronous"):
        SemanticGradientDescent(later)
