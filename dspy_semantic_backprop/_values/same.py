"""Whether two values are the same, by what they hold: never by the text that they print, which may be abbreviated.

Tables, arrays, tensors and images are recognised by what they can do, so that none of their libraries is imported.
"""

from __future__ import annotations

import hashlib
import types
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple

import dspy

from .walk import ATOMS, LOCKS, NAMED, STREAMS, attributes, walk

_MOST = 200_000
"""Values that hold more than so many others that can change are compared no further, and count as different."""


def alike(one: Any, other: Any) -> bool:
    """Whether two values are of one type and equal, or hold the same; where that cannot be found out they are not.

    Where an object lives does not count: two objects without an equality of their own are the same if their attributes
    are.
    """
    seen: dict[tuple[int, int], Any] = {}
    left = [(one, other)]
    try:
        while left:
            mine, theirs = left.pop()
            if mine is theirs or (id(mine), id(theirs)) in seen:
                continue
            if type(mine) is not type(theirs) or len(seen) > _MOST:
                return False
            if type(mine) not in ATOMS:
                seen[id(mine), id(theirs)] = mine, theirs
            inner = _pairs(mine, theirs)
            if inner is None:
                return False
            left += inner
    except Exception:  # noqa: BLE001 - iterating and comparing is the values' own code
        return False
    return True


def _pairs(one: Any, other: Any) -> list[tuple[Any, Any]] | None:
    """What must be alike for two values of one type to be; None where they are not."""
    if type(one) in ATOMS or isinstance(one, Enum):
        return [] if one == other or (one != one and other != other) else None
    if isinstance(one, Mapping):
        if len(one) != len(other) or any(key not in other for key in one):
            return None
        return [(one[key], other[key]) for key in one]
    if isinstance(one, (list, tuple, deque)):
        return list(zip(one, other, strict=True)) if len(one) == len(other) else None
    if callable(getattr(type(one), "equals", None)):
        return [] if one.equals(other) else None
    if isinstance(one, (set, frozenset)) or is_data(one):
        return [] if digest(one) == digest(other) else None
    return _objects(one, other)


def _objects(one: Any, other: Any) -> list[tuple[Any, Any]] | None:
    if isinstance(one, types.FunctionType):
        # What a function closes over may be the very program that it is a part of.
        return [] if one.__code__ == other.__code__ else None
    if type(one).__eq__ is not object.__eq__ and _equal(one, other):
        return []
    parts, others = _taken_apart(one), _taken_apart(other)
    if parts.opaque and others.opaque:
        return [] if parts[:2] == others[:2] else None
    # Attributes before anything else: what an object makes of itself to be carried away may be new every time.
    if attributes(one):
        return [(_held(one), _held(other))]
    return [(list(parts), list(others))]


def _held(value: Any) -> dict[str, Any]:
    arguments = {"": value.args} if isinstance(value, BaseException) else {}
    return {**attributes(value), **arguments}


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - comparing is the value's own code
        return False


def digest(value: Any) -> str:
    """The SHA-256 of what a value holds: the same in every process, whatever the order of sets and mappings."""
    return contents(value)[0]


def contents(value: Any) -> tuple[str, tuple[str, ...]]:
    """A value's digest, and the types of what it holds whose content nobody can know: a generator, an open file."""
    one = _Digest()
    return walk(one.step, value).hex(), tuple(one.opaque)


class _Parts(NamedTuple):
    """What tells a value from others: its kind, some bytes, and inner values."""

    kind: str
    content: bytes = b""
    inner: Iterable[Any] = ()
    ordered: bool = True
    opaque: bool = False


class _Digest:
    """Takes values apart, each object once; one that holds itself is told by how far above it stands."""

    def __init__(self) -> None:
        self.opaque: dict[str, None] = {}
        self._known: dict[int, tuple[Any, bytes]] = {}
        self._above: list[int] = []

    def step(self, value: Any) -> Generator[Any, bytes, bytes]:
        """The digest of one value; inner ones are yielded."""
        if type(value) in ATOMS:
            return _hashed(type(value).__name__, _bytes(value))
        if id(value) in self._known:
            return self._known[id(value)][1]
        if id(value) in self._above:
            return _hashed("above", str(len(self._above) - self._above.index(id(value))).encode())
        self._above.append(id(value))
        parts = _taken_apart(value)
        if parts.opaque:
            self.opaque[type(value).__name__] = None
        found = []
        for item in parts.inner:
            found.append((yield item))
        self._above.pop()
        result = _hashed(parts.kind, parts.content, *(found if parts.ordered else sorted(found)))
        self._known[id(value)] = value, result
        return result


def _hashed(kind: str, *contents: bytes) -> bytes:
    state = hashlib.sha256(kind.encode("utf-8", "surrogatepass"))
    for content in contents:
        state.update(len(content).to_bytes(8, "big"))
        state.update(content)
    return state.digest()


def _bytes(atom: Any) -> bytes:
    if isinstance(atom, bytes):
        return atom
    return atom.encode("utf-8", "surrogatepass") if isinstance(atom, str) else repr(atom).encode()


def _framed(atom: Any) -> tuple[bytes, bytes]:
    content = _bytes(atom)
    return f"{type(atom).__name__} {len(content)} ".encode(), content


def _name(thing: Any) -> str:
    return (
        f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', None) or getattr(thing, '__name__', '')}"
    )


def _taken_apart(value: Any) -> _Parts:
    """What tells a value from others; where its class does not say, its type alone does."""
    kind = _name(type(value))
    for take in (_container, _named, _data, _record, _reduced):
        try:
            found = take(value, kind)
        except Exception:  # noqa: BLE001 - looking into a value is its class's own code
            continue
        if found is not None:
            return found
    held = attributes(value)
    return _Parts(kind, inner=[held]) if held else _Parts(kind, opaque=True)


def _container(value: Any, kind: str) -> _Parts | None:
    if isinstance(value, (Mapping, dspy.Example)):
        return _Parts(kind, inner=list(value.items()), ordered=False)
    if isinstance(value, (set, frozenset)):
        return _Parts(kind, inner=list(value), ordered=False)
    if isinstance(value, (list, tuple, deque)):
        items = list(value)
        if all(type(item) in ATOMS for item in items):
            return _Parts(kind, b"".join(part for item in items for part in _framed(item)))
        return _Parts(kind, inner=items)
    return None


def _named(value: Any, kind: str) -> _Parts | None:
    if isinstance(value, LOCKS):
        return _Parts(kind)
    if isinstance(value, STREAMS):
        return _Parts(kind, opaque=True)
    if isinstance(value, Enum):
        return _Parts(kind, value.name.encode())
    if isinstance(value, NAMED):
        return _Parts(kind, (_name(value) if hasattr(value, "__name__") else repr(value)).encode())
    if isinstance(value, types.CodeType):
        return _Parts(kind, value.co_code, [value.co_names, value.co_consts])
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return _Parts(kind, value.__qualname__.encode(), [value.__code__, cells, value.__defaults__])
    return _Parts(kind, inner=[value.__func__, value.__self__]) if isinstance(value, types.MethodType) else None


def _record(value: Any, kind: str) -> _Parts | None:
    if hasattr(type(value), "model_fields"):
        return _Parts(kind, inner=[vars(value), getattr(value, "__pydantic_extra__", None)])
    if is_dataclass(value):
        return _Parts(kind, inner=[{one.name: getattr(value, one.name, None) for one in fields(value)}])
    return None


def _reduced(value: Any, kind: str) -> _Parts | None:
    """A value as it would be pickled."""
    reduced = value.__reduce_ex__(4)
    if isinstance(reduced, str):
        return _Parts(kind, reduced.encode())
    make, arguments, state, items, pairs, *_ = (*reduced, None, None, None)
    return _Parts(kind, inner=[make, arguments, state or None, list(items or ()), list(pairs or ())])


def is_data(value: Any) -> bool:
    """Whether a value is a table, a column, an array, a tensor or a picture, of whatever library."""
    return any(all(hasattr(type(value), name) for name in names) for names, _ in _DATA)


def _data(value: Any, kind: str) -> _Parts | None:
    for names, take in _DATA:
        # Of the class, since an object may pretend to have everything.
        if all(hasattr(type(value), name) for name in names):
            return take(value, kind)
    return None


def _table(value: Any, kind: str) -> _Parts | None:
    ways: list[Callable[[], Any]] = [
        lambda: [value.index.to_numpy(), *(value.iloc[:, at].to_numpy() for at in range(value.shape[1]))],
        lambda: value.to_dict(as_series=False),
        lambda: value.to_pydict(),
    ]
    types_of = getattr(value, "dtypes", None)
    kinds = [str(one) for one in (types_of if types_of is not None else value.schema)]
    names = list(getattr(value, "column_names", value.columns))
    for way in ways:
        try:
            return _Parts(kind, inner=[kinds, names, way()])
        except (TypeError, AttributeError):
            continue
    return None


def _tensor(value: Any, kind: str) -> _Parts:
    plain = value.detach().cpu()
    try:
        return _Parts(kind, str(value.dtype).encode(), [plain.numpy()])
    except (TypeError, RuntimeError):
        return _Parts(kind, str(value.dtype).encode(), [plain.tolist()])


def _array(value: Any, kind: str) -> _Parts:
    about = f"{value.dtype!r} {tuple(value.shape)}".encode()
    if getattr(value.dtype, "hasobject", False):
        return _Parts(kind, about, [value.tolist()])
    return _Parts(kind, about + value.tobytes())


def _series(value: Any, kind: str) -> _Parts:
    items = value.to_list() if hasattr(value, "to_list") else value.tolist()
    index: Any = getattr(value, "index", None)
    labels = index.tolist() if hasattr(index, "tolist") else None
    return _Parts(kind, str(value.dtype).encode(), [value.name, labels, items])


def _picture(value: Any, kind: str) -> _Parts:
    about = f"{value.mode} {value.size}".encode()
    return _Parts(kind, about + value.tobytes(), [value.getpalette()])


_DATA: tuple[tuple[tuple[str, ...], Callable[[Any, str], _Parts | None]], ...] = (
    (("columns", "shape"), _table),
    (("detach", "cpu", "tolist"), _tensor),
    (("dtype", "shape", "tobytes"), _array),
    (("dtype", "name", "shape"), _series),
    (("mode", "size", "tobytes", "getpalette"), _picture),
)
"""What data can do -> how it is taken apart: tables, tensors, arrays, columns of tables, pictures."""
