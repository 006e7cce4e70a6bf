"""One answer explained: what every call wrote, and what it was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dspy

from .._backward.gradient import TextGradient
from .._backward.sweep import sweep
from .._errors import told_to_callers
from .._evaluate.candidate import read
from .._evaluate.outcome import Scored, scored
from .._settings import Optimizer
from .._terminal import displayed, printable, shown
from .._values.text import printed


@displayed
@shown
@dataclass(frozen=True)
class Explanation:
    """How one answer came about, and how it should have been different.

    Args:
        outcome: The scored example with its graph.
        gradients: Call id -> what its readers say.
    """

    outcome: Scored
    gradients: Mapping[str, TextGradient]

    @printable
    def __str__(self) -> str:
        lines = [f"score {self.outcome.score:g}: {self.outcome.feedback or 'no feedback'}"]
        for call in reversed(self.outcome.graph.calls):
            outputs = "; ".join(f"{name}: {printed(value)}" for name, value in call.outputs.items()) or call.error
            gradient = self.gradients.get(call.id, TextGradient())
            lines.append(f"{call.id}\n  wrote   {outputs}\n  told    {gradient or 'nothing'}")
            if gradient.own is not None and gradient.own.status == "change":
                lines.append(f"  should have been told    {gradient.own.change}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON values: `score`, `feedback`, `graph`, `gradients`."""
        gradients = {name: gradient.to_dict() for name, gradient in self.gradients.items()}
        score, words = self.outcome.score, self.outcome.feedback
        return {"score": score, "feedback": words, "graph": self.outcome.graph.to_dict(), "gradients": gradients}


async def aexplain(optimizer: Optimizer, program: dspy.Module, example: dspy.Example) -> Explanation:
    """Run a program on one example and send the metric's feedback back through its graph.

    Args:
        optimizer: Whose settings are used.
        program: The program; it is not changed.
        example: An example with inputs and labels.

    Returns:
        The score, the feedback, the graph and every call's gradient.

    Raises:
        SetupError: If the arguments cannot work; nothing was spent.
        SemanticBackpropError: As `adiagnose` says.
    """
    settings = optimizer.settings
    settings.check(program, example=[example])
    with told_to_callers():
        session, start = settings.session(), read(program)
        student = settings.student(program, session)
        outcomes = scored(await student.evaluate("explain", [example], start))
        proved = await student.prove(outcomes, start)
        _, sweeps = await sweep(session, proved, settings.method, seed=settings.seed, where="explain")
        return Explanation(proved[0], sweeps[0] if sweeps else {})
