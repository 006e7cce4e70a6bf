"""What a proposed text must pass before it costs anything; each refusal says what to do instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .._evaluate.candidate import Candidate
from .duplicates import near_duplicate
from .leaks import LeakGuard
from .protected import Parameters
from .restraint import Restraint

_SHOWN = 80


@dataclass(frozen=True)
class Screened:
    """A proposed text after the screen.

    Args:
        text: The text, without what it quoted of examples; as proposed where it is refused.
        refusal: Why it is not used, in words that a language model can act on; "" if it is.
        known: Whether that is because it was tried before.
    """

    text: str
    refusal: str = ""
    known: bool = False


@dataclass
class Screen:
    """Screens the texts that a run proposes, and remembers what helped nothing.

    Args:
        parameters: Where the program's instructions are, and what DSPy writes into them.
        restraint: What an edit must respect.
        guard: Knows the examples; None lets quotations pass.

    Attributes:
        failed: Predictor -> the texts that were tried for it and helped nothing, oldest first.
        failures: Predictor -> how many of its edits in a row were refused or rejected.
    """

    parameters: Parameters
    restraint: Restraint = field(default_factory=Restraint)
    guard: LeakGuard | None = None
    failed: dict[str, list[str]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, parameters: Parameters, restraint: Restraint, examples: Sequence[Any], start: Candidate) -> Screen:
        """The screen of a run that starts with some instructions; no example may be quoted.

        Raises:
            SetupError: If a text that is to be protected stands nowhere.
        """
        restraint.check(start)
        return cls(parameters, restraint, None if restraint.leaks == "allow" else LeakGuard(examples, start))

    def __call__(self, predictor: str, text: str, parent: Candidate) -> Screened:
        """Screen a text for a predictor, without the part that DSPy writes, as an edit of a program."""
        if not text.strip():
            return Screened(text, "the proposal is empty")
        current = self.parameters.free(predictor, parent.instructions[predictor])
        if len(text) > self.restraint.longest:
            return Screened(text, self.restraint.violation(text, current, predictor))
        rest = self._without_leaks(text, current)
        if rest is None:
            return Screened(text, self._quotes(text, current))
        text = rest
        violation = self.restraint.violation(text, current, predictor, failures=self.failures[predictor])
        if violation:
            return Screened(text, violation)
        twin = near_duplicate(text, self.failed.get(predictor, ()))
        if twin is not None:
            said = f"it says the same as a text that was tried and helped nothing: {_brief(twin)}"
            return Screened(text, said, known=True)
        return Screened(text)

    def refused(self, predictor: str) -> None:
        """Count a text that was not used."""
        self.failures[predictor] += 1

    def rejected(self, predictor: str, instruction: str) -> None:
        """Remember an instruction that was tried and helped nothing."""
        self.failures[predictor] += 1
        self.failed.setdefault(predictor, []).append(self.parameters.free(predictor, instruction))

    def accepted(self, predictor: str) -> None:
        """An edit of the predictor was accepted: the next one is its first again."""
        self.failures[predictor] = 0

    def told(self, predictor: str, parent: Candidate) -> str:
        """What the proposing model is told to respect."""
        current = self.parameters.free(predictor, parent.instructions[predictor])
        return self.restraint.told(current, predictor, failures=self.failures[predictor])

    def penalty(self, parent: Candidate, candidate: Candidate, edits: Sequence[str]) -> float:
        """What a candidate loses for having grown, in metric points."""
        return sum(self.restraint.penalty(parent.instructions[one], candidate.instructions[one]) for one in edits)

    def _without_leaks(self, text: str, current: str) -> str | None:
        """The text without what it quotes; None where nothing is left or nothing may be left out."""
        if self.guard is None or self.restraint.leaks == "allow" or not self.guard.leaks(text, current):
            return text
        if self.restraint.leaks == "refuse":
            return None
        return self.guard.cleaned(text, current) or None

    def _quotes(self, text: str, current: str) -> str:
        assert self.guard is not None
        leak = self.guard.leaks(text, current)[0]
        quoted = _brief(text[leak.span[0] : leak.span[1]])
        return f"it quotes example {leak.example_id} ({leak.field}): {quoted}; write rules that hold for any example"


def _brief(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")
