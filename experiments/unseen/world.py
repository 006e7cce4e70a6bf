"""What a world is made of: rules that an instruction covers or not, bad advice, and calls that go wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import dspy

KEY = re.compile(r"\b[A-Z]{2}-\d{4}\b")
"""Every input and every answer names the case that it is about."""


@dataclass(frozen=True)
class Rule:
    """Something that a predictor does right only if its instruction says so.

    Args:
        predictor: Whose rule it is.
        phrase: The words that an instruction must hold to cover it.
        advice: A sentence with these words.
    """

    predictor: str
    phrase: str
    advice: str


@dataclass(frozen=True)
class Trap:
    """Advice that sounds reasonable and does harm wherever it is followed.

    Args:
        phrase: The words that do it.
        advice: A sentence with these words.
        symptom: The words in a prompt that invite it.
        chance: With what probability a reader of the symptom writes it, 0 to 1.
    """

    phrase: str
    advice: str
    symptom: str
    chance: float


@dataclass(frozen=True)
class Fault:
    """A rule that a call did not follow.

    Args:
        rule: The rule's name.
        key: The case.
        asked: The words of the call's input that called for the rule.
        given: The words of its output that are wrong.
        wanted: The words by which the right result is known.
    """

    rule: str
    key: str
    asked: str
    given: str
    wanted: str


@dataclass(frozen=True)
class World:
    """A program, its examples, its metric, and a model that follows instructions as far as it hears them.

    Args:
        name: As on the command line.
        prefix: The two letters that its cases begin with.
        program: The program's class.
        example: Case -> example.
        metric: `metric(example, prediction)`; a number, or a score with feedback.
        answer: What the model answers to a call of the program: output field -> text.
        rules: By name.
        finds: Evidence -> with what probability a reader finds the fault in one case. "a": the input that called for
            the rule; "g": the faulty output; "w": what was wanted. "hint": the advice itself.
        traps: Bad advice.
        keeps: With what probability a rewriter keeps each sentence of an instruction.
        deafness: Words -> the share of an instruction of that length that is heard.
        sure: With what probability a rule that is covered and heard is followed; `luck`, one that is not covered.
        calls: How many calls an execution makes, about.
    """

    name: str
    prefix: str
    program: type[dspy.Module]
    example: Callable[[str], dspy.Example]
    metric: Callable[[dspy.Example, Any], Any]
    answer: Callable[[Turn], dict[str, str]]
    rules: Mapping[str, Rule]
    finds: Mapping[str, float]
    traps: tuple[Trap, ...] = ()
    keeps: float = 1.0
    deafness: Callable[[int], float] = lambda words: 1.0
    sure: float = 0.985
    luck: float = 0.06
    calls: int = 5
    read: dict[str, tuple[frozenset[str], float]] = field(default_factory=dict)

    def build(self) -> dspy.Module:
        """The program as it is given to an optimizer."""
        return self.program()

    def examples(self, seed: int, start: int, count: int) -> list[dspy.Example]:
        """The examples number `start` and following of a seed; seeds share none."""
        return [self.example(f"{self.prefix}-{seed * 100 + start + at:04d}") for at in range(count)]

    def understood(self, instruction: str) -> tuple[frozenset[str], float]:
        """Which rules and traps an instruction holds, and which share of it is heard."""
        if instruction not in self.read:
            flat = " ".join(instruction.lower().split())
            named = {**self.rules, **{trap.phrase: trap for trap in self.traps}}
            held = frozenset(name for name, one in named.items() if one.phrase.lower() in flat)
            self.read[instruction] = held, self.deafness(len(flat.split()))
        return self.read[instruction]

    def perfect(self) -> dict[str, str]:
        """The starting instructions with every rule in its place."""
        return {
            name: " ".join(
                [
                    start,
                    *(one.advice for one in self.rules.values() if one.predictor == name and one.advice not in start),
                ]
            )
            for name, start in instructions(self.build()).items()
        }


@dataclass
class Turn:
    """One call of the program, as the model meets it.

    Args:
        world: Where.
        predictor: Which predictor is asked.
        instruction: What it is told.
        inputs: Input field -> text.
        rng: Decides what happens.
        faults: Grows by what goes wrong.
    """

    world: World
    predictor: str
    instruction: str
    inputs: Mapping[str, str]
    rng: random.Random
    faults: list[Fault]

    @property
    def key(self) -> str:
        """The case; empty where no input names one."""
        found = KEY.search(" ".join(self.inputs.values()))
        return found[0] if found else ""

    def follows(self, rule: str, asked: str, given: str, wanted: str) -> bool:
        """Whether the call follows a rule that its input calls for; if not, a fault is noted."""
        held, heard = self.world.understood(self.instruction)
        chance = self.world.sure * heard if rule in held else self.world.luck
        if self.rng.random() < chance:
            return True
        self.faults.append(Fault(rule, self.key, asked, given, wanted))
        return False

    def trapped(self, phrase: str, chance: float) -> bool:
        """Whether bad advice in the instruction does its harm this time."""
        return phrase in self.world.understood(self.instruction)[0] and self.rng.random() < chance

    def slips(self, chance: float) -> bool:
        """Whether the model makes a mistake that no instruction prevents."""
        return self.rng.random() < chance


def case(key: str) -> random.Random:
    """The source of all that is drawn about a case: the same whoever asks."""
    return random.Random(f"case {key}")


def predict(fields: str, told: str) -> Any:
    """A predictor of these fields with this instruction; `Any`, since a type checker does not know its outputs."""
    signature: Any = dspy.Signature
    return dspy.Predict(signature(fields, told))


def instructions(program: dspy.Module) -> dict[str, str]:
    """Predictor's name -> instruction."""
    signatures: dict[str, Any] = {name: one.signature for name, one in program.named_predictors()}
    return {name: one.instructions for name, one in signatures.items()}


def score(graded: Any) -> float:
    """What a metric gave, as a number."""
    return float(getattr(graded, "score", graded))


def execute(
    world: World, told: Mapping[str, str], example: dspy.Example, rng: random.Random, faults: list[Fault]
) -> Any:
    """One execution of the program under these instructions without a request: its prediction."""

    def stand_in(name: str) -> Callable[..., Any]:
        return lambda **given: SimpleNamespace(**world.answer(Turn(world, name, told[name], given, rng, faults)))

    program: Any = world.program
    bare = SimpleNamespace(**{name: stand_in(name) for name in told})
    return program.forward(bare, **example.inputs())


def truth(world: World, told: Mapping[str, str], count: int = 600) -> float:
    """The mean score under these instructions over cases that no optimizer sees, without a request.

    The cases and the source of luck of each are the same for all instructions.
    """
    total = 0.0
    for number in range(count):
        example = world.example(f"{world.prefix}-{9000 + number}")
        total += score(world.metric(example, execute(world, told, example, random.Random(f"truth {number}"), [])))
    return total / count
