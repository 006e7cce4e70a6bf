"""What is at hand where an error came through, by name: read, never run.

What is looked at is the user's: a property, a mapping or an iterator of theirs may wait, count or send, so only what
lies open is read (attributes, slots, closures, defaults, items of Python's own containers), and only so much of it.
"""

from __future__ import annotations

import functools
import gc
import threading
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, MappingView
from contextvars import ContextVar
from io import BytesIO, StringIO
from itertools import islice
from types import FrameType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

from .looks import sureness

_MOST_HELD, _DEEPEST = 400, 6
"""How many values are looked at in each value, and how deep inside each other."""
_MOST_INSIDE, _MOST_TOLD = 1500, 5000
"""How many values are looked into, and how many texts with telling names are found in them."""
_FOREIGN = frozenset(("dspy", "litellm", "asyncio", "concurrent", "threading", "re", __name__.partition(".")[0]))
"""Packages that hold no secret that is not a language model's."""
_OPEN = ("builtins", "multidict", "multidict._multidict")
"""Modules of mappings that are known to do nothing when they are read, beside dictionaries."""
_TOOLS = ("tools", "func")
_IN_C = ("builtins", "itertools", "functools")
"""Modules whose iterators and views are Python's own."""
_TEXTS = (str, bytes, bytearray)
_LISTS = (list, tuple, set, frozenset, deque)
_CODES = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)


def of_frame(frame: FrameType) -> Iterator[tuple[str, Any]]:
    """What a function works with: its variables, the globals that it or a helper beside it names, of modules too."""
    if _root(str(frame.f_globals.get("__name__"))) in _FOREIGN:
        return
    yield from frame.f_locals.items()
    names = set(frame.f_code.co_names)
    named = {name: frame.f_globals[name] for name in names if name in frame.f_globals}
    helpers = [one for one in (*named.values(), *frame.f_locals.values()) if type(one) is FunctionType]
    for one in helpers[:_MOST_HELD]:
        if one.__globals__ is frame.f_globals:
            names |= set(one.__code__.co_names)
    named |= {name: frame.f_globals[name] for name in names if name in frame.f_globals}
    yield from named.items()
    for module in (one for one in named.values() if type(one) is ModuleType):
        yield from ((name, vars(module)[name]) for name in names if name in vars(module))


def telling_texts(at_hand: Iterable[tuple[str, Any]]) -> Iterator[tuple[Any, int]]:
    """The texts that values hold and how much their names tell, what is nearest and best named first."""
    first = sorted(((name, value, sureness(name)) for name, value in at_hand), key=lambda one: -one[2])
    waiting = deque((name, value, 0, 0) for name, value, _ in first)
    seen: set[int] = set()
    looked = told = 0
    while waiting and looked < _MOST_INSIDE and told < _MOST_TOLD:
        name, value, depth, around = waiting.popleft()
        sure = max(sureness(name), around)
        if issubclass(type(value), _TEXTS):
            yield value, sure
        elif depth < _DEEPEST and id(value) not in seen and not issubclass(type(value), (int, float, types.NoneType)):
            seen.add(id(value))
            looked += 1
            # Of what has the name of a secret all may be one; which surely is, the names inside say.
            around = min(sure, 1) if not issubclass(type(value), _LISTS) else around
            inside = [(inner or name, item, depth + 1, around) for inner, item in islice(within(value), _MOST_HELD)]
            texts = [one for one in inside if issubclass(type(one[1]), _TEXTS)]
            yield from (found := [(item, max(sureness(inner), around)) for inner, item, *_ in texts])
            told += sum(sure > 0 for _, sure in found)
            if not issubclass(type(value), ModuleType):
                waiting += (one for one in inside if not issubclass(type(one[1]), _TEXTS))


def within(value: Any) -> Iterator[tuple[str, Any]]:
    """What lies open in a value, by name; what stands in a list has none."""
    kind = type(value)
    if issubclass(kind, dict):
        yield from ((_name(name), item) for name, item in dict.items(value))
    elif kind.__module__ in _OPEN and issubclass(kind, Mapping):
        yield from ((_name(name), item) for name, item in value.items())
    elif issubclass(kind, _LISTS):
        yield from _of_list(value)
    elif kind in (FunctionType, MethodType, functools.partial, ContextVar, *_CODES):
        yield from _of_code(value)
    elif kind in (BytesIO, StringIO):  # the body of a reply
        yield "", value.getvalue()
    elif kind.__module__ in _IN_C and issubclass(kind, (Iterator, MappingView, functools._lru_cache_wrapper)):
        yield from (("", one) for one in gc.get_referents(value))  # nothing is taken out of it, and nothing run
    elif _root(kind.__module__) not in _FOREIGN:
        yield from attributes(value)
    else:  # of DSPy's agents the tools, which are the user's
        yield from ((name, one) for name, one in _own(value).items() if name in _TOOLS)


def _of_list(value: Any) -> Iterator[tuple[str, Any]]:
    kind = next(one for one in _LISTS if issubclass(type(value), one))
    if kind is tuple and isinstance(names := getattr(type(value), "_fields", None), tuple):
        yield from zip(names, tuple.__iter__(value), strict=False)
        return
    # ("api_key", "..."), as parameters and headers are written
    first = _name(next(tuple.__iter__(value), "")) if kind is tuple and tuple.__len__(value) in (2, 3) else ""
    yield from ((first if sureness(first) else "", item) for item in kind.__iter__(value))


def _of_code(value: Any) -> Iterator[tuple[str, Any]]:
    """What a function, or one that waits in the middle, works with."""
    if isinstance(value, ContextVar):
        yield value.name, value.get(None)
    elif isinstance(value, functools.partial):
        names = getattr(getattr(value.func, "__code__", None), "co_varnames", ())
        yield from [*value.keywords.items(), *zip(names, value.args, strict=False), ("", value.func)]
    elif isinstance(value, MethodType):
        yield from [("", value.__self__), ("", value.__func__)]
    elif isinstance(value, FunctionType):
        yield from _of_function(value)
    else:
        frame = getattr(value, "gi_frame", None) or getattr(value, "cr_frame", None) or getattr(value, "ag_frame", None)
        yield from frame.f_locals.items() if frame is not None else ()


def attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    """What an object or a class holds, by name, also in slots and in its classes."""
    kind, own = type(thing), _own(thing)
    kinds = [*_classes(kind), *(_classes(thing) if issubclass(kind, type) else ())]
    telling = False
    for one in kinds:
        for name, value in list(vars(one).items()):
            if type(value) is MemberDescriptorType:
                yield name, _of_slot(value, thing)
            elif type(value) is property:
                telling = telling or sureness(name) > 0
            elif not name.startswith("__") and (issubclass(type(value), type) or not callable(value)):
                yield name, value
    yield from own.items()
    if telling:  # what the property gives is made of what the object holds
        yield "credential", types.SimpleNamespace(**{str(name): value for name, value in own.items()})


def _classes(kind: type) -> list[type]:
    return [one for one in type.mro(kind) if _root(one.__module__) not in ("dspy", "builtins")]


def _own(thing: Any) -> Mapping[str, Any]:
    if issubclass(type(thing), threading.local):
        return vars(thing)
    try:
        found = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}
    if issubclass(type(thing), type):
        return {}
    return found if type(found) is dict else {}


def _of_slot(slot: Any, thing: Any) -> Any:
    try:
        return slot.__get__(thing)
    except (AttributeError, TypeError):  # it is not filled, or one of the class that a class is
        return None


def _of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    code, given = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    yield from zip(names[len(names) - len(given) :], given, strict=False)
    yield from (function.__kwdefaults__ or {}).items()
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # it is not filled yet
            continue


def _name(name: Any) -> str:
    if type(name) is bytes:
        return name.decode("latin-1") if len(name) < 100 else ""
    return name if type(name) is str and len(name) < 100 else ""


def _root(module: Any) -> str:
    return module.partition(".")[0] if type(module) is str else ""
