"""DSPy's values as records: predictions, declared fields, copies of values as they are now, and which are alike."""

from __future__ import annotations

import copy
import functools
import re
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import dspy

from ..._secrets import cleaned
from ..trace import Field

_ATOMS = (str, int, float, bool, bytes, type(None))


def output_fields(returned: Any) -> dict[str, Any]:
    """The returned prediction as field -> value; another returned value stands under "output"."""
    if isinstance(returned, dspy.Prediction):
        return dict(returned.items())
    if isinstance(returned, Mapping):
        return {str(name): value for name, value in returned.items()}
    return {} if returned is None else {"output": returned}


@functools.lru_cache(maxsize=1024)
def declaration(signature: Any) -> dict[str, Any]:
    """What a signature declares, as keyword arguments of a `Call`."""
    return {
        "instruction": signature.instructions,
        "input_fields": _declared(signature.input_fields),
        "output_fields": _declared(signature.output_fields),
        "annotations": {name: info.annotation for name, info in signature.output_fields.items()},
    }


def _declared(fields: Mapping[str, Any]) -> tuple[Field, ...]:
    records = []
    for name, info in fields.items():
        extra = info.json_schema_extra or {}
        description = str(extra.get("desc") or "")
        placeholder = description == f"${{{name}}}"
        kind = getattr(info.annotation, "__name__", None) or str(info.annotation)
        records.append(Field(name, kind, "" if placeholder else description))
    return tuple(records)


def options(annotation: Any) -> tuple[Any, ...]:
    """The legal values that a type lists: a Literal's, an Enum's, also inside of an Optional."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(annotation)
    return tuple(option for part in get_args(annotation) for option in options(part) if get_origin(part) is Literal)


def demonstrations(signature: Any, demos: Any) -> tuple[dict[str, Any], ...]:
    """The demonstrations that an adapter puts into the prompt of a call, in their order there.

    Those are the ones with an input and an output; incomplete ones first, as DSPy shows them.
    """
    shown = []
    for demo in demos or ():
        values = dict(demo) if isinstance(demo, (Mapping, dspy.Example)) else {}
        known = {name: values[name] for name in signature.fields if name in values}
        if known.keys() & signature.input_fields.keys() and known.keys() & signature.output_fields.keys():
            shown.append({name: value for name, value in known.items() if value is not None})
    return tuple(sorted(shown, key=lambda demo: len(demo) == len(signature.fields)))


def snapshot(value: Any) -> Any:
    """A value as it is now: containers and models are copied, since programs change them in place."""
    if type(value) in _ATOMS or isinstance(value, (str, int, float, bytes)):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - a client or a lock inside a value must not fail the program
        return str(value)


def describe(error: BaseException) -> str:
    """An exception as text, without secrets: its class and its message."""
    return cleaned(f"{type(error).__name__}: {error}".strip().removesuffix(":"))


_DEEPEST = 8
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def alike(one: Any, other: Any) -> bool:
    """Whether two values are of one type and equal, or hold the same; a comparison that raises says no.

    Where an object lives does not count: two objects without an equality of their own are the same if their attributes
    are.
    """
    try:
        return _alike(one, other, _DEEPEST, frozenset())
    except Exception:  # noqa: BLE001 - comparing is the user's own code
        return False


def _alike(one: Any, other: Any, depth: int, under_way: frozenset[tuple[int, int]]) -> bool:
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


def _objects_alike(one: Any, other: Any, depth: int, under_way: frozenset[tuple[int, int]]) -> bool:
    if isinstance(one, types.FunctionType):
        return one.__code__ is other.__code__
    if hasattr(one, "tobytes") and hasattr(one, "dtype"):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if callable(getattr(one, "equals", None)):
        return bool(one.equals(other))
    if type(one).__eq__ is not object.__eq__ and bool(one == other):
        return True
    return _attributes_alike(one, other, depth, under_way)


def _attributes_alike(one: Any, other: Any, depth: int, under_way: frozenset[tuple[int, int]]) -> bool:
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
