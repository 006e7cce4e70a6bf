"""DSPy's modules, types and adapters in a small program of two predictors: each is traced and optimised."""

from __future__ import annotations

from typing import Any, Literal

import dspy
import pydantic
import pytest
from dspy import experimental
from dspy.adapters.baml_adapter import BAMLAdapter
from dspy.experimental import Citations, Document

from dspy_semantic_backprop import SemanticGradientDescent, presets
from dspy_semantic_backprop.testing import Prompt
from tests.scripted import careful, questions, served


class Fact(pydantic.BaseModel):
    text: str
    kind: Literal["a", "b"] = "a"


class Report(pydantic.BaseModel):
    facts: list[Fact]


CHOICE: Any = experimental.Choice[("careful", "with care"), ("sloppy", "without")]  # pyright: ignore[reportIndexIssue]


class First(dspy.Module):
    """A first predictor that writes a value of some type, and a second one that is shown it."""

    def __init__(self, kind: Any, inputs: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.given = inputs or {}
        fields = {name: (type(value), dspy.InputField()) for name, value in self.given.items()}
        fields |= {"question": (str, dspy.InputField()), "value": (kind, dspy.OutputField(desc="the value"))}
        self.first = dspy.Predict(dspy.make_signature(fields, "Find the value."))
        self.final = dspy.Predict("question, seen -> answer")

    def forward(self, question: str) -> Any:
        found = self.first(question=question, **self.given).value
        return self.final(question=question, seen=str(found.value if isinstance(found, CHOICE) else found))


class Attempts(dspy.Module):
    """A hint, and some module of DSPy's that answers from it."""

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.hint = dspy.Predict("question -> hint")
        self.last = made(dspy.Predict("question, hint -> answer"))

    def forward(self, question: str) -> Any:
        return self.last(question=question, hint=self.hint(question=question).hint)


class Chains(dspy.Module):
    """Several chains of thought, compared."""

    def __init__(self) -> None:
        super().__init__()
        self.think = dspy.ChainOfThought("question -> answer")
        self.pick = dspy.MultiChainComparison("question -> answer", M=2)

    def forward(self, question: str) -> Any:
        found = [self.think(question=question, config={"rollout_id": at}) for at in range(2)]
        return self.pick(found, question=question)


class Side(dspy.Module):
    """Two predictors side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = dspy.Predict("question -> hint"), dspy.Predict("question -> hint")
        self.final = dspy.Predict("hints -> answer")
        self.run = dspy.Parallel(num_threads=2, disable_progress_bar=True)

    def forward(self, question: str) -> Any:
        example = dspy.Example(question=question).with_inputs("question")
        found: Any = self.run([(self.one, example), (self.two, example)])
        return self.final(hints=" ".join(one.hint for one in found))


def retried(kind: Any) -> Any:
    return lambda module: kind(module, N=2, reward_fn=lambda given, found: 1.0, threshold=0.5)


TALK = dspy.History(messages=[{"question": "Who?", "value": "Nobody."}])
PROGRAMS = {
    "Score": lambda: First(experimental.Score),
    "Choice": lambda: First(CHOICE),
    "Code": lambda: First(dspy.Code["python"]),  # pyright: ignore[reportInvalidTypeArguments]
    "Citations": lambda: First(Citations, {"paper": Document(data="The earth is round.", title="Earth")}),  # pyright: ignore[reportCallIssue]
    "History": lambda: First(str, {"history": TALK}),
    "nested models": lambda: First(Report),
    "BestOfN": lambda: Attempts(retried(dspy.BestOfN)),
    "Refine": lambda: Attempts(retried(dspy.Refine)),
    "MultiChainComparison": Chains,
    "Parallel": Side,
}


def answering(prompt: Prompt) -> dict[str, Any] | str:
    """As `careful`, with values of the types that are asked for."""
    answers = careful(prompt)
    told = "careful" in prompt.instruction.lower() or "careful" in str(prompt.inputs.get("text", ""))
    word = "careful" if told else "sloppy"
    written = prompt.text
    for name in answers:
        if name.startswith("change_"):
            answers[name] = "Be careful."
    if not prompt.names or set(prompt.inputs) == {"text"}:
        return word if not prompt.names else {name: _typed(written, word) for name in prompt.names}
    if "value" in prompt.names:
        answers["value"] = _typed(written, word)
    return answers


def _typed(asked: str, word: str) -> Any:
    sure = 0.9 if word == "careful" else 0.1
    if "facts" in asked:
        return {"facts": [{"text": word, "kind": "a"}]}
    if "(Score)" in asked:
        return {"score": sure}
    if "with care" in asked:
        return {"probabilities": {"careful": sure, "sloppy": 1 - sure}, "confidence": 0.9}
    cited = [{"cited_text": word, "document_index": 0, "start_char_index": 0, "end_char_index": 3}]
    return cited if "Citation" in asked else word


def optimised(program: dspy.Module) -> Any:
    optimizer = SemanticGradientDescent(
        lambda e, p: "careful" in str(p.answer), steps=2, method=presets.published(), subscribers=(), probe="never"
    )
    return optimizer.compile(program, trainset=questions(2)).detailed_results


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_module_or_type_of_dspys_is_optimised(name):
    with served(answering):
        result = optimised(PROGRAMS[name]())
    assert result.score_before == 0.0 and result.score_after == 1.0
    assert not [warning for warning in result.warnings if "copied" in warning]


@pytest.mark.parametrize("adapter", [dspy.JSONAdapter, dspy.XMLAdapter, BAMLAdapter, dspy.TwoStepAdapter])
def test_nested_types_are_optimised_under_an_adapter(adapter):
    with served(answering) as server:
        made = adapter(server.lm(cache=False)) if adapter is dspy.TwoStepAdapter else adapter()
        with dspy.context(adapter=made):
            assert optimised(First(Report)).score_after == 1.0
