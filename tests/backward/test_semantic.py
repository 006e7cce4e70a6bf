"""The semantic backward function: one question for a group, and answers that go to the right member."""

from __future__ import annotations

import asyncio
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    OUTPUT,
    Call,
    ComputationGraph,
    Direction,
    Edge,
    End,
    GradientCache,
    Message,
    Semantic,
    TextGradient,
    backward_context,
    join,
    propagate,
)
from tests.scripted import served

SEED = [Message(OUTPUT, "final[0]", "answer", Direction("The expected answer is 12."))]


def group_of(outputs: list[str]) -> ComputationGraph:
    """Hints that one final call read."""
    hints = tuple(
        Call(f"hint_{at}[0]", f"hint_{at}", 0, "Hint.", {"question": "q"}, {"hint": text}, started=at, ended=at + 1)
        for at, text in enumerate(outputs)
    )
    read = {f"h{at}": text for at, text in enumerate(outputs)}
    final = Call("final[0]", "final", 0, "Solve.", {"question": "q", **read}, {"answer": "7"}, started=99, ended=100)
    edges = [
        Edge(End(call.id, "hint"), End("final[0]", f"h{at}"), "data", "identity", 1.0) for at, call in enumerate(hints)
    ]
    edges.append(Edge(End("final[0]", "answer"), End(OUTPUT, "answer"), "data", "identity", 1.0))
    return ComputationGraph((*hints, final), tuple(edges))


def sweep(graph: ComputationGraph, backward: Any) -> dict[str, TextGradient]:
    return asyncio.run(propagate(graph, SEED, backward, join))


def telling(prompt):
    return {name: answer(prompt, name) for name in prompt.names}


def answer(prompt, name):
    """What an honest model says: something about the very output, and that the instruction is fine."""
    if not name.startswith("change_"):
        return "."
    output = prompt.inputs.get(name.replace("change_", "output_"))
    return "The instruction needs no change." if output is None else f"about: {output}"


def test_one_question_covers_the_group_and_every_answer_reaches_its_member():
    with served(telling) as server:
        gradients = sweep(group_of(["one", "two", "three"]), Semantic())
        assert server.requests == 1
    assert [str(gradients[f"hint_{at}[0]"]) for at in range(3)] == ["about: one", "about: two", "about: three"]


def test_isolated_asks_one_question_for_each_member_and_shows_no_neighbour():
    with served(telling) as server:
        gradients = sweep(group_of(["one-alone", "two-alone"]), Semantic(siblings=False))
        assert server.requests == 2
        for record in server.log:
            text = str(record.messages[-1]["content"])
            assert ("one-alone" in text) != ("two-alone" in text)
    assert str(gradients["hint_1[0]"]) == "about: two-alone"


def test_a_member_left_out_twice_is_sent_nothing():
    def forgetful(prompt):
        kept = [name for name in prompt.names if name.startswith("change_")][1:]
        return "\n\n".join(f"[[ ## {name} ## ]]\nshould be different" for name in ["diagnosis", *kept])

    with served(forgetful) as server:
        gradients = sweep(group_of(["one", "two"]), Semantic())
        assert server.requests > 1
    assert not gradients["hint_0[0]"]
    assert str(gradients["hint_1[0]"]) == "should be different"


def test_a_reader_that_need_not_change_is_not_asked():
    with served(telling) as server:
        asyncio.run(propagate(group_of(["one"]), [], Semantic(), join))
        assert server.requests == 0


def test_a_sweep_alone_asks_the_model_that_dspy_is_configured_with_and_counts_where_it_is_asked_to():
    with served(telling) as server:
        sweep(group_of(["one"]), Semantic())
        with backward_context(GradientCache()) as happened:
            for _ in range(2):
                sweep(group_of(["one"]), Semantic())
        assert server.requests == 2
    assert (happened["asked"], happened["cache hit"]) == (1, 1)
    with dspy.context(lm=None), pytest.raises(ValueError, match="No LM is loaded"):
        sweep(group_of(["one"]), Semantic())
