"""A scored example -> the gradient at its output: the metric's feedback, or the labels and the score."""

from __future__ import annotations

from .._evaluate.outcome import Scored, brief
from .._graph.trace import OUTPUT
from .gradient import Direction, Message


def seed_messages(outcome: Scored) -> list[Message[Direction]]:
    """The messages that start a sweep (arXiv 2412.03624, section 3: the gradient of the answer is its feedback).

    Every output field that was returned is told the feedback. Where the program raised, the calls that failed are
    told; where none did, the last call is.
    """
    text = feedback(outcome)
    graph = outcome.graph
    told = [(member.call.id, member.field, text) for member in graph.group(OUTPUT)]
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
    labels = [f"{name} is {str(value)!r}" for name, value in outcome.example.labels().items()]
    expected = f" The expected {'; the expected '.join(labels)}." if labels else ""
    return f"The program returned {returned}.{expected} The score is {outcome.score:g}."
