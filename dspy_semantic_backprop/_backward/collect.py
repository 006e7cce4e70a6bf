"""What becomes of the messages that a call received: its gradient, and, for an ablation, whose gradient it is given."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .._graph.graph import ComputationGraph
from .._graph.trace import OUTPUT, Call
from .ask import ask_question, count
from .gradient import Collect, Direction, Gradients, Message, TextGradient, joined_text
from .prompts import Summarise
from .text import fits, is_blank, refuses, visible, whole_sentences

CAP = 256
"""The most tokens of what a call's readers say together."""


async def join(call: Call, messages: Sequence[Message[Direction]]) -> TextGradient:
    """Collect by keeping every message, in the order of the readers, however long they are together."""
    return TextGradient(tuple(messages))


async def drop(call: Call, messages: Sequence[Message[Direction]]) -> TextGradient:
    """Collect nothing, not even the feedback at the output (no-gradient ablation)."""
    return TextGradient()


def bounded(cap: int = CAP) -> Collect[Direction, TextGradient]:
    """Collect by keeping every message; where they are too long together, with a summary to be passed on.

    So a gradient stays as short as it was, however deep the graph. The feedback at the output is the user's own
    words and no message of a model: it counts to no cap.

    Args:
        cap: The most tokens, by estimate, of what the readers say together.

    Returns:
        The collection: asks the gradient model once where the messages are longer than the cap.
    """
    return Bounded(cap)


@dataclass(frozen=True)
class Bounded:
    """The collection that `bounded` returns."""

    cap: int

    async def __call__(self, call: Call, messages: Sequence[Message[Direction]], /) -> TextGradient:
        """Keep the messages, with a summary where they are too long."""
        gradient = TextGradient(tuple(messages))
        feedback = [message for message in gradient.change_requests if message.sender == OUTPUT]
        text = joined_text([message for message in gradient.change_requests if message.sender != OUTPUT])
        if fits(text, self.cap):
            return gradient
        summary = await self._summary(call, text)
        return TextGradient(gradient.messages, text="\n".join(filter(None, (joined_text(feedback), summary))))

    async def _summary(self, call: Call, text: str) -> str:
        count("summarised")
        length = f"at most {self.cap} tokens, which is about {self.cap // 2} words"
        reply = await ask_question(Summarise, {"step": call.predictor, "wishes": visible(text), "length": length})
        summary = reply.fields.get("summary", "").strip()
        if is_blank(summary) or refuses(summary):
            summary = text
        if not fits(summary, self.cap):
            count("cut")
            summary = whole_sentences(summary, self.cap)
        return summary


Deliver = Callable[[ComputationGraph, Gradients, random.Random], dict[str, TextGradient]]
"""Takes the gradients of one example by call, and gives every call one."""


def to_its_own(graph: ComputationGraph, gradients: Gradients, rng: random.Random) -> dict[str, TextGradient]:
    """Every call is given the gradient that was sent to it."""
    return dict(gradients)


def the_answers_only(graph: ComputationGraph, gradients: Gradients, rng: random.Random) -> dict[str, TextGradient]:
    """Every call is given what was said of the program's answer, and nothing else: no graph, nobody to blame.

    What is said of the answer reaches the calls that wrote it as the seed of the sweep; here it goes to all.
    """
    feedback = {one.value: one for gradient in gradients.values() for one in gradient.messages if one.sender == OUTPUT}
    return {call.id: _readdressed(TextGradient(tuple(feedback.values())), call) for call in graph}


def to_another(graph: ComputationGraph, gradients: Gradients, rng: random.Random) -> dict[str, TextGradient]:
    """Every predictor is given the gradients of another one, call by call; no predictor keeps its own.

    Whatever gradients are worth beyond being a text about the example must be lost by this. Where an
    example has one predictor only there is no other, and it keeps its own; that is counted as "not shuffled".
    """
    calls: dict[str, list[Call]] = {}
    for call in graph:
        calls.setdefault(call.predictor, []).append(call)
    if len(calls) < 2:
        count("not shuffled")
        return dict(gradients)
    # One cycle through all predictors in random order: a permutation without a fixed point.
    order = rng.sample(list(calls), len(calls))
    giver = dict(zip(order, [*order[1:], order[0]], strict=True))
    return {
        call.id: _readdressed(gradients[calls[giver[name]][at % len(calls[giver[name]])].id], call)
        for name, mine in calls.items()
        for at, call in enumerate(mine)
    }


def _readdressed(gradient: TextGradient, call: Call) -> TextGradient:
    fields = list(call.outputs) or [field.name for field in call.output_fields]

    def field_of(name: str) -> str:
        return name if name in fields or not name or not fields else fields[-1]

    messages = (replace(one, receiver=call.id, field=field_of(one.field)) for one in gradient.messages)
    return replace(gradient, messages=tuple(messages))
