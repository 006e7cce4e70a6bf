"""A run in which nothing could be learned says so: in its warnings, its ending, or before it costs anything."""

from __future__ import annotations

from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    MetricError,
    ProgramError,
    SemanticGradientDescent,
    SetupError,
    TooManyFailures,
    presets,
)
from dspy_semantic_backprop.testing import Faults
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served

METHODS = pytest.mark.parametrize("method", [presets.semantic(), presets.published()], ids=lambda one: one.name)


def result_of(program: Any = None, metric: Any = right, **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(metric, subscribers=(), **{"steps": 3, "probe": "never", **settings})
    return optimizer.compile(program or Chain(), trainset=questions(12)).detailed_results


@METHODS
def test_a_gradient_model_that_never_answers_ends_the_run(method):
    with served(careful, faults=Faults(server_error=1.0)) as down, served(careful):
        with pytest.raises(TooManyFailures, match=r"of \d+ backward passes were not answered") as caught:
            result_of(method=method, gradient_lm=down.lm(num_retries=0))
    result = caught.value.best.detailed_results
    assert any("backward passes were not answered" in warning for warning in result.warnings)
    assert result.instructions_after == result.instructions_before


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, -3.0])
@METHODS
def test_a_metric_that_says_the_same_of_everything_is_named(value, method):
    with served(careful):
        result = result_of(metric=lambda example, prediction: value, method=method, steps=1)
    words = "no headroom" if value == 1 else "cannot tell programs apart"
    assert any(words in warning for warning in result.warnings)


@METHODS
def test_a_program_that_fails_is_never_better_than_one_that_does_not(method):
    class Fragile(Chain):
        def forward(self, question: str) -> Any:
            found = super().forward(question)
            if found.answer.startswith("careful"):
                raise ValueError("cannot be used")
            return found

    with served(careful):
        result = result_of(Fragile(), metric=lambda example, prediction: -3.0, method=method)
    assert result.instructions_after == result.instructions_before


def test_proposals_that_are_all_refused_are_no_steps_that_were_made():
    def mute(prompt: Any) -> dict[str, Any]:
        answers = careful(prompt)
        return {**answers, "new_instruction": ""} if "new_instruction" in answers else answers

    with served(mute):
        assert result_of().ending.name == "NOTHING_LEARNED"


def test_a_run_whose_proposals_change_nothing_says_so():
    def unmoved(prompt: Any) -> dict[str, Any]:
        answers = careful(prompt)
        now = prompt.inputs.get("current_instruction", "")
        return {**answers, "new_instruction": now} if "new_instruction" in answers else answers

    with served(unmoved):
        result = result_of()
    assert result.ending.name == "UNCHANGED"
    assert any("3 proposed the instructions as they are" in warning for warning in result.warnings)
    assert "nothing else than the start was evaluated" in str(result)


@pytest.mark.parametrize(
    ("shown", "words"),
    [("reader_instruction", "said cannot be used"), ("wanted_change", "said only says again what was wanted")],
)
def test_a_gradient_model_that_only_repeats_what_it_is_shown_is_named(shown, words):
    def echoes(prompt: Any) -> dict[str, Any]:
        answers = careful(prompt)
        said = prompt.inputs.get(shown, "")
        return {name: said if name.startswith("change_") else text for name, text in answers.items()}

    with served(echoes):
        result = result_of()
    assert any(f"most of what the gradient model {words}" in warning for warning in result.warnings)


class Coroutine(Chain):
    async def forward(self, question: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None


class Yields(Chain):
    def forward(self, question: str) -> Any:
        yield dspy.Prediction(answer="")


@pytest.mark.parametrize(("program", "words"), [(Coroutine, "aforward"), (Yields, "yields")])
def test_a_program_that_returns_no_prediction_is_refused_before_it_costs_anything(program, words):
    with served(careful) as server:
        with pytest.raises(SetupError, match=words):
            result_of(program())
        assert not server.log


class Forgetful(Chain):
    def forward(self, question: str) -> Any:
        super().forward(question)


class Idle(Chain):
    def forward(self, question: str) -> Any:
        return dspy.Prediction(answer="sloppy answer")


@METHODS
@pytest.mark.parametrize(("program", "words"), [(Forgetful, "returned nothing"), (Idle, "called no predictor")])
def test_a_program_that_gives_nothing_to_learn_from_is_an_error_before_any_gradient(program, words, method):
    def metric(example, prediction, trace=None):
        return getattr(prediction, "answer", None) == example.answer

    with served(careful) as server:
        for run in (result_of, lambda one, metric, **how: SemanticGradientDescent(metric).preflight(one, questions(9))):
            with pytest.raises(ProgramError, match=words):
                run(program(), metric, method=method)
        asked = [str(one.messages[0]["content"]) for one in server.log]
    assert not [text for text in asked if "change_" in text or "new_instruction" in text]


def test_a_metric_that_cannot_grade_nothing_is_not_blamed_for_it():
    with served(careful), pytest.raises(MetricError, match="the program returned nothing there"):
        result_of(Forgetful())


def test_a_preflight_says_that_a_metric_says_the_same_of_everything():
    with served(careful):
        found = SemanticGradientDescent(lambda example, prediction: 0.5).preflight(Chain(), questions(12))
    assert found.recommendation == "nothing to learn" and "0.5 of every execution" in found.reason


class Odd(Chain):
    """Has a predictor that is never called, and raises on some questions."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        found = super().forward(question)
        if "number 3?" in question:
            raise RuntimeError("the table is locked" + " by another" * 30)
        return found


class Constant(Chain):
    def forward(self, question: str) -> Any:
        super().forward(question)
        return dspy.Prediction(answer="the same")


def test_what_no_score_shows_of_a_program_is_said_at_the_end():
    with served(careful):
        said = "\n".join(result_of(Odd()).warnings)
        assert "no example called spare: nothing could be learned about it" in said
        (raised,) = (line for line in said.splitlines() if "each; the first: RuntimeError: the table is locked" in line)
        assert raised.endswith(" ..."), "what is cut says so"
        assert "nothing that a predictor wrote" not in said
        said = "\n".join(result_of(Constant()).warnings)
    assert "nothing that a predictor wrote is known to have reached what the program returned" in said
    assert "raised" not in said


def test_a_trainset_that_is_right_throughout_is_named():
    def easy(example: Any, prediction: Any) -> float:
        return float(example.get("easy", False))

    learned, decided = [one.copy(easy=True) for one in questions(4)], questions(8)[4:]
    with served(careful):
        optimizer = SemanticGradientDescent(easy, steps=2, subscribers=())
        warnings = optimizer.compile(Chain(), trainset=learned, valset=decided).detailed_results.warnings
    assert any("nothing could be learned: all 4 examples" in one and "4 of 4 score less" in one for one in warnings)


def test_a_gradient_model_that_finds_nothing_to_change_is_named():
    def content(prompt: Any) -> dict[str, Any]:
        answers = careful(prompt)
        return {name: "No change needed." if name.startswith("change_") else text for name, text in answers.items()}

    with served(content):
        result = result_of()
    assert any("judged that nothing must change" in warning for warning in result.warnings)


def test_a_model_that_writes_most_instructions_as_they_were_is_named():
    wrote: list[str] = []

    def stubborn(prompt: Any) -> dict[str, Any]:
        answers = careful(prompt)
        if "new_instruction" in answers:
            now = prompt.inputs["current_instruction"]
            # Only its first text is another one.
            answers["new_instruction"] = now if wrote else f"{now} Hurry."
            wrote.append(now)
        return answers

    with served(stubborn):
        result = result_of(method=presets.published())
    said = "of 6 instructions that were to be changed the gradient model wrote 5 as they were"
    assert len(wrote) == 6 and any(said in warning for warning in result.warnings)
    with served(careful):
        assert not any("as they were" in warning for warning in result_of().warnings)
