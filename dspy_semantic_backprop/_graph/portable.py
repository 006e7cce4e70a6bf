"""What another process can be sent of a record: values as they are, and a text for each that pickle cannot carry."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from typing import Any

from .._values.text import printed

_DEEPEST = 12


def portable(value: Any, depth: int = 0) -> Any:
    """A value for pickle: the same if it can be carried, else a copy with texts for its locks, files and closures."""
    if _carried(value):
        return value
    if depth >= _DEEPEST or isinstance(value, type):
        return printed(value)
    if isinstance(value, BaseException):
        carrier = _Exception(value)
        return carrier if _carried(carrier) else RuntimeError(f"{type(value).__name__}: {printed(value)}")
    if isinstance(value, Mapping):
        return {portable(key, depth + 1): portable(item, depth + 1) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(portable(item, depth + 1) for item in value)
    return _twin(value, depth)


def _carried(value: Any) -> bool:
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # noqa: BLE001 - any class may refuse in its own way
        return False
    return True


def _twin(value: Any, depth: int) -> Any:
    """An object of the same class with portable attributes; its text where there is none."""
    try:
        twin = copy.copy(value)
        if twin is not value:
            vars(twin).update({name: portable(item, depth + 1) for name, item in vars(value).items()})
    except Exception:  # noqa: BLE001 - any class may refuse in its own way
        return printed(value)
    return twin if twin is not value and _carried(twin) else printed(value)


class _Exception:
    """Stands for an exception while it is pickled: many classes cannot be made again from their `args` alone."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        error = self.error
        attributes = {name: portable(value, 1) for name, value in vars(error).items()}
        return raised_again, (type(error), portable(error.args, 1), attributes)


def raised_again(kind: type[BaseException], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind)
    error.args = arguments
    vars(error).update(attributes)
    return error
