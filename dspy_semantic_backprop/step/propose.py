"""Lessons and an instruction -> a better instruction, as typed questions to the optimizer's language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dspy

from ..backward.tally import note
from ..backward.text import shown
from ..lm import ask
from .lessons import Lesson

MOST_CALLS = 8
"""The most calls of one example that a proposal is shown; of a longer loop, the first and the last ones."""

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
    constraint: str = dspy.InputField(desc="what the new instruction must respect")
    new_instruction: str = dspy.OutputField(desc="the full text of the new instruction, and nothing else")


@dataclass(frozen=True)
class Subject:
    """The predictor that a proposal is for.

    Args:
        predictor: Its name.
        instruction: The part of its current instruction that may change.
        lessons: What its calls teach.
        attempt: How many proposals this run asked for before: a repeated question gets a fresh answer.
    """

    predictor: str
    instruction: str
    lessons: Sequence[Lesson]
    attempt: int = 0


class Propose(Protocol):
    """Turns lessons into a new instruction."""

    async def __call__(self, subject: Subject, /) -> str:
        """Return the new instruction; empty where the model had none."""
        ...


class Proposer:
    """Asks for a new instruction, in one question or in two.

    Args:
        via_analysis: First ask what is wrong, then for the rewrite (the published `--opt_via_feedback`).
        short: Ask for a short instruction (the published `--short_prompt`).
    """

    def __init__(self, *, via_analysis: bool = False, short: bool = False) -> None:
        self.via_analysis = via_analysis
        self.short = short

    async def __call__(self, subject: Subject, /) -> str:
        """Ask for the new instruction of one predictor.

        Raises:
            LMError: What the provider refused to answer after all retries.
        """
        common = {
            "step": _describe(subject),
            "current_instruction": subject.instruction,
        }
        lessons = render(subject.lessons)
        constraint = {"constraint": "At most three sentences." if self.short else "No constraint on its length."}
        if not self.via_analysis:
            reply = await ask(Rewrite, {**common, "lessons": lessons, **constraint}, rollout=subject.attempt)
        else:
            found = await ask(Analyse, {**common, "lessons": lessons}, rollout=subject.attempt)
            if not found.get("analysis"):
                return ""
            question = {**common, "analysis": found["analysis"], **constraint}
            reply = await ask(RewriteFromAnalysis, question, rollout=subject.attempt)
        return str(reply.get("new_instruction") or "").strip()


def render(lessons: Sequence[Lesson]) -> str:
    """Lessons as the text that a proposal is made from.

    Args:
        lessons: The lessons of one predictor.

    Returns:
        One numbered block for each call.
    """
    blocks = []
    for number, lesson in enumerate(_sample(lessons), start=1):
        failed = f"\n  FAILED: {_text(lesson.call.error)}" if lesson.call.error is not None else ""
        # A call that failed may have written some of its fields before.
        produced = (_values(lesson.call.outputs) if lesson.call.outputs or not failed else "") + failed
        produced = produced.lstrip("\n")
        block = f"Lesson {number}\nGiven:\n{_values(lesson.call.inputs)}\nProduced:\n{produced}"
        if lesson.gradient:
            block += f"\nHow the output should have been different:\n  {lesson.gradient}"
        own = lesson.gradient.own
        if own is not None and own.status == "change":
            block += f"\nHow the instruction should have been different:\n  {own.change}"
        blocks.append(block)
    return "\n\n".join(blocks)


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
    note("left out", bool(left_out))
    return text


def _describe(subject: Subject) -> str:
    call = subject.lessons[0].call
    fields = {"reads": call.input_fields, "produces": call.output_fields}
    parts = [
        f"{verb} " + ", ".join(f"{one.name} ({one.description or one.type})" for one in declared)
        for verb, declared in fields.items()
    ]
    return f"{subject.predictor}: " + "; ".join(parts)
