"""What makes a run the run that it is: its program, its data and its settings, as JSON values.

A log belongs to one run. What is told here is written at its head, and compared when the run is resumed: answers
that were given to another program, or to other examples, are no answers. How fast and how dear a run may be
(threads, budget, limits, where it is shown) is no part of it: a run may go on with more money. Nor are credentials, by
the names that they are held under: a token that was refreshed makes no other run.

Code stands there as its digest; what a metric or a program holds as `Held`, which never is written in clear text. This
package's own parts, which hold numbers and choices, stand as they are.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from importlib.metadata import version
from pathlib import PurePath
from types import FunctionType, MethodType
from typing import Any

import dspy

from .._secrets.settings import sampling
from .._values.same import digest, is_data
from .entries import Held, digest_of, plain
from .held import closure, is_installed, parts

_DEEPEST = 4
_PACKAGE = __name__.partition(".")[0]
_CREDENTIAL = re.compile(r"(^|_)(api_?key|access_?key|secret|token|password|passwd|credentials?|auth(orization)?)(_|$)")
"""Names of what may change without making another run."""
_PRINTED = (bytes, bytearray, complex, range, re.Pattern, date, time, timedelta, Decimal, Fraction, PurePath, Enum)
"""Kinds of values that say in print what they are."""


def fingerprint(
    settings: Any, student: dspy.Module, trainset: Sequence[dspy.Example], valset: Sequence[dspy.Example] | None
) -> dict[str, Any]:
    """The head of a run's log: version, program, sets and settings; long texts stand as their digests."""
    return {
        "version": version("dspy-semantic-backprop"),
        "program": _program(student),
        "trainset": [digest(example)[:16] for example in trainset],
        "valset": "trainset" if valset is None else [digest(example)[:16] for example in valset],
        "settings": {
            "steps": settings.most_steps,
            "seed": settings.seed,
            "group": _described(settings.group),
            "probe": settings.probe,
            "failure_score": settings.failure_score,
            "metric": _described(settings.metric),
            "method": _described(settings.method),
            "gradient_lm": _model(settings.gradient_lm),
            "lm": _model(dspy.settings.lm),
            "adapter": type(dspy.settings.adapter).__name__ if dspy.settings.adapter is not None else None,
        },
    }


def _program(student: dspy.Module) -> dict[str, Any]:
    classes = dict.fromkeys(type(module) for _, module in student.named_sub_modules())
    own = [one for one in classes if not one.__module__.startswith("dspy.")]
    return {
        "class": type(student).__qualname__,
        "predictors": _predictors(student),
        "code": {one.__qualname__: _class_source(one) for one in own},
        "holds": {path: _holdings(_own(module)) for path, module in student.named_sub_modules() if type(module) in own},
    }


def _predictors(student: dspy.Module) -> dict[str, Any]:
    predictors = {}
    predictor: Any
    for name, predictor in student.named_predictors():
        signature = predictor.signature
        fields = {key: [str(one.annotation), plain(one.json_schema_extra)] for key, one in signature.fields.items()}
        predictors[name] = {
            "instruction": signature.instructions,
            "fields": _short(fields),
            "demos": digest(list(predictor.demos))[:16],
            "lm": _model(predictor.lm),
        }
    return predictors


def _own(module: Any) -> dict[str, Any]:
    """The attributes of a module of the user's that are told nowhere else."""
    told = ("history", "callbacks", "detailed_results")
    return {
        name: value
        for name, value in vars(module).items()
        if name not in told and not name.startswith("_") and not isinstance(value, dspy.Module)
    }


def _model(lm: Any) -> Any:
    return plain(sampling(lm)) if isinstance(lm, dspy.BaseLM) else None


def _short(value: Any) -> str:
    return digest_of(value)[:16]


def _class_source(kind: type) -> str:
    # The source of a class is looked for with the parser, which on some Pythons fails in threads; that of a
    # function is not.
    functions = {name: value for name, value in vars(kind).items() if isinstance(value, FunctionType)}
    return _short({name: _source(function) for name, function in functions.items()})


def _source(thing: Any) -> str:
    try:
        return hashlib.sha256(inspect.getsource(thing).encode("utf-8", "replace")).hexdigest()[:16]
    except (OSError, TypeError):
        return _short(repr(thing.__code__.co_code)) if isinstance(thing, FunctionType) else "no source"


def _described(value: Any, depth: int = 0) -> Any:
    """A part of the optimizer by its name, its source and the values that it was made with."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return plain(value)
    if isinstance(value, Mapping):
        return {str(name): _described(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(item, depth + 1) for item in value]
    if isinstance(value, dspy.BaseLM):
        return _model(value)
    if depth > _DEEPEST or not _is_ours(value):
        return _foreign(value)
    if isinstance(value, FunctionType):
        kept = {name: _described(item, depth + 1) for name, item in closure(value)}
        return {"function": value.__qualname__, "source": _source(value), **({"with": kept} if kept else {})}
    if hasattr(value, "__dict__") and not isinstance(value, type):
        held = {name: _described(item, depth + 1) for name, item in vars(value).items()}
        return {"object": type(value).__qualname__, **held}
    return getattr(value, "__qualname__", type(value).__qualname__)


def _is_ours(value: Any) -> bool:
    module = value.__module__ if isinstance(value, (FunctionType, type)) else type(value).__module__
    return (module or "").partition(".")[0] == _PACKAGE


def _foreign(value: Any) -> dict[str, Any]:
    """What is the user's, such as the metric: its name, its code, and what it holds."""
    inner = value
    while isinstance(inner, (functools.partial, MethodType)):
        inner = inner.func if isinstance(inner, functools.partial) else inner.__func__
    code = _source(inner) if isinstance(inner, FunctionType) else _class_source(type(inner))
    return {
        "name": getattr(inner, "__qualname__", type(inner).__qualname__),
        "code": code,
        "holds": _holdings(dict(parts(value))),
    }


def _holdings(held: Mapping[str, Any]) -> dict[str, Held]:
    kept = {str(name): value for name, value in held.items() if not _CREDENTIAL.search(str(name).lower())}
    return {name: Held(_content(value, 0, frozenset())) for name, value in kept.items()}


def _content(value: Any, depth: int, under_way: frozenset[int]) -> Any:
    """A value as JSON values that are the same in another process: no address, no time, no order of a set."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return plain(value)
    if isinstance(value, _PRINTED):
        return repr(value)
    if is_data(value):
        return digest(value)
    name = getattr(value, "__qualname__", type(value).__qualname__)
    if depth > _DEEPEST or id(value) in under_way:
        return name
    within = functools.partial(_content, depth=depth + 1, under_way=under_way | {id(value)})
    value = value.toDict() if isinstance(value, dspy.Example) else value
    if isinstance(value, Mapping):
        return {str(key): within(item) for key, item in value.items() if not _CREDENTIAL.search(str(key).lower())}
    if isinstance(value, (list, tuple)):
        return [within(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(digest_of, map(within, value)))
    if isinstance(value, dspy.BaseLM):
        return _model(value)
    if isinstance(value, dspy.Module):
        return [name, _predictors(value)]
    source = [_source(value)] if isinstance(value, FunctionType) else []
    return [name, *source, {} if is_installed(type(value)) else within(dict(parts(value)))]
