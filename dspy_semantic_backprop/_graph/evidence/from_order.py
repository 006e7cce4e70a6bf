"""Guesses from the order of calls: whatever ended before may have been read. Used where nothing else is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..edges import Edge, End
from ..trace import OUTPUT, Call, Trace
from .values.texts import text_of

_MOST = 20
"""Of how many calls before the reader the outputs are guessed to have been read."""


def from_order(trace: Trace, known: Sequence[Edge]) -> list[Edge]:
    """Inferred edges into the inputs that no edge, input or constant of the program explains."""
    into: dict[str, list[Edge]] = {call.id: [] for call in trace.calls} | {OUTPUT: []}
    for edge in known:
        into[edge.target.call].append(edge)
    given = _Given(trace)
    guesses: list[Edge] = []
    for call in (*trace.calls, None):
        reader, inputs = (OUTPUT, trace.output) if call is None else (call.id, call.inputs)
        for name, value in inputs.items():
            live = trace.live.get(("inputs", reader, name), value)
            explained = any(edge.target.field == name for edge in into[reader])
            if not explained and not given.explain(value, live):
                ended = [one for one in trace.calls if one.ended is not None and (call is None or one.before(call))]
                found = _guess(End(reader, name), ended[-_MOST:], into)
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
        if any(live is one or (type(value) is type(one) and value == one) for one in self.values):
            return True
        text = text_of(value)
        if not text or (isinstance(value, (str, int, float)) and value in self.constants):
            return True
        return any(text in one or (one and one in text) for one in self.texts)
