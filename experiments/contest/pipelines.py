"""The paper's three pipelines with examples to learn from, to decide on, and to be judged by."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dspy
from data import SAMPLES, bbh, gsm8k, liar, split_one_file

from dspy_semantic_backprop.programs import LayeredProgram, LiarProgram, exact_match, number_match, yes_no

ALL = 10**6
_NUMBERS = ("one", "two", "three", "four", "five", "six")
_KINDS = {
    "fruits": ("banana", "peach", "orange", "plum", "grape", "pear", "mango", "kiwi", "lemon", "fig"),
    "vegetables": ("carrot", "onion", "cabbage", "yam", "leek", "pea", "turnip", "radish", "cucumber", "pepper"),
    "animals": ("dog", "cat", "goat", "cow", "duck", "donkey", "rabbit", "bear", "snail", "frog"),
    "musical instruments": ("flute", "piano", "violin", "drum", "trumpet", "guitar", "harp", "cello", "banjo"),
}
_THINGS = ("lamp", "rug", "clock", "bucket", "mirror", "stove", "chair", "toaster")


@dataclass(frozen=True)
class Pipeline:
    """A program with its examples.

    Args:
        name: Its name in the record.
        build: Makes the program.
        metric: Grades an answer, with feedback.
        question: The field that must not be on two sides.
        examples: Reads or makes the examples, given a folder (None: the project's own) and a seed.
    """

    name: str
    build: Callable[[], dspy.Module]
    metric: Callable[..., Any]
    question: str
    examples: Callable[[Path | None, int], list[dspy.Example]]


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


def sets(pipeline: Pipeline, folder: Path | None, sizes: tuple[int, int, int], seed: int) -> Sets:
    """Draw the three sets.

    Args:
        pipeline: Whose examples.
        folder: A data folder; None for the project's own questions.
        sizes: How many to train on, to decide on and to hold out, the last at most.
        seed: Of the draw.
    """
    train, val, held_out = sizes
    split = split_one_file(pipeline.examples(folder, seed), train + val, seed, pipeline.question)
    return Sets(split.train[:train], split.train[train:], split.held_out[:held_out])


def counting(count: int, seed: int) -> list[dspy.Example]:
    """Questions in the form of BBH's object_counting: several of a kind, and now and then things of no kind asked for.

    Args:
        count: How many.
        seed: Of all choices.
    """
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        kind = rng.choice([*_KINDS, "objects"])
        members = rng.sample(_KINDS.get(kind, _THINGS), rng.randint(3, 5))
        strangers = rng.sample(_THINGS, rng.choice((0, 0, 1, 2))) if kind != "objects" else []
        amounts = {item: rng.choice((1, 1, 1, *range(2, 7))) for item in [*members, *strangers]}
        items = rng.sample(sorted(amounts), len(amounts))
        *first, last = [_amount(item, amounts[item]) for item in items]
        question = f"I have {', '.join(first)}, and {last}. How many {kind} do I have?"
        answer = str(sum(amounts[item] for item in members))
        made.append(dspy.Example(question=question, answer=answer).with_inputs("question"))
    return made


def _amount(item: str, number: int) -> str:
    if number > 1:
        return f"{_NUMBERS[number - 1]} {item}es" if item.endswith("ch") else f"{_NUMBERS[number - 1]} {item}s"
    return f"{'an' if item[0] in 'aeiou' else 'a'} {item}"


def _bbh(folder: Path | None, seed: int) -> list[dspy.Example]:
    if folder is None:
        return counting(150, seed)
    split = bbh.load("object_counting", folder=folder, seed=seed)
    return [*split.train, *split.held_out]


def _gsm8k(folder: Path | None, seed: int) -> list[dspy.Example]:
    split = gsm8k.load(folder=folder or SAMPLES, train=ALL, seed=seed)
    return [*split.train, *split.held_out]


def _liar(folder: Path | None, seed: int) -> list[dspy.Example]:
    split = liar.load(folder=folder or SAMPLES, train=ALL, seed=seed)
    return [*split.train, *split.held_out]


PIPELINES = {
    one.name: one
    for one in (
        Pipeline("bbh", LayeredProgram, exact_match, "question", _bbh),
        Pipeline("gsm8k", LayeredProgram, number_match, "question", _gsm8k),
        Pipeline("liar", partial(LiarProgram, narrow=True), yes_no, "statement", _liar),
    )
}
