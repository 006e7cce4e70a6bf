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


class Desk(dspy.Module):
    """Two writers of the answer, of whom neither reads the other."""

    def __init__(self):
        super().__init__()
        self.urgency = dspy.Predict("message -> urgency")
        self.topic = dspy.Predict("message -> topic")

    def forward(self, message):
        return dspy.Prediction(urgency=self.urgency(message=message).urgency, topic=self.topic(message=message).topic)


def explained(metric):
    """A program of two writers, explained, with the calls of the metric counted."""
    with served(careful):
        optimizer = SemanticGradientDescent(metric, subscribers=())
        return optimizer.explain(Desk(), dspy.Example(message="m").with_inputs("message"))


def test_every_writer_of_the_answer_is_told_its_own_words():
    def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
        if pred_name is None or trace is None or pred_trace is None:
            return dspy.Prediction(score=0.25, feedback="words for nobody")
        ((_, inputs, outputs),) = pred_trace
        assert inputs == {"message": "m"} and len(trace) == 2
        return dspy.Prediction(score=0.25, feedback=f"{pred_name} wrote {dict(outputs)}")

    found = explained(metric)
    assert {call: str(gradient) for call, gradient in found.gradients.items()} == {
        "urgency[0]": "urgency wrote {'urgency': 'sloppy urgency'}",
        "topic[0]": "topic wrote {'topic': 'sloppy topic'}",
    }
    assert found.outcome.feedback == "words for nobody"


def test_a_writer_without_words_of_its_own_is_told_what_is_said_of_the_answer():
    def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
        return {"score": 0, "feedback": {"urgency": "Always urgent.", None: "All wrong."}.get(pred_name)}

    found = explained(metric)
    assert [str(found.gradients[call]) for call in ("urgency[0]", "topic[0]")] == ["Always urgent.", "All wrong."]


def test_a_score_that_depends_on_the_predictor_counts_as_it_was_without_one(caplog):
    def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
        return dspy.Prediction(score=0.25 if pred_name is None else 1.0, feedback=f"look at {pred_name}")

    found = explained(metric)
    assert found.outcome.score == 0.25 and str(found.gradients["topic[0]"]) == "look at topic"
    assert "scores a prediction otherwise when it is told of a predictor" in caplog.text


def test_a_metric_that_looks_at_no_predictor_is_asked_once():
    asked = []

    def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
        asked.append(pred)
        return dspy.Prediction(score=0.0, feedback="All wrong.")

    found = explained(metric)
    assert len(asked) == 1 and {str(one) for one in found.gradients.values()} == {"All wrong."}


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
