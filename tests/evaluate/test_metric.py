"""Any metric that DSPy's optimizers take; anything else is refused by name."""

from __future__ import annotations

import math

import dspy
import pytest

from dspy_semantic_backprop._errors import MetricError, SetupError
from dspy_semantic_backprop._evaluate.metric import adapt

EXAMPLE = dspy.Example(question="q", answer="a").with_inputs("question")
PREDICTION = dspy.Prediction(answer="a")


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
    assert adapt(metric).score(EXAMPLE, PREDICTION, "here").score == score


def test_own_defaults_of_a_metric_are_left_alone():
    metric = adapt(lambda example, prediction, trace=None, frac=1.0, strict=True: frac if strict else 0.0)
    assert metric.score(EXAMPLE, PREDICTION, "here").score == 1.0
    assert not metric.explains


def test_a_callable_object_is_a_metric():
    class Judge:
        def __call__(self, example, prediction, trace=None):
            return True

    assert adapt(Judge()).score(EXAMPLE, PREDICTION, "here").score == 1.0


def test_feedback_is_asked_with_the_predictor_and_its_trace():
    words = adapt(gepa).feedback(EXAMPLE, PREDICTION, ([("p", {}, None)], [("p", {}, None)]), "final", "here")
    assert words == "look at final"


@pytest.mark.parametrize("returned", [None, math.nan, math.inf, "0.5", b"1", [], {"feedback": "no score"}])
def test_what_is_no_score_is_an_error_that_names_the_example(returned):
    with pytest.raises(MetricError, match=r"returned .* for example 3"):
        adapt(lambda example, prediction: returned).score(EXAMPLE, PREDICTION, "example 3")


def test_a_metric_that_raises_is_an_error_that_names_it():
    def broken(example, prediction):
        raise KeyError("oops")

    with pytest.raises(MetricError, match=r"'broken' raised KeyError for example 3"):
        adapt(broken).score(EXAMPLE, PREDICTION, "example 3")


@pytest.mark.parametrize("metric", [None, 3, "exact", lambda: 1, lambda example: 1, lambda a, b, c, d: 1])
def test_a_metric_that_cannot_be_called_is_refused(metric):
    with pytest.raises(SetupError, match="metric"):
        adapt(metric)


def test_an_asynchronous_metric_is_refused():
    async def later(example, prediction):
        return 1

    with pytest.raises(SetupError, match="asynchronous"):
        adapt(later)
