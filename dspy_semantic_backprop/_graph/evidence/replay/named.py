"""Texts and numbers that a program's code, its globals and its helpers hold. The code is read, never run."""

from __future__ import annotations

import contextlib
import dis
import functools
import itertools
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import dspy
import pydantic

from ...record.program_code import codes, constants, filled
from .compared import compared_in

_MOST = 3000
"""So many functions, classes and objects of a program are looked at."""
_OURS = f"{__name__.split('.')[0]}._"
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial, staticmethod, classmethod, property, type)


def siblings(program: Any, most: int = 24) -> list[tuple[str, ...]]:
    """Texts that a program's own code and globals hold side by side: where one may stand, so may the others."""
    held = [*constants(program), *(value for value in _named(program) if isinstance(value, (list, tuple, dict)))]
    groups = (
        tuple(text for text in list(value) if isinstance(text, str)) for value in held if not isinstance(value, str)
    )
    return [group for group in dict.fromkeys(groups) if 1 < len(group) <= most][:most]


def tested(program: Any, inputs: Mapping[str, Any], most: int = 10) -> list[Any]:
    """Texts and numbers with which a program's own code, and what it is given, compares, in the order of the code.

    Behind them some of the texts in which it looks something up: an answer that is none of them seldom counts.
    """
    named = list(_named(program, inputs))
    functions = [one for one in named if isinstance(one, types.FunctionType) and _is_own(one.__module__)]
    classes = [vars(one) for one in named if isinstance(one, type)]
    held = {name: value for _, module in program.named_sub_modules() for name, value in vars(module).items()}
    compared = (value for one in functions for value in compared_in(one, held))
    looked_up = (text for one in functions for code in codes(one.__code__) for text in _looked_up(code, one, classes))
    some = itertools.islice(dict.fromkeys(looked_up), most // 2)
    return list(dict.fromkeys([*itertools.islice(dict.fromkeys(compared), most), *some]))


def _looked_up(code: types.CodeType, function: types.FunctionType, classes: list[Any]) -> Iterator[str]:
    """The first texts of each collection of short ones, in a global or a class, that code looks something up in."""
    if "get" not in code.co_names and not any(one.opname in _LOOK_UPS for one in dis.get_instructions(code)):
        return
    for name, space in itertools.product(code.co_names, (function.__globals__, *classes)):
        held = space.get(name)
        if isinstance(held, (dict, set, frozenset, list, tuple)) and 1 < len(held) <= _MOST_ITEMS:
            keys = sorted(held, key=str) if isinstance(held, (set, frozenset)) else held
            texts = [key for key in keys if isinstance(key, str) and len(key) <= _LONGEST_KEY]
            yield from texts[:2] if len(texts) == len(held) else ()


def stored(program: Any, inputs: Mapping[str, Any], most: int = 6) -> list[str]:
    """Texts out of the data that a program holds or is given, such as a corpus: asking for one finds another one."""
    found = (text for value in _named(program, inputs) if isinstance(value, _CONTAINERS) for text in _ends(value))
    return list(itertools.islice(dict.fromkeys(found), most))


def _ends(data: Any) -> Iterator[str]:
    """The longest text of the last and of the first item, where each has one."""
    items = [*(data.items() if isinstance(data, dict) else data)]
    longest = (max(_texts(items[at]), key=len, default="") for at in ((-1, 0) if len(items) > 1 else ()))
    yield from filter(None, longest)


def _texts(value: Any, depth: int = 3) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, (*_CONTAINERS, pydantic.BaseModel)):
        inner = value.values() if isinstance(value, dict) else value
        inner = vars(value).values() if isinstance(value, pydantic.BaseModel) else inner
        for item in itertools.islice(inner, _MOST_ITEMS):
            yield from _texts(item, depth - 1)


_LOOK_UPS = frozenset({"CONTAINS_OP", "BINARY_SUBSCR"})
_LONGEST_KEY = 40
_CONTAINERS = (list, tuple, dict)
_MOST_ITEMS = 50
"""Of so many items of a container what they hold is looked at."""


def _named(program: Any, inputs: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Any]:
    """What the functions, classes and helpers of a program and its inputs name or hold, and so on, in that order."""
    modules = [module for _, module in program.named_sub_modules()]
    own = (value for module in modules for value in (type(module), *vars(module).values()))
    frontier = deque([*own, *inputs.values()])
    seen: dict[int, Any] = {}
    while frontier and len(seen) < _MOST:
        value = frontier.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        yield value
        with contextlib.suppress(Exception):  # what stands for another object may raise when it is looked at
            frontier += list(_names(value) if isinstance(value, _FUNCTIONS) else _held(value))


def _held(value: Any) -> Iterator[Any]:
    """What a helper of the user's holds: tools in a list, the methods and the data of an object."""
    if isinstance(value, _CONTAINERS):
        items = value.values() if isinstance(value, dict) else value
        yield from (item for item in itertools.islice(items, _MOST_ITEMS) if not isinstance(item, (str, int, float)))
    elif isinstance(value, dspy.Tool):
        yield value.func
    elif not isinstance(value, (types.ModuleType, dspy.Module)) and _is_own(type(value).__module__):
        yield from (type(value), *getattr(value, "__dict__", {}).values())


def _names(value: Any) -> Iterator[Any]:
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, property):
        yield from (value.fget, value.fset)
    elif isinstance(value, (types.MethodType, staticmethod, classmethod)):
        yield value.__func__
    elif _is_own(value.__module__):
        yield from _of_class(value) if isinstance(value, type) else _of_function(value)


def _of_class(kind: type) -> Iterator[Any]:
    yield from kind.__bases__
    yield from (value for name, value in vars(kind).items() if not name.startswith(("__", "_abc_")) or callable(value))


def _of_function(function: Any) -> Iterator[Any]:
    yield from (cell.cell_contents for cell in function.__closure__ or () if filled(cell))
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    names = {name for code in codes(function.__code__) for name in code.co_names}
    for name in sorted(names & function.__globals__.keys()):
        value = function.__globals__[name]
        yield value
        if isinstance(value, types.ModuleType) and _is_own(value.__name__):
            yield from (vars(value)[inner] for inner in sorted(names & vars(value).keys()))


@functools.lru_cache(maxsize=4096)
def _is_own(module: str | None) -> bool:
    """Whether a module, by name, is the user's: neither the interpreter's nor any package's, this one's included."""
    top, *rooms = (module or "builtins").split(".")
    if top == __name__.split(".")[0] and rooms[:1] != ["programs"]:
        return False
    if (module or "").startswith(_OURS):
        return False
    if top in sys.stdlib_module_names and top != "__main__":
        return False
    path = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return top not in ("dspy", "builtins") and "site-packages" not in path and "dist-packages" not in path
