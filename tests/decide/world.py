"""Candidates whose scores are known beforehand: decisions are tried without any program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import dspy

from dspy_semantic_backprop._decide.consider import Selection
from dspy_semantic_backprop._decide.gate import Gate, confident
from dspy_semantic_backprop._decide.pool import Entry, Pool
from dspy_semantic_backprop._evaluate.candidate import Candidate
from dspy_semantic_backprop._evaluate.outcome import Scored
from dspy_semantic_backprop._propose.protected import Parameters
from dspy_semantic_backprop._propose.screen import Screen

Score = Callable[[dict[str, str], int], float]
START = Candidate({"a": "plain", "b": "plain", "c": "plain"})


class World:
    """A run whose programs score what a function of their instructions and the example says.

    Attributes:
        executions: Candidate's edits -> how many examples it was run on.
    """

    def __init__(self, score: Score, size: int = 40, gate: Gate = confident, screen: Any = None) -> None:
        self.score = score
        self.executions: Counter[tuple[str, ...]] = Counter()
        self.pool = Pool(START, self._evaluate)
        self.ids = list(range(size))
        self.selection = Selection(screen or Screen(Parameters()), gate, self.pool, self.ids)

    async def _evaluate(self, entry: Entry, parent: Entry, ids: Sequence[int]) -> list[Scored]:
        edits = tuple(f"{name}={text}" for name, text in entry.candidate.instructions.items() if text != "plain")
        self.executions[edits] += len(ids)
        nothing: Any = None
        instructions = dict(entry.candidate.instructions)
        return [Scored(at, dspy.Example(), self.score(instructions, at), None, nothing, nothing) for at in ids]
