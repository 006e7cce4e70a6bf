"""Gradients -> who is to blame: a share for every call of one failed execution, together 1.

The whole blame starts at the returned prediction and flows backwards. A call hands on what it received to
whatever its question asked to change, in proportion to the severity: its members, and its own instruction,
whose part stays with the call. Where nothing was asked to change the blame stays.

Why the messages and not a judge: every share can be traced to a sentence that somebody can read and check.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .._graph.graph import ComputationGraph
from .._graph.trace import OUTPUT
from .gradient import Direction, Gradients, Message

WEIGHTS = {"major": 1.0, "minor": 0.5, "none": 0.0}
"""Severity -> how much of the blame it takes, beside the others of the same question."""


@dataclass(frozen=True)
class Blame:
    """The blame for one failed execution.

    Args:
        shares: Call id -> its share, 0 to 1; together 1 wherever there is a call.
        unknown: The part of it, 0 to 1, that stayed with calls about whose members no usable answer came.
    """

    shares: Mapping[str, float]
    unknown: float = 0.0

    def by_predictor(self, graph: ComputationGraph) -> dict[str, float]:
        """Predictor -> the shares of its calls together, in the order of the graph."""
        total: dict[str, float] = {}
        for call in graph:
            total[call.predictor] = total.get(call.predictor, 0.0) + self.shares.get(call.id, 0.0)
        return total


def blame(graph: ComputationGraph, gradients: Gradients) -> Blame:
    """Each call's share of the blame for a failure, and how much of it rests on no answer.

    Args:
        graph: The graph of the failed execution.
        gradients: Call id -> its gradient, from a sweep over that graph.
    """
    sent = _sent(graph, gradients)
    received = dict.fromkeys((call.id for call in graph), 0.0)
    kept = dict.fromkeys(received, 0.0)
    unknown = 0.0
    for name in accused(graph, gradients):
        received[name] += 1.0
    done: set[str] = set()
    # Against the edges: when a call's turn comes all its readers have passed on to it what they had to.
    for name in [name for wave in reversed(graph.waves) for name in wave]:
        done.add(name)
        weights = _weights(name, sent.get(name, ()), gradients)
        total = sum(weights.values())
        if not total:
            kept[name] += received[name]
            unknown += received[name] * ({message.value.status for message in sent.get(name, ())} == {"missing"})
        for target, weight in weights.items():
            # What shuffled gradients send elsewhere than against the edges stays there.
            (kept if target in done else received)[target] += received[name] * weight / total
    whole = sum(kept.values()) or 1.0
    return Blame({name: share / whole for name, share in kept.items()}, unknown / whole)


def mean_shares(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Predictor -> its mean share over failed executions; of none, nothing."""
    names = dict.fromkeys(name for one in shares for name in one)
    return {name: math.fsum(one.get(name, 0.0) for one in shares) / len(shares) for name in names}


def accused(graph: ComputationGraph, gradients: Gradients) -> list[str]:
    """The calls at which the blame starts: those that the feedback was sent to, failed ones before others."""
    told = {message.receiver for message in _sent(graph, gradients).get(OUTPUT, ()) if message.value.status == "change"}
    candidates = [call for call in graph if call.id in told]
    if not candidates:
        # Gradients that say nothing: it starts where a seed would have been sent.
        failed = [call for call in graph if call.error is not None] if graph.error else []
        candidates = failed or [member.call for member in graph.group(OUTPUT)] or list(graph.calls[-1:])
    failed = [call for call in candidates if call.error is not None]
    return list(dict.fromkeys(call.id for call in failed or candidates))


def _sent(graph: ComputationGraph, gradients: Gradients) -> dict[str, list[Message[Direction]]]:
    """Sender -> its messages, each with the call whose gradient it is in for its receiver."""
    sent: dict[str, list[Message[Direction]]] = {}
    for call in graph:
        for message in gradients[call.id].messages if call.id in gradients else ():
            sent.setdefault(message.sender, []).append(replace(message, receiver=call.id))
    return sent


def _weights(name: str, sent: Sequence[Message[Direction]], gradients: Gradients) -> dict[str, float]:
    """What a call asked to change -> how severely, its own instruction under its own name."""
    asked = [(message.receiver, message.value) for message in sent]
    own = gradients[name].own if name in gradients else None
    weights: dict[str, float] = {}
    for target, direction in [*asked, *([(name, own)] if own else [])]:
        if direction.status == "change":
            weights[target] = weights.get(target, 0.0) + WEIGHTS[direction.severity]
    return weights
