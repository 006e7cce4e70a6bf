"""Abstract runs of calls: predictors become labels, the program's own functions are run, the rest passes on."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dspy

from .functions import attribute, invoke, is_dspys, runnable
from .machine import Bound, Closure, Frame, Machine, State, Use, contents, fresh, inside_of, items, objects_in, size
from .sites import Position, own
from .sources import member, place, unwrapped
from .values import ITEM, NOTHING, SIZE, WHOLE, Label, New, Site, Value, everything, join, made_from, older, several

_VERBATIM = frozenset(
    {
        *("str", "repr", "format", "join", "strip", "lstrip", "rstrip", "lower", "upper", "title", "capitalize"),
        *("casefold", "list", "tuple", "sorted", "reversed", "set", "frozenset", "dict", "dumps", "enumerate", "zip"),
        *("copy", "deepcopy", "get", "pop", "popleft", "popitem", "get_nowait", "result", "values", "items", "keys"),
        *("next", "iter", "gather", "wait_for", "as_completed", "run", "submit", "map", "to_thread", "create_task"),
        *("append", "add", "extend", "update", "insert", "put", "put_nowait", "setdefault", "appendleft", "send"),
        *("toDict", "model_dump", "model_dump_json", "asdict", "chain", "from_iterable", "Prediction", "Example"),
        *("run_until_complete", "filter", "print", "dedent", "indent", "removeprefix", "removesuffix"),
    }
)
_READ_ONLY = frozenset(
    {
        *("get", "items", "keys", "values", "copy", "index", "count", "join", "split", "strip", "lower", "upper"),
        *("format", "startswith", "endswith", "replace", "title", "splitlines", "find", "toDict", "lstrip", "rstrip"),
    }
)
_PREDICTOR_CALLS = frozenset({"acall", "forward", "aforward", "__call__", "batch"})
_ORDERING = frozenset({"sorted", "max", "min", "nlargest", "nsmallest"})
_WRAPPERS = frozenset({"asyncify", "syncify", "streamify", "partial", "wraps"})
_ERRANDS = frozenset(
    {
        *("map", "imap", "starmap", "submit", "run", "gather", "to_thread", "run_in_executor", "reduce", "accumulate"),
        *("create_task", "ensure_future", "run_sync", "call_soon", "apply", "apply_async", ""),
    }
)
_FOLDS = frozenset({"reduce", "accumulate"})
_MOST_NAMES = 16
_PAIRS = frozenset({"enumerate", "zip", "items"})


def call(machine: Machine, node: ast.Call, frame: Frame, state: State, *, awaited: Position | None = None) -> Value:
    """What a call may return.

    Args:
        machine: The run.
        node: The call.
        frame: The function that it stands in.
        state: The state, which it may change.
        awaited: The position of the `await` around it.
    """
    base, name = NOTHING, ""
    if isinstance(node.func, ast.Attribute):
        base, name = machine.evaluate(machine, node.func.value, frame, state), node.func.attr
        callee = attribute(machine, base, name, frame, state)
    else:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        callee = machine.evaluate(machine, node.func, frame, state)
    arguments = [machine.evaluate(machine, argument, frame, state) for argument in node.args]
    starred = [isinstance(argument, ast.Starred) for argument in node.args]
    named, rest = _named(machine, node, frame, state)
    positional = [value for value, star in zip(arguments, starred, strict=True) if not star]
    rest += [items(value, state) for value, star in zip(arguments, starred, strict=True) if star]
    where = place(node, frame.filename)
    where = awaited if awaited is not None and awaited in machine.observed else where
    chain = (*frame.chain, where if awaited is None or where == awaited else _frame_of(callee, awaited, where))
    predictors = [one for one in (*callee.objects, *_called(base, name)) if is_dspys(one)]
    if where in machine.observed or predictors:
        return _predicted(machine, (*frame.chain, where), predictors or list(callee.objects), positional, named, rest, callee, state)
    if name == "super" and not arguments and frame.owner is not None:
        return Value(objects=(super(frame.owner, _first(frame.receiver)),)) if _first(frame.receiver) is not None else NOTHING
    own_modules = [one for one in base.objects if isinstance(one, dspy.Module)] if name in _PREDICTOR_CALLS else []
    if name == "batch" and own_modules:
        inside = inside_of(frame.chain, where)
        machine.loops.add(where)
        return join(several(_run_with(machine, one, positional, chain, state), where, inside) for one in own_modules)
    results = [
        invoke(machine, one, [*positional, *rest], named, chain, state)
        for one in (*callee.objects, *own_modules)
        if runnable(one)
    ]
    if results:
        why = Value(made_from(callee.labels, "choice"))
        return join([*results, why])
    return _unknown(machine, name, base, callee, [*positional, *rest], named, chain, state)


def _first(value: Value) -> Any:
    return next((one for one in value.objects if not isinstance(one, New)), None)


def _frame_of(callee: Value, awaited: Position, where: Position) -> Position:
    # A coroutine function's frame hangs from the await; what a plain function returned was called before.
    codes = [getattr(getattr(one, "function", one), "__code__", None) for one in callee.objects]
    return awaited if any(code is not None and code.co_flags & inspect.CO_COROUTINE for code in codes) else where


def _named(machine: Machine, node: ast.Call, frame: Frame, state: State) -> tuple[dict[str, Value], list[Value]]:
    named: dict[str, Value] = {}
    rest: list[Value] = []
    for keyword in node.keywords:
        value = machine.evaluate(machine, keyword.value, frame, state)
        if keyword.arg is not None:
            named[keyword.arg] = value
            continue
        parts = {key: part for key, part in value.parts.items() if key.isidentifier()}
        for one in value.objects:
            if isinstance(one, New):
                parts |= {key: held for (owner, key), held in state.heap.items() if owner == one and key.isidentifier()}
        named |= parts
        unnamed = [part for key, part in value.parts.items() if not key.isidentifier()]
        rest += [Value(value.labels), *unnamed]
    return named, [one for one in rest if one != NOTHING]


def _called(base: Value, name: str) -> list[Any]:
    return list(base.objects) if name in _PREDICTOR_CALLS else []


def _predicted(
    machine: Machine,
    site: Site,
    objects: Sequence[Any],
    positional: Sequence[Value],
    named: Mapping[str, Value],
    rest: Sequence[Value],
    callee: Value,
    state: State,
) -> Value:
    inputs = {name: contents(value, state) for name, value in named.items()}
    loose = frozenset().union(*(contents(value, state) for value in (*positional, *rest)))
    machine.met(
        site,
        Use(
            inputs,
            loose,
            state.control | made_from(everything(callee), "choice"),
            tuple(objects),
        ),
    )
    return Value(frozenset({Label(site, WHOLE)}))


def _unknown(
    machine: Machine,
    name: str,
    base: Value,
    callee: Value,
    arguments: Sequence[Value],
    named: Mapping[str, Value],
    chain: Site,
    state: State,
) -> Value:
    """A call of what is not the program's own: it may keep, pass on, compute with, or call what it is given."""
    values = [*arguments, *named.values()]
    if name not in _READ_ONLY:
        _kept(base, values, state)
    if name == "len" and arguments:
        return Value(made_from(size(arguments[0], state), "computed"))
    if name in {"replace", "_replace", "model_copy"} and named:
        whole = arguments[0] if arguments else base
        return Value(whole.labels, {**whole.parts, **named}, whole.objects)
    called = _called_back(machine, name, values, chain, state)
    if name in _ORDERING and arguments:
        return _ordered(name, arguments, called, "key" in named, state)
    if name in _WRAPPERS and arguments:
        return arguments[0]
    if called and name in _ERRANDS:
        return join(called)
    if name in {"Prediction", "Example", "SimpleNamespace", "dict"} and (named or not arguments):
        return Value(parts=dict(named), objects=(New(chain),) if name != "Prediction" else ())
    if name == "range":
        # How many there are is decided, not what they are.
        state.control |= made_from(frozenset().union(*(contents(value, state) for value in values)), "choice")
        return NOTHING
    if name == "getattr" and len(arguments) > 1:
        return _looked_up(machine, arguments, chain, state)
    if name in _PAIRS:
        return _paired(name, base, arguments, state)
    if name in {"get", "pop", "setdefault"} and arguments and (base.parts or base.objects or base.labels):
        return _got(base, arguments, state)
    if name == "values" and any(isinstance(one, dict) for one in base.objects):
        return Value(parts={ITEM: _got(base, [NOTHING], state)})
    how = "verbatim" if name in _VERBATIM else "computed"
    given = [Value(base.labels, base.parts), *values, *called]
    objects = tuple(one for value in (base, *arguments[:1]) for one in value.objects) if how == "verbatim" else ()
    inside = join([items(value, state) for value in (base, *values)]) if how == "verbatim" and name != "join" else NOTHING
    labels = made_from(frozenset().union(*(contents(value, state) for value in (*given, Value(objects=base.objects)))), how)
    parts = {ITEM: join([inside, *called])} if inside != NOTHING or called else {}
    if how == "computed":
        # What a library makes may keep what it is given, and be given more.
        alias = [one for value in values for one in value.objects if isinstance(one, New)]
        parts = {**parts, **(dict(named) if any(isinstance(one, type) for one in callee.objects) else {})}
        labels |= made_from(everything(callee), "choice")
        return Value(labels, parts, (fresh(chain, None, state), *alias))
    return Value(labels - everything(inside) if parts else labels, parts, objects)


def _kept(base: Value, values: Sequence[Value], state: State) -> None:
    for one in base.objects:
        if isinstance(one, (types.ModuleType, type, str, int, types.FunctionType, dspy.Module, Bound, Closure)):
            continue
        owner = one if isinstance(one, New) else id(one)
        for value in values:
            if value != NOTHING:
                state.store((owner, ITEM), join([value, Value(contents(value, state))]))


def _ordered(name: str, arguments: Sequence[Value], called: Sequence[Value], keyed: bool, state: State) -> Value:
    """One or all of several in an order: by what a key function made of them, or by all that they hold."""
    over = join([items(value, state) for value in arguments[-1:]] if len(arguments) == 1 else arguments)
    by = frozenset().union(*(contents(value, state) for value in called)) if keyed and called else contents(over, state)
    one = join([over, Value(made_from(by, "choice"))])
    return one if name in {"max", "min"} else Value(parts={ITEM: one, **_sized(arguments[-1])})


def _sized(value: Value) -> dict[str, Value]:
    return {SIZE: value.parts[SIZE]} if SIZE in value.parts else {}


def _called_back(machine: Machine, name: str, values: Sequence[Value], chain: Site, state: State) -> list[Value]:
    """The results of functions and modules that are passed to a call, run with whatever else is passed."""
    results = []
    inside = inside_of(chain[:-1], chain[-1])
    machine.loops.add(chain[-1])
    for functions, given in _units(values, state):
        for one in functions:
            result = _run_with(machine, one, given, chain, state)
            if name in _FOLDS:
                # What it returned is given to it again.
                again = [*given, older(result, chain[-1], inside)]
                result = join([result, _run_with(machine, one, again, chain, state)])
            results.append(result)
    return [several(result, chain[-1], inside) for result in results]


def _units(values: Sequence[Value], state: State) -> list[tuple[list[Any], list[Value]]]:
    """Functions with what they are given: pairs that stand in a list, or everything that is passed together."""
    pairs = []
    for value in values:
        held = [part for name, part in value.parts.items() if name != SIZE]
        held += [one for cell, one in state.heap.items() if any(cell[0] == made for made in value.objects)]
        for pair in held:
            direct = [part for part in pair.parts.values() if any(map(_callable, part.objects))]
            others = [part for part in pair.parts.values() if not any(map(_callable, part.objects))]
            if len(direct) == 1 and others:
                pairs.append(([one for one in direct[0].objects if _callable(one)], others))
    functions = [one for value in values for one in _callables(value, state)]
    return pairs or ([(functions, list(values))] if functions else [])


def _run_with(machine: Machine, one: Any, given: Sequence[Value], chain: Site, state: State) -> Value:
    if is_dspys(one):
        named = {name: part for value in given for name, part in value.parts.items() if name.isidentifier()}
        rest = [value for value in given if not any(name.isidentifier() for name in value.parts)]
        return _predicted(machine, chain, [one], rest, named, [], NOTHING, state)
    data = join(one for value in given for one in (_element(value, state), Value(value.labels)))
    return invoke(machine, one, [data] * _arity(one), {}, chain, state)


def _element(value: Value, state: State) -> Value:
    """An item of a container; anything else as it is."""
    listed = ITEM in value.parts or any(name.isdigit() for name in value.parts)
    held = any(isinstance(one, (list, tuple, set, dict)) or (isinstance(one, New) and not isinstance(one.made_by, type)) for one in value.objects)
    return items(value, state) if listed or (held and not value.parts) else value


def _arity(one: Any) -> int:
    if isinstance(one, dspy.Module):
        function = next((unwrapped(member(one, name)) for name in ("forward", "aforward")), None)
        return getattr(getattr(function, "__code__", None), "co_argcount", 2) - 1
    function = one.function if isinstance(one, Bound) else one
    if isinstance(function, Closure):
        return len(function.node.args.args)
    if isinstance(function, types.MethodType):
        return function.__func__.__code__.co_argcount - 1
    count = getattr(getattr(function, "__code__", None), "co_argcount", 6)
    return count - 1 if isinstance(one, Bound) else count


def _callables(value: Value, state: State) -> list[Any]:
    direct = objects_in(value)
    inside = objects_in(items(items(value, state), state)) + objects_in(items(value, state))
    return list({id(one): one for one in (*direct, *inside) if _callable(one)}.values())


def _callable(one: Any) -> bool:
    return is_dspys(one) or (runnable(one) and not isinstance(one, type))


def _looked_up(machine: Machine, arguments: Sequence[Value], chain: Site, state: State) -> Value:
    owner, key = arguments[0], arguments[1]
    names = [one for one in key.objects if isinstance(one, str)]
    why = Value(made_from(contents(key, state), "choice"))
    known = [_member_value(one, name) for one in owner.objects for name in names[:_MOST_NAMES]]
    if not names or why.labels:
        # The name comes from a call: any of the program's modules and methods may be meant.
        programs = [one for one in owner.objects if isinstance(one, dspy.Module)]
        known += [Value(objects=(held,)) for one in programs for held in vars(one).values() if _callable(held)]
        known += [
            _member_value(one, name)
            for one in programs
            for cls in type(one).__mro__
            for name, held in vars(cls).items()
            if isinstance(held, types.FunctionType) and own(held.__code__) and not name.startswith("__")
        ]
    return join([*known, why])


def _member_value(one: Any, name: str) -> Value:
    held = member(one, name)
    if held is inspect.Parameter.empty:
        return NOTHING
    return Value(objects=(Bound(held, Value(objects=(one,)), type(one)) if isinstance(held, types.FunctionType) else held,))


def _paired(name: str, base: Value, arguments: Sequence[Value], state: State) -> Value:
    if name == "items":
        keys = [list(one) for one in base.objects if isinstance(one, dict)]
        held = [list(one.values()) for one in base.objects if isinstance(one, dict)]
        first = Value(objects=tuple(key for some in keys for key in some[:200]))
        second = join([Value(objects=tuple(value for some in held for value in some[:200])), items(Value(base.labels, base.parts, tuple(o for o in base.objects if not isinstance(o, dict))), state)])
        second = join([second, *(state.heap[id(one), ITEM] for one in base.objects if (id(one), ITEM) in state.heap)])
        return Value(parts={ITEM: Value(parts={"0": first, "1": second})})
    columns = [items(value, state) for value in arguments]
    columns = [NOTHING, *columns[:1]] if name == "enumerate" else columns
    return Value(parts={ITEM: Value(parts={str(at): column for at, column in enumerate(columns)})})


def _got(base: Value, arguments: Sequence[Value], state: State) -> Value:
    names = [str(one) for one in arguments[0].objects if isinstance(one, (str, int))]
    why = Value(made_from(contents(arguments[0], state), "choice"))
    fallback = arguments[1:]
    if len(names) == 1 and names[0] in base.parts:
        return join([base.parts[names[0]], *fallback])
    labels = frozenset(
        replace(one, field=names[0]) if one.field == WHOLE and len(names) == 1 else one
        for one in base.labels
    )
    held = [list(one.values()) for one in base.objects if isinstance(one, dict)]
    known = Value(objects=tuple(value for some in held for value in some[:200]))
    inside = items(Value(parts=base.parts, objects=tuple(o for o in base.objects if not isinstance(o, dict))), state)
    return join([Value(labels), known, inside, why, *fallback])


