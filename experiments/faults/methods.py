"""The methods that are compared: failed executions -> a share of the blame for every predictor."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
import dspy

from dspy_semantic_backprop import (
    OUTPUT,
    ComputationGraph,
    Edge,
    Method,
    Purpose,
    TextGradient,
    pool_blame,
    presets,
    propagate,
)

# The graphs of thousands of executions are recovered once and given to every method, and proved once for each shape:
# what `SemanticGradientDescent.diagnose` does for one method on one set of examples, taken apart.
from dspy_semantic_backprop._backward.sweep import seed_messages
from dspy_semantic_backprop._concurrency import gather
from dspy_semantic_backprop._errors import told_to_callers
from dspy_semantic_backprop._evaluate.evaluate import Evaluator
from dspy_semantic_backprop._evaluate.metric import adapt
from dspy_semantic_backprop._evaluate.outcome import Scored as Execution
from dspy_semantic_backprop._evaluate.outcome import scored
from dspy_semantic_backprop._evaluate.places import Places
from dspy_semantic_backprop._graph.evidence.combine import prove
from dspy_semantic_backprop._graph.evidence.replay.replays import Replays
from dspy_semantic_backprop._graph.graph import jsonable
from dspy_semantic_backprop._session.ledger import Ledger
from dspy_semantic_backprop._session.lm import for_purpose, install, limit

from .judges import judges
from .verdict import AT_ONCE, Shares, Verdict, mean

Gradients = Mapping[str, TextGradient]


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
    ids = range(len(examples))
    with told_to_callers(), Places(ledger, len(copy.predictors())).row(ids, Purpose.FORWARD) as row:
        outcomes = scored(await evaluator(copy, examples, ids=ids, row=row))
    graphs = []
    for outcome in outcomes:
        shape = (tuple(call.id for call in outcome.graph), outcome.graph.edges)
        if shape not in proved:
            proved[shape] = (
                await prove(outcome.graph, outcome.trace, Replays(program, outcome.trace.inputs), "auto")
            ).edges
        graphs.append(proved[shape])
    return [_with(outcome, edges) for outcome, edges in zip(outcomes, graphs, strict=True)]


def told(outcome: Execution) -> dict[str, Any]:
    """An execution as JSON values: what every call read and wrote, and what was said of the answer."""
    calls = {call.id: {"inputs": jsonable(call.inputs), "outputs": jsonable(call.outputs)} for call in outcome.graph}
    return {"feedback": outcome.feedback, "calls": calls}


def _with(outcome: Execution, edges: tuple[Edge, ...]) -> Execution:
    return replace(outcome, graph=replace(outcome.graph, edges=edges))


async def verdicts(
    failed: Sequence[Execution], names: Sequence[str], lm: Any, seed: int, *, equal: bool = True
) -> dict[str, Verdict]:
    """Ask every method who is at fault.

    Args:
        failed: The failed executions.
        names: The program's predictors.
        lm: The language model that reads.
        seed: Of random choices.
        equal: Also ask the judge as often as the semantic sweep's tokens pay.

    Returns:
        Method -> shares and cost. The unpooled and the shuffled method's questions are the semantic one's: they are
        asked once, and count for each.
    """
    graphs = [outcome.graph for outcome in failed]
    found = {
        "last": Verdict(mean([_last(graph) for graph in graphs], names)),
        "uniform": Verdict(dict.fromkeys(names, 1 / len(names))),
    }
    for name, method in (("semantic", presets.semantic()), ("isolated", presets.isolated())):
        ledger = Ledger()
        with told_to_callers(), for_purpose(Purpose.BACKWARD, ledger, lm=lm, turn=limit(AT_ONCE)):
            sweeps = await gather(functools.partial(_swept, method), list(failed), None)
        said = [{call: one.to_dict() for call, one in sweep.items()} for sweep in sweeps]
        found[name] = Verdict(_blamed(graphs, sweeps, names), ledger.total, said)
        if name == "semantic":
            alone = [_blamed([graph], [sweep], names) for graph, sweep in zip(graphs, sweeps, strict=True)]
            found["unpooled"] = Verdict(mean(alone, names), ledger.total)
            dealt = [_shuffled(outcome, sweep, seed) for outcome, sweep in zip(failed, sweeps, strict=True)]
            found["shuffled"] = Verdict(_blamed(graphs, dealt, names), ledger.total)
    return {**found, **await judges(failed, names, lm, found["semantic"].spent.tokens if equal else None)}


def _blamed(graphs: Sequence[ComputationGraph], sweeps: Sequence[Gradients], names: Sequence[str]) -> Shares:
    found = pool_blame(list(zip(graphs, sweeps, strict=True)))
    return mean([one.by_predictor(graph) for one, graph in zip(found, graphs, strict=True)], names)


def _last(graph: ComputationGraph) -> Shares:
    writers = [member.call.predictor for member in graph.group(OUTPUT)] or [graph.calls[-1].predictor]
    return {name: 1 / len(writers) for name in writers}


async def _swept(method: Method, outcome: Execution) -> Gradients:
    return await propagate(outcome.graph, seed_messages(outcome), method.backward, method.collect)


def _shuffled(outcome: Execution, gradients: Gradients, seed: int) -> Gradients:
    rng = random.Random(f"{seed}, {outcome.example_id}")
    return presets.shuffled().deliver(outcome.graph, gradients, rng)
