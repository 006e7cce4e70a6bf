"""What makes a run the run that it is: its program, its data and its settings, as JSON values.

A log belongs to one run. What is told here is written at its head, and compared when the run is resumed: answers
that were given to another program, or to other examples, are no answers. How fast and how dear a run may be
(threads, budget, limits, where it is shown) is no part of it: a run may go on with more money.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from types import FunctionType
from typing import Any

import dspy

from .journal import digest_of, plain
from .lm import sampling

_DEEPEST = 4


def fingerprint(
    settings: Any, student: dspy.Module, trainset: Sequence[dspy.Example], valset: Sequence[dspy.Example] | None
) -> dict[str, Any]:
    """The head of a run's log: version, program, sets and settings; long texts stand as their digests."""
    return {
        "version": version("dspy-semantic-backprop"),
        "program": _program(student),
        "trainset": [_short(example.toDict()) for example in trainset],
        "valset": "trainset" if valset is None else [_short(example.toDict()) for example in valset],
        "settings": {
            "steps": settings.most_steps,
            "seed": settings.seed,
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
    predictors = {}
    predictor: Any
    for name, predictor in student.named_predictors():
        signature = predictor.signature
        fields = {key: [str(one.annotation), plain(one.json_schema_extra)] for key, one in signature.fields.items()}
        predictors[name] = {
            "instruction": signature.instructions,
            "fields": _short(fields),
            "demos": _short([dict(demo) for demo in predictor.demos]),
            "lm": _model(predictor.lm),
        }
    classes = dict.fromkeys(type(module) for _, module in student.named_sub_modules())
    own = [one for one in classes if not one.__module__.startswith("dspy.")]
    return {
        "class": type(student).__qualname__,
        "predictors": predictors,
        "code": {one.__qualname__: _class_source(one) for one in own},
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
        return "no source"


def _described(value: Any, depth: int = 0) -> Any:
    """A part of the optimizer by its name, its source and the values that it was made with."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return plain(value)
    if depth > _DEEPEST:
        return type(value).__qualname__
    if isinstance(value, Mapping):
        return {str(name): _described(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(item, depth + 1) for item in value]
    if isinstance(value, functools.partial):
        return [_described(one, depth + 1) for one in (value.func, value.args, value.keywords)]
    if isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
        kept = {name: _described(cell.cell_contents, depth + 1) for name, cell in cells}
        return {"function": value.__qualname__, "source": _source(value), **({"with": kept} if kept else {})}
    if isinstance(value, dspy.BaseLM):
        return _model(value)
    if hasattr(value, "__dict__") and not isinstance(value, type):
        parts = {name: _described(item, depth + 1) for name, item in vars(value).items()}
        return {"object": type(value).__qualname__, **parts}
    return getattr(value, "__qualname__", type(value).__qualname__)
