"""What every optimizer is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dspy

from .programs import Sets


@dataclass(frozen=True)
class Entry:
    """What an optimizer is given.

    Args:
        program: The program; optimizers do not change it.
        sets: The examples; the held-out ones are not for it.
        metric: Grades an answer, with feedback.
        student: The program's language model.
        proposer: The optimizer's.
        cap: The most calls.
        seed: Of its choices.
    """

    program: dspy.Module
    sets: Sets
    metric: Callable[..., Any]
    student: dspy.LM
    proposer: dspy.LM
    cap: int
    seed: int

    @property
    def predictors(self) -> int:
        """Predictors of the program, each called once for an example at most."""
        return len(self.program.predictors())

    @property
    def evaluations(self) -> float:
        """How many times the cap allows to run the program on all examples of val, with nothing cached."""
        return self.cap / (self.predictors * len(self.sets.val))

    def score(self, example: dspy.Example, prediction: Any, trace: Any = None) -> float:
        """The score as a number: MIPROv2 takes any other object for a pass."""
        return self.metric(example, prediction).score
