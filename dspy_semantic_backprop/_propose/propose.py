"""Lessons and an instruction -> a better instruction, as typed questions to the optimizer's language model.

A text that the screen refuses, or uses without what it quotes, is asked for once more, with the reason.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import dspy
from dspy.utils.exceptions import LMError

from .._backward.ask import count
from .._backward.reduce import Statement, reduce
from .._backward.text import shown
from .._concurrency import gather
from .._evaluate.candidate import Candidate
from .._session.budget import Purpose
from .._session.journal import digest_of
from .._session.lm import ask
from .._session.session import Session
from .._terminal import logger
from .lessons import INSTRUCTION_HEADING, OUTPUT_HEADING, Lesson, remarks, sources
from .screen import Screen, Screened, near_duplicate

PROPOSALS = "proposals"
"""What a session counts them as."""

WANTED, AS_IT_WAS = "new instructions wanted", "written as it was"
"""How often the lessons asked for a change and the model wrote an instruction, and how often the old one again."""

REMEMBERED = 3
"""So many of the texts that helped nothing a proposal is told of, the newest."""

MOST_CALLS = 8
"""The most calls of one example that a proposal is shown; of a longer loop, the first and the last ones."""

MOST_LESSONS = 2 * MOST_CALLS
"""The most calls that a proposal is shown; of more, it is shown what they ask for together, and so many of them."""

LONGEST = 2_000
"""The most tokens of one value in a proposal's question; of a longer one the two ends are shown."""


class Rewrite(dspy.Signature):
    """Improve the instruction of one step of a larger program.

    The lessons show what the step was given, what it produced, and how that should have been different.
    Find what they have in common and write a new instruction that would have avoided the mistakes. Keep
    everything of the current instruction that works. Write general rules: the step will meet other inputs,
    so do not mention the examples or their answers. The step gets the same inputs and must produce the
    same fields as before."""

    step: str = dspy.InputField(desc="the step: its name, inputs and outputs")
    current_instruction: str = dspy.InputField()
    lessons: str = dspy.InputField(desc="inputs, outputs and wanted changes of the step on some examples")
    rejected_attempts: str = dspy.InputField(desc="texts that were tried and did not help; write something else")
    constraint: str = dspy.InputField(desc="what the new instruction must respect")
    new_instruction: str = dspy.OutputField(desc="the full text of the new instruction, and nothing else")


class Analyse(dspy.Signature):
    """Say what is wrong with the instruction of one step of a larger program.

    The lessons show what the step was given, what it produced, and how that should have been different.
    Find the general mistakes that the instruction allows or causes. Do not write a new instruction."""

    step: str = dspy.InputField(desc="the step: its name, inputs and outputs")
    current_instruction: str = dspy.InputField()
    lessons: str = dspy.InputField(desc="inputs, outputs and wanted changes of the step on some examples")
    analysis: str = dspy.OutputField(desc="the general mistakes, most important first")


class RewriteFromAnalysis(dspy.Signature):
    """Improve the instruction of one step of a larger program as the analysis of its mistakes demands.

    Keep everything of the current instruction that works. The step gets the same inputs and must produce
    the same fields as before."""

    step: str = dspy.InputField(desc="the step: its name, inputs and outputs")
    current_instruction: str = dspy.InputField()
    analysis: str = dspy.InputField(desc="what is wrong with the current instruction")
    rejected_attempts: str = dspy.InputField(desc="texts that were tried and did not help; write something else")
    constraint: str = dspy.InputField(desc="what the new instruction must respect")
    new_instruction: str = dspy.OutputField(desc="the full text of the new instruction, and nothing else")


@dataclass(frozen=True)
class Subject:
    """The predictor that a proposal is for.

    Args:
        instruction: The part of its current instruction that may change.
        attempt: How many proposals this run asked for before: a repeated question gets a fresh answer.
        failed: Texts that were tried in the place of this instruction, or an earlier one, and helped nothing.
    """

    predictor: str
    instruction: str
    lessons: Sequence[Lesson]
    attempt: int = 0
    failed: Sequence[str] = ()
    constraint: str = ""


class Propose(Protocol):
    """Turns lessons into a new instruction."""

    async def __call__(self, subject: Subject, /) -> str:
        """Return the new instruction; empty where the model had none."""
        ...


@dataclass(frozen=True, kw_only=True)
class Proposer:
    """Asks for a new instruction, in one question or in two.

    What more than `MOST_LESSONS` calls ask for is first merged into statements that name their examples, by further
    questions, so that the proposal's question grows with what is said and not with how often.

    Args:
        via_analysis: First ask what is wrong, then for the rewrite (the published `--opt_via_feedback`).
        short: Ask for a short instruction (the published `--short_prompt`).
    """

    via_analysis: bool = False
    short: bool = False

    async def __call__(self, subject: Subject, /) -> str:
        """Ask for the new instruction of one predictor.

        Raises:
            LMError: What the provider refused to answer after all retries.
        """
        common = {
            "step": _describe(subject),
            "current_instruction": subject.instruction,
        }
        lessons = await _told(subject)
        demands = [subject.constraint] + (["At most three sentences."] if self.short else [])
        constraint = {
            "rejected_attempts": "\n\n".join(f"<<<{text}>>>" for text in subject.failed) or "(none)",
            "constraint": "\n".join(one for one in demands if one) or "(none)",
        }
        if not self.via_analysis:
            reply = await ask(Rewrite, {**common, "lessons": lessons, **constraint}, rollout=subject.attempt)
        else:
            found = await ask(Analyse, {**common, "lessons": lessons}, rollout=subject.attempt)
            if not found.get("analysis"):
                return ""
            question = {**common, "analysis": found["analysis"], **constraint}
            reply = await ask(RewriteFromAnalysis, question, rollout=subject.attempt)
        return str(reply.get("new_instruction") or "").strip()


@dataclass(frozen=True)
class Rewriter:
    """Asks the gradient model for new instructions; of a question that was `asked` before, for another answer."""

    session: Session
    propose: Propose
    screen: Screen
    asked: Counter[str] = field(default_factory=Counter)

    async def rewrites(
        self, names: Sequence[str], lessons: Mapping[str, Sequence[Lesson]], parent: Candidate
    ) -> dict[str, str]:
        """New instructions of some predictors: predictor's name -> text."""
        texts = await gather(lambda name: self.rewritten(name, lessons[name], parent), names)
        return dict(zip(names, texts, strict=True))

    async def rewritten(self, name: str, lessons: Sequence[Lesson], parent: Candidate) -> str:
        """A new instruction of one predictor; empty where the provider, or the model, had none."""
        text = await self._rewritten(name, lessons, parent)
        if text.strip() and any(one.gradient for one in lessons):
            old = self.screen.parameters.free(name, parent.instructions[name])
            self.session.notes[WANTED] += 1
            self.session.notes[AS_IT_WAS] += near_duplicate(text, [old]) is not None
        return text

    async def _rewritten(self, name: str, lessons: Sequence[Lesson], parent: Candidate) -> str:
        free = self.screen.parameters.free(name, parent.instructions[name])
        question = digest_of([name, free, render(lessons)])
        attempt = self.asked[question]
        self.asked[question] += 1
        failed = tuple(self.screen.failed.get(name, ())[-REMEMBERED:])
        subject = Subject(name, free, lessons, attempt, failed, self.screen.told(name, parent))
        text = await self._answer(subject, f"proposal {attempt} for {name}")
        screened = self._screened(subject, text, parent)
        # What is left of a text that told one example's story, without the quotation, is seldom a rule.
        why = screened.refusal or screened.cut
        if not why or not text.strip():
            return text
        demand = f"{subject.constraint}\nThe last text that you wrote was refused: {why}."
        again = replace(subject, constraint=demand)
        mended = await self._answer(again, f"proposal {attempt} for {name}, mended")
        is_worse = bool(self._screened(subject, mended, parent).refusal) and not screened.refusal
        return text if is_worse or not mended else mended

    def _screened(self, subject: Subject, text: str, parent: Candidate) -> Screened:
        """A text after the screen; where it holds what nobody asked for that is said aloud, mended or not."""
        screened = self.screen(subject.predictor, text, parent, sources(subject.lessons))
        if screened.injected:
            self.session.warn(f"a proposal for predictor {subject.predictor} was refused: {screened.refusal}")
        return screened

    async def _answer(self, subject: Subject, where: str) -> str:
        try:
            with self.session.asking(Purpose.PROPOSE, where=where, predictor=subject.predictor):
                text = await self.propose(subject)
        except LMError as error:
            self.session.asked[PROPOSALS].count(error)
            logger.warning("no proposal for predictor %s: %s", subject.predictor, error)
            return ""
        self.session.asked[PROPOSALS].count(None)
        return text


def render(lessons: Sequence[Lesson]) -> str:
    """The lessons of one predictor as text, one numbered block for each call."""
    return "\n\n".join(f"Lesson {number}\n{_block(one)}" for number, one in enumerate(_sample(lessons), start=1))


async def _told(subject: Subject) -> str:
    """What a proposal is made from: all lessons, or what many ask for together and some of them."""
    lessons = _sample(subject.lessons)
    statements = await reduce(remarks(lessons), subject.predictor) if len(lessons) > MOST_LESSONS else ()
    if not statements:
        return render(lessons)
    chosen = [one for number in _telling(statements, lessons) for one in lessons if one.example_id == number]
    blocks = [f"Lesson of example {one.example_id}\n{_block(one)}" for one in chosen[:MOST_LESSONS]]
    said = [f"{number}. {one.text} ({_sources(one)})" for number, one in enumerate(statements, start=1)]
    return "\n\n".join([f"What {len(lessons)} lessons ask for:\n" + "\n".join(said), *blocks])


def _telling(statements: Sequence[Statement], lessons: Sequence[Lesson]) -> list[int]:
    """The examples, such that the first ones stand behind as many statements as possible."""
    in_turn = itertools.zip_longest(*(one.example_ids for one in statements))
    numbers = [number for some in in_turn for number in some if number is not None]
    return list(dict.fromkeys([*numbers, *(one.example_id for one in lessons)]))


def _sources(statement: Statement) -> str:
    ids = statement.example_ids
    against = ", ".join(str(at + 1) for at in statement.contradicts)
    named = f"example{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"
    return f"{named}; contradicts {against}" if against else named


def _block(lesson: Lesson) -> str:
    failed = f"\n  FAILED: {_text(lesson.call.error)}" if lesson.call.error is not None else ""
    # A call that failed may have written some of its fields before.
    produced = ((_values(lesson.call.outputs) if lesson.call.outputs or not failed else "") + failed).lstrip("\n")
    block = f"Given:\n{_values(lesson.call.inputs)}\nProduced:\n{produced}"
    if lesson.gradient:
        block += f"\n{OUTPUT_HEADING}\n  {lesson.gradient}"
    own = lesson.gradient.own
    if own is not None and own.status == "change":
        block += f"\n{INSTRUCTION_HEADING}\n  {own.change}"
    return block


def _sample(lessons: Sequence[Lesson]) -> list[Lesson]:
    by_example: dict[int, list[Lesson]] = {}
    for lesson in lessons:
        by_example.setdefault(lesson.example_id, []).append(lesson)
    kept: list[Lesson] = []
    for calls in by_example.values():
        half = MOST_CALLS // 2
        kept += calls if len(calls) <= MOST_CALLS else [*calls[:half], *calls[-half:]]
    return kept


def _values(values: Mapping[str, Any]) -> str:
    return "\n".join(f"  {name}: {_text(value)}" for name, value in values.items()) or "  (nothing)"


def _text(value: Any) -> str:
    text, left_out = shown(value, LONGEST)
    count("left out", bool(left_out))
    return text


def _describe(subject: Subject) -> str:
    call = subject.lessons[0].call
    fields = {"reads": call.input_fields, "produces": call.output_fields}
    parts = [
        f"{verb} " + ", ".join(f"{one.name} ({one.description or one.type})" for one in declared)
        for verb, declared in fields.items()
    ]
    if call.demos:
        count = len(call.demos)
        parts.append(f"its prompt also shows {count} demonstration{'s' if count > 1 else ''}, which nobody may change")
    return f"{subject.predictor}: " + "; ".join(parts)
