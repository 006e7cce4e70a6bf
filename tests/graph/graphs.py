"""What tests of graphs share: a program of two steps, a model that echoes, and edges as pairs of names."""

from __future__ import annotations

from typing import Any

import dspy

from dspy_semantic_backprop import ComputationGraph

untyped: Any = dspy
"""DSPy, where its annotations say less than it does."""


def echo(prompt):
    return {name: f"{name} of {' / '.join(prompt.inputs.values())[:200]}" for name in prompt.names}


def ends(graph: ComputationGraph) -> set[tuple[str, str]]:
    return {
        (f"{edge.source.call}.{edge.source.field}", f"{edge.target.call}.{edge.target.field}") for edge in graph.edges
    }


def proved(graph: ComputationGraph) -> bool:
    return not graph.warnings and all(edge.confidence == 1.0 for edge in graph.edges)


class Pair(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("hint -> answer")

    def forward(self, question):
        return self.second(hint=self.first(question=question).hint)


STRAIGHT = {("first[0].hint", "second[0].hint"), ("second[0].answer", "output.answer")}
