"""Nothing that stands in a name or a value moves the cursor, hides a text or turns one round."""

from __future__ import annotations

import logging
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    Budget,
    Limits,
    MetricError,
    SemanticBackpropError,
    SemanticGradientDescent,
    SetupError,
    program_graph,
    trace,
)
from dspy_semantic_backprop.testing import SimulatedServer
from tests.scripted import careful, questions, right, served

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202edeed\u2066\r\x08\u200b\U000e0041"


class Named(dspy.Module):
    """A program whose predictors are named by data, and whose answers hold what a terminal obeys."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = {f"hint{EVIL}": dspy.Predict("question -> hint")}
        self.final = dspy.Predict("question, hint -> answer")

    def forward(self, question: str) -> Any:
        hint = next(iter(self.steps.values()))(question=question).hint
        return self.final(question=question, hint=f"{hint} {EVIL}")


class Shouting:
    """A user's value whose text is what somebody else wrote."""

    def __repr__(self) -> str:
        return EVIL


def safe(text: str) -> bool:
    return not any(sign in text for sign in set(EVIL.replace("\r", "")) - set("]0;owned[2J31mdeed"))


def example() -> dspy.Example:
    return questions(1)[0].copy(question=f"What {EVIL}?").with_inputs("question")


def test_graphs_and_their_drawings():
    with served(careful):
        graph, whole = trace(Named(), example()), program_graph(Named(), [example()])
    for one in (graph, whole):
        assert all(map(safe, (str(one), repr(one), one.to_mermaid(), one.to_dot(), one.to_svg())))
        assert all(map(safe, one.warnings))
    assert "\\u001b" in str(graph)


def test_a_value_that_says_of_itself_what_it_likes():
    class Reads(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.final = dspy.Predict("question, thing -> answer")

        def forward(self, question: str) -> Any:
            return self.final(question=question, thing=Shouting())

    with served(careful):
        graph = trace(Reads(), example())
        explained = SemanticGradientDescent(right, subscribers=()).explain(Reads(), example())
    for one in (graph, graph.calls[0], explained):
        assert safe(str(one)) and safe(repr(one))


def test_what_a_run_prints_and_logs(capsys, caplog):
    caplog.set_level(logging.DEBUG, logger="dspy_semantic_backprop")

    def broken(event: Any) -> None:
        raise ValueError(EVIL)

    def metric(gold: dspy.Example, prediction: Any) -> Any:
        return dspy.Prediction(score=float(right(gold, prediction)), feedback=f"It should be careful {EVIL}")

    metric.__name__ = EVIL
    with SimulatedServer(careful, model=f"x{EVIL}") as server, dspy.context(lm=server.lm(cache=False)):
        optimizer = SemanticGradientDescent(metric, steps=1)
        program = optimizer.compile(Named(), trainset=[example() for _ in range(6)])
        SemanticGradientDescent(metric, steps=1, subscribers=[broken]).compile(Named(), trainset=questions(3))
        found = [optimizer.explain(program, example()), optimizer.diagnose(program, questions(3))]
        found.append(optimizer.preflight(program, questions(3)))
    printed = capsys.readouterr()
    assert "optimising" in printed.out and safe(printed.out)
    assert safe(printed.err.replace("\x1b[A", ""))
    assert safe(caplog.text)
    assert all(safe(str(one)) and safe(repr(one)) for one in [*found, program.detailed_results])
    assert all(map(safe, program.detailed_results.warnings))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SemanticGradientDescent(right, auto=EVIL),  # pyright: ignore[reportArgumentType]
        lambda: SemanticGradientDescent(right, steps=EVIL),  # pyright: ignore[reportArgumentType]
        lambda: SemanticGradientDescent(right, budget=Shouting()),  # pyright: ignore[reportArgumentType]
        lambda: Budget(calls=EVIL),  # pyright: ignore[reportArgumentType]
        lambda: Limits(request=Shouting()),  # pyright: ignore[reportArgumentType]
        lambda: SemanticGradientDescent(right).compile(Named(), trainset=[Shouting()]),  # pyright: ignore
    ],
)
def test_errors_with_values(make):
    with pytest.raises(SetupError) as caught:
        make()
    assert safe(str(caught.value))


def test_an_error_of_a_metric():
    def metric(gold: dspy.Example, prediction: Any) -> Any:
        raise ValueError(EVIL)

    with served(careful), pytest.raises(MetricError) as caught:
        SemanticGradientDescent(metric, steps=1, subscribers=()).compile(Named(), trainset=questions(3))
    assert safe(str(caught.value)) and issubclass(MetricError, SemanticBackpropError)
