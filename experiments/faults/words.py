"""Small programs in plain words for a real model: steps that even a small one can do when it is told how.

Every output is called `answer`, so that what a step has to do stands in its instruction alone. (Where it was called
`note`, a model of 1.5 billion parameters copied its input whatever it was told.)
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from .report import Result
from .study import Settings, study

_WHO = ["Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irene", "Jonas"]
_COLOURS = ["red", "green", "blue", "black", "white", "brown", "grey", "yellow"]
_ANIMALS = ["fox", "dog", "cat", "horse", "cow", "duck", "goat", "hen", "pig", "rabbit"]
_PLACES = ["lake", "bridge", "station", "market", "church", "school", "mill", "harbour"]

_NOTHING = "Do what is asked of this step."


def step(inputs: str) -> dspy.Predict:
    """A predictor that reads these fields (separated by commas) and writes `answer`."""
    return dspy.Predict(f"{inputs} -> answer")


class Two(dspy.Module):
    """Two notes on a text and an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = step("text")
        self.second = step("text")
        self.final = step("first_note, second_note")

    def forward(self, text: str) -> dspy.Prediction:
        """Note, note, answer."""
        return self.final(first_note=self.first(text=text).answer, second_note=self.second(text=text).answer)


class Three(dspy.Module):
    """Three notes on a text and an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = step("text")
        self.second = step("text")
        self.third = step("text")
        self.final = step("first_note, second_note, third_note")

    def forward(self, text: str) -> dspy.Prediction:
        """Three notes, answer."""
        notes = [one(text=text).answer for one in (self.first, self.second, self.third)]
        return self.final(first_note=notes[0], second_note=notes[1], third_note=notes[2])


class Line(dspy.Module):
    """Three steps, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.find = step("text")
        self.many = step("word")
        self.loud = step("word")

    def forward(self, text: str) -> dspy.Prediction:
        """Find, change, change again."""
        return self.loud(word=self.many(word=self.find(text=text).answer).answer)


@dataclass(frozen=True)
class Task:
    """A program in words.

    Args:
        build: Makes it.
        told: Predictor -> its instruction.
        wrong: Predictor -> an instruction for another job.
        contradicting: Predictor -> an instruction to say something that is not so.
        beside: Predictor -> its neighbour.
        wanted: Who, colour, animal and place -> the right answer.
    """

    build: Callable[[], dspy.Module]
    told: Mapping[str, str]
    wrong: Mapping[str, str]
    contradicting: Mapping[str, str]
    beside: Mapping[str, str]
    wanted: Callable[[Mapping[str, str]], str]


def _only(what: str) -> str:
    return f"Write only the {what} that the text mentions, one word."


def _other(what: str) -> str:
    return f"Write only the name of some {what} that the text does not mention, one word."


TASKS: dict[str, Task] = {
    "two notes": Task(
        Two,
        {
            "first": _only("colour"),
            "second": _only("animal"),
            "final": "Write the first note and then the second note, on one line, and nothing else.",
        },
        {"first": _only("place"), "second": _only("person"), "final": "Write how many notes there are, as a number."},
        {"first": _other("colour"), "second": _other("animal")},
        {"first": "second", "second": "first"},
        lambda facts: f"{facts['colour']} {facts['animal']}",
    ),
    "three notes": Task(
        Three,
        {
            "first": _only("person"),
            "second": _only("animal"),
            "third": _only("place"),
            "final": "Write the first, the second and the third note, on one line, and nothing else.",
        },
        {"first": _only("colour"), "second": _only("colour"), "third": _only("colour"), "final": "Write only yes."},
        {"first": _other("person"), "second": _other("animal"), "third": _other("place")},
        {"first": "second", "second": "third", "third": "first"},
        lambda facts: f"{facts['who']} {facts['animal']} {facts['place']}",
    ),
    "line of three": Task(
        Line,
        {
            "find": _only("animal"),
            "many": "Write the English plural of the word, one word.",
            "loud": "Write the word in capital letters, and nothing else.",
        },
        {"find": _only("person"), "many": "Write the word in Spanish.", "loud": "Write how long the word is."},
        {"find": _other("animal")},
        {},
        lambda facts: f"{facts['animal']}s".replace("foxs", "foxes").upper(),
    ),
}


@dataclass(frozen=True)
class Case:
    """One fault of a program in words; see `cases.Fault`."""

    shape: str
    predictor: str
    kind: str
    seed: int

    @property
    def joint(self) -> bool:
        """Whether it is a mere repetition of a neighbour."""
        return self.kind == "repeat"

    def program(self, *, broken: bool = True) -> dspy.Module:
        """The program, broken or not."""
        task = TASKS[self.shape]
        program: Any = task.build()
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
        """Sentences with one person, colour, animal and place each."""
        rng = random.Random(f"{self.shape}, {self.seed}, words")
        made = []
        for _ in range(count):
            facts = {
                "who": rng.choice(_WHO),
                "colour": rng.choice(_COLOURS),
                "animal": rng.choice(_ANIMALS),
                "place": rng.choice(_PLACES),
            }
            text = f"{facts['who']} saw a {facts['colour']} {facts['animal']} near the {facts['place']}."
            made.append(dspy.Example(text=text, wanted=TASKS[self.shape].wanted(facts)).with_inputs("text"))
        return made


def cases(shape: str, seed: int) -> Iterator[Case]:
    """Faults of a task in words: every predictor with every kind that it can have, again and again."""
    task = TASKS[shape]
    kinds = {"delete": task.told, "wrong": task.wrong, "contradict": task.contradicting, "repeat": task.beside}
    turns = [(name, kind) for kind, names in kinds.items() for name in names]
    random.Random(f"{shape}, {seed}, faults").shuffle(turns)
    # Three rounds bound what a model costs that no fault makes fail.
    for number, (name, kind) in enumerate(itertools.islice(itertools.cycle(turns), 3 * len(turns))):
        yield Case(shape, name, kind, number)


def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> dspy.Prediction:
    """1 where the answer has the wanted words and no others; commas and, unless wanted, case aside."""
    # A small model may end a line with the adapter's marker, which then stands in the field.
    answer = str(prediction.get("answer", "")).replace("[[ ## completed ## ]]", "")
    said, wanted = (" ".join(re.findall(r"\w+", text)) for text in (answer, example.wanted))
    right = said == wanted if wanted.isupper() else said.casefold() == wanted.casefold()
    return dspy.Prediction(score=float(right), feedback=f"The answer should have been: {example.wanted}")


def studied(
    models: tuple[str, str | None], api_base: str | None, max_tokens: int, wanted: Sequence[str], settings: Settings
) -> dict[str, tuple[list[Result], int]]:
    """Break the programs in words, run and judged by a real model.

    Args:
        models: The program's model and, where it is another, the reader's, as LiteLLM names them.
        api_base: The address of their server.
        max_tokens: The most tokens of one answer.
        wanted: Names in `TASKS`.
        settings: How much to do.

    Returns:
        Shape -> as `study.study`.
    """
    key = os.environ.get("OPENAI_API_KEY", "none")
    where: dict[str, Any] = {"api_base": api_base, "api_key": key} if api_base else {}
    lm, reader = (
        dspy.LM(name or models[0], temperature=0.0, max_tokens=max_tokens, timeout=600, **where) for name in models
    )

    async def every() -> list[tuple[list[Result], int]]:
        shapes = (study(cases(shape, settings.seed), metric, {0.0: reader}, settings) for shape in wanted)
        return await asyncio.gather(*shapes)

    with dspy.context(lm=lm):
        return dict(zip(wanted, asyncio.run(every()), strict=True))
