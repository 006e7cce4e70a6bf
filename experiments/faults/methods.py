"""The methods that are compared: failed executions -> a share of the blame for every predictor."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import dspy

from dspy_semantic_backprop import (
    OUTPUT,
    ComputationGraph,
    Edge,
    Method,
    Purpose,
    Spent,
    TextGradient,
    pool_blame,
    presets,
    propagate,
)

# The graphs of thousands of executions are recovered once and given to every method, and proved once for each shape:
# what `SemanticGradientDescent.diagnose` does for one method on one set of examples, taken apart.
from dspy_semantic_backprop._backward.sweep import seed_messages
from dspy_semantic_backprop._concurrency import gather
from dspy_semantic_backprop._evaluate.evaluate import Evaluator
from dspy_semantic_backprop._evaluate.metric import adapt
from dspy_semantic_backprop._evaluate.outcome import Scored as Execution
from dspy_semantic_backprop._evaluate.outcome import scored
from dspy_semantic_backprop._graph.evidence.combine import prove
from dspy_semantic_backprop._graph.evidence.replay.replays import Replays
from dspy_semantic_backprop._graph.graph import jsonable
from dspy_semantic_backprop._session.ledger import Ledger
from dspy_semantic_backprop._session.lm import ask, for_purpose, install, limit

METHODS = ("semantic", "isolated", "shuffled", "last", "uniform", "judge")
AT_ONCE = 16
"""How many questions are open at the same time."""

Shares = dict[str, float]
Gradients = Mapping[str, TextGradient]


@dataclass(frozen=True)
class Verdict:
    """What a method says of a fault.

    Args:
        shares: Predictor -> blame; the larger, the more it is suspected.
        spent: What finding that out cost, the executions themselves left out.
    """

    shares: Shares
    spent: Spent = field(default_factory=Spent)


Proved = dict[Any, tuple[Edge, ...]]
"""The calls and the suggested edges of an execution -> the edges that replay proved for executions like it."""


async def executed(
    program: dspy.Module, examples: Sequence[dspy.Example], metric: Any, proved: Proved
) -> list[Execution]:
    """Run a program on examples and recover the graph of each execution.

    Args:
        program: The program.
        examples: The examples.
        metric: Grades an answer.
        proved: What is known of programs of this shape; extended.

    Returns:
        The outcomes, right and wrong, in the order of the examples.
    """
    copy = program.deepcopy()
    ledger = Ledger()
    install(copy, ledger)
    evaluator = Evaluator(metric=adapt(metric), ledger=ledger, limiter=anyio.CapacityLimiter(AT_ONCE))
    outcomes = scored(await evaluator(copy, examples))
    graphs = []
    for outcome in outcomes:
        shape = (tuple(call.id for call in outcome.graph), outcome.graph.edges)
        if shape not in proved:
            proved[shape] = (
                await prove(outcome.graph, outcome.trace, Replays(program, outcome.trace.inputs), "auto")
            ).edges
        graphs.append(proved[shape])
    return [_with(outcome, edges) for outcome, edges in zip(outcomes, graphs, strict=True)]


def _with(outcome: Execution, edges: tuple[Edge, ...]) -> Execution:
    return replace(outcome, graph=replace(outcome.graph, edges=edges))


async def verdicts(failed: Sequence[Execution], names: Sequence[str], lm: Any, seed: int) -> dict[str, Verdict]:
    """Ask every method who is at fault.

    Args:
        failed: The failed executions.
        names: The program's predictors.
        lm: The language model that reads.
        seed: Of random choices.

    Returns:
        Method -> shares and cost. The shuffled method's questions are the semantic one's: they are asked once,
        and count for both.
    """
    graphs = [outcome.graph for outcome in failed]
    found = {
        "last": Verdict(_mean([_last(graph) for graph in graphs], names)),
        "uniform": Verdict(dict.fromkeys(names, 1 / len(names))),
    }
    for name, method in (("semantic", presets.semantic()), ("isolated", presets.isolated())):
        ledger = Ledger()
        with for_purpose(Purpose.BACKWARD, ledger, lm=lm, turn=limit(AT_ONCE)):
            sweeps = await gather(functools.partial(_swept, method), list(failed), None)
        found[name] = Verdict(_blamed(graphs, sweeps, names), ledger.total)
        if name == "semantic":
            dealt = [_shuffled(outcome, sweep, seed) for outcome, sweep in zip(failed, sweeps, strict=True)]
            found["shuffled"] = Verdict(_blamed(graphs, dealt, names), ledger.total)
    ledger = Ledger()
    with for_purpose(Purpose.BACKWARD, ledger, lm=lm, turn=limit(AT_ONCE)):
        votes = await gather(functools.partial(judged, names), list(failed), None)
    return {**found, "judge": Verdict(_mean(votes, names), ledger.total)}


def _blamed(graphs: Sequence[ComputationGraph], sweeps: Sequence[Gradients], names: Sequence[str]) -> Shares:
    found = pool_blame(list(zip(graphs, sweeps, strict=True)))
    return _mean([one.by_predictor(graph) for one, graph in zip(found, graphs, strict=True)], names)


def _last(graph: ComputationGraph) -> Shares:
    writers = [member.call.predictor for member in graph.group(OUTPUT)] or [graph.calls[-1].predictor]
    return {name: 1 / len(writers) for name in writers}


def _mean(shares: Sequence[Mapping[str, float]], names: Sequence[str]) -> Shares:
    return {name: sum(one.get(name, 0.0) for one in shares) / max(1, len(shares)) for name in names}


async def _swept(method: Method, outcome: Execution) -> Gradients:
    return await propagate(outcome.graph, seed_messages(outcome), method.backward, method.collect)


def _shuffled(outcome: Execution, gradients: Gradients, seed: int) -> Gradients:
    rng = random.Random(f"{seed}, {outcome.example_id}")
    return presets.shuffled().deliver(outcome.graph, gradients, rng)


class Accuse(dspy.Signature):
    """A program of several predictors gave a wrong answer. Below are all its calls, in order, with the
    instruction, the inputs, the outputs and the sources of each, and what was said of the answer. Exactly one
    predictor has a faulty instruction. Find out which one: not the one whose result is wrong because of what it
    was given, but the one that went wrong on good inputs. Calls may also repeat or contradict each other."""

    trace: str = dspy.InputField(desc="the calls, as JSON")
    feedback: str = dspy.InputField(desc="what was said of the answer")
    predictors: str = dspy.InputField(desc="the names to choose from")
    reasoning: str = dspy.OutputField(desc="what each call contributed to the failure")
    faulty_predictor: str = dspy.OutputField(desc="one of the names, and nothing else")


async def judged(names: Sequence[str], outcome: Execution) -> Shares:
    """The vote of a judge that is shown the whole execution in one question."""
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
    reply = await ask(Accuse, {"trace": trace, "feedback": outcome.feedback or "", "predictors": ", ".join(names)})
    said = str(reply.get("faulty_predictor") or "").strip().strip("`'\".")
    longest_first = sorted(names, key=len, reverse=True)
    named = said if said in names else next((name for name in longest_first if name in said), "")
    return {named: 1.0} if named else {}


def success(shares: Mapping[str, float], guilty: str, most: int) -> float:
    """Whether the guilty predictor is among the `most` suspected ones; ties count by their chance, 0 to 1."""
    mine = shares[guilty]
    above = sum(share > mine + 1e-9 for share in shares.values())
    level = sum(abs(share - mine) <= 1e-9 for share in shares.values())
    return min(1.0, max(0.0, (most - above) / level))
