"""Gradients over examples, grouped by the predictor they are about."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._backward.blame import Blame, mean_shares, pool_blame
from .._backward.gradient import TextGradient
from .._backward.reduce import Remark
from .._evaluate.candidate import Candidate
from .._evaluate.outcome import Scored
from .._graph.trace import OUTPUT, Call
from .._values.text import readable

ADVICE = ("the gradient of", "the metric's feedback")
"""How the places begin of texts that say what should be otherwise, and are no data of the program."""


OUTPUT_HEADING = "How the output should have been different:"
INSTRUCTION_HEADING = "How the instruction should have been different:"
"""The headings of a lesson's gradients; some models write the lesson itself for an instruction."""


@dataclass(frozen=True)
class Lesson:
    """What one call of a predictor on one example, with its score in metric points, teaches."""

    example_id: int
    call: Call
    gradient: TextGradient
    score: float


def group_by_predictor(
    outcomes: Sequence[Scored], sweeps: Sequence[Mapping[str, TextGradient]]
) -> dict[str, list[Lesson]]:
    """The lessons of every predictor over examples and calls, as in back-propagation through time."""
    lessons: dict[str, list[Lesson]] = {}
    for outcome, gradients in zip(outcomes, sweeps, strict=True):
        for call in outcome.graph:
            lesson = Lesson(outcome.example_id, call, gradients[call.id], outcome.score)
            lessons.setdefault(call.predictor, []).append(lesson)
    return lessons


def remarks(lessons: Sequence[Lesson]) -> list[Remark]:
    """What the lessons of one predictor ask for, of its outputs and of its instruction, as `reduce` merges it."""
    said = []
    for lesson in lessons:
        own = lesson.gradient.own
        directions = [message.value for message in lesson.gradient.change_requests] + ([own] if own is not None else [])
        texts = dict.fromkeys(one.change for one in directions if one.status == "change")
        said += [Remark(text, lesson.example_id) for text in texts]
    return said


def sources(lessons: Sequence[Lesson]) -> Iterator[tuple[str, str]]:
    """The texts that lessons consist of, each with where it comes from; those of the program itself first."""
    for lesson in lessons:
        where = f"{lesson.call.id} on example {lesson.example_id}"
        for what, values in (("input", lesson.call.inputs), ("output", lesson.call.outputs)):
            yield from ((f"the {what} {name!r} of {where}", readable(value)) for name, value in values.items())
        yield f"the error of {where}", lesson.call.error or ""
        for demo in lesson.call.demos:
            yield f"a demonstration in the prompt of {lesson.call.predictor}", readable(demo)
    for lesson in lessons:
        for message in sorted(lesson.gradient.messages, key=lambda one: one.sender != OUTPUT):
            said = f"{ADVICE[0]} {lesson.call.id}" if message.sender != OUTPUT else ADVICE[1]
            yield f"{said} on example {lesson.example_id}", message.value.change
        texts = (lesson.gradient.text, lesson.gradient.own.change if lesson.gradient.own is not None else "")
        yield from ((f"{ADVICE[0]} {lesson.call.id} on example {lesson.example_id}", text or "") for text in texts)


@dataclass(frozen=True)
class Learned:
    """What was learned from some outcomes of a program: for each, call id -> gradient."""

    parent: Candidate
    outcomes: Sequence[Scored]
    sweeps: Sequence[Mapping[str, TextGradient]]

    @functools.cached_property
    def lessons(self) -> Mapping[str, Sequence[Lesson]]:
        """Predictor's name -> its lessons."""
        return group_by_predictor(self.outcomes, self.sweeps)

    def only(self, outcomes: Sequence[Scored]) -> Learned:
        """What was learned from some of the outcomes."""
        wanted = {outcome.example_id for outcome in outcomes}
        kept = [pair for pair in zip(self.outcomes, self.sweeps, strict=True) if pair[0].example_id in wanted]
        return Learned(self.parent, [outcome for outcome, _ in kept], [sweep for _, sweep in kept])

    @property
    def predictors(self) -> list[str]:
        """The predictors that there are lessons for."""
        return [name for name in self.parent.instructions if name in self.lessons]

    @functools.cached_property
    def blames(self) -> Sequence[Blame]:
        """The blame for each of the outcomes."""
        return pool_blame([(outcome.graph, found) for outcome, found in zip(self.outcomes, self.sweeps, strict=True)])

    @property
    def blame(self) -> Mapping[str, float]:
        """Predictor's name -> its mean share of the blame, 0 to 1."""
        pairs = zip(self.blames, self.outcomes, strict=True)
        return mean_shares([one.by_predictor(outcome.graph) for one, outcome in pairs])

    @property
    def gradients(self) -> tuple[tuple[int, Mapping[str, str]], ...]:
        """For each outcome: its example's id, and call id -> gradient as text."""
        return tuple(
            (outcome.example_id, {call: str(gradient) for call, gradient in found.items()})
            for outcome, found in zip(self.outcomes, self.sweeps, strict=True)
        )
