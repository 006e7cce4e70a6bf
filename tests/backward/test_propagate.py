"""The sweep, proved with numbers: reverse-mode automatic differentiation against finite differences."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import (
    OUTPUT,
    Call,
    ComputationGraph,
    Edge,
    End,
    Message,
    Numeric,
    Reading,
    accumulate,
    propagate,
)


@st.composite
def networks(draw):
    """A random graph of scalar calls: call i = tanh(sum of weight * input), some of them sharing a parameter.

    Edges may be doubled (one output read by two fields), fan out and fan in; several calls may be returned.
    """
    size = draw(st.integers(2, 9))
    weight = st.floats(-1.5, 1.5, allow_nan=False)
    reads = [
        draw(st.lists(st.tuples(st.integers(0, node - 1), weight), max_size=4)) if node else [] for node in range(size)
    ]
    parameters = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    values = draw(st.lists(weight, min_size=3, max_size=3))
    returned = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=3, unique=True))
    return reads, parameters, values, returned


def run(reads, parameters, values):
    outputs = []
    for node, sources in enumerate(reads):
        total = values[parameters[node]] + sum(weight * outputs[source] for source, weight in sources)
        outputs.append(math.tanh(total))
    return outputs


def graph_of(reads, parameters, outputs, returned):
    calls = tuple(
        Call(
            id=f"n{node}[0]",
            predictor=f"p{parameters[node]}",
            index=node,
            instruction="",
            inputs={f"x{at}": outputs[source] for at, (source, _) in enumerate(sources)},
            outputs={"y": outputs[node]},
            started=2 * node,
            ended=2 * node + 1,
        )
        for node, sources in enumerate(reads)
    )
    edges = [
        Edge(End(f"n{source}[0]", "y"), End(f"n{node}[0]", f"x{at}"), "data", "identity", 1.0)
        for node, sources in enumerate(reads)
        for at, (source, _) in enumerate(sources)
    ]
    edges += [Edge(End(f"n{node}[0]", "y"), End(OUTPUT, f"r{node}"), "data", "identity", 1.0) for node in returned]
    return ComputationGraph(calls, tuple(edges))


@settings(max_examples=250, deadline=None)
@given(networks())
def test_numeric_gradients_equal_finite_differences(network):
    reads, parameters, values, returned = network
    outputs = run(reads, parameters, values)
    graph = graph_of(reads, parameters, outputs, returned)

    def partials(call):
        node = call.index
        slope = 1 - outputs[node] ** 2
        return {("y", f"x{at}"): weight * slope for at, (_, weight) in enumerate(reads[node])}

    seed = [Message(OUTPUT, f"n{node}[0]", "y", 1.0) for node in returned]
    gradients = asyncio.run(propagate(graph, seed, Numeric(partials), accumulate))
    for parameter in range(3):
        ours = sum(
            gradients[call.id]["y"] * (1 - outputs[call.index] ** 2)
            for call in graph
            if parameters[call.index] == parameter
        )
        step = 1e-6
        shifted = [
            sum(
                run(reads, parameters, [v + sign * step * (i == parameter) for i, v in enumerate(values)])[node]
                for node in returned
            )
            for sign in (1, -1)
        ]
        assert ours == pytest.approx((shifted[0] - shifted[1]) / (2 * step), rel=1e-4, abs=1e-6)


def chain(length):
    reads = [[] if node == 0 else [(node - 1, 1.0)] for node in range(length)]
    return graph_of(reads, [0] * length, [0.0] * length, [length - 1])


def test_a_chain_of_5000_calls_neither_recurses_nor_doubles_when_swept_twice():
    graph = chain(5000)
    numeric = Numeric(lambda call: {("y", "x0"): 1.0})
    for _ in range(2):
        gradients = asyncio.run(propagate(graph, [Message(OUTPUT, "n4999[0]", "y", 1.0)], numeric, accumulate))
        assert gradients["n0[0]"] == {"y": 1.0}


def test_one_output_read_by_two_fields_of_one_call_counts_twice():
    graph = graph_of([[], [(0, 2.0), (0, 3.0)]], [0, 1], [0.0, 0.0], [1])
    numeric = Numeric(lambda call: {("y", "x0"): 2.0, ("y", "x1"): 3.0})
    gradients = asyncio.run(propagate(graph, [Message(OUTPUT, "n1[0]", "y", 1.0)], numeric, accumulate))
    assert gradients["n0[0]"] == {"y": 5.0}


async def values(call, messages):
    return [message.value for message in messages]


async def nothing(call, messages):
    return None


def test_messages_are_collected_in_the_order_of_their_senders_whoever_answers_first():
    reads = [[], [(0, 1.0)], [(0, 1.0)], [(1, 1.0), (2, 1.0)]]
    graph = graph_of(reads, [0] * 4, [0.0] * 4, [3])

    async def slow_first(reading: Reading):
        await asyncio.sleep(0.02 if reading.reader.id == "n1[0]" else 0)
        return [Message(reading.reader.id, m.call.id, m.field, reading.reader.id) for m in reading.group]

    gradients = asyncio.run(
        propagate(
            graph,
            [Message(OUTPUT, "n3[0]", "y", "start")],
            slow_first,
            values,
        )
    )
    assert gradients["n0[0]"] == ["n1[0]", "n2[0]"]


def test_a_sweep_runs_as_many_rounds_as_the_graph_is_deep():
    width = 6
    reads = [[] for _ in range(width)] + [[(node, 1.0) for node in range(width)] for _ in range(width)]
    reads.append([(width + node, 1.0) for node in range(width)])
    graph = graph_of(reads, [0] * len(reads), [0.0] * len(reads), [2 * width])
    running, peak = 0, 0

    async def backward(reading: Reading):
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1
        return []

    asyncio.run(propagate(graph, [], backward, nothing))
    assert peak == width


def test_an_error_in_one_call_ends_the_sweep_and_cancels_the_others():
    reads = [[], [(0, 1.0)], [(0, 1.0)]]
    graph = graph_of(reads, [0] * 3, [0.0] * 3, [1, 2])
    cancelled = []

    async def backward(reading: Reading):
        if reading.reader.id == "n1[0]":
            await asyncio.sleep(0)
            raise RuntimeError("no")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(reading.reader.id)
            raise
        return []

    with pytest.raises(RuntimeError, match="no"):
        asyncio.run(propagate(graph, [], backward, nothing))
    assert cancelled == ["n2[0]"]


def test_a_message_that_nobody_would_read_is_an_error():
    graph = graph_of([[], [], [(1, 1.0)]], [0] * 3, [0.0] * 3, [2])

    async def astray(reading: Reading):
        return [Message(reading.reader.id, "n0[0]", "y", 1.0)]

    with pytest.raises(ValueError, match=r"'n2\[0\]' has a message for 'n0\[0\]', which it did not read"):
        asyncio.run(propagate(graph, [], astray, nothing))


@pytest.mark.parametrize(("source", "target"), [("n0[0]", "nobody"), ("nobody", "n0[0]"), (OUTPUT, "n0[0]")])
def test_an_edge_of_a_call_that_is_not_there_is_an_error_at_once(source, target):
    calls = graph_of([[]], [0], [0.0], [0]).calls
    with pytest.raises(ValueError, match="which the graph does not have"):
        ComputationGraph(calls, (Edge(End(source, "y"), End(target, "x"), "data", "identity", 1.0),))
