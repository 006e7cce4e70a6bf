"""What the simulated model takes from the fields of a prompt: the question, the lessons, the answers expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dspy_semantic_backprop.testing import Prompt

from .guesses import subjects_of
from .phrases import ANSWERED, CARRIED, EXPECTED, LOOSE, unescaped

EDGES = " .\"'`"
REASONS = re.compile(r"reasoning|rationale|thought|^plan$|scratch")
_QUESTION = re.compile(r"question|query|problem|task|input")
_GOLD = re.compile(r"oracle|gold|label|expected|target|reference")
_IMMATERIAL = re.compile(r"^step$|constraint|limit|code|modules_defn|oracle|^rejected|^reader_instruction$")


def result_names(prompt: Prompt) -> list[str]:
    """The output fields that are no reasoning."""
    return [name for name in prompt.names if not REASONS.search(name)]


def question_of(prompt: Prompt) -> str:
    """The inputs that pose the task: a question by name, else all that are no results of other steps."""
    for name, text in prompt.inputs.items():
        if _QUESTION.fullmatch(name):
            return unescaped(text)
    own = {name: unescaped(text) for name, text in prompt.inputs.items()}
    asked = {name: text for name, text in own.items() if not CARRIED.search(text)}
    # A step that is told what to judge by judges by that, whatever else it is shown.
    if len(asked) == len(own) and "statement" in own and (told := subjects_of(prompt.instruction)):
        asked = {name: text for name, text in asked.items() if name == "statement" or name in told}
    return "\n".join(f"{name}: {text}" for name, text in asked.items())


def extracted(prompt: Prompt) -> dict[str, Any]:
    """The fields of a reply that a first request wrote as "name: value" paragraphs."""
    pieces = re.split(rf"^({'|'.join(prompt.names)}): ", prompt.inputs["text"], flags=re.MULTILINE)
    return dict(zip(pieces[1::2], map(str.strip, pieces[2::2]), strict=True))


def examples_in(text: str, gold: str) -> Iterator[tuple[str, str]]:
    """The stretches of a text that end in an expected answer, with that answer."""
    begin = 0
    for match in EXPECTED.finditer(text):
        end = re.compile(r"[\n\"]").search(text, match.end())
        yield text[begin : end.start() if end else len(text)], match[1].strip(EDGES)
        begin = end.start() if end else len(text)
    if not begin and gold:
        yield text, gold


def said_in(text: str) -> str:
    """The value that an output carries; its text where it says none in known words."""
    match = CARRIED.search(text) or LOOSE.search(text) or ANSWERED.search(text)
    return (match[1] if match else text).strip()


def material_of(prompt: Prompt) -> str:
    """The inputs that a lesson can be drawn from: not the instruction, nor the demands on the new one."""
    current = current_of(prompt)
    inputs = prompt.inputs.items()
    return "\n".join(text for name, text in inputs if text != current and not _IMMATERIAL.search(name))


def current_of(prompt: Prompt) -> str:
    """The instruction that is to be improved; of several attempts the last one."""
    for part in ("current", "basic", "instruction", "source"):
        for name, text in prompt.inputs.items():
            if part in name and not re.search(r"previous|additional|attempted|reader", name):
                return text
    attempts = re.findall(r"Instruction #\d+: (.+)", unescaped(prompt.inputs.get("attempted_instructions", "")))
    return attempts[-1].strip(" '\"\u00bb\u00ab,]") if attempts else ""


def gold_of(prompt: Prompt) -> str:
    """The label that a field such as SIMBA's oracle_metadata shows, plain or the first value in JSON."""
    text = next((text for name, text in prompt.inputs.items() if _GOLD.search(name)), "").strip()
    value = re.match(r"\{\s*\"\w+\": \"?([^\n\"]*)", text)
    return value[1].strip(" ,}") if value else text[:2000]
