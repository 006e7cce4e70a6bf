"""The semantic backward function: one language-model call tells a whole group how it should have been different.

A reader that got wrong what it made of several outputs is shown with all of them at once, since an
output may be at fault only beside its neighbour: both say the same, or contradict each other
(arXiv 2412.03624, section 3). The same question asks about the reader's instruction, which is a parent of
the reader as the outputs are, and about the demonstrations in its prompt; of a call that read nothing else but
was shown some, it asks about these alone.

An answer that is missing, declined or a mere repetition is asked for once more, and then recorded as missing. One that
only says again what was wanted is passed on: whoever wrote the output has not been told. It is told to as many outputs
as the model tells it, since to let the first one stand for all would blame it for its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dspy.utils.exceptions import LMError

from .._concurrency import gather
from .._session.lm import Reply, for_predictor, is_fatal, is_transient
from .ask import ask_question, count
from .gradient import Direction, Message, Reading, TextGradient
from .question import InputOrigins, Question, QuestionForm, split
from .text import demands_itself, is_blank, occurs_in, refuses, repeats, says_no_change, severity_of

MOST_THROUGH = 16
"""The most readers that a direction names; of a longer path the nearest ones and the output."""


@dataclass(frozen=True)
class Semantic(QuestionForm):
    """The semantic backward function, which asks its questions as its `QuestionForm` says."""

    async def __call__(self, reading: Reading[TextGradient], /) -> list[Message[Direction]]:
        """Ask one question about the whole group, or one about each part of a group that is too large.

        Returns:
            One message for each member, and one to the reader itself about its instruction; none without
            asking where the reader need not change, or read neither outputs nor demonstrations.

        Raises:
            LMError: What the provider refused to answer after all retries.
        """
        reader = reading.reader
        if not reading.gradient or not (reading.group or reader.demos):
            return []
        origins = InputOrigins(reading)
        parts = split(reading, origins, self) or [()]
        if len(parts) > 1 and self.siblings:
            count("split", len(parts))
        questions = [Question(reading, origins, part, self) for part in parts]
        source = _source(reading, len(parts))
        with for_predictor(reader.predictor):
            judged = await gather(lambda question: _ask(question, source), questions)
        sent = [
            Message(reader.id, member.call.id, member.field, directions[key])
            for question, directions in zip(questions, judged, strict=True)
            for key, member in question.members.items()
        ]
        own = [directions[question.own_id] for question, directions in zip(questions, judged, strict=True)]
        return [*sent, Message(reader.id, reader.id, "", _agreed(own))]


def _source(reading: Reading[TextGradient], questions: int) -> dict[str, Any]:
    """What every direction of a reading tells of its origin."""
    requests = [message.value for message in reading.gradient.change_requests]
    first = next((one for one in requests if one.severity == "major"), requests[0])
    through = (reading.reader.id, *first.through)
    if len(through) > MOST_THROUGH:
        through = (*through[: MOST_THROUGH - 2], "...", through[-1])
    return {"example_id": first.example_id, "through": through, "questions": questions}


async def _ask(question: Question, source: Mapping[str, Any]) -> dict[str, Direction]:
    """Identifier -> direction, for every identifier of the question; asked once more where an answer is unusable."""
    usable: dict[str, _Answer] = {}
    for again in (False, True):
        missing = [key for key in question.ids if key not in usable]
        if not missing:
            break
        reply = await _put(question, missing, again)
        if not reply.fields and refuses(reply.text or ""):
            count("refused", len(missing))
        else:
            usable |= _usable(question, {key: _answer(key, reply.fields) for key in missing}, usable)
    count("directions", len(question.ids))
    count("missing", len(question.ids) - len(usable))
    count("unchanged", sum(says_no_change(answer.change) for answer in usable.values()))
    return {key: _direction(question, key, usable.get(key), source) for key in question.ids}


async def _put(question: Question, missing: Sequence[str], again: bool) -> Reply:
    """Put a question, and once more without its attachments where the model does not take them."""
    try:
        return await ask_question(question.signature(missing, again), question.inputs, again=again)
    except LMError as error:
        if not question.attached or is_fatal(error) or is_transient(error):
            raise
        count("not taken")
        question.attached = {}
        return await ask_question(question.signature(missing, again), question.inputs, again=again)


class _Answer(NamedTuple):
    change: str
    severity: str
    quote: str


def _answer(key: str, fields: Mapping[str, Any]) -> _Answer:
    return _Answer(*(str(fields.get(f"{name}_{key}") or "").strip() for name in ("change", "severity", "quote")))


def _usable(question: Question, answers: dict[str, _Answer], earlier: dict[str, _Answer]) -> dict[str, _Answer]:
    """The answers that are gradients, beside those that were usable before."""
    usable: dict[str, _Answer] = {}
    for key, answer in answers.items():
        if is_blank(answer.change):
            continue
        if refuses(answer.change):
            count("refused")
        elif says_no_change(answer.change):
            usable[key] = answer
        elif _repeats_what_it_is_about(question, key, answer.change):
            count("echo")
        elif repeats(answer.change, question.shared["wanted_change"]):
            count("restated")
            usable[key] = answer
        elif _repeats_another(question, key, {**earlier, **answers}):
            count("echo")
        else:
            usable[key] = answer
    return usable


def _repeats_what_it_is_about(question: Question, key: str, change: str) -> bool:
    """Whether an answer only repeats what it is about, itself, or the reader's instruction."""
    judged = question.outputs.get(key, question.shared["reader_output"])
    return demands_itself(change) or repeats(change, judged) or repeats(change, question.shared["reader_instruction"])


def _repeats_another(question: Question, key: str, answers: Mapping[str, _Answer]) -> bool:
    """Whether an answer only repeats an earlier one, about something else."""
    change = answers[key].change
    for other, answer in answers.items():
        if other == key:
            # Of two answers that are alike the first one stands.
            return False
        outputs = [question.outputs.get(one, "").split() for one in (key, other)]
        if says_no_change(answer.change) or (outputs[0] == outputs[1] and question.own_id not in (key, other)):
            # Outputs that are alike may be told the same.
            continue
        if repeats(change, answer.change) and repeats(answer.change, change):
            return True
    return False


def _direction(question: Question, key: str, answer: _Answer | None, source: Mapping[str, Any]) -> Direction:
    if answer is None:
        return Direction("", "missing", "none", **source)
    if says_no_change(answer.change):
        return Direction("", "none", "none", **source)
    quote = answer.quote.strip().strip("\"'`\u201c\u201d").strip()
    if quote and not occurs_in(quote, question.outputs.get(key, question.shared["reader_instruction"])):
        count("false quote")
        quote = ""
    return Direction(question.readable(answer.change), "change", severity_of(answer.severity), quote, **source)


def _agreed(own: Sequence[Direction]) -> Direction:
    """What the parts of a group, each judged with the same instruction, say of it together."""
    known = sum(direction.status != "missing" for direction in own)
    for status in ("change", "none"):
        alike = [direction for direction in own if direction.status == status]
        # At least half of those that say anything: with one question that is the question itself.
        if alike and len(alike) * 2 >= known:
            return next((one for one in alike if one.severity == "major"), alike[0])
    return own[0]
