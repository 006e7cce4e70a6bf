"""Edges from values: the very object of an output, or its text, is a later input.

Why text must be long or delimited: "Yes" and "7" occur everywhere. A short value is believed only where the whole
input equals it, or where it stands as a word and in no input of the program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..._values.text import jsonable, printed
from ..edges import Edge, End, FoundEdges
from ..record.snapshots import options
from ..trace import Trace

_KEY = 4
_MOST_WORDS = 20_000
_NOTHING: frozenset[End] = frozenset()
SHORT = 12
"""Texts of fewer characters occur anywhere."""
SPAN = 40
"""Of a longer text its first so many characters are looked for."""
WORDS = re.compile(r"\w+")


def from_values(trace: Trace) -> FoundEdges:
    """The edges that identity and text suggest; see `EdgeEvidence`."""
    background = [text_of(value) for value in trace.inputs.values()]
    outputs, edges = _Outputs(), []
    for reader, inputs, ended in trace.readers():
        for call in ended:
            for name, value in call.outputs.items():
                # A listed option is one object wherever it is chosen.
                shared = bool(options(call.annotations.get(name)))
                live = value if shared else trace.live.get(("outputs", call.id, name), value)
                outputs.add(End(call.id, name), value, live, shared=shared)
        for name, value in inputs.items():
            live = trace.live.get(("inputs", reader, name), value)
            edges += _into(End(reader, name), value, live, outputs, background)
    return FoundEdges(tuple(edges))


def _into(end: End, value: Any, live: Any, outputs: _Outputs, background: list[str]) -> list[Edge]:
    same = {source for part in parts_of(live) if telling(part) for source in outputs.of_object(part)}
    identical = [Edge(source, end, "data", "identity", 1.0) for source in outputs.ordered(same)]
    if any(outputs.live[source] is live for source in same):
        return identical
    text = text_of(value)
    inside = [
        Edge(source, end, "data", "containment", confidence)
        for source in outputs.ordered(outputs.of_text(text) - same)
        if (confidence := max(contained(form, text, background) for form in outputs.forms[source]))
    ]
    return [*identical, *inside]


class _Outputs:
    """The outputs that existed at a moment, found by object and by text in time that does not grow with them.

    `live` holds the very objects, `forms` the texts by which each may be recognised, its own first.
    """

    def __init__(self) -> None:
        self.live: dict[End, Any] = {}
        self.forms: dict[End, list[str]] = {}
        self._objects: dict[int, set[End]] = {}
        self._keys: dict[tuple[str, ...], set[End]] = {}
        self._first_words: set[str] = set()
        self._places: dict[End, int] = {}

    def add(self, end: End, value: Any, live: Any, *, shared: bool = False) -> None:
        """Take in one output: its value as it was, the very object, and whether others may be the same one."""
        self.live[end] = live
        self.forms[end] = _forms(value)
        self._places[end] = len(self._places)
        for part in () if shared else parts_of(live):
            if telling(part):
                self._objects.setdefault(id(part), set()).add(end)
        for form in self.forms[end]:
            words = WORDS.findall(form[: SPAN * 2])[:_KEY]
            if words:
                self._keys.setdefault(tuple(words), set()).add(end)
                self._first_words.add(words[0])

    def of_object(self, value: Any) -> set[End]:
        """The outputs that an object is, or is a part of."""
        return self._objects.get(id(value), set())

    def of_text(self, text: str) -> set[End]:
        """The outputs whose first words stand in a text: candidates, to be looked at."""
        words = WORDS.findall(text)[:_MOST_WORDS]
        found: set[End] = set()
        for at, word in enumerate(words):
            if word in self._first_words:
                for length in range(1, _KEY + 1):
                    found |= self._keys.get(tuple(words[at : at + length]), _NOTHING)
        return found

    def ordered(self, ends: Iterable[End]) -> list[End]:
        """_Outputs in the order in which they came."""
        return sorted(ends, key=self._places.__getitem__)


def _forms(value: Any) -> list[str]:
    if isinstance(value, (str, int, float)) or value is None:
        return [text_of(value)]
    texts = [text_of(part) for part in parts_of(value) if isinstance(part, str) and len(part) > 2]
    return [text_of(value), text_of(json.dumps(jsonable(value), ensure_ascii=False)), *texts]


def parts_of(value: Any, depth: int = 3) -> Iterator[Any]:
    """A value and what it holds, a few levels deep."""
    yield value
    if depth == 0 or isinstance(value, str):
        return
    inside = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        for item in inside:
            yield from parts_of(item, depth - 1)


def telling(value: Any) -> bool:
    """Whether being the same object says something: the interpreter shares small numbers and short strings."""
    if isinstance(value, str):
        return len(value) > 1
    return not isinstance(value, (bool, int, float, bytes, type(None)))


def contained(output: str, text: str, background: list[str]) -> float:
    """How surely an output's text stands in an input's text, 0 to 1, both normalised.

    What stands in the program's own inputs (`background`) proves nothing.
    """
    span = output if len(output) <= SPAN else output[:SPAN]
    at = text.find(span) if span else -1
    if at < 0 or any(span in given for given in background):
        return 0.0
    if output == text:
        return 0.9 if len(output) >= SHORT else 0.7
    if len(span) >= SHORT:
        return 0.9
    before, after = text[at - 1 : at], text[at + len(span) : at + len(span) + 1]
    return 0.0 if before.isalnum() or after.isalnum() else 0.5


def text_of(value: Any) -> str:
    """A value as normalised text: one space between words, case folded."""
    return " ".join(printed(value).split()).casefold()


def shows(value: Any, output: Any) -> bool:
    """Whether an input shows that an output was passed on to it: most of the output's words stand in it."""
    words = set(WORDS.findall(text_of(value)))
    if isinstance(output, (str, int, float)):
        own = set(WORDS.findall(text_of(output)))
        return bool(own) and len(own & words) >= 0.6 * len(own)
    return any(own & words for part in parts_of(output) if (own := set(WORDS.findall(text_of(part)))))
