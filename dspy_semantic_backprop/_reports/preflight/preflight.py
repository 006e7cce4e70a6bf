"""Whether optimising is worth it: what is noise, what is there to gain, what can be found, what it costs."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from ..._backward.sweep import sweep
from ..._checks import check_choice, check_number
from ..._decide.comparison import Comparison
from ..._decide.health import of_scores, of_sizes
from ..._decide.pool import Pool, evaluation
from ..._decide.race import race
from ..._decide.records import paired
from ..._decide.split import Split
from ..._errors import BudgetSpent, told_to_callers
from ..._evaluate.candidate import Candidate, changed, read
from ..._evaluate.outcome import Failed, Outcome, Scored, mean, scored
from ..._evaluate.regrade import regraded
from ..._evaluate.score_range import ScoreRange, score_range
from ..._evaluate.student import Student, check_runs
from ..._propose.choose import wrong
from ..._propose.lessons import Learned
from ..._propose.parameters import Parameters
from ..._propose.rewrite import Rewriter
from ..._propose.screen import Screen
from ..._session.budget import Purpose, Spent
from ..._session.fingerprint import fingerprint
from ..._session.journal import digest_of
from ..._session.lm import sampling
from ..._session.projection import Projection, measured
from ..._session.session import Session, logger
from ..._settings import Optimizer, Settings
from .advice import Measured, advise
from .noise import Flips, flips, lost, luck, reworded, size_of
from .power import Power
from .record import Attempt, Detectable, Noise, Preflight
from .reword import THINK, reword

FAILURES = 4
"""From how many failures the candidate of a backward pass is made."""
LOOKED_AT = 16
"""In how many training examples failures are looked for at most."""
CANDIDATES = ("one backward pass", "think step by step", "reworded")


async def apreflight(  # noqa: PLR0913 - keyword-only parts of one question
    optimizer: Optimizer,
    program: dspy.Module,
    trainset: list[dspy.Example],
    valset: list[dspy.Example] | None = None,
    *,
    repeats: int = 3,
    candidates: int = 3,
    sample: int = 24,
    perfect: float | None = None,
) -> Preflight:
    """Find out whether `compile` with the same arguments is worth it.

    The program is run several times on the examples to decide on, past DSPy's cache, to see what varies although
    nothing was changed. A few cheap candidates show what there is to gain; a simulation of this method's gate and
    last decision shows which gains such a set can tell from luck. `compile` repeats as a warning what this
    optimizer was advised against.

    Args:
        optimizer: Whose settings are used.
        program: The program; it is not changed.
        trainset: The examples to learn from.
        valset: The examples on which proposals are decided; None decides on the trainset.
        repeats: How often the program is run on these, at least 2.
        candidates: How many cheap candidates to try, 0 to 3: one backward pass on a few failures, "think step by
            step", a rewording without examples.
        sample: On how many examples to try each.
        perfect: The best possible score, in metric points; None: 1, or the best seen where some lie outside 0 to 1.

    Returns:
        A record that prints within one screen.

    Raises:
        SetupError: If the arguments cannot work; nothing was spent.
        OutOfBudget: If the budget does not last for two runs of the program.
        SemanticBackpropError: As `acompile` says.
    """
    settings = optimizer.settings
    settings.check(program, trainset=trainset, valset=valset)
    check_number("repeats", repeats, 2)
    check_choice("candidates", candidates, range(4))
    check_number("sample", sample, 1)
    check_number("perfect", 0 if perfect is None else perfect, -math.inf, whole=False)
    with told_to_callers():
        trial = _Trial.of(settings, program, (trainset, valset), sample, perfect)
        found = await _forecast(trial, repeats, CANDIDATES[:candidates])
    if found.recommendation != "go":
        advice = f"the pre-flight advised against this run, {found.recommendation}: {found.reason}"
        optimizer.advice[_about(settings, program, trainset, valset)] = advice
    return found


def advised(optimizer: Optimizer, program: dspy.Module, trainset: Any, valset: Any) -> str:
    """What a pre-flight said against compiling a program with these sets; "" where it did not."""
    known = optimizer.advice
    return known.get(_about(optimizer.settings, program, trainset, valset), "") if known else ""


def _about(settings: Settings, program: dspy.Module, trainset: Any, valset: Any) -> str:
    return digest_of(fingerprint(settings, program, trainset, valset))


async def _forecast(trial: _Trial, repeats: int, candidates: Sequence[str]) -> Preflight:
    """Measure, and recommend."""
    session, split, method = trial.session, trial.split, trial.settings.method
    sizes = of_sizes(method.gate, method.commit, len(split.decide), len(split.fresh))
    for warning in (*split.warnings, *sizes):
        session.warn(warning)
    runs, seconds = await trial.runs(repeats)
    moved = flips([{one.example_id: one.score for one in scored(run)} for run in runs])
    scores = [one.score for run in runs for one in scored(run)]
    scale = score_range(scores, trial.perfect)
    await trial.check_scores(runs[0])
    if any(score < scale.best for score in scores):
        await trial.within_budget(trial.attempt(candidates))
    compared = {name: trial.pool.compare(trial.start, one, trial.sample) for name, one in trial.tried.items()}
    return trial.report(runs, moved, scale, compared, seconds, candidates)


@dataclass(frozen=True)
class _Trial:
    """What one pre-flight works with."""

    settings: Settings
    session: Session
    student: Student
    trainset: Sequence[dspy.Example]
    examples: Sequence[dspy.Example]
    split: Split
    projection: Projection
    start: Candidate
    screen: Screen
    pool: Pool
    sample: Sequence[int]
    perfect: float | None
    tried: dict[str, Candidate] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        settings: Settings,
        program: dspy.Module,
        sets: tuple[Sequence[dspy.Example], Sequence[dspy.Example] | None],
        sample: int,
        perfect: float | None,
    ) -> _Trial:
        (trainset, valset), session, start = sets, settings.session(), read(program)
        examples, student = trainset if valset is None else valset, settings.student(program, session)
        split, projection = settings.plan(program, trainset, valset)
        ids = split.decide[-sample:]
        told = [*trainset, *(valset or ())]
        screen = Screen.of(Parameters.of(program), settings.method.restraint, told, start)
        on = evaluation(
            student,
            examples,
            what="candidate",
            purpose=Purpose.HEADROOM,
            start_purpose=Purpose.HEADROOM,
            planned=len(ids),
        )
        known = (settings, session, student, trainset, examples, split, projection, start, screen)
        return cls(*known, Pool(start, on), ids, perfect)

    async def runs(self, repeats: int) -> tuple[list[Sequence[Outcome]], float]:
        """The outcomes of every run of the program, and how long one without DSPy's cache took, in seconds."""
        ids, ledger = (*self.split.decide, *self.split.fresh), self.session.ledger
        examples = [self.examples[number] for number in ids]
        first = await self.student.evaluate("preflight", examples, self.start, ids=ids)
        check_runs(first)
        self.pool[self.start].outcomes.update(zip(ids, first, strict=True))
        runs: list[Sequence[Outcome]] = [first]
        before = ledger.seconds
        for _ in range(repeats - 1):
            try:
                again = await self.student.evaluate(
                    "again", examples, self.start, ids=ids, purpose=Purpose.NOISE, fresh=True
                )
            except BudgetSpent as stop:
                if len(runs) < 2:
                    raise
                self.session.warn(f"the program was run {len(runs)} times and not {repeats}: {stop}")
                break
            runs.append(again)
        asked = ledger.by_purpose.get(Purpose.NOISE, Spent()).calls
        calls = sum(len(one.graph.calls) for run in runs[1:] for one in scored(run))
        if asked < calls:
            self.session.warn(
                f"{calls - asked} of {calls} answers came from a cache, of language models that the program keeps "
                "where they cannot be asked afresh: scores may vary more than they seem to"
            )
        return runs, (ledger.seconds - before) / max(1, len(runs) - 1)

    async def within_budget(self, work: Awaitable[None]) -> None:
        """Await work that may end where the budget does."""
        try:
            await work
        except BudgetSpent as stop:
            self.session.warn(f"not all candidates were evaluated: {stop}")

    async def attempt(self, names: Sequence[str]) -> None:
        """Make the cheap candidates, and race them on the sample."""
        for name in names:
            texts = await self._texts(name)
            screened = {key: self.screen(key, text, self.start) for key, text in texts.items()}
            usable = {key: one.text for key, one in screened.items() if not one.refusal}
            whole = {key: self.screen.parameters.whole(key, text) for key, text in usable.items()}
            candidate = self.start.revised(whole)
            if changed(self.start, candidate) and candidate not in self.pool:
                self.pool.add(candidate, self.start, 0)
                self.tried[name] = candidate
        if self.tried:
            await race(self.pool, self.start, list(self.tried.values()), self.sample, self.settings.method.gate)

    async def _texts(self, name: str) -> dict[str, str]:
        """Predictor's name -> a new text for the part of its instruction that may change."""
        free = {key: self.screen.parameters.free(key, text) for key, text in self.start.instructions.items()}
        if name == "one backward pass":
            return await self._learned()
        if name == "think step by step":
            return {key: f"{text}\n\n{THINK}" for key, text in free.items()}
        return {key: await self._reworded(key, text) for key, text in free.items()}

    async def _reworded(self, name: str, text: str) -> str:
        signatures = {key: predictor.signature for key, predictor in self.student.program.named_predictors()}
        try:
            with self.session.asking(Purpose.PROPOSE, where=f"reword {name}", predictor=name):
                return await reword(name, signatures[name], text)
        except LMError as error:
            logger.warning("no rewording for predictor %s: %s", name, error)
            return ""

    async def _learned(self) -> dict[str, str]:
        """What a backward pass from a few failures proposes; empty where none was found."""
        method, rng = self.settings.method, random.Random(self.settings.seed)
        chosen = wrong(FAILURES, perfect=self.perfect)(await self._to_learn_from(), rng)
        if not chosen:
            return {}
        proved = await self.student.prove(chosen, self.start)
        learned = Learned(self.start, *await sweep(self.session, proved, method, seed=self.settings.seed))
        if not learned.lessons:
            return {}
        names = method.choose_predictors(learned.predictors, 0, rng, learned.blame)
        rewriter = Rewriter(self.session, method.propose, self.screen)
        (texts,) = await rewriter.proposals(names, learned.lessons, self.start)
        return texts

    async def _to_learn_from(self) -> Sequence[Scored]:
        """Outcomes of examples that the candidates are not evaluated on."""
        learn, decide = self.split.learn, self.split.decide
        if not self.split.separate:
            apart = [number for number in decide if number not in set(self.sample)]
            outcomes = await self.pool.outcomes(self.start, apart or decide)
            if not apart:
                self.session.warn(
                    "the candidate of a backward pass was evaluated on what it was made from; pass a valset"
                )
            return scored(outcomes)
        ids = random.Random(self.settings.seed).sample(learn, min(LOOKED_AT, len(learn)))
        examples = [self.trainset[number] for number in ids]
        return scored(await self.student.evaluate("train", examples, self.start, ids=ids, purpose=Purpose.HEADROOM))

    async def check_scores(self, outcomes: Sequence[Outcome]) -> None:
        """Warn of what the first scores say against a run."""
        method, fresh = self.settings.method, set(self.split.fresh)
        scores = [one.score for one in scored(outcomes) if one.example_id not in fresh]
        sizes = len(scores), len(fresh)
        for warning in of_scores((method.gate, method.commit), scores, sizes, self.student.evaluator.kinds):
            self.session.warn(warning)
        for warning in await regraded(self.student, outcomes):
            self.session.warn(warning)

    def report(
        self,
        runs: Sequence[Sequence[Outcome]],
        moved: Flips,
        scale: ScoreRange,
        compared: dict[str, Comparison],
        seconds: float,
        candidates: Sequence[str],
    ) -> Preflight:
        """What was measured, as a record with a recommendation."""
        method, seed = self.settings.method, self.settings.seed
        tries = max(1, self.settings.most_steps * method.proposals)
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
        again, executions = self.session.ledger.by_purpose.get(Purpose.NOISE, Spent()), (len(runs) - 1) * len(runs[0])
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
                for name in candidates
            ),
            detectable=Detectable(decide, fresh, even, likely, five, ten),
            projection=measured(self.projection, executions, again, seconds * (len(runs) - 1)),
            spent=self.session.ledger.by_purpose,
            seconds=self.session.ledger.seconds,
            warnings=tuple(self.session.warnings),
        )

    def _cold(self) -> bool:
        models = [predictor.lm or dspy.settings.lm for predictor in self.student.program.predictors()]
        return all(sampling(lm)["settings"].get("temperature") == 0 for lm in models if lm is not None)
