"""Tracing whatever users have: programs that fail, share, mutate, run in threads, and must stay as they were."""

from __future__ import annotations

import _thread
import asyncio
import json
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop import Call, ComputationGraph, Edge, End, SetupError, atrace, program_graph, trace
from tests.graph.graphs import STRAIGHT, Pair, echo, ends
from tests.scripted import served

react: Any = dspy.ReAct


@pytest.mark.parametrize("probe", ["auto", "never", "always"])
def test_a_program_that_raises_half_way_gives_the_graph_of_what_happened(probe):
    class Raises(Pair):
        def forward(self, question):
            super().forward(question)
            raise RuntimeError("half-way")

    with served(echo):
        graph = trace(Raises(), {"question": "why?"}, probe=probe)
    assert graph.error == "RuntimeError: half-way"
    assert [call.id for call in graph] == ["first[0]", "second[0]"]
    assert ("first[0].hint", "second[0].hint") in ends(graph)


def test_a_predictor_that_cannot_be_parsed_is_a_node_with_its_error():
    with served(lambda prompt: "nothing that could be parsed"):
        graph = trace(Pair(), {"question": "why?"})
    (call,) = graph.calls
    assert call.error and call.error.startswith("AdapterParseError")
    assert graph.error == call.error


def test_outputs_of_a_megabyte():
    def huge(prompt):
        return {name: f"{name} " + "x" * 1_000_000 for name in prompt.names}

    with served(huge):
        graph = trace(Pair(), {"question": "why?"})
    assert ends(graph) == STRAIGHT


def test_many_calls_and_deep_recursion():
    class Deep(dspy.Module):
        def __init__(self):
            super().__init__()
            self.step = dspy.Predict("text -> longer")

        def forward(self, text, depth=200):
            text = self.step(text=text).longer
            return self.forward(text, depth - 1) if depth > 1 else dspy.Prediction(text=text)

    def count(prompt):
        return {"longer": f"step {int(prompt.inputs['text'].split()[-1]) + 1}"}

    with served(count):
        graph = trace(Deep(), {"text": "step 0"}, probe="never")
    assert len(graph) == 200
    assert len(graph.waves) == 200
    assert ComputationGraph.from_dict(json.loads(json.dumps(graph.to_dict()))).edges == graph.edges


def test_what_cannot_be_copied_does_not_keep_a_program_from_being_proved():
    class Client:
        def __init__(self):
            self.used = 0

        def __deepcopy__(self, memo):
            raise TypeError("a client cannot be copied")

    class Holder(Pair):
        def __init__(self):
            super().__init__()
            self.client = Client()
            self.lock = threading.Lock()

        def forward(self, question):
            with self.lock:
                self.client.used += 1
            return super().forward(question)

    program = Holder()
    with served(echo):
        graph = trace(program, {"question": "why?"})
    assert program.client.used == 1
    assert not graph.warnings
    assert ends(graph) == STRAIGHT


def test_a_lock_does_not_keep_a_program_from_being_proved():
    class Locked(Pair):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

        def forward(self, question):
            with self.lock:
                return self.second(hint=str(len(self.first(question=question).hint)))

    with served(echo):
        graph = trace(Locked(), {"question": "why?"})
    assert not graph.warnings
    assert ends(graph) == STRAIGHT


def test_side_effects_happen_once_and_are_named(tmp_path):
    log = tmp_path / "log.txt"

    class Writes(Pair):
        def forward(self, question):
            with Path(log).open("a", encoding="utf-8") as file:
                file.write("ran\n")
            return super().forward(question)

    with served(echo):
        graph = trace(Writes(), {"question": "why?"})
    assert log.read_text(encoding="utf-8") == "ran\n"
    assert any("side effects" in warning for warning in graph.warnings)
    assert ends(graph) == STRAIGHT


def test_a_tool_is_never_run_twice():
    ran = []

    def charge(amount: str) -> str:
        """Charge a card."""
        ran.append(amount)
        return f"charged {len(ran)} times"

    def act(prompt):
        answers = echo(prompt)
        if "next_tool_name" in answers:
            first = "charged" not in prompt.inputs["trajectory"]
            answers |= {
                "next_tool_name": "charge" if first else "finish",
                "next_tool_args": {"amount": "7"} if first else {},
            }
        return answers

    with served(act):
        graph = trace(react("question -> answer", tools=[charge]), {"question": "why?"})
    assert ran == ["7"]
    assert not graph.warnings
    assert ("react[0].next_tool_args", "react[1].trajectory") in ends(graph)
    assert any(edge.kind == "control" and edge.target.call == "react[1]" for edge in graph.edges)


def test_a_program_that_is_not_deterministic_is_not_believed():
    import random

    class Dice(Pair):
        def forward(self, question):
            hint = self.first(question=question).hint
            # The usual generator's state is put back before a replay; this one has none.
            return self.second(hint=f"{hint} {random.SystemRandom().random()}")

    with served(echo):
        graph = trace(Dice(), {"question": "why?"})
    assert any("not deterministic" in warning for warning in graph.warnings)
    assert ends(graph) == STRAIGHT


NOTES: list[str] = []


def test_globals_and_attributes_are_as_one_run_leaves_them():
    class Remembers(Pair):
        def __init__(self):
            super().__init__()
            self.seen: list[str] = []

        def forward(self, question):
            NOTES.append(question)
            self.seen.append(question)
            return super().forward(question)

    NOTES.clear()
    program = Remembers()
    with served(echo):
        graph = trace(program, {"question": "why?"})
    assert NOTES == ["why?"]
    assert program.seen == ["why?"]
    assert not graph.warnings


LOCKS: list[object] = [threading.Lock()]


def test_a_global_with_a_lock_in_it_is_put_back():
    class Appends(Pair):
        def forward(self, question):
            LOCKS.append(question)
            return super().forward(question)

    with served(echo):
        graph = trace(Appends(), {"question": "why?"})
    assert LOCKS[1:] == ["why?"]
    assert not graph.warnings


def test_inputs_that_a_program_changes_are_shown_as_they_were():
    class Grows(dspy.Module):
        def __init__(self):
            super().__init__()
            self.step = dspy.Predict("notes: list[str] -> note")

        def forward(self, notes):
            for _ in range(2):
                notes.append(self.step(notes=notes).note)
            return dspy.Prediction(notes=notes)

    with served(lambda prompt: {"note": f"note on {len(prompt.inputs['notes'])} characters"}):
        graph = trace(Grows(), {"notes": ["start"]})
    assert [len(call.inputs["notes"]) for call in graph] == [1, 2]
    assert ("step[0].note", "step[1].notes") in ends(graph)


def test_the_program_sees_what_it_would_see_without_us():
    seen: list[Any] = []

    class Curious(Pair):
        def forward(self, question):
            hint = self.first(question=question)
            seen.append((type(hint), type(hint.hint), dict(hint), list(hint.keys()), str(hint)))
            return hint

    with served(echo) as server:
        plain = Curious()(question="why?")
        with dspy.context(lm=server.lm(cache=False)):
            trace(Curious(), {"question": "why?"}, probe="never")
    assert seen[0] == seen[1]
    assert type(plain._store) is dict


def test_threads_that_are_given_the_context_by_the_program_are_seen():
    class Threads(dspy.Module):
        def __init__(self):
            super().__init__()
            self.ask = dspy.Predict("question -> answer")

        def forward(self, question):
            with ThreadPoolExecutor(2) as pool:
                tasks = [
                    pool.submit(copy_context().run, lambda part=part: self.ask(question=part).answer)
                    for part in question.split()
                ]
                return dspy.Prediction(text=" ".join(task.result() for task in tasks))

    with served(echo):
        graph = trace(Threads(), {"question": "one two three"})
    assert [call.inputs["question"] for call in sorted(graph.calls, key=lambda call: call.index)] == [
        "one",
        "two",
        "three",
    ]
    assert ends(graph) == {(f"ask[{index}].answer", "output.text") for index in range(3)}


def test_a_thread_that_nothing_can_follow_is_reported():
    class Lost(Pair):
        def forward(self, question):
            found = queue.Queue()
            _thread.start_new_thread(lambda: found.put(self.first(question=question).hint), ())
            return self.second(hint=found.get())

    with served(echo) as server:
        dspy.configure(lm=server.lm(cache=False))
        graph = trace(Lost(), {"question": "why?"})
    assert [call.id for call in graph] == ["second[0]"]
    assert any("first was called in a thread without" in warning for warning in graph.warnings)


def test_100_examples_of_one_program_at_once_never_mix():
    program = Pair()

    async def run(server):
        stop = threading.Event()

        def other_use():
            with dspy.context(lm=server.lm(cache=False)):
                while not stop.is_set():
                    Pair()(question="somebody else's")

        stranger = threading.Thread(target=other_use)
        stranger.start()
        try:
            # Each execution has a thread of its own.
            traces = (atrace(program, {"question": f"question {number}"}, probe="never") for number in range(100))
            return await asyncio.gather(*traces)
        finally:
            stop.set()
            stranger.join()

    with served(echo) as server:
        graphs = asyncio.run(run(server))
    for number, graph in enumerate(graphs):
        assert graph.error is None
        assert len(graph) == 2
        assert graph["first[0]"].inputs == {"question": f"question {number}"}
        assert f"question {number}" in graph["second[0]"].inputs["hint"]
        assert ends(graph) == STRAIGHT


def test_program_graph_tells_branches_unreached_predictors_and_dead_outputs():
    class Router(dspy.Module):
        def __init__(self):
            super().__init__()
            self.route = dspy.Predict("question -> reasoning, kind")
            self.short = dspy.Predict("question -> answer")
            self.long = dspy.Predict("question -> answer, sources")
            self.never = dspy.Predict("question -> answer")

        def forward(self, question):
            kind = self.route(question=question).kind
            answer = self.long(question=question).answer if kind == "long" else self.short(question=question).answer
            return dspy.Prediction(answer=answer)

    def rule(prompt):
        kind = "long" if "explain" in prompt.inputs["question"] else "short"
        return {name: kind if name == "kind" else f"a {name}" for name in prompt.names}

    with served(rule):
        graph = program_graph(Router(), [{"question": "explain it"}, {"question": "say it"}, {"question": "tell me"}])
    text = str(graph)
    assert "never" in graph.never_reached
    assert ("long", "sources") in graph.dead_outputs
    assert any(edge.kind == "control" for edge in graph.edges)
    assert "never" in text and "sources" in text


def test_bad_arguments_are_refused():
    with pytest.raises(SetupError, match="probe"):
        trace(Pair(), {"question": "why?"}, probe="sometimes")  # pyright: ignore[reportArgumentType]
    with pytest.raises(SetupError, match="examples is empty"):
        program_graph(Pair(), [])


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_round_trips_through_json(one, other):

    calls = tuple(
        Call(f"p[{at}]", "p", at, one, {"x": other}, {"y": one}, started=at * 2, ended=at * 2 + 1) for at in range(2)
    )
    graph = ComputationGraph(calls, (Edge(End("p[0]", "y"), End("p[1]", "x"), "data", "replay", 1.0),))
    back = ComputationGraph.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert back.to_dict() == graph.to_dict()
    assert str(back) == str(graph)
