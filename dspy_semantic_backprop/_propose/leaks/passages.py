"""What an example holds, as texts that an instruction could quote."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from .words import words

SHORT = 8
"""A value of fewer words says little by itself: "State representative", "42"."""

_DEEPEST = 20
_ONE_VALUE = 5
_SHARE = 0.6


@dataclass(frozen=True)
class Passage:
    """A text of an example.

    Args:
        example_id: The example's position in its set.
        field: The field, or the fields that the text puts side by side, joined by commas.
        text: The text.
        whole: Whether it is what the example is about, so that it is a quotation however short it is.
        least: How many of its words quote it, where that is known; 0 where the index may decide.
    """

    example_id: int
    field: str
    text: str
    whole: bool = False
    least: int = 0


def leaves(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The texts inside a value: (where in it, text). Keys and field names are no texts.

    Args:
        value: Any value: a text, a number, a list, a mapping, a pydantic model, a data class.
        path: What to call the place of the value itself.
        depth: How deep it lies in another value; what lies deeper than 20 levels is left out.
    """
    if value is None or isinstance(value, bool | bytes) or depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield path, value
        return
    items = _items(value)
    if items is None:
        yield path, str(value)
        return
    for key, item in items:
        yield from leaves(item, str(key) if key is not None else path, depth + 1)


def passages(example_id: int, inputs: Mapping[str, Any], labels: Mapping[str, Any]) -> list[Passage]:
    """What of an example an instruction could quote.

    Args:
        example_id: The example's position in its set.
        inputs: Its input fields.
        labels: Its other fields.

    Returns:
        Its long texts, its main input however short that is, and its short inputs side by side, with and without
        their names.
    """
    given = [(name, key, text) for name, value in inputs.items() for key, text in leaves(value, name) if text.strip()]
    told = [(name, text) for name, value in labels.items() for _, text in leaves(value, name)]
    long = [_is_long(text) for _, _, text in given]
    found = [Passage(example_id, name, text) for (name, _, text), is_long in zip(given, long, strict=True) if is_long]
    found += [Passage(example_id, name, text) for name, text in told if _is_long(text)]
    beside = [one for one, is_long in zip(given, long, strict=True) if not is_long]
    if given and len(beside) == len(given):
        name, _, text = max(given, key=lambda one: len(one[2]))
        found.append(Passage(example_id, name, text, whole=len(given) == 1 or len(words(text)) > 3))
    if len(beside) > 1:
        names = ", ".join(dict.fromkeys(name for name, _, _ in beside))
        forms = [f"{key}: {text}" for _, key, text in beside], [text for _, _, text in beside]
        sizes = [len(words(text)) for _, _, text in beside]
        # One of the values alone is no quotation of them all.
        least = max(min(max(sizes), _ONE_VALUE) + 2, min(SHORT - 1, math.ceil(_SHARE * sum(sizes))), 4)
        found.append(Passage(example_id, names, "\n".join(itertools.chain(*forms)), least=least))
    return found


def _is_long(text: str) -> bool:
    return len(words(text[: 40 * SHORT])) >= SHORT


def _items(value: Any) -> list[tuple[Any, Any]] | None:
    parts: Any = value
    if hasattr(value, "model_dump"):
        parts = value.model_dump()
    elif dataclasses.is_dataclass(value):
        parts = vars(value)
    if isinstance(parts, type):
        return None
    if hasattr(parts, "items"):
        return list(parts.items())
    if isinstance(parts, Set):
        parts = sorted(parts, key=str)
    return [(None, item) for item in parts] if isinstance(parts, Sequence) else None
