"""A program's graph as text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from ..program_graph import ProgramEdge, ProgramGraph, ProgramNode

_COLUMNS = 80


def program_text(graph: ProgramGraph) -> str:
    """A program's graph as text: predictors, edges, and what is worth a second look.

    Args:
        graph: The graph.

    Returns:
        Lines of at most 80 characters; names that do not fit are cut in the middle.
    """
    head = f"ProgramGraph: {graph.examples} examples, {len(graph.nodes)} predictors, {len(graph.edges)} edges"
    lines = [head + (f"; raised in {graph.raised}" if graph.raised else "")]
    lines += _predictors(graph)
    lines += _edges([*graph.given, *graph.edges])
    for branch in graph.branches:
        why = ", ".join(f"{name}.{out}" for name, out in branch.deciders)
        text = f"{branch.predictor} in {branch.share:.0%} of the examples" + (f", decided by {why}" if why else "")
        lines += _listed("conditional", [text])
    lines += _listed("never reached", graph.never_reached)
    lines += _listed("read by nobody", (f"{name}.{out}" for name, out in graph.dead_outputs))
    lines += _listed("read by nobody (reasoning)", (f"{name}.{out}" for name, out in graph.dead_reasoning))
    for text, count in graph.warnings.items():
        lines += _listed("warning", [text + (f" ({count} examples)" if count > 1 else "")])
    return "\n".join(lines)


def _predictors(graph: ProgramGraph) -> Iterator[str]:
    width = min(40, max((len(node.predictor) for node in graph.nodes), default=0))
    for node in graph.nodes:
        yield f"  {_cut(node.predictor, width):{width}}  {_counts(node, graph.examples)}"


def _counts(node: ProgramNode, examples: int) -> str:
    if not node.examples:
        return "never reached"
    reach = "" if node.examples == examples else f"in {node.examples}/{examples}, "
    calls = f"{node.fewest}" if node.fewest == node.most else f"{node.fewest} to {node.most}, mean {node.mean:.1f}"
    text = f"{reach}{calls} {'call' if calls == '1' else 'calls'} each"
    return text + (f", {node.failures} failed" if node.failures else "")


def _edges(edges: Iterable[ProgramEdge]) -> Iterator[str]:
    rows: dict[tuple[str, str], list[str]] = {}
    for edge in edges:
        sure = "" if edge.confidence >= 1 else f" ({edge.confidence:.0%} sure)"
        source = f"{'inputs' if edge.source is None else edge.source}.{edge.source_field or '?'}"
        name = "returned" if edge.target is None else edge.target
        target = f"{name}.{edge.target_field}" if edge.target_field else f"{name} (decides)"
        rows.setdefault((f"{edge.kind:8} {edge.share:4.0%}{sure}", source), []).append(target)
    for (what, source), targets in rows.items():
        text = f"{what}  {' '.join(source.split())} -> {', '.join(targets)}"
        yield from textwrap.wrap(text, _COLUMNS, initial_indent="    ", subsequent_indent=" " * 19)


def _listed(title: str, items: Iterable[str]) -> list[str]:
    text = ", ".join(items)
    return textwrap.wrap(f"{title}: {text}", _COLUMNS, initial_indent="  ", subsequent_indent="    ") if text else []


def _cut(text: str, width: int) -> str:
    # The end of a name tells it from its siblings (`layers[0].nodes[2]`), so the middle goes.
    text = " ".join(text.split())
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return text[: width - 1 - tail] + "…" + text[len(text) - tail :]
