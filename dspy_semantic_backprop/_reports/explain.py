"""One answer, explained: what every call wrote, and what it was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._backward.gradient import TextGradient
from .._evaluate.outcome import Scored


@dataclass(frozen=True)
class Explanation:
    """How one answer came about, and how it should have been different.

    Args:
        outcome: The scored example with its graph.
        gradients: Call id -> what its readers say.
    """

    outcome: Scored
    gradients: Mapping[str, TextGradient]

    def __str__(self) -> str:
        lines = [f"score {self.outcome.score:g}: {self.outcome.feedback or 'no feedback'}"]
        for call in reversed(self.outcome.graph.calls):
            outputs = "; ".join(f"{name}: {value}" for name, value in call.outputs.items()) or call.error
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
