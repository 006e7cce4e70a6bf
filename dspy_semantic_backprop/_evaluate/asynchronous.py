"""Whether a function is asynchronous, in whatever dress: found in its code, before anything that it costs.

A function that only hands on what an asynchronous one returns is one, too: in one expression, over several lines, as a
method that calls another one of its object, or through helpers. Where neither code nor source says so, it is found out
when it is called.
"""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import textwrap
import types
from collections.abc import Iterator
from typing import Any

import dspy

from .._graph.evidence.code.functions import parsed
from .._graph.record.recorder import runner
from .._session.held import is_installed

_NO_WORK = ("RESUME", "PUSH_NULL", "COPY_FREE_VARS", "NOP", "CACHE", "PRECALL", "KW_NAMES")
_DEEPEST = 4
"""So many functions that call each other are followed."""


def called_in_the_end(function: Any) -> Any:
    """What a call ends in: of a function under `functools.partial`, of an object with `__call__`, of a program."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, dspy.Module):
        run = runner(function)
        return types.MethodType(run, function) if run is not None else function
    called = inspect.getattr_static(type(function), "__call__", None)
    return called if isinstance(called, types.FunctionType) else function


def is_asynchronous(function: Any, depth: int = 0) -> bool:
    """Whether a call of a function, or of an object, returns a coroutine."""
    run = called_in_the_end(function)
    if inspect.iscoroutinefunction(run):
        return True
    plain = getattr(run, "__func__", run)
    if depth > _DEEPEST or not isinstance(plain, types.FunctionType) or (depth and is_installed(plain)):
        return False
    while isinstance(function, functools.partial):
        function = function.func
    owner = getattr(run, "__self__", function if plain is not function else None)
    return _hands_on(plain, depth) or any(is_asynchronous(one, depth + 1) for one in _returned(plain, owner))


def _hands_on(function: types.FunctionType, depth: int) -> bool:
    """Whether all that a function does is to call an asynchronous one, as `lambda e, p: judge(e, p)` may."""
    code = [one for one in dis.get_instructions(function) if one.opname not in _NO_WORK]
    calls = [at for at, one in enumerate(code) if one.opname.startswith("CALL")]
    if calls != [len(code) - 2] or code[-1].opname != "RETURN_VALUE":
        return False
    known = _known(function)
    called = known.get(code[0].argval) if code[0].opname.startswith("LOAD_") else None
    for one in code[1:]:
        if one.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
            break
        called = getattr(called, one.argval, None)
    return called is not None and is_asynchronous(called, depth + 1)


def _known(function: types.FunctionType) -> dict[str, Any]:
    try:
        named = inspect.getclosurevars(function)
    except ValueError:  # a variable that is not filled yet
        return {}
    return {**named.builtins, **named.globals, **named.nonlocals}


def _returned(function: types.FunctionType, owner: Any) -> Iterator[Any]:
    """What a function calls to return it, by its source, as far as that is known without running it."""
    try:
        # Of its code: of a function that wraps another one the source would be that of the other one.
        module = parsed(textwrap.dedent(inspect.getsource(function.__code__)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return
    tree = module.body[0] if module is not None and len(module.body) == 1 else None
    if not isinstance(tree, ast.FunctionDef):
        return
    nodes = list(_own(tree))
    known = _known(function)
    if owner is not None and tree.args.args:
        known[tree.args.args[0].arg] = owner
    known |= {one.name: _later for one in nodes if isinstance(one, ast.AsyncFunctionDef)}
    assigned: dict[str, list[ast.expr]] = {}
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) else None
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                assigned.setdefault(target.id, []).append(value)
    for node in nodes:
        if isinstance(node, ast.Return) and node.value is not None:
            yield from _calls(node.value, assigned, known)


def _own(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield from _own(node)


def _calls(value: ast.expr, assigned: dict[str, list[ast.expr]], known: dict[str, Any]) -> Iterator[Any]:
    """What is called for a value: itself, one of two, or through variables whose last values these may be."""
    if isinstance(value, ast.IfExp):
        for one in (value.body, value.orelse):
            yield from _calls(one, assigned, known)
    elif isinstance(value, ast.Name):
        for one in assigned.get(value.id, ())[-1:]:
            yield from _calls(one, {**assigned, value.id: []}, known)
    elif isinstance(value, ast.Call):
        called = _resolved(value.func, known)
        if called is not None:
            yield called


def _resolved(value: ast.expr, known: dict[str, Any]) -> Any:
    """What a name, or an attribute of one, stands for, looked up without running a property of the user's."""
    if isinstance(value, ast.Name):
        return known.get(value.id)
    owner = _resolved(value.value, known) if isinstance(value, ast.Attribute) else None
    if owner is None or not isinstance(value, ast.Attribute):
        return None
    found = inspect.getattr_static(owner, value.attr, None)
    if isinstance(found, (staticmethod, classmethod)):
        return found.__func__
    own = value.attr in getattr(owner, "__dict__", {})
    return types.MethodType(found, owner) if isinstance(found, types.FunctionType) and not own else found


async def _later() -> None:
    """Stands for an asynchronous function that is made inside another one."""
