"""The computation graph of one execution: calls, edges, shared-successor groups, waves."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from graphlib import TopologicalSorter
from typing import Any

import pydantic

from .._secrets.known import unsaid
from .._terminal import clean, counted, printable, shown, spelled, wrapped
from .._values.same import alike
from .._values.text import jsonable
from .draw.languages import Drawn
from .draw.picture import DETAIL, TIP, TITLE, Box, FieldRead, Picture, arrows, line
from .edges import EDGES, Edge
from .trace import OUTPUT, REASONING, Call

MOST_CALLS = 200
"""More calls than this are unreadable; the picture shows the first ones and says so."""

_LINES = 4
"""Of an edge, an error or a warning in the text."""

_CALLS = pydantic.TypeAdapter(tuple[Call, ...])


@dataclass(frozen=True)
class Member:
    """One output of a shared-successor group: what a reader read of a predecessor, and as which fields."""

    call: Call
    field: str
    read_as: tuple[str, ...]
    edges: tuple[Edge, ...]

    @property
    def value(self) -> Any:
        """The value that was read; None where the call failed before it had one."""
        return self.call.outputs.get(self.field)


@shown
@dataclass(frozen=True, eq=False)
class ComputationGraph(Drawn):
    """Calls as nodes, and which output field reached which input field.

    Args:
        calls: The calls, by start.
        edges: The edges, those to the returned prediction included.
        inputs: The program's inputs.
        output: The returned prediction's fields; empty where the program raised.
        error: What the program raised, as text; None where it returned.
        warnings: What could not be established, in words.

    Raises:
        ValueError: If an edge names a call that is not there.
    """

    calls: tuple[Call, ...]
    edges: tuple[Edge, ...]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "warnings", tuple(map(spelled, self.warnings)))
        known = {call.id for call in self.calls}
        for edge in self.edges:
            for name in (edge.source.call, edge.target.call):
                if name not in known and (name != OUTPUT or name == edge.source.call):
                    raise ValueError(f"an edge names {name!r}, which the graph does not have: {edge}")

    def __getitem__(self, call_id: str) -> Call:
        return self._by_id[call_id]

    def __iter__(self) -> Iterator[Call]:
        return iter(self.calls)

    def __len__(self) -> int:
        return len(self.calls)

    @functools.cached_property
    def _by_id(self) -> dict[str, Call]:
        return {call.id: call for call in self.calls}

    @functools.cached_property
    def _position(self) -> dict[str, int]:
        return {call.id: at for at, call in enumerate(self.calls)} | {OUTPUT: len(self.calls)}

    @functools.cached_property
    def _into(self) -> dict[str, list[Edge]]:
        into: dict[str, list[Edge]] = {call.id: [] for call in self.calls} | {OUTPUT: []}
        for edge in self.edges:
            into[edge.target.call].append(edge)
        return into

    @functools.cached_property
    def _successors(self) -> dict[str, tuple[str, ...]]:
        out: dict[str, dict[str, None]] = {call.id: {} for call in self.calls}
        for edge in sorted(self.edges, key=lambda edge: self._position[edge.target.call]):
            out[edge.source.call][edge.target.call] = None
        return {source: tuple(targets) for source, targets in out.items()}

    def successors(self, call_id: str) -> tuple[str, ...]:
        """The calls that read this one, by start, each once; "output" among them where it was returned."""
        return self._successors[call_id]

    def predecessors(self, call_id: str) -> tuple[str, ...]:
        """The calls that this one read, each once, by start."""
        sources = {edge.source.call for edge in self._into[call_id]}
        return tuple(sorted(sources, key=self._position.__getitem__))

    def descendants(self, call_id: str) -> tuple[str, ...]:
        """The calls that a call's outputs reached, over any number of edges, by start; the returned prediction not."""
        readers, found, frontier = self._successors, {OUTPUT}, [call_id]
        while frontier:
            new = set(readers[frontier.pop()]) - found
            found |= new
            frontier += new
        found.remove(OUTPUT)
        return tuple(sorted(found, key=self._position.__getitem__))

    def group(self, reader: str) -> tuple[Member, ...]:
        """The shared-successor group of a reader: each output it read, once, with the fields it read it as.

        The reader is a call's id, or "output" for the returned prediction; members stand in the order of their calls.
        """
        members: dict[tuple[str, str], list[Edge]] = {}
        for edge in self._into[reader]:
            members.setdefault((edge.source.call, edge.source.field or ""), []).append(edge)
        return tuple(
            Member(
                call=self[source],
                field=name,
                read_as=tuple(dict.fromkeys(edge.target.field for edge in edges if edge.target.field)),
                edges=tuple(edges),
            )
            for (source, name), edges in sorted(members.items(), key=lambda item: self._position[item[0][0]])
        )

    def own_inputs(self, reader: str) -> dict[str, Any]:
        """The inputs of a call that no edge accounts for: what it read that no predecessor wrote."""
        explained = {edge.target.field for edge in self._into[reader]}
        return {name: value for name, value in self[reader].inputs.items() if name not in explained}

    @functools.cached_property
    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The calls in layers: each reads only calls of earlier layers.

        Raises:
            graphlib.CycleError: If the edges form a cycle.
        """
        sorter = TopologicalSorter({call.id: self.predecessors(call.id) for call in self.calls})
        sorter.prepare()
        waves = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=self._position.__getitem__)
            waves.append(tuple(ready))
            sorter.done(*ready)
        return tuple(waves)

    @printable
    def __str__(self) -> str:
        lines = [f"ComputationGraph: {counted(len(self.calls), 'call')}, {counted(len(self.edges), 'edge')}"]
        for wave, names in enumerate(self.waves):
            for name in names:
                lines += [f"  wave {wave}  {name}", *self._said_of(name, self[name].error)]
        lines += [f"  returned  ({', '.join(self.output)})", *self._said_of(OUTPUT, self.error)]
        lines += [line for text in self.warnings for line in wrapped(f"warning: {clean(text)}", "", _LINES, indent=2)]
        return "\n".join(lines)

    def _said_of(self, reader: str, error: str | None) -> Iterator[str]:
        for text in [*([f"FAILED: {error}"] if error else []), *map(str, self._into[reader])]:
            yield from wrapped(clean(text), "", _LINES, indent=6)

    def given(self) -> Iterator[tuple[str, str, str]]:
        """Which inputs of the program reached a call: as they are, an item of them, or woven into a text.

        An input that an edge accounts for came from another call, however equal it is to an input of the program; a
        text that stands in it beside what came from there is the program's.

        Yields:
            The program's input, the call's id, the call's input field; by call, each pair of fields once.
        """
        for call in self.calls:
            own = self.own_inputs(call.id)
            for name, value in call.inputs.items():
                for known, original in self.inputs.items():
                    reached = _reached(value, original) if name in own else self._beside(call.id, name, original)
                    if original is not None and reached:
                        yield known, call.id, name

    def _beside(self, reader: str, name: str, original: Any) -> bool:
        """Whether a text stands in an input that has edges, and in none of the outputs that they come from."""
        value = self[reader].inputs[name]
        if not isinstance(original, str) or len(original) < _LEAST or value == original or not _woven(original, value):
            return False
        sources = [edge.source for edge in self._into[reader] if edge.target.field == name]
        return not any(original in str(self[end.call].outputs.get(end.field or "")) for end in sources)

    def picture(self) -> Picture:
        """The boxes and arrows of a drawing; of more than `MOST_CALLS` calls, the first ones, with a note on it."""
        shown = self.calls[:MOST_CALLS]
        repeated = {call.predictor for call in self.calls if call.index > 0}
        inputs = [Box("inputs", _short(self.inputs, len(self.inputs) > 1), "end", _all(self.inputs))]
        boxes = [*(inputs if self.inputs else []), *(_box(call, call.predictor in repeated) for call in shown)]
        names = [*(["inputs"] if self.inputs else []), *(call.id for call in shown), OUTPUT]
        place = {name: at for at, name in enumerate(names)}
        readings = [
            FieldRead(0, place[call_id], name, read_as, "given")
            for name, call_id, read_as in self.given()
            if call_id in place
        ]
        readings += [
            FieldRead(
                place[edge.source.call], place[edge.target.call], edge.source.field or "?", edge.target.field, edge.kind
            )
            for edge in self.edges
            if edge.source.call in place and edge.target.call in place
        ]
        note = [f"the first {len(shown)} of {len(self.calls)} calls"] if len(shown) < len(self.calls) else []
        return Picture((*boxes, self._returned()), arrows(names, readings), tuple(note))

    def _returned(self) -> Box:
        if self.error is not None:
            return Box("returned", line(self.error.split(":")[0], DETAIL), "failed", line(self.error, TIP))
        return Box("returned", _short(self.output), "end", _all(self.output))

    def to_dict(self) -> dict[str, Any]:
        """The graph as JSON values: `calls`, `edges`, `inputs`, `output`, `error`, `warnings`.

        Values that JSON does not know stand as their text; secrets that are known stand nowhere.
        """
        found = {
            "calls": [_call_to_dict(call) for call in self.calls],
            "edges": [asdict(edge) for edge in self.edges],
            "inputs": jsonable(self.inputs),
            "output": jsonable(self.output),
            "error": self.error,
            "warnings": list(self.warnings),
        }
        return unsaid(found)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> ComputationGraph:
        """The inverse of `to_dict`; a dictionary of an earlier version, without `seconds` and `usage`, will do.

        Raises:
            KeyError: If a part is missing.
            ValueError: If a part is not what `to_dict` makes of it, or an edge names a call that is not there.
        """
        return cls(
            calls=_CALLS.validate_python(state["calls"]),
            edges=EDGES.validate_python(state["edges"]),
            inputs=state["inputs"],
            output=state["output"],
            error=state["error"],
            warnings=tuple(state["warnings"]),
        )


def _call_to_dict(call: Call) -> dict[str, Any]:
    record = {name: getattr(call, name) for name in ("id", "predictor", "index", "instruction")}
    record |= {"inputs": jsonable(call.inputs), "outputs": jsonable(call.outputs)}
    record |= {name: [asdict(one) for one in getattr(call, name)] for name in ("input_fields", "output_fields")}
    record |= {name: getattr(call, name) for name in ("started", "ended", "error", "seconds")}
    return record | {"demos": jsonable(call.demos), "usage": dict(call.usage)}


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return alike(one, other)


def _reached(value: Any, original: Any) -> bool:
    """Whether a value is another one, an item of it, or a text in which it stands."""
    if original is None:
        return False
    items = original.values() if isinstance(original, Mapping) else original
    inside = list(items)[:_MOST_ITEMS] if isinstance(original, (list, tuple, Mapping)) else []
    return any(_same(value, one) or _woven(one, value) for one in (original, *inside))


def _woven(part: Any, text: Any) -> bool:
    """Whether a text or a number stands in a text as a word or as words."""
    if not isinstance(text, str) or not isinstance(part, (str, int, float)) or isinstance(part, bool):
        return False
    words = str(part).strip()
    return bool(words) and words in text and re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


_LEAST = 4
"""A text of fewer characters may stand beside what an edge brought by accident."""
_MOST_ITEMS = 200


def _box(call: Call, repeated: bool) -> Box:
    title = line(f"{call.predictor}[{call.index}]" if repeated else call.predictor, TITLE) or "?"
    if call.error is not None:
        return Box(title, line(call.error.split(":")[0], DETAIL), "failed", line(f"{call.id}: {call.error}", TIP))
    return Box(title, _short(call.outputs), "plain", line(f"{call.id}: {_all(call.outputs)}", TIP))


def _short(values: Mapping[str, Any], names_only: bool = False) -> str:
    if names_only:
        return line(", ".join(values), DETAIL)
    telling = [value for name, value in values.items() if name not in REASONING] or list(values.values())
    return line(telling[0], DETAIL) if telling else ""


def _all(values: Mapping[str, Any]) -> str:
    return line("; ".join(f"{name} = {line(value, 100)}" for name, value in values.items()), TIP)
