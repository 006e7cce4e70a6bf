"""Going through values of any depth, also such as hold themselves: the interpreter's stack is no bound."""

from __future__ import annotations

import io
import threading
import types
from collections.abc import Callable, Generator
from typing import Any, TypeVar

R = TypeVar("R")

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
"""Types whose values hold nothing and never change."""
NAMED: Any = (type, types.ModuleType, types.BuiltinFunctionType, types.GenericAlias, types.UnionType)
"""Things that are what their name says, and not data."""
LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Event, threading.Condition)
"""Things of which any is as good as another."""
STREAMS = (io.TextIOBase, io.RawIOBase, io.BufferedReader, io.BufferedWriter, io.BufferedRandom)
"""Things whose content lies elsewhere."""


def walk(step: Callable[[Any], Generator[Any, R, R]], value: Any) -> R:
    """Run a recursive function without recursion: `step` yields each inner value and is sent what became of it."""
    stack = [step(value)]
    sent: Any = None
    while True:
        try:
            inner = stack[-1].send(sent)
        except StopIteration as done:
            stack.pop()
            if not stack:
                return done.value
            sent = done.value
        else:
            stack.append(step(inner))
            sent = None


def attributes(value: Any) -> dict[str, Any]:
    """What an object holds, in its dictionary and its slots."""
    names = [name for cls in type(value).__mro__ for name in _slots(cls)]
    return {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in names if hasattr(value, name)}}


def _slots(cls: type) -> list[str]:
    slots = cls.__dict__.get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    private = f"_{cls.__name__.lstrip('_')}"
    return [
        f"{private}{name}" if name.startswith("__") and not name.endswith("__") else name
        for name in names
        if name not in ("__dict__", "__weakref__")
    ]
