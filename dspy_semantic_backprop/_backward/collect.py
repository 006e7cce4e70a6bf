"""Collection of text: how the messages that a call received become its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._graph.trace import OUTPUT, Call
from .ask import ask_question, count
from .gradient import Collect, Direction, Message, TextGradient, joined_text
from .judge import is_blank, refuses
from .prompts import Summarise
from .text import fits, visible, whole_sentences

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
