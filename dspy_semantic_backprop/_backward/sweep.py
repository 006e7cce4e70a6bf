"""Feedback sent back through the graphs of many executions: a seed at each output, one sweep each, all at once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from dspy.utils.exceptions import LMError

from .._evaluate.outcome import Scored, brief
from .._graph.trace import OUTPUT
from .._session.budget import Purpose
from .._session.session import Session
from .._session.spans import evaluated, span
from .._terminal import logger
from .._values.text import printed
from .blame import Blame
from .collect import Deliver
from .gradient import Backward, Collect, Direction, Message, TextGradient
from .propagate import propagate


def seed_messages(outcome: Scored) -> list[Message[Direction]]:
    """The messages that start a sweep (arXiv 2412.03624, section 3: the gradient of the answer is its feedback).

    Every output field that was returned is told the feedback: the metric's own words for its call, where it has such.
    Where the program raised, the calls that failed are told; where none did, the last call is.
    """
    text = feedback(outcome)
    graph = outcome.graph
    told = [(member.call.id, member.field, outcome.told.get(member.call.id, text)) for member in graph.group(OUTPUT)]
    if not told or outcome.raised is not None:
        told = [
            (
                call.id,
                call.output_fields[-1].name if call.output_fields else "output",
                f"This call failed: {call.error}. {text}" if call.error else text,
            )
            for call in [call for call in graph if call.error] or graph.calls[-1:]
        ]
    return [
        Message(OUTPUT, call, field, Direction(words, example_id=outcome.example_id, through=(OUTPUT,)))
        for call, field, words in told
    ]


def feedback(outcome: Scored) -> str:
    """What to say of an outcome: the metric's words, or the labels and the score where it has none."""
    if outcome.feedback:
        return outcome.feedback
    returned = brief(outcome.graph.output, width=2000) or "nothing"
    labels = [f"{name} is {printed(value)!r}" for name, value in outcome.example.labels().items()]
    expected = f" The expected {'; the expected '.join(labels)}." if labels else ""
    return f"The program returned {returned}.{expected} The score is {outcome.score:g}."


MANY = 8
"""From so many directions on it is said that most of them were of no use."""
PASSES = "backward passes"
"""What a session counts sweeps as."""


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
    """Send the feedback of outcomes with proved graphs back through them; one that stands there twice gets two sweeps.

    Returns the outcomes whose sweep the provider answered, and call id -> gradient for each of them.
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
            asking = session.asking(Purpose.BACKWARD, where=place, rollout=repeat)
            with span("sweep", example=outcome.example_id), asking:
                gradients = await propagate(outcome.graph, seed_messages(outcome), parts.backward, parts.collect)
                rng = random.Random(f"{seed}/{outcome.example_id}/{repeat}")
                session.asked[PASSES].count(None)
                return parts.deliver(outcome.graph, gradients, rng)
        except LMError as error:
            session.notes["no gradient"] += 1
            session.asked[PASSES].count(error)
            logger.warning("no gradients for example %d: %s", outcome.example_id, error)
            return None

    sweeps = await session.working(PASSES, one, numbered)
    session.check_answers(PASSES)
    _say_what_was_seen(session)
    done = [(outcome, found) for outcome, found in zip(chosen, sweeps, strict=True) if found is not None]
    return [outcome for outcome, _ in done], [found for _, found in done]


def tell_blame(
    outcomes: Sequence[Scored], sweeps: Sequence[Mapping[str, TextGradient]], blames: Sequence[Blame]
) -> None:
    """Tell whoever traces with OpenTelemetry how much of the blame for its failure each call has, and why."""
    for outcome, gradients, blame in zip(outcomes, sweeps, blames, strict=True):
        spans = outcome.trace.spans
        for call in (one for one in outcome.graph if one.id in spans):
            share = round(blame.shares.get(call.id, 0.0), 4)
            about = {"predictor": call.predictor, "call": call.id, "example": str(outcome.example_id)}
            why = str(gradients.get(call.id, ""))
            evaluated(spans[call.id], "semantic_backprop.blame", share, "blamed" if share else "cleared", why, **about)


def _say_what_was_seen(session: Session) -> None:
    """Say it where most of what the gradient model said was of no use, and which media it was not shown."""
    asked, missing, restated = (session.notes[name] for name in ("directions", "missing", "restated"))
    if asked >= MANY and missing > asked / 2:
        session.warn(
            "most of what the gradient model said cannot be used: it left fields out, declined, or repeated what it "
            "was asked about, see `notes`; a stronger gradient_lm may do better"
        )
    elif asked >= MANY and missing + restated > asked / 2:
        session.warn(
            "most of what the gradient model said only says again what was wanted, or cannot be used, see `notes`: the "
            "former is passed on to earlier steps, but tells little about which of them is at fault"
        )
    begins = "images, sounds or files of the program stand in questions by their type and size only, since "
    if session.notes["not taken"]:
        session.warn(f"{begins}the gradient model refused them")
    elif session.notes["placeholder"]:
        session.warn(f"{begins}nothing says that the gradient model takes them; pass a gradient_lm that is known to")
