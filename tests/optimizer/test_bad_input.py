"""Mistakes are named before money is spent; a provider's failure is never a wrong answer."""

from __future__ import annotations

import asyncio
import logging
import math
import traceback
from dataclasses import replace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    MetricError,
    ModelError,
    ProgramError,
    SemanticGradientDescent,
    SetupError,
    TooManyFailures,
    presets,
)
from dspy_semantic_backprop.testing import Faults
from tests.optimizer.test_compile import Chain, Fan
from tests.scripted import careful, questions, right, served


class Empty(dspy.Module):
    def forward(self, question):
        return dspy.Prediction(answer="x")


def frozen() -> dspy.Module:
    program: Any = Empty()
    program.inner = Chain()
    program.inner._compiled = True
    return program


BAD_SETUPS: dict[str, tuple[Any, Any, str]] = {
    "empty trainset": (Chain, [], "trainset is empty"),
    "no list": (Chain, "questions", "trainset must be a list"),
    "no examples": (Chain, [{"question": "q"}], r"trainset\[0\] is a dict"),
    "no inputs": (Chain, [dspy.Example(question="q")], r"trainset\[0\].*with_inputs"),
    "wrong inputs": (Chain, [dspy.Example(query="q").with_inputs("query")], r"trainset\[0\].*query.*Chain"),
    "wrong inputs of a predict": (
        lambda: dspy.Predict("question -> answer"),
        [dspy.Example(query="q").with_inputs("query")],
        "lacks the input 'question'",
    ),
    "no predictors": (Empty, questions(1), "has no predictors"),
    "all frozen": (frozen, questions(1), "frozen"),
    "no program": (lambda: "program", questions(1), "dspy.Module"),
}


@pytest.mark.parametrize("case", BAD_SETUPS)
def test_a_setup_that_cannot_work_is_refused_before_the_first_call(case):
    build, trainset, message = BAD_SETUPS[case]
    with served(careful) as server:
        with pytest.raises(SetupError, match=message):
            SemanticGradientDescent(right, subscribers=()).compile(build(), trainset=trainset)
        assert server.requests == 0


def test_a_bad_valset_is_named_too():
    with served(careful), pytest.raises(SetupError, match=r"valset\[0\]"):
        valset: Any = ["no example"]
        SemanticGradientDescent(right, subscribers=()).compile(Chain(), trainset=questions(1), valset=valset)


def test_an_empty_valset_is_named_and_the_trainset_decides(caplog):
    with served(careful), caplog.at_level(logging.WARNING, logger="dspy_semantic_backprop"):
        optimizer = SemanticGradientDescent(right, subscribers=(), steps=2)
        better: Any = optimizer.compile(Chain(), trainset=questions(8), valset=[])
    assert "valset is empty" in caplog.text
    assert better.detailed_results.score_after == 1.0


@pytest.mark.parametrize("again", [lambda given: given, lambda given: list(reversed(questions(len(given))))])
def test_a_trainset_that_is_given_as_valset_too_is_paid_for_once(again):
    spent = []
    for same in (False, True):
        given = questions(4)
        with served(careful) as server:
            optimizer = SemanticGradientDescent(right, steps=1, subscribers=())
            better = optimizer.compile(Chain(), trainset=given, valset=again(given) if same else None)
        spent.append(server.requests)
    assert spent[0] == spent[1]
    assert [one for one in better.detailed_results.warnings if "the valset is the trainset again" in one]


def test_without_a_language_model_the_way_out_is_named():
    with pytest.raises(SetupError, match=r"no language model.*dspy\.configure"):
        SemanticGradientDescent(right, subscribers=()).compile(Chain(), trainset=questions(1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"num_threads": 0}, "num_threads"),
        ({"num_threads": math.nan}, "num_threads"),
        ({"failure_score": math.nan}, "failure_score"),
    ],
)
def test_arguments_out_of_range_are_refused(settings, message):
    with pytest.raises(SetupError, match=message):
        SemanticGradientDescent(right, **settings)


@pytest.mark.parametrize("returned", [None, math.nan, "good"])
def test_a_metric_that_returns_no_score_stops_the_run(returned):
    with served(careful), pytest.raises(MetricError, match=r"for example \d of the trainset \(question="):
        SemanticGradientDescent(lambda e, p: returned, subscribers=(), num_threads=1).compile(
            Chain(), trainset=questions(2)
        )


@pytest.mark.parametrize("fault", ["auth", "billing", "unknown_model"])
def test_a_failure_that_cannot_pass_stops_at_once_whatever_the_program_catches(fault):
    class Careless(Chain):
        def forward(self, question):
            try:
                return super().forward(question)
            except Exception:
                return dspy.Prediction(answer="")

    with served(careful, faults=replace(Faults(), **{fault: 1.0})) as server:
        with pytest.raises(ModelError):
            SemanticGradientDescent(right, subscribers=(), num_threads=1).compile(Careless(), trainset=questions(8))
        assert server.requests == 1


def test_a_transient_failure_is_missing_and_never_a_score_of_0():
    class Careless(Chain):
        def forward(self, question):
            try:
                return super().forward(question)
            except Exception:
                return dspy.Prediction(answer="")

    with served(careful, faults=Faults(server_error=0.05), num_retries=0):
        optimizer = SemanticGradientDescent(lambda e, p: p.answer != "", steps=0, subscribers=())
        better: Any = optimizer.compile(Careless(), trainset=questions(40), valset=None)
    assert better.detailed_results.score_before == 1.0


def test_a_provider_that_is_down_is_an_error_and_no_score():
    with served(careful, faults=Faults(server_error=1.0), num_retries=0):
        with pytest.raises(TooManyFailures, match="8 of 8"):
            SemanticGradientDescent(right, subscribers=()).compile(Chain(), trainset=questions(8))


def test_faults_that_pass_change_nothing_and_every_request_is_booked():
    faults = Faults(rate_limit=0.08, garbage=0.08, drop=0.08)
    results = []
    for fault in (Faults(), faults):
        with served(careful, faults=fault) as server:
            better: Any = SemanticGradientDescent(right, steps=2, subscribers=()).compile(Fan(), trainset=questions(8))
            assert better.detailed_results.total.calls == server.requests
            assert better.detailed_results.total.tokens == server.prompt_tokens + server.completion_tokens
            results.append(better.detailed_results)
    assert results[0].instructions_after == results[1].instructions_after
    assert results[0].score_after == results[1].score_after == 1.0
    assert results[1].total.calls > results[0].total.calls


def test_an_unreadable_answer_is_the_programs_failure_and_becomes_feedback():
    def sometimes(prompt):
        answers = careful(prompt)
        if "text_only" not in prompt.instruction and "draft" in prompt.names and "careful" not in prompt.instruction:
            return "no fields at all"
        return answers

    with served(sometimes):
        better: Any = SemanticGradientDescent(right, steps=1, subscribers=()).compile(Chain(), trainset=questions(3))
    (_, gradients), *_ = better.detailed_results.steps[0].gradients
    assert "failed" in gradients["draft[0]"]
    assert "AdapterParseError" in gradients["draft[0]"]


def test_a_program_that_raises_on_every_example_is_an_error_with_its_cause():
    class Broken(Chain):
        def forward(self, question):
            raise KeyError("no such thing")

    with served(careful), pytest.raises(ProgramError, match="KeyError") as caught:
        SemanticGradientDescent(right, subscribers=()).compile(Broken(), trainset=questions(3))
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("awaited", [False, True])
def test_an_error_of_a_metric_is_told_in_the_users_own_lines(awaited):
    def typo(example, prediction, trace=None):
        return prediction.anwser == example.answer

    async def run():
        return await SemanticGradientDescent(typo, subscribers=()).acompile(Chain(), trainset=questions(3))

    with served(careful), pytest.raises(MetricError, match="this one has answer") as caught:
        if awaited:
            asyncio.run(run())
        SemanticGradientDescent(typo, subscribers=()).compile(Chain(), trainset=questions(3))
    cause: Any = caught.value.__cause__
    assert traceback.extract_tb(cause.__traceback__)[0].name == "typo"
    told = "".join(traceback.format_exception(caught.value)).splitlines()
    assert len(told) < 60 and any("anwser" in line for line in told[:9])


def test_an_example_that_could_not_be_run_is_named_by_its_set():
    valset = questions(4)
    with served(careful, faults=Faults(server_error=1.0), num_retries=0):
        optimizer = SemanticGradientDescent(right, method=presets.proven(), subscribers=(), num_threads=1)
        with pytest.raises(TooManyFailures, match=r"the first: example \d of the valset \(question="):
            optimizer.compile(Chain(), trainset=questions(3), valset=valset)
