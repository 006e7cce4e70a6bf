"""Which call of a replay is which recorded one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...trace import Call, Trace
from .same import alike

__all__ = ["Plan", "alike", "likeness", "realigned", "same_inputs"]


@dataclass(frozen=True)
class Plan:
    """Which call of a replay is which recorded one.

    Args:
        places: Predictor -> for each of its calls, by arrival, the recorded call that it is, or None.
        reserved: Recorded calls that a call with the very same inputs will come for.
    """

    places: Mapping[str, list[Call | None]] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()


def likeness(recorded: Mapping[str, Any], inputs: Mapping[str, Any]) -> int:
    """How many of the recorded inputs are given again."""
    # What DSPy adds to a call after it was recorded, the defaults of fields left out, tells calls apart nowhere.
    return sum(alike(value, inputs.get(name)) for name, value in recorded.items())


def same_inputs(call: Call, inputs: Mapping[str, Any]) -> bool:
    """Whether a recorded call was given the very same inputs."""
    return all(alike(value, inputs.get(name)) for name, value in call.inputs.items())


def realigned(trace: Trace, given: Mapping[str, list[Mapping[str, Any]]]) -> Plan | None:
    """A better guess at which call is which, once all calls of a replay are known.

    Equal inputs make calls the same, wherever they stand; those that are left are matched in order.

    Args:
        trace: The record.
        given: Predictor -> the inputs of each of its calls in the replay, by arrival.

    Returns:
        The plan for another replay; None where the first guess cannot be bettered.
    """
    places: dict[str, list[Call | None]] = {}
    reserved: set[str] = set()
    for name, calls in given.items():
        recorded = [call for call in trace.calls if call.predictor == name]
        if any(call.concurrent for call in recorded):
            exact = [next((call for call in recorded if same_inputs(call, inputs)), None) for inputs in calls]
            known = {call.id for call in exact if call is not None}
            reserved |= known if len(known) < len(calls) else set()
        elif recorded and len(recorded) != len(calls):
            places[name] = _placed(recorded, calls)
    return Plan(places, frozenset(reserved)) if places or reserved else None


def _placed(recorded: list[Call], calls: list[Mapping[str, Any]]) -> list[Call | None]:
    matched: list[Call | None] = []
    left = list(recorded)
    for inputs in calls:
        same = next((call for call in left if same_inputs(call, inputs)), None)
        matched.append(same)
        if same is not None:
            left.remove(same)
    extra = len(calls) - len(recorded)
    for at, call in enumerate(matched):
        if call is None and left and extra <= 0:
            matched[at] = left.pop(0)
        elif call is None:
            extra -= 1
    return matched
