"""Gradients -> who is to blame: in one failed execution, and in many, where every judgement may be wrong.

The whole blame starts at the returned prediction and flows backwards. A call hands on what it received to whatever its
question asked to change, in proportion to the severity: its members, and its own instruction, whose part stays with the
call. Where nothing was asked to change the blame stays. Why the messages and not a judge: every share can be traced to
a sentence that somebody can read and check.

One wrong "no change needed" ends such a path: with a reader that errs in three of ten judgements, five steps of a chain
are passed in one sweep of ten. Over many executions the same reader has judged the same predecessors again and again,
and its errors differ. So judgements are pooled: for every reading predictor a distribution over what misled it (each
predecessor, or its own instruction) is estimated together with the shares of misses and of false alarms, by
expectation maximisation (Dawid and Skene 1979), and each execution's blame flows by what was said there and by what is
usual. Failures with different causes stay apart, since what was said of an execution counts for it first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .._graph.graph import ComputationGraph
from .._graph.trace import OUTPUT
from .blame_model import Array, Assumptions, Failures, Flow, Judgements, arranged
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

Helped = Mapping[str, bool]
"""Call id -> whether the answer became better when that call's output was changed as its gradient asks."""

ITERATIONS = 30
LEAST_ERROR, MOST_ERRORS = 1e-4, 0.8
"""The bounds of the shares of misses and of false alarms, each and in sum: with none a single "no change needed" would
be proof, and where they sum to one judgements say nothing."""

CHECK_MISSES, CHECK_ALARMS = 0.3, 0.05
"""How often changing the output at fault does not help, and how often changing another one does, as presumed."""
VAIN_WEIGHT = 1.0
"""So many checks' worth is presumed of how often they do not help where they should: where none ever helps, the model
that writes the other outputs may be unable to, and that speaks for nobody."""

_FIRST_ERROR = 0.2
_PRIOR = 0.01
"""So many executions' worth of every source is presumed, so that none is ruled out for good."""


def pool_blame(failures: Sequence[Failure], helped: Sequence[Helped] = ()) -> list[Blame]:
    """The blame for each of many failures, in the light of all of them.

    Args:
        failures: Failed executions of one program: each graph, and call id -> gradient of a sweep over it.
        helped: For each of them call id -> whether the answer became better when that call's output was
            changed, of the calls where that was tried; empty where it was not tried at all.

    Returns:
        The share of every call in each of them, in order. A single failure is judged by its own messages alone.
    """
    alone = [blame(graph, gradients) for graph, gradients in failures]
    if len(failures) < 2:
        return alone
    import numpy as np

    known = arranged(_informed(judgements(failures, helped)))
    at = _first(known)
    for _ in range(ITERATIONS if known.pairs else 0):
        before, at = at, _estimate(known, at, [one.flow(at, lambda shares: shares) for one in known.structures])
        # Where it does not move any more, as it does soon where readers contradict nobody, it never will.
        if all(map(np.array_equal, vars(before).values(), vars(at).values())):
            break
    pooled = list(alone)
    for one in known.structures:
        kept = one.flow(at, lambda shares: shares).kept[0]
        for row, shares in zip(one.rows, kept.tolist(), strict=True):
            pooled[row] = Blame(dict(zip(one.calls, shares, strict=True)), alone[row].unknown)
    return pooled


def judgements(failures: Sequence[Failure], helped: Sequence[Helped] = ()) -> list[Judgements]:
    """What the sweeps said, and what trying it out showed."""
    tried = helped or [{}] * len(failures)
    return [_judgements(graph, gradients, one) for (graph, gradients), one in zip(failures, tried, strict=True)]


def _judgements(graph: ComputationGraph, gradients: Gradients, helped: Helped) -> Judgements:
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
    return Judgements(graph, accused(graph, gradients), said, helped)


def _sign(direction: Direction) -> float:
    if direction.status == "change":
        return WEIGHTS[direction.severity] or 1.0
    return -1.0 if direction.status == "none" else 0.0


def _informed(executions: Sequence[Judgements]) -> list[Judgements]:
    """Judgements without the predictors of which no execution says anything: blame stays with these."""
    heard = {one.predictor(name) for one in executions for name, sources in one.said.items() if any(sources.values())}
    return [
        replace(one, said={name: sources for name, sources in one.said.items() if one.predictor(name) in heard})
        for one in executions
    ]


def _first(known: Failures) -> Assumptions:
    import numpy as np

    return _parameters(np.ones((1, len(known.pairs))), _FIRST_ERROR, _FIRST_ERROR, CHECK_MISSES)


def _parameters(usual: Array, misses: float, alarms: float, in_vain: float) -> Assumptions:
    import numpy as np

    even = np.ones_like(usual)
    checks = [in_vain / (1 - CHECK_ALARMS), (1 - in_vain) / CHECK_ALARMS]
    return Assumptions(
        usual=usual,
        accused=even * math.log((1 - misses) / alarms),
        cleared=even * math.log(misses / (1 - alarms)),
        astray=np.zeros(1),
        lure=even,
        checks=np.array([checks]),
        alarms=even * alarms,
        chances=np.array([[1 - CHECK_ALARMS, CHECK_ALARMS]]),
    )


def _estimate(known: Failures, at: Assumptions, flows: Sequence[Flow]) -> Assumptions:
    """The maximisation: what is usual, and which judgements and checks contradict where the blame went."""
    import numpy as np

    counts = np.full((1, len(known.pairs)), _PRIOR)
    open_to = np.full((1, len(known.pairs)), _PRIOR)
    missed = hit = false = passed = 0.0
    vain, tried = CHECK_MISSES * VAIN_WEIGHT, VAIN_WEIGHT
    for one, flow in zip(known.structures, flows, strict=True):
        vain += float((flow.received * (one.helped < 0)).sum())
        tried += float((flow.received * (one.helped != 0)).sum())
        for call, left in flow.left.items():
            reader = one.readers[call]
            others = flow.received[:, :, call, None] - left
            # A call that was not asked has nothing to add to what is usual.
            heard = left * reader.asked[:, None]
            np.add.at(counts, (0, reader.pairs), heard.sum(axis=(0, 1)))
            # What was not there cannot have misled: a branch that is seldom taken is not rare where it is.
            np.add.at(open_to, (0, reader.pairs), heard.sum() / at.usual[0, reader.pairs].sum())
            missed, hit = missed + (left * reader.cleared).sum(), hit + (left * reader.accused).sum()
            false, passed = false + (others * reader.accused).sum(), passed + (others * reader.cleared).sum()
    misses = missed / (missed + hit) if missed + hit else _FIRST_ERROR
    alarms = false / (false + passed) if false + passed else _FIRST_ERROR
    excess = max(1.0, (misses + alarms) / MOST_ERRORS)
    misses, alarms = (max(LEAST_ERROR, float(rate) / excess) for rate in (misses, alarms))
    usual = counts / open_to
    return _parameters(usual / (usual @ known.readers), misses, alarms, vain / tried)
