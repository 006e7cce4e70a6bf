"""A method and its placebos side by side: one code path, one budget, and examples that none of them has seen.

Why: a search that tries many rewrites gains something whatever the feedback says. What the graph and the gradients
are worth is only what is gained beyond a search that is told nothing, or something false.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dspy

from ..._backward.cache import GradientCache
from ..._decide.comparison import Comparison, Pair
from ..._decide.final import planned
from ..._decide.pool import Pool
from ..._decide.split import repeated_in
from ..._evaluate.outcome import Outcome, mean, scored
from ..._propose.candidate import Candidate, clone, read
from ..._session.budget import Budget, Purpose, Spent
from ..._session.lm import never_cached
from ..._session.projection import measured
from ..._session.run import Run, Settings, check_runs
from ...presets import Method
from ..records import paired
from .record import Arm, Placebo

logger = logging.getLogger("dspy_semantic_backprop")

LONGER = 4
"""How many times the optimizer's steps an arm may make: cheap ones make more of the same budget."""
Compile = Callable[[Any, dspy.Module], Awaitable[Any]]
"""Optimises a program with an optimizer's settings; gives back a program with its `detailed_results`."""


class Placebos(Run):
    """One comparison. The run is that of the held-out evaluations, which no budget bounds.

    Args:
        settings: The optimizer's.
        program: The program; it is not changed.
        trainset: The examples to learn from.
        valset: The examples to decide on; None for the trainset.
        testset: The held-out examples.
    """

    def __init__(
        self,
        settings: Settings,
        program: dspy.Module,
        trainset: Sequence[dspy.Example],
        valset: Sequence[dspy.Example] | None,
        testset: Sequence[dspy.Example],
    ) -> None:
        super().__init__(settings, program, budget=Budget())
        self.testset = testset
        _, self.projection = planned(settings, program, trainset, valset)
        self.start = read(program)
        self.pool = Pool(self.start, self._evaluate)
        self.ids = range(len(testset))
        for name, examples in (("trainset", trainset), ("valset", valset or ())):
            if repeated := repeated_in(testset, examples):
                self.warn(f"{repeated} of {len(testset)} held-out examples are in the {name} too: scores will flatter")

    async def compare(self, methods: Sequence[Method], seeds: Sequence[int], compiled: Compile) -> Placebo:
        """Run every method with every seed, and compare what they return.

        Args:
            methods: The optimizer's own first.
            seeds: The seeds.
            compiled: Makes a run.

        Raises:
            SemanticBackpropError: As a run does.
        """
        seconds = self.ledger.seconds
        check_runs(await self.pool.outcomes(self.start, self.ids))
        budget = self._budget(self.ledger.seconds - seconds)
        self._tell(budget, len(methods) * len(seeds))
        found: dict[str, list[tuple[Candidate, Spent]]] = {method.name: [] for method in methods}
        for seed in seeds:
            for method in methods:
                better = await self._run(method, seed, budget, compiled)
                candidate = read(better)
                self.pool.add(candidate, self.start, 0)
                await self.pool.outcomes(candidate, self.ids)
                found[method.name].append((candidate, better.detailed_results.total))
        own = methods[0].name
        return Placebo(
            examples=len(self.testset),
            score=mean(list(self.pool[self.start].outcomes.values())),
            seeds=tuple(seeds),
            budget={name: most for name, most in asdict(budget).items() if isinstance(most, (int, float))},
            arms=tuple(self._arm(method.name, found, own) for method in methods),
            spent=self.ledger.by_purpose,
            seconds=self.ledger.seconds,
            warnings=tuple(self.warnings),
        )

    async def _run(self, method: Method, seed: int, budget: Budget, compiled: Compile) -> Any:
        # What one arm has asked would be free for the next one, which were no equal budget.
        arm: Any = copy.copy(self.settings)
        arm.method, arm.seed, arm.budget, arm.auto = method, seed, budget, None
        arm.steps = LONGER * arm.steps
        arm.gradient_lm, arm.gradient_cache = never_cached(arm.gradient_lm), GradientCache(None)
        arm.log_dir = None if arm.log_dir is None else Path(arm.log_dir) / f"{method.name}-{seed}"
        with dspy.context(lm=never_cached(dspy.settings.lm)):
            return await compiled(arm, _uncached(self.student))

    def _budget(self, seconds: float) -> Budget:
        """The optimizer's budget; where it has none, the calls that its run is projected to take."""
        if self.settings.budget is not None:
            return self.settings.budget
        spent = self.ledger.by_purpose.get(Purpose.HELDOUT, Spent())
        return Budget(calls=measured(self.projection, len(self.testset), spent, seconds).calls)

    def _tell(self, budget: Budget, runs: int) -> None:
        spent = self.ledger.by_purpose.get(Purpose.HELDOUT, Spent())
        each = max(spent.calls + spent.cached, len(self.testset))
        calls = f"{runs * budget.calls:,} calls" if budget.calls is not None else "the budget each"
        logger.info("projected for %d runs: at most %s; up to %d more on held-out examples", runs, calls, runs * each)

    def _arm(self, name: str, found: dict[str, list[tuple[Candidate, Spent]]], own: str) -> Arm:
        mine = [candidate for candidate, _ in found[name]]
        return Arm(
            name=name,
            scores=tuple(mean(list(self.pool[candidate].outcomes.values())) for candidate in mine),
            returned=tuple(candidate != self.start for candidate in mine),
            spent=tuple(spent for _, spent in found[name]),
            gain=paired(self._compared([self.start], mine)),
            behind=None if name == own else paired(self._compared(mine, [one for one, _ in found[own]])),
        )

    def _compared(self, old: Sequence[Candidate], new: Sequence[Candidate]) -> Comparison:
        one, other = self._averaged(old), self._averaged(new)
        return Comparison(tuple(Pair(number, one[number], other[number]) for number in one if number in other))

    def _averaged(self, candidates: Sequence[Candidate]) -> dict[int, float]:
        """Example id -> mean score over the candidates, where none of them is missing."""
        scores: dict[int, list[float]] = {number: [] for number in self.ids}
        for candidate in candidates:
            for outcome in scored(list(self.pool[candidate].outcomes.values())):
                scores[outcome.example_id].append(outcome.score)
        return {number: math.fsum(all_) / len(all_) for number, all_ in scores.items() if len(all_) == len(candidates)}

    async def _evaluate(self, candidate: Candidate, parent: Candidate, ids: Sequence[int]) -> Sequence[Outcome]:
        examples = [self.testset[number] for number in ids]
        return await self.evaluate("heldout", examples, candidate, ids=ids, purpose=Purpose.HELDOUT)


def _uncached(program: dspy.Module) -> Any:
    twin = clone(program)
    for _, module in twin.named_sub_modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, dspy.BaseLM):
                setattr(module, name, never_cached(value))
    return twin
