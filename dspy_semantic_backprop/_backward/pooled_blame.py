"""Many failed executions -> who is to blame in each, where every judgement may be wrong.

In one execution a call that was told to change passes its blame to what it accused, and one wrong "no change
needed" ends the path: with a reader that errs in three of ten judgements, five steps of a chain are passed in
one sweep of ten. Over many executions the same reader has judged the same predecessors again and again, and
its errors differ. So judgements are pooled: for every reading predictor a distribution over what misled it
(each predecessor, or its own instruction) is estimated together with the share of wrong judgements, by
expectation maximisation, and each execution's blame flows by what was said there and by what is usual.

Failures with different causes stay apart, since what was said of an execution counts for it first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .._graph.graph import ComputationGraph
from .blame import Blame, accused, blame
from .gradient import Direction, TextGradient

Failure = tuple[ComputationGraph, Mapping[str, TextGradient]]
"""A failed execution and the gradients of a sweep over it."""
_Way = tuple[str, str]
"""A reading predictor and what may have misled it: a predecessor, or itself for its own instruction as ""."""

ROUNDS = 30
LEAST_ERROR, MOST_ERROR = 1e-4, 0.4
_START_ERROR = 0.2
_PRIOR = 0.01
_SAID = {"major": 1.0, "minor": 0.5}


def pooled(failures: Sequence[Failure]) -> list[Blame]:
    """The blame for each of many failures, in the light of all of them.

    Args:
        failures: The failed executions of one program, with their gradients.

    Returns:
        As `blame` for each, in order; of a single failure just that.
    """
    if len(failures) < 2:
        return [blame(graph, gradients) for graph, gradients in failures]
    readings = _informed([_read(graph, gradients) for graph, gradients in failures])
    usual: dict[_Way, float] = {}
    error = _START_ERROR
    for _ in range(ROUNDS):
        flows = [_flow(graph, reading, usual, error) for (graph, _), reading in zip(failures, readings, strict=True)]
        usual, error = _estimate(readings, flows)
    unknown = [blame(graph, gradients).unknown for graph, gradients in failures]
    return [
        Blame(_flow(graph, reading, usual, error).kept, share)
        for (graph, _), reading, share in zip(failures, readings, unknown, strict=True)
    ]


@dataclass(frozen=True)
class _Reading:
    """What one sweep said: call id -> member's id ("" for the own instruction) -> -1 (fine) to 1 (must change)."""

    said: Mapping[str, Mapping[str, float]]
    start: tuple[str, ...]
    predictor: Mapping[str, str]


@dataclass(frozen=True)
class _Flow:
    """Where the blame of one execution went: what stayed at each call, and what left it by which way."""

    kept: dict[str, float]
    left: dict[str, dict[str, float]]


def _read(graph: ComputationGraph, gradients: Mapping[str, TextGradient]) -> _Reading:
    said: dict[str, dict[str, float]] = {
        call.id: dict.fromkeys([*graph.predecessors(call.id), ""], 0.0) for call in graph if graph.predecessors(call.id)
    }
    for call in graph:
        # A gradient that asks for nothing is false, and still says that its call was found to be fine.
        gradient = gradients.get(call.id, TextGradient())
        for message in gradient.messages:
            ways = said.get(message.sender, {})
            if call.id in ways:
                # Of several outputs of one call the one that is accused most speaks for it.
                ways[call.id] = max(ways[call.id], _sign(message.value)) if ways[call.id] else _sign(message.value)
        if gradient.own is not None and call.id in said:
            said[call.id][""] = _sign(gradient.own)
    return _Reading(said, tuple(accused(graph, gradients)), {call.id: call.predictor for call in graph})


def _informed(readings: Sequence[_Reading]) -> list[_Reading]:
    """Readings without the predictors of which no execution says anything: blame stays with these."""
    heard = {
        reading.predictor[name] for reading in readings for name, ways in reading.said.items() if any(ways.values())
    }
    return [
        replace(reading, said={name: ways for name, ways in reading.said.items() if reading.predictor[name] in heard})
        for reading in readings
    ]


def _sign(direction: Direction) -> float:
    if direction.status == "change":
        return _SAID.get(direction.severity, 1.0)
    return -1.0 if direction.status == "none" else 0.0


def _flow(graph: ComputationGraph, reading: _Reading, usual: Mapping[_Way, float], error: float) -> _Flow:
    received = dict.fromkeys((call.id for call in graph), 0.0)
    for name in reading.start:
        received[name] += 1 / len(reading.start)
    kept = dict(received)
    left: dict[str, dict[str, float]] = {}
    for name in [name for wave in reversed(graph.waves) for name in wave]:
        kept[name] = received[name]
        if name in reading.said and received[name]:
            left[name] = _split(name, reading, usual, error)
            kept[name] = received[name] * left[name][""]
            for member, share in left[name].items():
                if member:
                    received[member] += received[name] * share
            left[name] = {member: received[name] * share for member, share in left[name].items()}
    return _Flow(kept, left)


def _split(name: str, reading: _Reading, usual: Mapping[_Way, float], error: float) -> dict[str, float]:
    """The probability of every way, given what was said here and what is usual for the predictor."""
    said = reading.said[name]
    me = reading.predictor[name]
    odds = math.log((1 - error) / error)
    groups: dict[str, list[str]] = {}
    for member in said:
        groups.setdefault(reading.predictor[member] if member else "", []).append(member)
    weights: dict[str, float] = {}
    for predictor, members in groups.items():
        mean = sum(said[member] for member in members) / len(members)
        weight = usual.get((me, predictor), 1 / len(groups)) * math.exp(odds * mean)
        parts = {member: math.exp(odds * said[member]) for member in members}
        whole = sum(parts.values())
        weights |= {member: weight * part / whole for member, part in parts.items()}
    total = sum(weights.values())
    return {member: weight / total for member, weight in weights.items()}


def _estimate(readings: Sequence[_Reading], flows: Sequence[_Flow]) -> tuple[dict[_Way, float], float]:
    """What is usual, and the share of judgements that contradict it."""
    counts: dict[_Way, float] = {}
    wrong = judged = 0.0
    for reading, flow in zip(readings, flows, strict=True):
        for name, ways in flow.left.items():
            said = reading.said[name]
            arrived = sum(ways.values())
            for member, share in ways.items():
                key = (reading.predictor[name], reading.predictor[member] if member else "")
                # A call that was not asked has nothing to add to what is usual.
                counts[key] = counts.get(key, _PRIOR) + (share if any(said.values()) else 0.0)
                if said[member]:
                    judged += arrived
                    wrong += arrived - share if said[member] > 0 else share
    totals: dict[str, float] = {}
    for (reader, _), count in counts.items():
        totals[reader] = totals.get(reader, 0.0) + count
    usual = {(reader, way): count / totals[reader] for (reader, way), count in counts.items()}
    error = wrong / judged if judged else _START_ERROR
    return usual, min(MOST_ERROR, max(LEAST_ERROR, error))
