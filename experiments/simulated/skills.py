"""What a skill is, and what a task is."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["number", "option", "word", "words", "text"]
GAP = r"[^.\n]{0,40}"

LONGEST = 50_000
"""How many characters of one field the simulated model reads."""


@dataclass(frozen=True)
class Skill:
    """Something that an instruction can teach.

    Arguments:
        name: identifies the skill.
        sentence: says it in an instruction.
        pattern: finds it in anybody's instruction, ignoring case.
    """

    name: str
    sentence: str
    pattern: str

    def named_in(self, text: str) -> bool:
        """Whether the text teaches this skill."""
        return bool(re.search(self.pattern, text[:LONGEST], re.IGNORECASE))


@dataclass(frozen=True)
class Task:
    """A kind of question.

    Arguments:
        name: identifies the task.
        kind: the shape of its answers.
        skills: what its method needs.
        parse: finds a question of this kind in a text; None if there is none.
        solve: the answer to a parsed question, given the names of the skills at hand.
    """

    name: str
    kind: Kind
    skills: tuple[Skill, ...]
    parse: Callable[[str], Any]
    solve: Callable[[Any, Collection[str]], str]
