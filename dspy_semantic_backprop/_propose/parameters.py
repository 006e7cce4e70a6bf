"""Which parts of a program's instructions may be rewritten.

What an instruction must keep (the tool list of a ReAct predictor, and what else DSPy writes into an instruction:
`protected`) is never shown to proposals as theirs to change, and is put back behind whatever they wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import dspy

from .._evaluate.candidate import canonical
from .protected import protected_texts

_A_LINE = 20
"""Shorter lines, in characters, may stand in a task and in a list of tools alike."""


@dataclass(frozen=True)
class Parameters:
    """Where a program's instructions are, and which parts of them may not change.

    Args:
        protected: Predictor's name -> the end of its instruction that must survive; only where there is one.
    """

    protected: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, program: dspy.Module) -> Parameters:
        """Find the protected text of a program's predictors."""
        names = {id(predictor): name for name, predictor in program.named_predictors()}
        protected: dict[str, str] = {}
        for predictor, written in protected_texts(program):
            name = names.get(id(predictor))
            now = canonical(predictor.signature.instructions)
            end = canonical(written)
            if name is not None and now:
                task = now.removesuffix(end).rstrip() if end and now.endswith(end) else ""
                protected[name] = now.removeprefix(task)
        return cls(protected)

    def free(self, predictor: str, instruction: str) -> str:
        """The part of an instruction that may be rewritten."""
        end = self.protected.get(predictor, "")
        return instruction.removesuffix(end).removesuffix(end.lstrip()).rstrip()

    def whole(self, predictor: str, text: str) -> str:
        """A rewritten part as the instruction it becomes, protected text put back, as DSPy will store it.

        What of the protected text the rewritten part repeats is left out: a model that was not asked for the tools
        often copies them, and of two lists nobody knows which one counts.
        """
        end = self.protected.get(predictor)
        if not end:
            return canonical(text)
        text = canonical(_without_copies(canonical(text), end))
        glue = "" if end[:1].isspace() or not text else "\n"
        return canonical(f"{text}{glue}{end}")


def _without_copies(text: str, end: str) -> str:
    """A text without what stands in protected text too: all of it, or lines of it."""
    copy = r"\s+".join(map(re.escape, end.split()))
    text = re.sub(rf"\s*{copy}\s*", "\n", text)
    said = {line.strip() for line in end.splitlines() if len(line.strip()) >= _A_LINE}
    return "\n".join(line for line in text.splitlines() if line.strip() not in said)
