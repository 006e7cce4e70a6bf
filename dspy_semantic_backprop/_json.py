"""Records as JSON values, and back from them."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from pydantic import TypeAdapter

from ._secrets.known import unsaid

T = TypeVar("T")


def to_json(record: Any) -> dict[str, Any]:
    """A dataclass as JSON values, without secrets."""
    return unsaid(_adapter(type(record)).dump_python(record, mode="json"))


def from_json(kind: type[T], state: Any) -> T:
    """The record of a kind that `to_json` turned into these values; a `ValueError` where they are another's."""
    return _adapter(kind).validate_python(state)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Made when it is wanted: for nested records that takes milliseconds.
    return TypeAdapter(kind)
