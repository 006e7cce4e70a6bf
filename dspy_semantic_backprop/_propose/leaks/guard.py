"""An instruction must not hold the data that it is scored on: where it quotes examples, and the text without that.

An instruction that says "Natalia sold 72 clips" scores well on the example with Natalia and on no other. What
counts as quoting is decided from the data, not from a list of phrases:

- words of an input or of a long answer in a row, also with a few of them changed (`quotations`);
- a short input that is quoted whole (`wholes`);
- a short answer that few examples have, given as an answer or beside what is particular about its example (`answers`).

What many examples share is no property of one: class labels, the standing phrases of a task, field names. What the
user's own instruction says is the user's to say.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dspy
import numpy as np

from ..._evaluate.candidate import Candidate
from .answers import Answers
from .passages import Passage, leaves, passages
from .quotations import Quotations, rows_of
from .sentences import without
from .wholes import Wholes
from .words import Span, located, signs, words

_COMPARED = 2_000
"""In longer texts, in characters, there are words enough to tell them apart."""

_IN_SIGNS = 1 / 3
"""A text with at least this share of punctuation is one of formulas, brackets or code."""


@dataclass(frozen=True)
class Leak:
    """A stretch of an instruction that quotes an example.

    Args:
        example_id: The example's position in the set.
        field: The quoted field; of several short ones side by side, their names joined by commas.
        span: Where the stretch begins and ends in the instruction, in characters.
    """

    example_id: int
    field: str
    span: Span


class LeakGuard:
    """Knows the examples, and the instructions that the run started with.

    Args:
        inputs: The input fields of each different example, by its position.
        labels: Its other fields.
        start: The instructions that the user wrote.
    """

    def __init__(
        self, inputs: dict[int, dict[str, Any]], labels: dict[int, dict[str, Any]], start: Sequence[str]
    ) -> None:
        found = [one for at in inputs for one in passages(at, inputs[at], labels[at])]
        self._indices = [(Quotations(found, len(inputs)), Wholes(found, len(inputs)))]
        self._in_signs = _that_signs_tell_apart(found)
        if self._in_signs:
            # The others too: what many share is nobody's in every comparison.
            found = [one for one in found if len(one.text) <= _COMPARED]
            indices = (Quotations(found, len(inputs), in_signs=True), Wholes(found, len(inputs), in_signs=True))
            self._indices.append(indices)
        self._answers = Answers(
            {
                at: [(name, text) for name, value in one.items() for _, text in leaves(value)]
                for at, one in labels.items()
            },
            {at: [text for value in one.values() for _, text in leaves(value)] for at, one in inputs.items()},
        )
        self._start = "\n".join(start)
        self._familiar = lru_cache(8)(self._known)

    @classmethod
    def of(cls, examples: Sequence[dspy.Example], start: Candidate) -> LeakGuard:
        """A guard for a set of examples.

        Args:
            examples: The examples; where one does not say which of its fields are inputs, all are.
            start: The instructions that the run starts with.
        """
        inputs: dict[int, dict[str, Any]] = {}
        labels: dict[int, dict[str, Any]] = {}
        seen: set[str] = set()
        for at, example in enumerate(examples):
            fields = dict(example.items())
            text = repr([text for value in fields.values() for _, text in leaves(value)])
            if text in seen:
                continue
            seen.add(text)
            given = set(fields) if example._input_keys is None else set(example._input_keys)
            inputs[at] = {name: value for name, value in fields.items() if name in given}
            labels[at] = {name: value for name, value in fields.items() if name not in given}
        return cls(inputs, labels, tuple(start.instructions.values()))

    def leaks(self, text: str, current: str) -> tuple[Leak, ...]:
        """The stretches of a proposed instruction that quote an example.

        Args:
            text: The instruction.
            current: The instruction that it would replace; what stands there is no leak.

        Returns:
            The stretches, by where they begin; they may overlap.
        """
        return tuple(sorted(set(self._find(text, current)), key=lambda leak: (leak.span, leak.example_id, leak.field)))

    def cleaned(self, text: str, current: str) -> str:
        """An instruction without the sentences, list items and example blocks that quote an example.

        Args:
            text: The instruction.
            current: The instruction that it would replace.

        Returns:
            An instruction without leaks: the very text if it has none; empty if nothing usable is left of it.
        """
        while found := self.leaks(text, current):
            text = without(text, [leak.span for leak in found])
            if len(words(text)) < 3:
                return ""
        return text

    def _find(self, text: str, current: str) -> Iterator[Leak]:
        known = self._familiar(current)
        for (quotations, wholes), (familiar, rows), with_signs in zip(
            self._indices, known, (False, True), strict=False
        ):
            found, spans = located(text, with_signs=with_signs)
            for one in itertools.chain(quotations.find(found, rows), wholes.find(found, familiar)):
                if with_signs and one.passage.text not in self._in_signs:
                    continue
                first, behind = _without_edges(found, *one.words)
                yield Leak(one.passage.example_id, one.passage.field, (spans[first][0], spans[behind - 1][1]))
        found, spans = located(text)
        for answer, example_id, span in self._answers.find(text, found, spans, known[0][0]):
            yield Leak(example_id, answer.field, span)

    def _known(self, current: str) -> list[tuple[list[str], np.ndarray]]:
        text = f"{self._start}\n{current}"
        return [(known, np.unique(rows_of(known))) for known in (words(text), signs(text))]


def _without_edges(found: Sequence[str], first: int, behind: int) -> Span:
    """A stretch without the punctuation around it, which may be of the sentences beside it."""
    inner = [at for at in range(first, behind) if found[at][0].isalnum()]
    return (inner[0], inner[-1] + 1) if inner else (first, behind)


def _that_signs_tell_apart(found: Sequence[Passage]) -> set[str]:
    """The texts that are formulas, brackets or code, or that have the very words of others."""
    texts: dict[tuple[str, ...], set[str]] = {}
    dense: set[str] = set()
    for one in found:
        if len(one.text) > _COMPARED:
            continue
        among = words(one.text)
        marks = sum(not sign.isalnum() and not sign.isspace() for sign in one.text)
        if marks >= _IN_SIGNS * (len(among) + marks):
            dense.add(one.text)
        texts.setdefault(tuple(among), set()).add(one.text)
    alike = {text for same in texts.values() if len(same) > 1 for text in same}
    return (alike | dense) - {one.text for one in found if one.least}
