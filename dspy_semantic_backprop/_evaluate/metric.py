"""Any metric that DSPy's optimizers accept -> a score and, where there is one, feedback."""

from __future__ import annotations

import dis
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dspy

from .._errors import MetricError, SetupError
from .._secrets.errors import hide, learn_held
from .._secrets.known import cleaned, unsaid
from .._values.copies import snapshot
from .._values.text import printed, said
from .asynchronous import called_in_the_end, is_asynchronous

_ACCEPTED = (2, 3, 5, 6)


class NoGrade(MetricError):
    """A language model that the metric asks did not answer: the example is missing, and the metric is not to blame."""


@dataclass(frozen=True)
class Grade:
    """What a metric says of one prediction."""

    score: float
    """In metric points; higher is better."""
    feedback: str | None = None
    """What was wrong or right, in words; None where the metric says nothing."""
    kind: str = "number"
    """What the metric returned: number, bool, or the name of the class that held the score."""


@dataclass(frozen=True)
class Metric:
    """A user's metric behind one interface.

    Args:
        function: `metric(example, prediction)`, `metric(example, prediction, trace)`, or GEPA's
            `metric(gold, pred, trace, pred_name, pred_trace[, program_trace])`.
        explains: Whether it takes GEPA's five arguments and looks at the predictor, and so may have words for each.
    """

    function: Callable[..., Any] = field(repr=False)
    required: int
    explains: bool

    @property
    def name(self) -> str:
        """The metric's name for messages."""
        function = self.function
        while isinstance(function, functools.partial):
            function = function.func
        return getattr(function, "__name__", type(function).__name__)

    def score(self, example: dspy.Example, prediction: Any, where: str) -> Grade:
        """Grade a prediction; messages name the example by `where`."""
        return self._grade((example, prediction), where)

    def explain(
        self, example: dspy.Example, prediction: Any, traces: tuple[list[Any], list[Any]], predictor: str, where: str
    ) -> Grade:
        """Grade a prediction for one predictor, as GEPA's metrics do; `traces`: DSPy's, all of it and its part."""
        return self._grade((example, prediction, traces[0], predictor, traces[1]), where)

    def _grade(self, arguments: tuple[Any, ...], where: str) -> Grade:
        example, *others = arguments
        padding = (None,) * (self.required - len(arguments))
        try:
            # A copy: what a metric does to an example is not to reach the next evaluation.
            returned = self.function(snapshot(example), *others, *padding)
        except Exception as error:
            hide(error)
            advice = "a metric must grade every prediction, also one with missing fields"
            if others[0] is None:
                advice = "the program returned nothing there: its forward must return the prediction"
            elif isinstance(others[0], dspy.Prediction):
                advice += f"; this one has {', '.join(others[0].keys()) or 'none'}"
            raise MetricError(
                f"metric {self.name!r} raised {type(error).__name__} for {where}: {cleaned(printed(error))}; {advice}"
            ) from error
        return self._read(returned, where)

    def _read(self, returned: Any, where: str) -> Grade:
        score, feedback = returned, None
        if isinstance(returned, Mapping):
            score, feedback = returned.get("score"), returned.get("feedback")
        elif hasattr(returned, "score"):
            score, feedback = returned.score, getattr(returned, "feedback", None)
        try:
            if isinstance(score, (str, bytes)) or score is None:
                raise TypeError
            number = float(score)
        except Exception:  # noqa: BLE001 - an array or a tensor that is no single number says so in its own way
            number = math.nan
        if not abs(number) < _LARGEST:
            wanted = "return a number, a bool or dspy.Prediction(score=..., feedback=...)"
            if math.isfinite(number):
                wanted = f"return scores below {_LARGEST:g}: means and variances of larger ones are no numbers any more"
            if inspect.iscoroutine(returned):
                returned.close()
                wanted = "it is asynchronous: wrap it in a function that returns a score"
            raise MetricError(f"metric {self.name!r} returned {cleaned(said(returned))} for {where}; {wanted}")
        kind = _kind(score) if score is returned else type(returned).__name__
        return Grade(number, unsaid(printed(feedback) or None) if feedback is not None else None, kind)


_LARGEST = 1e100


def _kind(score: Any) -> str:
    # NumPy's truth values are called `bool` or `bool_`, depending on its version.
    return "bool" if type(score).__name__ in ("bool", "bool_") else "number"


def adapt(function: Any) -> Metric:
    """Find out how a metric, a callable of 2, 3, 5 or 6 positional arguments, wants to be called."""
    if not callable(function):
        raise SetupError(f"metric must be a function, not of type {type(function).__name__}; pass metric=my_metric")
    # What it catches itself may come back as feedback.
    learn_held(function)
    metric, run = Metric(function, 2, False), called_in_the_end(function)
    if isinstance(function, type):
        raise SetupError(f"metric {metric.name!r} is a class; pass an instance of it, metric={metric.name}(...)")
    if is_asynchronous(function):
        raise SetupError(f"metric {metric.name!r} is asynchronous; wrap it in a function that returns a score")
    if inspect.isgeneratorfunction(run) or inspect.isasyncgenfunction(run):
        raise SetupError(f"metric {metric.name!r} yields; it must return a score")
    try:
        signature = inspect.signature(run if isinstance(function, dspy.Module) else function)
    except (TypeError, ValueError):
        return metric
    parameters = list(signature.parameters.values())
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    required = sum(one.default is one.empty for one in positional)
    takes = 6 if any(one.kind is one.VAR_POSITIONAL for one in parameters) else len(positional)
    stray = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    if stray or takes < 2 or required not in (0, 1, *_ACCEPTED):
        raise SetupError(
            f"metric {metric.name!r} has the arguments ({', '.join(signature.parameters)}); "
            "it must accept (example, prediction), (example, prediction, trace) or "
            "(gold, pred, trace, pred_name, pred_trace[, program_trace])"
        )
    # Other optional arguments (DSPy's own `frac=1.0`) are the user's settings and stay as they are.
    told = [one for one in positional[3:5] if one.default is one.empty or one.default is None]
    explains = takes >= 5 and len(told) == len(positional[3:5]) and _looks_at(function, [one.name for one in told])
    return Metric(function, max(required, 2), explains)


def _looks_at(function: Any, names: list[str]) -> bool:
    """Whether a function's code reads one of its arguments; True where there is no code to look at.

    A metric that takes a predictor's name to fit GEPA and never reads it has the same words for all: to ask it once
    more would cost its judge a request and tell nothing.
    """
    code = getattr(function, "__code__", None)
    if code is None or not names:
        return True
    read = {one.argval for one in dis.get_instructions(code) if one.opname.startswith("LOAD_")}
    flat = {name for value in read for name in (value if isinstance(value, tuple) else (value,))}
    return not flat.isdisjoint({*names, "locals"}) or not set(code.co_cellvars).isdisjoint(names)
