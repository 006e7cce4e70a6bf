"""Language models that answer by a rule, behind the real client and a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import dspy

from dspy_semantic_backprop.testing import Faults, Prompt, SimulatedServer

Rule = Callable[[Prompt], dict[str, Any] | str]


_numbers = count()


def number_from_the_start() -> None:
    """Let the servers of a test have the names that they had the last time."""
    global _numbers
    _numbers = count()


@contextmanager
def served(rule: Rule, *, faults: Faults | None = None, latency: float = 0.0, **lm: Any) -> Iterator[SimulatedServer]:
    """Serve a rule and make it DSPy's language model; the server counts what really arrived."""
    settings = {"cache": False, "num_retries": 8, **lm}
    # Which requests a fault strikes depends on all that they say, the model's name too.
    name = f"simulated-{next(_numbers)}"
    with (
        SimulatedServer(rule, faults=faults or Faults(), latency=latency, model=name) as server,
        dspy.context(lm=server.lm(**settings)),
    ):
        yield server


def careful(prompt: Prompt) -> dict[str, Any]:
    """Right where every step was told to be careful; proposals add just that, gradients ask for it.

    A step passes on whether it was careful, and whether all that it read was.
    """
    answers: dict[str, Any] = {}
    told = "careful" in prompt.instruction.lower()
    clean = told and not any("sloppy" in text for text in prompt.inputs.values())
    for name in prompt.names:
        if name.startswith("change_"):
            output = prompt.inputs.get(name.replace("change_", "output_"))
            wrong = "sloppy" in output if output is not None else "careful" not in prompt.inputs["reader_instruction"]
            answers[name] = f"{name} should be careful" if wrong else "No change needed."
        elif name.startswith(("severity_", "quote_")):
            answers[name] = ""
        elif name == "new_instruction":
            now = prompt.inputs["current_instruction"]
            material = prompt.inputs.get("lessons") or prompt.inputs.get("analysis", "")
            asked = "careful" in material or "expected" in material
            answers[name] = f"{now}\nBe careful." if asked and "careful" not in now.lower() else now
        elif name == "next_tool_name":
            answers[name] = "finish"
        elif name == "next_tool_args":
            answers[name] = {}
        else:
            answers[name] = f"careful {name}" if clean else f"sloppy {name}"
    return answers


def right(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    """Whether the answer is the expected one."""
    return prediction.answer == example.answer


def questions(count: int) -> list[dspy.Example]:
    """Examples whose right answer is the one of a careful program."""
    return [
        dspy.Example(question=f"What follows from statement number {number}?", answer="careful answer").with_inputs(
            "question"
        )
        for number in range(count)
    ]
