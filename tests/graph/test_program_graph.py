"""A program's graph over its examples: counts, branches, what nobody reads."""

from __future__ import annotations

import json
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import OUTPUT, Call, ComputationGraph, Edge, End, Field, ProgramGraph, aggregate

QUESTION = "What is 6 times 7?"


def call(name: str, index: int = 0, at: int = 0, *, outputs: tuple[str, ...] = ("answer",), failed: bool = False):
    values = {} if failed else {out: f"{out} of {name}" for out in outputs}
    return Call(
        f"{name}[{index}]",
        name,
        index,
        "do",
        {"question": QUESTION},
        values,
        output_fields=tuple(Field(out) for out in outputs),
        started=at,
        ended=at + 1,
        error="ValueError: no" if failed else None,
    )


def edge(source: str, out: str, target: str, to: str | None, kind: Any = "data", sure: float = 1.0) -> Edge:
    return Edge(End(source, out), End(target, to), kind, "identity", sure)


def routed(solver: str, *, failed: bool = False, sure: float = 1.0) -> ComputationGraph:
    calls = (
        call("route", outputs=("reasoning", "category", "note")),
        call(solver, at=2, failed=failed),
    )
    edges = [edge("route[0]", "category", f"{solver}[0]", None, "control")]
    if not failed:
        edges.append(edge(f"{solver}[0]", "answer", OUTPUT, "answer", sure=sure))
    error = "ValueError: no" if failed else None
    return ComputationGraph(calls, tuple(edges), {"question": QUESTION}, {}, error, ("a thread was used",))


def looped(turns: int) -> ComputationGraph:
    calls = tuple(call("step", turn, 2 * turn) for turn in range(turns))
    edges = [edge(f"step[{turn}]", "answer", f"step[{turn + 1}]", "draft") for turn in range(turns - 1)]
    return ComputationGraph(calls, (*edges, edge(f"step[{turns - 1}]", "answer", OUTPUT, "answer")))


ROUTED = aggregate(
    [routed("math"), routed("math", sure=0.5), routed("law"), routed("math", failed=True)],
    ["route", "math", "law", "code"],
)


def test_nodes_count_examples_calls_and_failures():
    ProgramNode = type(ROUTED.nodes[0])
    assert ROUTED.examples == 4 and ROUTED.raised == 1
    assert ROUTED.nodes == (
        ProgramNode("route", 4, 4, 1, 1, 0, 0.0),
        ProgramNode("math", 3, 3, 1, 1, 1, 1.0),
        ProgramNode("law", 1, 1, 1, 1, 0, 1.0),
        ProgramNode("code"),
    )
    (step,) = aggregate([looped(1), looped(2), looped(6)], ["step"]).nodes
    assert (step.fewest, step.mean, step.most) == (1, 3.0, 6)


def test_edges_carry_examples_share_and_confidence():
    found = {(edge.source, edge.target, edge.kind): edge for edge in ROUTED.edges}
    assert set(found) == {
        ("route", "math", "control"),
        ("route", "law", "control"),
        ("math", None, "data"),
        ("law", None, "data"),
    }
    returned = found["math", None, "data"]
    assert (returned.examples, returned.share, returned.confidence) == (2, 0.5, 0.75)
    assert found["route", "math", "control"].share == 0.75


def test_a_loop_is_an_edge_to_itself_counted_once_an_example():
    looping = [edge for edge in aggregate([looped(1), looped(5)], ["step"]).edges if edge.target == "step"]
    assert [(edge.source, edge.examples, edge.share) for edge in looping] == [("step", 1, 0.5)]


def test_inputs_that_are_read_directly_stand_apart():
    assert [(edge.source_field, edge.target, edge.examples) for edge in ROUTED.given] == [
        ("question", "route", 4),
        ("question", "math", 3),
        ("question", "law", 1),
    ]


def test_branches_and_what_no_example_reached():
    assert [(branch.predictor, branch.share, branch.deciders) for branch in ROUTED.branches] == [
        ("math", 0.75, (("route", "category"),)),
        ("law", 0.25, (("route", "category"),)),
    ]
    assert ROUTED.never_reached == ("code",)


def test_outputs_that_nobody_reads_reasoning_apart():
    assert ROUTED.dead_outputs == (("route", "note"),)
    assert ROUTED.dead_reasoning == (("route", "reasoning"),)


def test_a_call_that_always_fails_has_no_dead_outputs():
    assert ("math", "answer") not in aggregate([routed("math", failed=True)], ["math"]).dead_outputs


def test_warnings_are_merged_with_their_number_of_examples():
    assert ROUTED.warnings == {"a thread was used": 4}


def test_calls_of_unknown_predictors_are_kept():
    graph = aggregate([ComputationGraph((call("?"),), ())], ["known"])
    assert [node.predictor for node in graph.nodes] == ["known", "?"]


def test_a_predictor_named_output_is_not_the_returned_prediction():
    calls = (call("output"), call("last", at=2))
    edges = (edge("output[0]", "answer", "last[0]", "draft"), edge("last[0]", "answer", OUTPUT, "answer"))
    graph = aggregate([ComputationGraph(calls, edges)], ["output", "last"])
    assert [(edge.source, edge.target) for edge in graph.edges] == [("output", "last"), ("last", None)]
    assert "last.answer -> returned.answer" in str(graph)


def test_arrays_do_not_break_the_comparison_with_the_inputs():
    one = call("a")
    graph = ComputationGraph(
        (Call("a[0]", "a", 0, "do", {"x": numpy.array([1, 2])}, one.outputs),), (), {"x": numpy.array([1, 2])}
    )
    assert [edge.target for edge in aggregate([graph], ["a"]).given] == ["a"]


def test_no_examples_give_only_predictors():
    graph = aggregate([], ["a", "b"])
    assert graph.never_reached == ("a", "b") and not graph.edges and not graph.branches
    assert str(graph).startswith("ProgramGraph: 0 examples, 2 predictors, 0 edges")


@pytest.mark.parametrize("graph", [ROUTED, ProgramGraph(), aggregate([looped(3)], ["step", "x"])])
def test_json_both_ways(graph):
    assert ProgramGraph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph


def test_the_text_says_what_matters():
    text = str(ROUTED)
    for part in (
        "4 examples, 4 predictors, 4 edges; raised in 1",
        "in 3/4, 1 call each, 1 failed",
        "route.category -> math (decides)",
        "never reached: code",
        "read by nobody: route.note",
        "read by nobody (reasoning): route.reasoning",
        "a thread was used (4 examples)",
    ):
        assert part in text


def test_every_notation_draws_it():
    assert ROUTED.to_mermaid().startswith("flowchart TD") and "never reached" in ROUTED.to_mermaid()
    assert ROUTED.to_dot().startswith("digraph") and "75%" in ROUTED.to_dot()
    assert ROUTED.to_svg().startswith("<svg")
    assert "image/svg+xml" in ROUTED._repr_mimebundle_()


NAMES = st.text(min_size=1, max_size=120)


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, min_size=2, max_size=4, unique=True), NAMES)
def test_the_text_keeps_to_80_columns_and_json_to_the_graph(names, field):
    calls = tuple(call(name, at=2 * at, outputs=(field,)) for at, name in enumerate(names))
    edges = (edge(calls[0].id, field, calls[1].id, field + "!"), edge(calls[1].id, field, OUTPUT, field))
    graph = aggregate([ComputationGraph(calls, edges, warnings=(field,))], names)
    assert max(len(row) for row in str(graph).split("\n")) <= 80
    assert ProgramGraph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph
