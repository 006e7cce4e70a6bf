"""The cheapest edits that there are: what a program gains from these was there for the taking, without any example."""

from __future__ import annotations

from typing import Any

import dspy

from ..._session.lm import ask

THINK = "Think step by step, and check your answer before you give it."
"""What the most common advice says."""


class Reword(dspy.Signature):
    """Rewrite the instruction of one step of a larger program so that it is clearer and more complete.

    You see no examples. Keep everything that it asks for. The step gets the same inputs and must produce the same
    fields as before."""

    step: str = dspy.InputField(desc="the step: its name, inputs and outputs")
    current_instruction: str = dspy.InputField()
    new_instruction: str = dspy.OutputField(desc="the full text of the new instruction, and nothing else")


async def reword(predictor: str, signature: Any, instruction: str) -> str:
    """Ask for a clearer instruction, with nothing to go by but the instruction itself.

    Args:
        predictor: The step's name.
        signature: Its `dspy.Signature`.
        instruction: The part of its instruction that may change.

    Returns:
        The new text; empty where the model had none.

    Raises:
        LMError: What the provider refused to answer after all retries.
    """
    step = f"{predictor}: reads {', '.join(signature.input_fields)}; produces {', '.join(signature.output_fields)}"
    reply = await ask(Reword, {"step": step, "current_instruction": instruction})
    return str(reply.get("new_instruction") or "").strip()
