"""The programs of the comparison with examples to learn from, to decide on, and to be judged by.

No two predictors of a program have equal signatures (`told_apart`): GEPA finds a predictor's calls by its signature,
and takes one twin's for the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import dspy
from data import SAMPLES, gsm8k, liar, split_one_file

from dspy_semantic_backprop.programs import LayeredProgram, LiarProgram, exact_match, number_match, yes_no

from .graphs import Critic, MultiHop, Router, TenHints
from .questions import counting, hops, logic, sorting, statements, sums

ALL = 10**6
COUNT = 150


@dataclass(frozen=True)
class Program:
    """A program with its examples.

    Args:
        name: Its name in the record.
        made: Makes the program, in which some predictors may have equal signatures.
        metric: Grades an answer, with feedback.
        question: The field that must not be on two sides.
        examples: Makes the examples of a seed, or reads those that come with the project.
    """

    name: str
    made: Callable[[], dspy.Module]
    metric: Callable[..., Any]
    question: str
    examples: Callable[[int], list[dspy.Example]]

    def build(self) -> dspy.Module:
        """The program as it starts; no two predictors have equal signatures."""
        return told_apart(self.made)


@dataclass(frozen=True)
class Sets:
    """Disjoint sets of examples.

    Args:
        train: To learn from.
        val: To decide on.
        held_out: To be judged by; no optimizer sees them.
    """

    train: list[dspy.Example]
    val: list[dspy.Example]
    held_out: list[dspy.Example]


def sets(program: Program, sizes: tuple[int, int, int], seed: int) -> Sets:
    """Draw the three sets.

    Args:
        program: Whose examples.
        sizes: How many to train on, to decide on and to hold out, the last at most.
        seed: Of the draw.
    """
    train, val, held_out = sizes
    split = split_one_file(program.examples(seed), train + val, seed, program.question)
    return Sets(split.train[:train], split.train[train:], split.held_out[:held_out])


def _gsm8k(seed: int) -> list[dspy.Example]:
    split = gsm8k.load(folder=SAMPLES, train=ALL, seed=seed)
    return [*split.train, *split.held_out]


def _liar(seed: int) -> list[dspy.Example]:
    split = liar.load(folder=SAMPLES, train=ALL, seed=seed)
    return [*split.train, *split.held_out]


def told_apart(build: Callable[[], dspy.Module]) -> dspy.Module:
    """A program of which every predictor's signature says whose it is, in the description of its last output."""
    program = build()
    for name, predictor in program.named_predictors():
        signature: Any = predictor.signature
        field, info = list(signature.output_fields.items())[-1]
        desc = f"{info.json_schema_extra['desc']} ({name})"
        predictor.signature = signature.with_updated_fields(field, desc=desc)
    return program


def _programs() -> Iterator[Program]:
    yield Program("bbh", LayeredProgram, exact_match, "question", partial(counting, COUNT))
    yield Program("gsm8k", LayeredProgram, number_match, "question", _gsm8k)
    yield Program("liar", LiarProgram, yes_no, "statement", _liar)
    yield Program("layers4", partial(LayeredProgram, 4, 1), exact_match, "question", partial(sums, COUNT))
    yield Program("layers8", partial(LayeredProgram, 8, 1), exact_match, "question", partial(sorting, COUNT))
    yield Program("hints10", TenHints, yes_no, "statement", partial(statements, COUNT))
    yield Program("retrieval", MultiHop, exact_match, "question", partial(hops, COUNT))
    yield Program("router", Router, exact_match, "question", lambda seed: [*counting(75, seed), *logic(75, seed)])
    yield Program("critic", Critic, exact_match, "question", partial(logic, COUNT))


PROGRAMS = {one.name: one for one in _programs()}
