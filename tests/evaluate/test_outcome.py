"""Outcomes can be sent to another process: what they hold arrives, and what cannot be sent leaves them."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import SemanticGradientDescent
from dspy_semantic_backprop.testing import Faults
from tests.evaluate.reusing import Network, Twice, echo, evaluated, view
from tests.scripted import right, served


class Holding(dspy.Module):
    """Returns a lock and a closure beside its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.final = dspy.Predict("question -> answer")

    def forward(self, question):
        with self.lock:
            answer = self.final(question=question).answer
        return dspy.Prediction(answer=answer, lock=threading.Lock(), shout=lambda: answer.upper())

    def __deepcopy__(self, memo):
        twin = type(self)()
        twin.final = self.final.deepcopy()
        return twin


class Counting(dspy.Module):
    """Wants a number where it is answered a word."""

    def __init__(self) -> None:
        super().__init__()
        self.count = dspy.Predict("question -> number: int")

    def forward(self, question):
        return dspy.Prediction(answer=self.count(question=question).number)


def sent(outcome: Any) -> Any:
    return pickle.loads(pickle.dumps(outcome))


@pytest.mark.parametrize("program", [Network([(), (0,), (0, 1)]), Twice()])
def test_a_scored_outcome_arrives_as_it_was(program):
    with served(echo):
        outcome = evaluated(program)
    twin = sent(outcome)
    assert view(twin) == view(outcome)
    assert twin.returned.toDict() == outcome.returned.toDict()
    assert twin.graph.to_dict() == outcome.graph.to_dict()
    assert twin.trace.calls[0].inputs == outcome.trace.calls[0].inputs


def test_an_outcome_that_arrived_can_be_reused_as_the_one_that_was_sent():
    with served(echo) as server:
        outcome = sent(evaluated(Twice()))
        before = server.requests
        again = evaluated(Twice(), {"check"}, record=outcome)
        assert server.requests - before == 1
    assert not again.strayed
    assert [call.outputs for call in again.graph][:3] == [call.outputs for call in outcome.graph][:3]


def test_locks_and_closures_leave_an_outcome_and_the_rest_arrives():
    with served(echo):
        outcome = evaluated(Holding())
    twin = sent(outcome)
    assert twin.returned.answer == outcome.returned.answer and twin.score == outcome.score
    assert isinstance(twin.returned.lock, str) and isinstance(twin.returned.shout, str)
    assert hasattr(outcome.returned.lock, "acquire") and outcome.returned.shout()
    assert twin.graph.to_dict()["calls"] == outcome.graph.to_dict()["calls"]


def test_what_a_program_raised_arrives_with_its_class_and_its_words():
    with served(echo):
        outcome = evaluated(Counting())
    twin = sent(outcome)
    assert type(twin.raised) is type(outcome.raised) and str(twin.raised) == str(outcome.raised)
    assert twin.feedback == outcome.feedback and twin.trace.calls[0].error == outcome.trace.calls[0].error


def test_a_missing_outcome_arrives_with_its_reason():
    with served(echo, faults=Faults(server_error=1.0), num_retries=0):
        outcome = evaluated(Twice())
    twin = sent(outcome)
    assert (twin.example_id, twin.error, twin.example.toDict()) == (0, outcome.error, outcome.example.toDict())


def test_an_explanation_can_be_sent():
    with served(echo):
        optimizer = SemanticGradientDescent(right, subscribers=())
        example = dspy.Example(question="Which?", answer="That").with_inputs("question")
        explanation = optimizer.explain(Network([(), (0,)]), example)
    assert sent(explanation).to_dict() == explanation.to_dict()
