"""What the objects of an abstract run hold: a value for each attribute, key or index."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from .labels import NOTHING, New, Value, join

_NONE: Mapping[str, Value] = MappingProxyType({})


def owner_of(one: Any) -> Hashable:
    """By what an object's cells are found in a heap."""
    # Not `isinstance`: it asks a DSPy module for its `__class__`, which runs Python code, here very often.
    return one if type(one) is New else id(one)


class Heap:
    """The cells of all objects, by owner: the id of one of the program's, or a `New`.

    The cells of an owner are replaced and never changed, so that copies share them.
    """

    def __init__(self, cells: Mapping[Hashable, Mapping[str, Value]] | None = None) -> None:
        self._cells = dict(cells or {})

    def __getitem__(self, owner: Hashable) -> Mapping[str, Value]:
        """What an owner holds, by attribute, key or index; nothing where that is not known."""
        return self._cells.get(owner, _NONE)

    def __iter__(self) -> Iterator[tuple[Hashable, Mapping[str, Value]]]:
        return iter(self._cells.items())

    def besides(self, other: Heap) -> list[tuple[Hashable, Mapping[str, Value]]]:
        """The owners that hold something else than in another heap, and what they hold."""
        return [(owner, held) for owner, held in self if held is not other[owner]]

    def copy(self) -> Heap:
        """A heap that can change in another way."""
        return Heap(self._cells)

    def put(self, owner: Hashable, name: str, value: Value) -> None:
        """Let an owner hold a value instead of what it held there."""
        self._cells[owner] = {**self[owner], name: value}

    def forget(self, owner: Hashable) -> None:
        """Let an owner hold nothing."""
        self._cells.pop(owner, None)

    def changed(self, change: Callable[[Hashable, str, Value], Value]) -> Heap:
        """A heap whose every value is what a function makes of it."""
        cells: dict[Hashable, Mapping[str, Value]] = {}
        for owner, own in self:
            new = {name: change(owner, name, one) for name, one in own.items()}
            cells[owner] = new if any(new[name] is not one for name, one in own.items()) else own
        return Heap(cells)

    def merged(self, other: Heap) -> Heap:
        """A heap that holds what either of two may hold."""
        cells: dict[Hashable, Mapping[str, Value]] = dict(self._cells)
        for owner, theirs in other:
            ours = self[owner]
            if ours is not theirs:
                names = {**ours, **theirs}
                cells[owner] = {name: join([ours.get(name, NOTHING), theirs.get(name, NOTHING)]) for name in names}
        return Heap(cells)
