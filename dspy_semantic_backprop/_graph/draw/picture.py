"""What to draw of a graph: boxes and arrows with one-line texts, before any language or position."""

from __future__ import annotations

import reprlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..graph import ComputationGraph, Edge, Kind
from ..program_graph import REASONING, ProgramEdge, ProgramGraph, ProgramNode, given
from ..trace import OUTPUT, Call

MOST_CALLS = 200
"""More calls than this are unreadable; the picture shows the first ones and says so."""

_TITLE, _DETAIL, _LABEL = 34, 28, 34

Tone = Literal["plain", "end", "failed", "absent"]


@dataclass(frozen=True)
class Box:
    """A call, a predictor, the program's inputs or what it returned.

    Args:
        title: The first line; one printable line.
        detail: The second line, dim; empty for none.
        tone: plain; end (the inputs, the returned prediction); failed; absent (never reached).
        tip: What a pointer over the box shows; one printable line.
    """

    title: str
    detail: str = ""
    tone: Tone = "plain"
    tip: str = ""


@dataclass(frozen=True)
class Arrow:
    """One arrow between two boxes.

    Args:
        source: The position of the box that it leaves, in the picture's boxes.
        target: The position of the box that it enters.
        kind: As an edge's; "given" for an input of the program that a call reads directly.
        label: One printable line; empty for none.
        share: In what part of the examples it occurs, 0 to 1.
        tip: What a pointer over the arrow shows; one printable line.
    """

    source: int
    target: int
    kind: Kind | Literal["given"]
    label: str = ""
    share: float = 1.0
    tip: str = ""


@dataclass(frozen=True)
class Picture:
    """Boxes, in the order in which they should come from top to bottom, and the arrows between them.

    Args:
        boxes: The boxes.
        arrows: The arrows, at most one of a source and a target; one to an earlier box goes upwards.
        notes: Lines that stand below the drawing.
    """

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    notes: tuple[str, ...] = ()


def picture(graph: ComputationGraph | ProgramGraph) -> Picture:
    """What to draw of a graph.

    Args:
        graph: One execution, or a program over its examples.

    Returns:
        The picture; of more than `MOST_CALLS` calls, the first ones, with a note that says so.
    """
    return _of_program(graph) if isinstance(graph, ProgramGraph) else _of_calls(graph)


def line(value: Any, width: int) -> str:
    """A value as one printable line.

    Args:
        value: Anything; containers and objects are abbreviated before they become text.
        width: The most columns that it may take; characters of East Asian scripts take two.

    Returns:
        The line, without control, formatting or unpaired surrogate characters, cut with an ellipsis.
    """
    text = value if isinstance(value, str) else reprlib.repr(value)
    # What is cut away anyway need not be normalised: outputs may be megabytes.
    text = unicodedata.normalize("NFC", text[: 20 * width + 200])
    text = " ".join("".join(_printable(char) for char in text).split())
    room = width
    for at, char in enumerate(text):
        room -= columns(char)
        if room < 0 or (room == 0 and at + 1 < len(text)):
            return text[:at].rstrip(" …") + "…"
    return text


def columns(char: str) -> int:
    """How many columns a character takes: 1 or 2."""
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _printable(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cs", "Cn", "Co"):
        return "\ufffd"
    if category == "Cf":
        return ""
    return " " if category == "Cc" else char


def _of_calls(graph: ComputationGraph) -> Picture:
    shown = graph.calls[:MOST_CALLS]
    ends = {call.id for call in shown} | {OUTPUT}
    several = {call.predictor for call in graph.calls if call.index > 0}
    boxes: list[Box] = []
    if graph.inputs:
        boxes.append(Box("inputs", _first_words(graph.inputs, len(graph.inputs) > 1), "end", _fields(graph.inputs)))
    first = len(boxes)
    boxes += [_call_box(call, call.predictor in several) for call in shown]
    boxes.append(_returned(graph))
    place = {call.id: at for at, call in enumerate(shown, first)} | {OUTPUT: len(boxes) - 1}
    reads: dict[str, list[tuple[str, str]]] = {}
    for name, call_id, read_as in given(graph):
        reads.setdefault(call_id, []).append((name, read_as))
    arrows = [
        Arrow(0, place[call_id], "given", _renamed(pairs), tip=_tip("inputs", call_id, pairs))
        for call_id, pairs in reads.items()
        if call_id in ends
    ]
    by_ends: dict[tuple[str, str], list[Edge]] = {}
    for edge in graph.edges:
        if edge.source.call in ends and edge.target.call in ends:
            by_ends.setdefault((edge.source.call, edge.target.call), []).append(edge)
    for (source, target), edges in by_ends.items():
        readings = [(edge.source.field or "?", edge.target.field, edge.kind) for edge in edges]
        label, kind = _labelled(readings), _strongest(edge.kind for edge in edges)
        tip = _tip(source, target, [(name, read_as or "decides") for name, read_as, _ in readings])
        arrows.append(Arrow(place[source], place[target], kind, label, tip=tip))
    note = f"the first {len(shown)} of {len(graph.calls)} calls" if len(shown) < len(graph.calls) else ""
    return Picture(tuple(boxes), _by_place(arrows), (note,) if note else ())


def _of_program(graph: ProgramGraph) -> Picture:
    nodes = sorted((node for node in graph.nodes if node.examples), key=lambda node: node.depth)
    nodes += [node for node in graph.nodes if not node.examples]
    boxes = [Box("inputs", tone="end")] if graph.given else []
    place: dict[str | None, int] = {node.predictor: at for at, node in enumerate(nodes, len(boxes))}
    boxes += [_node_box(node, graph.examples) for node in nodes]
    boxes.append(Box("returned", f"raised in {graph.raised}" if graph.raised else "", "end"))
    arrows = []
    by_ends: dict[tuple[int, int], list[ProgramEdge]] = {}
    for edge in (*graph.given, *graph.edges):
        source = 0 if edge.source is None else place[edge.source]
        target = len(boxes) - 1 if edge.target is None else place[edge.target]
        by_ends.setdefault((source, target), []).append(edge)
    for (source, target), edges in by_ends.items():
        readings = [(edge.source_field or "?", edge.target_field, edge.kind) for edge in edges]
        kind = "given" if edges[0].source is None else _strongest(edge.kind for edge in edges)
        share = max(edge.share for edge in edges)
        label = " ".join(part for part in (_labelled(readings), f"{share:.0%}" if share < 1 else "") if part)
        tip = _tip(boxes[source].title, boxes[target].title, [(name, to or "decides") for name, to, _ in readings])
        arrows.append(Arrow(source, target, kind, label, share, tip))
    return Picture(tuple(boxes), _by_place(arrows), (f"{graph.examples} examples",))


def _call_box(call: Call, several: bool) -> Box:
    title = line(f"{call.predictor}[{call.index}]" if several else call.predictor, _TITLE) or "?"
    if call.error is not None:
        return Box(title, line(call.error.split(":")[0], _DETAIL), "failed", line(f"{call.id}: {call.error}", 300))
    return Box(title, _first_words(call.outputs), "plain", line(f"{call.id}: {_fields(call.outputs)}", 300))


def _returned(graph: ComputationGraph) -> Box:
    if graph.error is not None:
        return Box("returned", line(graph.error.split(":")[0], _DETAIL), "failed", line(graph.error, 300))
    return Box("returned", _first_words(graph.output), "end", _fields(graph.output))


def _node_box(node: ProgramNode, examples: int) -> Box:
    title = line(node.predictor, _TITLE) or "?"
    if not node.examples:
        return Box(title, "never reached", "absent", title)
    parts = [] if node.examples == examples else [f"in {node.examples / examples:.0%}"]
    if node.most > 1:
        parts.append(f"{node.fewest}-{node.most} calls" if node.fewest < node.most else f"{node.most} calls")
    if node.failures:
        parts.append(f"{node.failures} failed")
    tip = f"{node.predictor}: in {node.examples} of {examples} examples, {node.calls} calls, {node.failures} failed"
    # One failure among many calls is a number; a predictor that mostly fails is a finding.
    return Box(title, ", ".join(parts), "failed" if 2 * node.failures > node.calls else "plain", line(tip, 300))


def _first_words(values: Mapping[str, Any], names_only: bool = False) -> str:
    if names_only:
        return line(", ".join(values), _DETAIL)
    telling = [value for name, value in values.items() if name not in REASONING] or list(values.values())
    return line(telling[0], _DETAIL) if telling else ""


def _fields(values: Mapping[str, Any]) -> str:
    return line("; ".join(f"{name} = {line(value, 100)}" for name, value in values.items()), 300)


def _labelled(readings: Sequence[tuple[str, str | None, str]]) -> str:
    renamed = _renamed([(name, read_as) for name, read_as, _ in readings if read_as])
    deciding = list(dict.fromkeys(name for name, read_as, kind in readings if kind == "control" or not read_as))
    decides = f"{_joined(deciding)} decides" if deciding else ""
    return line("; ".join(part for part in (renamed, decides) if part), 2 * _LABEL)


def _renamed(pairs: Iterable[tuple[str, str]]) -> str:
    pairs = list(dict.fromkeys(pairs))
    if all(name == read_as for name, read_as in pairs):
        return ""
    names: dict[str, list[str]] = {}
    for name, read_as in pairs:
        names.setdefault(read_as, []).append(name)
    parts = []
    for read_as, sources in names.items():
        half = _LABEL if sources == [read_as] else max(12, _LABEL - 3 - len(read_as))
        parts.append(_joined(sources, half) + ("" if sources == [read_as] else f" → {read_as}"))
    return _joined(parts)


def _joined(parts: Iterable[str], width: int = _LABEL) -> str:
    parts = [line(part, _LABEL) for part in parts]
    kept, room = [], width
    for part in parts:
        if kept and len(part) > room:
            break
        kept.append(part)
        room -= len(part) + 2
    return ", ".join(kept) + (f" +{len(parts) - len(kept)}" if len(kept) < len(parts) else "")


def _tip(source: str, target: str, pairs: Iterable[tuple[str, str]]) -> str:
    readings = ", ".join(f"{name} → {read_as}" for name, read_as in dict.fromkeys(pairs))
    return line(f"{source} to {target}: {readings}", 300)


def _strongest(kinds: Iterable[Kind]) -> Kind:
    there = set(kinds)
    return "data" if "data" in there else "control" if "control" in there else "inferred"


def _by_place(arrows: Iterable[Arrow]) -> tuple[Arrow, ...]:
    return tuple(sorted(arrows, key=lambda arrow: (arrow.source, arrow.target)))


def kinds(shown: Picture) -> Iterator[Kind]:
    """The kinds of edges in a picture, in the order of a legend."""
    names: tuple[Kind, ...] = ("data", "control", "inferred")
    for name in names:
        if any(arrow.kind == name for arrow in shown.arrows):
            yield name
