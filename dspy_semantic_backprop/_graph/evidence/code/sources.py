"""The syntax trees of functions, and the positions of their nodes as the interpreter reports them."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import threading
import types
from functools import lru_cache
from typing import Any

from ...trace import Position

_PARSING = threading.Lock()
_PARSES = 5

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def definition(function: types.FunctionType) -> Definition | None:
    """The syntax tree of a function; None where its source cannot be had."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    for node in _definitions(code.co_filename, "".join(linecache.getlines(code.co_filename))).get(
        code.co_firstlineno, ()
    ):
        called = "<lambda>" if isinstance(node, ast.Lambda) else node.name
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if called == code.co_name and tuple(one.arg for one in arguments) == names:
            return node
    return None


@lru_cache(maxsize=256)
def _definitions(filename: str, text: str) -> dict[int, list[Definition]]:
    found: dict[int, list[Definition]] = {}
    tree = _parsed(text)
    if tree is None:
        return found
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # A function begins with its first decorator.
            found.setdefault(min([node.lineno, *(one.lineno for one in node.decorator_list)]), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(node.lineno, []).append(node)
    return found


def _parsed(text: str) -> ast.Module | None:
    for _ in range(_PARSES):
        try:
            with _PARSING:
                return ast.parse(text)
        except (SyntaxError, ValueError):
            return None
        except SystemError:
            # Some Pythons lose count of their depth when threads make trees at the same time.
            continue
    return None


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


def unwrapped(value: Any) -> Any:
    """The function behind a static or class method, or a method; the value itself where there is none."""
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    return value


def member(owner: Any, name: str) -> Any:
    """An attribute without running the user's code; `inspect.Parameter.empty` where there is none."""
    try:
        return inspect.getattr_static(owner, name)
    except AttributeError:
        return inspect.Parameter.empty
