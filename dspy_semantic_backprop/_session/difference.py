"""What differs between two descriptions of a run, in one sentence for a message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST = 3
"""How many differences are named."""
_WIDTH = 60
_ABSENT = "absent"


def difference(old: Any, new: Any) -> str:
    """Name the first differences between two JSON values by their paths.

    Args:
        old: What was.
        new: What is.

    Returns:
        Such as "settings.steps was 8 and is 4", several separated by ", ".
    """
    found = list(_differences(old, new, ""))
    named = [f"{path} was {_short(one)} and is {_short(other)}" for path, one, other in found[:MOST]]
    rest = [f"{len(found) - MOST} more"] if len(found) > MOST else []
    return ", ".join([*named, *rest])


def _differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            below = f"{path}.{name}" if path else str(name)
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), below)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"the length of {path}", len(old), len(new)
        for at, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _differences(one, other, f"{path}[{at}]")
    elif old != new:
        yield path, old, new


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) or value != _ABSENT else _ABSENT
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
