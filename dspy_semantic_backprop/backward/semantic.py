"""The semantic backward function: one language-model call tells a whole group how it should have been different.

A reader that got wrong what it made of several outputs is shown with all of them at once, since an
output may be at fault only beside its neighbour: both say the same, or contradict each other
(arXiv 2412.03624, section 3).

Why one text field per member, made for the call: small models fill it, lists of typed records they do
not; and identifiers that no output can know keep a text inside one output from forging its
neighbour's field.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import dspy

from ..forward.graph import Member, jsonable
from ..lm import ask
from .gradient import Direction, Message, Reading, TextGradient, wish

_NO_CHANGE = re.compile(
    r"\bno (further )?changes?\b|\bno need (to|for)( a)? change|\bneeds? no change|\bnot need to (be )?change"
)
_CHANGE = re.compile(r"\b(should|must|instead|but|however|except|although|wrong|missing)\b")

_DIRECTIONS = """\
A step of a program read the outputs below, together with its other inputs, and produced its result. \
The result was not what was wanted, as wanted_change says. Find out which of the outputs misled the step. \
Judge them together: what does each one add, is it true, do they repeat or contradict each other?

In diagnosis, compare each output with what the wanted result requires. Then, for every output, write in \
change_<id> how output_<id> should have been different so that the step would have produced the wanted \
result: name what is wrong or missing in it, and how to get it right. Address that output only, in \
sentences of your own that do not repeat it. An output that says something else than the wanted result \
requires must change. Only if the wanted result already follows from an output, say that it needs no change."""

_COMMENTS = """\
A step of a program read the outputs below, together with its other inputs, and produced its result. \
The result was not what was wanted, as wanted_change says. Judge the outputs together.

In diagnosis, compare each output with what the wanted result requires. Then, for every output, comment in \
change_<id> on what is good and what is bad about output_<id>, in sentences of your own that do not repeat \
it. Only if the wanted result already follows from an output, say that it needs no change."""


class Semantic:
    """The semantic backward function.

    Args:
        directions: Ask for directions of change (the published `--target`); False asks for comments.
    """

    def __init__(self, *, directions: bool = True) -> None:
        self.directions = directions

    async def __call__(self, reading: Reading[TextGradient], /) -> list[Message[Direction]]:
        """Ask one question about the whole group.

        Returns:
            One message for each member that should change; none without asking where the reader need
            not change.

        Raises:
            LMError: What the provider refused to answer after all retries.
        """
        if not reading.gradient:
            return []
        return await question(reading, reading.group, directions=self.directions)


async def isolated(reading: Reading[TextGradient], /) -> list[Message[Direction]]:
    """TextGrad's backward function: one question for each member, blind to its neighbours."""
    if not reading.gradient:
        return []
    sent = await asyncio.gather(*(question(reading, (member,), shown=(member,)) for member in reading.group))
    return [message for messages in sent for message in messages]


async def question(
    reading: Reading[TextGradient],
    group: Sequence[Member],
    *,
    shown: Sequence[Member] | None = None,
    directions: bool = True,
) -> list[Message[Direction]]:
    """Ask how the members of a group should have been different.

    Args:
        reading: The reader, its group and its gradient.
        group: The members to ask about.
        shown: The members whose outputs may be seen; None for all of the reader's group.
        directions: Directions of change, or comments.

    Returns:
        The messages; members that need no change, and members that two replies left out, get none.
    """
    shown = reading.group if shown is None else shown
    inputs = {
        "reader_instruction": reading.reader.instruction,
        "reader_inputs": _text(_visible_inputs(reading, shown)),
        "reader_output": _text(reading.reader.outputs) if reading.reader.outputs else reading.reader.error or "",
        "wanted_change": str(reading.gradient),
    }
    values = [_text(member.value) for member in group]
    keys = identifiers(len(group), [*inputs.values(), *values])
    outputs = {f"output_{key}": value for key, value in zip(keys, values, strict=True)}
    replies = await ask(_signature(group, keys, directions), {**inputs, **outputs})
    messages = []
    for member, key in zip(group, keys, strict=True):
        reply = _readable(str(replies.get(f"change_{key}") or "").strip(), group, keys)
        if reply and not says_no_change(reply):
            messages.append(Message(reading.reader.id, member.call.id, member.field, wish(reply)))
    return messages


def _readable(reply: str, group: Sequence[Member], keys: Sequence[str]) -> str:
    # Identifiers mean something within one question only; a reader of the gradient knows predictors.
    for member, key in zip(group, keys, strict=True):
        reply = reply.replace(f"output_{key}", f"the {member.field} of {member.call.predictor}")
    return reply


def says_no_change(reply: str) -> bool:
    """Whether a reply is the legal answer that an output is fine as it is, and asks for nothing else."""
    plain = " ".join(re.findall(r"[a-z']+", reply.casefold()))
    return plain in {"", "none", "n a", "nothing"} or bool(_NO_CHANGE.search(plain) and not _CHANGE.search(plain))


def identifiers(count: int, texts: Sequence[str]) -> list[str]:
    """Names for the members of one question that stand in none of the texts it shows.

    Args:
        count: How many.
        texts: Everything that the question shows.

    Returns:
        Distinct identifiers, the same for the same question.
    """
    keys: list[str] = []
    attempt = 0
    material = hashlib.sha256("\x00".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
    while len(keys) < count:
        key = hashlib.sha256(f"{material}{attempt}".encode()).hexdigest()[:6]
        attempt += 1
        if key not in keys and not any(key in text for text in texts):
            keys.append(key)
    return keys


def _signature(group: Sequence[Member], keys: Sequence[str], directions: bool) -> Any:
    fields: dict[str, Any] = {
        "reader_instruction": (str, dspy.InputField(desc="what the step was told to do")),
        "reader_inputs": (str, dspy.InputField(desc="what else the step was given")),
    }
    for member, key in zip(group, keys, strict=True):
        read_as = " and ".join(member.read_as) or "the reason why the step ran"
        description = f"field {member.field} of {member.call.predictor}, which the step read as {read_as}"
        fields[f"output_{key}"] = (str, dspy.InputField(desc=description))
    fields["reader_output"] = (str, dspy.InputField(desc="what the step produced"))
    fields["wanted_change"] = (str, dspy.InputField(desc="how that should have been different"))
    fields["diagnosis"] = (str, dspy.OutputField(desc="what led the step to its result rather than the wanted one"))
    for key in keys:
        description = f"how output_{key} should have been different" if directions else f"comment on output_{key}"
        fields[f"change_{key}"] = (str, dspy.OutputField(desc=description))
    return dspy.make_signature(fields, _DIRECTIONS if directions else _COMMENTS, "SharedSuccessors")


def _visible_inputs(reading: Reading[TextGradient], shown: Sequence[Member]) -> dict[str, Any]:
    # An input that is a neighbour's output must stay unseen where only some of the group is shown.
    whole = {
        name
        for member in reading.group
        for edge in member.edges
        if edge.known_by == "identity"
        for name in member.read_as
    }
    hidden = {name for member in reading.group if member not in shown for name in member.read_as}
    return {name: value for name, value in reading.reader.inputs.items() if name not in whole | hidden}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) or hasattr(value, "items"):
        return "\n".join(f"{name}: {_text(item)}" for name, item in dict(value).items())
    return json.dumps(jsonable(value), ensure_ascii=False)
