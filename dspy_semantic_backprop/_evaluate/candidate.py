"""A candidate is a set of instructions: read from a program, written into a copy of it.

The only file that touches a predictor's signature.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dspy


@dataclass(frozen=True)
class Candidate:
    """The instructions of a program's predictors.

    Args:
        instructions: Predictor's name -> instruction, in the order of `named_predictors()`.
    """

    instructions: Mapping[str, str]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Candidate) and dict(self.instructions) == dict(other.instructions)

    def __hash__(self) -> int:
        return hash(tuple(self.instructions.items()))

    def revised(self, changes: Mapping[str, str]) -> Candidate:
        """The candidate with some of its instructions replaced."""
        return Candidate({**self.instructions, **changes})


def canonical(text: str) -> str:
    """An instruction as DSPy gives it back: without common indentation and blank ends."""
    return inspect.cleandoc(text).strip()


def read(program: dspy.Module) -> Candidate:
    """The instructions that a program has now."""
    predictors: list[tuple[str, Any]] = program.named_predictors()
    return Candidate({name: canonical(predictor.signature.instructions) for name, predictor in predictors})


def write(candidate: Candidate, program: dspy.Module) -> dspy.Module:
    """Put instructions into a program, a copy that belongs to the run, in place, and return it; equal ones stay."""
    predictor: Any
    for name, predictor in program.named_predictors():
        text = candidate.instructions[name]
        if canonical(predictor.signature.instructions) != text:
            # A new class: assigning to `.instructions` would change the signature that all copies share.
            predictor.signature = predictor.signature.with_instructions(text)
    return program


def changed(old: Candidate, new: Candidate) -> tuple[str, ...]:
    """The predictors whose instruction differs."""
    return tuple(name for name in old.instructions if old.instructions[name] != new.instructions[name])


def clone(program: dspy.Module) -> Any:
    """A deep copy of a program that keeps what DSPy's own copy loses or doubles.

    Callbacks set on a module are lost by `deepcopy`, and language models are copied by it, so that the
    user's own handle would no longer see their calls.
    """
    copy = program.deepcopy()
    originals: dict[str, Any] = dict(program.named_sub_modules())
    module: Any
    for path, module in copy.named_sub_modules():
        original = originals.get(path)
        if original is None or original is module:
            continue
        if getattr(original, "callbacks", None):
            module.callbacks = list(original.callbacks)
        for name, value in vars(original).items():
            if isinstance(value, dspy.BaseLM):
                setattr(module, name, value)
    return copy
