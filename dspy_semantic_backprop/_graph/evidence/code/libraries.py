"""What calls of other people's functions pass on, by their names: the built-in ones and the usual libraries'.

Of a function that is not known, the result is taken to be computed from everything that went in.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import dspy

from ...record.program_code import own
from .handed_over import callable_later, called_back
from .labels import ITEM, NOTHING, SIZE, WHOLE, New, Value, everything, join, made_from
from .sources import member
from .state import BoundFunction, Closure, Frame, Given, Machine, State, contents, items, made_at, size, values

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
_ERRANDS = frozenset(
    {
        *("map", "imap", "starmap", "submit", "run", "gather", "to_thread", "run_in_executor", "reduce", "accumulate"),
        *("create_task", "ensure_future", "run_sync", "call_soon", "apply", "apply_async", ""),
    }
)
"""Functions that return what those they call return, and nothing else of what they are given."""
_KEEPERS = frozenset(
    {"append", "add", "extend", "insert", "put", "put_nowait", "setdefault", "update", "appendleft", "enumerate", "zip"}
)
"""Functions that keep functions and do not call them."""
_MOST_NAMES = 16
_MOST_ITEMS = 200


def from_library(machine: Machine, given: Given, state: State) -> Value:
    """What a call of a function that is not the program's own may return."""
    if given.name not in _READ_ONLY:
        _kept(given, state)
    called = called_back(machine, given, state) if given.name not in _KEEPERS else []
    known = _KNOWN.get(given.name)
    value = known(given, called, state) if known is not None else None
    if value is not None:
        return value
    if called and given.name in _ERRANDS:
        return join(called)
    return _passed_on(given, called, state) if given.name in _VERBATIM else _computed(given, called, state)


def _kept(given: Given, state: State) -> None:
    for one in given.base.objects:
        if isinstance(one, (types.ModuleType, type, str, int, types.FunctionType, dspy.Module, BoundFunction, Closure)):
            continue
        owner = one if isinstance(one, New) else id(one)
        state.store((owner, SIZE), Value())
        for value in given.values:
            if value != NOTHING:
                state.store((owner, ITEM), join([value, Value(contents(value, state))]))


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


def _record(given: Given, called: Sequence[Value], state: State) -> Value | None:
    if given.arguments and not given.named:
        return None
    return Value(parts=dict(given.named), objects=() if given.name == "Prediction" else (New(given.site),))


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
        known += [Value(objects=(held,)) for one in programs for held in vars(one).values() if callable_later(held)]
        known += [
            _member(one, name)
            for one in programs
            for cls in type(one).__mro__
            for name, held in vars(cls).items()
            if isinstance(held, types.FunctionType) and own(held.__code__) and not name.startswith("__")
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
    stored = [state.heap[id(one), ITEM] for one in dictionaries if (id(one), ITEM) in state.heap]
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
    **dict.fromkeys(("replace", "_replace", "model_copy"), _replaced),
    **dict.fromkeys(("sorted", "max", "min", "nlargest", "nsmallest"), _ordered),
    **dict.fromkeys(("asyncify", "syncify", "streamify", "partial", "wraps"), _wrapped),
    **dict.fromkeys(("Prediction", "Example", "SimpleNamespace", "dict"), _record),
    "getattr": _looked_up,
    **dict.fromkeys(("enumerate", "zip"), _zipped),
    "items": _items,
    "values": _values,
    **dict.fromkeys(("get", "pop", "setdefault"), _got),
}
