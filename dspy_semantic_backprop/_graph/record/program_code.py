"""The program's own code, as far as a record needs it: where calls were made in it, and its constants.

A position is what the interpreter and the syntax tree agree on: file, line, column and their ends. Frames of
DSPy, of this package and of the standard library are left out, so that what remains is the user's own way to
the call; a call in a task or a thread begins with whatever of the user's runs there.
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import os
import sys
import sysconfig
import types
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..trace import Position

Frame = tuple[types.CodeType, int]
"""A code object and the instruction that it had reached."""

_HERE = str(Path(__file__).resolve().parents[1])
_PACKAGE = str(Path(__file__).resolve().parents[2])


def _folder(package: str) -> str:
    spec = importlib.util.find_spec(package)
    return os.path.join(os.path.dirname(str(spec.origin if spec else package)), "")


# All of this package but its reference programs, which are programs like anyone's.
_ROOMS = tuple(os.path.join(_PACKAGE, room) for room in ("_", "integrations", "testing", "presets"))
_LIBRARIES = (_folder("dspy"), _folder("anyio"), *_ROOMS)
_STANDARD = os.path.join(sysconfig.get_paths()["stdlib"], "")
_SITE = f"{os.sep}site-packages{os.sep}"
_DEEPEST = 64


def frames() -> tuple[Frame, ...]:
    """The frames of the user's own code on this stack, innermost first, at most 64."""
    found: list[Frame] = []
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and len(found) < _DEEPEST:
        code = frame.f_code
        if _is_users(code.co_filename):
            found.append((code, frame.f_lasti))
        elif _begins(code):
            break
        frame = frame.f_back
    return tuple(found)


def _begins(code: types.CodeType) -> bool:
    # Whoever runs the event loop is not on the way to a task's calls, and whoever traces is not the program.
    if code.co_name == "_run":
        return code.co_filename.endswith("events.py")
    return code.co_name == "capture" and code.co_filename.startswith(_HERE)


@lru_cache(maxsize=4096)
def _is_users(filename: str) -> bool:
    if filename.startswith("<"):
        return not filename.startswith("<frozen")
    path = os.path.abspath(filename)
    return not path.startswith(_LIBRARIES) and (not path.startswith(_STANDARD) or _SITE in path)


def own(code: types.CodeType) -> bool:
    """Whether a code object is the user's, and no library's."""
    return own_file(code.co_filename)


def own_file(filename: str) -> bool:
    """Whether a file of code is the user's, and no library's."""
    return _SITE not in filename and _is_users(filename)


def chain(stack: tuple[Frame, ...]) -> tuple[Position, ...]:
    """Frames as positions, outermost first: one for each function; a comprehension is part of its function."""
    found: list[Position] = []
    inner: types.CodeType | None = None
    for code, at in stack:
        if (
            inner is None
            or inner not in code.co_consts
            or not inner.co_name.startswith("<")
            or inner.co_name == "<lambda>"
        ):
            found.append(position(code, at))
        inner = code
    return tuple(reversed(found))


@lru_cache(maxsize=65536)
def position(code: types.CodeType, at: int) -> Position:
    """The position in the source of an instruction."""
    if sys.version_info >= (3, 11):
        line, end, column, end_column = next(itertools.islice(code.co_positions(), at // 2, None))
        return code.co_filename, line or 0, column or 0, end or 0, end_column or 0
    line = next((line or 0 for start, end, line in code.co_lines() if start <= at < end), 0)
    return code.co_filename, line, -1, -1, -1


def place(node: Any, filename: str) -> Position:
    """The position of a node, as the interpreter reports that of the instruction that it ends in."""
    line, column = node.lineno, node.col_offset
    if sys.version_info < (3, 11):
        return filename, line, -1, -1, -1
    method = getattr(node, "func", None)
    if isinstance(method, ast.Attribute) and method.lineno != method.end_lineno:
        # The call of a method is reported from the method's name on where its object takes several lines.
        line, column = method.end_lineno or line, (method.end_col_offset or 0) - len(method.attr)
    return filename, line, column, node.end_lineno, node.end_col_offset


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and those nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def filled(cell: types.CellType) -> bool:
    """Whether a closure's variable has a value."""
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _methods(cls: type) -> list[types.FunctionType]:
    own = [one for one in cls.__mro__ if not one.__module__.startswith(("dspy.", "builtins"))]
    return [value for one in own for value in vars(one).values() if isinstance(value, types.FunctionType)]


def is_history(name: str, value: Any) -> bool:
    """Whether it is what DSPy notes of a module's calls: it grows while the program runs, and is nothing of it."""
    return name == "history" and isinstance(value, list) and all(isinstance(one, dict) for one in value)


def constants(program: Any) -> tuple[Any, ...]:
    """Constants of a program's own code and what its modules hold in containers.

    Dictionaries' keys come first, as lists; then containers; then the code's tuples, texts and defaults of arguments.
    """
    modules = [module for _, module in program.named_sub_modules()]
    held = [value for module in modules for name, value in vars(module).items() if not is_history(name, value)]
    functions = [one for kind in dict.fromkeys(map(type, modules)) for one in _methods(kind)]
    code = [constant for one in functions for part in codes(one.__code__) for constant in part.co_consts]
    code += [(*(one.__defaults__ or ()), *(one.__kwdefaults__ or {}).values()) for one in functions]
    return (
        *(list(value) for value in held if isinstance(value, dict)),
        *(list(value.values()) for value in held if isinstance(value, dict)),
        *(value for value in held if isinstance(value, (list, tuple))),
        *(value for value in code if isinstance(value, (tuple, str))),
    )
