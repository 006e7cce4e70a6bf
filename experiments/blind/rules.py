"""What is drawn, the rules of a world, and the sentences that help nothing or do harm."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

T = TypeVar("T")
FULL, NARROW, BROAD = "full", "narrow", "broad"
IDLE = [
    "Be careful and accurate.",
    "Read the whole input before you answer.",
    "Consider all relevant details.",
    "Make sure that the result is of high quality.",
    "Think about what the next step will need.",
    "Be consistent.",
    "Pay attention to the specific wording of the input.",
]
"""Sentences that change nothing."""
HARM = {
    "doubt": ("If in doubt, choose the most common option.", r"in doubt, choose"),
    "explain": ("Explain your reasoning in the output.", r"explain your reasoning"),
    "short": ("Keep the output as short as possible and leave out secondary details.", r"as short as possible"),
    "first": ("Rely mainly on the first sentence of the input.", r"mainly on the first"),
}
"""Sentences that do harm, and the words by which they are known."""
HARMFUL = [sentence for sentence, _ in HARM.values()]
PREAMBLE = (
    "You are an experienced specialist, and your work is read by demanding colleagues who expect a thorough and "
    "dependable result every time."
)


def draw(*parts: object) -> float:
    """A number from 0 to 1 that depends on the parts alone."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def pick(choices: Sequence[T], *parts: object) -> T:
    """One of the choices, by the parts alone."""
    return choices[int(draw(*parts) * len(choices))]


class Case(SimpleNamespace):
    """What is true of one case, its `key`, by which it is known in a prompt, and its `example`."""

    def __hash__(self) -> int:  # type: ignore[override]
        """Each case is itself only."""
        return id(self)


def never(case: Case) -> Any:
    """Of no case."""
    return None


def always(case: Case) -> Any:
    """Of every case."""
    return True


@dataclass(frozen=True, eq=False)
class Rule:
    """Something that a predictor does right, but for luck, only if its instruction states it.

    Args:
        name: Short.
        predictor: Whose rule it is.
        applies: Whether it applies to a case.
        full: Two wordings that state it.
        known: By which words a statement is known.
        narrow: A statement for half of the cases, and the words by which it is known.
        broad: A statement that also breaks other cases, and its words.
        asks: The words of the input that call for it; None where none do.
        wrong: What the output holds where it is not followed.
        infer: How readily it is inferred from a final answer alone, 0 to 1.
        item: The point of a rubric that it serves; None in a world without.
    """

    name: str
    predictor: str
    applies: Callable[[Case], Any]
    full: tuple[str, ...]
    known: str
    narrow: tuple[str, str]
    broad: tuple[str, str]
    asks: Callable[[Case], str | None] = never
    wrong: Callable[[Case], Any] = never
    infer: float = 1.0
    item: str | None = None

    def stated(self, text: str) -> bool:
        """Whether a text states the rule in full."""
        return says(self.known, text)

    def state(self, instruction: str) -> str | None:
        """How an instruction states the rule: "full", "narrow" or "broad"; None if it does not."""
        if says(self.broad[1], instruction):
            return BROAD
        if self.stated(instruction):
            return FULL
        return NARROW if says(self.narrow[1], instruction) else None


def says(pattern: str, text: str) -> bool:
    """Whether the pattern is found in the text, in capitals or not, over lines or not."""
    return bool(re.search(pattern, text, re.IGNORECASE | re.DOTALL))
