"""DSPy's values as records: predictions, declared fields, demonstrations, exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, get_args, get_origin
from weakref import WeakKeyDictionary

import dspy

from ..._secrets.errors import learn_from
from ..._secrets.known import cleaned
from ..._values.text import printed
from ..trace import Field


def output_fields(returned: Any) -> dict[str, Any]:
    """The returned prediction as field -> value; another returned value stands under "output"."""
    if isinstance(returned, dspy.Prediction):
        return dict(returned.items())
    if isinstance(returned, Mapping):
        return {str(name): value for name, value in returned.items()}
    return {} if returned is None else {"output": returned}


# Every candidate's edited predictors have signatures of their own, large classes that go with it.
_DECLARED: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def declaration(signature: Any) -> dict[str, Any]:
    """What a signature declares, as keyword arguments of a `Call`."""
    found = _DECLARED.get(signature)
    if found is None:
        found = _DECLARED[signature] = _declaration(signature)
    return found


def _declaration(signature: Any) -> dict[str, Any]:
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


def describe(error: BaseException, most: int | None = None) -> str:
    """An exception as text, without secrets: its class and its message, of so many characters at most."""
    learn_from(error)
    text = cleaned(f"{type(error).__name__}: {printed(error)}".strip().removesuffix(":"))
    return text if most is None or len(text) <= most else f"{text[:most]} ..."
