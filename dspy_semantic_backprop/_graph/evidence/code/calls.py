"""Abstract runs of calls: predictors become labels, the program's own functions are run, libraries pass on."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import dspy

from ...trace import Position
from .functions import attribute, invoke, is_dspys, runnable
from .labels import NOTHING, New, Value, join, made_from, several
from .libraries import from_library, predicted, run_with
from .sources import place
from .state import Frame, Given, Machine, State, inside_of, items

_MODULE_CALLS = frozenset({"acall", "forward", "aforward", "__call__", "batch"})


def call(machine: Machine, node: ast.Call, frame: Frame, state: State, *, awaited: Position | None = None) -> Value:
    """What a call may return."""
    where = place(node, frame.filename)
    where = awaited if awaited is not None and awaited in machine.observed else where
    given = _given(machine, node, frame, state, where)
    modules = [one for one in given.base.objects if isinstance(one, dspy.Module)] if given.name in _MODULE_CALLS else []
    predictors = [one for one in (*given.callee.objects, *modules) if is_dspys(one)]
    if where in machine.observed or predictors:
        return predicted(machine, given, predictors or given.callee.objects, state)
    if given.name == "super" and not given.arguments:
        return _super(frame)
    if given.name == "batch" and modules:
        machine.loops.add(where)
        results = [run_with(machine, one, given.arguments, given.site, state) for one in modules]
        return several(join(results), where, inside_of(frame.chain, where))
    way = (*frame.chain, where if awaited is None or where == awaited else _begun_at(given.callee, awaited, where))
    targets = [one for one in (*given.callee.objects, *modules) if runnable(one)]
    results = [invoke(machine, one, given.arguments, given.named, way, state) for one in targets]
    if results:
        return join([*results, Value(made_from(given.callee.labels, "choice"))])
    return from_library(machine, given, state)


def _given(machine: Machine, node: ast.Call, frame: Frame, state: State, where: Position) -> Given:
    base, name = NOTHING, ""
    if isinstance(node.func, ast.Attribute):
        base, name = machine.evaluate(machine, node.func.value, frame, state), node.func.attr
        callee = attribute(machine, base, name, frame, state)
    else:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        callee = machine.evaluate(machine, node.func, frame, state)
    arguments = [
        items(machine.evaluate(machine, argument, frame, state), state)
        if isinstance(argument, ast.Starred)
        else machine.evaluate(machine, argument, frame, state)
        for argument in node.args
    ]
    named: dict[str, Value] = {}
    for keyword in node.keywords:
        value = machine.evaluate(machine, keyword.value, frame, state)
        if keyword.arg is not None:
            named[keyword.arg] = value
            continue
        spread = _spread(value, state)
        named |= {key: part for key, part in spread.items() if key.isidentifier()}
        loose = [Value(value.labels), *(part for key, part in spread.items() if not key.isidentifier())]
        arguments += [one for one in loose if one != NOTHING]
    return Given(name, base, callee, tuple(arguments), named, (*frame.chain, where))


def _spread(value: Value, state: State) -> dict[str, Value]:
    """What `**value` passes, by name."""
    parts = dict(value.parts)
    for one in value.objects:
        if isinstance(one, New):
            parts |= {key: held for (owner, key), held in state.heap.items() if owner == one}
    return parts


def _super(frame: Frame) -> Value:
    receiver: Any = next((one for one in frame.receiver.objects if not isinstance(one, New)), None)
    return NOTHING if receiver is None or frame.owner is None else Value(objects=(super(frame.owner, receiver),))


def _begun_at(callee: Value, awaited: Position, where: Position) -> Position:
    # A coroutine function's frame hangs from the await; what a plain function returned was called before.
    codes = [getattr(getattr(one, "function", one), "__code__", None) for one in callee.objects]
    return awaited if any(code is not None and code.co_flags & inspect.CO_COROUTINE for code in codes) else where
