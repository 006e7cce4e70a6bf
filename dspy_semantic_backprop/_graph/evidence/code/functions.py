"""The program's own functions, methods, classes and modules: their syntax trees, attributes and abstract runs."""

from __future__ import annotations

import ast
import inspect
import linecache
import threading
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import dspy

from ...record.program_code import filled, own
from .labels import NOTHING, WHOLE, Label, New, Site, Value, join, made_from
from .state import BoundFunction, Closure, Frame, Machine, State, contents, made_at

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
    tree = parsed(text)
    if tree is None:
        return found
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # A function begins with its first decorator.
            found.setdefault(min([node.lineno, *(one.lineno for one in node.decorator_list)]), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(node.lineno, []).append(node)
    return found


def parsed(text: str) -> ast.Module | None:
    """The tree of a source text, whichever threads make trees at the same time; None where it is no Python."""
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


_DEEPEST = 14
_SAME_AGAIN = 2
_WHOLE_PREDICTION = frozenset({"toDict", "items", "keys", "values", "copy", "completions", "get", "labels", "inputs"})
_EMPTY = member(object(), "no such name")


def is_dspys(one: Any) -> bool:
    """Whether something is a predictor or another module that DSPy itself brings."""
    return isinstance(one, dspy.Module) and type(one).__module__.split(".")[0] == "dspy"


def entry(module: Any) -> types.FunctionType | None:
    """The function that a call of a module ends in: its `forward`, or `aforward`; None where it has neither."""
    found = (unwrapped(member(module, name)) for name in ("forward", "aforward"))
    return next((one for one in found if isinstance(one, types.FunctionType)), None)


def attribute(machine: Machine, base: Value, name: str, frame: Frame, state: State) -> Value:
    """What an attribute of a value may be."""
    found = [base.parts[name]] if name in base.parts else []
    labels = frozenset(of_prediction(one, name) for one in base.labels)
    for one in base.objects:
        if isinstance(one, New):
            found += _of_new(machine, one, name, frame, state)
        elif name in state.heap[id(one)]:
            found.append(state.heap[id(one)][name])
        else:
            found += _member(machine, one, name, Value(objects=(one,)), frame, state)
    return join([Value(labels), *found])


def _of_new(machine: Machine, one: New, name: str, frame: Frame, state: State) -> list[Value]:
    if name in state.heap[one]:
        return [state.heap[one][name]]
    held = _member(machine, one.made_by, name, Value(objects=(one,)), frame, state)
    if not held and isinstance(one.made_by, type):
        # A field that the class fills by itself: something that may be changed later.
        state.heap.put(one, name, Value(objects=(New(one.site, name),)))
        return [state.heap[one][name]]
    return held


def of_prediction(label: Label, name: str) -> Label:
    """The label of an attribute of what a label stands for: a field, where that is a prediction."""
    if label.field != WHOLE:
        return label
    return label if name in _WHOLE_PREDICTION else replace(label, field=name)


def _member(machine: Machine, owner: Any, name: str, receiver: Value, frame: Frame, state: State) -> list[Value]:
    held = member(owner, name)
    if held is _EMPTY:
        return []
    if isinstance(held, property):
        bound = BoundFunction(held.fget, receiver, owner)
        return [invoke(machine, bound, [], {}, frame.chain, state)] if isinstance(held.fget, types.FunctionType) else []
    function = unwrapped(held)
    made = any(isinstance(one, New) for one in receiver.objects)
    if isinstance(function, types.FunctionType) and not isinstance(held, staticmethod):
        bound = made or (not isinstance(owner, (type, types.ModuleType)) and name not in getattr(owner, "__dict__", {}))
        return [Value(objects=(BoundFunction(function, receiver, owner) if bound else function,))]
    if made and not callable(function):
        # A default of the class, a slot or a field: the object's own stands in its place.
        return []
    return [Value(objects=(function,))]


def runnable(one: Any) -> bool:
    """Whether something is the program's own code: a function, a method, a class, or a module of its own."""
    if isinstance(one, Closure):
        return True
    if isinstance(one, BoundFunction):
        return runnable(one.function)
    if isinstance(one, types.MethodType):
        return runnable(one.__func__)
    if isinstance(one, types.FunctionType):
        return own(one.__code__)
    if isinstance(one, type):
        return any(
            isinstance(unwrapped(f), types.FunctionType) and own(unwrapped(f).__code__) for f in vars(one).values()
        )
    return isinstance(one, dspy.Module) and not is_dspys(one)


def invoke(
    machine: Machine, one: Any, arguments: Sequence[Value], named: Mapping[str, Value], chain: Site, state: State
) -> Value:
    """Run one thing that can be called."""
    receiver: Value | None = None
    owner = None
    if isinstance(one, types.MethodType):
        one, receiver = one.__func__, Value(objects=(one.__self__,))
    if isinstance(one, BoundFunction):
        one, receiver, owner = one.function, one.receiver, one.owner
    if isinstance(one, dspy.Module):
        return _run_module(machine, one, arguments, named, chain, state)
    if isinstance(one, type):
        return _made(machine, one, arguments, named, chain, state)
    node = one.node if isinstance(one, Closure) else definition(one) if isinstance(one, types.FunctionType) else None
    key = one.node if isinstance(one, Closure) else getattr(one, "__code__", one)
    # Without source, too deep, or in a recursion of its own: what comes back is computed from all that went in.
    if node is None or len(machine.running) >= _DEEPEST or machine.running.count(key) >= _SAME_AGAIN:
        given = [contents(value, state) for value in (*arguments, *named.values())]
        return Value(made_from(frozenset().union(*given), "computed"))
    values = [*([receiver] if receiver is not None else []), *arguments]
    frame, env = _entered(one, node, values, named, chain, state)
    frame.owner, frame.receiver = _where_found(one, owner, receiver), receiver or NOTHING
    return _run(machine, key, node, frame, env, state)


def _where_found(function: Any, owner: Any, receiver: Value | None) -> Any:
    cls = owner if isinstance(owner, type) else type(owner)
    return next((one for one in getattr(cls, "__mro__", ()) if function in map(unwrapped, vars(one).values())), None)


def _entered(
    one: Any, node: Any, values: list[Value], named: Mapping[str, Value], chain: Site, state: State
) -> tuple[Frame, dict[str, Value]]:
    if isinstance(one, Closure):
        free = {**one.frame.free, **one.env, **(state.env if one.frame.chain == chain[: len(one.frame.chain)] else {})}
        frame = Frame(chain, one.frame.filename, one.frame.globals, free, one.frame.owner, one.frame.receiver)
    else:
        cells = zip(one.__code__.co_freevars, one.__closure__ or (), strict=False)
        free = {name: Value(objects=(cell.cell_contents,)) for name, cell in cells if filled(cell)}
        frame = Frame(chain, one.__code__.co_filename, one.__globals__, free)
    frame.entry = state.control
    return frame, _bound(node.args, values, named)


def _bound(arguments: ast.arguments, values: list[Value], named: Mapping[str, Value]) -> dict[str, Value]:
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    env = dict(zip(names, values, strict=False))
    if arguments.vararg is not None:
        extra = values[len(names) :]
        env[arguments.vararg.arg] = Value(parts={str(at): value for at, value in enumerate(extra)})
    known = {*names, *(one.arg for one in arguments.kwonlyargs)}
    env |= {name: value for name, value in named.items() if name in known}
    if arguments.kwarg is not None:
        env[arguments.kwarg.arg] = Value(parts={name: value for name, value in named.items() if name not in known})
    for name in known - env.keys():
        env[name] = NOTHING
    return env


def _run(machine: Machine, key: Any, node: Any, frame: Frame, env: dict[str, Value], state: State) -> Value:
    inner = State(env, state.heap, state.control)
    machine.running.append(key)
    try:
        if isinstance(node, ast.Lambda):
            returned = [(machine.evaluate(machine, node.body, frame, inner), inner)]
        else:
            end = machine.execute(machine, node.body, frame, inner)
            returned = [*frame.returns, *([(NOTHING, end)] if end is not None else [])]
    finally:
        machine.running.pop()
    for _, after in returned:
        for owner, held in after.heap.besides(state.heap):
            for name, value in held.items():
                state.store(owner, name, value, strongly=len(returned) == 1)
    return join(value for value, _ in returned)


def _run_module(
    machine: Machine, module: Any, arguments: Sequence[Value], named: Mapping[str, Value], chain: Site, state: State
) -> Value:
    function = entry(module)
    if function is None:
        return NOTHING
    return invoke(
        machine, BoundFunction(function, Value(objects=(module,)), type(module)), arguments, named, chain, state
    )


def _made(
    machine: Machine, cls: type, arguments: Sequence[Value], named: Mapping[str, Value], chain: Site, state: State
) -> Value:
    new = made_at(chain, cls, state)
    made = Value(objects=(new,))
    initialise = member(cls, "__init__")
    if isinstance(initialise, types.FunctionType) and own(initialise.__code__) and definition(initialise) is not None:
        invoke(machine, BoundFunction(initialise, made, cls), arguments, named, chain, state)
        return made
    names = [name for name in getattr(cls, "__annotations__", {})]
    values = {**dict(zip(names, arguments, strict=False)), **named}
    return Value(parts=values, objects=(new,))
