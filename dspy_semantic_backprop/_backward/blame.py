"""Gradients -> who is to blame: in one failed execution, and in many, where every judgement may be wrong.

The whole blame starts at the returned prediction and flows backwards. A call hands on what it received to whatever its
question asked to change, in proportion to the severity: its members, and its own instruction, whose part stays with the
call. Where nothing was asked to change the blame stays. Why the messages and not a judge: every share can be traced to
a sentence that somebody can read and check.

One wrong "no change needed" ends such a path: with a reader that errs in three of ten judgements, five steps of a chain
are passed in one sweep of ten. Over many executions the same reader has judged the same predecessors again and again,
and its errors differ. So judgements are pooled: for every reading predictor a distribution over what misled it (each
predecessor, or its own instruction) is estimated together with the share of wrong judgements, by expectation
maximisation, and each execution's blame flows by what was said there and by what is usual. Failures with different
causes stay apart, since what was said of an execution counts for it first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .._graph.graph import ComputationGraph
from .._graph.trace import OUTPUT
from .gradient import Direction, Gradients, Message, TextGradient

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
    """Each call's share of the blame for a failure, and how much of it rests on no answer."""
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


Failure = tuple[ComputationGraph, Gradients]
"""A failed execution and the gradients of a sweep over it."""

_Usual = Mapping[tuple[str, str], float]
"""(A reading predictor, what may have misled it: a predecessor, or "" for its own instruction) -> how often it does."""

_Flow = tuple[dict[str, float], dict[str, dict[str, float]]]
"""Where the blame of one execution went: what stayed at each call, and what left it to which source."""

ITERATIONS = 30
LEAST_ERROR, MOST_ERROR = 1e-4, 0.4
"""The bounds of the share of wrong judgements: with none a single "no change needed" would be proof, and with one
half judgements would say nothing."""

_FIRST_ERROR = 0.2
_PRIOR = 0.01
"""So many executions' worth of every source is presumed, so that none is ruled out for good."""


def pool_blame(failures: Sequence[Failure]) -> list[Blame]:
    """The blame for each of many failures, in the light of all of them.

    Args:
        failures: Failed executions of one program: each graph, and call id -> gradient of a sweep over it.

    Returns:
        The share of every call in each of them, in order. A single failure is judged by its own messages alone.
    """
    alone = [blame(graph, gradients) for graph, gradients in failures]
    if len(failures) < 2:
        return alone
    executions = _informed([_judgements(graph, gradients) for graph, gradients in failures])
    usual: _Usual = {}
    error = _FIRST_ERROR
    for _ in range(ITERATIONS):
        flows = [_flow(one, usual, error) for one in executions]
        usual, error = _estimate(executions, flows)
    kept = [_flow(one, usual, error)[0] for one in executions]
    return [Blame(shares, one.unknown) for shares, one in zip(kept, alone, strict=True)]


@dataclass(frozen=True)
class _Judgements:
    """What one sweep said: call id -> source ("" for its own instruction) -> -1 (fine) to 1 (must change)."""

    graph: ComputationGraph
    start: Sequence[str]
    said: Mapping[str, Mapping[str, float]]

    def predictor(self, source: str) -> str:
        return self.graph[source].predictor if source else ""


def _judgements(graph: ComputationGraph, gradients: Gradients) -> _Judgements:
    said: dict[str, dict[str, float]] = {
        call.id: dict.fromkeys([*graph.predecessors(call.id), ""], 0.0) for call in graph if graph.predecessors(call.id)
    }
    for call in graph:
        # A gradient that asks for nothing is false, and still says that its call was found to be fine.
        gradient = gradients.get(call.id, TextGradient())
        for message in gradient.messages:
            sources = said.get(message.sender, {})
            if call.id in sources:
                # Of several outputs of one call the one that is accused most speaks for it.
                sign = _sign(message.value)
                sources[call.id] = max(sources[call.id], sign) if sources[call.id] else sign
        if gradient.own is not None and call.id in said:
            said[call.id][""] = _sign(gradient.own)
    return _Judgements(graph, accused(graph, gradients), said)


def _sign(direction: Direction) -> float:
    if direction.status == "change":
        return WEIGHTS[direction.severity] or 1.0
    return -1.0 if direction.status == "none" else 0.0


def _informed(executions: Sequence[_Judgements]) -> list[_Judgements]:
    """Judgements without the predictors of which no execution says anything: blame stays with these."""
    heard = {one.predictor(name) for one in executions for name, sources in one.said.items() if any(sources.values())}
    return [
        replace(one, said={name: sources for name, sources in one.said.items() if one.predictor(name) in heard})
        for one in executions
    ]


def _flow(one: _Judgements, usual: _Usual, error: float) -> _Flow:
    """The expectation: blame flows from the calls that were told of the failure, against the edges."""
    received = dict.fromkeys((call.id for call in one.graph), 0.0)
    for name in one.start:
        received[name] += 1 / len(one.start)
    kept: dict[str, float] = dict.fromkeys(received, 0.0)
    left: dict[str, dict[str, float]] = {}
    for name in [name for wave in reversed(one.graph.waves) for name in wave]:
        kept[name] = received[name]
        if name in one.said and received[name]:
            left[name] = {source: received[name] * share for source, share in _split(name, one, usual, error).items()}
            kept[name] = left[name][""]
            for source, share in left[name].items():
                if source:
                    received[source] += share
    return kept, left


def _split(name: str, one: _Judgements, usual: _Usual, error: float) -> dict[str, float]:
    """The probability that a call was misled by each source, given what was said here and what is usual.

    By Bayes' rule, with the calls of one predictor taken together first (what is usual is known of predictors) and
    apart then: a judgement of -1 to 1 multiplies the odds by ((1 - error) / error) to its power.
    """
    said = one.said[name]
    log_odds = math.log((1 - error) / error)
    groups: dict[str, list[str]] = {}
    for source in said:
        groups.setdefault(one.predictor(source), []).append(source)
    weights: dict[str, float] = {}
    for predictor, sources in groups.items():
        mean = sum(said[source] for source in sources) / len(sources)
        weight = usual.get((one.predictor(name), predictor), 1 / len(groups)) * math.exp(log_odds * mean)
        parts = {source: math.exp(log_odds * said[source]) for source in sources}
        whole = sum(parts.values())
        weights |= {source: weight * part / whole for source, part in parts.items()}
    total = sum(weights.values())
    return {source: weight / total for source, weight in weights.items()}


def _estimate(executions: Sequence[_Judgements], flows: Sequence[_Flow]) -> tuple[_Usual, float]:
    """The maximisation: what is usual, and the share of judgements that contradict where the blame went."""
    counts: dict[tuple[str, str], float] = {}
    wrong = judged = 0.0
    for one, (_, left) in zip(executions, flows, strict=True):
        for name, shares in left.items():
            said = one.said[name]
            arrived = sum(shares.values())
            for source, share in shares.items():
                key = (one.predictor(name), one.predictor(source))
                # A call that was not asked has nothing to add to what is usual.
                counts[key] = counts.get(key, _PRIOR) + (share if any(said.values()) else 0.0)
                if said[source]:
                    judged += arrived
                    wrong += arrived - share if said[source] > 0 else share
    totals: dict[str, float] = {}
    for (reader, _), number in counts.items():
        totals[reader] = totals.get(reader, 0.0) + number
    usual = {(reader, source): number / totals[reader] for (reader, source), number in counts.items()}
    error = wrong / judged if judged else _FIRST_ERROR
    return usual, min(MOST_ERROR, max(LEAST_ERROR, error))
