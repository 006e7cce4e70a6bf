"""What a request asks: fields in and out of DSPy's chat and JSON formats, or free text, and how to reply to each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIELDS = re.compile(
    r"Your input fields are:\n(.*?)\nYour output fields are:\n(.*?)\nAll interactions will be", re.DOTALL
)
ONE = re.compile(r"^\d+\. `(\w+)` \((.*?)\):[ ]?(.*)$", re.MULTILINE)
SECTION = re.compile(r"^\[\[ ## (\w+) ## \]\]\s*$", re.MULTILINE)
OBJECTIVE = "your objective is:"
CLOSING = "\n\nRespond with "


@dataclass(frozen=True)
class Request:
    """A request, taken apart.

    Args:
        instruction: What the model is told to do.
        inputs: Input field -> description.
        outputs: Output field -> description; empty for a free text.
        values: Input field -> what stands in it; the whole text under "" for a free text.
        as_json: Whether a JSON object is asked for.
    """

    instruction: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    values: Mapping[str, str]
    as_json: bool = False


def parse(messages: list[dict[str, Any]]) -> Request:
    """Take a request apart."""
    texts = [(message["role"], _text(message.get("content"))) for message in messages]
    system = "\n".join(text for role, text in texts if role == "system")
    found = FIELDS.search(system)
    if not found:
        return Request("", {}, {}, {"": "\n".join(text for _, text in texts)})
    fields = [{name: said for name, _, said in ONE.findall(part)} for part in found.groups()]
    told = system.partition(OBJECTIVE)[2]
    instruction = "\n".join(line.removeprefix("        ") for line in told.splitlines()).strip()
    user = next(text for role, text in reversed(texts) if role == "user")
    asked_for, closed, _ = user.rpartition(CLOSING)
    pieces = SECTION.split(asked_for if closed else user)
    values = {name: value.strip() for name, value in zip(pieces[1::2], pieces[2::2], strict=True)}
    return Request(instruction, fields[0], fields[1], values, "Outputs will be a JSON object" in system)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return content or ""


def reply(request: Request, answers: Mapping[str, str]) -> str:
    """The answers in the format that was asked for; a free text between fences."""
    if not request.outputs:
        return f"```\n{answers['']}\n```"
    if request.as_json:
        return json.dumps(dict(answers))
    sections = [f"[[ ## {name} ## ]]\n{text}" for name, text in answers.items()]
    return "\n\n".join([*sections, "[[ ## completed ## ]]"])
