"""What cannot work is refused where it is written, with what was meant."""

from __future__ import annotations

import asyncio
import functools
import types
from dataclasses import replace
from typing import Any

import dspy
import pytest
from dspy.evaluate import SemanticF1

from dspy_semantic_backprop import Budget, ModelError, SemanticGradientDescent, SetupError, presets
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served


async def judge(example, prediction, trace=None, strict=True):
    return 1.0


class Judge:
    async def __call__(self, example, prediction, trace=None):
        return 1.0


class JudgeProgram(dspy.Module):
    async def aforward(self, example, prediction, trace=None):
        return 1.0


def told(example, prediction, trace=None):
    """An asynchronous metric that nobody awaits."""
    return judge(example, prediction, trace)


def over_lines(example, prediction, trace=None):
    if prediction is None:
        return 0.0
    score = judge(example, prediction)
    print("judged")
    return score


def through_a_helper(example, prediction, trace=None):
    found = told(example, prediction)
    return found if trace is None else 1.0


def made_inside(example, prediction, trace=None):
    async def later():
        return await judge(example, prediction)

    return later()


class Panel:
    """A metric with helpers of its own."""

    def __init__(self, judge=judge):
        self.held = judge
        self.program = JudgeProgram()

    async def judge(self, example, prediction):
        return 1.0

    @staticmethod
    async def alone(example, prediction):
        return 1.0

    def __call__(self, example, prediction, trace=None):
        result = self.judge(example, prediction)
        return result

    def by_attribute(self, example, prediction, trace=None):
        return self.held(example, prediction)

    def by_static(self, example, prediction, trace=None):
        return self.alone(example, prediction)

    def by_program(self, example, prediction, trace=None):
        return self.program.acall(example=example, prediction=prediction)

    def awaited(self, example, prediction, trace=None):
        result = self.judge(example, prediction)
        result = asyncio.run(result)
        return result


def yields(example, prediction):
    yield 1.0


@pytest.mark.parametrize(
    "metric",
    [
        *(judge, functools.partial(judge, strict=False), functools.partial(functools.partial(judge), strict=False)),
        *(Judge(), Judge().__call__, functools.partial(Judge()), JudgeProgram(), told),
        *(lambda e, p, t=None: judge(e, p), lambda e, p: judge(e, prediction=p, strict=False)),
        *(over_lines, through_a_helper, made_inside, Panel(), Panel().__call__, functools.partial(Panel(), trace=None)),
        *(Panel().by_attribute, Panel().by_static, Panel().by_program),
    ],
)
def test_an_asynchronous_metric_is_refused_in_every_dress(metric):
    with pytest.raises(SetupError, match="asynchronous"):
        SemanticGradientDescent(metric)


def test_a_metric_that_awaits_by_itself_is_none():
    assert SemanticGradientDescent(lambda e, p: asyncio.run(judge(e, p)))
    assert SemanticGradientDescent(Panel().awaited)
    assert SemanticGradientDescent(Panel(judge=right).by_attribute)


@pytest.mark.parametrize(("metric", "said"), [(Judge, "pass an instance"), (yields, "yields")])
def test_what_is_no_metric_yet_is_told_how_to_become_one(metric, said):
    with pytest.raises(SetupError, match=said):
        SemanticGradientDescent(metric)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "semantic"}, r"did you mean method=presets\.semantic\(\)\?"),
        ({"method": presets.published}, r"did you mean method=presets\.published\(\)\?"),
        ({"method": "sematic"}, "did you mean semantic"),
        ({"subscribers": print}, r"subscribers must be a list.*put it into \[...\]"),
        ({"subscribers": "print"}, "subscribers must be a list"),
        ({"subscribers": [judge]}, r"subscribers\[0\]"),
        ({"subscribers": [print, None]}, r"subscribers\[1\]"),
        ({"seed": "a"}, "seed must be a whole number, not 'a'"),
        ({"seed": None}, "seed"),
        ({"num_thread": 3}, "did you mean num_threads"),
        ({"reflection_lm": None}, "did you mean gradient_lm"),
        ({"prompt_model": None}, "did you mean gradient_lm"),
        ({"task_model": None}, r"dspy\.configure"),
        ({"teacher": None}, "no teacher is used"),
        ({"max_metric_calls": 100}, r"did you mean budget=Budget\(metric_calls=\.\.\.\)"),
        ({"max_steps": 3}, "did you mean steps"),
        ({"breadth": 3}, r"search=Pooled\(proposals"),
        ({"reflection_minibatch_size": 3}, r"choose_examples=wrong"),
        ({"use_wandb": True}, "wandb_tracker"),
        ({"trainset": []}, "compile"),
        ({"anything": 1}, "it takes metric, gradient_lm"),
    ],
)
def test_arguments_that_are_none_are_told_what_was_meant(settings, said):
    with pytest.raises(SetupError, match=said):
        SemanticGradientDescent(right, **settings)


@pytest.mark.parametrize(("named", "said"), [("devset", "valset"), ("seed", r"SemanticGradientDescent\(\.\.\., seed")])
def test_compile_tells_what_was_meant_by_an_argument(named, said):
    settings: Any = {named: 1}
    with pytest.raises(SetupError, match=said):
        SemanticGradientDescent(right).compile(dspy.Predict("question -> answer"), trainset=questions(1), **settings)


def test_an_argument_that_is_none_is_a_type_error_too():
    with pytest.raises(TypeError, match="num_threads"):
        SemanticGradientDescent(right, num_thread=3)  # pyright: ignore[reportCallIssue]


def test_a_preset_that_is_none_is_told_what_was_meant():
    name = "semantics"
    with pytest.raises(AttributeError, match="did you mean semantic"):
        getattr(presets, name)


class Called(dspy.Module):
    """A program of the kind that DSPy's users write who override what they call."""

    def __init__(self):
        super().__init__()
        self.draft = dspy.Predict("question -> draft")
        self.final = dspy.Predict("question, draft -> answer")

    def __call__(self, question):
        return self.final(question=question, draft=self.draft(question=question).draft)


def test_a_program_that_is_all_call_is_optimised():
    with served(careful):
        optimizer = SemanticGradientDescent(right, method=presets.published(), steps=1, subscribers=())
        assert optimizer.compile(Called(), trainset=questions(3)).detailed_results.score_after == 1.0
        with pytest.raises(SetupError, match="does not fit Called"):
            optimizer.compile(Called(), trainset=[dspy.Example(query="q").with_inputs("query")])


def test_a_program_that_is_a_coroutine_is_told_its_name_in_dspy():
    class Awaited(Called):
        async def __call__(self, question):  # pyright: ignore[reportIncompatibleMethodOverride]
            return await self.final.acall(question=question, draft="")

    with served(careful) as server, pytest.raises(SetupError, match="name it `aforward`"):
        SemanticGradientDescent(right, subscribers=()).compile(Awaited(), trainset=questions(1))
    assert server.requests == 0


def test_dspys_own_judge_is_a_metric():
    def graded(prompt):
        return {name: 0.5 if name in ("precision", "recall") else "x" for name in prompt.names}

    example = dspy.Example(question="q", response="x").with_inputs("question")
    with served(graded):
        found = SemanticGradientDescent(SemanticF1(), steps=1, subscribers=()).compile(
            dspy.Predict("question -> response"), trainset=[example] * 2
        )
    assert found.detailed_results.score_before == 0.5


class OwnModel(Called):
    """A program that holds a model for its own use."""

    def __init__(self, lm):
        super().__init__()
        self.small = lm


def test_a_budget_that_cannot_be_held_for_a_model_that_the_program_holds_is_refused():
    endless = dspy.utils.DummyLM([{"answer": "x"}])
    endless.kwargs = {}
    with served(careful, max_tokens=500) as server, pytest.raises(SetupError, match=r"self\.small.*max_tokens"):
        SemanticGradientDescent(right, budget=Budget(tokens=9_000)).compile(OwnModel(endless), trainset=questions(1))
    assert server.requests == 0


def endless() -> Any:
    """A language model of which nothing says how long its answers can be."""
    found = dspy.utils.DummyLM([{"answer": "x"}] * 9)
    found.kwargs = {}
    return found


GLOBAL: Any = endless()
HELD: Any = types.SimpleNamespace(inner={"judge": [GLOBAL]})


def asked_for_help(prediction):
    return GLOBAL(prediction.answer) and 1.0


def by_a_helper(example, prediction, trace=None):
    return asked_for_help(prediction)


def by_a_container(example, prediction, trace=None):
    return HELD.inner["judge"][0](prediction.answer) and 1.0


class Grader:
    def __init__(self, lm: Any) -> None:
        self.lm = lm

    def score(self, example, prediction, trace=None):
        return self.lm(prediction.answer) and 1.0


class GraderProgram(dspy.Module):
    def __init__(self, lm: Any) -> None:
        super().__init__()
        self.grade = dspy.Predict("answer -> score: float")
        self.grade.lm = lm

    def forward(self, example, prediction, trace=None):
        return self.grade(answer=prediction.answer).score


def by_a_closure(lm: Any) -> Any:
    return lambda example, prediction, trace=None: lm(prediction.answer) and 1.0


class AsksAGlobal(Chain):
    def forward(self, question):
        with dspy.context(lm=GLOBAL):
            return super().forward(question)


class AsksItsOwn(Chain):
    """A program that makes a language model while it runs: nobody can know of it before."""

    def forward(self, question):
        with dspy.context(lm=endless()):
            return super().forward(question)


class HasAnAttributeOfThatName(Chain):
    """Nothing of it is the global: an attribute, a parameter, a key."""

    def forward(self, question, GLOBAL=None):
        HELD = types.SimpleNamespace(GLOBAL=question)
        return super().forward(HELD.GLOBAL)


@pytest.mark.parametrize(
    ("program", "metric"),
    [
        (Called, by_a_helper),
        (Called, by_a_container),
        (Called, Grader(GLOBAL).score),
        (Called, GraderProgram(GLOBAL)),
        (Called, by_a_closure(GLOBAL)),
        (Called, functools.partial(lambda example, prediction, trace, lm: 1.0, lm=GLOBAL)),
        (AsksAGlobal, right),
    ],
    ids=["helper", "container", "method", "program", "closure", "partial", "global of the program"],
)
@pytest.mark.parametrize("budget", [Budget(tokens=9_000), Budget(usd=1.0, prices={"dummy": (1.0, 1.0)})])
def test_a_budget_that_cannot_be_held_for_a_model_that_code_reaches_is_refused(program, metric, budget):
    prices = {**budget.prices, "openai/simulated": (1.0, 1.0)}
    with served(careful, max_tokens=500) as server:
        prices[dspy.settings.lm.model] = (1.0, 1.0)
        optimizer = SemanticGradientDescent(metric, budget=replace(budget, prices=prices))
        with pytest.raises(SetupError, match=r"an answer of 'dummy' \(the (program|metric)\..*max_tokens"):
            optimizer.compile(program(), trainset=questions(1))
    assert server.requests == 0


def test_a_budget_is_held_for_a_model_that_nobody_could_know_of():
    with served(careful, max_tokens=500), pytest.raises(ModelError, match=r"budget\.tokens cannot be held.*'dummy'"):
        SemanticGradientDescent(right, steps=1, budget=Budget(tokens=9_000)).compile(
            AsksItsOwn(), trainset=questions(1)
        )


def test_an_attribute_is_no_global():
    with served(careful, max_tokens=500):
        optimizer = SemanticGradientDescent(right, steps=0, budget=Budget(tokens=90_000), subscribers=())
        assert optimizer.compile(HasAnAttributeOfThatName(), trainset=questions(1)).detailed_results.total.calls
