"""Shares of the blame: they sum to 1, follow the messages, and stay where nobody was asked to change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop import (
    OUTPUT,
    Call,
    ComputationGraph,
    Direction,
    Edge,
    End,
    Message,
    TextGradient,
    pool_blame,
)

STATUSES: Any = (
    ("change", "major"),
    ("change", "minor"),
    ("none", "none"),
    ("missing", "none"),
)


def call(name: str, at: int, *, error: str | None = None) -> Call:
    outputs = {} if error else {"y": name}
    return Call(f"{name}[0]", name, 0, "", {}, outputs, started=2 * at, ended=2 * at + 1, error=error)


def graph_of(names: str, edges: list[str], *, failed: str = "", error: str | None = None) -> ComputationGraph:
    """Calls by letter, edges as "ab"; "a>" leads to the returned prediction."""
    calls = tuple(call(name, at, error="broken" if name in failed else None) for at, name in enumerate(names))

    def target(letter: str) -> End:
        return End(OUTPUT, "y") if letter == ">" else End(f"{letter}[0]", "x")

    known = tuple(Edge(End(f"{one}[0]", "y"), target(other), "data", "replay", 1.0) for one, other in edges)
    return ComputationGraph(calls, known, error=error)


def gradients(graph: ComputationGraph, said: dict[str, Direction], own: dict[str, Direction] | None = None):
    """Gradients from what was said: "wv" -> what w said to v, with ">" for the returned prediction."""
    found: dict[str, list[Message[Direction]]] = {one.id: [] for one in graph}
    for (sender, receiver), direction in said.items():
        name = OUTPUT if sender == ">" else f"{sender}[0]"
        found[f"{receiver}[0]"].append(Message(name, f"{receiver}[0]", "y", direction))
    own = own or {}
    return {name: TextGradient(tuple(messages), own.get(name[0])) for name, messages in found.items()}


def blame(graph: ComputationGraph, told: dict[str, TextGradient]):
    (found,) = pool_blame([(graph, told)])
    return found


FINE = Direction("", "none", "none")
MISSING = Direction("", "missing", "none")
MAJOR, MINOR = Direction("change it"), Direction("change it", severity="minor")
HINTS = graph_of("abf", ["af", "bf", "f>"])


@pytest.mark.parametrize(
    ("said", "own", "shares"),
    [
        ({">f": MAJOR}, {}, {"f": 1.0}),
        ({">f": MAJOR, "fa": MAJOR, "fb": FINE}, {}, {"a": 1.0}),
        ({">f": MAJOR, "fa": MAJOR, "fb": MAJOR}, {}, {"a": 0.5, "b": 0.5}),
        ({">f": MAJOR, "fa": MAJOR, "fb": MINOR}, {}, {"a": 2 / 3, "b": 1 / 3}),
        ({">f": MAJOR, "fa": MAJOR, "fb": FINE}, {"f": MINOR}, {"a": 2 / 3, "f": 1 / 3}),
        ({">f": MAJOR, "fa": FINE, "fb": FINE}, {"f": MAJOR}, {"f": 1.0}),
        ({">f": MAJOR, "fa": FINE, "fb": FINE}, {"f": FINE}, {"f": 1.0}),
        ({">f": MAJOR, "fa": MISSING, "fb": MAJOR}, {}, {"b": 1.0}),
    ],
)
def test_blame_follows_what_was_asked_to_change(said, own, shares):
    found = blame(HINTS, gradients(HINTS, said, own)).shares
    assert found == pytest.approx({f"{name}[0]": shares.get(name, 0.0) for name in "abf"})


def test_where_no_usable_answer_came_the_blame_stays_and_is_called_unknown():
    found = blame(HINTS, gradients(HINTS, {">f": MAJOR, "fa": MISSING, "fb": MISSING}))
    assert found.shares["f[0]"] == 1.0 and found.unknown == 1.0
    assert blame(HINTS, gradients(HINTS, {">f": MAJOR, "fa": FINE, "fb": MISSING})).unknown == 0.0


def test_a_prediction_of_several_calls_blames_them_evenly_and_failed_ones_alone():
    both = graph_of("ab", ["a>", "b>"])
    told = {">a": MAJOR, ">b": MAJOR}
    assert blame(both, gradients(both, told)).shares == {"a[0]": 0.5, "b[0]": 0.5}
    one = graph_of("ab", ["a>", "b>"], failed="b")
    assert blame(one, gradients(one, told)).shares == {"a[0]": 0.0, "b[0]": 1.0}


def test_without_gradients_the_blame_stays_at_the_answer_or_at_what_failed():
    silent = dict.fromkeys((one.id for one in HINTS), TextGradient())
    assert blame(HINTS, silent).shares["f[0]"] == 1.0
    broken = graph_of("abf", ["af", "bf"], failed="b", error="broken")
    assert blame(broken, silent).shares["b[0]"] == 1.0
    assert blame(ComputationGraph((), ()), {}).shares == {}


def test_a_predictor_called_often_is_blamed_for_all_its_calls():
    calls = tuple(Call(f"p[{at}]", "p", at, "", {}, {"y": "v"}, started=2 * at, ended=2 * at + 1) for at in range(3))
    edges = [Edge(End(f"p[{at}]", "y"), End(f"p[{at + 1}]", "x"), "data", "replay", 1.0) for at in range(2)]
    graph = ComputationGraph(calls, (*edges, Edge(End("p[2]", "y"), End(OUTPUT, "y"), "data", "replay", 1.0)))
    told = {
        "p[0]": TextGradient((Message("p[1]", "p[0]", "y", MAJOR),)),
        "p[1]": TextGradient((Message("p[2]", "p[1]", "y", MAJOR),), MAJOR),
        "p[2]": TextGradient((Message(OUTPUT, "p[2]", "y", MAJOR),)),
    }
    found = blame(graph, told)
    assert found.shares == {"p[0]": 0.5, "p[1]": 0.5, "p[2]": 0.0}
    assert found.by_predictor(graph) == {"p": 1.0}


@st.composite
def sweeps(draw):
    """A random graph of up to 12 calls and any messages along, and some beside, its edges."""
    size = draw(st.integers(1, 12))
    names = "abcdefghijkl"[:size]
    pairs = [one + other for at, one in enumerate(names) for other in names[at + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30)) if pairs else []
    ends = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
    failed = "".join(draw(st.lists(st.sampled_from(names), unique=True, max_size=2)))
    graph = graph_of(names, [*edges, *(name + ">" for name in ends)], failed=failed, error=failed or None)
    directions = st.sampled_from(STATUSES).map(lambda one: Direction("x", *one))
    stray = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=3))
    senders = [f"{other}{one}" for one, other in edges] + [f">{name}" for name in ends]
    senders += [f"{one}{other}" for one, other in stray if one != other]
    said = {pair: draw(directions) for pair in senders if draw(st.booleans())}
    own = {name: draw(directions) for name in names if draw(st.booleans())}
    return graph, gradients(graph, said, own)


@given(sweeps())
def test_shares_are_none_below_0_and_sum_to_1(sweep):
    graph, told = sweep
    found = blame(graph, told)
    assert set(found.shares) == {one.id for one in graph}
    assert all(share >= 0 for share in found.shares.values())
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert -1e-9 <= found.unknown <= 1 + 1e-9
    assert sum(found.by_predictor(graph).values()) == pytest.approx(1.0)


def test_a_chain_of_a_thousand_calls_takes_no_recursion():
    calls = tuple(Call(f"p[{at}]", "p", at, "", {}, {"y": "v"}, started=2 * at, ended=2 * at + 1) for at in range(1000))
    edges = [Edge(End(f"p[{at}]", "y"), End(f"p[{at + 1}]", "x"), "data", "replay", 1.0) for at in range(999)]
    graph = ComputationGraph(calls, (*edges, Edge(End("p[999]", "y"), End(OUTPUT, "y"), "data", "replay", 1.0)))
    told = {f"p[{at}]": TextGradient((Message(f"p[{at + 1}]", f"p[{at}]", "y", MAJOR),)) for at in range(999)}
    told["p[999]"] = TextGradient((Message(OUTPUT, "p[999]", "y", MAJOR),))
    assert blame(graph, told).shares["p[0]"] == pytest.approx(1.0)
