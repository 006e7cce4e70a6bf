"""The state of an abstract run: variables, heap, the calls that were met, and what everything was decided by."""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...trace import Position
from .heap import Heap, owner_of
from .labels import ITEM, KEY, NOTHING, SIZE, Label, New, Site, Value, everything, join, made_from, older, replaced

_CONTAINERS = (list, tuple, set, frozenset, dict)
_MOST_ITEMS = 200


class TooMuch(Exception):
    """The program's code is too large for an abstract run."""


@dataclass(frozen=True)
class Use:
    """What is known of the calls at one site.

    The labels of each argument, of arguments without a name (`rest`) and of what decided that the calls happen
    (`control`), and the objects that may be called.
    """

    inputs: Mapping[str, frozenset[Label]] = field(default_factory=dict)
    rest: frozenset[Label] = frozenset()
    control: frozenset[Label] = frozenset()
    objects: tuple[Any, ...] = ()


@dataclass
class State:
    """What is known at one point of the program: variables, heap, and the labels that decided that it is reached."""

    env: dict[str, Value] = field(default_factory=dict)
    heap: Heap = field(default_factory=Heap)
    control: frozenset[Label] = frozenset()

    def copy(self) -> State:
        """A state that can go another way."""
        return State(dict(self.env), self.heap.copy(), self.control)

    def store(self, owner: Hashable, name: str, value: Value, *, strongly: bool = False) -> None:
        """Put a value into a cell, instead of what was there or besides it."""
        self.heap.put(owner, name, value if strongly else join([self.heap[owner].get(name, NOTHING), value]))


@dataclass
class Frame:
    """One function while it is run: the way into it, its names, and what decided that it runs (`entry`).

    `owner` is the class that it was found in, for `super()`; `receiver` is its `self`; `outer` are the names that it
    declares to be of the module or of a function around it.
    """

    chain: Site
    filename: str
    globals: Mapping[str, Any]
    free: Mapping[str, Value] = field(default_factory=dict)
    owner: Any = None
    receiver: Value = NOTHING
    entry: frozenset[Label] = frozenset()
    returns: list[tuple[Value, State]] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    outer: set[str] = field(default_factory=set)


@dataclass
class Loop:
    """A loop while it is run: the states that leave it, what made them leave, and what might have ended it."""

    breaks: list[State] = field(default_factory=list)
    continues: list[State] = field(default_factory=list)
    exits: frozenset[Label] = frozenset()
    ends: frozenset[Label] = frozenset()


@dataclass(frozen=True)
class Closure:
    """A function or lambda that the program defines while it runs."""

    node: Any
    frame: Frame
    env: Mapping[str, Value]


@dataclass(frozen=True)
class BoundFunction:
    """A function with the object that it is a method of."""

    function: Any
    receiver: Value
    owner: Any = None


@dataclass(frozen=True)
class Given:
    """A call with all that it is given.

    `name` is how the code calls it, "" where it has no name; `base` is the object whose method it is; `arguments` are
    the positional ones and those whose name is not known; `beginning` is how the second one's text begins, as far as
    the code says it.
    """

    name: str
    base: Value
    callee: Value
    arguments: tuple[Value, ...]
    named: Mapping[str, Value]
    site: Site
    beginning: str = ""

    @property
    def values(self) -> list[Value]:
        """All arguments."""
        return [*self.arguments, *self.named.values()]


@dataclass
class Machine:
    """What the parts of an abstract run share; `execute` returns None where statements do not go on.

    `observed` are the innermost positions at which predictors were seen to be called; `budget` counts expressions.
    """

    observed: frozenset[Position]
    evaluate: Callable[[Machine, ast.AST, Frame, State], Value]
    execute: Callable[[Machine, Iterable[ast.stmt], Frame, State], State | None]
    invoke: Callable[..., Value]
    budget: int = 30_000
    uses: dict[Site, Use] = field(default_factory=dict)
    running: list[Any] = field(default_factory=list)
    tries: list[set[Label]] = field(default_factory=list)
    loops: set[Position] = field(default_factory=set)

    def spend(self) -> None:
        """Count one expression; raises `TooMuch` if that was more than the budget."""
        self.budget -= 1
        if self.budget < 0:
            raise TooMuch

    def met(self, site: Site, use: Use) -> None:
        """Note what is known of the calls at a site, besides what was known."""
        known = self.uses.get(site, Use())
        inputs = {
            name: known.inputs.get(name, frozenset()) | use.inputs.get(name, frozenset())
            for name in {*known.inputs, *use.inputs}
        }
        objects = tuple({id(one): one for one in (*known.objects, *use.objects)}.values())
        self.uses[site] = Use(inputs, known.rest | use.rest, known.control | use.control, objects)


def made_at(site: Site, made_by: Any, state: State) -> New:
    """An object that the program makes at a place; what one made there before held is forgotten."""
    new = New(site, made_by)
    state.heap.forget(new)
    return new


def merged(one: State, other: State) -> State:
    """The state after either of two ways."""
    names = {**one.env, **other.env}
    env = {name: join([one.env.get(name, NOTHING), other.env.get(name, NOTHING)]) for name in names}
    return State(env, one.heap.merged(other.heap), one.control | other.control)


def chosen(before: State, after: State, labels: frozenset[Label]) -> State:
    """A state whose changed variables were chosen by what the labels stand for."""
    why = Value(made_from(labels, "choice"))
    if not why.labels:
        return after
    for name, value in list(after.env.items()):
        if value is not before.env.get(name):
            after.env[name] = join([value, why])
    heap = after.heap.changed(
        lambda owner, name, value: value if value is before.heap[owner].get(name) else join([value, why])
    )
    return State(after.env, heap, after.control)


def turned(state: State, frame: Frame, loop: Position) -> State:
    """A state at the end of a loop's body as its beginning finds it: everything one iteration older."""
    inside = inside_of(frame.chain, loop)
    env = {name: older(value, loop, inside) for name, value in state.env.items()}
    heap = state.heap.changed(lambda owner, name, value: older(value, loop, inside))
    return State(env, heap, state.control)


def inside_of(way: Site, loop: Position) -> Callable[[Site], bool]:
    """Whether a site lies in a loop; `way` leads into the function that the loop stands in."""
    return lambda site: site[: len(way)] == way and len(site) > len(way) and within(site[len(way)], loop)


def entered(start: State, turns: list[State], loop: Position) -> State:
    """The state at the beginning of any iteration: from the one before the loop and those at the ends of iterations."""
    if not turns:
        return start.copy()
    after = functools.reduce(merged, turns)
    env = dict(start.env)
    for name, value in start.env.items():
        if after.env.get(name, NOTHING) is not value:
            env[name] = replaced(value, after.env.get(name, NOTHING), loop)
    return merged(State(env, start.heap, start.control), after)


def within(inner: Position, outer: Position) -> bool:
    """Whether a position lies within another one of the same file."""
    if inner[0] != outer[0]:
        return False
    if inner[3] < 0:
        return outer[1] <= inner[1] <= outer[3]
    return (outer[1], outer[2]) <= (inner[1], inner[2]) and (inner[3], inner[4]) <= (outer[3], outer[4])


def items(value: Value, state: State) -> Value:
    """Any item of a container, or of whatever the value is."""
    if any(isinstance(one, New) and one.made_by is dict for one in value.objects):
        keys = [held[KEY] for held in map(state.heap.__getitem__, map(owner_of, value.objects)) if KEY in held]
        return join([Value(value.labels), *(part for name, part in value.parts.items() if name == KEY), *keys])
    return values(value, state)


def values(value: Value, state: State) -> Value:
    """Any value that a container holds; of a dictionary, not its keys."""
    found = [Value(value.labels), *(part for name, part in value.parts.items() if name not in (SIZE, KEY))]
    for one in value.objects:
        if isinstance(one, New):
            found += [held for name, held in state.heap[one].items() if name not in (SIZE, KEY)]
        elif isinstance(one, _CONTAINERS):
            inside = list(one)[:_MOST_ITEMS]
            found += [Value(objects=tuple(inside))] if inside else []
            found += [state.heap[id(one)][ITEM]] if ITEM in state.heap[id(one)] else []
    return join(found)


def picked(whole: Value, part: Value) -> Value:
    """A part of a value: chosen by whatever chose the whole."""
    why = frozenset(one for one in whole.labels if one.how == "choice")
    return join([part, Value(why)]) if why else part


def contents(value: Value, state: State, seen: frozenset[Any] = frozenset()) -> frozenset[Label]:
    """All labels of a value, of its parts, and of what the objects that it may be hold."""
    labels = everything(value)
    for one in objects_in(value):
        # Objects may hold each other in a circle: each is looked into once.
        key = owner_of(one)
        cells = state.heap[key]
        if not cells or key in seen or isinstance(one, (types.FunctionType, type, str, int, Closure, BoundFunction)):
            continue
        for name, held in cells.items():
            if name != SIZE:
                labels |= contents(held, state, seen | {key})
    return labels


def objects_in(value: Value) -> tuple[Any, ...]:
    """What a value or one of its parts may be."""
    found = {id(one): one for one in value.objects}
    for part in [part for name, part in value.parts.items() if name != SIZE]:
        found |= {id(one): one for one in objects_in(part)}
    return tuple(found.values())


def size(value: Value, state: State) -> frozenset[Label]:
    """What decides how many items a container has; of anything else, all labels."""
    made = [one for one in value.objects if isinstance(one, New)]
    if value.labels or not (made or value.parts) or len(made) < len(value.objects):
        return contents(value, state)
    counted = [value.parts[SIZE]] if SIZE in value.parts else []
    counted += [state.heap[one][SIZE] for one in made if SIZE in state.heap[one]]
    return frozenset().union(*(everything(one) for one in counted))


def truth(value: Value) -> bool | None:
    """Whether a value that is known counts as true; None where it is not known."""
    if len(value.objects) != 1 or value.labels or value.parts:
        return None
    known = value.objects[0]
    return bool(known) if isinstance(known, (bool, int, str, type(None))) else None
