"""What the simulated model makes of a prompt that tells it too little: it describes data, and it guesses.

Why: some optimizers write instructions from examples with their labels alone (MIPROv2) or from nothing but the
instructions tried before (COPRO). A model for comparisons must read these prompts as well as it reads feedback.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from .tasks import CUES, FORMS, LONGEST, Kind, Skill, parse_options

HARMLESS = ("Read everything carefully.", "Take your time.", "Work with great care.", "Be precise.")
PLAIN = "Questions with short answers that follow from what is given."

_EXAMPLE = re.compile(r"Example\((\{.*?\})\) \(input_keys=\{(.*?)\}\)", re.DOTALL)
_SUBJECTS = {
    "statement": r"\bown words|wording",
    "job_title": r"\bjob|occupation",
    "state": r"\bstate\b",
    "party": r"\bpart(?:y|ies)\b",
    "source": r"\bplace\b|\bsource|\boccasion",
    "audience": r"\baudience",
    "timing": r"\btiming",
    "proof": r"\bproof",
    "history": r"\bhistory",
    "tone": r"\btone\b",
}


def guess(question: str, point: float) -> tuple[str, Kind]:
    """Something plausible for a question of no known kind, and its kind.

    Arguments:
        question: any text.
        point: chooses among what is plausible, 0 to 1.
    """
    question = question[:LONGEST]
    if options := list(parse_options(question)):
        return f"({options[int(point * len(options))]})", "option"
    numbers = [int(number) for number in re.findall(r"\d{1,15}", question)[:9]]
    if len(numbers) > 1 and re.search(r"how (?:many|much|far|long|old)|what is|=|total", question, re.I):
        results = [sum(numbers), numbers[0] * numbers[1], abs(2 * numbers[0] - sum(numbers)), max(numbers)]
        return str(results[int(point * len(results))]), "number"
    for pair in (("valid", "invalid"), ("yes", "no"), ("True", "False")):
        if all(re.search(rf"\b{word}\b", question, re.IGNORECASE) for word in pair):
            return pair[int(point * 2)], "word"
    if re.search(r"(?:^|[.:\n] ?)(?:is|are|does|do|did|can|has|have|will)\b[^.?]{0,500}\?", question, re.I):
        return ("Yes", "No")[int(point * 2)], "word"
    return " ".join(re.findall(r"\w+", question[:2000])[-3:]) or "nothing", "text"


def guesses(current: str) -> list[str]:
    """Sentences that one may try to add who knows nothing but the instruction; most of them change nothing.

    Arguments:
        current: the instruction.
    """
    subjects = subjects_of(current)
    cues = [CUES[name].sentence for name in _SUBJECTS if name in subjects]
    return [*HARMLESS, FORMS["text"].sentence, *cues]


def subjects_of(instruction: str) -> set[str]:
    """The attributes of a statement that an instruction speaks of.

    Arguments:
        instruction: any text.
    """
    return {name for name, words in _SUBJECTS.items() if re.search(words, instruction, re.IGNORECASE)}


def fitting_first(skills: Sequence[Skill], current: str) -> list[Skill]:
    """The skills in their order, those that are about another step's subject than the instruction's last.

    Arguments:
        skills: what is to be taught.
        current: the instruction.
    """
    subjects = subjects_of(current)
    elsewhere = {skill for name, skill in CUES.items() if name not in subjects} if subjects else set()
    return sorted(skills, key=lambda skill: skill in elsewhere)


def labelled(text: str) -> Iterator[tuple[str, str]]:
    """The examples of a data set as DSPy prints them: the inputs as lines, and the label.

    Arguments:
        text: a list of examples, written out.
    """
    for match in _EXAMPLE.finditer(text):
        try:
            fields = ast.literal_eval(match[1])
        except (ValueError, SyntaxError):
            continue
        inputs = [name for name in fields if f"'{name}'" in match[2]]
        labels = [str(value) for name, value in fields.items() if name not in inputs]
        if labels:
            yield "\n".join(f"{name}: {fields[name]}" for name in inputs), labels[0]
