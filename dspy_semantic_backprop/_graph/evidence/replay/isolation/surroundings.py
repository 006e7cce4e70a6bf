"""The state around a program that its own code may change, so that replays leave it as one run did.

Globals and the variables of closures (rebound or changed in place), class attributes, default arguments,
objects of the user's own classes, and the random numbers' state.
"""

from __future__ import annotations

import copy
import dis
import functools
import operator
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import dspy

from ....record.program_code import codes, filled
from .own_code import OwnCode, data_attributes, is_own, open_files, silent_models

MUTABLE = (list, dict, set, bytearray, deque)
_MOST = 200_000
_ABSENT = object()
_PLAIN_CLASSES = (type(dspy.Module), type)


class Surroundings:
    """What a program's own code may change around it, as it is now.

    Args:
        program: The program.
        inputs: Its inputs: what a callable among them holds belongs to the surroundings.

    Attributes:
        lost: What cannot be put back, in words.
        blocked: Why replays would not be free, whatever the user allows, in words.
    """

    def __init__(self, program: Any, inputs: Iterable[Any] = ()) -> None:
        self._code = OwnCode(program, inputs)
        self.blocked = silent_models(self._code)
        self.lost = open_files(self._code)
        self._save()

    def __bool__(self) -> bool:
        return bool(self._restorers)

    def again(self) -> Surroundings:
        """The same surroundings, as they are now."""
        twin = object.__new__(Surroundings)
        twin._code, twin.blocked, twin.lost = self._code, self.blocked, []
        twin._save()
        return twin

    def _save(self) -> None:
        self._restorers: list[Callable[[], None]] = []
        self._seen: set[int] = set()
        self._contents(tuple(self._code.values.values()))
        for cls in self._code.classes.values():
            if isinstance(cls, _PLAIN_CLASSES):
                self._restorers.append(_attributes_of(cls))
        for function in self._code.functions.values():
            self._restorers += [*_rebound(function), *(_cell(cell) for cell in function.__closure__ or ())]
        self._restorers.append(_dice())

    def restore(self) -> None:
        """Put everything back, contents into the very same objects."""
        for restore in self._restorers:
            restore()

    def _contents(self, root: Any) -> None:
        """Remember what every object that can be reached from here holds, one level each."""
        frontier = [root]
        while frontier and len(self._seen) < _MOST:
            value = frontier.pop()
            held = _held(value)
            if held is None or id(value) in self._seen:
                continue
            self._seen.add(id(value))
            content = copy.copy(held)
            frontier += list(content.values()) if isinstance(content, dict) else list(content)
            if not isinstance(held, (tuple, frozenset)):
                # The content keeps its parts alive, so that no other object can take their place in `_seen`.
                self._restorers.append(functools.partial(_put_back, held, content))
        if frontier:
            self.lost.append(f"a global {type(root).__name__} of more than {_MOST} parts")


def _held(value: Any) -> Any:
    """What an object holds that own code may change, or lead to it."""
    if isinstance(value, (*MUTABLE, tuple, frozenset)):
        return value
    if isinstance(value, (str, int, float, type, types.FunctionType, dspy.BaseLM)):
        return None
    known = is_own(type(value).__module__) or isinstance(value, (dspy.Module, dspy.Example))
    held = getattr(value, "__dict__", None) if known else None
    return held if isinstance(held, dict) else None


def _put_back(held: Any, content: Any) -> None:
    if isinstance(held, dict):
        if held.keys() != content.keys() or not all(map(operator.is_, held.values(), content.values())):
            held.clear()
            held.update(content)
    elif isinstance(held, set):
        if held != content:
            held.clear()
            held.update(content)
    elif len(held) != len(content) or not all(map(operator.is_, held, content)):
        held.clear()
        held.extend(content)


def _attributes_of(cls: type) -> Callable[[], None]:
    saved = data_attributes(cls)

    def restore() -> None:
        now = data_attributes(cls)
        for name in now.keys() - saved.keys():
            delattr(cls, name)
        for name, value in saved.items():
            if now.get(name, _ABSENT) is not value:
                setattr(cls, name, value)

    return restore


def _rebound(function: types.FunctionType) -> list[Callable[[], None]]:
    stored = {
        step.argval
        for code in codes(function.__code__)
        for step in dis.get_instructions(code)
        if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")
    }
    return [_binding(function.__globals__, name) for name in stored]


def _binding(names: dict[str, Any], name: str) -> Callable[[], None]:
    saved = names.get(name, _ABSENT)

    def restore() -> None:
        if saved is _ABSENT:
            names.pop(name, None)
        elif names.get(name, _ABSENT) is not saved:
            names[name] = saved

    return restore


def _cell(cell: types.CellType) -> Callable[[], None]:
    saved = cell.cell_contents if filled(cell) else _ABSENT

    def restore() -> None:
        if saved is not _ABSENT and (not filled(cell) or cell.cell_contents is not saved):
            cell.cell_contents = saved

    return restore


def _dice() -> Callable[[], None]:
    saved = random.getstate()
    numpy = getattr(sys.modules.get("numpy"), "random", None)
    arrays = numpy.get_state(legacy=False) if numpy is not None else None

    def restore() -> None:
        if random.getstate() != saved:
            random.setstate(saved)
        if numpy is not None and not _same_state(numpy.get_state(legacy=False), arrays):
            numpy.set_state(arrays)

    return restore


def _same_state(now: Any, saved: Any) -> bool:
    if isinstance(saved, dict):
        return now.keys() == saved.keys() and all(_same_state(now[name], saved[name]) for name in saved)
    return bool((now == saved).all()) if hasattr(saved, "all") else now == saved
