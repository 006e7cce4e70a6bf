"""What a function or an object of the user's holds and its code names: read, never run.

A log tells by it whether a metric is the one that it was; a budget, which language models can be asked.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import dspy

_DEEPEST = 8
_MANY = 1000
"""So many items of a list or dict are looked at."""
_PACKAGE = __name__.partition(".")[0]
CONSTANT = (str, int, float, bool, bytes, tuple, frozenset, dspy.BaseLM)
"""Kinds of globals that are looked at; others change while a metric runs (caches, counters, clients)."""


def closure(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # it is not filled yet
            continue


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a callable or an object holds, by name."""
    if isinstance(value, functools.partial):
        yield from parts(value.func)
        yield from ((f"argument {at}", one) for at, one in enumerate(value.args))
        yield from value.keywords.items()
    elif isinstance(value, MethodType):
        yield from parts(value.__func__)
        yield from parts(value.__self__)
    elif isinstance(value, FunctionType):
        yield from closure(value)
        yield from _defaults(value)
        yield from _globals(value)
    elif not isinstance(value, type):
        yield from getattr(value, "__dict__", {}).items()


def _defaults(function: FunctionType) -> Iterator[tuple[str, Any]]:
    code, given = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    yield from zip(names[len(names) - len(given) :], given, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def _globals(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name in sorted(_names(function.__code__, "LOAD_GLOBAL")):
        value = function.__globals__.get(name)
        helper = isinstance(value, FunctionType) and value.__globals__ is function.__globals__
        if name in function.__globals__ and (helper or isinstance(value, CONSTANT)):
            yield name, value


def _names(code: CodeType, *loaded: str) -> set[str]:
    """What some code, and the code inside it, loads in these ways, by name."""
    own = {one.argval for one in dis.get_instructions(code) if one.opname.startswith(loaded)}
    # Python 3.13 loads a local and an attribute in one instruction, 3.12 a method with its flag.
    flat = {name for value in own for name in (value if isinstance(value, tuple) else (value,)) if name}
    return flat.union(*(_names(one, *loaded) for one in code.co_consts if isinstance(one, CodeType)))


def is_installed(kind: Any) -> bool:
    """Whether a class or function is of a library: what its objects hold (clients, clocks) is not the same twice."""
    root = (kind.__module__ or "").partition(".")[0]
    known = kind in (FunctionType, MethodType, functools.partial, SimpleNamespace)
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    ours = root == __name__.partition(".")[0]  # also where it is installed for editing
    return not known and (ours or root in sys.stdlib_module_names or "site-packages" in file)


def models(held: Mapping[str, Any]) -> dict[str, dspy.BaseLM]:
    """Where a language model can be reached from some values, and the model: each once.

    Those are attributes and items of theirs, defaults and closures of their functions, and what the code of these
    names, through functions and classes that are in no library.
    """
    return dict(_models(held.items(), "", 0, set()))


def _models(
    items: Iterable[tuple[str, Any]], path: str, depth: int, seen: set[int]
) -> Iterator[tuple[str, dspy.BaseLM]]:
    for name, value in items:
        here = f"{path}.{name}" if path else str(name)
        if depth > _DEEPEST or id(value) in seen or isinstance(value, (str, bytes, int, float)):
            continue
        seen.add(id(value))
        if isinstance(value, dspy.BaseLM):
            yield here, value
        else:
            yield from _models(_within(value), here, depth + 1, seen)


def _within(value: Any) -> Iterator[tuple[str, Any]]:
    """What can be reached from a value in one step."""
    if isinstance(value, dict):
        yield from ((str(key), one) for key, one in islice(list(value.items()), _MANY))
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((str(at), one) for at, one in enumerate(islice(list(value), _MANY)))
    elif isinstance(value, FunctionType):
        yield from _named(value) if _is_users(value) else ()
    elif isinstance(value, type):
        yield from (item for one in value.__mro__ if _is_users(one) for item in list(vars(one).items()))
    elif isinstance(value, functools.partial):
        yield from [("function", value.func), ("arguments", value.args), ("keywords", value.keywords)]
    elif isinstance(value, (MethodType, staticmethod, classmethod)):
        yield from [("function", value.__func__), ("self", getattr(value, "__self__", None))]
    elif isinstance(value, property):
        yield "function", value.fget
    elif isinstance(value, dspy.Module) or _is_users(type(value)):
        with contextlib.suppress(Exception):
            yield from list(vars(value).items())
        yield type(value).__name__, type(value)


def _is_users(one: Any) -> bool:
    return not is_installed(one) and (one.__module__ or "").partition(".")[0] != _PACKAGE


def _named(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function holds, and what of its module or of others its code names."""
    yield from [*closure(function), *_defaults(function), ("wrapped", getattr(function, "__wrapped__", None))]
    attributes = _names(function.__code__, "LOAD_ATTR", "LOAD_METHOD")
    for name in sorted(_names(function.__code__, "LOAD_GLOBAL") & function.__globals__.keys()):
        value = function.__globals__[name]
        if isinstance(value, ModuleType):
            yield from ((f"{name}.{one}", vars(value)[one]) for one in sorted(attributes & vars(value).keys()))
        else:
            yield name, value
