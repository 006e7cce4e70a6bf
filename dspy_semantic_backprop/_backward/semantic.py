"""The semantic backward function: one language-model call tells a whole group how it should have been different.

A reader that got wrong what it made of several outputs is shown with all of them at once, since an
output may be at fault only beside its neighbour: both say the same, or contradict each other
(arXiv 2412.03624, section 3). The same question asks about the reader's instruction, which is a parent of
the reader as the outputs are, and about the demonstrations in its prompt; of a call that read nothing else but
was shown some, it asks about these alone.

An answer that is missing, declined or a mere repetition is asked for once more, and then recorded as missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._concurrency import gather
from .._session.lm import for_predictor
from .ask import asked
from .gradient import Direction, Message, Reading, TextGradient
from .judge import is_blank, refuses, repeats, says_no_change, severity_of, stands_in, words
from .question import Arrivals, Form, Sheet, split
from .tally import note

MOST_THROUGH = 16
"""The most readers that a direction names; of a longer path the nearest ones and the output."""

_COMPARED = 32
"""Up to how many answers of one question are compared with each other word by word."""


class Semantic:
    """The semantic backward function.

    Args:
        form: How a question is put, as `question.Form`.
        **changes: Parts of the form by name: `directions`, `siblings`, `evidence`, `budget`, `most`, `longest`.
    """

    def __init__(self, form: Form | None = None, **changes: Any) -> None:
        self.form = replace(form or Form(), **changes)

    async def __call__(self, reading: Reading[TextGradient], /) -> list[Message[Direction]]:
        """Ask one question about the whole group, or one about each part of a group that is too large.

        Returns:
            One message for each member, and one to the reader itself about its instruction; none without
            asking where the reader need not change, or read neither outputs nor demonstrations.

        Raises:
            LMError: What the provider refused to answer after all retries.
        """
        if not reading.gradient or not (reading.group or reading.reader.demos):
            return []
        arrivals = Arrivals(reading)
        parts = split(reading, arrivals, self.form) or [()]
        if len(parts) > 1 and self.form.siblings:
            note("split", len(parts))

        async def judge(part: Sequence[Any]) -> list[Direction]:
            return await _Hearing(Sheet(reading, arrivals, part, self.form), len(parts)).directions()

        with for_predictor(reading.reader.predictor):
            judged = await gather(judge, parts)
        members = [member for part in parts for member in part]
        directions = [direction for part in judged for direction in part[:-1]]
        sent = [
            Message(reading.reader.id, member.call.id, member.field, direction)
            for member, direction in zip(members, directions, strict=True)
        ]
        return [*sent, Message(reading.reader.id, reading.reader.id, "", _agreed([part[-1] for part in judged]))]


def _agreed(said: Sequence[Direction]) -> Direction:
    # Each part of a group was judged with the same instruction: more parts must say so than deny it.
    for status in ("change", "none"):
        alike = [direction for direction in said if direction.status == status]
        known = sum(direction.status != "missing" for direction in said)
        if alike and len(alike) * 2 >= known:
            return next((one for one in alike if one.severity == "major"), alike[0])
    return said[0]


@dataclass(frozen=True)
class _Answer:
    change: str
    severity: str
    quote: str


class _Hearing:
    """One question with its second try: answers by identifier, judged."""

    def __init__(self, sheet: Sheet, questions: int) -> None:
        self.sheet = sheet
        self.questions = questions
        self.wanted = (*sheet.keys, sheet.own_key)
        self.output_of = dict(zip(sheet.keys, sheet.outputs, strict=True))
        self.good: dict[str, _Answer] = {}

    async def directions(self) -> list[Direction]:
        """Ask, once more where needed; one direction for each member, and the last one for the instruction."""
        open_keys: Sequence[str] = self.wanted
        for again in (False, True):
            if open_keys:
                await self._ask(open_keys, again)
                open_keys = [key for key in self.wanted if key not in self.good]
        note("missing", len(open_keys))
        return [self._direction(key) for key in self.wanted]

    async def _ask(self, keys: Sequence[str], again: bool) -> None:
        reply = await asked(self.sheet.signature(keys, again), self.sheet.inputs, again=again)
        if not reply.fields and refuses(reply.text or ""):
            note("refused", len(keys))
            return
        answers = {key: _answer(key, reply.fields) for key in keys}
        for key in self._usable(answers):
            self.good[key] = answers[key]

    def _usable(self, answers: Mapping[str, _Answer]) -> list[str]:
        usable: list[str] = []
        for key, answer in answers.items():
            if is_blank(answer.change):
                continue
            if refuses(answer.change):
                note("refused")
            elif not says_no_change(answer.change) and self._echoes(key, answer.change, {**self.good, **answers}):
                note("echo")
            else:
                usable.append(key)
        return usable

    def _echoes(self, key: str, change: str, answers: Mapping[str, _Answer]) -> bool:
        shared = self.sheet.shared
        sources = [
            self.output_of.get(key, shared["reader_output"]),
            shared["wanted_change"],
            shared["reader_instruction"],
        ]
        return any(repeats(change, source) for source in sources) or self._copied(key, change, answers)

    def _copied(self, key: str, change: str, answers: Mapping[str, _Answer]) -> bool:
        # Outputs that are alike may be told the same. Of two answers that are alike the first one stands.
        for other, answer in answers.items():
            if other == key:
                return False
            alike = self.output_of.get(other, "").split() == self.output_of.get(key, "").split()
            if (alike and self.sheet.own_key not in (key, other)) or says_no_change(answer.change):
                continue
            if words(answer.change) == words(change):
                return True
            if len(answers) <= _COMPARED and repeats(change, answer.change) and repeats(answer.change, change):
                return True
        return False

    def _direction(self, key: str) -> Direction:
        path = self._path
        answer = self.good.get(key)
        if answer is None:
            return Direction("", "missing", "none", **path)
        severity = severity_of(answer.severity)
        if says_no_change(answer.change):
            return Direction("", "none", "none", **path)
        quote = answer.quote.strip().strip("\"'`\u201c\u201d").strip()
        if quote and not stands_in(quote, [self.output_of.get(key, self.sheet.shared["reader_instruction"])]):
            note("false quote")
            quote = ""
        change = self.sheet.readable(answer.change)
        return Direction(change, "change", "major" if severity == "none" else severity, quote, **path)

    @property
    def _path(self) -> dict[str, Any]:
        reading = self.sheet.reading
        wishes = reading.gradient.wishes
        first = next((one.value for one in wishes if one.value.severity == "major"), wishes[0].value)
        through = (reading.reader.id, *first.through)
        if len(through) > MOST_THROUGH:
            through = (*through[: MOST_THROUGH - 2], "...", through[-1])
        return {"example_id": first.example_id, "through": through, "questions": self.questions}


def _answer(key: str, fields: Mapping[str, Any]) -> _Answer:
    return _Answer(*(str(fields.get(f"{name}_{key}") or "").strip() for name in ("change", "severity", "quote")))
