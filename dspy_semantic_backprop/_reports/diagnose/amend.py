"""The output that a call should have given, by its gradient: what a check of the blame puts in its place.

Why the call's inputs are shown: an amended output has to be one that the step could have given, so it may
say no more about the rest of the program than the gradient does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from ..._backward.gradient import TextGradient
from ..._backward.text import shown
from ..._graph.trace import Call
from ..._session.lm import ask

LONGEST = 2000
"""The most tokens of one text that the question shows; of a longer one, the beginning and the end."""

_QUESTION = """\
A step of a program was given an instruction and inputs, and produced an output. wanted_change says how the \
output should have been different. Write the output that the step should have produced instead: of the same \
kind, length and format as the one it did produce, with everything in it that need not change, and with the \
wanted change carried out. Write the output itself, as the step would; do not write about it, and do not \
mention the wanted change."""


async def amend(call: Call, gradient: TextGradient, fields: Sequence[str]) -> dict[str, Any]:
    """Ask for the output that a call should have given.

    Args:
        call: The call.
        gradient: What its readers say of its outputs.
        fields: The output fields to write anew.

    Returns:
        Output field -> its new value, of the declared type; empty where no usable answer came, or where
        it is the same as before.

    Raises:
        LMError: What the provider refused to answer after all retries.
    """
    texts = {
        "step_instruction": call.instruction,
        "step_inputs": call.inputs,
        "step_output": call.outputs if call.error is None else f"(none: {call.error})",
        "wanted_change": str(gradient),
    }
    reply = await ask(_signature(call, fields), {name: shown(text, LONGEST)[0] for name, text in texts.items()})
    values = {name: reply.get(f"new_{name}") for name in fields}
    if any(value is None for value in values.values()) or _as_before(call, values):
        return {}
    return values


def _as_before(call: Call, values: Mapping[str, Any]) -> bool:
    return call.error is None and all(call.outputs.get(name) == value for name, value in values.items())


def _signature(call: Call, fields: Sequence[str]) -> Any:
    described = {field.name: field.description for field in call.output_fields}
    declared: dict[str, Any] = {
        "step_instruction": (str, dspy.InputField(desc="what the step was told to do")),
        "step_inputs": (str, dspy.InputField(desc="what it was given")),
        "step_output": (str, dspy.InputField(desc="what it produced")),
        "wanted_change": (str, dspy.InputField(desc="how that should have been different")),
    }
    for name in fields:
        about = f"the {name} that the step should have produced"
        description = f"{about} ({described[name]})" if described.get(name) else about
        declared[f"new_{name}"] = (call.annotations.get(name, str), dspy.OutputField(desc=description))
    return dspy.make_signature(declared, _QUESTION, "Amend")
