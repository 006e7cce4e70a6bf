"""Many executions of one program -> one graph of its predictors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .edges import Kind
from .graph import ComputationGraph
from .program_graph import Branch, ProgramEdge, ProgramGraph, ProgramNode
from .trace import OUTPUT, REASONING, Call


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
