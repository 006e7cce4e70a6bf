"""Abstract runs of expressions: which outputs a value is made of.

Of a call: predictors become labels, the program's own functions are run, libraries pass on.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from typing import Any

import dspy

from ...record.program_code import place
from ...trace import Position
from .functions import attribute, invoke, is_dspys, member, of_prediction, runnable
from .heap import owner_of
from .labels import ITEM, KEY, NOTHING, SIZE, WHOLE, How, Label, New, Value, join, made_from, several
from .libraries import from_library, predicted, run_with
from .state import (
    Closure,
    Frame,
    Given,
    Machine,
    State,
    contents,
    inside_of,
    items,
    made_at,
    picked,
    size,
    truth,
    values,
)
from .statements import assign

_EMPTY = member(object(), "no such name")


def evaluate(machine: Machine, node: ast.AST | None, frame: Frame, state: State) -> Value:
    """What an expression's value may be made of; raises `TooMuch` if the program is too large."""
    machine.spend()
    value = _expression(machine, node, frame, state)
    # Inside of a `try` every expression may raise, and what it was made of then decides what runs.
    if machine.tries and not isinstance(node, (ast.Constant, ast.Name)):
        machine.tries[-1] |= contents(value, state)
    return value


def _expression(machine: Machine, node: Any, frame: Frame, state: State) -> Value:  # noqa: C901 - one case an expression
    def of(inner: ast.AST | None) -> Value:
        return evaluate(machine, inner, frame, state)

    match node:
        case ast.Constant():
            return Value(objects=(node.value,)) if isinstance(node.value, (str, int, type(None))) else NOTHING
        case ast.Name():
            return _name(node.id, frame, state)
        case ast.Attribute():
            return attribute(machine, of(node.value), node.attr, frame, state)
        case ast.Subscript():
            return _item(of(node.value), node.slice, of(node.slice), state)
        case ast.Call():
            return call(machine, node, frame, state)
        case ast.Await():
            if isinstance(node.value, ast.Call):
                return call(machine, node.value, frame, state, awaited=place(node, frame.filename))
            return of(node.value)
        case ast.JoinedStr():
            return Value(_all(map(of, node.values), "verbatim", state))
        case ast.FormattedValue():
            how: How = "computed" if node.format_spec is not None else "verbatim"
            return Value(_all([of(node.value)], how, state) | _all([of(node.format_spec)], "computed", state))
        case ast.BinOp():
            return _operation(node, of(node.left), of(node.right), state)
        case ast.BoolOp():
            values = [of(value) for value in node.values]
            why = frozenset().union(*(size(value, state) for value in values[:-1]))
            return join([*values, Value(made_from(why, "choice"))])
        case ast.IfExp():
            why = of(node.test)
            if truth(why) is not None:
                return of(node.body if truth(why) else node.orelse)
            return join([of(node.body), of(node.orelse), Value(made_from(size(why, state), "choice"))])
        case ast.List() | ast.Tuple() | ast.Set():
            return _literal(machine, node, frame, state)
        case ast.Dict():
            return _dictionary(machine, node, frame, state)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            return _comprehension(machine, node, frame, state)
        case ast.Lambda():
            return Value(objects=(Closure(node, frame, state.env),))
        case ast.NamedExpr():
            value = of(node.value)
            assign(machine, node.target, value, frame, state)
            return value
        case ast.Starred():
            return of(node.value)
        case ast.Yield() | ast.YieldFrom():
            value = of(node.value) if node.value is not None else NOTHING
            value = items(value, state) if isinstance(node, ast.YieldFrom) else value
            frame.returns.append((Value(parts={ITEM: value}), state.copy()))
            return NOTHING
        case ast.Compare() if len(node.ops) == 1 and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            held = of(node.comparators[0])
            keys = bool(held.objects) and all(_is_dictionary(one) for one in held.objects)
            why = size(held, state) if keys else contents(held, state)
            return Value(_all([of(node.left)], "computed", state) | made_from(why, "computed"))
        case None:
            return NOTHING
    # Comparisons, negations, slices and whatever else makes something new of its parts.
    inside = [of(inner) for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.expr)]
    return Value(_all(inside, "computed", state))


def _all(values: Iterable[Value], how: How, state: State) -> frozenset[Label]:
    return made_from(frozenset().union(*(contents(value, state) for value in values)), how)


def _name(name: str, frame: Frame, state: State) -> Value:
    # What any function assigned to a global, or to a variable around it, of this name.
    assigned = state.heap["global"].get(name, NOTHING)
    known = state.env.get(name) or frame.free.get(name)
    if known is not None:
        return join([known, assigned])
    builtins = frame.globals.get("__builtins__", {})
    builtins = builtins if isinstance(builtins, dict) else vars(builtins)
    held = frame.globals.get(name, builtins.get(name, _EMPTY))
    return join([Value(objects=(held,)) if held is not _EMPTY else NOTHING, assigned])


def _item(base: Value, node: ast.AST, key: Value, state: State) -> Value:
    names = [str(one) for one in key.objects if isinstance(one, (str, int))]
    why = Value(made_from(contents(key, state), "choice"))
    if isinstance(node, ast.Slice):
        kept = Value(parts={ITEM: items(Value(parts=base.parts, objects=base.objects), state)})
        return join([Value(made_from(base.labels, "computed" if node.step is not None else "sliced")), kept, why])
    if len(names) == 1:
        exact = _exact(base, names[0], state)
        if exact is not None:
            return join([picked(base, exact), why])
    whole = frozenset(of_prediction(one, names[0]) if len(names) == 1 else one for one in base.labels)
    inside = values(Value(objects=base.objects, parts=base.parts), state)
    by_key = _by_key(base, key)
    taken = frozenset(one if one.field == WHOLE else next(iter(made_from([one], "computed"))) for one in whole)
    return join([Value(taken), by_key if by_key is not None else inside, why])


def _is_dictionary(one: Any) -> bool:
    return isinstance(one, dict) or (isinstance(one, New) and one.made_by is dict)


def _exact(base: Value, name: str, state: State) -> Value | None:
    """The part of a value under a key that is known, if nothing else can stand there."""
    if ITEM in base.parts:
        return None
    found = [base.parts[name]] if name in base.parts else []
    for one in base.objects:
        owner = owner_of(one)
        own = state.heap[owner]
        found += [own[name]] if name in own else []
        if isinstance(one, (list, tuple, dict)) and name not in own:
            held = one.get(name, _EMPTY) if isinstance(one, dict) else _at(one, name)
            found += [Value(objects=(held,))] if held is not _EMPTY else []
        if ITEM in own:
            return None
    return join(found) if found else None


def _at(sequence: list[Any] | tuple[Any, ...], name: str) -> Any:
    at = int(name) if name.lstrip("-").isdigit() else len(sequence)
    return sequence[at] if -len(sequence) <= at < len(sequence) else _EMPTY


def _by_key(base: Value, key: Value) -> Value | None:
    """The values of dictionaries of the program that an unknown key may pick."""
    dictionaries = [one for one in base.objects if isinstance(one, dict)]
    if not dictionaries or base.parts:
        return None
    return Value(objects=tuple(value for one in dictionaries for value in list(one.values())[:200]))


def _operation(node: ast.BinOp, left: Value, right: Value, state: State) -> Value:
    if isinstance(node.op, ast.Add):
        parts = {str(at): part for at, part in enumerate((left, right)) if part.parts or part.objects}
        texts = any(isinstance(one, str) for value in (left, right) for one in value.objects)
        return Value(
            _all([left, right], "verbatim" if texts else "added", state), {ITEM: join(parts.values())} if parts else {}
        )
    how: How = "computed"
    if isinstance(node.op, ast.Mod) and isinstance(node.left, (ast.Constant, ast.JoinedStr)):
        how = "verbatim"
    return Value(_all([left, right], how, state))


def _literal(machine: Machine, node: ast.List | ast.Tuple | ast.Set, frame: Frame, state: State) -> Value:
    parts: dict[str, Value] = {}
    for at, element in enumerate(node.elts):
        value = evaluate(machine, element, frame, state)
        if isinstance(element, ast.Starred):
            parts[ITEM] = join([parts.get(ITEM, NOTHING), items(value, state)])
        else:
            parts[str(at)] = value
    made = (_container(node, frame, state),) if isinstance(node, (ast.List, ast.Set)) else ()
    return Value(parts=parts, objects=made)


def _container(node: ast.AST, frame: Frame, state: State) -> New:
    kind = dict if isinstance(node, (ast.Dict, ast.DictComp)) else None
    return made_at((*frame.chain, place(node, frame.filename)), kind, state)


def _dictionary(machine: Machine, node: ast.Dict, frame: Frame, state: State) -> Value:
    parts: dict[str, Value] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        held = evaluate(machine, value, frame, state)
        if key is None:
            parts |= held.parts
            parts[ITEM] = join([parts.get(ITEM, NOTHING), Value(held.labels), items(held, state)])
            continue
        names = evaluate(machine, key, frame, state)
        name = next((str(one) for one in names.objects if isinstance(one, (str, int))), ITEM)
        parts[name] = join([parts.get(name, NOTHING), held])
        parts[KEY] = join([parts.get(KEY, NOTHING), names])
    return Value(parts=parts, objects=(_container(node, frame, state),))


def _comprehension(machine: Machine, node: Any, frame: Frame, state: State) -> Value:
    outside = dict(state.env)
    why: list[Value] = []
    control = state.control
    counted: frozenset[Label] = frozenset()
    for generator in node.generators:
        over = evaluate(machine, generator.iter, frame, state)
        counted |= size(over, state)
        assign(machine, generator.target, items(over, state), frame, state)
        why += [evaluate(machine, test, frame, state) for test in generator.ifs]
        state.control |= _all(why, "choice", state)
    keys = evaluate(machine, node.key, frame, state) if isinstance(node, ast.DictComp) else NOTHING
    element = evaluate(machine, node.value if isinstance(node, ast.DictComp) else node.elt, frame, state)
    where = place(node, frame.filename)
    machine.loops.add(where)
    whole = join([element, Value(_all(why, "choice", state))])
    gathered = several(whole, where, inside_of(frame.chain, where))
    state.control = control
    own = _targets(node)
    state.env = {name: outside[name] if name in own else value for name, value in state.env.items() if name in outside}
    how_many = Value(made_from(counted, "computed") | _all(why, "choice", state))
    parts = {ITEM: gathered, SIZE: how_many}
    if isinstance(node, ast.DictComp):
        parts[KEY] = several(keys, where, inside_of(frame.chain, where))
    return Value(parts=parts, objects=(_container(node, frame, state),))


def _targets(node: Any) -> set[str]:
    return {one.id for generator in node.generators for one in ast.walk(generator.target) if isinstance(one, ast.Name)}


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
    return Given(name, base, callee, tuple(arguments), named, (*frame.chain, where), _beginning(node))


def _beginning(node: ast.Call) -> str:
    match node.args:
        case [_, ast.JoinedStr(values=[ast.Constant(value=str(known)), *_]), *_]:
            return known
        case [_, ast.BinOp(left=ast.Constant(value=str(known)), op=ast.Add()), *_]:
            return known
    return ""


def _spread(value: Value, state: State) -> dict[str, Value]:
    """What `**value` passes, by name."""
    parts = dict(value.parts)
    for one in value.objects:
        if isinstance(one, New):
            parts |= state.heap[one]
    return parts


def _super(frame: Frame) -> Value:
    receiver: Any = next((one for one in frame.receiver.objects if not isinstance(one, New)), None)
    return NOTHING if receiver is None or frame.owner is None else Value(objects=(super(frame.owner, receiver),))


def _begun_at(callee: Value, awaited: Position, where: Position) -> Position:
    # A coroutine function's frame hangs from the await; what a plain function returned was called before.
    codes = [getattr(getattr(one, "function", one), "__code__", None) for one in callee.objects]
    return awaited if any(code is not None and code.co_flags & inspect.CO_COROUTINE for code in codes) else where
