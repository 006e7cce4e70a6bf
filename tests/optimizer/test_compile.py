"""Programs of every shape are compiled through a real client against a real server."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Gated, SemanticGradientDescent, accept_always, presets
from tests.scripted import careful, questions, right, served


class Chain(dspy.Module):
    def __init__(self):
        super().__init__()
        self.draft = dspy.Predict("question -> draft")
        self.judge = dspy.Predict("draft -> answer")

    def forward(self, question):
        return self.judge(draft=self.draft(question=question).draft)


class Fan(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, one, two -> answer")

    def forward(self, question):
        one, two = self.first(question=question).hint, self.second(question=question).hint
        return self.final(question=question, one=one, two=f"And also: {two}")


class Thoughtful(dspy.Module):
    def __init__(self):
        super().__init__()
        self.think = dspy.ChainOfThought("question -> idea")
        self.final = dspy.ChainOfThought("idea -> answer")

    def forward(self, question):
        return self.final(idea=self.think(question=question).idea)


class Nested(dspy.Module):
    def __init__(self):
        super().__init__()
        self.inner = Chain()
        self.final = dspy.Predict("text -> answer")

    def forward(self, question):
        return self.final(text=self.inner(question=question).answer)


class Containers(dspy.Module):
    def __init__(self):
        super().__init__()
        self.steps = [dspy.Predict("question -> hint"), dspy.Predict("question -> hint")]
        self.ends = {"final": dspy.Predict("hints: list[str] -> answer")}

    def forward(self, question):
        return self.ends["final"](hints=[step(question=question).hint for step in self.steps])


class Loop(dspy.Module):
    def __init__(self):
        super().__init__()
        self.improve = dspy.Predict("question, text -> revised")
        self.final = dspy.Predict("text -> answer")

    def forward(self, question):
        text = "nothing yet"
        for _ in range(3):
            text = self.improve(question=question, text=text).revised
        return self.final(text=text)


class Asynchronous(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("question -> hint")
        self.final = dspy.Predict("one, two -> answer")

    async def aforward(self, question):
        one, two = await asyncio.gather(self.first.acall(question=question), self.second.acall(question=question))
        return await self.final.acall(one=one.hint, two=two.hint)


def look_up(query: str) -> str:
    """Look something up."""
    return f"nothing on {query}"


react: Any = dspy.ReAct

SHAPES: dict[str, Any] = {
    "chain": Chain,
    "fan-out and fan-in": Fan,
    "chain of thought": Thoughtful,
    "nested": Nested,
    "list and dict": Containers,
    "loop": Loop,
    "asynchronous only": Asynchronous,
    "bare predict": lambda: dspy.Predict("question -> answer"),
    "react": lambda: react("question -> answer", tools=[look_up]),
}


def compiled(program: dspy.Module, metric: Any = right, **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(metric, subscribers=(), **{"steps": 4, **settings})
    return optimizer.compile(program, trainset=questions(4))


@functools.cache
def improved(shape: str) -> tuple[Any, dict[str, str], Any]:
    """A program of a shape, its instructions before it was compiled, and what came of it."""
    program = SHAPES[shape]()
    before = {name: predictor.signature.instructions for name, predictor in program.named_predictors()}
    with served(careful):
        return program, before, compiled(program)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_compiled_and_the_student_left_alone(shape):
    program, before, better = improved(shape)
    result = better.detailed_results
    assert type(better) is type(program)
    assert (result.score_before, result.score_after) == (0.0, 1.0)
    assert not better._compiled
    assert all("careful" in p.signature.instructions for _, p in better.named_predictors())
    assert {name: p.signature.instructions for name, p in program.named_predictors()} == before


@pytest.mark.parametrize("shape", SHAPES)
def test_the_result_is_saved_and_loaded_by_dspy_itself(shape, tmp_path):
    better, loaded = improved(shape)[2], SHAPES[shape]()
    better.save(tmp_path / "better.json")
    loaded.load(tmp_path / "better.json")
    instructions = [p.signature.instructions for p in loaded.predictors()]
    assert instructions == [p.signature.instructions for p in better.predictors()]


def test_react_keeps_its_tools_and_can_be_compiled_again():
    program: Any = SHAPES["react"]()
    tools = program.react.signature.instructions.split("\n", 1)[1]
    with served(careful):
        better = compiled(program)
        again = compiled(better, metric=lambda example, prediction: 0.0, steps=1, method=always())
    for one in (better, again):
        assert one.react.signature.instructions.endswith(tools.strip())
        assert one.react.signature.instructions.count("look_up") == program.react.signature.instructions.count(
            "look_up"
        )
        assert "careful" in one.react.signature.instructions


def always():
    return replace(presets.proven(), search=Gated(accept_always))


def test_a_loop_shares_one_instruction_and_collects_the_gradients_of_all_its_calls():
    with served(careful):
        better = compiled(Loop(), steps=1)
    (step,) = better.detailed_results.steps
    for _, gradients in step.gradients:
        assert [call for call in gradients if call.startswith("improve")] == [f"improve[{i}]" for i in range(3)]
        assert all(gradients[f"improve[{i}]"] for i in range(3))


def test_async_twin_and_a_running_loop_give_the_same_program():
    async def in_a_notebook():
        optimizer = SemanticGradientDescent(right, steps=2, subscribers=())
        awaited: Any = await optimizer.acompile(Fan(), trainset=questions(3))
        called: Any = optimizer.compile(Fan(), trainset=questions(3))
        return awaited.detailed_results, called.detailed_results

    with served(careful):
        awaited, called = asyncio.run(in_a_notebook())
    assert awaited.instructions_after == called.instructions_after
    assert awaited.score_after == called.score_after == 1.0


@pytest.mark.parametrize("shape", ["fan-out and fan-in", "asynchronous only", "loop"])
def test_the_same_seed_gives_the_same_result(shape):
    def run():
        with served(careful):
            result = compiled(SHAPES[shape](), num_threads=8, method=presets.random_subset()).detailed_results
        return [step.to_dict() for step in result.steps], result.instructions_after, result.total

    assert run() == run()


def test_language_models_demos_and_callbacks_survive():
    class Quiet(dspy.utils.callback.BaseCallback):
        pass

    program = Chain()
    callback = Quiet()
    program.callbacks = [callback]
    demo = dspy.Example(question="q", draft="d")
    program.draft.demos = [demo]
    with served(careful) as server:
        own = server.lm(cache=False)
        program.judge.lm = own
        better = compiled(program)
        assert better.judge.lm is own
        assert better.draft.lm is None
    assert better.callbacks == [callback]
    assert better.draft.demos == [demo]
    assert better.detailed_results.score_after == 1.0


def test_frozen_sub_modules_stay_as_they_are():
    program: Any = Nested()
    program.inner._compiled = True
    before = program.inner.draft.signature.instructions
    with served(careful):
        better = compiled(program, steps=2)
    assert better.inner.draft.signature.instructions == before
    assert better.inner._compiled
    assert {name for step in better.detailed_results.steps for name in step.changed} == {"final"}


def test_users_callbacks_see_the_compile_and_every_predictor_call():
    class Watcher(dspy.utils.callback.BaseCallback):
        def __init__(self):
            self.seen = []

        def on_compile_start(self, call_id, instance, inputs):
            self.seen.append("compile")

        def on_module_start(self, call_id, instance, inputs):
            self.seen.append(type(instance).__name__)

    watcher = Watcher()
    with served(careful), dspy.context(callbacks=[watcher]):
        compiled(Chain(), steps=0)
    assert watcher.seen.count("compile") == 1
    assert watcher.seen.count("Chain") == 4


def test_a_gepa_metric_works_unchanged_and_its_feedback_is_the_gradient():
    def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        score = float(gold.answer == pred.answer)
        if pred_name is None:
            return score
        return dspy.Prediction(score=score, feedback=f"{pred_name} should be careful, not {pred_trace[0][2].answer}")

    with served(careful):
        better = compiled(Fan(), metric=metric, steps=1)
    (_, gradients), *_ = better.detailed_results.steps[0].gradients
    assert gradients["final[0]"] == "final should be careful, not sloppy answer"


def test_valset_decides_and_trainset_teaches():
    with served(careful) as server:
        optimizer = SemanticGradientDescent(right, steps=1, method=presets.proven(), subscribers=())
        better: Any = optimizer.compile(Chain(), trainset=questions(2), valset=questions(5))
        assert better.detailed_results.steps[0].compared == 5
        assert better.detailed_results.total.calls == server.requests


def test_bettertogether_accepts_it():
    with served(careful) as server:
        program = Chain()
        program.set_lm(server.lm(cache=False))
        together = dspy.BetterTogether(right, p=SemanticGradientDescent(right, steps=2, subscribers=()))
        better: Any = together.compile(program, trainset=questions(6), valset=questions(4), strategy="p")
    assert not getattr(better, "flag_compilation_error_occurred", False)
    assert all("careful" in p.signature.instructions for _, p in better.named_predictors())


def test_with_nothing_wrong_there_is_nothing_to_do():
    with served(careful) as server:
        better = compiled(Chain(), metric=lambda example, prediction: True)
        assert server.requests == 2 * 4
    assert better.detailed_results.steps == ()
    assert better.detailed_results.ending.value == "no example is left to learn from, or to gain on"


def test_a_rejected_program_leaves_the_instructions_as_they_were():
    with served(careful):
        better = compiled(Chain(), metric=lambda example, prediction: 0.0)
    result = better.detailed_results
    assert result.instructions_after == result.instructions_before
    assert {step.verdict for step in result.steps} <= {"rejected", "seen"}
