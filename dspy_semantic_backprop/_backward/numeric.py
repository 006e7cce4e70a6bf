"""Reverse-mode automatic differentiation as a backward function: the proof that the sweep is right.

Gradients are numbers by output field, a message is the chain rule's product, collection is a sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .._graph.graph import Member
from .._graph.trace import Call
from .gradient import Message, Reading

Partials = Callable[[Call], Mapping[tuple[str, str], float]]
"""Of a call: (output field, input field) -> the local derivative at the call's own inputs."""


@dataclass(frozen=True)
class Numeric:
    """The numeric backward function.

    Args:
        partials: The local derivatives of each call.
    """

    partials: Partials

    async def __call__(self, reading: Reading[Mapping[str, float]], /) -> list[Message[float]]:
        """Multiply the reader's gradient by its local derivatives, for each member of its group."""
        reader, local = reading.reader, self.partials(reading.reader)

        def slope(member: Member) -> float:
            pairs = itertools.product(reading.gradient, member.read_as)
            return sum(local.get((output, name), 0.0) * reading.gradient[output] for output, name in pairs)

        return [Message(reader.id, member.call.id, member.field, slope(member)) for member in reading.group]


async def accumulate(call: Call, messages: Sequence[Message[float]]) -> dict[str, float]:
    """Collect by summing, for each output field."""
    total = dict.fromkeys(call.outputs, 0.0)
    for message in messages:
        total[message.field] = total.get(message.field, 0.0) + message.value
    return total
