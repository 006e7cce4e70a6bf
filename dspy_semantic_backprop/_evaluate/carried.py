"""Whether a program carries something from one example into another: it changes itself, and tells its predictors."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import dspy

from .._graph.record.program_code import is_history
from .._graph.trace import Trace
from .._values.same import alike
from .._values.walk import ATOMS, attributes

CARRIED = (
    "the program keeps something from one execution for the next ({0}), and tells its predictors: an example is "
    "answered by what was asked before it, in whatever order; make it anew in `forward`, or pass it as an input"
)
FIRST = 3
"""In so many evaluations it is looked for."""
LOOKED_AT = 20
"""So many executions of each are looked at."""
_LEAST, _MOST = 8, 2_000
"""Texts of so many characters are told apart; so many values of an attribute are looked at."""


class Ended(Protocol):
    """An execution that has ended: its record and its example, or the example's inputs."""

    @property
    def trace(self) -> Trace: ...

    @property
    def example(self) -> Any: ...


def carried(fresh: dspy.Module, run: dspy.Module, outcomes: Sequence[Ended]) -> list[str]:
    """The attributes that executions changed and by which one of them told a predictor of another one."""
    before = dict(fresh.named_sub_modules())
    told = [(_told(outcome), _own(outcome)) for outcome in outcomes[:LOOKED_AT]]
    found = []
    for path, module in run.named_sub_modules():
        was = vars(before[path]) if path in before else {}
        for name, value in vars(module).items() if not isinstance(module, dspy.Predict) else ():
            if type(value) in ATOMS or is_history(name, value) or alike(was.get(name), value):
                continue
            new = {*_texts(value)} - {*_texts(was.get(name))}
            if any(text in whole and text not in own for whole, own in told for text in new):
                found.append(f"{path.removeprefix('self').lstrip('.')}.{name}".lstrip("."))
    return found


def _told(outcome: Ended) -> str:
    return "\n".join(text for call in outcome.trace.calls for text in _texts(call.inputs))


def _own(outcome: Ended) -> str:
    """What an execution has of itself: its example, and what its calls answered."""
    answers = (text for call in outcome.trace.calls for text in _texts(call.outputs))
    return "\n".join((*_texts(dict(outcome.example)), *answers))


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value, of those that are long enough to be told apart."""
    left, seen = deque([value]), set()
    while left and len(seen) < _MOST:
        one = left.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, str):
            yield from (one,) if len(one) >= _LEAST else ()
        elif isinstance(one, dict):
            left += itertools.islice(one.values(), _MOST)
        elif isinstance(one, (list, tuple, set, frozenset, deque)):
            left += itertools.islice(one, _MOST)
        elif type(one) not in ATOMS and not isinstance(one, dspy.Module):
            left += attributes(one).values()
