"""A user's value as text or as JSON, whatever it is: printing and iterating over it is its class's own code."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import dspy

from .media import is_formatted, without_markers, words_for

DEEPEST = 60
"""What lies deeper than so many levels is not shown: JSON and the interpreter have their own bounds."""
_DEEPER = "..."
_SHORT = 200


def printed(value: Any) -> str:
    """A value's own text; a few words where its class has none, or one that never ends."""
    if type(value) is str:
        return value
    try:
        if is_formatted(value):
            return words_for(value)
        if isinstance(value, (bytes, bytearray, memoryview)) and len(value) > _SHORT:
            return f"({type(value).__name__}: {len(value):,} bytes)"
        return without_markers(str(value))
    except Exception as error:  # noqa: BLE001 - printing is the value's own code
        return f"({type(value).__name__} without a text: {_said(error)})"


def said(value: Any, width: int = 200) -> str:
    """A value as code would write it, on one short line, for messages."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - printing is the value's own code
        text = printed(value)
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}".removesuffix(": ")
    except Exception:  # noqa: BLE001 - an error's text is code as well
        return type(error).__name__


def readable(value: Any) -> str:
    """A value as a language model reads it: texts as they are, records by field, the rest as JSON."""
    if isinstance(value, str):
        return without_markers(value)
    if isinstance(value, (Mapping, dspy.Example)):
        return "\n".join(f"{printed(name)}: {readable(item)}" for name, item in dict(jsonable(value)).items())
    found = jsonable(value) if not isinstance(value, float) else str(value)
    return found if isinstance(found, str) else without_markers(json.dumps(found, ensure_ascii=False))


def jsonable(value: Any) -> Any:
    """A value as JSON would give it back; what JSON does not know becomes its text, a number that it lacks None."""
    return _json(value, DEEPEST, ())


def _json(value: Any, depth: int, above: tuple[int, ...]) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return without_markers(str(value)) if "CUSTOM-TYPE-" in value else str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth == 0 or id(value) in above:
        return _DEEPER
    try:
        inside = _inside(value)
    except Exception:  # noqa: BLE001 - iterating is the value's own code
        inside = None
    above = (*above, id(value))
    if isinstance(inside, dict):
        return {printed(name): _json(item, depth - 1, above) for name, item in inside.items()}
    if isinstance(inside, list):
        return [_json(item, depth - 1, above) for item in inside]
    return printed(value)


def _inside(value: Any) -> dict[Any, Any] | list[Any] | None:
    """What a record or a container holds; None for everything else."""
    if is_formatted(value) or isinstance(value, type):
        return None
    if isinstance(value, (Mapping, dspy.Example)):
        return dict(value.items())
    if isinstance(value, (list, tuple, deque)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        # A set has no order that another process would repeat.
        return sorted(value, key=printed)
    if hasattr(type(value), "model_fields"):
        return _of_model(value)
    return {one.name: getattr(value, one.name, None) for one in fields(value)} if is_dataclass(value) else None


def _of_model(value: Any) -> Any:
    dumped = value.model_dump(mode="json")
    if isinstance(dumped, (dict, list)):
        return dumped
    return None
