"""Programs of many kinds, evaluated downstream only: threads, tasks, agents, copies, streams, typed values."""

from __future__ import annotations

import asyncio
import random
import warnings
import zlib
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop.programs import LayeredProgram, LiarProgram
from tests.evaluate.reusing import (
    QUESTION,
    Ledger,
    Network,
    Scored,
    alike,
    compared,
    downstream,
    echo,
    evaluated,
    view,
)
from tests.graph.corpus import CASES, FINAL, UNSEEN, ScriptedLM, record
from tests.scripted import served

LAYERS, SPEAKER = LayeredProgram(layers=2, width=2), {"job_title": "judge", "state": "Ohio", "party": "none"}


CLAIM = dspy.Example(statement="Taxes fell.", source="a speech", **SPEAKER).with_inputs("statement", "source", *SPEAKER)


@pytest.mark.parametrize(
    ("program", "example", "edited", "asked"),
    [
        (LayeredProgram(), QUESTION, ["final"], 1),
        (LayeredProgram(), QUESTION, ["hidden[1]"], 2),
        (LAYERS, QUESTION, ["hidden[0]"], 4),
        (LAYERS, QUESTION, ["hidden[2]", "final"], 2),
        (LiarProgram(), CLAIM, ["hint_party"], 2),
        (LiarProgram(), CLAIM, ["final"], 1),
    ],
)
def test_the_papers_pipelines_which_ask_in_threads(program, example, edited, asked):
    with served(echo) as server:
        full, part = compared(program, edited, server, example=example)
    assert (full, part) == (len(program.predictors()), asked)


class Reworded(dspy.Module):
    """Waits for what it asks at the same time; has no `forward`."""

    def __init__(self):
        super().__init__()
        self.one, self.two = dspy.Predict("question -> hint"), dspy.ChainOfThought("question -> hint")
        self.final = dspy.Predict("one, two -> answer")

    async def aforward(self, question):
        one, two = await asyncio.gather(self.one.acall(question=question), self.two.acall(question=question))
        return await self.final.acall(one=one.hint, two=two.hint)


def test_a_program_that_is_only_awaited():
    with served(echo) as server:
        assert compared(Reworded(), ["two.predict"], server) == (3, 2)
        assert compared(Reworded(), ["one", "final"], server) == (3, 2)


def stateless(case):
    """The answers of a case as a function of predictor and inputs; edited predictors and other inputs change them."""
    table: dict[Any, Any] = {}
    first: dict[str, Any] = {}
    for one in record(case)[1]:
        table.setdefault((one.name, repr(sorted(one.inputs.items()))), one.outputs)
        first.setdefault(one.name, one.outputs)

    def answer(name: str, index: int, inputs: dict[str, Any]) -> dict[str, Any]:
        signature = dspy.settings.caller_modules[-1].signature
        outputs = table.get((name, repr(sorted(inputs.items()))))
        edited = "Be precise." in signature.instructions
        if outputs is not None and not edited:
            return outputs
        outputs = outputs or first.get(name) or dict.fromkeys(signature.output_fields, "something")
        mark = zlib.crc32(repr((sorted(inputs.items()), edited)).encode()) % 97
        free = {key for key, field in signature.output_fields.items() if field.annotation is str}
        return {
            key: f"{value} {mark}" if key in free and isinstance(value, str) else value
            for key, value in outputs.items()
        }

    return answer


# Random choices and clocks are no functions of the inputs; the other corpus programs are.
REPEATING = [one for one in CASES + UNSEEN + FINAL if one.name != "random-stamp"]


@pytest.mark.parametrize("case", REPEATING[::2], ids=lambda case: case.name)
def test_programs_of_every_kind_end_as_in_a_full_evaluation(case):
    rng = random.Random(case.name)
    program = case.build()
    example = dspy.Example(**case.inputs).with_inputs(*case.inputs)
    edited = rng.sample([name for name, _ in program.named_predictors()], 1)
    lm = ScriptedLM(program, stateless(case))
    with warnings.catch_warnings(), dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        warnings.simplefilter("ignore")
        incumbent = evaluated(program, example=example)
        before = len(lm.log)
        full = evaluated(program, edited, example=example)
        between = len(lm.log)
        ledger = Ledger()
        part = evaluated(program, edited, record=incumbent, example=example, ledger=ledger)
    asked = len(lm.log) - between
    assert alike(content(full), content(part))
    assert not part.strayed
    assert asked + ledger.total.reused == between - before
    assert asked >= downstream(part, edited)


def content(outcome: Scored) -> Any:
    """What an outcome comes to without the names and the edges of concurrent calls, which depend on the clock."""
    calls, edges, *rest, asked = view(outcome)
    threads = any(call.concurrent for call in outcome.graph)
    return [call for call, *_ in calls], None if threads else edges, rest, asked


def test_best_of_n_which_copies_its_module():
    def reward(inputs, prediction):
        return len(str(prediction.hint)) / 100

    class Best(dspy.Module):
        def __init__(self):
            super().__init__()
            self.best = dspy.BestOfN(dspy.Predict("question -> hint"), N=3, reward_fn=reward, threshold=2.0)
            self.final = dspy.Predict("hint -> answer")

        def forward(self, question):
            return self.final(hint=self.best(question=question).hint)

    with served(echo) as server:
        assert compared(Best(), ["final"], server) == (4, 1)
        assert compared(Best(), ["best.module"], server) == (4, 4)


def test_tools_run_as_ever_and_only_what_follows_the_edit_is_asked():
    looked: list[str] = []

    def look_up(name: str) -> str:
        """Look a name up."""
        looked.append(name)
        return f"a record of {name}"

    def steps(prompt):
        if "next_tool_name" not in prompt.names:
            return echo(prompt)
        done = "a record of" in str(prompt.inputs["trajectory"])
        call = {"next_tool_name": "finish", "next_tool_args": {}}
        call = call if done else {"next_tool_name": "look_up", "next_tool_args": {"name": "Ada"}}
        return {"next_thought": f"thinking, done: {done}", **call}

    class Agent(dspy.Module):
        def __init__(self):
            super().__init__()
            self.plan = dspy.Predict("question -> plan")
            agent: Any = dspy.ReAct
            self.agent = agent("question, plan -> finding", tools=[look_up])
            self.final = dspy.Predict("finding -> answer")

        def forward(self, question):
            plan = self.plan(question=question).plan
            return self.final(finding=self.agent(question=question, plan=plan).finding)

    with served(steps) as server:
        assert compared(Agent(), ["final"], server) == (5, 1)
        assert looked == ["Ada"] * 3
        assert compared(Agent(), ["agent.react"], server) == (5, 4)
        assert compared(Agent(), ["agent.extract.predict"], server) == (5, 2)


class Typed(dspy.Module):
    def __init__(self):
        super().__init__()
        self.split = dspy.Predict("question -> parts: list[str], weights: dict[str, float], sure: bool")
        self.vote = dspy.Predict("parts: list[str] -> choice", n=3, temperature=1.0)
        self.final = dspy.Predict("choices: list[str], sure: bool -> answer")

    def forward(self, question):
        split = self.split(question=question)
        votes: Any = self.vote(parts=split.parts)
        return self.final(choices=[one["choice"] for one in votes.completions], sure=split.sure)


def typed(prompt):
    values = {"parts": ["one part", "another part"], "weights": {"one part": 0.5}, "sure": True}
    return {**echo(prompt), **{name: value for name, value in values.items() if name in prompt.names}}


@pytest.mark.parametrize(
    "adapter", [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()], ids=lambda one: type(one).__name__
)
def test_typed_values_and_several_completions_come_back_as_they_were(adapter):
    with served(typed) as server, dspy.context(adapter=adapter):
        full, asked = compared(Typed(), ["final"], server)
    assert asked == 1 < full


def test_a_predictor_that_somebody_listens_to_is_asked():
    class Heard(Network):
        def forward(self, question):
            streamify: Any = dspy.streamify
            first = streamify(self.nodes[0], async_streaming=False)(question=question)
            (hint,) = (one.out for one in first if isinstance(one, dspy.Prediction))
            middle = self.nodes[1](question=question, from_0=hint).out
            return dspy.Prediction(answer=self.nodes[2](question=question, from_1=middle).out)

    program = Heard([[], [0], [1]])
    lm = ScriptedLM(program, lambda name, index, inputs: {"out": f"{name} says {zlib.crc32(repr(inputs).encode())}"})
    with dspy.context(lm=lm):
        incumbent = evaluated(program)
        before, ledger = len(lm.log), Ledger()
        part = evaluated(program, ["nodes[2]"], record=incumbent, ledger=ledger)
    assert [one.name for one in lm.log[before:]] == ["nodes[0]", "nodes[2]"]
    assert ledger.total.reused == 1 and not part.strayed
