"""Cheap candidates: what a program gains from these was there for the taking, before any search."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from ..._backward.sweep import sweep
from ..._concurrency import gather
from ..._decide.comparison import Comparison
from ..._decide.pool import Pool
from ..._decide.split import Split
from ..._errors import BudgetSpent
from ..._evaluate.candidate import Candidate, changed
from ..._evaluate.outcome import Scored, scored
from ..._evaluate.student import Student
from ..._propose.choose import wrong
from ..._propose.lessons import Learned
from ..._propose.propose import PROPOSALS, Rewriter
from ..._propose.screen import Screen
from ..._session.budget import Budget, Purpose
from ..._session.lm import ask
from ..._session.session import logger
from ..._settings import Settings

CANDIDATES = ("one backward pass", "think step by step", "reworded")
FAILURES = 4
"""From how many failures the candidate of a backward pass is made."""
LOOKED_AT = 16
"""In how many training examples failures are looked for at most."""
THINK = "Think step by step, and check your answer before you give it."
"""What the most common advice says."""


class Reword(dspy.Signature):
    """Rewrite the instruction of one step of a larger program so that it is clearer and more complete.

    You see no examples. Keep everything that it asks for. The step gets the same inputs and must produce the same
    fields as before."""

    step: str = dspy.InputField(desc="the step: its name, inputs and outputs")
    current_instruction: str = dspy.InputField()
    new_instruction: str = dspy.OutputField(desc="the full text of the new instruction, and nothing else")


@dataclass(frozen=True)
class CheapCandidates:
    """Makes cheap candidates, and compares those that were made with the program on a sample.

    What ended the budget, if that ended this, stands in `cut`; `perfect` is the best score, None where scores tell.
    """

    settings: Settings
    student: Student
    split: Split
    trainset: Sequence[dspy.Example]
    pool: Pool
    screen: Screen
    sample: Sequence[int]
    perfect: float | None
    tried: dict[str, Candidate] = field(default_factory=dict)
    cut: list[BudgetSpent] = field(default_factory=list)

    async def compare(self, names: Sequence[str]) -> None:
        """Make the candidates of these names, and run them; where the budget ends, so does this."""
        start = self.pool.start
        try:
            for name in names:
                texts = await self._texts(name)
                screened = {key: self.screen(key, text, start) for key, text in texts.items()}
                usable = {key: one.text for key, one in screened.items() if not one.refusal}
                whole = {key: self.screen.parameters.whole(key, text) for key, text in usable.items()}
                candidate = start.revised(whole)
                if changed(start, candidate) and candidate not in self.pool:
                    self.pool.add(candidate, start, 0)
                    self.tried[name] = candidate
                    # One after the other: a budget that does not last for all does for the first.
                    for one in (start, candidate) if self._tight else ():
                        await self.pool.outcomes(one, self.sample)
            if self.tried:
                await gather(lambda one: self.pool.outcomes(one, self.sample), [start, *self.tried.values()])
        except BudgetSpent as stop:
            self.cut.append(stop)
            self.student.session.warn(f"not all candidates were evaluated: {stop}")

    @property
    def _tight(self) -> bool:
        return self.student.session.ledger.budget != Budget()

    def compared(self) -> dict[str, Comparison]:
        """Each candidate that was made beside the program."""
        return {name: self.pool.compare(self.pool.start, one, self.sample) for name, one in self.tried.items()}

    async def _texts(self, name: str) -> dict[str, str]:
        """Predictor's name -> a new text for the part of its instruction that may change."""
        parameters = self.screen.parameters
        free = {key: parameters.free(key, text) for key, text in self.pool.start.instructions.items()}
        if name == "one backward pass":
            return await self._learned()
        if name == "think step by step":
            return {key: f"{text}\n\n{THINK}" for key, text in free.items()}
        return {key: await self._reworded(key, text) for key, text in free.items()}

    async def _reworded(self, name: str, text: str) -> str:
        """A clearer instruction, with nothing to go by but the instruction itself; empty where none came."""
        signature: Any = dict(self.student.program.named_predictors())[name].signature
        step = f"{name}: reads {', '.join(signature.input_fields)}; produces {', '.join(signature.output_fields)}"
        try:
            with self.student.session.asking(Purpose.PROPOSE, where=f"reword {name}", predictor=name):
                reply = await ask(Reword, {"step": step, "current_instruction": text})
        except LMError as error:
            self.student.session.asked[PROPOSALS].count(error)
            logger.warning("no rewording for predictor %s: %s", name, error)
            return ""
        self.student.session.asked[PROPOSALS].count(None)
        return str(reply.get("new_instruction") or "").strip()

    async def _learned(self) -> dict[str, str]:
        """What a backward pass from a few failures proposes; empty where none was found."""
        method, rng, start = self.settings.method, random.Random(self.settings.seed), self.pool.start
        chosen = wrong(FAILURES, perfect=self.perfect)(await self._to_learn_from(), rng)
        if not chosen:
            return {}
        session, proved = self.student.session, await self.student.prove(chosen, start)
        learned = Learned(start, *await sweep(session, proved, method, seed=self.settings.seed))
        if not learned.lessons:
            return {}
        names = method.choose_predictors(learned.predictors, 0, rng, learned.blame)
        return await Rewriter(session, method.propose, self.screen).rewrites(names, learned.lessons, start)

    async def _to_learn_from(self) -> Sequence[Scored]:
        """Outcomes of examples that the candidates are not evaluated on."""
        learn, decide, start = self.split.learn, self.split.decide, self.pool.start
        if self.split.separate:
            ids = random.Random(self.settings.seed).sample(learn, min(LOOKED_AT, len(learn)))
            examples = [self.trainset[number] for number in ids]
            return scored(await self.student.evaluate("train", examples, start, ids=ids, purpose=Purpose.HEADROOM))
        apart = [number for number in decide if number not in set(self.sample)]
        outcomes = await self.pool.outcomes(start, apart or decide)
        if not apart:
            self.student.session.warn(
                "the candidate of a backward pass was evaluated on what it was made from; pass a valset"
            )
        return scored(outcomes)
