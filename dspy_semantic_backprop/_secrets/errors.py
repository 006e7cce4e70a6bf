"""Errors without secrets: what stands in one may be read by anybody.

Providers, HTTP clients and tools repeat in their errors what they were called with: a key, a header, an address with
its password. What program, metric, tools and subscribers hold is looked at where one of them raises: the values that
have the name of a secret and look like one.

What cannot be done: a value that was never learned and has no known form (a token that a client fetches by itself), one
that was changed on its way otherwise than in base64 or hexadecimal, and the variables of frames, that some tools print.
"""

from __future__ import annotations

import contextlib
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any

from .forms import HIDDEN
from .known import TELLING, attributes, cleaned, items, learn, learn_secrets, opened, texts

_DEEPEST = 20
_DSPYS = frozenset({"history", "callbacks", "kwargs", "model"})
"""Attributes of language models that are told, or learned, in another way."""
_OF_HTTP = ("method", "status_code", "status", "reason", "reason_phrase", "text")
"""What is told of a request or a reply, beside its address and its headers."""
_MOST_HELD, _DEEPEST_HELD = 400, 3
"""How many values are looked at under telling names and in each value, and how deep inside each other."""
_MOST_INSIDE = 1000
"""How many values are looked into for telling names."""
_FOREIGN = ("dspy", "litellm", "asyncio", "concurrent", "threading", __name__.partition(".")[0])
"""Packages whose functions hold no secret that is not a language model's."""


def hide(error: BaseException) -> None:
    """Take secrets out of an error's texts, and out of those of the errors behind it, in place."""
    _hide(error, set())


def hide_behind(error: BaseException) -> None:
    """The same for the errors behind one whose own words are known to tell none."""
    _hide_behind(error, {id(error)})


def learn_from(error: BaseException) -> None:
    """Learn the secrets that are at hand where an error came through: those of language models, and what looks so."""
    at_hand = list(attributes(error))
    # Where it was raised first: only so much is looked at.
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        # What is looked at is the user's, and may have code of its own.
        with contextlib.suppress(Exception):
            at_hand += _held(frame)
    learn(_of_held(value for name, value in (*at_hand, *_texts_inside(at_hand)) if TELLING.search(name)))


def _held(frame: FrameType) -> list[tuple[str, Any]]:
    """What a function works with, by name. A language model's attributes are learned; those of its own stay."""
    here = frame.f_locals.get("self")
    if hasattr(here, "kwargs") and hasattr(here, "model"):
        settings = frame.f_locals.get("kwargs")
        learn_secrets(here, settings if isinstance(settings, Mapping) else None)
        learn(_of_held(value for name, value in attributes(here) if name not in _DSPYS))
        return []
    if str(frame.f_globals.get("__name__")).partition(".")[0] in _FOREIGN:
        return []
    named = [(name, frame.f_globals[name]) for name in frame.f_code.co_names if name in frame.f_globals]
    return [*frame.f_locals.items(), *named, *attributes(here)]


def _texts_inside(at_hand: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The texts by name that objects, classes, modules and mappings hold, the nearest first."""
    waiting = deque((value, 0) for _, value in at_hand)
    for _ in range(_MOST_INSIDE):
        if not waiting:
            return
        value, depth = waiting.popleft()
        with contextlib.suppress(Exception):  # it may have code of its own
            for name, item in islice(_pairs(value), _MOST_HELD):
                if isinstance(item := opened(item), (str, bytes, bytearray)):
                    yield str(name), item
                elif depth < _DEEPEST_HELD and not isinstance(value, ModuleType):
                    waiting.append((item, depth + 1))


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, (list, tuple, set, frozenset)):
        return (("", item) for item in value)
    return () if type(value).__module__.partition(".")[0] in _FOREIGN else attributes(value)


def _of_held(values: Iterable[Any]) -> Iterator[str]:
    """The texts in values and in what these hold, the nearest first."""
    waiting = deque((value, 0) for value in values)
    for _ in range(_MOST_HELD):
        if not waiting:
            return
        value, depth = waiting.popleft()
        if isinstance(value, (str, bytes, bytearray)):
            yield from texts(value)
        elif depth < _DEEPEST_HELD:
            waiting.extend((opened(item), depth + 1) for item in islice(items(value, told=True), _MOST_HELD))


def _hide(error: BaseException, known: set[int]) -> None:
    if id(error) in known or len(known) > _DEEPEST:
        return
    known.add(id(error))
    learn_from(error)
    error.args = tuple(map(_without, error.args))
    for name, value in list(getattr(error, "__dict__", {}).items()):
        without = _without(value)
        if without is not value and without != value:
            with contextlib.suppress(Exception):  # an error may be frozen
                setattr(error, name, without)
    if _tells(error):
        # Its text comes from where it cannot be taken out: better none than that.
        error.args = (f"{type(error).__name__} {HIDDEN}",)
    _hide_behind(error, known)


def _hide_behind(error: BaseException, known: set[int]) -> None:
    held = [value for value in getattr(error, "__dict__", {}).values() if isinstance(value, BaseException)]
    behind = [one for one in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())) if one is not None]
    for one in (*behind, *held):
        _hide(one, known)
    if any(map(_tells, behind)):
        error.__cause__ = error.__context__ = None


def _tells(error: BaseException) -> bool:
    try:
        return any(cleaned(text) != text for text in (str(error), repr(error)))
    except Exception:  # noqa: BLE001 - what cannot be made a text tells nothing
        return False


def _without(value: Any) -> Any:
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        return value if cleaned(text) == text else cleaned(text).encode("latin-1")
    if type(value) is dict:
        return {name: _without(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_without, value))
    if value is None or isinstance(value, (int, float, BaseException, type)):
        return value
    return _of_object(value)


def _of_object(value: Any) -> Any:
    """What may stay of what an error holds: of a request or reply over HTTP what is no secret, of others their text."""
    try:
        if hasattr(headers := getattr(value, "headers", None), "items"):
            return _of_message(value, headers)
        if isinstance(value, Mapping) and not isinstance(value, dict):
            return _without(dict(value))
        said = repr(value)
        return value if said == (shown := cleaned(said)) else shown
    except Exception:  # noqa: BLE001 - what cannot be looked at tells nothing
        return value


def _of_message(value: Any, headers: Any) -> SimpleNamespace:
    told: dict[str, Any] = {"url": cleaned(str(getattr(value, "url", ""))), "headers": _without(dict(headers.items()))}
    for name in _OF_HTTP:
        with contextlib.suppress(Exception):  # the text of a stream that nobody read
            if isinstance(one := getattr(value, name), (str, int)):
                told[name] = _without(one)
    return SimpleNamespace(**told)
