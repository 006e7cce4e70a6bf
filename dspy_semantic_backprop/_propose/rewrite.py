"""Lessons -> new instructions, each asked for once more where it is refused."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dspy.utils.exceptions import LMError

from .._concurrency import gather
from .._evaluate.candidate import Candidate
from .._session.budget import Purpose
from .._session.journal import digest_of
from .._session.session import Session
from .lessons import Lesson
from .propose import Propose, Subject, render
from .screen import Screen

logger = logging.getLogger("dspy_semantic_backprop")

REMEMBERED = 3
"""So many of the texts that helped nothing a proposal is told of, the newest."""


@dataclass(frozen=True)
class Rewriter:
    """Asks the gradient model for new instructions.

    Args:
        session: What surrounds the run.
        propose: The method's way of asking.
        screen: What the texts must pass.
        asked: How often each question was asked before: a repeated one gets another answer.
    """

    session: Session
    propose: Propose
    screen: Screen
    asked: Counter[str] = field(default_factory=Counter)

    async def proposals(
        self, names: Sequence[str], lessons: Mapping[str, Sequence[Lesson]], parent: Candidate, count: int = 1
    ) -> list[dict[str, str]]:
        """Rewrite the instructions of some predictors, several times.

        Args:
            names: The predictors.
            lessons: Predictor's name -> what its calls teach.
            parent: The instructions of the program.
            count: How many proposals to make of the same lessons.

        Returns:
            For each proposal, predictor's name -> text.
        """
        asked = [name for _ in range(count) for name in names]
        texts = iter(await gather(lambda name: self.rewritten(name, lessons[name], parent), asked))
        return [{name: next(texts) for name in names} for _ in range(count)]

    async def rewritten(self, name: str, lessons: Sequence[Lesson], parent: Candidate) -> str:
        """A new instruction of one predictor; empty where the provider, or the model, had none."""
        free = self.screen.parameters.free(name, parent.instructions[name])
        question = digest_of([name, free, render(lessons)])
        attempt = self.asked[question]
        self.asked[question] += 1
        failed = tuple(self.screen.failed.get(name, ())[-REMEMBERED:])
        subject = Subject(name, free, lessons, attempt, failed, self.screen.told(name, parent))
        text = await self._answer(subject, f"proposal {attempt} for {name}")
        screened = self.screen(name, text, parent)
        if not screened.refusal or not text.strip():
            return text
        demand = f"{subject.constraint}\nThe last text that you wrote was refused: {screened.refusal}."
        mended = replace(subject, constraint=demand)
        return await self._answer(mended, f"proposal {attempt} for {name}, mended") or text

    async def _answer(self, subject: Subject, where: str) -> str:
        try:
            with self.session.asking(Purpose.PROPOSE, where=where, predictor=subject.predictor):
                return await self.propose(subject)
        except LMError as error:
            logger.warning("no proposal for predictor %s: %s", subject.predictor, error)
            return ""
