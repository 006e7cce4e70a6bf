"""A candidate is a set of instructions: read from a program, written into a copy of it.

The only file that touches a predictor's signature.
"""

from __future__ import annotations

import inspect
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import dspy

_UNCOPIED = re.compile(r"Failed to deep copy attribute '(.*?)' of (\w+)")


@dataclass(frozen=True)
class Candidate:
    """The instructions of a program's predictors, by name, in the order of `named_predictors()`."""

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


Edited = dict[tuple[Any, str], Any]
"""Signature and instruction -> the signature with that instruction: a class of ten kilobytes, the newest of a run."""
_MOST_EDITED = 16
_ORIGINALS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def original(signature: Any) -> Any:
    """The signature that an edited one was made from; any other is its own."""
    return _ORIGINALS.get(signature, signature)


def write(candidate: Candidate, program: dspy.Module, edited: Edited) -> dspy.Module:
    """Put instructions into a program, a copy that belongs to the run, in place, and return it; equal ones stay."""
    predictor: Any
    for name, predictor in program.named_predictors():
        text = candidate.instructions[name]
        if canonical(predictor.signature.instructions) != text:
            key = predictor.signature, text
            known = edited.get(key)
            if known is None or canonical(known.instructions) != text:  # a program may have written to it
                # A new class: assigning to `.instructions` would change the signature that all copies share.
                known = edited[key] = predictor.signature.with_instructions(text)
                _ORIGINALS[known] = predictor.signature
                if len(edited) > _MOST_EDITED:
                    edited.pop(next(iter(edited)))
            predictor.signature = known
    return program


def changed(old: Candidate, new: Candidate) -> tuple[str, ...]:
    """The predictors whose instruction differs."""
    return tuple(name for name in old.instructions if old.instructions[name] != new.instructions[name])


@contextmanager
def _copies_told(tell: Callable[[str], Any], program: dspy.Module) -> Iterator[None]:
    thread = threading.get_ident()

    def others(record: logging.LogRecord) -> bool:
        found = _UNCOPIED.match(record.getMessage()) if record.thread == thread else None
        # All that a dspy.Parallel holds and nobody can copy is a lock of its own.
        if found and not any(
            isinstance(vars(module).get(found[1]), dspy.Parallel) for _, module in program.named_sub_modules()
        ):
            tell(f"the attribute {found[1]} of {found[2]} cannot be copied whole: the copies of the program share it")
        return not found

    logging.root.addFilter(others)
    try:
        yield
    finally:
        logging.root.removeFilter(others)


def clone(program: dspy.Module, tell: Callable[[str], Any] = lambda warning: None) -> Any:
    """A deep copy of a program that keeps what DSPy's own copy loses or doubles; `tell` is told what DSPy logs of it.

    Callbacks set on a module are lost by `deepcopy`, and language models are copied by it, so that the user's own
    handle would no longer see their calls.
    """
    with _copies_told(tell, program):
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
