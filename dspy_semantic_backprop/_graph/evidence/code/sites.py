"""Where in the program's own code a call was made: the positions of the stack's frames, outermost first.

A position is what the interpreter and the syntax tree agree on: file, line, column and their ends. Frames of
DSPy, of this package and of the standard library are left out, so that what remains is the user's own way to
the call; a call in a task or a thread begins with whatever of the user's runs there.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
import sysconfig
import types
from functools import lru_cache
from pathlib import Path

Position = tuple[str, int, int, int, int]
"""File, first line, first column, last line, last column; -1 where the interpreter keeps no columns."""
Frame = tuple[types.CodeType, int]
"""A code object and the instruction that it had reached."""

_HERE = str(Path(__file__).resolve().parents[2])


def _folder(package: str) -> str:
    spec = importlib.util.find_spec(package)
    return os.path.join(os.path.dirname(str(spec.origin if spec else package)), "")


# The room of the graph alone: the package's reference programs are programs like anyone's.
_LIBRARIES = (_folder("dspy"), _folder("anyio"), os.path.join(_HERE, ""))
_STANDARD = os.path.join(sysconfig.get_paths()["stdlib"], "")
_SITE = f"{os.sep}site-packages{os.sep}"
_DEEPEST = 64


def frames() -> tuple[Frame, ...]:
    """The frames of the user's own code on this stack, innermost first.

    Returns:
        At most 64 of them.
    """
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
    return _is_users(code.co_filename) and _SITE not in code.co_filename


def chain(stack: tuple[Frame, ...]) -> tuple[Position, ...]:
    """Frames as positions, outermost first.

    Args:
        stack: Frames, innermost first.

    Returns:
        One position for each function on the way; a comprehension is part of its function.
    """
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
    return code.co_filename, _line(code, at), -1, -1, -1


def _line(code: types.CodeType, at: int) -> int:
    return next((line or 0 for start, end, line in code.co_lines() if start <= at < end), 0)
