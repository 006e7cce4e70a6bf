"""Other values for a value: what a call might have answered instead, of the same type.

Several kinds, because each is blind to something: a marker leaves a test for a word true, a destroyed text
breaks a parser, only another number shows where a number went, only another option takes another branch, and only
nothing at all shows a guard against it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import operator
import re
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Annotated, Any, Union, get_args, get_origin

import pydantic

from ...record.snapshots import options

_MARK = "zqx"
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORD = re.compile(r"\w+")
_LABELLED = re.compile(r"(?m)^(\W*\w[\w ]{0,20}[:=][^\w\n]*)\w.*$")
_DATE = re.compile(r"\b\d{4}(?=-\d\d-\d\d)")
_OPPOSITES = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
_SHORT = 60
_ITEMS, _PER_ITEM = 5, 4
_SWAPS, _TWINS, _LIMITS = 4, 2, 2
_LONGEST_LIMIT, _MOST_ITEMS = 500, 50
MOST = 32
"""The most other values tried for one value."""


@dataclass(frozen=True)
class Hints:
    """What a program may be waiting for.

    `tests` are the texts and numbers that its code compares with, `words` other texts that it knows or was answered,
    `siblings` groups of texts of which it may look for one inside of a text; `twins` are what other calls answered in
    the same place.
    """

    tests: Sequence[Any] = ()
    words: Sequence[str] = ()
    siblings: Sequence[tuple[str, ...]] = ()
    twins: Sequence[Any] = ()

    @property
    def limits(self) -> list[int]:
        """Numbers that may be the least or the greatest length of something."""
        numbers = (one for one in self.tests if type(one) is int and 1 < one <= _LONGEST_LIMIT)
        return list(itertools.islice(numbers, _LIMITS))


NO_HINTS = Hints()


def alternatives(value: Any, annotation: Any = None, hints: Hints = NO_HINTS) -> list[Any]:
    """Other values of the same type, the most telling first, each once; at most `MOST`, none equal to `value`.

    The annotation may list the legal values.
    """
    swapped = itertools.islice(_swapped(value, hints.siblings), _SWAPS) if isinstance(value, str) else ()
    candidates = itertools.chain(swapped, _candidates(value, annotation, replace(hints, twins=())))
    nothing = [None] if value is not None and type(None) in get_args(annotation) else []
    # The first one changes a value and no way through the program, if any does: what large executions are told by.
    first = list(itertools.islice(candidates, 1))
    distinct = {_key(value): value}
    for other in itertools.chain(first, nothing, _of_another_kind(value, annotation), hints.twins[:_TWINS], candidates):
        distinct.setdefault(_key(other), other)
        if len(distinct) > MOST:
            break
    return list(distinct.values())[1:]


def _of_another_kind(value: Any, annotation: Any) -> Iterator[Any]:
    """A value of each model that a union allows beside the one that there is: what the code tells apart by kind."""
    if isinstance(value, (list, tuple)) and value:
        (item, *_), kinds = value, get_args(annotation)
        yield from (type(value)([other, *value[1:]]) for other in _of_another_kind(item, next(iter(kinds), None)))
    elif isinstance(value, pydantic.BaseModel):
        for kind in _allowed(annotation):
            if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel) and not isinstance(value, kind):
                with contextlib.suppress(TypeError):
                    yield made_up(kind, "value")


def _allowed(annotation: Any) -> tuple[Any, ...]:
    """The kinds of a union, also of one that says by which field they are told apart."""
    if get_origin(annotation) is Annotated:
        return _allowed(get_args(annotation)[0])
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else ()


def _swapped(text: str, siblings: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The text with one of a group of texts in it replaced by another of the group."""
    for group in siblings:
        for word in group:
            found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) if len(word) > 1 else None
            # The whole text is no part of it: `words` holds the others.
            if found is not None and found[0] != text:
                yield from (text[: found.start()] + other + text[found.end() :] for other in group if other != word)


def _key(value: Any) -> str:
    return f"{type(value).__name__}:{value!r}"


def _candidates(value: Any, annotation: Any, hints: Hints) -> Iterator[Any]:
    yield from options(annotation)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, Enum):
        yield from type(value)
    elif isinstance(value, (int, float)):
        yield from _numbers(value, hints)
    elif isinstance(value, str):
        yield from _texts(value, hints)
    elif isinstance(value, (list, tuple)):
        yield from _with_all(value, (type(value)(other) for other in _lists(list(value), annotation, hints)), hints)
    elif isinstance(value, dict):
        yield from _with_all(value, _dicts(value, hints), hints)
    elif isinstance(value, pydantic.BaseModel):
        yield from _with_all(value, _models(value, hints), hints)
    elif value is None:
        yield from _something(annotation)


def _with_all(value: Any, others: Iterator[Any], hints: Hints) -> Iterator[Any]:
    """The others, and from the second on the value with all its numbers large, or nothing, all its flags turned, or
    all its texts what the code compares with.

    What a threshold, a sum or a mean in the code turns on is seldom one change of one number in it.
    """
    yield from itertools.islice(others, 1)
    numbers = (int, float)
    changes: Sequence[tuple[tuple[type, ...], Callable[[Any], Any]]] = (
        (numbers, partial(_large, hints=hints)),
        (numbers, lambda number: type(number)(0)),
        ((bool,), operator.not_),
        *(((str,), partial(_instead, one)) for one in hints.tests if isinstance(one, str)),
    )
    for kinds, change in changes:
        with contextlib.suppress(Exception):  # validators are the user's own code; whatever they raise, it is illegal
            yield _mapped(value, kinds, change)
    yield from others


def _instead(one: str, _: str) -> str:
    return one


def _mapped(value: Any, kinds: tuple[type, ...], change: Callable[[Any], Any]) -> Any:
    """A value with all that is of some kinds in it changed."""
    if isinstance(value, dict):
        return {name: _mapped(item, kinds, change) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_mapped(item, kinds, change) for item in value)
    if isinstance(value, pydantic.BaseModel):
        held = {name: _mapped(getattr(value, name), kinds, change) for name in type(value).model_fields}
        return type(value).model_validate(held)
    return change(value) if type(value) in kinds else value


def _large(number: float, hints: Hints) -> float:
    """Twice as much, and more than any number that the code compares with."""
    limits = [one + 1 for one in hints.tests if type(one) in (int, float) and math.isfinite(one)]
    return type(number)(max(number * 2, *limits)) if limits else number * 2


def _something(annotation: Any) -> Iterator[Any]:
    """Values in place of none at all."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind not in (None, type(None))]
    for kind in kinds:
        try:
            yield made_up(kind, "value")
        except TypeError:
            continue
    yield from () if kinds else (_MARK, 7)


def _numbers(value: float, hints: Hints) -> Iterator[Any]:
    # The first few are what an item of a list or dictionary gets: a step, a share, nothing, and much more.
    yield value + 1
    yield from (value * 1.1,) if isinstance(value, float) else ()
    yield from (type(value)(0), _large(value, hints), value * 2)
    for limit in (one for one in hints.tests if isinstance(one, (int, float)) and not isinstance(one, bool)):
        step = 1 if isinstance(value, int) else 0.01
        yield from (type(value)(limit + change) for change in (0, step, -step))
    yield from (value - 1, -value, value + type(value)(10))
    if isinstance(value, float):
        yield from (value / 2, 1.0, 0.99, 0.01)
    else:
        yield from (1, 2, 3, 5, 100)


def _texts(text: str, hints: Hints) -> Iterator[str]:
    stripped = text.strip()
    if stripped.lower() in _OPPOSITES:
        yield _like(stripped, _OPPOSITES[stripped.lower()])
    parsed = _json_texts(text, hints)
    yield from itertools.islice(parsed, _PER_ITEM)
    yield _woven(text)
    yield ""
    short = len(stripped) <= _SHORT
    tests = [one for one in hints.tests if isinstance(one, str)]
    # What has to hold several texts at once, as a patch its headers; a test for a word in a long text.
    yield from (["\n".join([*tests, text])] if len(tests) > short else [])
    yield from _in_place(text, hints)
    yield "7"
    yield from (one if short or len(one) > _SHORT else f"{one} {text}" for one in tests)
    yield from parsed
    yield _NUMBER.sub(lambda match: str(float(match[0]) + 1 if "." in match[0] else int(match[0]) + 1), text)
    yield f"{text} {_MARK}"
    yield f"{_MARK} {text}"
    yield from _one_number_large(text)
    yield from (" ".join(_repeated(text.split() or [_MARK], limit + 1)) for limit in hints.limits)
    yield from _lines(text)
    yield from (one for one in hints.words if short or len(one) > _SHORT)
    yield f"{_MARK} 7 words {_MARK}ly other"
    yield text.swapcase()
    yield from _without(text)


def _in_place(text: str, hints: Hints) -> Iterator[str]:
    """What the code compares with where its like stands: after labels, as last line, as first number; other dates."""
    texts = [one for one in hints.tests if isinstance(one, str)][:_SWAPS]
    numbers = [one for one in hints.tests if isinstance(one, (int, float)) and not isinstance(one, bool)]
    before, found, _ = text.rstrip().rpartition("\n")
    yield from (_LABELLED.sub(partial(_labelled, one), text) for one in texts)
    yield from (f"{before}\n{one}" for one in texts if found)
    yield from (_NUMBER.sub(str(one), text, count=1) for one in numbers[:_LIMITS])
    yield from (_DATE.sub(year, text) for year in ("1900", "2999"))


def _labelled(word: str, match: re.Match[str]) -> str:
    return f"{match[1]}{word}"


def _repeated(items: Sequence[Any], length: int) -> list[Any]:
    return list(itertools.islice(itertools.cycle(items), length))


def _like(pattern: str, word: str) -> str:
    return word.upper() if pattern.isupper() else word.title() if pattern[:1].isupper() else word


def _woven(text: str) -> str:
    found = list(_WORD.finditer(text))
    if not found:
        return f"{text}{_MARK}"
    middle = found[len(found) // 2]
    return f"{text[: middle.start()]}{_MARK}{text[middle.start() :]}"


def _lines(text: str) -> Iterator[str]:
    lines = text.splitlines()
    if len(lines) > 1:
        yield "\n".join(_woven(line) for line in lines)
        yield "\n".join(lines[:-1])
        yield "\n".join(reversed(lines))
    parts = text.split(",")
    if len(parts) > 1:
        yield ",".join(parts[:-1])
        yield ",".join(f"{part}{_MARK}" for part in parts)


def _one_number_large(text: str) -> Iterator[str]:
    """One number after the other far above the rest: what a sum, a ranking or a limit turns on."""
    found = list(_NUMBER.finditer(text))
    for match in found[:_SWAPS]:
        yield f"{text[: match.start()]}9{match[0]}{text[match.end() :]}"
    if found:
        yield _NUMBER.sub("0", text)


def _without(text: str) -> Iterator[str]:
    words = text.split()
    if len(words) > 1:
        yield " ".join(words[1:])
        yield " ".join(words[:-1])
        yield " ".join(reversed(words))


def _json_texts(text: str, hints: Hints) -> Iterator[str]:
    if text.strip()[:1] not in ("{", "["):
        return
    try:
        parsed = json.loads(text)
    except ValueError:
        return
    for other in alternatives(parsed, None, replace(hints, twins=())):
        yield json.dumps(other)


def _lists(items: list[Any], annotation: Any, hints: Hints) -> Iterator[list[Any]]:
    if not items:
        some = list(_something(next(iter(get_args(annotation)), None)))[:1]
        yield from (_repeated(some, length) for length in (2, 1))
    yield [next(iter(alternatives(item)), item) for item in items]
    yield []
    yield items[:-1]
    yield items[1:]
    for rank in range(_PER_ITEM):
        # One kind of change for every item before the next kind: the most telling ones come first.
        for at, item in enumerate(items[:_ITEMS]):
            others = alternatives(item, None, hints)
            if rank < len(others):
                yield [*items[:at], others[rank], *items[at + 1 :]]
    yield items[::-1]
    if items:
        yield [*items, next(iter(alternatives(items[-1])), items[-1])]
        yield from (_repeated(items, limit + 1) for limit in hints.limits if limit <= _MOST_ITEMS)


def _dicts(values: dict[Any, Any], hints: Hints) -> Iterator[dict[Any, Any]]:
    for rank in range(_PER_ITEM):
        for name, value in list(values.items())[:_ITEMS]:
            others = alternatives(value, None, hints)
            if rank < len(others):
                yield {**values, name: others[rank]}
    for name in list(values)[:_PER_ITEM]:
        yield {key: value for key, value in values.items() if key != name}
    yield {**values, _MARK: _MARK}
    texts = [one for one in hints.tests if isinstance(one, str)]
    yield dict.fromkeys(texts, texts[-1]) if texts and not values else {}


def _models(model: pydantic.BaseModel, hints: Hints) -> Iterator[pydantic.BaseModel]:
    held = {name: getattr(model, name) for name in type(model).model_fields}
    strict = _validated(model, held) is not None
    others = {name: alternatives(held[name], info.annotation, hints) for name, info in type(model).model_fields.items()}
    for rank in range(MOST):
        for name in [name for name in held if rank < len(others[name])]:
            # A model that does not even take its own values, such as one with aliases, cannot be asked.
            changed = {name: others[name][rank]}
            twin = _validated(model, held | changed) if strict else model.model_copy(update=changed)
            if twin is not None:
                yield twin


def _validated(model: pydantic.BaseModel, values: dict[str, Any]) -> pydantic.BaseModel | None:
    try:
        twin = type(model).model_validate(values)
        str(twin)
    except Exception:  # noqa: BLE001 - validators and texts are the user's own code; whatever they raise, it is illegal
        return None
    return twin


def made_up(annotation: Any, name: str) -> Any:
    """A value of a type out of nothing, for a call that the record does not have; `TypeError` where there is none."""
    legal = options(annotation)
    if legal:
        return legal[0]
    simple: Iterable[tuple[Any, Any]] = ((str, f"{_MARK} made-up {name}"), (bool, True), (int, 3), (float, 0.5))
    for kind, value in simple:
        if annotation is kind or annotation is Any:
            return value
    origin = get_origin(annotation) or annotation
    if origin in (list, tuple, set, frozenset, dict):
        return origin()
    if type(None) in get_args(annotation):
        return None
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        values = {key: made_up(info.annotation, key) for key, info in annotation.model_fields.items()}
        return annotation.model_construct(**values)
    raise TypeError(f"no value of type {annotation} can be made up")
