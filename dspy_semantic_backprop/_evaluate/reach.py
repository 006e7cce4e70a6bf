"""Whether an edit reaches a prompt: what no language model is told can neither help nor be learned from.

A run edits the predictors of a copy of the program. A tool or a `forward` that closes over the program it was made in
calls that program's predictors; code may set an instruction itself, or hand a signature over with the call; a cache of
the program's own answers without a call. All of it is seen in the record of the first execution of an edit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._graph.record.names import is_unnamed
from .._graph.trace import Call, Trace
from .candidate import Candidate, canonical

_TRIES = 3
"""In so many first executions without a call of it a predictor is looked for."""

OTHER = (
    "it is called as part of another program than the copy that is edited: a tool, a closure or a `forward` keeps the "
    "program that it was made in"
)
PASSED = "its calls are given a signature of their own"
SET = "the program sets its instruction itself when it runs"
LEFT_OUT = "the adapter leaves it out of the prompt"
KEPT = (
    "the program made no call on an example on which it had made some before: it answers from what it kept, as a "
    "cache of its own, a global or a file does, and no edit shows there; empty or disable that for the run"
)


@dataclass
class Reach:
    """What is known of which predictors' edits reach a prompt.

    Attributes:
        reached: The predictors whose edited instruction was in a prompt.
        unreached: Predictor -> why its edited instruction was in none.
        partly: Predictor -> why it was not in the prompts of some of its calls.
    """

    reached: set[str] = field(default_factory=set)
    unreached: dict[str, str] = field(default_factory=dict)
    partly: dict[str, str] = field(default_factory=dict)
    _tries: Counter[str] = field(default_factory=Counter)

    def is_open(self, edits: Sequence[str]) -> bool:
        """Whether an execution could tell something new about some edited predictors."""
        known = {*self.reached, *self.unreached}
        return any(name not in known and self._tries[name] < _TRIES for name in edits)

    def is_inert(self, edits: Sequence[str]) -> bool:
        """Whether none of some edited predictors' instructions reaches a prompt."""
        return bool(edits) and all(name in self.unreached for name in edits)

    def shows(self, call: Mapping[str, Any], candidate: Candidate, edits: Sequence[str]) -> bool:
        """Whether a call that is told its instruction shows that some edit reaches a prompt; `call`: see `capture`."""
        name = call["predictor"]
        texts = [candidate.instructions[one] for one in edits if one == name or is_unnamed(name)]
        return any(_squeezed(text) in _squeezed(call["instruction"]) for text in texts)

    def look(self, trace: Trace, candidate: Candidate, parent: Candidate, edits: Sequence[str], kept: bool) -> None:
        """Look for the edited instructions in an execution of a candidate; `kept`: one that made none of its calls."""
        for name in edits:
            if name in self.reached or name in self.unreached:
                continue
            if kept:
                self.unreached[name] = KEPT
                continue
            calls = [call for call in trace.calls if call.predictor == name]
            reasons = [_missed(call, candidate.instructions[name]) for call in calls]
            unnamed = [call for call in trace.calls if is_unnamed(call.predictor)]
            made = any(not _missed(call, candidate.instructions[name]) for call in unnamed)
            if "" in reasons or made:
                self.reached.add(name)
                if any(reasons):
                    self.partly[name] = next(filter(None, reasons))
            elif reasons:
                self.unreached[name] = reasons[0]
            elif any(canonical(call.instruction) == parent.instructions[name] for call in unnamed):
                self.unreached[name] = OTHER
            else:
                self._tries[name] += 1


def _missed(call: Call, instruction: str) -> str:
    """Why an instruction was not in the prompt of a call; empty where it was."""
    if _squeezed(instruction) in _squeezed(call.instruction):
        return LEFT_OUT if call.told is False else ""
    if call.resigned:
        return PASSED
    return SET if call.own else OTHER


def _squeezed(text: str) -> str:
    return "".join(text.split())
