"""Errors without secrets: what stands in one may be read by anybody.

Providers, HTTP clients and tools repeat in their errors what they were called with: a key, a header, an address with
its password. What program, metric, tools and subscribers hold is looked at where one of them raises: the values that
have the name of a secret and look like one.

What cannot be done: a value that was never learned and has no known form (a token that a client fetches by itself, one
that only a queue held), one that was changed on its way otherwise than in base64 or hexadecimal, and the variables of
frames, that some tools print.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from itertools import islice
from types import GetSetDescriptorType, MemberDescriptorType, SimpleNamespace
from typing import Any

from pydantic import ValidationError

from .forms import HIDDEN
from .held import attributes, of_frame, telling_texts
from .known import cleaned, learn, learn_secrets
from .looks import sureness

_DEEPEST = 20
_DSPYS = frozenset({"history", "callbacks", "kwargs", "model"})
"""Attributes of language models that are told, or learned, in another way."""
_OF_HTTP = ("method", "status_code", "status", "reason", "reason_phrase", "text")
"""What is told of a request or a reply, beside its address and its headers."""
_LONGEST, _MOST = 20_000, 100
"""Characters of a text, and items of a list or a mapping, that stay in an error."""
_MEMBERS = (MemberDescriptorType, GetSetDescriptorType)


def hide(error: BaseException) -> None:
    """Take secrets out of an error's texts, and out of those of the errors behind it, in place."""
    learn_from(error)
    _hide(error, set())


def learn_held(value: Any) -> None:
    """Learn the secrets that a function or an object holds that a run works with."""
    learn(telling_texts([("", value)]))


def hide_behind(error: BaseException) -> None:
    """The same for the errors behind one whose own words are known to tell none."""
    learn_from(error)
    _hide_behind(error, {id(error)})


def learn_from(error: BaseException) -> None:
    """Learn the secrets that are at hand where an error, or one behind it, came through."""
    waiting, known = [error], set[int]()
    while waiting and len(known) < _DEEPEST:
        one = waiting.pop(0)
        if id(one) not in known:
            known.add(id(one))
            # What is looked at is the user's, and may have code of its own.
            with contextlib.suppress(Exception):
                _learn_from(one)
            waiting += _behind(one)


def _learn_from(error: BaseException) -> None:
    at_hand = [*attributes(error), *_arguments(error)]
    if isinstance(error, ValidationError):
        at_hand += [(".".join(map(str, one["loc"])), one["input"]) for one in error.errors(include_url=False)]
    # Where it was raised first: only so much is looked at.
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        with contextlib.suppress(Exception):
            here = frame.f_locals.get("self")
            held = dict(attributes(here))
            if "kwargs" in held and "model" in held:
                # A language model's attributes are learned whatever their names are; those of its own stay.
                settings = frame.f_locals.get("kwargs")
                learn_secrets(here, settings if isinstance(settings, Mapping) else None)
                own = [("auth", value) for name, value in held.items() if name not in _DSPYS]
                learn(telling_texts(own))
            else:
                at_hand += of_frame(frame)
    learn(telling_texts(at_hand))


def _arguments(error: BaseException) -> Iterator[tuple[str, Any]]:
    """What an error was made with, by the names that its class has for it."""
    code = getattr(type(error).__init__, "__code__", None)
    return zip(code.co_varnames[1 : code.co_argcount] if code else (), error.args, strict=False)


def _behind(error: BaseException) -> list[BaseException]:
    held = [value for value in getattr(error, "__dict__", {}).values() if isinstance(value, BaseException)]
    behind = (error.__cause__, error.__context__, *getattr(error, "exceptions", ()), *held)
    return [one for one in behind if isinstance(one, BaseException)]


def _hide(error: BaseException, known: set[int]) -> None:
    if id(error) in known:
        return
    known.add(id(error))
    # Past what its class forbids: an error may be frozen.
    _set(error, "args", _without(error.args))
    for name, value in _told_of(error).items():
        without = _without(value)
        if without is not value and without != value:
            _set(error, name, without)
    if _tells(error):
        # Its text comes from where it cannot be taken out: better none than that.
        _set(error, "args", (f"{type(error).__name__} {HIDDEN}",))
    _hide_behind(error, known)


def _told_of(error: BaseException) -> dict[str, Any]:
    """What an error holds: its attributes, those in slots, and those of Python's own errors, as a file's name."""
    members = {name for kind in type(error).__mro__ for name, one in vars(kind).items() if type(one) in _MEMBERS}
    found = {name: getattr(error, name, None) for name in members if not name.startswith("__")}
    return {**found, **getattr(error, "__dict__", {})}


def _set(error: BaseException, name: str, value: Any) -> None:
    with contextlib.suppress(Exception):
        BaseException.__setattr__(error, name, value)


def _hide_behind(error: BaseException, known: set[int]) -> None:
    # What is too far behind to be looked at is told by nobody.
    far = len(known) > _MOST
    behind = [] if far else _behind(error)[:_MOST]
    for one in behind:
        _hide(one, known)
    if far or any(map(_tells, behind)):
        error.__cause__ = error.__context__ = None


def _tells(error: BaseException) -> bool:
    try:
        # pydantic's words shorten what its pickle holds in full.
        held = str(error.errors(include_url=False)) if isinstance(error, ValidationError) else ""
        return any(cleaned(text) != text for text in (str(error), repr(error), held))
    except Exception:  # noqa: BLE001 - what cannot be made a text tells nothing
        return False


def _without(value: Any) -> Any:
    """What an error holds without secrets, and the beginning only of what is larger than anybody reads."""
    if isinstance(value, str):
        return cleaned(value[:_LONGEST]) + "..." * (len(value) > _LONGEST)
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        without = _without(text)
        return value if without == text else without.encode("latin-1")
    if type(value) is dict:
        return {name: _without(item) for name, item in islice(value.items(), _MOST)}
    if type(value) in (list, tuple):
        return type(value)(map(_without, value[:_MOST]))
    if value is None or isinstance(value, (int, float, BaseException, type)):
        return value
    return _of_object(value)


def _of_object(value: Any) -> Any:
    """What may stay of what an error holds: of a request or reply over HTTP what is no secret, of others their text."""
    try:
        if hasattr(headers := getattr(value, "headers", None), "items"):
            return _of_message(value, headers)
        if hasattr(type(value), "items") and hasattr(type(value), "keys"):
            return _of_headers(value)
        shown = cleaned(said := repr(value))
        return value if said == shown and not _holds(value) else shown
    except Exception:  # noqa: BLE001 - what cannot be looked at tells nothing
        return value


def _holds(value: Any) -> bool:
    """Whether a known secret lies open in an object, which its own text need not show."""
    held = (one if isinstance(one, str) else one.decode("latin-1") for one, _ in telling_texts([("", value)]))
    text = "\n".join(one[:_LONGEST] for one in islice(held, _MOST))[:_LONGEST]
    return cleaned(text) != text


def _of_headers(headers: Any) -> dict[Any, Any]:
    return {name: HIDDEN if sureness(str(name)) else _without(item) for name, item in headers.items()}


def _of_message(value: Any, headers: Any) -> SimpleNamespace:
    told: dict[str, Any] = {"url": cleaned(str(getattr(value, "url", ""))), "headers": _of_headers(headers)}
    for name in _OF_HTTP:
        with contextlib.suppress(Exception):  # the text of a stream that nobody read
            if isinstance(one := getattr(value, name), (str, int)):
                told[name] = _without(one)
    return SimpleNamespace(**told)
