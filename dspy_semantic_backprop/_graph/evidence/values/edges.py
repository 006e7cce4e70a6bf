"""A trace -> edges, from evidence: identity, containment, the program's code, then an honest guess.

Identity: the very object of an output is (or stands in) a later input. Containment: an output's text stands in
a later input's text, and no later output carried it there. Code: the slice of the program says which outputs an
input may have been made of, and how; where it says that a text was passed on, the text must be there, and a short
text that is there by accident is no edge. Order: whatever ended before may have been read; used only where
nothing else explains an input, and inferred.

Why text must be long or delimited: "Yes" and "7" occur everywhere. A short value is believed only where the whole
input equals it, or where it stands as a word and in no input of the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...graph import ComputationGraph, Edge, End
from ...record.order import arrange
from ...trace import OUTPUT, Call, Trace
from ..code.instances import Instances, Suggestion
from ..code.machine import Use
from ..code.values import WHOLE, Label
from ..replay.changes import options
from .outputs import Outputs, contained, parts_of, shows, telling, text_of

_GUESSES = 20
_SHORT = 12
_LATEST = 1 << 60
_CODE = {"verbatim": 0.9, "added": 0.9, "sliced": 0.8, "computed": 0.8, "choice": 0.7}
_RANK = list(_CODE)
_PASSED_ON = frozenset({"verbatim", "added", "sliced"})


def recover(trace: Trace) -> ComputationGraph:
    """Build the computation graph that an execution's values and the program's code suggest.

    Args:
        trace: The execution.

    Returns:
        The graph, with the edges to the returned prediction.
    """
    edges = _Evidence(trace).edges()
    graph = ComputationGraph(trace.calls, tuple(edges), trace.inputs, trace.output, trace.error, trace.warnings)
    wave = {name: depth for depth, names in enumerate(graph.waves) for name in names}
    rank = {name: position for position, name in enumerate(trace.predictors)}
    return replace(graph, calls=tuple(arrange(trace.calls, wave, rank)))


class _Evidence:
    """Goes through the readers in the order of their starts, with the outputs that existed by then."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.calls = {call.id: call for call in trace.calls}
        self.background = [text_of(value) for value in trace.inputs.values()]
        self.given = [value for value in trace.inputs.values()]
        self.constants = _texts(trace.constants)
        self.outputs = Outputs()
        self.ending = sorted((call for call in trace.calls if call.ended is not None), key=lambda call: call.ended or 0)
        self.ending.reverse()
        self.into: dict[str, list[Edge]] = {}
        code = trace.code
        self.instances = Instances(code.slice, trace.ways, code.predictors) if code is not None else None
        self.read = {(call, name) for _, call, name in trace.reads}

    def edges(self) -> list[Edge]:
        readers = [(call.id, call.inputs, call.started) for call in self.trace.calls]
        readers.append((OUTPUT, self.trace.output, _LATEST))
        for target, inputs, started in readers:
            self._let_end(started)
            use = self._use(target)
            found = [edge for name, value in inputs.items() for edge in self._explain(target, name, value, use)]
            self.into[target] = self._direct(found) + (self._decided(target, use) if use is not None else [])
        self._from_order(readers)
        return [edge for target, _, _ in readers for edge in self.into[target]]

    def _let_end(self, started: int) -> None:
        while self.ending and (self.ending[-1].ended or 0) < started:
            call = self.ending.pop()
            for name, value in call.outputs.items():
                # A listed option is one object wherever it is chosen.
                live = None if options(call.annotations.get(name)) else self.trace.live.get(("outputs", call.id, name))
                self.outputs.add(End(call.id, name), value, value if live is None else live, shared=live is None)
            if self.instances is not None:
                self.instances.end(call)

    def _use(self, target: str) -> Use | None:
        if self.instances is None:
            return None
        if target == OUTPUT:
            returned = self.instances.slice.returned
            return Use({name: labels for name, labels in returned.items() if name != WHOLE}, returned[WHOLE])
        return self.instances.use(self.calls[target])

    def _explain(self, target: str, name: str, value: Any, use: Use | None) -> list[Edge]:
        seen = self._from_values(target, name, value)
        labels = _labels(target, name, use)
        if self.instances is None or labels is None:
            return seen
        found = list(self.instances.ends(labels, self.calls.get(target)))
        complete = all(found)
        said: dict[End, Suggestion] = {}
        for suggestion in (one for several in found for one in several):
            known = said.get(suggestion.source)
            if known is None or _RANK.index(suggestion.how) > _RANK.index(known.how):
                said[suggestion.source] = suggestion
        by_source = {edge.source: edge for edge in seen}
        live = self.trace.live.get(("inputs", target, name), value)
        same = any(edge.known_by == "identity" and self.outputs.live[edge.source] is live for edge in seen)
        edges = [
            replace(edge, confidence=max(edge.confidence, 0.95)) if edge.source in said else edge
            for edge in seen
            if edge.source in said or not complete or not self._by_accident(edge)
        ]
        end = End(target, name)
        texts = {one.source for several in found for one in several if one.how == "verbatim"}
        others = texts - self._of_the_same_item(target, self.outputs.ordered(texts))
        edges += [
            Edge(one.source, end, "data", "code", _CODE[one.how])
            for one in said.values()
            if one.source not in others
            and one.source not in by_source
            and not (same and one.how in _PASSED_ON)
            and self._believed(one, value)
        ]
        return edges

    def _of_the_same_item(self, target: str, sources: list[End]) -> set[End]:
        """Of short texts that calls of one predictor wrote, those of calls that were given what the reader is given.

        A short text that was passed on does not tell which of several calls wrote it; the item that a list was
        gone through for does.
        """
        kept = set(sources)
        given = {id(value) for value in self._telling_inputs(target)}
        for twins in _by_predictor(self.calls, sources):
            short = all(len(self.outputs.forms[one][0]) < _SHORT for one in twins)
            mine = {one for one in twins if any(id(value) in given for value in self._telling_inputs(one.call))}
            if short and mine and len(twins) > 1:
                kept -= set(twins) - mine
        return kept

    def _telling_inputs(self, call: str) -> list[Any]:
        names = self.calls[call].inputs if call != OUTPUT else ()
        values = [self.trace.live.get(("inputs", call, name)) for name in names]
        return [value for value in values if isinstance(value, str) and len(value) >= _SHORT]

    def _by_accident(self, edge: Edge) -> bool:
        """Whether the text of an output may stand in an input though the code does not bring it there."""
        return len(self.outputs.forms[edge.source][0]) < _SHORT

    def _believed(self, said: Suggestion, value: Any) -> bool:
        call = self.calls[said.source.call]
        output = call.outputs[said.source.field or ""]
        if said.how == "verbatim" or (said.how == "added" and isinstance(output, str)):
            return shows(value, output)
        if said.how == "sliced":
            return shows(value, output) or shows(output, value)
        return (said.source.call, said.source.field) in self.read

    def _decided(self, target: str, use: Use) -> list[Edge]:
        if self.instances is None:
            return []
        sources = dict.fromkeys(
            one.source for several in self.instances.ends(use.control, self.calls.get(target)) for one in several
        )
        return [
            Edge(source, End(target, None), "control", "code", 0.6)
            for source in sources
            if source.call != target and (source.call, source.field) in self.read
        ]

    def _from_values(self, target: str, name: str, value: Any) -> list[Edge]:
        end = End(target, name)
        live = self.trace.live.get(("inputs", target, name), value)
        same = {source for part in parts_of(live) if telling(part) for source in self.outputs.of_object(part)}
        identical = [Edge(source, end, "data", "identity", 1.0) for source in self.outputs.ordered(same)]
        if any(self.outputs.live[source] is live for source in same):
            return identical
        text = text_of(value)
        inside = [
            Edge(source, end, "data", "containment", confidence)
            for source in self.outputs.ordered(self.outputs.of_text(text) - same)
            if (confidence := max(contained(form, text, self.background) for form in self.outputs.forms[source]))
        ]
        return [*identical, *inside]

    def _direct(self, found: list[Edge]) -> list[Edge]:
        """Of the outputs whose text stands in one input, those that no other of them can have carried there."""

        def carried(edge: Edge, other: Edge) -> bool:
            return (
                other.target == edge.target
                and self.calls[edge.source.call].before(self.calls[other.source.call])
                and self.outputs.forms[edge.source][0] in self.outputs.forms[other.source][0]
            )

        return [
            edge
            for edge in found
            if edge.known_by != "containment"
            or edge.confidence >= 0.95
            or not any(carried(edge, other) for other in found)
        ]

    def _explained(self, target: str, name: str) -> bool:
        if any(edge.target.field == name for edge in self.into[target]):
            return True
        value = (self.trace.output if target == OUTPUT else self.calls[target].inputs)[name]
        live = self.trace.live.get(("inputs", target, name), value)
        if any(live is given or (type(value) is type(given) and value == given) for given in self.given):
            return True
        text = text_of(value)
        if not text or (isinstance(value, (str, int, float)) and value in self.constants):
            return True
        return any(text in given or (given and given in text) for given in self.background)

    def _from_order(self, readers: list[tuple[str, Mapping[str, Any], int]]) -> None:
        for target, inputs, started in readers:
            for name in inputs:
                if not self._explained(target, name):
                    self.into[target] += self._guess(End(target, name), started)

    def _guess(self, end: End, started: int) -> list[Edge]:
        ended = [call for call in self.trace.calls if call.ended is not None and call.ended < started][-_GUESSES:]
        covered = {edge.source.call for call in ended for edge in self.into[call.id]}
        return [
            Edge(End(call.id, name), end, "inferred", "order", 0.2)
            for call in ended
            if call.id not in covered
            for name in list(call.outputs)[-1:]
        ]


def _texts(constants: tuple[Any, ...]) -> set[Any]:
    held = (item for value in constants for item in ([value] if isinstance(value, str) else value))
    return {item for item in held if isinstance(item, (str, int, float))}


def _labels(target: str, name: str, use: Use | None) -> frozenset[Label] | None:
    """What the code says that an input is made of; None where it says nothing."""
    if use is None:
        return None
    if name in use.inputs:
        return use.inputs[name]
    # A returned call's prediction has all its fields; arguments without a name may be any.
    loose = frozenset(replace(one, field=name) if target == OUTPUT and one.field == WHOLE else one for one in use.rest)
    return loose or None


def _by_predictor(calls: Mapping[str, Call], ends: list[End]) -> list[list[End]]:
    """Outputs of calls of one predictor, field by field."""
    found: dict[tuple[str, str | None], list[End]] = {}
    for end in ends:
        found.setdefault((calls[end.call].predictor, end.field), []).append(end)
    return list(found.values())
