"""One answer explained: what every call wrote, and what it was told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dspy

from .._backward.gradient import TextGradient
from .._backward.sweep import sweep
from .._errors import told_to_callers
from .._evaluate.candidate import read
from .._evaluate.outcome import Scored, scored
from .._secrets.known import unsaid
from .._settings import Optimizer
from .._terminal import clean, displayed, printable, shown, wrapped
from .._values.text import printed

_MOST = 8
"""Lines of one text."""


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
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        score, example = self.outcome.score, self.outcome.example
        yield from _said(f"score {score:g}", self.outcome.feedback or "no feedback", 0)
        for name, value in example.inputs().items():
            yield from _said(f"input {name}", printed(value), 2)
        for name, value in example.labels().items():
            yield from _said(f"expected {name}", printed(value), 2)
        for call in reversed(self.outcome.graph.calls):
            gradient = self.gradients.get(call.id, TextGradient())
            yield clean(call.id)
            for name, value in call.outputs.items():
                yield from _said(f"wrote {name}", printed(value), 2)
            if call.error is not None:
                yield from _said("failed", call.error, 2)
            yield from _said("was told", str(gradient) or "nothing", 2)
            if gradient.own is not None and gradient.own.status == "change":
                yield from _said("should have been told", gradient.own.change, 2)

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON values: `score`, `feedback`, `graph`, `gradients`."""
        gradients = {name: gradient.to_dict() for name, gradient in self.gradients.items()}
        score, words = self.outcome.score, self.outcome.feedback
        graph = self.outcome.graph.to_dict()
        return unsaid({"score": score, "feedback": words, "graph": graph, "gradients": gradients})


def _said(who: str, text: str, indent: int) -> list[str]:
    """A text after what it is, in at most so many lines as leave room for the others."""
    return wrapped(f"{clean(who)}: {clean(text)}", "", _MOST, indent=indent)


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
