"""The state around a program that its own code may change, so that replays leave it as one run did.

Globals and the variables of closures (rebound or changed in place), class attributes, default arguments,
objects of the user's own classes, and the random numbers' state.

Own code is what the user wrote: the classes of the program's modules, and from there every function, class and
object that the code names, as long as it is neither the interpreter's nor an installed package's. It is read,
never run.
"""

from __future__ import annotations

import copy
import dis
import functools
import io
import operator
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dspy

from ....record.program_code import codes, constants, filled

_PLAIN_CLASSES = (type(dspy.Module), type)


class _OwnCode:
    """The functions of a program's own code, what they name, and the user's classes among that.

    A callable among the program's inputs is code that it runs.
    """

    def __init__(self, program: Any, inputs: Iterable[Any] = ()) -> None:
        self.functions: dict[int, types.FunctionType] = {}
        self.values: dict[int, Any] = {}
        self.classes: dict[int, type] = {}
        self._frontier: list[Any] = [type(module) for _, module in program.named_sub_modules()]
        self._frontier += [value for _, module in program.named_sub_modules() for value in _called(vars(module))]
        self._frontier += list(_called(dict(enumerate(inputs))))
        while self._frontier:
            self._follow(self._frontier.pop())

    def _follow(self, value: Any) -> None:
        if isinstance(value, functools.partial):
            self._frontier += [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, (types.MethodType, types.BuiltinMethodType)):
            self._name(value.__self__)
            self._frontier.append(getattr(value, "__func__", None))
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)

    def _function(self, function: types.FunctionType) -> None:
        if id(function) in self.functions or not _is_own(function.__module__):
            return
        self.functions[id(function)] = function
        for value in _named_by(function):
            self._name(value)

    def _class(self, cls: type) -> None:
        for one in cls.__mro__:
            if id(one) not in self.classes and _is_own(one.__module__):
                self.classes[id(one)] = one
                self._frontier += [inner for value in vars(one).values() for inner in _unwrapped(value)]
                if isinstance(one, _PLAIN_CLASSES):
                    for value in _data_attributes(one).values():
                        self._name(value)

    def _name(self, value: Any) -> None:
        if id(value) in self.values or value is None:
            return
        self.values[id(value)] = value
        if isinstance(value, (types.FunctionType, types.MethodType, functools.partial, type)):
            self._frontier.append(value)
        elif _is_own(type(value).__module__):
            self._frontier.append(type(value))


def _called(held: dict[Any, Any]) -> Iterator[Any]:
    kinds = (types.FunctionType, types.MethodType, types.BuiltinMethodType, functools.partial)
    return (value for value in held.values() if isinstance(value, kinds))


def _unwrapped(value: Any) -> list[Any]:
    if isinstance(value, (staticmethod, classmethod)):
        return [value.__func__]
    if isinstance(value, property):
        return [value.fget, value.fset]
    return [value]


@functools.lru_cache(maxsize=4096)
def _is_own(module: str | None) -> bool:
    """Whether a module, by name, is the user's: neither the interpreter's nor an installed package's."""
    top = (module or "builtins").split(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return False
    path = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return top not in ("dspy", "builtins") and "site-packages" not in path and "dist-packages" not in path


def _data_attributes(cls: type) -> dict[str, Any]:
    """What a class holds that is neither code nor machinery."""
    return {
        name: value
        for name, value in vars(cls).items()
        if not name.startswith(("__", "_abc_")) and not hasattr(value, "__get__")
    }


def _named_by(function: types.FunctionType) -> Iterator[Any]:
    yield from (cell.cell_contents for cell in function.__closure__ or () if filled(cell))
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    names = {name for code in codes(function.__code__) for name in code.co_names}
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        yield value
        if isinstance(value, types.ModuleType) and _is_own(value.__name__):
            yield from (vars(value)[inner] for inner in names & vars(value).keys())


def _silent_models(code: _OwnCode) -> list[str]:
    """Language models that a program's code names and whose calls no callback reports: replays would ask them."""
    kinds = {value if isinstance(value, type) else type(value) for value in code.values.values()}
    silent = sorted(kind.__name__ for kind in kinds if issubclass(kind, dspy.BaseLM) and not _reports(kind))
    return [f"the program's code names a language model without DSPy's callbacks ({name})" for name in silent]


def _open_files(code: _OwnCode) -> list[str]:
    """Files that a program's code names and that are open for writing, in words."""
    files = [value for value in code.values.values() if isinstance(value, io.IOBase) and _writes(value)]
    return [f"the open file {getattr(file, 'name', '')}" for file in files]


def _reports(kind: type) -> bool:
    return all(hasattr(getattr(kind, name), "__wrapped__") for name in ("__call__", "acall"))


def _writes(file: io.IOBase) -> bool:
    if file in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__) or isinstance(file, (io.StringIO, io.BytesIO)):
        return False
    return not file.closed and file.writable()


def siblings(program: Any, most: int = 24) -> list[tuple[str, ...]]:
    """Texts that a program's own code and globals hold side by side: where one may stand, so may the others."""
    code = _OwnCode(program)
    held = [*constants(program), *(value for value in code.values.values() if isinstance(value, (list, tuple, dict)))]
    groups = (
        tuple(text for text in list(value) if isinstance(text, str)) for value in held if not isinstance(value, str)
    )
    return [group for group in dict.fromkeys(groups) if 1 < len(group) <= most][:most]


MUTABLE = (list, dict, set, bytearray, deque)
_MOST = 200_000
_ABSENT = object()


class Surroundings:
    """What a program's own code, or a callable among its inputs, may change around it, as it is now.

    `lost` is what cannot be put back, `blocked` why replays would not be free, whatever the user allows; in words.
    """

    def __init__(self, program: Any, inputs: Iterable[Any] = ()) -> None:
        self._code = _OwnCode(program, inputs)
        self.blocked = _silent_models(self._code)
        self.lost = _open_files(self._code)
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
        self._restorers.append(_random_state())

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
    known = _is_own(type(value).__module__) or isinstance(value, (dspy.Module, dspy.Example))
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
    saved = _data_attributes(cls)

    def restore() -> None:
        now = _data_attributes(cls)
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


def _random_state() -> Callable[[], None]:
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
