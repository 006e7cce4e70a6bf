"""Feedback sent back through the graphs of many executions: one sweep each, all at once."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from dspy.utils.exceptions import LMError

from .._concurrency import gather
from .._evaluate.outcome import Scored
from .._session.budget import Purpose
from .._session.session import Session
from .deliver import Deliver
from .gradient import Backward, Collect, Direction, TextGradient
from .propagate import propagate
from .seed import seed_messages

logger = logging.getLogger("dspy_semantic_backprop")


class Passes(Protocol):
    """The parts of a method that a sweep is made of."""

    @property
    def backward(self) -> Backward[TextGradient, Direction]:
        """How a reader's gradient becomes messages."""
        ...

    @property
    def collect(self) -> Collect[Direction, TextGradient]:
        """How the messages to a call become its gradient."""
        ...

    @property
    def deliver(self) -> Deliver:
        """Whose gradient a call is given."""
        ...


async def sweep(
    session: Session, chosen: Sequence[Scored], parts: Passes, *, seed: int = 0, where: str = "sweep"
) -> tuple[list[Scored], list[dict[str, TextGradient]]]:
    """Send the feedback of outcomes back through their graphs.

    Args:
        session: What surrounds the run.
        chosen: Outcomes with proved graphs; one that stands there twice gets two different sweeps.
        parts: How messages are made, collected and delivered.
        seed: Of an ablation that shuffles gradients.
        where: Which place of the run it is, for its journal.

    Returns:
        The outcomes whose sweep the provider answered, and call id -> gradient for each of them.
    """
    repeats: Counter[int] = Counter()
    numbered: list[tuple[Scored, int]] = []
    for outcome in chosen:
        numbered.append((outcome, repeats[outcome.example_id]))
        repeats[outcome.example_id] += 1

    async def one(pair: tuple[Scored, int]) -> dict[str, TextGradient] | None:
        outcome, repeat = pair
        session.notes["failed call"] += sum(call.error is not None for call in outcome.graph)
        place = f"{where}, example {outcome.example_id}, {repeat}"
        try:
            with session.asking(Purpose.BACKWARD, where=place, rollout=repeat):
                gradients = await propagate(outcome.graph, seed_messages(outcome), parts.backward, parts.collect)
                rng = random.Random(f"{seed}/{outcome.example_id}/{repeat}")
                return parts.deliver(outcome.graph, gradients, rng)
        except LMError as error:
            session.notes["no gradient"] += 1
            logger.warning("no gradients for example %d: %s", outcome.example_id, error)
            return None

    sweeps = await gather(one, numbered)
    done = [(outcome, found) for outcome, found in zip(chosen, sweeps, strict=True) if found is not None]
    return [outcome for outcome, _ in done], [found for _, found in done]
