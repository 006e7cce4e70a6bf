"""Which outputs of a prediction the program's code looked at."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any


class ReadStore(dict[str, Any]):
    """A prediction's values that report each field that is read; equal to, and copied as, a plain dictionary."""

    def __init__(self, values: Mapping[str, Any], report: Callable[[str], Any]) -> None:
        super().__init__(values)
        self._report = report

    def plain(self) -> dict[str, Any]:
        """The values as a plain dictionary, without a report."""
        return dict(super().items())

    def _all(self) -> None:
        for name in list(super().keys()):
            self._report(name)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def copy(self) -> dict[str, Any]:
        """Read all, into a plain dictionary."""
        self._all()
        return self.plain()

    def __reduce__(self) -> Any:
        return dict, (self.copy(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.copy(), memo)


def _reading(name: str, every: bool) -> Callable[..., Any]:
    method = getattr(dict, name)

    @functools.wraps(method)
    def read(self: ReadStore, *arguments: Any) -> Any:
        for field in list(dict.keys(self)) if every else arguments[:1]:
            self._report(field)
        return method(self, *arguments)

    return read


for _name in ("__getitem__", "get", "pop", "setdefault"):
    setattr(ReadStore, _name, _reading(_name, every=False))
for _name in ("__eq__", "__or__", "__ror__", "__repr__", "__iter__", "keys", "values", "items", "popitem"):
    setattr(ReadStore, _name, _reading(_name, every=True))


def watch_reads(prediction: Any, report: Callable[[str], Any]) -> list[Callable[[], None]]:
    """Have all completions of a prediction report the fields that are read; returns what takes the watch away again."""
    holders: list[tuple[Any, str]] = [(prediction, "_store")]
    if prediction.completions is not None:
        holders.append((prediction.completions, "_completions"))
    for holder, name in holders:
        setattr(holder, name, ReadStore(getattr(holder, name), report))

    def unwatch(holder: Any, name: str) -> None:
        if isinstance(getattr(holder, name), ReadStore):
            setattr(holder, name, getattr(holder, name).plain())

    return [functools.partial(unwatch, *one) for one in holders]


def further(outputs: Any) -> list[dict[str, Any]]:
    """The completions after the first of what a predictor answered."""
    completions = getattr(outputs, "completions", None)
    if completions is None:
        return []
    rows = dict(dict.items(completions._completions))
    count = min((len(values) for values in rows.values()), default=0)
    return [{name: values[at] for name, values in rows.items()} for at in range(1, count)]
