"""Whether optimising is worth it: what is noise, what is there to gain, what can be found, what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import dspy

from ..._checks import apart, check_choice, check_number
from ..._decide.comparison import Comparison
from ..._decide.health import of_scores, of_sizes
from ..._decide.pool import Pool, evaluation
from ..._decide.records import paired
from ..._decide.shape import shape_of
from ..._decide.split import Split
from ..._errors import BudgetSpent, told_to_callers
from ..._evaluate.candidate import read
from ..._evaluate.evaluate import regraded
from ..._evaluate.outcome import Failed, Outcome, mean, score_range, scored
from ..._evaluate.student import Student, check_runs
from ..._propose.protected import Parameters
from ..._propose.screen import Screen
from ..._secrets.settings import sampling
from ..._session.budget import Budget, Purpose, Spent
from ..._session.fingerprint import fingerprint
from ..._session.journal import digest_of, sealed
from ..._session.projection import Measured, Planned, Projection
from ..._session.session import Session
from ..._settings import Optimizer, Settings
from ..._terminal import counted
from .candidates import CANDIDATES, CheapCandidates
from .noise import Flips, Power, agreeing, chance, flips, lost, luck, step_of
from .record import Attempt, Detectable, Noise, Preflight

Advice = Literal[
    "go", "more examples first", "larger budget first", "no headroom", "nothing helped", "nothing to learn", "too noisy"
]
"""What to do."""
SMALL = 0.03
"""The share of the metric's range up to which a gain does not repay a run."""
NOISY = 0.25
"""The share of the metric's range from which a loss by chance is the first thing to mend."""
LIKELY = 0.25
"""Up to this probability of as large a gain by luck a cheap candidate is taken to have helped, 0 to 1."""
SURE = 0.05
"""The same where all that is missing seems to be lost by chance."""
ENOUGH = 8
"""On fewer examples a candidate that did not help says nothing."""
FOR_NOISE = 0.5
"""The share of a budget up to which the program is run a third time and more: the candidates need the rest."""
MOST = 1000
"""More examples than these are not asked for."""


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
    nothing was changed. A few cheap candidates show what there is to gain; a simulation of this method's search and
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
    valset, said = apart(trainset, valset)
    check_number("repeats", repeats, 2)
    check_choice("candidates", candidates, range(4))
    check_number("sample", sample, 1)
    check_number("perfect", 0 if perfect is None else perfect, -math.inf, whole=False)
    with told_to_callers():
        trial = _Trial.of(settings, program, (trainset, valset), sample, perfect)
        for warning in said:
            trial.session.warn(warning)
        found = await _forecast(trial, repeats, CANDIDATES[:candidates])
    if found.recommendation != "go":
        advice = f"the pre-flight advised against this run, {found.recommendation}: {found.reason}"
        optimizer.advice[_about(settings, program, trainset, valset)] = advice
    return found


def advised(optimizer: Optimizer, program: dspy.Module, trainset: Any, valset: Any) -> str:
    """What a pre-flight said against compiling a program with these sets; "" where it did not."""
    return optimizer.advice.get(_about(optimizer.settings, program, trainset, valset), "")


def _about(settings: Settings, program: dspy.Module, trainset: Any, valset: Any) -> str:
    return digest_of(sealed(fingerprint(settings, program, trainset, valset), b""))


async def _forecast(trial: _Trial, repeats: int, candidates: Sequence[str]) -> Preflight:
    """Measure, and recommend."""
    split, method = trial.split, trial.settings.method
    learn = len(split.learn) if split.separate else 0
    sizes = of_sizes(method.search, method.search.evidence(learn, len(split.decide)), len(split.fresh))
    for warning in (*split.warnings, *sizes):
        trial.session.warn(warning)
    runs, seconds = await trial.runs(repeats, FOR_NOISE if candidates else 1.0)
    await trial.check_scores(runs[0])
    scores = [one.score for run in runs for one in scored(run)]
    best = score_range(scores, trial.candidates.perfect).best
    if any(score < best for score in scores):
        await trial.candidates.compare(candidates)
    return trial.report(runs, seconds, candidates)


@dataclass(frozen=True)
class _Trial:
    """What one pre-flight works with; `examples` are those that are decided on."""

    settings: Settings
    student: Student
    examples: Sequence[dspy.Example]
    split: Split
    planned: Planned
    pool: Pool
    candidates: CheapCandidates

    @classmethod
    def of(
        cls,
        settings: Settings,
        program: dspy.Module,
        sets: tuple[Sequence[dspy.Example], Sequence[dspy.Example] | None],
        sample: int,
        perfect: float | None,
    ) -> _Trial:
        (trainset, valset), start = sets, read(program)
        examples = trainset if valset is None else valset
        student = settings.student(program, settings.session(), trainset=trainset, valset=valset)
        split, planned = settings.plan(program, trainset, valset)
        ids, told = split.decide[-sample:], {"trainset": trainset, "valset": valset or ()}
        screen = Screen.of(Parameters.of(program), settings.method.restraint, told, start)
        on = {"what": "candidate", "purpose": Purpose.HEADROOM, "start_purpose": Purpose.HEADROOM, "planned": len(ids)}
        pool = Pool(start, evaluation(student, examples, **on))
        candidates = CheapCandidates(settings, student, split, trainset, pool, screen, ids, perfect)
        return cls(settings, student, examples, split, planned, pool, candidates)

    @property
    def session(self) -> Session:
        return self.student.session

    async def runs(self, repeats: int, share: float) -> tuple[list[Sequence[Outcome]], float]:
        """The outcomes of every run of the program, two at least, and the seconds of one without DSPy's cache.

        More than two take no more of a budget than `share`, 0 to 1.
        """
        ids, ledger, start = (*self.split.decide, *self.split.fresh), self.session.ledger, self.pool.start
        examples = [self.examples[number] for number in ids]
        first = await self.student.evaluate("preflight", examples, start, ids=ids)
        check_runs(first)
        self.pool[start].outcomes.update(zip(ids, first, strict=True))
        runs: list[Sequence[Outcome]] = [first]
        before, again = ledger.seconds, {"purpose": Purpose.NOISE, "fresh": True}
        for _ in range(repeats - 1):
            if len(runs) > 1 and ledger.nearest[0] * (1 + 1 / len(runs)) > share:
                self.session.warn(
                    f"the program was run {len(runs)} times and not {repeats}: the budget is for candidates"
                )
                break
            try:
                runs.append(await self.student.evaluate("again", examples, start, ids=ids, **again))
            except BudgetSpent as stop:
                if len(runs) < 2:
                    raise
                self.session.warn(f"the program was run {len(runs)} times and not {repeats}: {stop}")
                break
        asked = ledger.by_purpose.get(Purpose.NOISE, Spent()).calls
        calls = sum(len(one.graph.calls) for run in runs[1:] for one in scored(run))
        if asked < calls:
            self.session.warn(
                f"{calls - asked} of {calls} answers came from a cache, of language models that the program keeps "
                "where they cannot be asked afresh: scores may vary more than they seem to"
            )
        return runs, (ledger.seconds - before) / max(1, len(runs) - 1)

    async def check_scores(self, outcomes: Sequence[Outcome]) -> None:
        """Warn of what the first scores say against a run."""
        method, fresh = self.settings.method, set(self.split.fresh)
        scores = [one.score for one in scored(outcomes) if one.example_id not in fresh]
        health = of_scores(method.search, scores, (len(scores), len(fresh)), self.student.evaluator.kinds)
        for warning in (*health, *await regraded(self.student.evaluator, outcomes)):
            self.session.warn(warning)

    def report(self, runs: Sequence[Sequence[Outcome]], seconds: float, names: Sequence[str]) -> Preflight:
        """What was measured, as a record with a recommendation; `seconds`: how long one run took."""
        method, compared = self.settings.method, self.candidates.compared()
        outcomes = [one for run in runs for one in scored(run)]
        moved = flips([{one.example_id: one.score for one in scored(run)} for run in runs])
        possible = score_range([one.score for one in outcomes], self.candidates.perfect)
        seen = chance(moved, list(compared.values()), possible.width)
        step = step_of([possible.best - one.score for one in outcomes], possible.width)
        by = seen.at_least(len(outcomes) + sum(map(len, compared.values())), step)
        decide, fresh, tries = len(self.split.decide), len(self.split.fresh), self._tries
        power = Power(method.search, tries - 1, by, step, self.settings.seed)
        even, likely = power.gains(decide, fresh)
        gains = (0.05 * possible.width, 0.1 * possible.width)
        five, ten = (agreeing(power.needed(gain), gain, decide + fresh, likely) for gain in gains)
        score = mean([one for run in runs for one in run])
        again = self.session.ledger.by_purpose.get(Purpose.NOISE, Spent())
        found = Preflight(
            recommendation="",
            reason="",
            examples=decide + fresh,
            missing=sum(isinstance(one, Failed) for run in runs for one in run),
            score=score,
            best=possible.best,
            by_chance=min(possible.best - score, lost(seen.differing) * seen.size),
            noise=self._noise(len(runs), moved, seen.differing, luck(decide, by, tries, self.settings.seed)),
            attempts=tuple(
                Attempt(name, paired(compared[name]) if name in compared and len(compared[name]) else None)
                for name in names
            ),
            detectable=Detectable(decide, fresh, even, likely, five, ten),
            projection=self._projected(runs, again, seconds * (len(runs) - 1)),
            spent=self.session.ledger.by_purpose,
            seconds=self.session.ledger.seconds,
            warnings=(*self.session.warnings, *self.session.unanswered),
            open_ended=self.settings.most_steps > self.planned.steps and self.settings.budget is not None,
        )
        if self.candidates.cut and max((len(one) for one in compared.values()), default=0) < min(ENOUGH, decide):
            return replace(found, recommendation="larger budget first", reason=self._unseen(found, len(names)))
        tried = [one for one in compared.values() if not self.candidates.cut or len(one) >= min(ENOUGH, decide)]
        unseen = len(names) - len(tried) if self.candidates.cut else 0
        recommendation, reason = advise(
            found,
            possible.width,
            tried,
            lambda examples, reached: luck(examples, by, len(tried), self.settings.seed, reached),
            power.needed,
            unseen,
        )
        return replace(found, recommendation=recommendation, reason=reason)

    def _unseen(self, found: Preflight, candidates: int) -> str:
        """What is said where the budget ended before any candidate was seen on enough examples."""
        each = sum(spent.calls for name, spent in found.spent.items() if name in ("forward", "noise"))
        each /= found.noise.runs * max(1, found.examples)
        more = math.ceil(each * (candidates + 1) * len(self.candidates.sample))
        return (
            f"the program scores {found.score:.3g} of {found.best:.3g}, but whether any edit helps was not seen: the "
            f"budget ended before a cheap candidate was run on enough examples; about {more:,} more calls would do for "
            f"{counted(candidates, 'candidate')}, candidates=1 for fewer."
        )

    def _projected(self, runs: Sequence[Sequence[Outcome]], again: Spent, seconds: float) -> Projection:
        spent = again + self.session.ledger.by_purpose.get(Purpose.METRIC, Spent())
        measured = Measured.of((len(runs) - 1) * len(runs[0]), spent, seconds)
        return self.planned.projection(measured, shape_of(runs[0])).within(self.settings.budget or Budget())

    @property
    def _tries(self) -> int:
        return max(1, self.planned.steps * self.settings.method.search.proposals)

    def _noise(self, runs: int, moved: Flips, differing: float, luck: float) -> Noise:
        models = [predictor.lm or dspy.settings.lm for predictor in self.student.program.predictors()]
        return Noise(
            runs=runs,
            examples=moved.examples,
            changed=moved.changed,
            rate=moved.rate,
            deviation=moved.deviation,
            differing=differing,
            size=moved.size or 0.0,
            tries=self._tries,
            luck=luck,
            cold=all(sampling(lm)["settings"].get("temperature") == 0 for lm in models if lm is not None),
        )


def advise(
    found: Preflight,
    width: float,
    attempts: Sequence[Comparison],
    lucky: Callable[[int, float], float],
    needed: Callable[[float], int | None],
    unseen: int = 0,
) -> tuple[Advice, str]:
    """What to do, and why.

    Args:
        width: The metric's whole range, in metric points.
        lucky: On so many examples the gain, in metric points, that the best of the attempts surpasses with this
            probability, 0 to 1, if none has any effect.
        needed: The number of examples on which a true gain, in metric points, is returned four times in five.
        unseen: How many candidates the budget did not last for.
    """
    room = found.headroom
    lasting = max(0.0, room - found.by_chance)
    tried = [one for one in attempts if len(one)]
    top = max(tried, key=lambda one: one.gain, default=None)

    def helped(by_luck: float) -> bool:
        return top is not None and top.gain > max(0.0, lucky(len(top), by_luck))

    score = f"the program scores {found.score:.3g} of {found.best:.3g}"
    if room <= SMALL * width:
        return "no headroom", f"{score}: {room:.2g} is all that there is to gain."
    if lasting <= SMALL * width and not helped(SURE):
        if found.by_chance >= NOISY * width:
            why = "answers vary so much that no edit can be judged; sample more than once, or lower the temperature"
            return "too noisy", f"{score}, and about {min(room, found.by_chance):.2g} is lost by chance: {why}."
        why = "what fails changes from run to run, or with the mere wording"
        return "no headroom", f"{score}, and what is missing is lost by chance ({why})."
    seen = {said for one in tried for pair in one.pairs for said in (pair.old, pair.new)}
    same = ""
    if len(seen) == 1 and not found.noise.changed and max(len(one) for one in tried) >= ENOUGH:
        same = f" The metric said {found.score:.3g} of every execution: it may not be able to tell programs apart."
        if found.score:
            return "nothing to learn", f"{score}.{same}"
    if top is not None and not helped(LIKELY) and max(len(one) for one in tried) >= ENOUGH:
        by_luck = f"{top.gain:+.2g}; luck alone makes more than {lucky(len(top), LIKELY):+.2g} in one case of four"
        if unseen:
            return "larger budget first", (
                f"{score}; {counted(len(tried), 'cheap candidate')} did not help (the best: {by_luck}), and for "
                f"{unseen} more the budget did not last, which says too little of what a search finds."
            )
        return "nothing helped", (
            f"{score}, but none of {len(tried)} cheap candidates helped on a sample of {len(top)} "
            f"(the best: {by_luck}).{same}"
        )
    if top is not None and helped(LIKELY):
        hoped = max(SMALL * width, top.gain - max(0.0, lucky(len(top), 0.5)))
        return _detected(
            found, needed, hoped, f"{score}; the best cheap candidate promises a gain of about {hoped:.2g}"
        )
    hope = f"{score}; a gain of about {lasting / 2:.2g} (half of what is not lost by chance) can be hoped for"
    return _detected(found, needed, lasting / 2, hope)


def _detected(found: Preflight, needed: Callable[[float], int | None], hoped: float, hope: str) -> tuple[Advice, str]:
    """What to do about a gain that can be hoped for: whether it would be found."""
    least = found.detectable.even
    if least is not None and hoped >= least:
        return "go", f"{hope}, and gains from {least:.2g} are found on these examples."
    even = f"a gain is found every second time only from {least:.2g}" if least is not None else ""
    even, wanted = even or "no gain can be told from luck", needed(hoped)
    if wanted is not None and wanted <= MOST:
        more = f"pass about {max(wanted, found.examples + 1):,} examples to decide on"
        return "more examples first", f"{hope}, but on these examples {even}: {more}."
    return "too noisy", f"{hope}, but {even}, and it takes more than {MOST:,} examples."
