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
from .gradient import Direction, Message, TextGradient

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


def blame(graph: ComputationGraph, gradients: Mapping[str, TextGradient]) -> Blame:
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
    for name in [name for wave in reversed(graph.waves) for name in wave]:
        done.add(name)
        # All readers of a call come before it, so what it received is complete here.
        parts = _parts(name, sent.get(name, ()), gradients)
        total = sum(parts.values())
        if not total:
            kept[name] += received[name]
            unknown += received[name] * _unanswered(sent.get(name, ()))
            continue
        for target, weight in parts.items():
            # Blame flows on only against the edges; what shuffled gradients send elsewhere stays there.
            (kept if target in done else received)[target] += received[name] * weight / total
    whole = sum(kept.values()) or 1.0
    return Blame({name: share / whole for name, share in kept.items()}, unknown / whole)


def mean_shares(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Predictor -> its mean share over failed executions; of none, nothing."""
    names = dict.fromkeys(name for one in shares for name in one)
    return {name: math.fsum(one.get(name, 0.0) for one in shares) / len(shares) for name in names}


def _sent(graph: ComputationGraph, gradients: Mapping[str, TextGradient]) -> dict[str, list[Message[Direction]]]:
    sent: dict[str, list[Message[Direction]]] = {}
    for call in graph:
        for message in gradients[call.id].messages if call.id in gradients else ():
            sent.setdefault(message.sender, []).append(replace(message, receiver=call.id))
    return sent


def accused(graph: ComputationGraph, gradients: Mapping[str, TextGradient]) -> list[str]:
    """The calls at which the blame starts: those that the feedback was sent to, failed ones before others."""
    seed = _sent(graph, gradients).get(OUTPUT, ())
    told = {message.receiver for message in seed if message.value.status == "change"}
    candidates = [call for call in graph if call.id in told]
    if not candidates:
        # Gradients that say nothing: it starts where a seed would have been sent.
        failed = [call for call in graph if call.error is not None] if graph.error else []
        candidates = failed or [member.call for member in graph.group(OUTPUT)] or list(graph.calls[-1:])
    failed = [call for call in candidates if call.error is not None]
    return list(dict.fromkeys(call.id for call in failed or candidates))


def _parts(name: str, sent: Sequence[Message[Direction]], gradients: Mapping[str, TextGradient]) -> dict[str, float]:
    """What a call asked to change -> how severely, its own instruction under its own name."""
    parts: dict[str, float] = {}
    for message in sent:
        if message.value.status == "change":
            parts[message.receiver] = parts.get(message.receiver, 0.0) + WEIGHTS[message.value.severity]
    own = gradients[name].own if name in gradients else None
    if own is not None and own.status == "change":
        parts[name] = parts.get(name, 0.0) + WEIGHTS[own.severity]
    return parts


def _unanswered(sent: Sequence[Message[Direction]]) -> bool:
    return bool(sent) and all(message.value.status == "missing" for message in sent)
