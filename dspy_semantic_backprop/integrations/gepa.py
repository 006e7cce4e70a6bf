"""Semantic gradients inside another optimizer's search: an `instruction_proposer` for `dspy.GEPA`.

GEPA says which components to update and shows a record of one call each, cut out of its execution. What the
siblings of that call said, and who read it, is not in there; so the examples behind the records are found, the
candidate is run on them once more, and the feedback is sent back through the graphs of these executions.

It is run again since the records hold texts, not the values whose way through the program makes the graph. Where
DSPy's cache is on, GEPA's own run has just paid for every answer.
"""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dspy

from .. import _checks as checks
from .._backward.ask import GradientCache
from .._backward.sweep import sweep
from .._concurrency import gather, run_sync
from .._errors import ModelUnavailable, SemanticBackpropError, SetupError, Stop
from .._evaluate.candidate import Candidate, canonical, read
from .._evaluate.metric import adapt
from .._evaluate.outcome import Scored, score_range, scored
from .._graph.evidence.replay.replays import Probe
from .._graph.record.snapshots import describe
from .._method import Method
from .._propose.lessons import Lesson, group_by_predictor
from .._propose.propose import Rewriter
from .._propose.protected import Parameters
from .._propose.screen import Screen
from .._session.budget import Budget, Spent
from .._session.limits import Limits
from .._session.session import Session
from .._settings import Settings
from .._terminal import logger
from ._gepa_records import Record, Witness


class SemanticProposer:
    """Writes GEPA's new instructions from semantic gradients; GEPA keeps its search, its gate and its budget.

        proposer = SemanticProposer(program, metric, trainset)
        gepa = dspy.GEPA(metric=proposer.metric, instruction_proposer=proposer, auto="light")
        better = gepa.compile(program, trainset=trainset, valset=valset)

    An update costs, for b examples in GEPA's minibatch of which w are wrong: b runs of the program, which DSPy's
    cache answers where it is on, b calls of the metric, one question for each call that read another one in the w
    wrong ones (again for an answer that cannot be used), and one question for each component. GEPA counts the calls
    of the metric that it makes itself, and none of these: `budget` bounds them.

    An example that cannot be found or run teaches what GEPA's record shows of it, without a gradient. Nothing that
    fails here ends GEPA's run: then it is given no new text for the component.

    Args:
        program: The program that GEPA compiles; it is not changed.
        metric: As for `SemanticGradientDescent`. Give GEPA this object's `metric`, which says the same: then every
            record is known by its example. Given the plain metric, GEPA's records are matched by the inputs they
            show, and where that finds none, as many examples are drawn from the trainset.
        trainset: The examples that GEPA is given.
        gradient_lm: Writes gradients and instructions; None takes GEPA's `reflection_lm`, or DSPy's configured one.
        method: Its `backward`, `collect`, `deliver`, `propose` and `restraint` are used; None: `presets.semantic()`.
        perfect: An example below this score is wrong and is learned from, in metric points; GEPA's `perfect_score`.
            None: 1, or the best score seen so far where some lie outside 0 to 1.
        failure_score: As for `SemanticGradientDescent`, as are `num_threads`, `probe` and `seed`.
        num_threads: See there.
        probe: See there.
        seed: See there.
        gradient_cache: A directory for the gradient model's answers; None keeps them in memory.
        budget: The most that all updates together may spend; seconds count from now. None sets no bound.
        limits: How long to wait for a request, an example and a metric; `missing` is not used.

    Raises:
        SetupError: If an argument cannot work.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of one object, as in every DSPy optimizer
        self,
        program: dspy.Module,
        metric: Any,
        trainset: Sequence[dspy.Example],
        *,
        gradient_lm: Any = None,
        method: Method | None = None,
        perfect: float | None = None,
        failure_score: float = 0.0,
        num_threads: float | None = None,
        probe: Probe = "auto",
        seed: int = 0,
        gradient_cache: str | os.PathLike[str] | None = None,
        budget: Budget | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.settings = Settings(
            metric,
            gradient_lm=gradient_lm,
            method=method if method is not None else Method(),
            failure_score=failure_score,
            num_threads=num_threads,
            probe=probe,
            seed=seed,
            answers=checks.opened("gradient_cache", GradientCache, gradient_cache),
            budget=budget,
            # A minibatch is small: one example that is missing must not end the update.
            limits=replace(limits if limits is not None else Limits(), missing=1.0),
            subscribers=(),
        )
        checks.check_program(program)
        checks.check_examples("trainset", trainset, program)
        checks.check_models(program, gradient_lm if gradient_lm is not None else program.predictors()[0].lm)
        checks.check_prices(program, gradient_lm, budget, metric)
        checks.check_number("perfect", 0 if perfect is None else perfect, -math.inf, whole=False)
        self.program = program
        self.perfect = perfect
        self._metric = adapt(metric)
        self._witness = Witness(trainset)
        # GEPA calls proposers with the reflection model in place of the program's.
        self._lm = dspy.settings.lm
        self._rng = random.Random(seed)
        self._asked: Counter[str] = Counter()
        self._over = ""
        self._scores: list[float] = []
        self._session = self.settings.session()
        self._updates = 0
        restraint, given = self.settings.method.restraint, {"trainset": trainset}
        self._screen = Screen.of(Parameters.of(program), restraint, given, read(program))

    def metric(
        self, gold: dspy.Example, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
    ) -> Any:
        """The metric for GEPA: says what the given one says, and remembers which record is about which example.

        A metric that takes two or three arguments is called with those, so that GEPA can be used with it too.

        Args:
            pred_name: The component that GEPA asks for feedback on; None where it asks for the score.
            pred_trace: The part of the trace that the record shows.
        """
        if pred_name is not None and pred_trace:
            self._lm = dspy.settings.lm
            self._witness.saw(gold, pred_name, *pred_trace[0][1:3])
        asked = (gold, pred, trace, pred_name, pred_trace) if self._metric.explains else (gold, pred)
        return self._metric.function(*asked, *(None,) * (self._metric.required - len(asked)))

    def __call__(
        self,
        candidate: Mapping[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: Sequence[str],
    ) -> dict[str, str]:
        """Propose instructions; called by GEPA.

        Args:
            reflective_dataset: Component -> records of its calls: `Inputs`, `Generated Outputs`, `Feedback`.

        Returns:
            Component -> new instruction, protected text kept; only for those with a new one.

        Raises:
            SetupError: If a component is none of the program's predictors, or no language model is there.
        """
        names = dict(self.program.named_predictors())
        for name in components_to_update:
            if name not in names:
                raise SetupError(
                    f"GEPA updates {name!r}, which the program of SemanticProposer does not have (it has "
                    f"{', '.join(names)}); give both the same program"
                )
        if self.settings.gradient_lm is None and dspy.settings.lm is None:
            raise SetupError("no language model for gradients; pass gradient_lm= here or reflection_lm= to dspy.GEPA")
        if self.out_of_budget():
            return {}
        records = [Record(name, row) for name in components_to_update for row in reflective_dataset.get(name, ())]
        try:
            return run_sync(self._update(candidate, records, components_to_update))
        except ModelUnavailable as stop:
            logger.error("no proposal: %s: %s", type(stop.error).__name__, stop.error)
        except Stop as stop:
            self._over = str(stop)
            logger.warning("no more proposals: %s", stop)
        return {}

    def out_of_budget(self, state: Any = None) -> bool:
        """Whether the budget is spent: GEPA can end its run then, `gepa_kwargs={"stop_callbacks": [...]}`.

        GEPA calls it with its `state`, which is not looked at.
        """
        return bool(self._over)

    @property
    def spent(self) -> dict[str, Spent]:
        """What all updates so far have spent: forward, metric, backward or propose -> amount."""
        return self._session.ledger.by_purpose

    async def _update(
        self, candidate: Mapping[str, str], records: Sequence[Record], components: Sequence[str]
    ) -> dict[str, str]:
        # Semaphores belong to one event loop, and every update has its own.
        session = self._session.in_this_loop()
        self._updates += 1
        predictors = dict(self.program.named_predictors())
        texts = {name: canonical(text) for name, text in candidate.items() if name in predictors}
        now = read(self.program).revised(texts)
        examples = [self._witness.example_of(record) for record in records]
        lessons: dict[str, list[Lesson]] = {}
        learned: set[int] = set()
        if foreign := sorted(candidate.keys() - texts.keys()):
            session.warn(f"no gradients: GEPA also evolves {', '.join(foreign)}, with which the program is another one")
        else:
            lessons, learned = await self._lessons(session, now, self._chosen(session, records, examples))
        for number, (record, example) in enumerate(zip(records, examples, strict=True), start=len(records)):
            if id(example) not in learned:
                told = record.lesson(predictors[record.predictor].signature, number)
                lessons.setdefault(record.predictor, []).append(told)
        rewriter = Rewriter(session, self.settings.method.propose, self._screen, self._asked)
        named = [name for name in dict.fromkeys(components) if lessons.get(name)]
        texts = await gather(lambda name: rewriter.rewritten(name, lessons[name], now), named)
        screened = {name: self._screen(name, text, now) for name, text in zip(named, texts, strict=True)}
        new = {name: self._screen.parameters.whole(name, one.text) for name, one in screened.items() if not one.refusal}
        return {name: text for name, text in new.items() if text != now.instructions[name]}

    def _chosen(
        self, session: Session, records: Sequence[Record], examples: Sequence[dspy.Example | None]
    ) -> list[dspy.Example]:
        """The examples to learn from, each once."""
        known = {id(example): example for example in examples if example is not None}
        if known or not records:
            return list(known.values())
        session.warn(
            "GEPA's records do not say which examples they are about, so others are drawn: "
            "give GEPA the proposer's metric, dspy.GEPA(metric=proposer.metric, ...)"
        )
        return self._witness.draw(max(Counter(record.predictor for record in records).values()), self._rng)

    async def _lessons(
        self, session: Session, now: Candidate, examples: Sequence[dspy.Example]
    ) -> tuple[dict[str, list[Lesson]], set[int]]:
        """What the wrong examples teach, and the ids of the examples that were run and, where wrong, explained."""
        student = self.settings.student(self.program, session)
        try:
            with dspy.context(lm=self._lm):
                outcomes = scored(await student.evaluate("gepa", examples, now)) if examples else ()
                failed = self._wrong(session, outcomes)
                wrong = await student.prove(failed, now)
            where, method = f"update {self._updates}", self.settings.method
            swept, sweeps = await sweep(session, wrong, method, seed=self.settings.seed, where=where)
        except SemanticBackpropError as error:
            logger.warning("no gradients for this update: %s", describe(error))
            return {}, set()
        explained = {outcome.example_id for outcome in swept}
        done = [one for one in outcomes if one not in failed or one.example_id in explained]
        return group_by_predictor(swept, sweeps), {id(one.example) for one in done}

    def _wrong(self, session: Session, outcomes: Sequence[Scored]) -> list[Scored]:
        """The outcomes to learn from: what is not perfect, as far as the scores of all updates tell what that is."""
        self._scores += [one.score for one in outcomes]
        scale = score_range(self._scores, self.perfect)
        if not scale.known:
            session.warn(
                "the metric returned scores outside 0 to 1; whatever scores less than the best one seen so far is "
                "learned from as wrong, unless SemanticProposer(perfect=...) says more"
            )
        # One score for everything, that nobody knows to be the best, is no sign that all is well.
        nothing = not scale.known and len(set(self._scores)) == 1
        return [one for one in outcomes if nothing or one.score < scale.best]
