"""DSPy's values as records: predictions, declared fields, copies of values as they are now."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import dspy

from .trace import Field

_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


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
        "input_fields": declared(signature.input_fields),
        "output_fields": declared(signature.output_fields),
        "annotations": {name: info.annotation for name, info in signature.output_fields.items()},
    }


def declared(fields: Mapping[str, Any]) -> tuple[Field, ...]:
    """A signature's fields as records."""
    records = []
    for name, info in fields.items():
        extra = info.json_schema_extra or {}
        description = str(extra.get("desc") or "")
        placeholder = description == f"${{{name}}}"
        kind = getattr(info.annotation, "__name__", None) or str(info.annotation)
        records.append(Field(name, kind, "" if placeholder else description))
    return tuple(records)


def snapshot(value: Any) -> Any:
    """A value as it is now: containers and models are copied, since programs change them in place."""
    if type(value) in _ATOMS or isinstance(value, (str, int, float, bytes)):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - a client or a lock inside a value must not fail the program
        return str(value)


def describe(error: BaseException) -> str:
    """An exception as text: its class and its message."""
    return f"{type(error).__name__}: {error}".strip().removesuffix(":")
