"""Drawings of graphs: every text is escaped, nothing overlaps, the same graph gives the same drawing."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import OUTPUT, Call, ComputationGraph, Edge, End, aggregate
from dspy_semantic_backprop._graph.draw.picture import line
from dspy_semantic_backprop._terminal import columns

QUESTION = "Is the moon made of cheese?"
SVG = "{http://www.w3.org/2000/svg}"

Box = tuple[float, float, float, float]


def call(name: str, index: int = 0, at: int = 0, *, outputs: dict | None = None, error: str | None = None) -> Call:
    outputs = {} if error else outputs or {"reasoning": "thinking", "answer": f"answer of {name}"}
    return Call(
        f"{name}[{index}]", name, index, "do", {"question": QUESTION}, outputs, started=at, ended=at + 1, error=error
    )


def edge(source: str, out: str, target: str, to: str | None, kind: Any = "data") -> Edge:
    return Edge(End(source, out), End(target, to), kind, "identity", 1.0)


def network(layers: int, width: int) -> ComputationGraph:
    """Every node reads every node of all earlier layers."""
    names = [[f"layers[{depth}][{node}]" for node in range(width)] for depth in range(layers)]
    calls = [call(name, at=2 * depth) for depth in range(layers) for name in names[depth]]
    edges = [
        edge(f"{source}[0]", "answer", f"{target}[0]", "context")
        for depth in range(layers)
        for target in names[depth]
        for earlier in range(depth)
        for source in names[earlier]
    ]
    edges += [edge(f"{name}[0]", "answer", OUTPUT, "answer") for name in names[-1]]
    return ComputationGraph(tuple(calls), tuple(edges), {"question": QUESTION}, {"answer": "no"})


def router() -> ComputationGraph:
    calls = (call("route", outputs={"category": "math"}), call("solve", at=2), call("polish", at=4))
    edges = (
        edge("route[0]", "category", "solve[0]", None, "control"),
        edge("solve[0]", "answer", "polish[0]", "answer"),
        edge("route[0]", "category", "polish[0]", "tone", "inferred"),
        edge("polish[0]", "answer", OUTPUT, "text"),
    )
    return ComputationGraph(calls, edges, {"question": QUESTION}, {"text": "no"})


def loop(turns: int) -> ComputationGraph:
    calls, edges = [], []
    for turn in range(turns):
        calls += [call("draft", turn, 4 * turn), call("critic", turn, 4 * turn + 2)]
        edges.append(edge(f"draft[{turn}]", "answer", f"critic[{turn}]", "draft"))
        if turn:
            edges.append(edge(f"critic[{turn - 1}]", "answer", f"draft[{turn}]", "critique"))
            edges.append(edge(f"critic[{turn - 1}]", "answer", f"draft[{turn}]", None, "control"))
    edges.append(edge(f"draft[{turns - 1}]", "answer", OUTPUT, "answer"))
    return ComputationGraph(tuple(calls), tuple(edges), {"question": QUESTION}, {"answer": "no"})


def one(text: str) -> ComputationGraph:
    """A graph that shows the same text wherever a text is shown."""
    calls = (
        Call("a[0]", text, 0, "do", {text: text}, {text: text}),
        Call("b[0]", text, 1, "do", {text + "!": 1}, {}, started=2, error=text),
    )
    edges = (edge("a[0]", text, "b[0]", text + "!"), edge("a[0]", text, OUTPUT, text + "?"))
    return ComputationGraph(calls, edges, {text: text}, {text: text}, error=text, warnings=(text,))


GRAPHS = {
    "network": network(3, 3),
    "router": router(),
    "loop": loop(3),
    "empty": ComputationGraph((), ()),
    "program": aggregate([loop(1), loop(3)], ["draft", "critic", "unused"]),
    "router program": aggregate([router()], ["route", "solve", "other", "polish"]),
}
ODD = st.text(st.characters(codec=None), max_size=60) | st.sampled_from(
    [
        "",
        "\x00\x1b[31m",
        "\ud800",
        "\u202eabc",
        "]]>",
        "<script>",
        '"];n1-->n2',
        "#quot;",
        "`**x**`",
        "1. a\n- b",
        "end",
    ]
)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_graph_gives_the_same_drawing(name):
    graph = GRAPHS[name]
    for draw in (graph.to_mermaid, graph.to_dot, graph.to_svg):
        assert draw() == draw()


def boxes_of(svg: str) -> list[Box]:
    rects = [rect for group in ET.fromstring(svg).findall(f"{SVG}g") for rect in group.findall(f"{SVG}rect")]
    numbers = [[float(rect.get(name, "nan")) for name in ("x", "y", "width", "height")] for rect in rects]
    return [(x, y, x + width, y + height) for x, y, width, height in numbers]


def labels_of(svg: str) -> list[Box]:
    found = []
    for rect in ET.fromstring(svg).findall(f"{SVG}rect")[1:]:
        x, y, width, height = (float(rect.get(name, "nan")) for name in ("x", "y", "width", "height"))
        found.append((x, y, x + width, y + height))
    return found


def points_of(svg: str) -> list[tuple[float, float]]:
    """Points along the curves of all arrows, 12 on each curve."""
    points = []
    lines = [path for path in ET.fromstring(svg).iter(f"{SVG}path") if path.get("fill") == "none"]
    for path in lines:
        x = y = 0.0
        for command, text in re.findall(r"([MVC])([^MVC]*)", path.get("d", "")):
            numbers = [float(number) for number in text.split()]
            if command == "C":
                x1, y1, x2, y2, x3, y3 = numbers
                for step in range(1, 12):
                    t, u = step / 12, 1 - step / 12
                    across = u**3 * x + 3 * u * u * t * x1 + 3 * u * t * t * x2 + t**3 * x3
                    points.append((across, u**3 * y + 3 * u * u * t * y1 + 3 * u * t * t * y2 + t**3 * y3))
                x, y = x3, y3
            else:
                x, y = (numbers[0], numbers[1]) if command == "M" else (x, numbers[0])
            points.append((x, y))
    return points


@pytest.mark.parametrize("name", GRAPHS)
def test_no_box_label_or_arrow_runs_over_a_box(name):
    svg = GRAPHS[name].to_svg()
    solid = boxes_of(svg) + labels_of(svg)
    assert len(boxes_of(svg)) == len(GRAPHS[name].picture().boxes)
    for first, second in combinations(solid, 2):
        apart = first[2] <= second[0] or second[2] <= first[0] or first[3] <= second[1] or second[3] <= first[1]
        assert apart, (first, second)
    for x, y in points_of(svg):
        for left, top, right, bottom in boxes_of(svg):
            assert not (left + 0.5 < x < right - 0.5 and top + 0.5 < y < bottom - 0.5), (x, y)


def test_arrows_go_down_except_back_to_an_earlier_predictor():
    svg = network(3, 3).to_svg()
    tops = [box[1] for box in boxes_of(svg)]
    assert tops == sorted(tops)
    shown = GRAPHS["program"].picture()
    assert any(arrow.target < arrow.source for arrow in shown.arrows)


def test_siblings_stand_in_their_own_order():
    lefts = [box[0] for box in boxes_of(network(3, 3).to_svg())][1:-1]
    assert [lefts[at : at + 3] == sorted(lefts[at : at + 3]) for at in (0, 3, 6)] == [True] * 3


def test_boxes_say_what_a_reader_looks_for():
    shown = ComputationGraph((call("a"), call("b", 0), call("b", 1, error="KeyError: 'x'")), ()).picture()
    assert [(box.title, box.detail, box.tone) for box in shown.boxes] == [
        ("a", "answer of a", "plain"),
        ("b[0]", "answer of b", "plain"),
        ("b[1]", "KeyError", "failed"),
        ("returned", "", "end"),
    ]


def test_one_arrow_for_each_pair_with_all_its_fields():
    edges = (
        edge("a[0]", "x", "b[0]", "x"),
        edge("a[0]", "y", "b[0]", "z"),
        edge("a[0]", "x", "b[0]", None, "control"),
        edge("b[0]", "answer", OUTPUT, "answer"),
    )
    shown = ComputationGraph((call("a"), call("b", at=2)), edges).picture()
    labels = {(arrow.source, arrow.target): (arrow.kind, arrow.label) for arrow in shown.arrows}
    assert labels == {(0, 1): ("data", "x, y → z; x decides"), (1, 2): ("data", "")}


def test_inputs_point_only_to_calls_that_read_them_directly():
    graph = network(2, 1)
    assert [arrow.target for arrow in graph.picture().arrows if arrow.kind == "given"] == [1, 2]
    explained = ComputationGraph(graph.calls, (edge("layers[0][0][0]", "answer", "layers[1][0][0]", "question"),))
    object.__setattr__(explained, "inputs", {"question": QUESTION})
    assert [arrow.target for arrow in explained.picture().arrows if arrow.kind == "given"] == [1]


def test_the_legend_is_there_only_for_several_kinds():
    assert "inferred" in router().to_svg()
    assert "inferred" not in network(2, 2).to_svg()
    assert "decides" in router().to_mermaid() and "arrowtail=diamond" in router().to_dot()


def test_a_huge_graph_shows_its_beginning_and_says_so():
    calls = tuple(call("n", at, 2 * at) for at in range(260))
    edges = tuple(edge(f"n[{at}]", "answer", f"n[{at + 1}]", "question") for at in range(259))
    graph = ComputationGraph(calls, (*edges, edge("n[259]", "answer", OUTPUT, "answer")))
    for text in (graph.to_mermaid(), graph.to_dot(), graph.to_svg()):
        assert "the first 200 of 260 calls" in text
    assert len(graph.picture().boxes) == 201


@settings(max_examples=60, deadline=None)
@given(ODD)
def test_any_text_gives_well_formed_drawings(text):
    for graph in (one(text), aggregate([one(text)], [text, text + "x"])):
        ET.fromstring(graph.to_svg().encode())
        for row in graph.to_mermaid().splitlines():
            label = re.search(r'"(.*)"', row)
            if label:
                inner = label.group(1).replace("<br/><small>", "").replace("</small>", "")
                assert not set(inner) & set('"<>`|{}&\\') and re.fullmatch(r"([^#;]|#\d+;)*", inner), row
        for row in graph.to_dot().splitlines():
            assert len(re.findall(r'(?<!\\)(?:\\\\)*"', row)) % 2 == 0, row


@settings(max_examples=100, deadline=None)
@given(ODD, st.integers(1, 40))
def test_a_line_is_one_printable_line_of_bounded_width(text, width):
    cut = line(text * 50, width)
    assert columns(cut) <= width
    assert cut == " ".join(cut.split())
    assert cut.encode().decode() == cut
    assert not any(ord(char) < 32 or char in "\u2028\u2029\u202e\ufeff" for char in cut)


def test_values_of_any_kind_become_short_lines():
    class Loud:
        def __repr__(self) -> str:
            raise RuntimeError

    assert line(list(range(10**6)), 28) == "[0, 1, 2, 3, 4, 5, ...]"
    assert "Loud" in line(Loud(), 28)
    assert len(line("x" * 10**7, 28)) == 28


def test_without_igraph_the_error_names_the_extra_and_notebooks_get_mermaid(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match=r"dspy-semantic-backprop\[drawing\]"):
        router().to_svg()
    bundle = router()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/vnd.mermaid"}


def test_notebooks_get_the_picture():
    assert set(router()._repr_mimebundle_()) == {"text/plain", "image/svg+xml"}
