"""Copies of a program to run again, and whether it may be run again.

Python's deep copy gives up on locks, queues and clients. Locks and queues are made anew; what nobody can
copy is shared, and named, so that the caller can decide not to run the copy.
"""

from __future__ import annotations

import copy
import queue
import threading
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Optional

import dspy

from ....trace import Trace
from .surroundings import MUTABLE, Surroundings

_LOCKS = {type(make()): make for make in (threading.Lock, threading.RLock, threading.Condition)}
_REMADE: dict[type, Any] = {**_LOCKS, threading.Event: threading.Event, threading.local: threading.local}
_TYPES: Any = (type, types.GenericAlias, types.UnionType, type(Optional[int]), type(Any))  # noqa: UP045 - the type of the typing form
_SHARED_SAFELY: Any = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, *_TYPES, dspy.BaseLM)
_ATOMS = (str, bytes, int, float, complex, bool, type(None))
_DEEPEST = 6
_MOST = 5_000

StandIn = Callable[[Any], Any]


class Copier:
    """What copies of something are made from: how to copy it is found out once, so it must not change between them.

    `stand_in` says what stands in a thing's place in the copies, None where it is copied; `shared` is what could not be
    copied and is the original's own, in words.
    """

    def __init__(self, original: Any, path: str = "program", stand_in: StandIn | None = None) -> None:
        self._original = original
        self._same: dict[int, Any] = {}
        self._made: list[tuple[int, Callable[[], Any]]] = []
        self.shared: tuple[str, ...] = ()
        for name, value in _reachable(original, path):
            self._plan(name, value, stand_in(value) if stand_in is not None else None)

    def _plan(self, path: str, value: Any, stand_in: Any) -> None:
        if stand_in is not None:
            self._same[id(value)] = stand_in
        elif type(value) in _REMADE:
            self._made.append((id(value), _REMADE[type(value)]))
        elif isinstance(value, queue.Queue):
            self._made.append((id(value), lambda: _copied_queue(value)))
        elif isinstance(value, _SHARED_SAFELY):
            self._same[id(value)] = value
        elif not isinstance(value, (dspy.Module, *_ATOMS, *MUTABLE, tuple)) and not _copies(value, self._memo()):
            self._same[id(value)] = value
            self.shared = (*self.shared, f"{path} ({type(value).__name__})")

    def _memo(self) -> dict[int, Any]:
        return {**self._same, **{key: make() for key, make in self._made}}

    def copy(self) -> tuple[Any, dict[int, Any]]:
        """A fresh copy, and the copy of each part by the id of the original part."""
        memo = self._memo()
        return copy.deepcopy(self._original, memo), memo


def _copies(value: Any, memo: dict[int, Any]) -> bool:
    try:
        copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001 - whatever a type raises when it cannot be copied
        return False
    return True


def _copied_queue(original: queue.Queue[Any]) -> Any:
    twin = type(original)(original.maxsize)
    with original.mutex:
        twin.queue.extend(original.queue)
        twin.unfinished_tasks = original.unfinished_tasks
    return twin


def _reachable(root: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Everything a program holds, innermost first, so that a lock inside an object is known before the object."""
    found: list[tuple[str, Any]] = []
    seen: set[int] = set()
    frontier: list[tuple[str, Any, int]] = [(path, root, 0)]
    while frontier and len(found) < _MOST:
        path, value, depth = frontier.pop()
        if id(value) in seen or isinstance(value, _ATOMS):
            continue
        seen.add(id(value))
        found.append((path, value))
        if depth < _DEEPEST and not isinstance(value, _SHARED_SAFELY):
            # A module within a module is no deeper: programs nest without end, values do not.
            inner_depth = 0 if isinstance(value, dspy.Module) else depth + 1
            frontier += [(f"{path}{name}", inner, inner_depth) for name, inner in _inside(value)]
    yield from reversed(found)


def _inside(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", inner) for key, inner in list(value.items())]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [(f"[{at}]", inner) for at, inner in enumerate(list(value))]
    if isinstance(value, types.MethodType):
        return [(f".{value.__name__}", value.__self__)]
    return [(f".{name}", inner) for name, inner in list(getattr(value, "__dict__", {}).items())]


Probe = Literal["auto", "never", "always"]
"""How far edges are proved: by replays that are safe, not at all, or whatever it does."""


@dataclass
class Pristine:
    """A program as it was before a run, so that replays start where the run started.

    `shared` is what the copy shares with the user's own program, in words.
    """

    program: Any
    shared: tuple[str, ...]
    surroundings: Surroundings

    @classmethod
    def of(cls, program: dspy.Module, inputs: Iterable[Any] = ()) -> Pristine | str:
        """Copy a program; the reason, in words, where that cannot be done."""
        try:
            copier = Copier(program)
            copied, _ = copier.copy()
            surroundings = Surroundings(program, inputs)
            return cls(copied, (*copier.shared, *surroundings.lost), surroundings)
        except Exception as error:  # noqa: BLE001 - copying runs the user's own code
            return f"the program cannot be copied ({type(error).__name__}: {error})"


def unsafe(trace: Trace, pristine: Pristine | str, probe: Probe) -> str | None:
    """Why a program must not be run again; None where it may."""
    if isinstance(pristine, str):
        return pristine
    if trace.blocked:
        return "; ".join(trace.blocked[:3])
    if pristine.surroundings.blocked:
        return "; ".join(pristine.surroundings.blocked[:3])
    if pristine.shared and probe != "always":
        return f"a copy would share {', '.join(pristine.shared[:3])}; probe='always' does it all the same"
    if trace.effects and probe != "always":
        return f"the program has side effects ({'; '.join(trace.effects[:3])}); probe='always' repeats them"
    return None
