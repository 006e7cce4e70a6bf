"""When two values are the same, and which call of a replay is which recorded one."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...trace import Call, Trace

_DEEPEST = 8
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ATOMS = (str, int, float, bool, bytes, type(None))


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same to a reader.

    Args:
        one: Any value.
        other: Any value; comparing runs the values' own code, and one that raises is not alike.

    Returns:
        Whether they are of one type and equal, or hold the same. Where an object lives does not count: two
        objects without an equality of their own are the same if their attributes are.
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, _ATOMS):
        return one == other or (one != one and other != other)
    try:
        return _alike(one, other, _DEEPEST, set())
    except Exception:  # noqa: BLE001 - comparing is the user's own code
        return False


def _alike(one: Any, other: Any, depth: int, under_way: set[tuple[int, int]]) -> bool:
    if one is other or (id(one), id(other)) in under_way:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, _ATOMS):
        return one == other or (one != one and other != other)
    if depth == 0:
        return True
    under_way = under_way | {(id(one), id(other))}
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_alike(one[key], other[key], depth - 1, under_way) for key in one)
    if isinstance(one, (list, tuple)):
        pairs = zip(one, other, strict=True)
        return len(one) == len(other) and all(_alike(*pair, depth - 1, under_way) for pair in pairs)
    return _objects_alike(one, other, depth, under_way)


def _objects_alike(one: Any, other: Any, depth: int, under_way: set[tuple[int, int]]) -> bool:
    if isinstance(one, types.FunctionType):
        return one.__code__ is other.__code__
    if hasattr(one, "tobytes") and hasattr(one, "dtype"):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if callable(getattr(one, "equals", None)):
        return bool(one.equals(other))
    if type(one).__eq__ is not object.__eq__ and bool(one == other):
        return True
    return _attributes_alike(one, other, depth, under_way)


def _attributes_alike(one: Any, other: Any, depth: int, under_way: set[tuple[int, int]]) -> bool:
    mine, others = _attributes(one), _attributes(other)
    if isinstance(one, BaseException):
        mine, others = {**mine, "": one.args}, {**others, "": other.args}
    if not mine and not others:
        # Nothing to look into: the text tells, but for the address in it.
        return _ADDRESS.sub("", str(one)) == _ADDRESS.sub("", str(other))
    return _alike(mine, others, depth - 1, under_way)


def _attributes(value: Any) -> dict[str, Any]:
    names = [name for cls in type(value).__mro__ for name in _slots(cls)]
    return {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in names if hasattr(value, name)}}


def _slots(cls: type) -> list[str]:
    slots = cls.__dict__.get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if not name.startswith("__")]


@dataclass(frozen=True)
class Plan:
    """Which call of a replay is which recorded one.

    Args:
        places: Predictor -> for each of its calls, by arrival, the recorded call that it is, or None.
        reserved: Recorded calls that a call with the very same inputs will come for.
    """

    places: Mapping[str, list[Call | None]] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()


def likeness(recorded: Mapping[str, Any], inputs: Mapping[str, Any]) -> int:
    """How many of the recorded inputs are given again."""
    # What DSPy adds to a call after it was recorded, the defaults of fields left out, tells calls apart nowhere.
    return sum(alike(value, inputs.get(name)) for name, value in recorded.items())


def same_inputs(call: Call, inputs: Mapping[str, Any]) -> bool:
    """Whether a recorded call was given the very same inputs."""
    return all(alike(value, inputs.get(name)) for name, value in call.inputs.items())


def realigned(trace: Trace, given: Mapping[str, list[Mapping[str, Any]]]) -> Plan | None:
    """A better guess at which call is which, once all calls of a replay are known.

    Equal inputs make calls the same, wherever they stand; those that are left are matched in order.

    Args:
        trace: The record.
        given: Predictor -> the inputs of each of its calls in the replay, by arrival.

    Returns:
        The plan for another replay; None where the first guess cannot be bettered.
    """
    places: dict[str, list[Call | None]] = {}
    reserved: set[str] = set()
    for name, calls in given.items():
        recorded = [call for call in trace.calls if call.predictor == name]
        if any(call.concurrent for call in recorded):
            exact = [next((call for call in recorded if same_inputs(call, inputs)), None) for inputs in calls]
            known = {call.id for call in exact if call is not None}
            reserved |= known if len(known) < len(calls) else set()
        elif recorded and len(recorded) != len(calls):
            places[name] = _placed(recorded, calls)
    return Plan(places, frozenset(reserved)) if places or reserved else None


def _placed(recorded: list[Call], calls: list[Mapping[str, Any]]) -> list[Call | None]:
    matched: list[Call | None] = []
    left = list(recorded)
    for inputs in calls:
        same = next((call for call in left if same_inputs(call, inputs)), None)
        matched.append(same)
        if same is not None:
            left.remove(same)
    extra = len(calls) - len(recorded)
    for at, call in enumerate(matched):
        if call is None and left and extra <= 0:
            matched[at] = left.pop(0)
        elif call is None:
            extra -= 1
    return matched
