"""Worlds whose truth is known: a program of several steps, examples, a metric, and how good any instruction is.

Each step reads the question and writes a note; the last one reads the notes and answers. A note is right or wrong by
a draw that depends on the world's seed, the step, its instruction, the example and the rollout, and on nothing else.
How probable it is to be right follows from the pieces of advice that stand in the instruction. Hence the score that a
program has in truth is computed from its instructions alone, without a call and without error.
"""

from __future__ import annotations

import functools
import hashlib
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

EASIEST = 0.02
"""No step errs less often than this where it can err at all."""
WORST = 0.95
"""No step errs more often than this."""
DEFECT = "Leave out whatever you are not asked for by name."
CURE = "Leave out nothing that the question needs, whatever was said before (rule Z99)."
RULE = re.compile(r"\(rule ([A-Z]\d+)\)")
NEEDY = 0.25
"""The share of the examples that need a special skill of a step, where there are skills."""
PARTS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "larch")
_VERBS = ("compare", "sort", "check", "count", "weigh", "group", "trace", "match", "split", "name")
_NOUNS = ("terms", "units", "bounds", "signs", "cases", "limits", "orders", "links", "gaps", "pairs")
_TIMES = ("before writing", "twice", "from the end", "in silence", "one by one", "at the start", "with care", "aloud")


@dataclass(frozen=True)
class Kind:
    """What tells one world from another.

    Args:
        steps: How many predictors the program has.
        matter: How many of them can err; 0 for all.
        error: How often a step that matters errs at the start, 0 to 1; the worlds vary around it.
        pieces: How many pieces of advice there are.
        helpful: The share of the pieces that help a given step.
        harmful: The share that harm it.
        help: What a helpful piece multiplies a step's errors by.
        harm: What a harmful piece multiplies them by.
        paired: The share of the examples whose draws, at temperature 0, do not change with the instruction.
        flips: The share of the answers that flip, drawn anew at every request.
        signs: The share of the wrong notes that show a sign of it.
        skills: How many skills each step lacks; each is named where it was missed. 0: advice is for all examples.
        defective: Whether one instruction is wrong on purpose.
        graded: Whether the score is the share of the steps that are right, and not whether the answer is.
    """

    steps: int = 3
    matter: int = 0
    error: float = 0.2
    pieces: int = 40
    helpful: float = 0.35
    harmful: float = 0.1
    help: float = 0.15
    harm: float = 2.0
    paired: float = 0.0
    flips: float = 0.0
    signs: float = 0.0
    skills: int = 0
    defective: bool = False
    graded: bool = False


KINDS: dict[str, Kind] = {
    "mute": Kind(),
    "informative": Kind(paired=0.9, skills=2, helpful=0.0, harmful=0.05),
    "noisy": Kind(error=0.17, paired=0.7, flips=0.1, helpful=0.2, harmful=0.2),
    "defective": Kind(error=0.08, paired=0.5, helpful=0.2, harmful=0.2, defective=True),
    "wide": Kind(steps=10, matter=2, error=0.3, paired=0.5, signs=0.7, helpful=0.25),
    "graded": Kind(error=0.4, paired=0.5, helpful=0.2, graded=True),
}
"""The worlds by name."""


def uniform(*parts: object) -> float:
    """A number from 0 to 1, evenly, that depends on the parts and on nothing else."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class World:
    """One world.

    Args:
        name: One of `KINDS`.
        seed: Another seed is another world of the same kind.
        **changes: Properties of the kind that are to be different.
    """

    def __init__(self, name: str, seed: int, **changes: Any) -> None:
        self.name, self.seed = name, seed
        self.kind = kind = replace(KINDS[name], **changes)
        rng = random.Random(f"{name}/{seed}/world")
        matter = rng.sample(range(kind.steps), kind.matter or kind.steps)
        self.errors = {step: kind.error * rng.uniform(0.6, 1.4) for step in matter}
        self.broken = rng.choice(matter) if kind.defective else -1
        self.advice = [_sentence(rng, number) for number in range(kind.pieces)]
        self.advice += [CURE] * round(0.1 * kind.pieces) if kind.defective else []
        self.effects = {step: self._effects(rng) for step in matter}
        self.names = [*(f"note_{step}" for step in range(kind.steps - 1)), "answer"]
        self.starts = [self._start(step) for step in range(kind.steps)]
        self.words = [[f"{PARTS[step]}{skill}" for skill in range(kind.skills)] for step in range(kind.steps)]

    def _effects(self, rng: random.Random) -> dict[str, float]:
        """What each piece of advice multiplies a step's errors by."""
        kind = self.kind
        codes = [_code(number) for number in range(kind.pieces)]
        rng.shuffle(codes)
        helpful, harmful = round(kind.helpful * kind.pieces), round(kind.harmful * kind.pieces)
        effects = dict.fromkeys(codes[:helpful], kind.help)
        return effects | dict.fromkeys(codes[helpful : helpful + harmful], kind.harm)

    def _start(self, step: int) -> str:
        last = step == self.kind.steps - 1
        told = "Put the notes together." if last else f"Work out the {PARTS[step]} part of the question."
        return f"{told} {DEFECT}" if step == self.broken else told

    def skill(self, step: int, question: str) -> int:
        """The skill that a question needs of a step; -1 for none."""
        drawn = uniform(self.seed, "skill", step, question)
        return int(drawn / NEEDY * self.kind.skills) if self.kind.skills and drawn < NEEDY else -1

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - worlds are few and short-lived
    def error(self, step: int, told: str, skill: int = -1) -> float:
        """How often a step errs with an instruction, 0 to 1, on questions that need a skill."""
        if step not in self.errors:
            return 0.0
        effects = self.effects[step]
        factor = math.prod(effects.get(code, 1.0) for code in set(RULE.findall(told)))
        if self.kind.skills:
            return 0.9 if skill >= 0 and self.words[step][skill] not in told else EASIEST * factor
        error = min(WORST, max(EASIEST, self.errors[step] * factor))
        misled = step == self.broken and DEFECT in told and CURE not in told
        return 0.6 + 0.4 * error if misled else error

    def right(self, step: int, told: str, question: str, rollout: object = 0) -> bool:
        """Whether a step is right on a question; rollout 0 is the answer at temperature 0."""
        fixed = str(rollout) == "0" and uniform(self.seed, "paired", step, question) < self.kind.paired
        drawn = uniform(self.seed, "draw", step, question, *(() if fixed else (told, rollout)))
        return drawn >= self.error(step, told, self.skill(step, question))

    def score(self, instructions: Sequence[str]) -> float:
        """The expected score of a program in truth, 0 to 1, from the instructions of its steps, in their order."""
        rights = [self._right_in_truth(step, told) for step, told in enumerate(instructions)]
        if self.kind.graded:
            return math.fsum(rights) / len(rights)
        return math.prod(rights) * (1 - 2 * self.kind.flips) + self.kind.flips

    def _right_in_truth(self, step: int, told: str) -> float:
        skills = self.kind.skills
        if not skills:
            return 1 - self.error(step, told)
        able = [1 - self.error(step, told, skill) for skill in range(skills)]
        return (1 - NEEDY) * (1 - self.error(step, told)) + NEEDY * math.fsum(able) / skills

    def value(self, step: int, question: str, wrong: str = "") -> str:
        """What is right for a step to say of a question, or one of the wrong things."""
        return f"v{int(uniform(self.seed, 'value', step, question, wrong) * 1e6):06d}"

    def question(self, number: int, which: str) -> str:
        """The question of an example of one of the sets."""
        rng = random.Random(f"{self.seed}/{which}/{number}")
        return f"case {which} {number}: {' '.join(str(rng.randint(100, 999)) for _ in range(4))}"


def _code(number: int) -> str:
    return f"{'ABCDEFGH'[number % 8]}{number:02d}"


def _sentence(rng: random.Random, number: int) -> str:
    verbs, nouns = rng.sample(_VERBS, 2), rng.sample(_NOUNS, 2)
    when = rng.choice(_TIMES)
    return f"Always {verbs[0]} the {nouns[0]} and {verbs[1]} the {nouns[1]} {when} (rule {_code(number)})."
