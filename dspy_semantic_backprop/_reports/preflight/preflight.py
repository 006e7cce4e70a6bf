"""Finding out whether a run is worth it: what is noise, what is there to gain, what can be found, what it costs."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Sequence

import dspy
from dspy.utils.exceptions import LMError

from ..._decide.comparison import Comparison
from ..._decide.final import planned
from ..._decide.pool import Pool
from ..._decide.race import race
from ..._errors import BudgetSpent
from ..._evaluate.outcome import Failed, Outcome, Scored, mean, scored
from ..._evaluate.score_range import ScoreRange, score_range
from ..._propose.candidate import Candidate, changed, read
from ..._propose.choose import wrong
from ..._propose.screen import Screen
from ..._propose.step import Proposing
from ..._session.budget import Purpose, Spent
from ..._session.lm import for_predictor, for_purpose, sampling
from ..._session.projection import measured
from ..._session.run import Run, Settings, check_runs
from ..records import paired
from .advice import Measured, advise
from .doubts import of_scores, of_sizes
from .noise import Flips, flips, lost, luck, reworded, size_of
from .power import Power
from .record import Attempt, Detectable, Noise, Preflight
from .regrade import regraded
from .reword import THINK, reword

logger = logging.getLogger("dspy_semantic_backprop")

FAILURES = 4
"""From how many failures the candidate of a backward pass is made."""
LOOKED_AT = 16
"""In how many training examples failures are looked for at most."""
CANDIDATES = ("one backward pass", "think step by step", "reworded")


class Forecasting(Run):
    """One pre-flight.

    Args:
        settings: The optimizer's.
        program: The program; it is not changed.
        trainset: The examples to learn from.
        valset: The examples to decide on; None for the trainset.
        repeats: How often the program is run on the examples to decide on, at least 2.
        candidates: How many cheap candidates are tried, 0 to 3.
        sample: On how many examples each.
        perfect: The best possible score, in metric points; None: 1, or the best one seen where some lie outside 0 to 1.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of one object
        self,
        settings: Settings,
        program: dspy.Module,
        trainset: Sequence[dspy.Example],
        valset: Sequence[dspy.Example] | None,
        *,
        repeats: int,
        candidates: int,
        sample: int,
        perfect: float | None,
    ) -> None:
        super().__init__(settings, program)
        self.trainset = trainset
        self.examples = trainset if valset is None else valset
        self.split, self.projection = planned(settings, program, trainset, valset)
        self.repeats = repeats
        self.candidates = CANDIDATES[:candidates]
        self.perfect = perfect
        self.start = read(program)
        told = [*trainset, *(valset or ())]
        self.screen = Screen.of(self.parameters, settings.method.restraint, told, self.start)
        self.pool = Pool(self.start, self._evaluate)
        self.sample = self.split.decide[-sample:]
        self.tried: dict[str, Candidate] = {}

    async def forecast(self) -> Preflight:
        """Measure, and recommend.

        Raises:
            BudgetSpent: If the budget does not last for two runs of the program.
        """
        for warning in (*self.split.warnings, *self._doubts_of_sizes()):
            self.warn(warning)
        runs, seconds = await self._runs()
        moved = flips([{one.example_id: one.score for one in scored(run)} for run in runs])
        scores = [one.score for run in runs for one in scored(run)]
        scale = score_range(scores, self.perfect)
        await self._doubts_of_scores(runs[0])
        if any(score < scale.best for score in scores):
            await self._within_budget(self._attempts())
        compared = {name: self.pool.compare(self.start, one, self.sample) for name, one in self.tried.items()}
        return self._report(runs, moved, scale, compared, seconds)

    async def _runs(self) -> tuple[list[Sequence[Outcome]], float]:
        """The outcomes of every run of the program, and how long one without DSPy's cache took, in seconds."""
        ids = (*self.split.decide, *self.split.fresh)
        examples = [self.examples[number] for number in ids]
        first = await self.evaluate("preflight", examples, self.start, ids=ids)
        check_runs(first)
        self.pool[self.start].outcomes.update(zip(ids, first, strict=True))
        runs: list[Sequence[Outcome]] = [first]
        before = self.ledger.seconds
        for _ in range(self.repeats - 1):
            try:
                runs.append(
                    await self.evaluate("again", examples, self.start, ids=ids, purpose=Purpose.NOISE, fresh=True)
                )
            except BudgetSpent as stop:
                if len(runs) < 2:
                    raise
                self.warn(f"the program was run {len(runs)} times and not {self.repeats}: {stop}")
                break
        asked = self.ledger.by_purpose.get(Purpose.NOISE, Spent()).calls
        calls = sum(len(one.graph.calls) for run in runs[1:] for one in scored(run))
        if asked < calls:
            self.warn(
                f"{calls - asked} of {calls} answers came from a cache, of language models that the program keeps "
                "where they cannot be asked afresh: scores may vary more than they seem to"
            )
        return runs, (self.ledger.seconds - before) / max(1, len(runs) - 1)

    async def _within_budget(self, work: Awaitable[None]) -> None:
        try:
            await work
        except BudgetSpent as stop:
            self.warn(f"not all candidates were evaluated: {stop}")

    async def _attempts(self) -> None:
        """Make the cheap candidates, and race them on the sample."""
        for name in self.candidates:
            texts = await self._texts(name)
            screened = {key: self.screen(key, text, self.start) for key, text in texts.items()}
            usable = {key: one.text for key, one in screened.items() if not one.refusal}
            candidate = self.start.revised({key: self.parameters.whole(key, text) for key, text in usable.items()})
            if changed(self.start, candidate) and candidate not in self.pool:
                self.pool.add(candidate, self.start, 0)
                self.tried[name] = candidate
        if self.tried:
            gate = self.settings.method.gate
            await race(self.pool, self.start, list(self.tried.values()), self.sample, gate)

    async def _texts(self, name: str) -> dict[str, str]:
        """Predictor's name -> a new text for the part of its instruction that may change."""
        free = {key: self.parameters.free(key, text) for key, text in self.start.instructions.items()}
        if name == "one backward pass":
            return await self._learned()
        if name == "think step by step":
            return {key: f"{text}\n\n{THINK}" for key, text in free.items()}
        return {key: await self._reworded(key, text) for key, text in free.items()}

    async def _reworded(self, name: str, text: str) -> str:
        signatures = {key: predictor.signature for key, predictor in self.student.named_predictors()}
        lm, where = self.settings.gradient_lm, f"reword {name}"
        try:
            with for_purpose(Purpose.PROPOSE, self.ledger, lm=lm, where=where, turn=self.turn), for_predictor(name):
                return await reword(name, signatures[name], text)
        except LMError as error:
            logger.warning("no rewording for predictor %s: %s", name, error)
            return ""

    async def _learned(self) -> dict[str, str]:
        """What a backward pass from a few failures proposes; empty where none was found."""
        choose = wrong(FAILURES, perfect=self.perfect)
        chosen = choose(await self._to_learn_from(), self.rng)
        if not chosen:
            return {}
        proposing = Proposing(self, self.screen)
        (texts,) = await proposing.propose(await proposing.learn(chosen, self.start), 0)
        return texts

    async def _to_learn_from(self) -> Sequence[Scored]:
        """Outcomes of examples that the candidates are not evaluated on."""
        if not self.split.separate:
            apart = [number for number in self.split.decide if number not in set(self.sample)]
            outcomes = await self.pool.outcomes(self.start, apart or self.split.decide)
            if not apart:
                self.warn("the candidate of a backward pass was evaluated on what it was made from; pass a valset")
            return scored(outcomes)
        ids = random.Random(self.settings.seed).sample(self.split.learn, min(LOOKED_AT, len(self.split.learn)))
        examples = [self.trainset[number] for number in ids]
        return scored(await self.evaluate("train", examples, self.start, ids=ids, purpose=Purpose.HEADROOM))

    async def _evaluate(self, candidate: Candidate, parent: Candidate, ids: Sequence[int]) -> Sequence[Outcome]:
        return await self.evaluate(
            "candidate",
            [self.examples[number] for number in ids],
            candidate,
            ids=ids,
            purpose=Purpose.HEADROOM,
            known=list(self.pool[candidate].outcomes.values()),
            planned=len(self.sample),
        )

    def _doubts_of_sizes(self) -> list[str]:
        method = self.settings.method
        return of_sizes(method.gate, method.commit, len(self.split.decide), len(self.split.fresh))

    async def _doubts_of_scores(self, outcomes: Sequence[Outcome]) -> None:
        method, fresh = self.settings.method, set(self.split.fresh)
        scores = [one.score for one in scored(outcomes) if one.example_id not in fresh]
        sizes = len(scores), len(fresh)
        for warning in of_scores((method.gate, method.commit), scores, sizes, self.evaluator.kinds):
            self.warn(warning)
        for warning in await regraded(self, outcomes):
            self.warn(warning)

    def _report(
        self,
        runs: Sequence[Sequence[Outcome]],
        moved: Flips,
        scale: ScoreRange,
        compared: dict[str, Comparison],
        seconds: float,
    ) -> Preflight:
        method, seed = self.settings.method, self.settings.seed
        tries = max(1, self.settings.steps * method.proposals)
        size = moved.size or size_of(list(compared.values())) or scale.width
        differing = max(moved.rate, reworded(list(compared.values())))
        decide, fresh = len(self.split.decide), len(self.split.fresh)
        power = Power(method.gate, method.commit, tries - 1, differing, size, seed)
        even, likely = power.gains(decide, fresh)
        kept = method.commit.kept if method.commit is not None else (lambda examples: 0)
        five, ten = power.needed((0.05 * scale.width, 0.1 * scale.width), kept)
        score = mean([one for run in runs for one in run])
        by_chance = min(scale.best - score, lost(differing) * size)
        on = max((len(one) for one in compared.values()), default=0)
        recommendation, reason = advise(
            Measured(
                score=score,
                best=scale.best,
                width=scale.width,
                by_chance=by_chance,
                luck=luck(on, differing, size, len(compared), seed),
                attempts=list(compared.values()),
                examples=decide + fresh,
                even=even,
                needed=lambda gain: power.needed((gain,), kept)[0],
            )
        )
        again, executions = self.ledger.by_purpose.get(Purpose.NOISE, Spent()), (len(runs) - 1) * len(runs[0])
        return Preflight(
            recommendation=recommendation,
            reason=reason,
            examples=decide + fresh,
            missing=sum(isinstance(one, Failed) for run in runs for one in run),
            score=score,
            best=scale.best,
            by_chance=by_chance,
            noise=Noise(
                runs=len(runs),
                examples=moved.examples,
                changed=moved.changed,
                rate=moved.rate,
                deviation=moved.deviation,
                differing=differing,
                tries=tries,
                luck=luck(decide, differing, size, tries, seed),
                cold=self._cold(),
            ),
            attempts=tuple(
                Attempt(name, paired(compared[name]) if name in compared and len(compared[name]) else None)
                for name in self.candidates
            ),
            detectable=Detectable(decide, fresh, even, likely, five, ten),
            projection=measured(self.projection, executions, again, seconds * (len(runs) - 1)),
            spent=self.ledger.by_purpose,
            seconds=self.ledger.seconds,
            warnings=tuple(self.warnings),
        )

    def _cold(self) -> bool:
        models = [predictor.lm or dspy.settings.lm for predictor in self.student.predictors()]
        return all(sampling(lm)["settings"].get("temperature") == 0 for lm in models if lm is not None)
