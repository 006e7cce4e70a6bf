"""Abstract runs of other people's functions: what they pass on, and the predictors and functions they are handed.

What a function passes on is known by its name, for the built-in ones and the usual libraries'; of one that is not
known, the result is taken to be computed from everything that went in.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import dspy

from ...record.program_code import own
from .functions import entry, invoke, is_dspys, member, runnable
from .heap import owner_of
from .labels import ITEM, NOTHING, SIZE, WHOLE, Label, New, Site, Value, everything, join, made_from, older, several
from .state import (
    BoundFunction,
    Closure,
    Frame,
    Given,
    Machine,
    State,
    Use,
    contents,
    inside_of,
    items,
    made_at,
    objects_in,
    size,
    values,
)

_VERBATIM = frozenset(
    {
        *("str", "repr", "format", "join", "strip", "lstrip", "rstrip", "lower", "upper", "title", "capitalize"),
        *("casefold", "list", "tuple", "reversed", "set", "frozenset", "dict", "dumps", "copy", "deepcopy", "get"),
        *("pop", "popleft", "popitem", "get_nowait", "result", "values", "keys", "next", "iter", "gather", "wait_for"),
        *("as_completed", "run", "submit", "map", "to_thread", "create_task", "append", "add", "extend", "update"),
        *("insert", "put", "put_nowait", "setdefault", "appendleft", "send", "toDict", "model_dump", "asdict"),
        *("model_dump_json", "chain", "from_iterable", "run_until_complete", "filter", "print", "dedent", "indent"),
        *("removeprefix", "removesuffix", "Prediction", "Example"),
    }
)
"""Functions and methods whose result shows what went in, as text or as items."""
_READ_ONLY = frozenset(
    {
        *("get", "items", "keys", "values", "copy", "index", "count", "join", "split", "strip", "lower", "upper"),
        *("format", "startswith", "endswith", "replace", "title", "splitlines", "find", "toDict", "lstrip", "rstrip"),
    }
)
"""Methods that leave their object as it is."""
_CALLING = frozenset(
    {
        *("map", "imap", "starmap", "submit", "run", "gather", "to_thread", "run_in_executor", "reduce", "accumulate"),
        *("create_task", "ensure_future", "run_sync", "call_soon", "apply", "apply_async", ""),
    }
)
"""Functions that return what those they call return, and nothing else of what they are given."""
_KEEPERS = frozenset(
    {
        *("append", "add", "extend", "insert", "put", "put_nowait", "setdefault", "update", "appendleft"),
        *("enumerate", "zip", "partial"),
    }
)
"""Functions that keep functions and do not call them."""
_MOST_NAMES = 16
_MOST_ITEMS = 200


def from_library(machine: Machine, given: Given, state: State) -> Value:
    """What a call of a function that is not the program's own may return."""
    called = called_back(machine, given, state) if given.name not in _KEEPERS else []
    if given.name not in _READ_ONLY:
        # A method may keep what it is given, and order or choose what its object holds by what it calls back.
        why = [Value(made_from(contents(one, state), "choice")) for one in called]
        _kept(given, [*given.values, *why], state)
    known = _KNOWN.get(given.name)
    value = known(given, called, state) if known is not None else None
    if value is not None:
        return value
    if called and given.name in _CALLING:
        return join(called)
    return _passed_on(given, called, state) if given.name in _VERBATIM else _computed(given, called, state)


def _kept(given: Given, kept: Sequence[Value], state: State) -> None:
    for one in given.base.objects:
        if isinstance(one, (types.ModuleType, type, str, int, types.FunctionType, dspy.Module, BoundFunction, Closure)):
            continue
        owner = owner_of(one)
        state.store(owner, SIZE, Value())
        for value in kept:
            if value != NOTHING:
                state.store(owner, ITEM, join([value, Value(contents(value, state))]))


def _passed_on(given: Given, called: Sequence[Value], state: State) -> Value:
    sources = (given.base, *given.values)
    labels = frozenset().union(*(contents(value, state) for value in (*sources, *called)))
    objects = tuple(one for value in (given.base, *given.arguments[:1]) for one in value.objects)
    if given.name == "join":
        return Value(labels, {}, objects)
    inside = join([*(items(value, state) for value in sources), *called])
    return (
        Value(labels - everything(inside), {ITEM: inside}, objects) if inside != NOTHING else Value(labels, {}, objects)
    )


def _computed(given: Given, called: Sequence[Value], state: State) -> Value:
    labels = frozenset().union(*(contents(value, state) for value in (given.base, *given.values, *called)))
    # What a library makes may keep what it is given, and be given more.
    alias = [one for value in given.values for one in value.objects if isinstance(one, New)]
    parts = dict(given.named) if any(isinstance(one, type) for one in given.callee.objects) else {}
    parts |= {ITEM: join(called)} if called else {}
    why = made_from(everything(given.callee), "choice")
    return Value(made_from(labels, "computed") | why, parts, (made_at(given.site, None, state), *alias))


def _getter(given: Given, called: Sequence[Value], state: State) -> Value | None:
    names = [one for value in given.arguments for one in value.objects if isinstance(one, (str, int))]
    if len(names) != 1:
        return None
    text = f"lambda it: it.{names[0]}" if given.name == "attrgetter" else f"lambda it: it[{names[0]!r}]"
    node = ast.parse(text, mode="eval").body
    return Value(objects=(Closure(node, Frame(given.site, "", {}), {}),))


def _length(given: Given, called: Sequence[Value], state: State) -> Value | None:
    return Value(made_from(size(given.arguments[0], state), "computed")) if given.arguments else None


def _range(given: Given, called: Sequence[Value], state: State) -> Value:
    # How many there are is decided, not what they are.
    labels = frozenset().union(*(contents(value, state) for value in given.values))
    state.control |= made_from(labels, "choice")
    return NOTHING


def _container(given: Given, called: Sequence[Value], state: State) -> Value | None:
    return None if given.arguments else Value(objects=(made_at(given.site, None, state),))


def _replaced(given: Given, called: Sequence[Value], state: State) -> Value | None:
    if not given.named:
        return None
    whole = given.arguments[0] if given.arguments else given.base
    return Value(whole.labels, {**whole.parts, **given.named}, whole.objects)


def _ordered(given: Given, called: Sequence[Value], state: State) -> Value | None:
    """One or all of several in an order: by what a key function made of them, or by all that they hold."""
    if not given.arguments:
        return None
    alone = len(given.arguments) == 1
    over = items(given.arguments[0], state) if alone else join(given.arguments)
    by_key = "key" in given.named and called
    by = frozenset().union(*(contents(value, state) for value in called)) if by_key else contents(over, state)
    one = join([over, Value(made_from(by, "choice"))])
    if given.name in {"max", "min"}:
        return one
    counted = given.arguments[0].parts.get(SIZE)
    return Value(parts={ITEM: one, **({SIZE: counted} if counted is not None else {})})


def _wrapped(given: Given, called: Sequence[Value], state: State) -> Value | None:
    return given.arguments[0] if given.arguments else None


def _partial(given: Given, called: Sequence[Value], state: State) -> Value | None:
    if len(given.values) < 2 or not given.arguments or any(map(is_dspys, given.arguments[0].objects)):
        return _wrapped(given, called, state)
    held = {f"given{at}": value for at, value in enumerate(given.arguments)}
    function, *first = held
    text = f"lambda *rest, **others: {function}({', '.join([*first, '*rest', '**named', '**others'])})"
    free = {**held, "named": Value(parts=given.named)}
    return Value(objects=(Closure(ast.parse(text, mode="eval").body, Frame(given.site, "", {}), free),))


def _record(given: Given, called: Sequence[Value], state: State) -> Value | None:
    if given.arguments and not given.named:
        return None
    return Value(parts=dict(given.named), objects=() if given.name == "Prediction" else (New(given.site),))


def _set(given: Given, called: Sequence[Value], state: State) -> Value | None:
    if len(given.arguments) != 3:
        return None
    owner, key, value = given.arguments
    kept = join([value, Value(contents(value, state) | made_from(contents(key, state) | state.control, "choice"))])
    for one in owner.objects:
        for name in [name for name in key.objects if isinstance(name, str)] or [ITEM]:
            state.store(owner_of(one), name, kept)
    return NOTHING


def _looked_up(given: Given, called: Sequence[Value], state: State) -> Value | None:
    if len(given.arguments) < 2:
        return None
    owner, key = given.arguments[:2]
    names = [one for one in key.objects if isinstance(one, str)]
    why = Value(made_from(contents(key, state), "choice"))
    known = [_member(one, name) for one in owner.objects for name in names[:_MOST_NAMES]]
    if not names or why.labels:
        # The name comes from a call: any of the program's modules and methods may be meant.
        programs = [one for one in owner.objects if isinstance(one, dspy.Module)]
        known += [
            Value(objects=(held,))
            for one in programs
            for name, held in vars(one).items()
            if name.startswith(given.beginning) and callable_later(held)
        ]
        known += [
            _member(one, name)
            for one in programs
            for cls in type(one).__mro__
            for name, held in vars(cls).items()
            if name.startswith(given.beginning) and not name.startswith("__")
            if isinstance(held, types.FunctionType) and own(held.__code__)
        ]
    return join([*known, why])


def _member(one: Any, name: str) -> Value:
    held = member(one, name)
    if held is inspect.Parameter.empty:
        return NOTHING
    bound = isinstance(held, types.FunctionType)
    return Value(objects=(BoundFunction(held, Value(objects=(one,)), type(one)) if bound else held,))


def _zipped(given: Given, called: Sequence[Value], state: State) -> Value:
    columns = [items(value, state) for value in given.arguments]
    columns = [NOTHING, *columns[:1]] if given.name == "enumerate" else columns
    return Value(parts={ITEM: Value(parts={str(at): column for at, column in enumerate(columns)})})


def _items(given: Given, called: Sequence[Value], state: State) -> Value:
    known = Value(objects=tuple(key for one in given.base.objects if isinstance(one, dict) for key in _some(one)))
    keys = join([known, items(Value((frozenset()), given.base.parts, _dictionaries(given.base)), state)])
    return Value(parts={ITEM: Value(parts={"0": keys, "1": _values_of(given.base, state)})})


def _dictionaries(base: Value) -> tuple[Any, ...]:
    return tuple(one for one in base.objects if isinstance(one, New) and one.made_by is dict)


def _values(given: Given, called: Sequence[Value], state: State) -> Value | None:
    if not any(isinstance(one, dict) for one in given.base.objects) and not _dictionaries(given.base):
        return None
    return Value(parts={ITEM: _values_of(given.base, state)})


def _values_of(base: Value, state: State) -> Value:
    dictionaries = [one for one in base.objects if isinstance(one, dict)]
    held = Value(objects=tuple(value for one in dictionaries for value in _some(one.values())))
    others = Value(base.labels, base.parts, tuple(one for one in base.objects if not isinstance(one, dict)))
    stored = [state.heap[id(one)][ITEM] for one in dictionaries if ITEM in state.heap[id(one)]]
    return join([held, values(others, state), *stored])


def _some(values: Any) -> list[Any]:
    return list(values)[:_MOST_ITEMS]


def _got(given: Given, called: Sequence[Value], state: State) -> Value | None:
    base = given.base
    if not given.arguments or base == NOTHING:
        return None
    key, *fallback = given.arguments
    names = [str(one) for one in key.objects if isinstance(one, (str, int))]
    if len(names) == 1 and names[0] in base.parts:
        return join([base.parts[names[0]], *fallback])
    labels = [replace(one, field=names[0]) if one.field == WHOLE and len(names) == 1 else one for one in base.labels]
    inside = _values_of(Value(parts=base.parts, objects=base.objects), state)
    return join([Value(frozenset(labels)), inside, Value(made_from(contents(key, state), "choice")), *fallback])


_KNOWN: dict[str, Callable[[Given, Sequence[Value], State], Value | None]] = {
    **dict.fromkeys(("attrgetter", "itemgetter"), _getter),
    "len": _length,
    "range": _range,
    **dict.fromkeys(("list", "set"), _container),
    **dict.fromkeys(("replace", "_replace", "model_copy"), _replaced),
    **dict.fromkeys(("sorted", "max", "min", "nlargest", "nsmallest"), _ordered),
    **dict.fromkeys(("asyncify", "syncify", "streamify", "wraps"), _wrapped),
    **dict.fromkeys(("Prediction", "Example", "SimpleNamespace", "dict"), _record),
    "partial": _partial,
    "getattr": _looked_up,
    "setattr": _set,
    **dict.fromkeys(("enumerate", "zip"), _zipped),
    "items": _items,
    "values": _values,
    **dict.fromkeys(("get", "pop", "setdefault"), _got),
}


_FOLDS = frozenset({"reduce", "accumulate"})


def predicted(machine: Machine, given: Given, objects: Iterable[Any], state: State) -> Value:
    """Note a call of predictors, and return the prediction that stands for its outputs."""
    machine.met(
        given.site,
        Use(
            inputs={name: contents(value, state) for name, value in given.named.items()},
            rest=frozenset().union(*(contents(value, state) for value in given.arguments)),
            control=state.control | made_from(everything(given.callee), "choice"),
            objects=tuple(objects),
        ),
    )
    return Value(frozenset({Label(given.site, WHOLE)}))


def called_back(machine: Machine, given: Given, state: State) -> list[Value]:
    """The results of functions and modules that are passed to a call, run with whatever else is passed."""
    results = []
    loop = given.site[-1]
    inside = inside_of(given.site[:-1], loop)
    for functions, passed in _units(given.values, state):
        machine.loops.add(loop)
        for one in functions:
            result = run_with(machine, one, passed, given.site, state)
            if given.name in _FOLDS:
                # What it returned is given to it again.
                again = [*passed, older(result, loop, inside)]
                result = join([result, run_with(machine, one, again, given.site, state)])
            results.append(result)
    return [several(result, loop, inside) for result in results]


def _units(values: Sequence[Value], state: State) -> list[tuple[list[Any], list[Value]]]:
    """Functions with what they are given: pairs that stand in a list, or everything that is passed together."""
    pairs = []
    for value in values:
        held = [part for name, part in value.parts.items() if name != SIZE]
        held += [one for made in value.objects if type(made) is New for one in state.heap[made].values()]
        for pair in held:
            direct = [part for part in pair.parts.values() if any(map(callable_later, part.objects))]
            others = [part for part in pair.parts.values() if not any(map(callable_later, part.objects))]
            if len(direct) == 1 and others:
                pairs.append(([one for one in direct[0].objects if callable_later(one)], others))
    functions = [one for value in values for one in _callables(value, state)]
    return pairs or ([(functions, list(values))] if functions else [])


def run_with(machine: Machine, one: Any, passed: Sequence[Value], site: Site, state: State) -> Value:
    """Run a function or a module on items of what is passed along with it."""
    if is_dspys(one):
        named = {name: part for value in passed for name, part in value.parts.items() if name.isidentifier()}
        rest = [value for value in passed if not any(name.isidentifier() for name in value.parts)]
        return predicted(machine, Given("", NOTHING, NOTHING, tuple(rest), named, site), [one], state)
    data = join(one for value in passed for one in (_element(value, state), Value(value.labels)))
    return invoke(machine, one, [data] * _arity(one), {}, site, state)


def _element(value: Value, state: State) -> Value:
    """An item of a container; anything else as it is."""
    listed = ITEM in value.parts or any(name.isdigit() for name in value.parts)
    held = any(
        isinstance(one, (list, tuple, set, dict)) or (isinstance(one, New) and not isinstance(one.made_by, type))
        for one in value.objects
    )
    return items(value, state) if listed or (held and not value.parts) else value


def _arity(one: Any) -> int:
    if isinstance(one, Closure):
        return len(one.node.args.args)
    bound = isinstance(one, (BoundFunction, types.MethodType, dspy.Module))
    function = one.function if isinstance(one, BoundFunction) else one
    if isinstance(one, dspy.Module):
        function = entry(one)
    if isinstance(function, Closure):
        return len(function.node.args.args) - bound
    return getattr(getattr(function, "__code__", None), "co_argcount", 6) - bound


def _callables(value: Value, state: State) -> list[Any]:
    inside = items(value, state)
    found = (*objects_in(value), *objects_in(inside), *objects_in(items(inside, state)))
    return list({id(one): one for one in found if callable_later(one)}.values())


def callable_later(one: Any) -> bool:
    """Whether something is a predictor or a function of the program's, which a library may call."""
    return is_dspys(one) or (runnable(one) and not isinstance(one, type))
