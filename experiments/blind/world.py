"""What the worlds share: how a call of the program goes, what a prompt shows of a case, and the true score."""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, ClassVar

import dspy
from blind.rules import BROAD, FULL, HARM, NARROW, Case, Rule, draw
from unseen.world import instructions

HELD_OUT = 240
"""So many cases no optimizer sees."""
Metric = Callable[..., Any]


@dataclass(frozen=True)
class Heard:
    """What an instruction says to the model.

    Args:
        states: Rule's name -> how it is stated.
        harm: The harmful sentences in it.
        tired: How much more often a call slips because the instruction is long, 0 to 0.1.
    """

    states: dict[str, str | None]
    harm: frozenset[str]
    tired: float


@dataclass
class Call:
    """How one call of the program goes, drawn from the case, the prompt and the settings.

    Args:
        world: Where.
        predictor: Which predictor is asked.
        instruction: What it is told.
        case: What it is asked about.
        seed: Of the model's noise.
        text: Its inputs.
        hot: What tells requests with a high temperature apart; None with a low one.
    """

    world: World
    predictor: str
    instruction: str
    case: Case
    seed: int
    text: str
    hot: Any

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What everything that happens in this call depends on."""
        return (self.world.name, self.seed, self.predictor, self.instruction, self.text, self.hot)

    @cached_property
    def heard(self) -> Heard:
        """What the instruction says."""
        return self.world.heard(self.predictor, self.instruction)

    def draw(self, *more: object) -> float:
        """A number from 0 to 1 that is this call's own."""
        return draw(*self.key, *more)

    def follows(self, rule: Rule) -> bool:
        """Whether the call does what a rule that applies asks."""
        state = self.heard.states[rule.name]
        covered = state in (FULL, BROAD) or (
            state == NARROW and draw(self.world.name, rule.name, self.case.key, "n") < 0.5
        )
        luck = 0.28 if self.hot is not None else 0.18
        return self.draw(rule.name) < (0.95 if covered else luck)

    def overdoes(self, rule: Rule) -> bool:
        """Whether a broad statement breaks a case to which the rule does not apply."""
        state = self.heard.states[rule.name]
        return state == BROAD and draw(self.world.name, rule.name, self.case.key, "b") < 0.3

    def slips(self, base: float) -> bool:
        """Whether the model makes a mistake that no rule prevents."""
        rate = base * (1.3 if self.hot is not None else 1) + self.heard.tired
        rate += 0.12 * ("doubt" in self.heard.harm) + 0.10 * ("first" in self.heard.harm)
        return self.draw("slip") < rate

    def slips_or_overdoes(self, base: float) -> bool:
        """Whether it slips, or a broad statement breaks this case."""
        rules = self.world.rules[self.predictor]
        return self.slips(base) or any(self.overdoes(rule) for rule in rules if not rule.applies(self.case))

    def broken(self) -> list[Rule]:
        """The rules that apply and are not followed."""
        rules = self.world.rules[self.predictor]
        return [rule for rule in rules if rule.applies(self.case) and not self.follows(rule)]

    def harmed(self, sentence: str, tag: str, chance: float) -> bool:
        """Whether a harmful sentence in the instruction does its harm this time."""
        return sentence in self.heard.harm and self.draw(tag) < chance


class World(ABC):
    """A program, its cases, its metric and the model that plays it.

    `letter` and `seed` of a run draw its examples, `calls` is how many an execution of the start makes, `count` how
    many examples there are to learn from and as many to decide on, `last` the predictor that gives the answer.
    """

    name: ClassVar[str]
    letter: ClassVar[str]
    program: ClassVar[type[dspy.Module]]
    last: ClassVar[str | None]
    key: ClassVar[re.Pattern[str]]
    count: ClassVar[int]
    calls: ClassVar[float]

    def __init__(self, rules: Sequence[Rule], cases: list[Case]) -> None:
        program = self.program()
        self.start = instructions(program)
        signatures: dict[str, Any] = {name: one.signature for name, one in program.named_predictors()}
        self.fields = {name: (list(one.input_fields), list(one.output_fields)) for name, one in signatures.items()}
        self.rules = {name: [rule for rule in rules if rule.predictor == name] for name in self.start}
        self.cases, self.by_key = cases, {case.key: case for case in cases}
        self._heard: dict[tuple[str, str], Heard] = {}

    @abstractmethod
    def below(self, predictor: str) -> list[str]:
        """The predictors between this one and the end."""

    @abstractmethod
    def right(self, case: Case, predictor: str) -> list[str]:
        """Texts by which the right output of a predictor is known."""

    @abstractmethod
    def final(self, case: Case) -> list[str]:
        """Texts by which the wanted answer is known."""

    @abstractmethod
    def seen(self, rule: Rule, case: Case, text: str) -> bool:
        """Whether the text shows the output of a call that broke the rule."""

    @abstractmethod
    def faults(self, case: Case, predictor: str, mine: str, rest: str) -> list[tuple[Rule | None, str]]:
        """What is wrong with an output: the predictor's own rule behind it, if any, and what it should have held."""

    @abstractmethod
    def behave(self, call: Call, inputs: Mapping[str, str]) -> dict[str, str]:
        """What the model answers to a call of the program: output field -> text."""

    @abstractmethod
    def metric(self) -> Metric:
        """Grades an answer, with feedback."""

    def heard(self, predictor: str, instruction: str) -> Heard:
        """What an instruction says to the model."""
        if (predictor, instruction) not in self._heard:
            states = {rule.name: rule.state(instruction) for rule in self.rules[predictor]}
            harm = frozenset(name for name, (_, words) in HARM.items() if re.search(words, instruction, re.IGNORECASE))
            tired = min(0.10, max(0, len(instruction.split()) - 70) / 12 * 0.01)
            self._heard[predictor, instruction] = Heard(states, harm, tired)
        return self._heard[predictor, instruction]

    def answer(self, predictor: str, instruction: str, inputs: Mapping[str, str], seed: int, hot: Any) -> Any:
        """What the model answers to a call with these inputs."""
        case = self.asked(inputs)
        return self.behave(Call(self, predictor, instruction, case, seed, "|".join(inputs.values()), hot), inputs)

    def asked(self, inputs: Mapping[str, str]) -> Any:
        """The case that a call of the program is about."""
        return self.case_of(next(iter(inputs.values())))

    def case_of(self, text: str) -> Case | None:
        """The first case that a text names."""
        found = (self.by_key.get(match[0]) for match in self.key.finditer(text))
        return next((case for case in found if case is not None), None)

    def segments(self, text: str) -> dict[Case, str]:
        """What a text shows of each case that it names: from there to where the next one is named."""
        marks = [(one.start(), one[0]) for one in self.key.finditer(text) if one[0] in self.by_key]
        shown: dict[str, list[str]] = {}
        for at, (position, key) in enumerate(marks):
            start = 0 if at == 0 else marks[at - 1][0] if marks[at - 1][1] == key else position
            end = marks[at + 1][0] if at + 1 < len(marks) else len(text)
            shown.setdefault(key, []).append(text[start:end])
        return {self.by_key[key]: "\n".join(parts) for key, parts in shown.items()}

    def level(self, case: Case, predictor: str, rule: Rule | None, text: str) -> str | None:
        """How near to the predictor a text shows what was wanted: "named", "near", "final" or not at all."""
        if any(one in text for one in self.right(case, predictor)):
            return "named"
        if any(one in text for name in self.below(predictor) if name != self.last for one in self.right(case, name)):
            return "near"
        if any(one in text for one in self.final(case)):
            return "named" if predictor == self.last else "final"
        return None

    def examples(self, seed: int) -> tuple[list[dspy.Example], list[dspy.Example]]:
        """What a run learns from and what it decides on."""
        chosen = random.Random(f"{self.letter}{seed}").sample(self.cases[HELD_OUT:], 2 * self.count)
        examples = [case.example for case in chosen]
        return examples[: self.count], examples[self.count :]

    def perfect(self) -> dict[str, str]:
        """The starting instructions with every rule in its place."""
        return {
            name: " ".join([start, *(rule.full[0] for rule in self.rules[name])]) for name, start in self.start.items()
        }


def truth(world: World, told: Mapping[str, str], seeds: Sequence[int] = (901, 902, 903)) -> float:
    """The mean score under these instructions of the cases that no optimizer sees, without a request.

    Args:
        world: Where.
        told: Predictor's name -> instruction.
        seeds: Of the model's noise; each case is run once with each.
    """
    program: Any = world.program
    metric, scores = world.metric(), []

    def stand_in(name: str, seed: int) -> Callable[..., Any]:
        return lambda **given: SimpleNamespace(
            **world.answer(name, told[name], {field: str(value) for field, value in given.items()}, seed, None)
        )

    for seed in seeds:
        bare: Any = SimpleNamespace(**{name: stand_in(name, seed) for name in world.start})
        for case in world.cases[:HELD_OUT]:
            made = program.forward(bare, **case.example.inputs())
            scores.append(metric(case.example, made).score)
    return sum(scores) / len(scores)
