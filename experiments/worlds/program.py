"""The program, the examples and the metric of a world, as any optimizer of DSPy takes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import dspy

from .world import World

SIGN = re.compile(r"\[(\w+) unclear\]")


class Steps(dspy.Module):
    """Steps that each write a note on the question, and a last one that puts the notes together."""

    def __init__(self, names: list[str], instructions: list[str]) -> None:
        super().__init__()
        *notes, answer = names
        signatures = [f"question -> {note}" for note in notes] + [f"question, {', '.join(notes)} -> {answer}"]
        made: Any = [dspy.make_signature(one, told) for one, told in zip(signatures, instructions, strict=True)]
        self.steps = [dspy.Predict(one) for one in made]

    def forward(self, question: str) -> dspy.Prediction:
        """Write the notes, one after the other, and the answer."""
        notes: dict[str, Any] = {}
        for step in self.steps[:-1]:
            notes.update(step(question=question).items())
        return dspy.Prediction(**notes, **self.steps[-1](question=question, **notes))


def build(world: World) -> Steps:
    """The program of a world, as it starts."""
    return Steps(world.names, world.starts)


def examples(world: World, count: int, which: str) -> list[dspy.Example]:
    """Examples of a world; each name of a set gives other ones."""
    questions = [world.question(number, which) for number in range(count)]
    made = [dspy.Example(question=one, answer=world.value(world.kind.steps - 1, one)) for one in questions]
    return [one.with_inputs("question") for one in made]


def instructions(program: dspy.Module) -> list[str]:
    """The instructions of a program's steps, in their order."""
    predictors: list[Any] = program.predictors()
    return [predictor.signature.instructions for predictor in predictors]


def metric_of(world: World) -> Callable[..., Any]:
    """The metric of a world: a score from 0 to 1 and some words, both as a `dspy.Prediction`."""

    def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        said = {name: str(pred.get(name, "")) for name in world.names} if pred is not None else {}
        rights = [
            said.get(name, "").split(" ")[0] == world.value(step, gold.question)
            for step, name in enumerate(world.names)
        ]
        score = sum(rights) / len(rights) if world.kind.graded else float(rights[-1])
        if score == 1:
            return dspy.Prediction(score=1.0, feedback="The answer is right.")
        missed = sorted({word for text in said.values() for word in SIGN.findall(text)})
        words = "".join(f" {word} was mishandled." for word in missed)
        answer = said.get("answer") or "nothing"
        return dspy.Prediction(score=score, feedback=f"Expected {gold.answer}, got {answer}.{words}")

    return metric
