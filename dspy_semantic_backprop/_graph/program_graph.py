"""Many executions of one program -> one graph of its predictors: what is usual, what never happens."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pydantic

from .._terminal import columns, counted, fitted, printable, spelled, terminal_columns, wrapped
from .._values.text import jsonable
from .draw.languages import Drawn
from .draw.picture import TIP, TITLE, Box, FieldRead, Picture, arrows, line
from .edges import Kind
from .graph import ComputationGraph
from .trace import OUTPUT, REASONING, Call


@dataclass(frozen=True)
class ProgramNode:
    """A predictor over all examples.

    Args:
        predictor: Its name in `named_predictors()`.
        examples: How many examples called it.
        calls: How many calls that were, over all examples.
        fewest: The fewest calls in an example that called it; 0 where none did.
        most: The most calls in one example.
        failures: How many of the calls raised.
        depth: The wave of its first call, from 0, as the mean over the examples that called it.
    """

    predictor: str
    examples: int = 0
    calls: int = 0
    fewest: int = 0
    most: int = 0
    failures: int = 0
    depth: float = 0.0

    @property
    def mean(self) -> float:
        """Calls per example that called it; 0 where none did."""
        return self.calls / self.examples if self.examples else 0.0


@dataclass(frozen=True)
class ProgramEdge:
    """An output field of a predictor that reached an input field of a predictor.

    Args:
        source: The predictor that was read; None for the program's own inputs.
        source_field: Its output field.
        target: The predictor that read it; None for the returned prediction.
        target_field: The input field; None where the field only decided that the call took place.
        kind: data, control or inferred (a guess).
        examples: In how many examples it occurred.
        share: In what part of all examples it occurred, 0 to 1.
        confidence: The mean confidence over its occurrences, 0 to 1.
    """

    source: str | None
    source_field: str | None
    target: str | None
    target_field: str | None
    kind: Kind
    examples: int
    share: float
    confidence: float


@dataclass(frozen=True)
class Branch:
    """A predictor that some field decides about, or that only a part of the examples called.

    Args:
        predictor: Its name.
        examples: How many examples called it.
        share: What part of all examples that is, 0 to 1.
        deciders: The output fields with a control edge into it, as (predictor, field).
    """

    predictor: str
    examples: int
    share: float
    deciders: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ProgramGraph(Drawn):
    """Predictors as nodes, and in how many examples which output field reached which input field.

    Args:
        examples: How many executions were aggregated.
        raised: In how many of them the program raised.
        nodes: The predictors: those of the program in its order, then any others that were called.
        edges: Between predictors and to the returned prediction; a loop is an edge from a predictor to itself.
        given: The program's inputs that reached a predictor directly, as edges whose source is None.
        branches: Predictors that are called conditionally.
        never_reached: Predictors that no example called.
        dead_outputs: (predictor, field) written by a call that returned, and read by no edge of any example.
        dead_reasoning: The same for fields that are there to reason in.
        warnings: What could not be established, and in how many examples; the most frequent first.
    """

    examples: int = 0
    raised: int = 0
    nodes: tuple[ProgramNode, ...] = ()
    edges: tuple[ProgramEdge, ...] = ()
    given: tuple[ProgramEdge, ...] = ()
    branches: tuple[Branch, ...] = ()
    never_reached: tuple[str, ...] = ()
    dead_outputs: tuple[tuple[str, str], ...] = ()
    dead_reasoning: tuple[tuple[str, str], ...] = ()
    warnings: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The graph as JSON values, under the names of its fields."""
        return jsonable(asdict(self))

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> ProgramGraph:
        """The inverse of `to_dict`.

        Raises:
            ValueError: If a part is not what `to_dict` makes of it.
        """
        return _ADAPTER.validate_python(state)

    @printable
    def __str__(self) -> str:
        sizes = {"example": self.examples, "predictor": len(self.nodes), "edge": len(self.edges)}
        head = f"ProgramGraph: {', '.join(counted(size, name) for name, size in sizes.items())}"
        lines = wrapped(head + (f"; raised in {self.raised}" if self.raised else ""), "", 2, indent=0)
        lines += _predictors(self)
        lines += _edge_lines([*self.given, *self.edges])
        for branch in self.branches:
            why = ", ".join(f"{name}.{out}" for name, out in branch.deciders)
            text = f"{branch.predictor} in {branch.share:.0%} of the examples" + (f", decided by {why}" if why else "")
            if branch.share == 1:
                text = f"{branch.predictor} in every example; whether, or how often, is decided by {why}"
            lines += _listed("conditional", [text])
        lines += _listed("never reached", self.never_reached)
        lines += _listed("read by nobody", (f"{name}.{out}" for name, out in self.dead_outputs))
        lines += _listed("read by nobody (reasoning)", (f"{name}.{out}" for name, out in self.dead_reasoning))
        for text, count in self.warnings.items():
            lines += _listed("warning", [text + (f" ({count} examples)" if count > 1 else "")])
        return "\n".join(lines)

    def picture(self) -> Picture:
        """The boxes and arrows of a drawing."""
        nodes = sorted((node for node in self.nodes if node.examples), key=lambda node: node.depth)
        nodes += [node for node in self.nodes if not node.examples]
        boxes = [Box("inputs", tone="end")] if self.given else []
        place: dict[str | None, int] = {node.predictor: at for at, node in enumerate(nodes, len(boxes))}
        boxes += [_box(node, self.examples) for node in nodes]
        boxes.append(Box("returned", f"raised in {self.raised}" if self.raised else "", "end"))
        readings = [
            FieldRead(
                source=0 if edge.source is None else place[edge.source],
                target=len(boxes) - 1 if edge.target is None else place[edge.target],
                name=edge.source_field or "?",
                read_as=edge.target_field,
                kind="given" if edge.source is None else edge.kind,
                share=edge.share,
            )
            for edge in (*self.given, *self.edges)
        ]
        names = [box.title for box in boxes]
        return Picture(tuple(boxes), arrows(names, readings), (f"{self.examples} examples",))


def aggregate(graphs: Sequence[ComputationGraph], predictors: Sequence[str]) -> ProgramGraph:
    """Put the executions of one program together.

    Args:
        graphs: One graph per example.
        predictors: The program's predictors, in the order of `named_predictors()`.

    Returns:
        The graph of the program; without examples, only its predictors.

    Raises:
        graphlib.CycleError: If the edges of a graph form a cycle.
    """
    nodes = tuple(_nodes(graphs, predictors))
    edges = _edges(graphs, [node.predictor for node in nodes])
    dead = list(_unread(graphs, edges, nodes))
    return ProgramGraph(
        examples=len(graphs),
        raised=sum(graph.error is not None for graph in graphs),
        nodes=nodes,
        edges=tuple(edge for edge in edges if edge.source is not None),
        given=tuple(edge for edge in edges if edge.source is None),
        branches=tuple(_branches(nodes, edges, len(graphs))),
        never_reached=tuple(node.predictor for node in nodes if not node.examples),
        dead_outputs=tuple(one for one in dead if one[1] not in REASONING),
        dead_reasoning=tuple(one for one in dead if one[1] in REASONING),
        warnings=dict(Counter(text for graph in graphs for text in dict.fromkeys(graph.warnings)).most_common()),
    )


def _nodes(graphs: Sequence[ComputationGraph], predictors: Sequence[str]) -> Iterator[ProgramNode]:
    called = [call.predictor for graph in graphs for call in graph.calls]
    for name in dict.fromkeys([*predictors, *called]):
        calls, depths, failures = [], [], 0
        for graph in graphs:
            own = [call for call in graph.calls if call.predictor == name]
            failures += sum(call.error is not None for call in own)
            if own:
                calls.append(len(own))
                depths.append(_first_wave(graph, {call.id for call in own}))
        if calls:
            depth = round(sum(depths) / len(depths), 3)
            yield ProgramNode(name, len(calls), sum(calls), min(calls), max(calls), failures, depth)
        else:
            yield ProgramNode(name)


def _first_wave(graph: ComputationGraph, calls: set[str]) -> int:
    return next(depth for depth, names in enumerate(graph.waves) if not calls.isdisjoint(names))


_Ends = tuple[str | None, str | None, str | None, str | None, Kind]


def _occurrences(graph: ComputationGraph) -> Iterator[tuple[_Ends, float]]:
    for name, call_id, read_as in graph.given():
        yield (None, name, graph[call_id].predictor, read_as, "data"), 1.0
    for edge in graph.edges:
        target = None if edge.target.call == OUTPUT else graph[edge.target.call].predictor
        source = graph[edge.source.call].predictor
        yield (source, edge.source.field, target, edge.target.field, edge.kind), edge.confidence


def _edges(graphs: Sequence[ComputationGraph], order: Sequence[str]) -> list[ProgramEdge]:
    sure: dict[_Ends, list[float]] = {}
    examples: Counter[_Ends] = Counter()
    for graph in graphs:
        seen = list(_occurrences(graph))
        examples.update({ends for ends, _ in seen})
        for ends, confidence in seen:
            sure.setdefault(ends, []).append(confidence)
    rank: dict[str | None, int] = {name: at for at, name in enumerate(order)}
    after = len(rank)

    def place(ends: _Ends) -> tuple[int, int, str, str, str]:
        source, source_field, target, target_field, kind = ends
        return rank.get(source, -1), rank.get(target, after), source_field or "", target_field or "", kind

    return [
        ProgramEdge(*ends, examples[ends], examples[ends] / len(graphs), round(sum(sure[ends]) / len(sure[ends]), 6))
        for ends in sorted(sure, key=place)
    ]


def _unread(
    graphs: Sequence[ComputationGraph], edges: Sequence[ProgramEdge], nodes: Sequence[ProgramNode]
) -> Iterator[tuple[str, str]]:
    read = {(edge.source, edge.source_field) for edge in edges}
    written: dict[str, dict[str, None]] = {node.predictor: {} for node in nodes}
    for graph in graphs:
        for call in graph.calls:
            written[call.predictor].update(_written(call))
    for predictor, fields in written.items():
        # An edge without a field says that the predictor was read, not what of it: nothing can be called dead.
        if (predictor, None) not in read:
            yield from ((predictor, name) for name in fields if (predictor, name) not in read)


def _written(call: Call) -> dict[str, None]:
    if call.error is not None:
        return {}
    return dict.fromkeys([*(declared.name for declared in call.output_fields), *call.outputs])


def _branches(nodes: Sequence[ProgramNode], edges: Sequence[ProgramEdge], examples: int) -> Iterator[Branch]:
    deciders: dict[str | None, list[tuple[str, str]]] = {}
    for edge in edges:
        if edge.kind == "control" and edge.source is not None:
            deciders.setdefault(edge.target, []).append((edge.source, edge.source_field or ""))
    for node in nodes:
        deciding = tuple(dict.fromkeys(deciders.get(node.predictor, ())))
        if deciding or 0 < node.examples < examples:
            yield Branch(node.predictor, node.examples, node.examples / examples, deciding)


def _predictors(graph: ProgramGraph) -> Iterator[str]:
    width = min(40, max([1, *(columns(node.predictor) for node in graph.nodes)]))
    for node in graph.nodes:
        yield f"  {fitted(node.predictor, width)}  {_counts(node, graph.examples)}"


def _counts(node: ProgramNode, examples: int) -> str:
    if not node.examples:
        return "never reached"
    reach = "" if node.examples == examples else f"in {node.examples}/{examples}, "
    calls = f"{node.fewest}" if node.fewest == node.most else f"{node.fewest} to {node.most}, mean {node.mean:.1f}"
    text = f"{reach}{calls} {'call' if calls == '1' else 'calls'} each"
    return text + (f", {node.failures} failed" if node.failures else "")


def _edge_lines(edges: Iterable[ProgramEdge]) -> Iterator[str]:
    rows: dict[tuple[str, str], list[str]] = {}
    for edge in edges:
        sure = "" if edge.confidence >= 1 else f" ({edge.confidence:.0%} sure)"
        source = f"{'inputs' if edge.source is None else edge.source}.{edge.source_field or '?'}"
        name = "returned" if edge.target is None else edge.target
        target = f"{name}.{edge.target_field}" if edge.target_field else f"{name} (decides)"
        rows.setdefault((f"{edge.kind:8} {edge.share:4.0%}{sure}", source), []).append(target)
    for (what, source), targets in rows.items():
        text = f"{what}  {' '.join(source.split())} -> {', '.join(targets)}"
        yield from textwrap.wrap(spelled(text), terminal_columns(), initial_indent="    ", subsequent_indent=" " * 19)


def _listed(title: str, items: Iterable[str]) -> list[str]:
    text = spelled(", ".join(items))
    return (
        textwrap.wrap(f"{title}: {text}", terminal_columns(), initial_indent="  ", subsequent_indent="    ")
        if text
        else []
    )


def _box(node: ProgramNode, examples: int) -> Box:
    title = line(node.predictor, TITLE) or "?"
    if not node.examples:
        return Box(title, "never reached", "absent", title)
    parts = [] if node.examples == examples else [f"in {node.examples / examples:.0%}"]
    if node.most > 1:
        parts.append(f"{node.fewest}-{node.most} calls" if node.fewest < node.most else f"{node.most} calls")
    if node.failures:
        parts.append(f"{node.failures} failed")
    tip = f"{node.predictor}: in {node.examples} of {examples} examples, {node.calls} calls, {node.failures} failed"
    # One failure among many calls is a number; a predictor that mostly fails is a finding.
    return Box(title, ", ".join(parts), "failed" if 2 * node.failures > node.calls else "plain", line(tip, TIP))


_ADAPTER = pydantic.TypeAdapter(ProgramGraph)
