"""One fault: a program that works, with the instruction of exactly one predictor broken in a known way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dspy

from .shapes import SHAPES, Plan
from .worker import DOUBLED, RAISED, RULELESS, STUTTER

KINDS = ("delete", "wrong", "repeat", "contradict")


@dataclass(frozen=True)
class Fault:
    """Which predictor of which program is broken, and how.

    Args:
        shape: The shape's name.
        plan: The program that works.
        predictor: The one that is broken.
        kind: delete (its rule), wrong (it gives a wrong number), repeat (it does what its neighbour does, or
            says one thing twice), contradict (another wrong number, on what a neighbour may state too).
        seed: Of the plan and the examples.
    """

    shape: str
    plan: Plan
    predictor: str
    kind: str
    seed: int

    @property
    def joint(self) -> bool:
        """Whether it can be seen only where outputs are judged together."""
        return self.kind in self.plan.joint.get(self.predictor, ())

    @property
    def instruction(self) -> str:
        """The broken instruction."""
        told = self.plan.instructions[self.predictor]
        if self.kind == "delete":
            return RULELESS
        if self.kind == "wrong":
            return f"{told} {DOUBLED}"
        if self.kind == "contradict":
            return f"{told} {RAISED}"
        beside = self.plan.neighbours.get(self.predictor)
        return self.plan.instructions[beside] if beside else f"{told} {STUTTER}"

    def program(self, *, broken: bool = True) -> dspy.Module:
        """The program with its instructions, the broken one among them or not."""
        program: Any = self.plan.program()
        told = {**self.plan.instructions, **({self.predictor: self.instruction} if broken else {})}
        for name, predictor in program.named_predictors():
            predictor.signature = predictor.signature.with_instructions(told[name])
        return program

    def examples(self, count: int) -> list[dspy.Example]:
        """Examples of this program, the same for the same fault."""
        return self.plan.examples(count, random.Random(f"{self.shape}, {self.seed}, examples"))


def faults(shape: str, seed: int) -> Iterator[Fault]:
    """Faults without end: every predictor in turn with every kind, on ever new plans.

    Args:
        shape: A name in `SHAPES`.
        seed: Of the plans.
    """
    rng = random.Random(f"{shape}, {seed}, faults")
    number = 0
    while True:
        names = list(SHAPES[shape](random.Random(0)).instructions)
        turns = [(name, kind) for name in names for kind in KINDS]
        rng.shuffle(turns)
        for name, kind in turns:
            number += 1
            plan = SHAPES[shape](random.Random(f"{shape}, {seed}, {number}"))
            yield Fault(shape, plan, name, kind, number)
