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
_THINGS = ["cup", "coat", "bag", "hat", "box", "lamp"]
_ANIMALS = ["fox", "dog", "cat", "horse", "cow", "duck", "goat", "hen", "pig", "rabbit"]
CAPITALS = {
    **{
        "France": "Paris",
        "Japan": "Tokyo",
        "Italy": "Rome",
        "Spain": "Madrid",
        "Germany": "Berlin",
        "Russia": "Moscow",
    },
    **{"Egypt": "Cairo", "England": "London", "Greece": "Athens", "Portugal": "Lisbon", "Austria": "Vienna"},
}
_SPANISH = {"red": "rojo", "blue": "azul", "green": "verde", "white": "blanco", "black": "negro", "yellow": "amarillo"}
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


def _trip(rng: random.Random) -> tuple[str, str]:
    left, reached = rng.sample(list(CAPITALS), 2)
    text = f"{rng.choice(_WHO)} flew from {left} to {reached} with a {rng.choice(_ANIMALS)}."
    return text, CAPITALS[reached].upper()


def _lost(rng: random.Random) -> tuple[str, str]:
    who, where = rng.choice(_WHO), rng.choice(_PLACES)
    return f"Near the {where} {who} lost a {rng.choice(_THINGS)}.", f"{who} {where}"


def _colour(rng: random.Random) -> tuple[str, str]:
    things, colours, asked = rng.sample(_THINGS, 3), rng.sample(list(_SPANISH), 3), rng.randrange(3)
    first, second, third = (f"the {thing} is {colour}" for thing, colour in zip(things, colours, strict=True))
    text = f"T{first[1:]}, {second} and {third}. What colour is the {things[asked]}?"
    return text, _SPANISH[colours[asked]]


def _meeting(rng: random.Random) -> tuple[str, str]:
    (one, other), (here, there) = rng.sample(_WHO, 2), rng.sample(list(CAPITALS), 2)
    return f"{one} from {here} met {other} from {there}.", f"{CAPITALS[here]} {CAPITALS[there]}"


def _capital(which: str) -> str:
    return f"Write only the capital city of the {which} country that the text mentions, one word."


_JOINING = "Write the first note and then the second note, two words."
TASKS: dict[str, Task] = {
    "trip": Task(
        {"country": ["text"], "capital": ["country"], "loud": ["capital"]},
        {
            "country": "Write only the country that the person flew to, one word.",
            "capital": "Write only the capital city of the country, one word.",
            "loud": "Write the word in capital letters.",
        },
        {
            "country": "Write only the animal that the text mentions, one word.",
            "capital": "Write only the continent that the country is in, one word.",
            "loud": "Write only how many letters the word has, as a number.",
        },
        {
            "country": "Write only a country that the text does not mention, one word.",
            "capital": "Write only a city that is not the capital of the country, one word.",
            "loud": "Write the word in small letters.",
        },
        {"country": "capital", "capital": "loud", "loud": "capital"},
        _trip,
    ),
    "lost": Task(
        {"who": ["text"], "where": ["text"], "label": ["who", "where"]},
        {
            "who": "Write only the name of the person in the text, one word.",
            "where": "Write only the place that the text mentions, one word.",
            "label": _JOINING,
        },
        {
            "who": "Write only the thing that was lost, one word.",
            "where": "Write only the thing that was lost, one word.",
            "label": "Write only how many letters both notes have, as a number.",
        },
        {
            "who": "Write only a name that the text does not mention, one word.",
            "where": "Write only a place that the text does not mention, one word.",
            "label": "Write the second note and then the first note, two words.",
        },
        {"who": "where", "where": "who"},
        _lost,
    ),
    "colour": Task(
        {"colour": ["text"], "spanish": ["colour"]},
        {
            "colour": "Write only the colour that the text asks for, one word.",
            "spanish": "Translate the word into Spanish. Write only the Spanish word.",
        },
        {
            "colour": "Write only the thing that the text asks for, one word.",
            "spanish": "Translate the word into German. Write only the German word.",
        },
        {
            "colour": "Write only a colour that the text does not mention, one word.",
            "spanish": "Write only the Spanish word for another colour than the word.",
        },
        {"colour": "spanish", "spanish": "colour"},
        _colour,
    ),
    "meeting": Task(
        {"first": ["text"], "second": ["text"], "both": ["first", "second"]},
        {"first": _capital("first"), "second": _capital("second"), "both": _JOINING},
        {
            "first": "Write only the name of the first person, one word.",
            "second": "Write only the name of the second person, one word.",
            "both": "Write only how many letters both notes have, as a number.",
        },
        {
            "first": "Write only the capital city of a country that the text does not mention, one word.",
            "second": "Write only the capital city of a country that the text does not mention, one word.",
            "both": "Write the second note and then the first note, two words.",
        },
        {"first": "second", "second": "first"},
        _meeting,
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
        """Never: of steps that say the same, the answer shows whose place is wrong."""
        return False

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
    """1 where the answer has the wanted words and no others, in this case and order."""
    # A small model may end a line with the adapter's marker, which then stands in the field.
    answer = str(prediction.get("answer", "")).replace("[[ ## completed ## ]]", "")
    right = re.findall(r"\w+", answer) == example.wanted.split()
    return dspy.Prediction(score=float(right), feedback=f"The answer should have been: {example.wanted}")
