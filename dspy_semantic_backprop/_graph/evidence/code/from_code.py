"""Edges from the program's code: which outputs an input may have been made of, and how.

Where the code says that a text was passed on, the text must be there; where it says that something was computed,
the output must have been read. Where the code accounts for an input as a whole, a short text that stands in it by
accident is no edge.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import dspy

from ...edges import Edge, End, FoundEdges
from ...record.names import Names, is_unnamed
from ...record.snapshots import options
from ...trace import OUTPUT, Call, Position, Trace
from ..from_values import SHORT, shows, telling, text_of
from .labels import MANY, WHOLE, How, Label, Site
from .program_slice import ProgramSlice, program_slice
from .state import Use, within

_SINGLE = frozenset({"Predict", "ChainOfThought"})


@dataclass(frozen=True)
class _Suggestion:
    """An output that the code says may have reached a place, and how."""

    source: End
    how: How


@dataclass
class _RecordedCalls:
    """The calls of one execution by site, in the order in which they ended."""

    slice: ProgramSlice
    ways: Mapping[str, tuple[Position, ...]]
    ended: list[Call] = field(default_factory=list)
    at: dict[Site, list[int]] = field(default_factory=dict)
    sites: dict[str, Site | None] = field(default_factory=dict)
    units: dict[tuple[str, Position], Position | None] = field(default_factory=dict)

    def end(self, call: Call) -> None:
        """Take in a call that has ended."""
        site = self.site(call)
        if site is not None:
            self.at.setdefault(site, []).append(len(self.ended))
        self.ended.append(call)

    def site(self, call: Call) -> Site | None:
        """The site that a call was made at; None where that cannot be told."""
        if call.id not in self.sites:
            way = self.ways.get(call.id, ())
            site, predictors = self.slice.site(way), self.slice.predictors
            if site is None or (predictors[site] and call.predictor not in predictors[site]):
                named = [one for one, names in predictors.items() if call.predictor in names]
                site = named[0] if len(named) == 1 else None
            self.sites[call.id] = site
        return self.sites[call.id]

    def use(self, call: Call) -> Use | None:
        """What the code says of the calls at a call's site."""
        site = self.site(call)
        return self.slice.uses[site] if site is not None else None

    def ends(self, labels: Iterable[Label], reader: Call | None) -> Iterator[list[_Suggestion]]:
        """For each label the outputs that it stands for at this moment; none where the record has no such call.

        The reader is the call that reads the value; None for the returned prediction.
        """
        for label in labels:
            if label.until is not None and self._overwritten(label.until, reader):
                continue
            found = [End(call.id, name) for call in self._calls(label, reader) for name in _fields(call, label.field)]
            yield [_Suggestion(end, label.how) for end in dict.fromkeys(found)]

    def _calls(self, label: Label, reader: Call | None) -> list[Call]:
        last = next(self._latest(label), None)
        if last is None:
            return []
        if label.loop is not None and (label.back or label.all):
            found = self._of_iterations(label, last, reader)
        elif self.ended[last].concurrent:
            found = list(self._latest(label))
        else:
            found = self._run(label, last) if self._composite(label.site) else [last]
        return [self.ended[at] for at in sorted(found)]

    def _latest(self, label: Label) -> Iterator[int]:
        """The places of the calls of a label's site that have its field, the latest first."""
        return (at for at in reversed(self.at.get(label.site, [])) if _fields(self.ended[at], label.field))

    def _of_iterations(self, label: Label, last: int, reader: Call | None) -> list[int]:
        """The calls that a label means: of this iteration of its loop, the one before, or all before."""
        assert label.loop is not None
        within_loop = reader is not None and self._unit(reader, label.loop) is not None
        latest = len(self.ended) - 1 if within_loop else last
        iterations = self._iterations(label.loop, latest, reader if within_loop else None)
        this = next(iterations) if within_loop and label.back else []
        meant = list(itertools.islice(iterations, 1)) if label.back == 1 else list(iterations)
        if within_loop and label.back and not meant and self._alike(this, label.loop):
            # One inner loop is the whole body: its iterations cannot be told from those of the outer one.
            meant = [this]
        found = [at for iteration in meant for at in iteration if self._is_of(at, label)]
        return found if label.all or label.back == MANY else sorted(found)[-1:]

    def _is_of(self, at: int, label: Label) -> bool:
        return self.sites.get(self.ended[at].id) == label.site and bool(_fields(self.ended[at], label.field))

    def _iterations(self, loop: Position, latest: int, reader: Call | None) -> Iterator[list[int]]:
        """The latest run of a loop, as the calls of each of its iterations, the latest iteration first.

        An iteration is left where the next call stands earlier in the loop's body, or at the same place again.
        """
        iteration: list[int] = []
        here = self._unit(reader, loop) if reader is not None else None
        for at in range(latest, -1, -1):
            unit = self._unit(self.ended[at], loop)
            if unit is None:
                break
            again = here is not None and (unit > here or (unit == here and unit not in self.slice.loops))
            if again and (iteration or reader is not None):
                yield iteration
                iteration, reader = [], None
            iteration.append(at)
            here = unit
        yield iteration

    def _alike(self, places: list[int], loop: Position) -> bool:
        units = {self._unit(self.ended[at], loop) for at in places}
        return len(units) == 1 and units <= self.slice.loops

    def _unit(self, call: Call, loop: Position) -> Position | None:
        """The statement of a loop's body that made a call: an inner loop, or the call's own place."""
        key = (call.id, loop)
        if key not in self.units:
            way = self.ways.get(call.id) or self.site(call) or ()
            place = next((one for one in way if within(one, loop)), None)
            inner = [
                one
                for one in self.slice.loops
                if place is not None and one != loop and within(one, loop) and within(place, one)
            ]
            self.units[key] = min(inner, key=lambda one: (one[1:3], (-one[3], -one[4])), default=place)
        return self.units[key]

    def _overwritten(self, loop: Position, reader: Call | None) -> bool:
        """Whether a loop has made a whole iteration since it began: what stood before it is gone."""
        if reader is not None and self._unit(reader, loop) is not None:
            iterations = self._iterations(loop, len(self.ended) - 1, reader)
            return len(list(itertools.islice(iterations, 2))) > 1
        return any(self._unit(call, loop) is not None for call in reversed(self.ended))

    def _composite(self, site: Site) -> bool:
        objects = self.slice.uses[site].objects
        return bool(objects) and not any(type(one).__name__ in _SINGLE for one in objects)

    def _run(self, label: Label, last: int) -> list[int]:
        """A call and those before it with no call of another site between."""
        way = self.ways.get(self.ended[last].id)
        run = itertools.takewhile(lambda at: self.ways.get(self.ended[at].id) == way, range(last, -1, -1))
        return [at for at in run if self._is_of(at, label)]


def _fields(call: Call, name: str) -> list[str]:
    if name == WHOLE:
        return list(call.outputs)
    return [name] if name in call.outputs else []


_SURE = {"verbatim": 0.9, "added": 0.9, "sliced": 0.8, "computed": 0.8, "choice": 0.7}
_HOWS = list(_SURE)
_PASSED_ON = frozenset({"verbatim", "added", "sliced"})

Slices = dict[frozenset[Position], ProgramSlice | None]
"""The places where predictors are called -> what the program's code says of executions that call them there."""


class FromCode:
    """The evidence of a program's code, of which nothing is called; see `EdgeEvidence`.

    `known` is what was found out of the code of copies of it, which is not found out again.
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
        return frozenset(name for name in map(self._names.of, inner) if not is_unnamed(name))


class _Reading:
    """One execution read along its program's slice."""

    def __init__(self, trace: Trace, code: ProgramSlice) -> None:
        self.trace = trace
        self.slice = code
        self.calls = {call.id: call for call in trace.calls}
        self.recorded = _RecordedCalls(code, trace.ways)
        self.read = {(call, name) for _, call, name in trace.reads}
        self.order: dict[End, int] = {}
        self.objects: set[int] = set()
        self.edges: list[Edge] = []
        self.possible: set[tuple[End, End]] = set()
        self.complete: set[End] = set()
        self.unfed: set[End] = set()
        self.is_short = cache(lambda end: len(text_of(self.calls[end.call].outputs[end.field])) < SHORT)

    def found(self) -> FoundEdges:
        for reader, inputs, ended in self.trace.readers():
            for call in ended:
                self._end(call)
            use = self._use(reader)
            if use is not None:
                for name, value in inputs.items():
                    self._explain(End(reader, name), value, _labels(reader, name, use))
                self.edges += self._decided(reader, use)
        # What was written to a file, and read back from it, passed where no code shows it.
        unfed = frozenset(self.unfed if not self.trace.effects else ())
        return FoundEdges(tuple(self.edges), frozenset(self.possible), self._excludes, unfed=unfed)

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
        loosest: dict[End, _Suggestion] = {}
        for one in sorted((one for several in found for one in several), key=lambda one: _HOWS.index(one.how)):
            loosest[one.source] = one
        self.possible |= {(source, end) for source in loosest}
        self.complete |= {end} if all(found) else set()
        self.unfed |= set() if labels else {end}
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

    def _believed(self, said: _Suggestion, value: Any) -> bool:
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
