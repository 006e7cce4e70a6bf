"""How the simulated model carries out a wanted change: it writes the value asked for over the wrong one."""

from __future__ import annotations

import re
from typing import Any

from dspy_semantic_backprop.testing import Prompt

from .phrases import unescaped

_ASKED = re.compile(r"should have given ([^\n;]+?), not ([^\n;]+?)(?:;|\.(?:\s|$))")
_NEW = "new_"


def asks_to_correct(prompt: Prompt) -> bool:
    """Whether a prompt shows an output with a wanted change, and asks for the output as it should have been."""
    return "wanted_change" in prompt.inputs and all(name.startswith(_NEW) for name in prompt.names)


def corrected(prompt: Prompt) -> dict[str, Any]:
    """The output fields as wanted; as they were where the change names no value."""
    before = prompt.inputs.get("step_output", "")
    values = {}
    for name in prompt.names:
        field = name.removeprefix(_NEW)
        value = re.search(rf"^{re.escape(field)}: (.*?)(?=^\w+: |\Z)", before, re.MULTILINE | re.DOTALL)
        text = value[1].strip() if value else before
        for match in _ASKED.finditer(unescaped(prompt.inputs["wanted_change"])):
            text = text.replace(match[2], match[1], 1)
        values[name] = text
    return values
