"""A run keeps few executions as they are; the others are packed, and come back as they were where they are needed."""

from __future__ import annotations

import gc
import zlib
from dataclasses import replace
from typing import Any

import dspy
import pydantic
import pytest

from dspy_semantic_backprop import SemanticGradientDescent, only, presets
from dspy_semantic_backprop.integrations import StepDone
from tests.scripted import careful, number_from_the_start, questions, served

LAST = replace(presets.semantic(), choose_predictors=only("final"))
OPEN = "dspy_semantic_backprop._evaluate.shelf.OPEN"


def program() -> dspy.Module:
    """Of a class and with a type that no module has, as in a notebook; it holds more than a record may take."""

    class Hint(pydantic.BaseModel):
        text: str

    class Hinted(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            signature: Any = dspy.Signature("question -> hint: Hint", custom_types={"Hint": Hint})  # pyright: ignore
            self.hint = dspy.Predict(signature)
            self.final = dspy.Predict("question, hint -> answer")
            self.passages = [f"passage {number} of the library" for number in range(20_000)]

        def forward(self, question: str) -> dspy.Prediction:
            return self.final(question=question, hint=self.hint(question=question).hint.text)

    return Hinted()


def traces() -> int:
    gc.collect()
    return sum(type(one).__name__ == "Trace" for one in gc.get_objects())


def compiled(most: int, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[int], dspy.Module]:
    """A run of few steps that keeps so many executions open, how many records it held after each step, its program."""
    monkeypatch.setattr(OPEN, most)
    number_from_the_start()
    held: list[int] = []
    before = traces()  # what other tests hold

    def rule(prompt: Any) -> dict[str, Any]:
        answers = careful(prompt)
        if "new_instruction" in answers:
            answers["new_instruction"] += f"\nMind rule {zlib.crc32(prompt.text.encode())}."
        return answers | ({"hint": {"text": str(answers["hint"])}} if "hint" in answers else {})

    def watch(event: Any) -> None:
        if isinstance(event, StepDone):
            held.append(traces() - before)

    def half(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return 0.5 * (prediction.answer == example.answer)

    with served(rule):
        optimizer = SemanticGradientDescent(half, steps=2, method=LAST, num_threads=1, subscribers=(watch,))
        found = optimizer.compile(program(), trainset=questions(6))
    result = found.detailed_results.to_dict()
    return {name: value for name, value in result.items() if name != "seconds"}, held, found


def test_a_run_that_keeps_none_open_ends_as_one_that_keeps_all(monkeypatch):
    none, few, better = compiled(1, monkeypatch)
    every, many, _ = compiled(10_000, monkeypatch)
    assert none == every and none["spent"]["gate"]["reused"]
    # The six of the last evaluation are packed while the next one waits for its answers.
    assert max(few) < 10 < many[-1]
    assert type(better).__name__ == "Hinted"
