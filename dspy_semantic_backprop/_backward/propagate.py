"""The sweep: one reverse pass over a computation graph. It knows nothing of language.

A call is visited as soon as all its readers have answered, so a sweep takes as long as the graph is deep, not as
long as it is large; and no visit is recursive, so depth is bounded by memory alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from .._concurrency import cancel
from .._graph.graph import ComputationGraph
from .._graph.trace import OUTPUT, Call
from .gradient import Backward, Collect, G, M, Message, ParameterGradient, Reading


async def propagate(
    graph: ComputationGraph, seed: Sequence[Message[M]], backward: Backward[G, M], collect: Collect[M, G]
) -> dict[str, G]:
    """Send the seed back through the graph (arXiv 2412.03624, section 3).

    `Semantic()` with `bounded()` sends text, and asks the language model that DSPy is configured with.

    Args:
        graph: The computation graph of one execution.
        seed: The messages of the returned prediction to the calls that wrote it.
        backward: Asked once for every call that read others, or demonstrations. What it sends to the call itself
            is about the call's parameters, and is kept with the call's gradient.
        collect: Applied once for every call, to the messages in the order of their senders.

    Returns:
        Call id -> gradient, for every call of the graph.

    Raises:
        graphlib.CycleError: If the edges form a cycle.
        ValueError: If `backward` sends a message to a call that was not read.
        BaseException: Whatever `backward` or `collect` raise; the other calls are cancelled.
    """
    inbox: dict[str, dict[str, list[Message[M]]]] = {call.id: {} for call in graph}
    gradients: dict[str, G] = {}
    for message in seed:
        inbox[message.receiver].setdefault(message.sender, []).append(message)

    async def visit(call: Call) -> None:
        readers = [reader for reader in graph.successors(call.id) if reader != OUTPUT]
        for reader in readers:
            await asyncio.shield(visits[reader])
        received = inbox.pop(call.id)
        gradient = await collect(call, [m for sender in (*readers, OUTPUT) for m in received.get(sender, ())])
        group = graph.group(call.id)
        sent = await backward(Reading(graph, call, group, gradient)) if group or call.demos else ()
        own = [message for message in sent if message.receiver == call.id]
        gradients[call.id] = cast(ParameterGradient, gradient).with_own(own) if own else gradient
        read = {member.call.id for member in group}
        for message in sent:
            if message.receiver in read:
                inbox[message.receiver].setdefault(call.id, []).append(message)
            elif message.receiver != call.id:
                raise ValueError(f"{call.id!r} has a message for {message.receiver!r}, which it did not read")

    visits = {name: asyncio.create_task(visit(graph[name])) for wave in reversed(graph.waves) for name in wave}
    try:
        await asyncio.gather(*visits.values())
    except BaseException:
        await cancel(visits.values())
        raise
    return {call.id: gradients[call.id] for call in graph}
