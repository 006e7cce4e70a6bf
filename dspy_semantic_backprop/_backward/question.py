"""The layout of the question that a reader's whole group is judged by: which texts it shows under which names.

Why one text field per member, made for the call: small models fill it, lists of typed records they do not.
Why identifiers that no text in the question holds: an output that knows its neighbour's field name could forge it.
Why they and what never changes come first: see `identifiers`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dspy

from .._graph.graph import Member
from .._values.text import readable
from . import prompts
from .ask import count
from .attach import attached
from .gradient import Reading, TextGradient
from .text import estimate_tokens, shown

_FIELDS_COST = 120
"""Tokens that a member costs in a question besides its text: its fields' names and descriptions."""


@dataclass(frozen=True)
class QuestionForm:
    """How a question is put.

    Args:
        directions: Ask for directions of change (the published `--target`); False asks for comments.
        siblings: Show a group's members together; False shows and asks about each of them alone.
        evidence: Ask for a severity and a quotation with each answer.
        budget: The most tokens of one question; a larger group is split.
        most: The most members of one question; a larger group is split.
        longest: The most tokens of one text in a question; of a longer one the two ends are shown.
    """

    directions: bool = True
    siblings: bool = True
    evidence: bool = True
    budget: int = 24_000
    most: int = 32
    longest: int = 4_000


class InputOrigins:
    """Which of a reader's inputs came from which output of its group, and how.

    An input may hold an output as it was written, something that code of the program made of one output, or
    something made of several. The first two are shown beside their output and must not be shown twice.
    """

    def __init__(self, reading: Reading[TextGradient]) -> None:
        self.inputs = reading.reader.inputs
        self.group = reading.group
        self._sources = Counter(name for member in reading.group for name in member.read_as)
        self._unchanged = {id(member): self._verbatim(member) for member in reading.group}

    def _verbatim(self, member: Member) -> set[str]:
        if not member.field:
            return set()
        words = readable(member.value).split()
        return {name for name in member.read_as if name in self.inputs and readable(self.inputs[name]).split() == words}

    def transformed(self, member: Member) -> dict[str, Any]:
        """The inputs that code of the program made of one output, and of no other."""
        names = [name for name in member.read_as if name in self.inputs and self._sources[name] == 1]
        return {name: self.inputs[name] for name in names if name not in self._unchanged[id(member)]}

    def others(self, part: Sequence[Member], siblings: bool) -> dict[str, Any]:
        """The inputs that a question about a part of the group shows besides its outputs.

        Without `siblings`, inputs that hold something of a neighbour's output are hidden too.
        """
        hidden = {name for member in self.group for name in (*self._unchanged[id(member)], *self.transformed(member))}
        if not siblings:
            asked = {id(member) for member in part}
            hidden |= {name for member in self.group if id(member) not in asked for name in member.read_as}
        return {name: value for name, value in self.inputs.items() if name not in hidden}


class Question:
    """One question about a reader and a part of its group.

    Attributes:
        ids: The identifiers of the members, in order, and last that of the reader's own instruction.
        shared: Field -> what is shown whatever the part is.
        outputs: Identifier -> the member's output as it is shown.
        attached: Field -> an image, a sound or a file of these values, shown whole; see `attached`.
    """

    def __init__(
        self, reading: Reading[TextGradient], origins: InputOrigins, part: Sequence[Member], form: QuestionForm
    ) -> None:
        self.reading = reading
        self.form = form
        self._clipped = 0
        others = origins.others(part, form.siblings)
        self.shared = self._shared(others)
        values, made = [value_of(member) for member in part], [origins.transformed(member) for member in part]
        outputs = [self._show(value) for value in values]
        read_as = [self._show(one) if one else None for one in made]
        reader = reading.reader
        self.attached = attached(reading.graph, others, values, made, reader.outputs, list(reader.demos))
        # One text that is cut is counted once, however often the question is sent.
        count("left out", self._clipped)
        texts = [*self.shared.values(), *outputs, *filter(None, read_as)]
        # The reader's own name is drawn first, so that it is the same however many outputs an example has.
        self.own_id, *keys = identifiers(len(part) + 1, texts, reader.predictor)
        self.ids = [*keys, self.own_id]
        self.members = dict(zip(keys, part, strict=True))
        self.outputs = dict(zip(keys, outputs, strict=True))
        self.read_as = {key: text for key, text in zip(keys, read_as, strict=True) if text is not None}

    def _shared(self, inputs: Mapping[str, Any]) -> dict[str, str]:
        reader = self.reading.reader
        produced = readable(reader.outputs) if reader.outputs else ""
        failed = f"(nothing: the step failed: {reader.error})" if reader.error else ""
        demonstrations = {"reader_demonstrations": self._show(_numbered(reader.demos))} if reader.demos else {}
        return {
            "reader_instruction": self._show(reader.instruction),
            **demonstrations,
            "reader_inputs": self._show(inputs),
            "reader_output": self._show("\n".join(filter(None, (produced, failed)))),
            "wanted_change": self._show(str(self.reading.gradient)),
        }

    def _show(self, value: Any) -> str:
        text, left_out = shown(value, self.form.longest)
        self._clipped += bool(left_out)
        return text

    def _input_fields(self) -> dict[str, tuple[Any, str]]:
        # What the reader was told comes first, then what it read, then what it made of that and what was wanted:
        # a model that reads from top to bottom meets the material in the order in which it came about.
        fields = {name: (text, prompts.SHOWN[name]) for name, text in self.shared.items()}
        last = {name: fields.pop(name) for name in ("reader_output", "wanted_change")}
        fields |= {name: (value, prompts.ATTACHED) for name, value in self.attached.items()}
        for key, member in self.members.items():
            fields[f"output_{key}"] = (self.outputs[key], prompts.origin(member))
            if key in self.read_as:
                fields[f"read_as_{key}"] = (self.read_as[key], prompts.READ_AS.format(id=key))
        return fields | last

    @property
    def inputs(self) -> dict[str, Any]:
        """The question's input fields."""
        return {name: text for name, (text, _) in self._input_fields().items()}

    def signature(self, asked: Collection[str], again: bool) -> Any:
        """The question about some of its identifiers, with everything shown; and whether they were asked before."""
        kinds = {name: type(value) for name, value in self.attached.items()}
        shown = [(name, what, kinds.get(name, str)) for name, (_, what) in self._input_fields().items()]
        answered = [("diagnosis", prompts.DIAGNOSIS)]
        answered += [one for key in self.ids if key in asked for one in self._answer_fields(key).items()]
        return _signature(tuple(shown), tuple(answered), self._instructions(asked, again))

    def _answer_fields(self, key: str) -> dict[str, str]:
        if key == self.own_id:
            change = prompts.OWN_CHANGE + (prompts.OR_DEMONSTRATION if self.reading.reader.demos else "")
        else:
            change = prompts.wanted_of(self.members[key], key, self.form.directions)
        fields = {f"change_{key}": change}
        if self.form.evidence:
            fields[f"severity_{key}"] = prompts.SEVERITY
            if key != self.own_id:
                fields[f"quote_{key}"] = prompts.QUOTE.format(id=key)
        return fields

    def _instructions(self, asked: Collection[str], again: bool) -> str:
        about = prompts.DIRECTIONS if self.form.directions else prompts.COMMENTS
        parts = [about if self.members else prompts.NO_OUTPUTS]
        if self.own_id in asked:
            material = "outputs" if self.members else "inputs"
            parts.append(prompts.INSTRUCTION.format(own=self.own_id, material=material))
            if self.reading.reader.demos:
                parts.append(prompts.DEMONSTRATIONS.format(own=self.own_id))
        if self.form.evidence:
            parts.append(prompts.EVIDENCE)
        return "".join(parts) + (prompts.AGAIN if again else "")

    def readable(self, reply: str) -> str:
        """A reply with the members' names in the program: identifiers mean something in one question only."""
        words = dict(prompts.NAMED)
        for key, member in self.members.items():
            words |= dict.fromkeys((f"output_{key}", f"read_as_{key}", f"change_{key}", key), prompts.name_of(member))
        words |= dict.fromkeys((f"change_{self.own_id}", self.own_id), prompts.NAMED["reader_instruction"])
        # Answers say "the output_...", which has its article then, and "`output_...`".
        names = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
        return re.sub(rf"(\b[Tt]he )?(`?)({names})\2", lambda found: _with_article(found[1], words[found[3]]), reply)


def _with_article(article: str | None, words: str) -> str:
    return f"The {words.removeprefix('the ')}" if article == "The " else words


@lru_cache(maxsize=512)
def _signature(
    shown: tuple[tuple[str, str, type], ...], answered: tuple[tuple[str, str], ...], instructions: str
) -> type[dspy.Signature]:
    # Made once for a reader, whose questions differ in their texts only: making one takes as long as the whole call.
    fields: dict[str, Any] = {name: (kind, dspy.InputField(desc=what)) for name, what, kind in shown}
    fields |= {name: (str, dspy.OutputField(desc=what)) for name, what in answered}
    return dspy.make_signature(fields, instructions, "SharedSuccessors")


def value_of(member: Member) -> Any:
    """What a member wrote, as a question shows it; of a failed call, its error."""
    if member.call.error is not None and member.field not in member.call.outputs:
        return f"(nothing: the call failed: {member.call.error})"
    return member.value if member.field else dict(member.call.outputs)


def split(reading: Reading[TextGradient], origins: InputOrigins, form: QuestionForm) -> list[tuple[Member, ...]]:
    """A group in parts, in its order, of which each fits into one question; no part of an empty group."""
    if not form.siblings:
        return [(member,) for member in reading.group]
    reader = reading.reader
    others = origins.others(reading.group, True)
    shared = (reader.instruction, _numbered(reader.demos), others, reader.outputs, str(reading.gradient))
    room = form.budget - sum(_cost(value, form) for value in shared)
    parts: list[list[Member]] = []
    used = 0
    for member in reading.group:
        cost = _cost(value_of(member), form) + _cost(origins.transformed(member), form) + _FIELDS_COST
        if not parts or used + cost > room or len(parts[-1]) >= form.most:
            parts.append([])
            used = 0
        parts[-1].append(member)
        used += cost
    return [tuple(part) for part in parts]


def _cost(value: Any, form: QuestionForm) -> int:
    text, _ = shown(value, form.longest)
    # Most texts are so short that counting them would cost more than it could tell.
    return len(text) if len(text) < 200 else estimate_tokens(text)


def identifiers(number: int, texts: Sequence[str], whose: str) -> list[str]:
    """Distinct names for the members of one question that stand in none of its texts; the same for the same owner.

    They depend on whose members they are and not on what is shown, so that the questions about one reader begin
    alike on every example: providers bill a beginning that they have seen before at a fraction. A text that holds one
    of them, by chance or to forge an answer, only changes the names of its own question.
    """
    keys: list[str] = []
    attempt = 0
    folded = "\x00".join(texts).casefold()
    while len(keys) < number:
        key = hashlib.sha256(f"{whose}\x00{attempt}".encode("utf-8", "surrogatepass")).hexdigest()[:6]
        attempt += 1
        if key not in keys and key not in folded:
            keys.append(key)
    return keys


def _numbered(demos: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(f"Demonstration {number}\n{readable(demo)}" for number, demo in enumerate(demos, start=1))
