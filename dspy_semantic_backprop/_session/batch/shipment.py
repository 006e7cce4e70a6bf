"""What a user says of batches, and what there is of one: requests that were laid in, and the batch that they are in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..._errors import SetupError
from ..budget import Account, Bound
from .provider import BatchReply


@dataclass(frozen=True)
class Batch:
    """How a run sends its requests as batches of the provider.

    Args:
        seconds: The longest that one batch is waited for, in seconds; then the run ends with a `ModelError`, and can be
            resumed. Providers promise a day.
        gather: The longest that requests wait for others that are still on their way, as behind a slow tool, in
            seconds since the last one came.
        requests: The most requests in one batch.

    Raises:
        SetupError: If one is not above 0.
    """

    seconds: float = 90_000.0
    gather: float = 60.0
    requests: int = 50_000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
            if not good or (name == "requests" and not isinstance(value, int)):
                kind = "a whole number" if name == "requests" else "a finite number"
                raise SetupError(f"batch.{name} must be {kind} above 0, not {value!r}")


@dataclass(eq=False)
class BatchedRequest:
    """One request that was laid in.

    Args:
        key: What it is in the journal; "" without one.
        asker: Whose execution waits for it; None for a question of our own.
        access: By what its provider is reached.
        body: What would have been sent by itself.
        answer: What it is answered; None for nothing that anybody knows of.
        out: Whether it was sent, and nothing has come back.
        costless: Whether it is known that nothing is paid for it.
        left: Whether nobody waits for it any more.
    """

    key: str
    lease: int
    account: Account
    bound: Bound
    asker: int | None
    access: Mapping[str, Any] = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)
    answer: Future[BatchReply | None] = field(default_factory=Future, repr=False)
    out: bool = False
    costless: bool = True
    left: bool = False

    def __post_init__(self) -> None:
        # What waits for it may be cancelled; the answer has to be told to the ledger all the same.
        self.answer.set_running_or_notify_cancel()

    def give(self, reply: BatchReply | None) -> None:
        """Hand a reply to whoever waits."""
        self.out = False
        if not self.answer.done():
            self.answer.set_result(reply)

    def fail(self, error: BaseException) -> None:
        """Raise an error where it is waited for."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(eq=False)
class Shipment:
    """One batch, sent or about to be.

    Args:
        name: Ours.
        number: The provider's; None where it is not known.
        access: By what the provider is reached; empty where no request has said so yet.
        waiting: What a request is called in it -> the request.
        before: Whether it was sent before the run was resumed.
        begun: When waiting for it began, by the monotonic clock, in seconds.
        replies: What came back; None before anything did.
    """

    name: str
    number: str | None = None
    access: Mapping[str, Any] = field(default_factory=dict, repr=False)
    waiting: dict[str, BatchedRequest] = field(default_factory=dict)
    before: bool = False
    begun: float = 0.0
    replies: Mapping[str, BatchReply | None] | None = None

    @property
    def title(self) -> str:
        """The batch in messages."""
        return f"batch {self.number or self.name}"


class NeverMade(Exception):
    """A batch was never made, or refused as a whole: nothing was paid, and its requests can be sent in another one."""


def called(ticket: int) -> str:
    """What a request is called in a batch."""
    return f"request-{ticket}"


def mark(requests: Iterable[BatchedRequest], *, out: bool) -> None:
    """Note whether requests are at the provider; those that are not cost nothing."""
    for one in requests:
        one.out, one.costless = out, not out
