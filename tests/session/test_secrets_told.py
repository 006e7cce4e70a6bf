"""A secret that a program or a metric holds stands in nothing that is told of them, also where nothing raised."""

from __future__ import annotations

import functools
import itertools
import json
import logging
import time
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import JournalError, ProgramError, SemanticGradientDescent, SetupError, trace
from tests.optimizer.test_resume import Fan
from tests.scripted import careful, questions, right, served
from tests.session.test_secrets import told

KEY = "mV4qT9xLb2RzK7wYn3Hc"
DRAWN = "hQ7dW2sXk9PvLm3R4z"
"""For what must not be known from the test before."""


class Telling(Fan):
    """Says its key in what it returns, and in the package's log."""

    def __init__(self) -> None:
        super().__init__()
        self.api_key = KEY

    def forward(self, question: str) -> Any:
        logging.getLogger("dspy_semantic_backprop").warning("asked with %s", self.api_key)
        found = super().forward(question=question)
        return dspy.Prediction(answer=found.answer, sent=[f"with {self.api_key}"])


class Judge:
    """Catches what it raises itself, and says it as feedback or in place of a score."""

    def __init__(self, scores: bool) -> None:
        self.token, self.scores = KEY, scores

    def __call__(self, example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> Any:
        said = f"refused {self.token}"
        return dspy.Prediction(score=0.0, feedback=said) if self.scores else said


def searching(fails: bool = True) -> dspy.Module:
    """An agent whose tool raises with its key, or returns it, which the agent is shown."""
    api_key = KEY if fails else DRAWN

    def search(words: str) -> str:
        if fails:
            raise ConnectionError(f"refused {api_key}")
        return f"found with {api_key}"

    class Agent(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = dspy.ReAct("question -> answer", [search], 2)  # pyright: ignore[reportArgumentType]

        def forward(self, question: str) -> Any:
            return self.act(question=question)

    return Agent()


def search_first(prompt: Any) -> dict[str, Any]:
    answers = careful(prompt)
    if "next_tool_name" in answers and "observation_0" not in str(prompt.inputs):
        answers |= {"next_tool_name": "search", "next_tool_args": {"words": "x"}}
    return answers


@pytest.mark.parametrize("program", [Telling, searching, functools.partial(searching, False)])
def test_what_an_execution_says_of_its_key_is_told_nowhere(program, caplog):
    with served(search_first):
        graph = trace(program(), questions(1)[0])
        explained = SemanticGradientDescent(right, subscribers=()).explain(program(), questions(1)[0])
        shown = [str(graph), repr(graph), graph.to_svg(), json.dumps(graph.to_dict()), str(explained), repr(explained)]
        shown.append(json.dumps(explained.to_dict()))
    assert "[hidden]" in shown[1]
    assert not [text for text in (*shown, caplog.text) if KEY in text or DRAWN in text]


@pytest.mark.parametrize("metric", [right, Judge(True), Judge(False)])
def test_what_a_program_and_its_metric_say_of_their_key_stands_in_no_result(metric, tmp_path, caplog):
    with served(careful):
        texts = told(tmp_path, caplog, program=Telling() if metric is right else None, metric=metric)
    assert not [text for text in texts if KEY in text]


def test_a_report_tells_no_key_of_the_program(tmp_path):
    with served(careful):
        optimizer = SemanticGradientDescent(Judge(True), steps=1, subscribers=())
        result = optimizer.compile(Telling(), trainset=questions(2)).detailed_results
    page = result.report(tmp_path / "run.html").read_text()
    assert "refused [hidden]" in page
    assert not [text for text in (page, str(result), repr(result), json.dumps(result.to_dict())) if KEY in text]


def test_a_refused_folder_is_named_without_a_key(tmp_path):
    with served(careful), dspy.context(lm=dspy.settings.lm.copy(api_key=KEY)):
        for metric in (right, lambda example, prediction, trace=None: 0.0):
            try:
                optimizer = SemanticGradientDescent(metric, steps=0, log_dir=tmp_path / KEY, subscribers=())
                optimizer.compile(Fan(), trainset=questions(2))
            except JournalError as error:
                assert "[hidden]" in str(error) and KEY not in f"{error!r} {error.args}"
                return
    pytest.fail("the folder of another run was taken")


@pytest.mark.parametrize("given", [{"steps": Judge}, {"seed": {"api_key": KEY}}, {"log_dir": [f"api_key='{KEY}'"]}])
def test_a_refused_setting_is_shown_without_its_key(given):
    with pytest.raises(SetupError) as raised:
        SemanticGradientDescent(right, **given)
    assert KEY not in f"{raised.value} {raised.value!r}"


def test_a_new_token_for_every_question_does_not_slow_a_run_down():
    numbers = itertools.count(100)

    class Signing(Fan):
        def forward(self, question: str) -> Any:
            headers = {letter: f"hQ7dW2sXk9PvLm3R{next(numbers)}{letter}4z" for letter in "abc"}
            raise ConnectionRefusedError(f"refused {list(headers.values())}")

    begun = time.process_time()
    with served(careful), pytest.raises(ProgramError, match=r"refused \['.hidden.', '.hidden.', '.hidden.'\]"):
        SemanticGradientDescent(right, steps=0, subscribers=()).compile(Signing(), trainset=questions(400))
    assert time.process_time() - begun < 12


def test_a_key_that_is_a_word_leaves_our_own_sentences_and_values_whole():
    with served(careful, api_key="number"):
        optimizer = SemanticGradientDescent(right, steps=0, subscribers=(), probe="never")
        optimizer.compile(Fan(), trainset=questions(2))
        graph = trace(Fan(), dspy.Example(question="Which number?").with_inputs("question"), probe="never")
    with pytest.raises(SetupError, match="must be a whole number"):
        SemanticGradientDescent(right, steps="x")  # pyright: ignore[reportArgumentType]
    assert graph.to_dict()["inputs"]["question"] == "Which number?"
