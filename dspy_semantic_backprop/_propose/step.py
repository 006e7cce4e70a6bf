"""From outcomes to proposals: gradients, lessons, and the rewritten instructions of the chosen predictors."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dspy.utils.exceptions import LMError

from .._backward.blame import mean_shares
from .._backward.gradient import TextGradient
from .._backward.pool_blame import pool_blame
from .._concurrency import gather
from .._evaluate.outcome import Scored
from .._session.budget import Purpose
from .._session.journal import digest_of
from .._session.lm import for_predictor, for_purpose
from .._session.run import Run
from .candidate import Candidate
from .lessons import Lesson, group_by_predictor
from .propose import Subject, render
from .screen import Screen

logger = logging.getLogger("dspy_semantic_backprop")

REMEMBERED = 3
"""So many of the texts that helped nothing a proposal is told of, the newest."""


@dataclass(frozen=True)
class Learned:
    """What was learned from some outcomes of a program.

    Args:
        parent: The program's instructions.
        outcomes: The outcomes that were propagated back from.
        sweeps: For each, call id -> gradient.
        lessons: Predictor's name -> its lessons.
    """

    parent: Candidate
    outcomes: Sequence[Scored]
    sweeps: Sequence[Mapping[str, TextGradient]]
    lessons: Mapping[str, Sequence[Lesson]]

    @property
    def gradients(self) -> tuple[tuple[int, Mapping[str, str]], ...]:
        """For each outcome: its example's id, and call id -> gradient as text."""
        return tuple(
            (outcome.example_id, {call: str(gradient) for call, gradient in sweep.items()})
            for outcome, sweep in zip(self.outcomes, self.sweeps, strict=True)
        )


class Proposing:
    """Makes the proposals of a run.

    Args:
        run: The run that they belong to.
        screen: What the texts must pass; one that does not is asked for once more, with the reason.
        asked: How often each question was asked before: a repeated one gets a fresh answer.
    """

    def __init__(self, run: Run, screen: Screen, asked: Counter[str] | None = None) -> None:
        self.run = run
        self.screen = screen
        self.asked: Counter[str] = asked if asked is not None else Counter()

    async def learn(self, chosen: Sequence[Scored], parent: Candidate) -> Learned:
        """Send the feedback of outcomes back through their graphs.

        Args:
            chosen: The outcomes; one that stands there twice gets two different sweeps.
            parent: The instructions that they are outcomes of.
        """
        swept, sweeps = await self.run.sweep(await self.run.proved(chosen, parent))
        return Learned(parent, swept, sweeps, group_by_predictor(swept, sweeps))

    async def propose(self, learned: Learned, step: int, count: int = 1) -> list[dict[str, str]]:
        """Rewrite instructions from what was learned.

        Args:
            learned: What was learned.
            step: The step of the run.
            count: How many proposals to make of the same lessons.

        Returns:
            For each proposal, predictor's name -> text; all are about the same predictors.
        """
        names = self._chosen(learned, step)
        asked = [name for _ in range(count) for name in names]
        texts = iter(await gather(lambda name: self.rewrite(name, learned.lessons[name], learned.parent), asked))
        return [{name: next(texts) for name in names} for _ in range(count)]

    def _chosen(self, learned: Learned, step: int) -> list[str]:
        method, rng = self.run.settings.method, self.run.rng
        known = [name for name in learned.parent.instructions if name in learned.lessons]
        graphs = [outcome.graph for outcome in learned.outcomes]
        blames = pool_blame(list(zip(graphs, learned.sweeps, strict=True)))
        shares = mean_shares([one.by_predictor(graph) for one, graph in zip(blames, graphs, strict=True)])
        return method.choose_predictors(known, step, rng, shares) if known else []

    async def rewrite(self, name: str, lessons: Sequence[Lesson], parent: Candidate) -> str:
        """Ask for a new instruction of one predictor; once more where it does not pass the screen.

        Args:
            name: The predictor.
            lessons: What its calls teach.
            parent: The instructions of the program.

        Returns:
            The text, without the protected part; empty where the provider, or the model, had none.
        """
        free = self.run.parameters.free(name, parent.instructions[name])
        question = digest_of([name, free, render(lessons)])
        attempt = self.asked[question]
        self.asked[question] += 1
        failed = tuple(self.screen.failed.get(name, ())[-REMEMBERED:])
        subject = Subject(name, free, lessons, attempt, failed, self.screen.told(name, parent))
        text = await self._asked(subject, f"proposal {attempt} for {name}")
        screened = self.screen(name, text, parent)
        if not screened.refusal or not text.strip():
            return text
        demand = f"{subject.constraint}\nThe last text that you wrote was refused: {screened.refusal}."
        return await self._asked(replace(subject, constraint=demand), f"proposal {attempt} for {name}, mended") or text

    async def _asked(self, subject: Subject, where: str) -> str:
        run = self.run
        try:
            with (
                for_purpose(
                    Purpose.PROPOSE,
                    run.ledger,
                    lm=run.settings.gradient_lm,
                    where=where,
                    turn=run.turn,
                    tally=run.notes,
                ),
                for_predictor(subject.predictor),
            ):
                return await run.settings.method.propose(subject)
        except LMError as error:
            logger.warning("no proposal for predictor %s: %s", subject.predictor, error)
            return ""
