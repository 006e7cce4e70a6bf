"""Copies of users' values: nothing that a program does to what it was given reaches whoever gave it.

Python's deep copy gives up on a whole value as soon as a part of it cannot be copied, and on depth. Here containers are
copied whatever they hold, objects part by part where they refuse as a whole, and only what nobody can copy is shared.
"""

from __future__ import annotations

import copy
import copyreg
import pickle
import types
from collections.abc import Generator, Mapping
from typing import Any

from .walk import ATOMS, LOCKS, NAMED, walk

_SHARED: Any = (*NAMED, *LOCKS, types.FunctionType, types.MethodType)


def copied(value: Any) -> tuple[Any, tuple[str, ...]]:
    """A copy of a value, and the types of what could not be copied and is the original's own."""
    if type(value) in ATOMS:
        return value, ()
    copier = _Copier()
    try:
        return walk(copier.step, value), tuple(copier.shared)
    except Exception:  # noqa: BLE001 - hashing and iterating is the value's own code
        return value, (type(value).__name__,)


def snapshot(value: Any) -> Any:
    """A value as it is now: containers and models are copied, since programs change them in place."""
    return copied(value)[0]


def own_copies(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Copies of named values, and in words what of them could not be copied."""
    copies, words = {}, []
    for name, value in values.items():
        copies[name], shared = copied(value)
        if shared:
            words.append(f"the input {name} cannot be copied whole (it holds a {', a '.join(shared[:3])})")
    return copies, tuple(words)


class _Copier:
    """`memo` is that of Python's deep copy: the copy of each object by the id of the original."""

    def __init__(self) -> None:
        self.memo: dict[int, Any] = {}
        self.shared: dict[str, None] = {}
        self._alive: list[Any] = []
        self._too_deep = False

    def step(self, value: Any) -> Generator[Any, Any, Any]:
        """Copy one value; inner ones are yielded."""
        kind = type(value)
        if kind in ATOMS or isinstance(value, _SHARED):
            return value
        if id(value) in self.memo:
            return self.memo[id(value)]
        self._alive.append(value)
        if kind in (list, dict):
            return (yield from self._filled(value))
        if kind in (tuple, set, frozenset):
            items = []
            for item in list(value):
                items.append((yield item))
            # A tuple that holds itself was copied on the way.
            return self.memo.setdefault(id(value), kind(items))
        twin = self._whole(value)
        return (yield from self._part_by_part(value)) if twin is _REFUSED else twin

    def _filled(self, value: Any) -> Generator[Any, Any, Any]:
        """A copy that stands before its items do: they may hold it."""
        twin = self.memo[id(value)] = type(value)()
        if isinstance(value, dict):
            for name, item in list(value.items()):
                twin[(yield name)] = yield item
        elif all(type(item) in ATOMS for item in value):
            twin += value
        else:
            for item in list(value):
                twin.append((yield item))
        return twin

    def _whole(self, value: Any) -> Any:
        if self._too_deep and _parts(value) is not None:
            return _REFUSED
        before = len(self.memo)
        try:
            if type(value).__module__.startswith("pandas"):
                # Its deep copy shares what is in the cells.
                twin = self.memo[id(value)] = pickle.loads(pickle.dumps(value))
                return twin
            return copy.deepcopy(value, self.memo)
        except Exception as error:  # noqa: BLE001 - copying is the value's own code
            self._too_deep = self._too_deep or isinstance(error, RecursionError)
            # What was begun is half made.
            while len(self.memo) > before:
                self.memo.popitem()
            return _REFUSED

    def _part_by_part(self, value: Any) -> Generator[Any, Any, Any]:
        """A copy made as pickle makes one, of parts that are copied or shared each for itself."""
        parts = _parts(value)
        if parts is None:
            self.shared[type(value).__name__] = None
            self.memo[id(value)] = value
            return value
        state, items, pairs = parts
        kind: Any = type(value)
        twin = self.memo[id(value)] = kind.__new__(kind)
        if state:
            _set_state(twin, (yield state))
        for item in items:
            twin.append((yield item))
        for name, item in pairs:
            twin[(yield name)] = yield item
        return twin


def _parts(value: Any) -> tuple[Any, list[Any], list[Any]] | None:
    """The state, the items and the pairs of an object; None where its class has a way of its own to be made again."""
    kind = type(value)
    if hasattr(kind, "__deepcopy__") and not hasattr(kind, "model_fields"):
        return None
    try:
        make, arguments, state, items, pairs, *_ = (*value.__reduce_ex__(4), None, None, None)
    except Exception:  # noqa: BLE001 - whatever a class raises that is not to be copied
        return None
    if make is not copyreg.__newobj__ or arguments != (kind,):  # pyright: ignore[reportAttributeAccessIssue]
        return None
    return state, list(items or ()), list(pairs or ())


def _set_state(twin: Any, state: Any) -> None:
    if hasattr(twin, "__setstate__"):
        twin.__setstate__(state)
        return
    held, slots = state if isinstance(state, tuple) else (state, None)
    if held:
        vars(twin).update(held)
    for name, item in (slots or {}).items():
        object.__setattr__(twin, name, item)


_REFUSED = object()
