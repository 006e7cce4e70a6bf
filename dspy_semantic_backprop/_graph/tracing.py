"""Look at the computation graph of a program on one example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import anyio
import dspy

from .._concurrency import run_sync
from .._errors import SetupError
from .._secrets.errors import learn_held
from .evidence.code.from_code import FromCode
from .evidence.combine import prove, suggest
from .evidence.replay.replays import Probe, Replays
from .graph import ComputationGraph
from .program_graph import ProgramGraph, aggregate
from .record.names import Names
from .record.recorder import capture


def trace(
    program: dspy.Module, example: dspy.Example | Mapping[str, Any], *, probe: Probe = "auto"
) -> ComputationGraph:
    """Run a program on one example and recover its computation graph; see `atrace`."""
    return run_sync(atrace(program, example, probe=probe))


async def atrace(
    program: dspy.Module, example: dspy.Example | Mapping[str, Any], *, probe: Probe = "auto"
) -> ComputationGraph:
    """Run a program on one example and recover its computation graph.

    The program is run once, as it is, with the language models that DSPy is configured with. It is then replayed to
    prove the edges: without a language model and its tools, in a process of its own that reaches nothing outside.

    Args:
        program: Any DSPy program; it is not changed by the replays.
        example: An example with its inputs marked, or the program's keyword arguments.
        probe: "auto" replays executions of up to 200 calls, at most 20,000 replayed calls in all; "never" takes the
            edges that the values and the code suggest; "always" replays without a bound.

    Returns:
        The graph of what happened, also where the program raised: then `error` says what.

    Raises:
        SetupError: If `program` is no `dspy.Module`, `example` has no marked inputs, or `probe` is none of
            the three.
    """
    if probe not in get_args(Probe):
        raise SetupError(f"probe must be one of {', '.join(get_args(Probe))}, not {probe!r}")
    inputs = _inputs(program, example)
    learn_held(program)
    names = Names(program)
    replays = Replays(program, inputs)
    try:
        if probe != "never":
            await replays.start()
        _, _, record = await capture(program, inputs, names=names, limiter=anyio.CapacityLimiter(1))
        return await prove(suggest(record, FromCode(program, names)), record, replays, probe)
    finally:
        replays.close()


def _inputs(program: Any, example: Any) -> dict[str, Any]:
    if isinstance(program, type):
        raise SetupError(f"program must be an instance of a dspy.Module, not the class {program.__name__}")
    if not isinstance(program, dspy.Module):
        raise SetupError(
            f"program must be a dspy.Module, not {type(program).__name__}: pass the module itself, not what "
            "dspy.streamify, dspy.asyncify or a function makes of it"
        )
    if isinstance(example, dspy.Example):
        try:
            return dict(example.inputs())
        except ValueError as error:
            raise SetupError("the example does not say which fields are inputs; call with_inputs(...)") from error
    if not isinstance(example, Mapping):
        raise SetupError(f"example must be a dspy.Example or a mapping of inputs, not {type(example).__name__}")
    return dict(example)


def program_graph(
    program: dspy.Module, examples: Sequence[dspy.Example | Mapping[str, Any]], *, probe: Probe = "auto"
) -> ProgramGraph:
    """Run a program on several examples and draw its predictors as one graph; see `aprogram_graph`."""
    return run_sync(aprogram_graph(program, examples, probe=probe))


async def aprogram_graph(
    program: dspy.Module, examples: Sequence[dspy.Example | Mapping[str, Any]], *, probe: Probe = "auto"
) -> ProgramGraph:
    """Run a program on several examples, one after the other, and aggregate their graphs.

    Args:
        program: Any DSPy program.
        examples: At least one.
        probe: As in `trace`.

    Returns:
        Predictors as nodes, edges with how often they occurred, branches with their frequency, predictors
        never reached, and outputs that nobody reads.

    Raises:
        SetupError: If there are no examples, or `probe` is none of the three.
    """
    if not examples:
        raise SetupError("examples is empty; pass at least one")
    graphs = [await atrace(program, example, probe=probe) for example in examples]
    return aggregate(graphs, [name for name, _ in program.named_predictors()])
