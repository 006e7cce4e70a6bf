"""Puts the evidence of one execution together: what its values suggest, what its code allows, what replays prove.

An edge that the values and the code both show is surer than either; the code rules out short texts that are there
by accident. What nothing explains is guessed from the order of the calls, and marked as a guess. A replay decides
wherever it got, and what it did not reach stays as suggested.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ..._values.same import alike
from ..edges import Edge, EdgeEvidence, End, FoundEdges
from ..graph import ComputationGraph
from ..record.names import arrange
from ..record.snapshots import describe
from ..trace import OUTPUT, Call, Trace
from .from_values import from_values, shows, text_of
from .replay.replays import Probe, Replays

_BOTH = 0.95
"""How sure an edge is, at least, that the values and the code show."""
_RANK = {"data": 0, "control": 1, "inferred": 2}
_GUESSED_FROM = 20
"""Of how many calls before the reader the outputs are guessed to have been read."""


def suggest(trace: Trace, code: EdgeEvidence | None = None) -> ComputationGraph:
    """The graph that an execution suggests without a replay, with the edges to the returned prediction.

    Where looking at the values raises, none is suggested, and a warning says so: the execution is paid for.
    """
    try:
        return _suggested(trace, code)
    except Exception as error:  # noqa: BLE001 - values have code of their own
        warning = f"no edges are suggested: looking at the values raised {describe(error, 200)}"
        warnings = (*trace.warnings, warning)
        return ComputationGraph(trace.calls, (), trace.inputs, trace.output, trace.error, warnings)


def _suggested(trace: Trace, code: EdgeEvidence | None) -> ComputationGraph:
    by_code = code(trace) if code is not None else FoundEdges()
    edges = _direct(_agreed(from_values(trace).edges, by_code), {call.id: call for call in trace.calls})
    edges = _by_reader(trace, [*edges, *_from_order(trace, edges, by_code.unfed)])
    graph = ComputationGraph(trace.calls, tuple(edges), trace.inputs, trace.output, trace.error, trace.warnings)
    return _arranged(graph, trace)


def _arranged(graph: ComputationGraph, trace: Trace) -> ComputationGraph:
    wave = {name: depth for depth, names in enumerate(graph.waves) for name in names}
    rank = {name: position for position, name in enumerate(trace.predictors)}
    return replace(graph, calls=tuple(arrange(graph.calls, wave, rank)))


async def prove(graph: ComputationGraph, trace: Trace, replays: Replays, probe: Probe) -> ComputationGraph:
    """Replace a graph's suggested edges by proved ones, or add a warning that says why not.

    `probe` is explained at `atrace`.
    """
    if probe == "never" or not trace.calls:
        return graph
    return _proved(graph, await replays(trace, probe), trace)


def _agreed(by_values: Iterable[Edge], by_code: FoundEdges) -> list[Edge]:
    """The edges of both, without what the code rules out."""
    edges = [
        replace(edge, confidence=max(edge.confidence, _BOTH)) if _ends(edge) in by_code.possible else edge
        for edge in by_values
        if not by_code.excludes(edge)
    ]
    known = set(map(_ends, edges))
    return edges + [edge for edge in by_code.edges if _ends(edge) not in known]


def _direct(edges: list[Edge], calls: dict[str, Call]) -> list[Edge]:
    """Of the outputs whose text stands in one input, those that no other of them can have carried there."""
    into: dict[End, list[tuple[Call, str]]] = {}
    for edge in edges:
        call = calls[edge.source.call]
        into.setdefault(edge.target, []).append((call, text_of(call.outputs[edge.source.field or ""])))
    for sources in into.values():
        # The latest first: of hundreds that say the same, the next one to look at carried it.
        sources.sort(key=lambda one: one[0].started, reverse=True)

    def is_carried(edge: Edge) -> bool:
        call = calls[edge.source.call]
        said = text_of(call.outputs[edge.source.field or ""])
        later = itertools.takewhile(lambda one: call.before(one[0]), into[edge.target])
        return any(said in text for _, text in later)

    return [
        edge for edge in edges if edge.known_by != "containment" or edge.confidence >= _BOTH or not is_carried(edge)
    ]


def _by_reader(trace: Trace, edges: list[Edge]) -> list[Edge]:
    """Edges by their reader's start; of one reader data before control before guesses, by its input fields."""
    inputs = {**{call.id: call.inputs for call in trace.calls}, OUTPUT: trace.output}
    place = {(reader, name): at for reader, names in inputs.items() for at, name in enumerate(names)}
    start = {reader: at for at, reader in enumerate(inputs)}
    return sorted(
        edges,
        key=lambda edge: (
            start[edge.target.call],
            _RANK[edge.kind],
            place.get((edge.target.call, edge.target.field or ""), 0),
        ),
    )


def _proved(graph: ComputationGraph, replayed: FoundEdges, trace: Trace) -> ComputationGraph:
    """A graph whose edges are those that replays showed, and those of its own that no replay spoke about."""
    known = {_ends(edge): edge for edge in graph.edges}
    possible = [
        Edge(*ends, "data", "replay", 1.0)
        for ends in replayed.possible
        # A guess is no other evidence.
        if ends in known and known[ends].kind != "inferred"
    ]
    feeding = {(edge.source, edge.target.call) for edge in (*graph.edges, *possible) if edge.kind == "data"}
    found = (one for one in replayed.edges if one.confidence == 1 or (one.source, one.target.call) not in feeding)
    shown = {_ends(edge): edge for edge in (*found, *possible)}
    # That the very object arrived says more than that the value moved.
    proved = [
        replace(edge, known_by="identity") if ends in known and known[ends].known_by == "identity" else edge
        for ends, edge in shown.items()
    ]
    kept = [edge for ends, edge in known.items() if ends not in shown and not replayed.excludes(edge)]
    # Only with the proved edges it is known how deep each of several concurrent calls is.
    graph = _arranged(replace(graph, edges=(*proved, *kept)), trace)
    by_source: dict[End, list[Edge]] = {End(call.id, name): [] for call in graph.calls for name in call.outputs}
    proved.sort(key=_target)
    control = [edge for edge in proved if edge.kind == "control"]
    for edge in (*(edge for edge in proved if edge.kind == "data"), *kept, *control):
        by_source[edge.source].append(edge)
    edges = tuple(edge for several in by_source.values() for edge in several)
    return replace(graph, edges=edges, warnings=(*graph.warnings, *replayed.warnings))


def _ends(edge: Edge) -> tuple[End, End]:
    return edge.source, edge.target


def _target(edge: Edge) -> tuple[str, str]:
    return edge.target.call, edge.target.field or ""


def _from_order(trace: Trace, known: Sequence[Edge], unfed: Container[End]) -> list[Edge]:
    """Inferred edges into the inputs that no edge, input or constant of the program explains.

    What the code makes of no output (`unfed`) is the program's own, unless the text of an output stands there.
    """
    into: dict[str, list[Edge]] = {call.id: [] for call in trace.calls} | {OUTPUT: []}
    for edge in known:
        into[edge.target.call].append(edge)
    given, outputs = _Given(trace), {call.id: call.outputs for call in trace.calls}
    guesses: list[Edge] = []
    for call in (*trace.calls, None):
        reader, inputs = (OUTPUT, trace.output) if call is None else (call.id, call.inputs)
        for name, value in inputs.items():
            live = trace.live.get(("inputs", reader, name), value)
            explained = any(edge.target.field == name for edge in into[reader])
            if not explained and not given.explain(value, live):
                ended = [one for one in trace.calls if one.ended is not None and (call is None or one.before(call))]
                found = _guess(End(reader, name), ended[-_GUESSED_FROM:], into)
                if End(reader, name) in unfed:
                    found = [one for one in found if shows(value, outputs[one.source.call][one.source.field or ""])]
                into[reader] += found
                guesses += found
    return guesses


def _guess(end: End, ended: Sequence[Call], into: dict[str, list[Edge]]) -> list[Edge]:
    # What another candidate has read already may have come through that one.
    covered = {edge.source.call for call in ended for edge in into[call.id]}
    return [
        Edge(End(call.id, name), end, "inferred", "order", 0.2)
        for call in ended
        if call.id not in covered
        for name in list(call.outputs)[-1:]
    ]


class _Given:
    """What the program was given or holds itself: an input that is among it needs no other explanation."""

    def __init__(self, trace: Trace) -> None:
        self.values = list(trace.inputs.values())
        self.texts = [text_of(value) for value in self.values]
        held = (item for value in trace.constants for item in ([value] if isinstance(value, str) else value))
        self.constants = {item for item in held if isinstance(item, (str, int, float))}

    def explain(self, value: Any, live: Any) -> bool:
        if any(live is one or alike(value, one) for one in self.values):
            return True
        text = text_of(value)
        if not text or (isinstance(value, (str, int, float)) and value in self.constants):
            return True
        return any(text in one or (one and one in text) for one in self.texts)
