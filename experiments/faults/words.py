"""Small programs in plain words for a real model: steps that even a small one can often do when it is told how.

Every output is called `answer`, so that what a step has to do stands in its instruction alone. (Where it was called
`note`, a model of 1.5 billion parameters copied its input whatever it was told.) The unbroken programs err by
themselves on some examples; a failure counts as the fault's only where the unbroken program is right.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

TRIED = 4
"""Examples that a fault is tried on. There are twice as many of each shape; faults take turns with the halves."""
_WHO = ["Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irene", "Jonas"]
_PLACES = ["lake", "bridge", "station", "market", "church", "school", "mill", "harbour"]
THINGS = {
    "animals": ["fox", "dog", "cat", "horse", "cow", "duck", "goat", "hen", "pig", "rabbit"],
    "fruits": ["apple", "pear", "plum", "banana", "lemon", "melon", "orange", "fig"],
    "tools": ["hammer", "saw", "drill", "shovel", "rake", "chisel", "axe", "spade"],
}
_NUMBERS = ["none", "one", "two", "three", "four", "five", "six"]
_NOTHING = "Do what is asked of this step."


class Steps(dspy.Module):
    """Steps that read the text or what steps before them wrote; the last one answers.

    Args:
        reads: Step -> what it reads: "text", or earlier steps.
    """

    def __init__(self, reads: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.reads = dict(reads)
        for name, read in reads.items():
            setattr(self, name, dspy.Predict(f"{', '.join(_fields(read))} -> answer"))

    def forward(self, text: str) -> dspy.Prediction:
        """Step after step."""
        said: dict[str, str] = {"text": text}
        made = dspy.Prediction()
        for name, read in self.reads.items():
            given = {field: said[source] for field, source in zip(_fields(read), read, strict=True)}
            made = getattr(self, name)(**given)
            said[name] = made.answer
        return made


def _fields(read: Sequence[str]) -> list[str]:
    notes = [source for source in read if source != "text"]
    return ["text" if source == "text" else f"note_{1 + notes.index(source)}" for source in read]


@dataclass(frozen=True)
class Task:
    """A program in words.

    Args:
        reads: Step -> what it reads; see `Steps`.
        told: Step -> its instruction.
        wrong: Step -> an instruction for another job.
        contradicting: Step -> an instruction to say something that is not so.
        beside: Step -> its neighbour.
        example: Draws a text and the right answer.
    """

    reads: Mapping[str, Sequence[str]]
    told: Mapping[str, str]
    wrong: Mapping[str, str]
    contradicting: Mapping[str, str]
    beside: Mapping[str, str]
    example: Callable[[random.Random], tuple[str, str]]


def _shopping(rng: random.Random) -> tuple[str, str]:
    many, each = [rng.randint(2, 6) for _ in range(2)], [rng.randint(3, 9) for _ in range(2)]
    first, second = (f"{_NUMBERS[m]} {thing}s" for m, thing in zip(many, rng.sample(THINGS["tools"], 2), strict=True))
    text = f"{rng.choice(_WHO)} buys {first} at {each[0]} coins each and {second} at {each[1]} coins each."
    return text, str(many[0] * each[0] + many[1] * each[1])


def _counting(rng: random.Random) -> tuple[str, str]:
    kinds = rng.sample(list(THINGS), 2)
    things = [(thing, kind) for kind, count in zip(kinds, (3, 2), strict=True) for thing in _sample(rng, kind, count)]
    many = {thing: rng.randint(2, 6) for thing, _ in things}
    rng.shuffle(things)
    listed = ", ".join(f"{_NUMBERS[many[thing]]} {_plural(thing)}" for thing, _ in things)
    wanted = sum(many[thing] for thing, kind in things if kind == kinds[0])
    return f"I have {listed}. How many {kinds[0]} do I have?", str(wanted)


def _sorting(rng: random.Random) -> tuple[str, str]:
    seen = _sample(rng, "animals", 4)
    text = (
        f"Near the {rng.choice(_PLACES)} {rng.choice(_WHO)} saw a {seen[0]}, a {seen[1]}, a {seen[2]} and a {seen[3]}."
    )
    return text, max(seen).upper()


def _sample(rng: random.Random, kind: str, count: int) -> list[str]:
    return rng.sample(THINGS[kind], count)


def _plural(thing: str) -> str:
    return f"{thing}es" if thing == "fox" else f"{thing}s"


def _cost(which: str) -> str:
    return f"Write what the {which} purchase costs: how many there are times the price of one. Write only the number."


TASKS: dict[str, Task] = {
    "shopping": Task(
        {"first": ["text"], "second": ["text"], "total": ["text", "first", "second"]},
        {
            "first": _cost("first"),
            "second": _cost("second"),
            "total": "Add the numbers of the two notes. Write only their sum.",
        },
        {
            "first": "Write how many things are bought in the first purchase, without their price, as a number.",
            "second": "Write what one thing of the second purchase costs, as a number.",
            "total": "Take the number of the second note away from that of the first. Write only the result.",
        },
        {
            "first": "Write only a number greater than 500 that the text does not mention.",
            "second": "Write only a number greater than 500 that the text does not mention.",
            "total": "Write only a number that is larger than both notes together.",
        },
        {"first": "second", "second": "first"},
        _shopping,
    ),
    "counting": Task(
        {"kind": ["text"], "things": ["text"], "total": ["text", "kind", "things"]},
        {
            "kind": "Write only which kind of things the text asks to count, one word.",
            "things": "List the things of the text, separated by commas, each with its number in digits, "
            "like 2 pens, 3 cups.",
            "total": "The first note names a kind. Of the second note, take the numbers of the things of that kind "
            "only, and add them up. Write them as a sum with its result, like 2 + 3 = 5.",
        },
        {
            "kind": "Write only the first thing that the text mentions, one word.",
            "things": "Write only how many different things the text mentions, as a number.",
            "total": "Write only how many words the second note has.",
        },
        {
            "kind": "Write only some kind of things that the text does not ask for, one word.",
            "things": "List three things that are not in the text, separated by commas, each with a number in digits.",
            "total": "Add up all numbers of the second note, whatever the first one says. Write only the sum.",
        },
        {"kind": "things", "things": "kind"},
        _counting,
    ),
    "sorting": Task(
        {"animals": ["text"], "order": ["animals"], "last": ["order"]},
        {
            "animals": "Write only the animals that the text mentions, separated by commas.",
            "order": "Write the words in alphabetical order, separated by commas.",
            "last": "Write only the last word of the list, in capital letters.",
        },
        {
            "animals": "Write only the person and the place that the text mentions, separated by commas.",
            "order": "Write the words in Spanish, separated by commas.",
            "last": "Write only how many words the list has, as a number.",
        },
        {
            "animals": "Write four animals that the text does not mention, separated by commas.",
            "order": "Write the words in reverse alphabetical order, separated by commas.",
            "last": "Write only the first word of the list, in capital letters.",
        },
        {"animals": "order", "order": "last", "last": "order"},
        _sorting,
    ),
}


@dataclass(frozen=True)
class Case:
    """One fault of a program in words; see `cases.Fault`.

    Args:
        seed: Of the examples and of the order of the faults.
        number: Its place among the faults of its shape.
    """

    shape: str
    predictor: str
    kind: str
    seed: int
    number: int

    @property
    def joint(self) -> bool:
        """Whether it shows in two steps that say the same: they could stand in for each other."""
        return self.kind == "repeat" and self.shape == "shopping"

    @property
    def half(self) -> int:
        """Which half of the shape's examples it is tried on."""
        return self.number % 2

    def program(self, *, broken: bool = True) -> dspy.Module:
        """The program, broken or not."""
        task = TASKS[self.shape]
        program: Any = Steps(task.reads)
        for name, predictor in program.named_predictors():
            text = self._instruction() if broken and name == self.predictor else task.told[name]
            predictor.signature = predictor.signature.with_instructions(text)
        return program

    def _instruction(self) -> str:
        task = TASKS[self.shape]
        if self.kind == "repeat":
            return task.told[task.beside[self.predictor]]
        return {"wrong": task.wrong, "contradict": task.contradicting}.get(self.kind, {}).get(self.predictor, _NOTHING)

    def examples(self, count: int) -> list[dspy.Example]:
        """Its half of the shape's examples, at most `count`."""
        rng = random.Random(f"{self.shape}, {self.seed}, words")
        drawn = [TASKS[self.shape].example(rng) for _ in range(2 * TRIED)]
        made = [dspy.Example(text=text, wanted=wanted).with_inputs("text") for text, wanted in drawn]
        return made[self.half * TRIED :][: min(count, TRIED)]


def cases(shapes: Sequence[str], seed: int) -> Iterator[Case]:
    """Every predictor of every shape with every kind of fault that it can have, in two rounds.

    A study that is broken off is balanced: shapes take turns, and so do kinds.
    """
    rng = random.Random(f"{seed}, faults")
    turns: dict[str, list[tuple[str, str]]] = {}
    for at, shape in enumerate(TASKS):
        task = TASKS[shape]
        of_kind = [
            [(name, kind) for name in rng.sample(list(names), len(names))]
            for kind, names in (
                ("delete", task.told),
                ("wrong", task.wrong),
                ("contradict", task.contradicting),
                ("repeat", task.beside),
            )
        ]
        # Shapes begin with different kinds, so that three faults in a row are of three kinds.
        turned = of_kind[at:] + of_kind[:at]
        turns[shape] = [one for row in itertools.zip_longest(*turned) for one in row if one is not None]
    for again in range(2):
        for row in itertools.zip_longest(*(turns[shape] for shape in shapes)):
            for shape, one in zip(shapes, row, strict=True):
                if one is not None:
                    predictor, kind = one
                    # The second round takes the other half of the examples.
                    yield Case(shape, predictor, kind, seed, turns[shape].index(one) + again)


def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> dspy.Prediction:
    """1 where the last number is the wanted one, or the answer has the wanted words and no others, in this case."""
    # A small model may end a line with the adapter's marker, which then stands in the field.
    answer = str(prediction.get("answer", "")).replace("[[ ## completed ## ]]", "")
    pattern = r"\d+" if example.wanted.isdigit() else r"\w+"
    said = re.findall(pattern, answer)
    right = said[-1:] == [example.wanted] if example.wanted.isdigit() else said == [example.wanted]
    return dspy.Prediction(score=float(right), feedback=f"The answer should have been: {example.wanted}")
