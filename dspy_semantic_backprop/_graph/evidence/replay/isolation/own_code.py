"""What a program's own code names: functions, globals, closures, constants. Read, never run.

Own code is what the user wrote: the classes of the program's modules, and from there every function, class and
object that the code names, as long as it is neither the interpreter's nor an installed package's.
"""

from __future__ import annotations

import functools
import io
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

import dspy

from ....record.program_code import codes, constants, filled

_PLAIN_CLASSES = (type(dspy.Module), type)


class OwnCode:
    """The functions of a program's own code, and what they name.

    Args:
        program: The program.
        inputs: Its inputs: a callable among them is code that it runs.

    Attributes:
        functions: Each once.
        values: What they name in globals, closures and default arguments, each once.
        classes: The user's own classes among them, and those of the program's modules.
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
        if id(function) in self.functions or not is_own(function.__module__):
            return
        self.functions[id(function)] = function
        for value in _named_by(function):
            self._name(value)

    def _class(self, cls: type) -> None:
        for one in cls.__mro__:
            if id(one) not in self.classes and is_own(one.__module__):
                self.classes[id(one)] = one
                self._frontier += [inner for value in vars(one).values() for inner in _unwrapped(value)]
                if isinstance(one, _PLAIN_CLASSES):
                    for value in data_attributes(one).values():
                        self._name(value)

    def _name(self, value: Any) -> None:
        if id(value) in self.values or value is None:
            return
        self.values[id(value)] = value
        if isinstance(value, (types.FunctionType, types.MethodType, functools.partial, type)):
            self._frontier.append(value)
        elif is_own(type(value).__module__):
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
def is_own(module: str | None) -> bool:
    """Whether a module, by name, is the user's: neither the interpreter's nor an installed package's."""
    top = (module or "builtins").split(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return False
    path = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return top not in ("dspy", "builtins") and "site-packages" not in path and "dist-packages" not in path


def data_attributes(cls: type) -> dict[str, Any]:
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
        if isinstance(value, types.ModuleType) and is_own(value.__name__):
            yield from (vars(value)[inner] for inner in names & vars(value).keys())


def silent_models(code: OwnCode) -> list[str]:
    """Language models that a program's code names and whose calls no callback reports: replays would ask them."""
    kinds = {value if isinstance(value, type) else type(value) for value in code.values.values()}
    silent = sorted(kind.__name__ for kind in kinds if issubclass(kind, dspy.BaseLM) and not _reports(kind))
    return [f"the program's code names a language model without DSPy's callbacks ({name})" for name in silent]


def open_files(code: OwnCode) -> list[str]:
    """Files that a program's code names and that are open for writing, in words."""
    files = [value for value in code.values.values() if isinstance(value, io.IOBase) and _writes(value)]
    return [f"the open file {getattr(file, 'name', '')}" for file in files]


def _reports(kind: type) -> bool:
    return all(hasattr(getattr(kind, name), "__wrapped__") for name in ("__call__", "acall"))


def _writes(file: io.IOBase) -> bool:
    if file in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__) or isinstance(file, (io.StringIO, io.BytesIO)):
        return False
    return not file.closed and file.writable()


def words(program: Any, longest: int = 400, most: int = 24) -> list[str]:
    """Texts that a program's own code and containers mention: what it may be waiting for.

    Args:
        program: The program.
        longest: In characters.
        most: How many.

    Returns:
        Each once; those in containers before constants of the code.
    """
    found = (
        text
        for value in constants(program)
        for text in ([value] if isinstance(value, str) else value)
        if isinstance(text, str) and 0 < len(text) <= longest
    )
    return list(dict.fromkeys(found))[:most]


def siblings(program: Any, most: int = 24) -> list[tuple[str, ...]]:
    """Texts that a program's own code and globals hold side by side: where one may stand, so may the others.

    Args:
        program: The program.
        most: How many groups.

    Returns:
        Groups of at least two texts.
    """
    code = OwnCode(program)
    held = [*constants(program), *(value for value in code.values.values() if isinstance(value, (list, tuple, dict)))]
    groups = (
        tuple(text for text in list(value) if isinstance(text, str)) for value in held if not isinstance(value, str)
    )
    return [group for group in dict.fromkeys(groups) if 1 < len(group) <= most][:most]
