"""A program run again with one answer changed: only what lies downstream is asked, counted at the server."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop.testing import Faults
from tests.evaluate.reusing import ModelUnavailable, Recorded
from tests.scripted import served

react: Any = dspy.ReAct


def echo(prompt):
    return {name: f"{name} of ({' / '.join(prompt.inputs.values())[:200]})" for name in prompt.names}


def only_downstream(recorded, call, field, value="something else"):
    """Change one answer; the server was asked for exactly the graph's descendants."""
    done = recorded.again({(call, field): value})
    assert done.problem == ""
    assert sorted(done.live) == sorted(recorded.graph.descendants(call))
    assert recorded.asked == len(done.live) == recorded.ledger.by_purpose["check"].calls if done.live else True
    return done


class Chain(dspy.Module):
    def __init__(self, length):
        super().__init__()
        self.steps = [dspy.Predict("text -> text_out") for _ in range(length)]

    def forward(self, question):
        text = question
        for step in self.steps:
            text = step(text=text).text_out
        return dspy.Prediction(answer=text)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_in_a_chain_only_the_steps_behind_the_change_are_asked(data):
    length = data.draw(st.integers(1, 6))
    at = data.draw(st.integers(0, length - 1))
    with served(echo) as server:
        recorded = Recorded(Chain(length), {"question": "why?"}, server)
        done = only_downstream(recorded, f"steps[{at}][0]", "text_out")
    assert recorded.asked == length - 1 - at
    assert done.returned.answer == "text_out of (" * (length - 1 - at) + "something else" + ")" * (length - 1 - at)


class Layers(dspy.Module):
    """Three layers of three: each node of a layer reads all of the one before."""

    def __init__(self):
        super().__init__()
        first = [dspy.Predict("question -> out") for _ in range(3)]
        later = [dspy.Predict("question, one, two, three -> out") for _ in range(6)]
        self.nodes = [*first, *later]
        self.final = dspy.Predict("one, two, three -> answer")

    def forward(self, question):
        known = [node(question=question).out for node in self.nodes[:3]]
        for layer in (1, 2):
            read = dict(zip(("one", "two", "three"), known, strict=True))
            with ThreadPoolExecutor(3) as pool:
                calls = [
                    pool.submit(copy_context().run, lambda node=node, read=read: node(question=question, **read).out)
                    for node in self.nodes[3 * layer : 3 * layer + 3]
                ]
                known = [call.result() for call in calls]
        return self.final(**dict(zip(("one", "two", "three"), known, strict=True)))


@pytest.mark.parametrize("node, downstream", [(0, 7), (2, 7), (4, 4), (8, 1)])
def test_in_layers_run_in_threads_only_later_layers_are_asked(node, downstream):
    with served(echo) as server:
        recorded = Recorded(Layers(), {"question": "why?"}, server)
        only_downstream(recorded, f"nodes[{node}][0]", "out")
    assert recorded.asked == downstream


class Loop(dspy.Module):
    def __init__(self):
        super().__init__()
        self.improve = dspy.Predict("text -> revised, done: bool")
        self.final = dspy.Predict("text -> answer")

    def forward(self, question):
        text = question
        for _ in range(6):
            step = self.improve(text=text)
            text = step.revised
            if step.done:
                break
        return self.final(text=text)


def count(prompt):
    at = int(re.findall(r"\d+", prompt.inputs["text"])[-1]) + 1
    return {"revised": f"version {at}", "done": at >= 3, "answer": f"answer {at}"}


def test_a_loop_goes_on_from_the_changed_round():
    with served(count) as server:
        recorded = Recorded(Loop(), {"question": "version 0"}, server)
        assert len(recorded.graph) == 4
        done = only_downstream(recorded, "improve[1]", "revised", "version 7")
    assert done.returned.answer == "answer 9"


def test_a_change_that_comes_to_nothing_asks_no_further():
    with served(count) as server:
        recorded = Recorded(Loop(), {"question": "version 0"}, server)
        done = recorded.again({("improve[1]", "revised"): "another version 2"})
    assert done.live == ("improve[2]",)
    assert recorded.asked == 1
    assert done.returned.answer == "answer 4"


def test_a_loop_that_grows_asks_what_the_record_does_not_have():
    with served(count) as server:
        recorded = Recorded(Loop(), {"question": "version 0"}, server)
        done = recorded.again({("improve[1]", "revised"): "version -5"})
    assert done.live == ("improve[2]", "final[0]") or done.live[:1] == ("improve[2]",)
    assert recorded.asked == len(done.live)


def test_a_loop_that_ends_early_asks_the_final_step_only():
    with served(count) as server:
        recorded = Recorded(Loop(), {"question": "version 0"}, server)
        done = recorded.again({("improve[0]", "done"): True})
    assert done.live == ("final[0]",)
    assert done.returned.answer == "answer 2"
    assert recorded.asked == 1


class Router(dspy.Module):
    def __init__(self):
        super().__init__()
        self.route = dspy.Predict("question -> kind")
        self.maths = dspy.Predict("question -> answer")
        self.words = dspy.Predict("question -> answer")
        self.check = dspy.Predict("question -> remark")

    def forward(self, question):
        kind = self.route(question=question).kind
        answer = (self.maths if kind == "maths" else self.words)(question=question).answer
        return dspy.Prediction(answer=answer, remark=self.check(question=question).remark)


def test_a_router_takes_the_other_branch_and_the_rest_is_from_the_record():
    def rule(prompt):
        return {"kind": "words"} if prompt.names == ["kind"] else echo(prompt)

    with served(rule) as server:
        recorded = Recorded(Router(), {"question": "why?"}, server)
        assert "maths" not in {call.predictor for call in recorded.graph}
        done = recorded.again({("route[0]", "kind"): "maths"})
    assert done.live == ("maths",)
    assert recorded.asked == 1
    assert done.returned.remark == "remark of (why?)"


def act(prompt):
    if prompt.names[-1] == "answer":
        return {"reasoning": "r", "answer": f"answer from {prompt.inputs['trajectory'][-60:]}"}
    looked = "tool_name_0" in prompt.inputs["trajectory"]
    return {
        "next_thought": "t",
        "next_tool_name": "finish" if looked else "look",
        "next_tool_args": {} if looked else {"word": "old"},
    }


@pytest.mark.parametrize("word, works", [("old", True), ("new", False)])
def test_tools_answer_recorded_arguments_and_refuse_others(word, works):
    used = []

    def look(word: str) -> str:
        used.append(word)
        return f"found {word}"

    with served(act) as server:
        recorded = Recorded(react("question -> answer", tools=[look]), {"question": "why?"}, server)
        assert used == ["old"]
        done = recorded.again({("react[0]", "next_thought"): "another", ("react[0]", "next_tool_args"): {"word": word}})
    assert used == ["old"]
    if works:
        assert done.problem == ""
        assert set(done.live) == {"react[1]", "extract.predict[0]"}
    else:
        assert "look was asked something new" in done.problem
        assert recorded.asked == 0


def test_tools_are_asked_anew_where_effects_are_allowed():
    def look(word: str) -> str:
        return f"found {word}"

    with served(act) as server:
        recorded = Recorded(react("question -> answer", tools=[look]), {"question": "why?"}, server)
        done = recorded.again({("react[0]", "next_tool_args"): {"word": "new"}}, allow_effects=True)
    assert done.problem == "" and done.returned.trajectory["observation_0"] == "found new"


class Asynchronous(dspy.Module):
    def __init__(self):
        super().__init__()
        self.left = dspy.Predict("question -> hint")
        self.right = dspy.Predict("question -> hint")
        self.final = dspy.Predict("one, two -> answer")

    async def aforward(self, question):
        one, two = await asyncio.gather(self.left.acall(question=question), self.right.acall(question=question))
        return await self.final.acall(one=one.hint, two=two.hint)


def test_asynchronous_programs():
    with served(echo) as server:
        recorded = Recorded(Asynchronous(), {"question": "why?"}, server)
        done = only_downstream(recorded, "right[0]", "hint")
    assert done.returned.answer == "answer of (hint of (why?) / something else)"
    assert recorded.asked == 1


class Stateful(dspy.Module):
    """Numbers its runs, and keeps what it said in an attribute and in a global."""

    said: list[str]

    def __init__(self):
        super().__init__()
        self.said = []
        self.first = dspy.Predict("question, number: int -> hint")
        self.second = dspy.Predict("hint, before: list[str] -> answer")

    def forward(self, question):
        number = len(self.said)
        hint = self.first(question=question, number=number).hint
        self.said.append(hint)
        SAID.append(hint)
        return self.second(hint=hint, before=list(SAID))


SAID: list[str] = ["from the beginning"]


def test_a_program_with_state_starts_as_the_record_did_and_globals_keep_what_every_run_writes():
    program = Stateful()
    with served(echo) as server:
        recorded = Recorded(program, {"question": "why?"}, server)
        kept, told = list(program.said), list(SAID)
        done = only_downstream(recorded, "first[0]", "hint", "other")
    assert "from the beginning" in done.returned.answer and "other" in done.returned.answer
    assert (program.said, SAID) == (kept, [*told, "other"])


class Twice(dspy.Module):
    """Asks the same question twice, and a language model without a predictor."""

    def __init__(self, lm=None):
        super().__init__()
        self.lm = lm
        self.vote = dspy.Predict("question -> opinion")
        self.final = dspy.Predict("opinions: list[str], aside -> answer")

    def forward(self, question):
        opinions = [self.vote(question=question).opinion for _ in range(2)]
        aside = (self.lm or dspy.settings.lm)("What about " + question)[0]
        return self.final(opinions=opinions, aside=str(aside))


@pytest.mark.parametrize("own", [False, True])
def test_twins_are_told_apart_and_raw_language_model_calls_come_from_the_record(own):
    def rule(prompt):
        return echo(prompt) if prompt.names else "raw words"

    with served(rule) as server:
        recorded = Recorded(Twice(server.lm(cache=False) if own else None), {"question": "why?"}, server)
        assert recorded.before == 4
        done = recorded.again({("vote[1]", "opinion"): "no"})
    assert done.problem == "" and done.live == ("final[0]",)
    assert recorded.asked == 1
    assert "no" in done.returned.answer and "raw words" in done.returned.answer


def test_a_failed_call_gets_an_answer():
    def rule(prompt):
        return (
            "nothing that can be parsed"
            if prompt.names == ["text_out"] and prompt.inputs["text"] == "why?"
            else (echo(prompt))
        )

    with served(rule) as server:
        recorded = Recorded(Chain(2), {"question": "why?"}, server)
        assert recorded.error is not None
        done = recorded.again({("steps[0][0]", "text_out"): "better"})
    assert done.returned.answer == "text_out of (better)"


def test_a_program_that_raises_on_the_changed_answer_says_so():
    class Picky(Chain):
        def forward(self, question):
            text = self.steps[0](text=question).text_out
            if "else" in text:
                raise ValueError("no such thing")
            return dspy.Prediction(answer=text)

    with served(echo) as server:
        recorded = Recorded(Picky(1), {"question": "why?"}, server)
        done = recorded.again({("steps[0][0]", "text_out"): "else"})
    assert isinstance(done.error, ValueError) and done.returned is None and done.problem == ""


def test_no_more_requests_than_the_cap():
    with served(echo) as server:
        recorded = Recorded(Chain(6), {"question": "why?"}, server)
        done = recorded.again({("steps[0][0]", "text_out"): "else"}, caps={"check": 3})
    assert "3 requests are the most" in done.problem
    assert recorded.asked == 3 == recorded.ledger.by_purpose["check"].calls


def test_retries_count_against_the_cap():
    with served(echo, faults=Faults(rate_limit=0.7)) as server:
        recorded = Recorded(Chain(4), {"question": "why?"}, server)
        recorded.again({("steps[0][0]", "text_out"): "else"}, caps={"check": 2})
    assert recorded.asked <= 2


def test_a_change_that_is_not_reached_says_nothing():
    with served(count) as server:
        recorded = Recorded(Loop(), {"question": "version 0"}, server)
        done = recorded.again({("improve[0]", "done"): True, ("improve[2]", "revised"): "version 9"})
    assert done.problem == "improve[2] was not reached again"


def test_a_predictor_with_an_adapter_of_its_own_cannot_be_checked():
    class Own(Chain):
        def forward(self, question):
            with dspy.context(adapter=dspy.JSONAdapter()):
                return super().forward(question)

    with served(echo) as server:
        recorded = Recorded(Own(2), {"question": "why?"}, server)
        done = recorded.again({("steps[0][0]", "text_out"): "else"})
    assert "adapter of its own" in done.problem
    assert recorded.asked == 0


def test_the_users_adapter_is_used_for_live_calls():
    with served(echo) as server, dspy.context(adapter=dspy.JSONAdapter()):
        recorded = Recorded(Chain(2), {"question": "why?"}, server)
        only_downstream(recorded, "steps[0][0]", "text_out")


def test_effects_are_refused_while_the_model_is_reached(tmp_path):
    class Writes(Chain):
        def forward(self, question):
            text = self.steps[1](text=self.steps[0](text=question).text_out).text_out
            if "else" in text:
                (tmp_path / "file").write_text(text)
            return dspy.Prediction(answer=text)

    with served(echo) as server:
        recorded = Recorded(Writes(2), {"question": "why?"}, server)
        done = recorded.again({("steps[0][0]", "text_out"): "else"})
    assert "file" in done.problem and not (tmp_path / "file").exists()
    assert recorded.asked == 1


def test_a_refused_key_ends_the_run():
    with served(echo) as server:
        recorded = Recorded(Chain(2), {"question": "why?"}, server)
        server.faults = Faults(auth=1.0)
        with pytest.raises(ModelUnavailable):
            recorded.again({("steps[0][0]", "text_out"): "else"})


def test_an_outage_is_a_problem_and_no_failure_of_the_program():
    with served(echo, num_retries=0) as server:
        recorded = Recorded(Chain(2), {"question": "why?"}, server)
        server.faults = Faults(server_error=1.0)
        done = recorded.again({("steps[0][0]", "text_out"): "else"})
    assert "the provider failed" in done.problem
