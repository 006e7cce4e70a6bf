"""A scored example -> the gradient at its output: the metric's feedback, or the labels and the score."""

from __future__ import annotations

from .._evaluate.outcome import Scored, brief
from .._graph.trace import OUTPUT, Call
from .gradient import Direction, Message


def seed_messages(outcome: Scored) -> list[Message[Direction]]:
    """The messages that start a sweep (arXiv 2412.03624, section 3: the gradient of the answer is its feedback).

    Every call whose output was returned is told the feedback. Where the program raised, the calls that
    failed are told; where none did, the last call is.

    Args:
        outcome: A scored example.

    Returns:
        One message for each output field that reached the returned prediction.
    """
    text = feedback(outcome)
    group = outcome.graph.group(OUTPUT)
    if group and outcome.raised is None:
        return [_message(outcome, member.call, member.field, text) for member in group]
    blamed = [call for call in outcome.graph if call.error] or list(outcome.graph.calls[-1:])
    return [_message(outcome, call, _last_field(call), _failure(call, text)) for call in blamed]


def feedback(outcome: Scored) -> str:
    """What to say of an outcome: the metric's words, or the labels and the score where it has none."""
    if outcome.feedback:
        return outcome.feedback
    labels = {name: value for name, value in outcome.example.labels().items()}
    returned = brief(outcome.graph.output, width=2000) or "nothing"
    expected = f" The expected {_listing(labels)}." if labels else ""
    return f"The program returned {returned}.{expected} The score is {outcome.score:g}."


def _message(outcome: Scored, call: Call, field: str, text: str) -> Message[Direction]:
    return Message(OUTPUT, call.id, field, Direction(text, example_id=outcome.example_id, through=(OUTPUT,)))


def _listing(labels: dict[str, object]) -> str:
    return "; the expected ".join(f"{name} is {str(value)!r}" for name, value in labels.items())


def _last_field(call: Call) -> str:
    names = [field.name for field in call.output_fields]
    return names[-1] if names else "output"


def _failure(call: Call, text: str) -> str:
    return f"This call failed: {call.error}. {text}" if call.error else text
