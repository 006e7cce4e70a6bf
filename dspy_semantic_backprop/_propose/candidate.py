"""A candidate is a set of instructions: read from a program, written into a copy of it.

The only room that touches a predictor's signature. What an instruction must keep (the tool list of a
ReAct predictor, and what else DSPy writes into an instruction: `scaffold`) is protected text: proposals
never see it as theirs to change, and it is put back behind whatever they wrote.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dspy

from .protected import scaffolds

_A_LINE = 20
"""Shorter lines, in characters, may stand in a task and in a list of tools alike."""


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


@dataclass(frozen=True)
class Parameters:
    """Where a program's instructions are, and which parts of them may not change.

    Args:
        protected: Predictor's name -> the end of its instruction that must survive; only where there is one.
    """

    protected: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, program: dspy.Module) -> Parameters:
        """Find the protected text of a program's predictors."""
        names = {id(predictor): name for name, predictor in program.named_predictors()}
        protected: dict[str, str] = {}
        for predictor, written in scaffolds(program):
            name = names.get(id(predictor))
            now = canonical(predictor.signature.instructions)
            end = canonical(written)
            if name is not None and now:
                task = now.removesuffix(end).rstrip() if end and now.endswith(end) else ""
                protected[name] = now.removeprefix(task)
        return cls(protected)

    def free(self, predictor: str, instruction: str) -> str:
        """The part of an instruction that may be rewritten."""
        end = self.protected.get(predictor, "")
        return instruction.removesuffix(end).removesuffix(end.lstrip()).rstrip()

    def whole(self, predictor: str, text: str) -> str:
        """A rewritten part as the instruction it becomes, protected text put back, as DSPy will store it.

        What of the protected text the rewritten part repeats is left out: a model that was not asked for the tools
        often copies them, and of two lists nobody knows which one counts.
        """
        end = self.protected.get(predictor)
        if not end:
            return canonical(text)
        text = canonical(_without_copies(canonical(text), end))
        glue = "" if end[:1].isspace() or not text else "\n"
        return canonical(f"{text}{glue}{end}")


def _without_copies(text: str, end: str) -> str:
    """A text without what stands in protected text too: all of it, or lines of it."""
    copy = r"\s+".join(map(re.escape, end.split()))
    text = re.sub(rf"\s*{copy}\s*", "\n", text)
    said = {line.strip() for line in end.splitlines() if len(line.strip()) >= _A_LINE}
    return "\n".join(line for line in text.splitlines() if line.strip() not in said)


def canonical(text: str) -> str:
    """An instruction as DSPy gives it back: without common indentation and blank ends."""
    return inspect.cleandoc(text).strip()


def read(program: dspy.Module) -> Candidate:
    """The instructions that a program has now."""
    predictors: list[tuple[str, Any]] = program.named_predictors()
    return Candidate({name: canonical(predictor.signature.instructions) for name, predictor in predictors})


def write(candidate: Candidate, program: dspy.Module) -> dspy.Module:
    """Put a candidate's instructions into a program, in place; predictors that keep theirs are untouched.

    Args:
        candidate: The instructions.
        program: A copy that belongs to the run.

    Returns:
        The same program.
    """
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

    Args:
        program: The user's program.

    Returns:
        The copy, with the callbacks and the very language models of the original.
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
