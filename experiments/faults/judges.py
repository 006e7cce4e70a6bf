"""The rival of a backward pass: a judge that is shown a whole execution at once and scores every predictor.

It is given all that could help it. It scores all predictors instead of naming one; its votes are averaged over the
failures; and beside the judge that is asked once there is one asked again and again until it has cost as many tokens as
the backward pass did, with its scores averaged (`judges`), and pooled as the backward pass's judgements are
(`judges_pooled`): what is usual, its misses and its false alarms are estimated over all failures together.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dspy

from dspy_semantic_backprop import OUTPUT, ComputationGraph, Direction, Edge, Message, Purpose, TextGradient, pool_blame
from dspy_semantic_backprop._concurrency import gather
from dspy_semantic_backprop._errors import told_to_callers
from dspy_semantic_backprop._evaluate.outcome import Scored as Execution
from dspy_semantic_backprop._graph.edges import End
from dspy_semantic_backprop._graph.graph import jsonable
from dspy_semantic_backprop._session.ledger import Ledger
from dspy_semantic_backprop._session.lm import ask, for_purpose, limit

from .verdict import AT_ONCE, Shares, Verdict, mean

MOST = 12
"""How often a judge is asked about one failure at the most."""
_JUDGE = "(the judge)"
"""No predictor has such a name."""


class Accuse(dspy.Signature):
    """A program of several predictors gave a wrong answer. Below are all its calls, in order, with the
    instruction, the inputs, the outputs and the sources of each, and what was said of the answer. Exactly one
    predictor has a faulty instruction. Score each by how likely it is that one: not the one whose result is wrong
    because of what it was given, but the one that went wrong on good inputs. Calls may also repeat or contradict
    each other."""

    trace: str = dspy.InputField(desc="the calls, as JSON")
    feedback: str = dspy.InputField(desc="what was said of the answer")
    predictors: list[str] = dspy.InputField(desc="the names to score")
    reasoning: str = dspy.OutputField(desc="what each call contributed to the failure")
    suspicion: dict[str, float] = dspy.OutputField(desc="every name, and how likely it is the faulty one, 0 to 1")


async def judges(failed: Sequence[Execution], names: Sequence[str], lm: Any, tokens: int | None) -> dict[str, Verdict]:
    """Ask a judge once about each failure, and as often as so many tokens pay.

    Args:
        failed: The failed executions.
        names: The program's predictors.
        lm: The language model that judges.
        tokens: What the backward pass cost; None asks once only.

    Returns:
        "judge" and, where it is asked more than once, "judges" and "judges_pooled" -> shares and cost.
    """
    ledger = Ledger()
    with told_to_callers(), for_purpose(Purpose.BACKWARD, ledger, lm=lm, turn=limit(AT_ONCE)):
        said = await gather(functools.partial(judged, names, 0), list(failed), None)
        once = ledger.total
        times = min(MOST, max(1, round((tokens or 0) / max(1, once.tokens))))
        for time in range(1, times):
            said += await gather(functools.partial(judged, names, time), list(failed), None)
    graphs, votes = [outcome.graph for outcome in failed] * times, [scores(names, one) for one in said]
    first = Verdict(mean(votes[: len(failed)], names), once, said[: len(failed)])
    if tokens is None:
        return {"judge": first}
    return {
        "judge": first,
        "judges": Verdict(mean(votes, names), ledger.total),
        "judges_pooled": Verdict(_pooled(graphs, votes, names), ledger.total),
    }


async def judged(names: Sequence[str], time: int, outcome: Execution) -> dict[str, Any]:
    """The answer of a judge that is shown the whole execution in one question."""
    calls = [
        {
            "call": call.id,
            "predictor": call.predictor,
            "read_from": list(outcome.graph.predecessors(call.id)),
            "instruction": call.instruction,
            "inputs": jsonable(call.inputs),
            "outputs": jsonable(call.outputs) or {"error": call.error},
        }
        for call in outcome.graph
    ]
    trace = json.dumps(calls, ensure_ascii=False, indent=1)
    asked = {"trace": trace, "feedback": outcome.feedback or "", "predictors": list(names)}
    return await ask(Accuse, asked, rollout=time)


def scores(names: Sequence[str], answer: Mapping[str, Any]) -> Shares:
    """The predictors' scores in a judge's answer, none where it gave none."""
    said = answer.get("suspicion")
    found = said if isinstance(said, Mapping) else {}
    return {name: max(0.0, float(found[name])) for name in names if name in found and math.isfinite(found[name])}


def _pooled(graphs: Sequence[ComputationGraph], votes: Sequence[Shares], names: Sequence[str]) -> Shares:
    """The votes pooled by the very method that pools a backward pass: one reader that read all predictors."""
    voted = [(_star(graph, names), _accusing(vote, names)) for graph, vote in zip(graphs, votes, strict=True) if vote]
    return mean([one.shares for one in pool_blame(voted)], names)


def _star(graph: ComputationGraph, names: Sequence[str]) -> ComputationGraph:
    some = graph.calls[0]
    calls = [replace(some, id=name, predictor=name, outputs={"said": ""}, error=None) for name in [*names, _JUDGE]]
    edges = [_edge(End(name, "said"), End(_JUDGE, "read")) for name in names]
    return ComputationGraph(tuple(calls), (*edges, _edge(End(_JUDGE, "said"), End(OUTPUT, "said"))))


def _edge(source: End, target: End) -> Edge:
    return Edge(source, target, "data", "code", 1.0)


def _accusing(vote: Shares, names: Sequence[str]) -> dict[str, TextGradient]:
    """Whom a vote accuses: those scored at half the highest score or more, the highest most."""
    top = max(vote.values())
    start = Message(OUTPUT, _JUDGE, "said", Direction("It was wrong."))
    found = {_JUDGE: TextGradient((start,))}
    for name in names:
        score = vote.get(name, 0.0)
        severity = "none" if not top or score < top / 2 else "major" if score == top else "minor"
        said = Direction("It." if severity != "none" else "", "none" if severity == "none" else "change", severity)
        found[name] = TextGradient((Message(_JUDGE, name, "said", said),))
    return found
