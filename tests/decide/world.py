"""Candidates whose scores are known beforehand: decisions are tried without any program."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import dspy

from dspy_semantic_backprop import Gated, Pooled, wrong
from dspy_semantic_backprop._decide.consider import Decision
from dspy_semantic_backprop._decide.gate import Gate, confident
from dspy_semantic_backprop._decide.pool import Entry, Pool
from dspy_semantic_backprop._decide.pooled import PooledSearch
from dspy_semantic_backprop._decide.search import Material
from dspy_semantic_backprop._decide.split import Split
from dspy_semantic_backprop._evaluate.candidate import Candidate
from dspy_semantic_backprop._evaluate.outcome import Scored
from dspy_semantic_backprop._propose.protected import Parameters
from dspy_semantic_backprop._propose.screen import Screen
from dspy_semantic_backprop._session.session import Session

Score = Callable[[dict[str, str], int], float]
START = Candidate({"a": "plain", "b": "plain", "c": "plain"})


def student() -> Any:
    """What a search asks of a student: what surrounds the run."""
    return SimpleNamespace(session=Session.open())


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
        self.screen = screen or Screen(Parameters())
        self.material = Material(
            student=student(),
            split=Split(False, tuple(self.ids), tuple(self.ids)),
            pool=self.pool,
            train=self.pool,
            examples=[dspy.Example()] * size,
            screen=self.screen,
            choose=wrong(2),
            downstream=False,
            rng=random.Random(0),
        )
        self.gated = Gated(gate, commit=None).begin(self.material)

    async def consider(self, step: int, proposals: Sequence[Mapping[str, str]], parent: Candidate) -> Decision:
        """The gated search's decision on proposals that were made from nothing."""
        return await self.gated.consider(step, [(texts, ()) for texts in proposals], parent)

    def pooled(self, search: Pooled | None = None) -> PooledSearch:
        """A pooled search in this world."""
        return (search or Pooled()).begin(self.material)

    async def _evaluate(self, entry: Entry, parent: Entry, ids: Sequence[int]) -> list[Scored]:
        edits = tuple(f"{name}={text}" for name, text in entry.candidate.instructions.items() if text != "plain")
        self.executions[edits] += len(ids)
        nothing: Any = None
        instructions = dict(entry.candidate.instructions)
        return [Scored(at, dspy.Example(), self.score(instructions, at), None, nothing, nothing) for at in ids]
