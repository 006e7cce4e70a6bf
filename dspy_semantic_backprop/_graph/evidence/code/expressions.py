"""Abstract runs of expressions: which outputs a value is made of."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from .calls import call
from .functions import attribute, of_prediction
from .labels import ITEM, KEY, NOTHING, SIZE, WHOLE, How, Label, New, Value, join, made_from, several
from .sources import member, place
from .state import Closure, Frame, Machine, State, contents, inside_of, items, made_at, picked, size, truth, values
from .statements import assign

_EMPTY = member(object(), "no such name")


def evaluate(machine: Machine, node: ast.AST | None, frame: Frame, state: State) -> Value:
    """What an expression's value may be made of.

    Raises:
        TooMuch: If the program is too large.
    """
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
    if name in state.env:
        return state.env[name]
    if name in frame.free:
        return frame.free[name]
    builtins = frame.globals.get("__builtins__", {})
    builtins = builtins if isinstance(builtins, dict) else vars(builtins)
    held = frame.globals.get(name, builtins.get(name, _EMPTY))
    known = Value(objects=(held,)) if held is not _EMPTY else NOTHING
    return join([known, state.heap.get(("global", name), NOTHING)])


def _item(base: Value, node: ast.AST, key: Value, state: State) -> Value:
    names = [str(one) for one in key.objects if isinstance(one, (str, int))]
    why = Value(made_from(contents(key, state), "choice"))
    if isinstance(node, ast.Slice):
        kept = Value(parts={ITEM: items(Value(parts=base.parts, objects=base.objects), state)})
        return join([Value(made_from(base.labels, "computed" if node.step is not None else "sliced")), kept, why])
    if len(names) == 1:
        exact = _exact(base, names[0], state)
        if exact is not None:
            return picked(base, exact)
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
        owner = one if isinstance(one, New) else id(one)
        found += [state.heap[owner, name]] if (owner, name) in state.heap else []
        if isinstance(one, (list, tuple, dict)) and (owner, name) not in state.heap:
            held = one.get(name, _EMPTY) if isinstance(one, dict) else _at(one, name)
            found += [Value(objects=(held,))] if held is not _EMPTY else []
        if (owner, ITEM) in state.heap:
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
