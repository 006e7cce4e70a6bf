"""What to draw of a graph: boxes and arrows with one-line texts, before any language or position.

Nothing here knows graphs: a graph says which boxes it has and what was read along which arrow.
"""

from __future__ import annotations

import reprlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from ..._secrets.known import told
from ..._terminal import columns, first

TITLE, DETAIL, LABEL, TIP = 34, 28, 34, 300
"""The most columns of a box's two lines, of an arrow's label, and of what a pointer shows."""

Tone = Literal["plain", "end", "failed", "absent"]
ArrowKind = Literal["given", "data", "control", "inferred"]
_KINDS: Sequence[Any] = get_args(ArrowKind)


@dataclass(frozen=True)
class Box:
    """A call, a predictor, the program's inputs or what it returned: printable lines.

    The tone "end" is for inputs and the returned prediction, "absent" for what was never reached; a pointer shows the
    tip.
    """

    title: str
    detail: str = ""
    tone: Tone = "plain"
    tip: str = ""


@dataclass(frozen=True)
class Arrow:
    """One arrow between two boxes, by their positions in the picture.

    The kind is an edge's, or "given" for an input of the program that a call reads directly; `share` is the part of the
    examples in which it occurs, 0 to 1; a pointer shows the tip.
    """

    source: int
    target: int
    kind: ArrowKind
    label: str = ""
    share: float = 1.0
    tip: str = ""


@dataclass(frozen=True)
class Picture:
    """Boxes from top to bottom, the arrows between them, and notes below the drawing.

    There is at most one arrow of a source and a target; one to an earlier box goes upwards.
    """

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    notes: tuple[str, ...] = ()

    def kinds(self) -> Iterator[ArrowKind]:
        """The kinds of edges that it shows, in the order of a legend."""
        there = {arrow.kind for arrow in self.arrows}
        yield from (kind for kind in _KINDS[1:] if kind in there)


class FieldRead(NamedTuple):
    """One field that was read along an arrow, between the positions of two boxes.

    `read_as` is the reader's field; None where the field only decided that the call took place.
    """

    source: int
    target: int
    name: str
    read_as: str | None
    kind: ArrowKind
    share: float = 1.0


def arrows(names: Sequence[str], readings: Iterable[FieldRead]) -> tuple[Arrow, ...]:
    """One arrow for each pair of boxes, labelled with all that was read along it; `names` are those of the boxes."""
    by_ends: dict[tuple[int, int], list[FieldRead]] = {}
    for reading in readings:
        by_ends.setdefault((reading.source, reading.target), []).append(reading)
    return tuple(_arrow(names, ends, by_ends[ends]) for ends in sorted(by_ends))


def _arrow(names: Sequence[str], ends: tuple[int, int], readings: Sequence[FieldRead]) -> Arrow:
    kinds, share = {one.kind for one in readings}, max(one.share for one in readings)
    kind = next(kind for kind in _KINDS if kind in kinds)
    label = " ".join(part for part in (_label(readings), f"{share:.0%}" if share < 1 else "") if part)
    pairs = ", ".join(dict.fromkeys(f"{one.name} → {one.read_as or 'decides'}" for one in readings))
    return Arrow(*ends, kind, label, share, line(f"{names[ends[0]]} to {names[ends[1]]}: {pairs}", TIP))


def line(value: Any, width: int) -> str:
    """A value as one printable line, cut with an ellipsis at `width` columns.

    Containers and objects are abbreviated before they become text; control, formatting and unpaired surrogate
    characters are left out; characters of East Asian scripts take two columns.
    """
    text = value if isinstance(value, str) else reprlib.repr(value)
    # What is cut away anyway need not be looked at: outputs may be megabytes.
    text = unicodedata.normalize("NFC", told(text[: 20 * width + 200]))
    text = " ".join("".join(_printable(char) for char in text).split())
    return text if columns(text) <= width else first(text, width - 1).rstrip(" …") + "…"


def _printable(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cs", "Cn", "Co"):
        return "\ufffd"
    if category == "Cf":
        return ""
    return " " if category == "Cc" else char


def _label(readings: Sequence[FieldRead]) -> str:
    renamed = _renamed([(one.name, one.read_as) for one in readings if one.read_as])
    deciding = list(dict.fromkeys(one.name for one in readings if one.kind == "control" or not one.read_as))
    decides = f"{_joined(deciding)} decides" if deciding else ""
    return line("; ".join(part for part in (renamed, decides) if part), 2 * LABEL)


def _renamed(pairs: Iterable[tuple[str, str]]) -> str:
    pairs = list(dict.fromkeys(pairs))
    if all(name == read_as for name, read_as in pairs):
        return ""
    names: dict[str, list[str]] = {}
    for name, read_as in pairs:
        names.setdefault(read_as, []).append(name)
    parts = []
    for read_as, sources in names.items():
        half = LABEL if sources == [read_as] else max(12, LABEL - 3 - len(read_as))
        parts.append(_joined(sources, half) + ("" if sources == [read_as] else f" → {read_as}"))
    return _joined(parts)


def _joined(parts: Iterable[str], width: int = LABEL) -> str:
    parts = [line(part, LABEL) for part in parts]
    kept, room = [], width
    for part in parts:
        if kept and len(part) > room:
            break
        kept.append(part)
        room -= len(part) + 2
    return ", ".join(kept) + (f" +{len(parts) - len(kept)}" if len(kept) < len(parts) else "")
