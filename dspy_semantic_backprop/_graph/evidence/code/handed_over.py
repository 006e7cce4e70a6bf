"""Abstract runs of what is handed over to be called: predictors and functions in lists, maps, pools and folds."""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from typing import Any

import dspy

from .functions import entry, invoke, is_dspys, runnable
from .labels import ITEM, NOTHING, SIZE, WHOLE, Label, New, Site, Value, everything, join, made_from, older, several
from .state import BoundFunction, Closure, Given, Machine, State, Use, contents, inside_of, items, objects_in

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
        held += [one for cell, one in state.heap.items() if any(cell[0] == made for made in value.objects)]
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
