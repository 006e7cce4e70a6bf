"""Abstract values: which outputs a value in the program's code may have been made of, and how.

A *label* stands for an output field of the calls made at one place of the code. A value carries labels, may
have named parts that carry their own, and may be a known object of the running program (a predictor, a
function, a container), so that calls can be resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...trace import Position

Site = tuple[Position, ...]
"""A place where predictors are called: the positions on the way to it, outermost first."""
How = Literal["verbatim", "added", "sliced", "computed", "choice"]
"""How a value came to be: its text stands there; joined or added up; cut out of it; computed from it; chosen by it."""
WHOLE = "*"
"""In place of a field: the prediction as a whole."""
ITEM = "[]"
"""In place of a part's name: any item."""
SIZE = "#"
"""In place of a part's name: what decides how many items there are."""
KEY = "@"
"""In place of a part's name: any key of a dictionary."""
MANY = 2
"""Of any earlier iteration of a loop."""
_DEEPEST_PART = 4
_RANK = {"verbatim": 0, "added": 1, "sliced": 2, "computed": 3, "choice": 4}


@dataclass(frozen=True)
class Label:
    """An output field of the calls made at one site.

    Args:
        site: The site.
        field: The output field; `WHOLE` for the prediction itself.
        how: How the value depends on it.
        back: Of which iteration of `loop`: 0 this one, 1 the one before, `MANY` any before.
        loop: The position of the loop that it came through; None outside of loops.
        all: Whether every call there counts, and not the latest alone, as after a comprehension.
        until: The position of a loop whose first iteration overwrites the value: later ones do not see it.
    """

    site: Site
    field: str
    how: How = "verbatim"
    back: int = 0
    loop: Position | None = None
    all: bool = False
    until: Position | None = None


@dataclass(frozen=True)
class New:
    """An object that the program makes while it runs, by the place where it is made."""

    site: Site
    made_by: Any = None


@dataclass(frozen=True)
class Value:
    """What is known of a value.

    The outputs that it may be made of, its parts by attribute, key or index, and what it may be.
    """

    labels: frozenset[Label] = frozenset()
    parts: Mapping[str, Value] = field(default_factory=dict)
    objects: tuple[Any, ...] = ()


NOTHING = Value()


def join(values: Iterable[Value], depth: int = 0) -> Value:
    """A value that may be any of several."""
    several = list({id(value): value for value in values if value is not NOTHING}.values())
    if not several:
        return NOTHING
    if len(several) == 1:
        return several[0]
    labels = frozenset().union(*(value.labels for value in several))
    names = dict.fromkeys(name for value in several for name in value.parts)
    if depth >= _DEEPEST_PART:
        return Value(labels.union(*(everything(value) for value in several)), {}, _distinct(several))
    parts = {name: join((v.parts[name] for v in several if name in v.parts), depth + 1) for name in names}
    return Value(labels, parts, _distinct(several))


def _distinct(values: Iterable[Value]) -> tuple[Any, ...]:
    found: dict[Any, Any] = {}
    for value in values:
        for one in value.objects:
            found.setdefault(one if isinstance(one, New) else id(one), one)
    return tuple(found.values())


def everything(value: Value) -> frozenset[Label]:
    """All labels of a value and of its parts."""
    return value.labels.union(*(everything(part) for name, part in value.parts.items() if name != SIZE))


def made_from(labels: Iterable[Label], how: How) -> frozenset[Label]:
    """The labels of something made from others, in one way or a looser one."""
    return frozenset(one if _RANK[one.how] >= _RANK[how] else replace(one, how=how) for one in labels)


def older(value: Value, loop: Position, inside: Callable[[Site], bool]) -> Value:
    """A value as the next iteration of a loop finds it: what the loop's own calls wrote is one iteration older."""
    labels = frozenset(_older(one, loop) if inside(one.site) else one for one in value.labels)
    parts = {name: older(part, loop, inside) for name, part in value.parts.items()}
    if labels == value.labels and all(part is value.parts[name] for name, part in parts.items()):
        return value
    return Value(labels, parts, value.objects)


def _older(label: Label, loop: Position) -> Label:
    if label.loop in (None, loop):
        return replace(label, back=min(label.back + 1, MANY), loop=loop)
    # What an inner loop gathered is one iteration of the outer one older.
    return replace(label, back=1, loop=loop, all=label.all or label.back == MANY)


def replaced(value: Value, by: Value, loop: Position) -> Value:
    """A value before a loop that the loop's first iteration overwrites, as all iterations find it."""
    kept = by.labels
    labels = frozenset(one if one in kept or one.until else replace(one, until=loop) for one in value.labels)
    parts = {name: replaced(part, by.parts.get(name, NOTHING), loop) for name, part in value.parts.items()}
    return Value(labels, parts, value.objects)


def several(value: Value, loop: Position, inside: Callable[[Site], bool]) -> Value:
    """A value gathered in one go from all iterations of a loop, as in a comprehension."""
    labels = frozenset(replace(one, loop=loop, all=True) if inside(one.site) else one for one in value.labels)
    return Value(labels, {name: several(part, loop, inside) for name, part in value.parts.items()}, value.objects)
