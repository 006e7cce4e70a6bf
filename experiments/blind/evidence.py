"""What a reader makes of the cases that a prompt shows: the rules it states, and how it words them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from blind.rules import BROAD, FULL, HARM, HARMFUL, IDLE, PREAMBLE, Case, Rule, draw, pick, says
from blind.world import World

TRIED = re.compile(r"tried|rejected|did not help|failed attempt|previous", re.IGNORECASE)
STRENGTH = {"named": 0.6, "near": 0.45, "final": 0.28}
"""Where what was wanted is shown -> with what probability a rule is read off a case."""
FINAL_WITH_STEPS = 0.42
"""The same where only the final answer is, with the steps between."""


@dataclass(frozen=True)
class Prompt:
    """A request that is no call of the program.

    Args:
        text: All of it.
        user: The last message.
        inputs: Input field -> its type and description.
        outputs: Output field -> its type and description.
        values: Input field -> what it holds.
        as_json: Whether the answer is wanted as JSON.
    """

    text: str
    user: str
    inputs: Mapping[str, tuple[str, str]]
    outputs: Mapping[str, tuple[str, str]]
    values: Mapping[str, str]
    as_json: bool

    @cached_property
    def tried(self) -> str:
        """Texts of which the prompt says that they were tried in vain: they are no evidence."""
        described = {name: f"{name} {self.inputs.get(name, ('', ''))[1]}" for name in self.values}
        return "\n".join(value for name, value in self.values.items() if TRIED.search(described[name]))

    def besides(self, pattern: str) -> str:
        """The values of the fields whose names do not match."""
        return "\n".join(value for name, value in self.values.items() if not re.search(pattern, name))


@dataclass(frozen=True)
class Lesson:
    """A rule that is stated.

    Args:
        rule: Which.
        shown: How many cases showed it.
        told: Whether the prompt states it in words.
    """

    rule: Rule
    shown: int
    told: bool


@dataclass
class Evidence:
    """What stands in a prompt about the rules of a world.

    Args:
        world: Whose.
        seed: Of the reader's choices.
        prompt: What is read.
        hot: What tells requests with a high temperature apart; None with a low one.
    """

    world: World
    seed: int
    prompt: Prompt
    hot: Any

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What everything in the answer depends on."""
        return ("reader", self.world.name, self.seed, self.prompt.text, self.hot)

    def draw(self, *more: object) -> float:
        """A number from 0 to 1 of this answer."""
        return draw(*self.key, *more)

    def strength(self, rule: Rule, case: Case, text: str, *, with_steps: bool = False, seen: bool = False) -> float:
        """With what probability a rule is read off a text about a case that does not state it.

        Args:
            rule: Which.
            case: Which.
            text: The text.
            with_steps: Whether the steps after the predictor are shown.
            seen: Whether it is known already that the faulty output is shown.
        """
        if not rule.applies(case) or not (self.world.seen(rule, case, text) or seen):
            return 0.0
        asked = rule.asks(case)
        level = self.world.level(case, rule.predictor, rule, text)
        if (asked and asked not in text) or level is None:
            return 0.0
        if level == "final":
            return (FINAL_WITH_STEPS if with_steps else STRENGTH[level]) * rule.infer
        return STRENGTH[level]

    def lessons(self, predictor: str, instruction: str, evidence: str) -> list[Lesson]:
        """At most two rules of a predictor that its instruction lacks and the evidence shows."""
        segments, found = self.world.segments(evidence), []
        for rule in self.lacking(predictor, instruction):
            missed, shown, told = 1.0, 0, False
            for case, segment in segments.items():
                stated = rule.stated(segment)
                strength = 0.85 if stated else self.strength(rule, case, segment)
                shown, missed, told = shown + bool(strength), missed * (1 - strength), told or stated
            if not segments and rule.stated(evidence):
                missed, told = 0.3, True
            if self.prompt.tried and rule.stated(self.prompt.tried):
                missed = 1 - (1 - missed) * 0.5
            if self.draw("state", rule.name) < 1 - missed:
                found.append(Lesson(rule, shown, told))
        return sorted(found, key=lambda one: self.draw("order", one.rule.name))[:2]

    def lacking(self, predictor: str, instruction: str) -> list[Rule]:
        """The rules that an instruction does not state, or for half of the cases only."""
        return [rule for rule in self.world.rules[predictor] if rule.state(instruction) not in (FULL, BROAD)]

    def phrase(self, lesson: Lesson) -> str:
        """A statement of a rule: in full, narrow or broad."""
        full, narrow = (0.8, 0.12) if lesson.told or lesson.shown > 1 else (0.6, 0.25)
        drawn, rule = self.draw("form", lesson.rule.name), lesson.rule
        if drawn < full:
            return pick(rule.full, *self.key, rule.name, "w")
        return rule.narrow[0] if drawn < full + narrow else rule.broad[0]

    def extra(self, predictor: str, found: bool) -> list[str]:
        """A sentence beside the rules, idle or harmful, or none."""
        drawn = self.draw("extra", predictor)
        told = [text for text, words in HARM.values() if re.search(words, self.prompt.user, re.IGNORECASE)]
        if not found and told and drawn < 0.3:
            return [told[0]]
        idle, harm = (0.22, 0.30) if found else (0.45, 0.65)
        if drawn < idle:
            return [pick(IDLE, *self.key, predictor, "i")]
        return [pick(HARMFUL, *self.key, predictor, "h")] if drawn < harm else []

    def misplaced(self, predictor: str, evidence: str) -> list[str]:
        """A rule of another predictor that the prompt states, or none."""
        for name, rules in self.world.rules.items():
            for rule in rules if name != predictor else ():
                if rule.stated(evidence) and self.draw("mis", rule.name) < 0.25:
                    return [pick(rule.full, *self.key, "m")]
        return []

    def rewrite(self, predictor: str, current: str, evidence: str) -> str:
        """A new instruction: what is kept of the current one, the rules that were found, and more."""
        found = self.lessons(predictor, current, evidence)
        added = [self.phrase(lesson) for lesson in found] + self.extra(predictor, bool(found))
        added += [] if found else self.misplaced(predictor, evidence)
        base = self.world.start[predictor]
        kept = []
        for at, sentence in enumerate(re.split(r"(?<=[.!?])\s+", current.strip())):
            if sentence in base or at == 0 or not self.drops(sentence):
                kept.append(sentence)
        for rule in (lesson.rule for lesson in found):
            kept = [one for one in kept if one in base or not _narrow(rule, one)]
        if self.draw("long") < 0.15 and PREAMBLE not in current:
            kept.insert(1, PREAMBLE)
        return " ".join(kept + [sentence for sentence in added if sentence and sentence not in current])

    def drops(self, sentence: str) -> bool:
        """Whether an earlier sentence is lost in a rewrite, a harmful one more often."""
        return (sentence in HARMFUL and self.draw("dropharm", sentence) < 0.3) or self.draw("drop", sentence) < 0.05


def _narrow(rule: Rule, sentence: str) -> bool:
    """Whether a sentence is a narrow statement that a better one replaces."""
    return says(rule.narrow[1], sentence) and not rule.stated(sentence)
