"""Edges from the program's code: which outputs an input may have been made of, and how.

Where the code says that a text was passed on, the text must be there; where it says that something was computed,
the output must have been read. Where the code accounts for an input as a whole, a short text that stands in it by
accident is no edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import dspy

from ...edges import Edge, End
from ...record.names import UNNAMED, Names
from ...record.snapshots import options
from ...trace import OUTPUT, Call, Position, Trace
from ..evidence import FoundEdges, readers
from ..values.from_values import SHORT, shows, telling, text_of
from .labels import WHOLE, Label
from .program_slice import ProgramSlice, program_slice
from .recorded_calls import RecordedCalls, Suggestion
from .state import Use

_SURE = {"verbatim": 0.9, "added": 0.9, "sliced": 0.8, "computed": 0.8, "choice": 0.7}
_HOWS = list(_SURE)
_PASSED_ON = frozenset({"verbatim", "added", "sliced"})

Slices = dict[frozenset[Position], ProgramSlice | None]
"""The places where predictors are called -> what the program's code says of executions that call them there."""


class FromCode:
    """The evidence of a program's code; see `EdgeEvidence`.

    Args:
        program: The program; nothing of it is called.
        names: The names of its predictors.
        known: What was found out of the code of copies of it, which is not found out again; None for nothing.
    """

    def __init__(self, program: dspy.Module, names: Names, known: Slices | None = None) -> None:
        self._program = program
        self._names = names
        self._known: Slices = known if known is not None else {}

    def __call__(self, trace: Trace) -> FoundEdges:
        """The edges that the code makes possible and that the values and reads of an execution bear out."""
        observed = frozenset(way[-1] for way in trace.ways.values() if way)
        if observed not in self._known:
            self._known[observed] = program_slice(self._program, observed, self._names_of)
        code = self._known[observed]
        return FoundEdges() if code is None else _Reading(trace, code).found()

    def _names_of(self, objects: Iterable[Any]) -> frozenset[str]:
        modules = [one for one in objects if isinstance(one, dspy.Module)]
        inner = [predictor for one in modules for _, predictor in one.named_sub_modules(dspy.Predict)]
        return frozenset({*map(self._names.of, inner)} - {UNNAMED})


class _Reading:
    """One execution read along its program's slice."""

    def __init__(self, trace: Trace, code: ProgramSlice) -> None:
        self.trace = trace
        self.slice = code
        self.calls = {call.id: call for call in trace.calls}
        self.recorded = RecordedCalls(code, trace.ways)
        self.read = {(call, name) for _, call, name in trace.reads}
        self.order: dict[End, int] = {}
        self.objects: set[int] = set()
        self.edges: list[Edge] = []
        self.possible: set[tuple[End, End]] = set()
        self.complete: set[End] = set()
        self.is_short = cache(lambda end: len(text_of(self.calls[end.call].outputs[end.field])) < SHORT)

    def found(self) -> FoundEdges:
        for reader, inputs, ended in readers(self.trace):
            for call in ended:
                self._end(call)
            use = self._use(reader)
            if use is not None:
                for name, value in inputs.items():
                    self._explain(End(reader, name), value, _labels(reader, name, use))
                self.edges += self._decided(reader, use)
        return FoundEdges(tuple(self.edges), frozenset(self.possible), self._excludes)

    def _excludes(self, edge: Edge) -> bool:
        """Whether the text of an output stands in an input by accident: the code does not bring it there."""
        known = edge.target not in self.complete or (edge.source, edge.target) in self.possible
        return not known and self.is_short(edge.source)

    def _end(self, call: Call) -> None:
        self.recorded.end(call)
        for name, value in call.outputs.items():
            self.order[End(call.id, name)] = len(self.order)
            live = self.trace.live.get(("outputs", call.id, name), value)
            # A listed option is one object wherever it is chosen.
            if telling(live) and not options(call.annotations.get(name)):
                self.objects.add(id(live))

    def _use(self, reader: str) -> Use | None:
        if reader != OUTPUT:
            return self.recorded.use(self.calls[reader])
        returned = self.slice.returned
        return Use({name: labels for name, labels in returned.items() if name != WHOLE}, returned[WHOLE])

    def _explain(self, end: End, value: Any, labels: frozenset[Label] | None) -> None:
        if labels is None:
            return
        found = list(self.recorded.ends(labels, self.calls.get(end.call)))
        loosest: dict[End, Suggestion] = {}
        for one in sorted((one for several in found for one in several), key=lambda one: _HOWS.index(one.how)):
            loosest[one.source] = one
        self.possible |= {(source, end) for source in loosest}
        self.complete |= {end} if all(found) else set()
        texts = {one.source for several in found for one in several if one.how == "verbatim"}
        others = texts - self._of_the_same_item(end.call, sorted(texts, key=self.order.__getitem__))
        # Where the very object of an output is the input, nothing else was passed on.
        is_output = id(self.trace.live.get(("inputs", end.call, end.field or ""), value)) in self.objects
        self.edges += [
            Edge(one.source, end, "data", "code", _SURE[one.how])
            for one in sorted(loosest.values(), key=lambda one: self.order[one.source])
            if one.source not in others and not (is_output and one.how in _PASSED_ON) and self._believed(one, value)
        ]

    def _of_the_same_item(self, reader: str, sources: list[End]) -> set[End]:
        """Of short texts that calls of one predictor wrote, those of calls that were given what the reader is given.

        A short text that was passed on does not tell which of several calls wrote it; the item that a list was
        gone through for does.
        """
        kept = set(sources)
        given = {id(value) for value in self._telling_inputs(reader)}
        for twins in _by_predictor(self.calls, sources):
            mine = {one for one in twins if any(id(value) in given for value in self._telling_inputs(one.call))}
            if mine and len(twins) > 1 and all(map(self.is_short, twins)):
                kept -= set(twins) - mine
        return kept

    def _telling_inputs(self, call: str) -> list[Any]:
        names = self.calls[call].inputs if call != OUTPUT else ()
        values = [self.trace.live.get(("inputs", call, name)) for name in names]
        return [value for value in values if isinstance(value, str) and len(value) >= SHORT]

    def _believed(self, said: Suggestion, value: Any) -> bool:
        output = self.calls[said.source.call].outputs[said.source.field or ""]
        if said.how == "verbatim" or (said.how == "added" and isinstance(output, str)):
            return shows(value, output)
        if said.how == "sliced":
            return shows(value, output) or shows(output, value)
        return (said.source.call, said.source.field) in self.read

    def _decided(self, reader: str, use: Use) -> list[Edge]:
        ends = self.recorded.ends(use.control, self.calls.get(reader))
        sources = {one.source for several in ends for one in several}
        return [
            Edge(source, End(reader, None), "control", "code", 0.6)
            for source in sorted(sources, key=self.order.__getitem__)
            if source.call != reader and (source.call, source.field) in self.read
        ]


def _labels(reader: str, name: str, use: Use) -> frozenset[Label] | None:
    """What the code says that an input is made of; None where it says nothing."""
    if name in use.inputs:
        return use.inputs[name]
    # A returned call's prediction has all its fields; arguments without a name may be any.
    loose = frozenset(replace(one, field=name) if reader == OUTPUT and one.field == WHOLE else one for one in use.rest)
    return loose or None


def _by_predictor(calls: Mapping[str, Call], ends: list[End]) -> list[list[End]]:
    """Outputs of calls of one predictor, field by field."""
    found: dict[tuple[str, str | None], list[End]] = {}
    for end in ends:
        found.setdefault((calls[end.call].predictor, end.field), []).append(end)
    return list(found.values())
