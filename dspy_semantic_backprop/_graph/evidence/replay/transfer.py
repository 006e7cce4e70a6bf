"""Sends values between a process and one forked from it: what both have goes by its address, the rest by its content.

A forked process has every object of the other one that was there before, at the same address. So classes that no module
holds, functions, locks and clients need no pickling: the address tells which it is, and its name whether it still is.
"""

from __future__ import annotations

import copyreg
import functools
import gc
import importlib
import io
import pickle
import types
from contextlib import suppress
from typing import Any

from ...portable import raised_again
from ...trace import Trace

_HEAP = 1 << 9


class _Absent:
    """Stands for what the other process has not got."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        vars(self).update(state if isinstance(state, dict) else {})


class _Sender(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Trace):
            # Its own state for pickle has texts in place of functions, which a forked process has too.
            return copyreg.__newobj__, (Trace,), value.carried()  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(value, BaseException):
            return raised_again, (type(value), value.args, vars(value))
        if isinstance(value, (type, types.FunctionType)):
            return NotImplemented if _is_built_in(value) or value in _OURS else (_there, _told(value))
        try:
            value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        except Exception:  # noqa: BLE001 - any class may refuse in its own way
            return _there, _told(value)
        return NotImplemented


def _is_built_in(value: Any) -> bool:
    return isinstance(value, type) and not value.__flags__ & _HEAP


def _told(value: Any) -> tuple[int, str, str, str]:
    return id(value), type(value).__name__, str(getattr(value, "__module__", "")), getattr(value, "__qualname__", "")


def _there(address: int, kind: str, module: str, name: str) -> Any:
    told, named = (address, kind, module, name), None
    with suppress(Exception):
        named = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    if named is not None and _told(named) == told:
        return named
    # A look at all objects copies the pages of all of them.
    value = _objects().get(address)
    if value is not None and _told(value) == told:
        return value
    return named or (_absent(name or kind) if kind == "type" or name else _Absent())


_OURS = (_there, raised_again)


@functools.cache
def _objects() -> dict[int, Any]:
    # What is frozen, as all is in a sealed process, is not listed.
    frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    found = {id(value): value for value in gc.get_objects()}
    if frozen:
        gc.freeze()
    return found


@functools.cache
def _absent(name: str) -> type:
    return type(name, (_Absent,), {})


def sent(value: Any) -> bytes:
    """A value as a message for a process that was forked from this one, or that this one was forked from."""
    buffer = io.BytesIO()
    _Sender(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def received(message: bytes) -> Any:
    """The value of a message."""
    return pickle.loads(message)
