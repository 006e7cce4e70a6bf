"""The vocabulary of the backward pass: message, direction, gradient, and the two functions a sweep is made of.

A *message* is what a reader sends to one output of one of its predecessors. A *gradient* is what a call received
from all its readers. A `Backward` turns a reader's gradient into messages to its whole shared-successor group (all
outputs that it read) at once; a `Collect` turns the messages that a call received into its gradient. Reverse-mode
automatic differentiation, TextGrad and semantic backpropagation differ in these two functions only (arXiv
2412.03624, section 3).

A call's parameter, its instruction, is a parent of the call as its inputs are: what a reader says of its own
instruction is a message to itself.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import TypeAdapter

from .._graph.graph import ComputationGraph, Member
from .._graph.trace import Call
from .._terminal import printable

M = TypeVar("M")
G = TypeVar("G")

Status = Literal["change", "none", "missing"]
"""Something must change; nothing must ("no change needed"); asked twice and never answered usably."""

Severity = Literal["none", "minor", "major"]
"""How much of the failure a direction accounts for; "none" unless something must change."""


@dataclass(frozen=True)
class Message(Generic[M]):
    """What a reader sends back to one output field of one call that it read.

    Args:
        sender: The reader's id; "output" for the returned prediction.
        receiver: The id of the call that is addressed; the sender's own for its instruction.
        field: Its output field; "" where the call as a whole decided that the reader ran, and for an instruction.
        value: A `Direction` (text), or a derivative (number).
    """

    sender: str
    receiver: str
    field: str
    value: M


@dataclass(frozen=True)
class Direction:
    """What a text message says: how an output, or an instruction, should have been different.

    Args:
        change: What should change, and how; "" where nothing must, and where nothing is known.
        status: Whether something must change, nothing must, or no usable answer came.
        severity: How much of the failure it accounts for; "none" unless the status is "change".
        quote: The words of the output that it rests on, which do stand there; "" where none were given.
        example_id: The example that it was learned from.
        through: The readers that it came through, nearest first, "output" last; "..." stands for those that
            a long path leaves out.
        questions: Over how many questions the group was split, since it was too large for one.
    """

    change: str
    status: Status = "change"
    severity: Severity = "major"
    quote: str = ""
    example_id: int | None = None
    through: tuple[str, ...] = ()
    questions: int = 1


@dataclass(frozen=True)
class Reading(Generic[G]):
    """What a backward function is told: one reader, the outputs that it read, and its own gradient.

    Args:
        graph: The graph of the execution.
        reader: The call that read.
        group: Its shared-successor group: every output that it read.
        gradient: What the reader received from its own readers.
    """

    graph: ComputationGraph
    reader: Call
    group: tuple[Member, ...]
    gradient: G


class Backward(Protocol[G, M]):
    """Turns a reader's gradient into messages to the members of its group."""

    async def __call__(self, reading: Reading[G], /) -> Sequence[Message[M]]:
        """Return at most one message for each member, and one whose receiver is the reader for its instruction.

        A member without a message is sent nothing. A message to the reader itself needs a `ParameterGradient`.
        """
        ...


Collect = Callable[[Call, Sequence[Message[M]]], Awaitable[G]]
"""Turns the messages that a call received into its gradient; of none, the gradient that says nothing."""


class ParameterGradient(Protocol):
    """A gradient that also holds what the call said of its own parameters."""

    def with_own(self, messages: Sequence[Message[Any]], /) -> Any:
        """The same gradient with the call's messages to itself, of which there is at least one."""
        ...


@dataclass(frozen=True)
class TextGradient:
    """What a call's readers say about how its outputs should have been different.

    True where at least one of them asks for a change.

    Args:
        messages: All that was said to the call, "none" and "missing" included.
        own: What the call's own question said about its instruction; None where it was not asked.
        text: The bounded summary, where the messages were too long to pass on; None: the messages as they are.
    """

    messages: tuple[Message[Direction], ...] = ()
    own: Direction | None = None
    text: str | None = None

    def __bool__(self) -> bool:
        return bool(self.change_requests)

    @printable
    def __str__(self) -> str:
        return self.text if self.text is not None else joined_text(self.change_requests)

    @property
    def change_requests(self) -> tuple[Message[Direction], ...]:
        """The messages that ask for a change."""
        return tuple(message for message in self.messages if message.value.status == "change")

    @property
    def severity(self) -> Severity:
        """The largest severity among the messages."""
        severities = {message.value.severity for message in self.change_requests}
        return "major" if "major" in severities else "minor" if "minor" in severities else "none"

    def with_own(self, messages: Sequence[Message[Direction]], /) -> TextGradient:
        """The same gradient with what the call said of its own instruction."""
        return replace(self, own=messages[0].value)

    def to_dict(self) -> dict[str, Any]:
        """The gradient as JSON values: `messages`, `own`, `text`."""
        return _json().dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> TextGradient:
        """The inverse of `to_dict`.

        Raises:
            ValueError: If a part is missing or of another kind.
        """
        return _json().validate_python(state)


@functools.cache
def _json() -> TypeAdapter[TextGradient]:
    # Made when it is wanted: that takes as long as everything else in this file.
    return TypeAdapter(TextGradient)


Gradients = Mapping[str, TextGradient]
"""Call id -> gradient, of every call of one execution."""


def joined_text(messages: Sequence[Message[Direction]]) -> str:
    """Messages as one text, each once, with the fields they are about where these differ."""
    fields: dict[str, list[str]] = {}
    for message in messages:
        fields.setdefault(message.value.change, []).append(message.field)
    if len({field for names in fields.values() for field in names}) <= 1 or len(fields) == 1:
        return "\n".join(fields)
    return "\n".join(f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in fields.items())
