"""A method and its placebos side by side: one code path, one budget, and examples that none of them has seen.

A search that tries many rewrites gains something whatever the feedback says. What counts for the graph and the
gradients is only what is gained beyond a search that is told nothing, or something false.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import dspy

from .. import _checks as checks
from .. import presets
from .._backward.ask import GradientCache
from .._compile import compiled
from .._concurrency import Interrupt
from .._decide.comparison import Comparison, Pair
from .._decide.pool import Pool, evaluation
from .._decide.records import Paired, paired
from .._decide.shape import shape_of
from .._decide.split import repeated_in
from .._errors import SetupError, told_to_callers
from .._evaluate.candidate import Candidate, clone, read
from .._evaluate.outcome import mean, scored
from .._evaluate.student import check_runs
from .._json import from_json, to_json
from .._method import Method
from .._session.budget import Budget, Purpose, Spent
from .._session.lm import never_cached
from .._session.projection import Measured
from .._session.session import UNANSWERED, Session, logger
from .._settings import Optimizer, Settings
from .._terminal import (
    LINES,
    clean,
    counted,
    displayed,
    first,
    fitted,
    printable,
    terminal_columns,
    warned_within,
    wrapped,
)

_NAME, _GAIN, _BROAD = 12, 21, 76
_OVER = "own method over it"
SURE = 0.05
"""The p-value up to which one arm is said to be better than another."""
LONGER = 4
"""How many times the optimizer's steps an arm may make: cheap ones make more of the same budget."""
Sets = tuple[Sequence[dspy.Example], Sequence[dspy.Example] | None]
"""The examples to learn from, and those to decide on; None for the same."""


@dataclass(frozen=True)
class Arm:
    """One method.

    Args:
        scores: For each seed, the mean score of the returned program on the held-out examples, in metric points.
        returned: For each seed, whether another program than the start came back.
        spent: For each seed, what the run spent.
        gain: Its programs and the start on the held-out examples; the scores of an example are averaged over seeds.
        behind: The optimizer's own method and this one: its gain is what the own method has more; None for itself.
    """

    name: str
    scores: tuple[float, ...]
    returned: tuple[bool, ...]
    spent: tuple[Spent, ...]
    gain: Paired
    behind: Paired | None = None

    @property
    def score(self) -> float:
        """The mean over seeds, in metric points."""
        return math.fsum(self.scores) / len(self.scores)


@displayed
@dataclass(frozen=True)
class Placebo:
    """A method and its placebos.

    Args:
        examples: How many examples were held out.
        score: The start's mean score on these, in metric points.
        seeds: The seeds of the runs.
        budget: What each run might spend: calls, tokens, usd, metric_calls, seconds, those that are bounded.
        arms: The optimizer's own method first.
        spent: What the held-out evaluations cost, by purpose; no part of any arm's budget.
        seconds: Wall time, in seconds.
        warnings: What could not be established, in words.
    """

    examples: int
    score: float
    seeds: tuple[int, ...]
    budget: Mapping[str, int | float]
    arms: tuple[Arm, ...]
    spent: Mapping[str, Spent] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def better_than(self) -> tuple[str, ...]:
        """The placebos that the own method is better than, at p = 0.05."""
        return tuple(one.name for one in self.arms if one.behind is not None and one.behind.p_value <= SURE)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return to_json(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Placebo:
        """The inverse of `to_dict`.

        Raises:
            ValueError: If a part is missing or of another kind.
        """
        return from_json(cls, state)

    @printable
    def __str__(self) -> str:
        most = ", ".join(f"{value:,.6g} {name}" for name, value in self.budget.items())
        runs = f"{counted(len(self.seeds), 'run')} of each method, each with at most {most}"
        head = f"{self.examples} held-out examples, {runs}."
        table = [
            f"{'method':{_NAME}} score {'over the start (90 %)':{_GAIN}} p" + _beside(f"{_OVER:{_GAIN}} p", "    "),
            f"{'the start':{_NAME}} {self.score:5.3g}",
            *map(_row, self.arms),
        ]
        lines = wrapped(self._verdict(), "", 4, indent=0)
        lines += [
            *wrapped(head, "", 2, indent=0),
            *(first(line, terminal_columns()) for line in "\n".join(table).split("\n")),
        ]
        calls = ", ".join(f"{clean(one.name)} {sum(spent.calls for spent in one.spent):,}" for one in self.arms)
        held_out = sum(self.spent.values(), Spent()).calls
        tail = wrapped(f"Calls: {calls}; held-out evaluations {held_out:,}.", "", 3, indent=0)
        return "\n".join([*lines, *tail, *warned_within(self.warnings, LINES - len(lines) - len(tail))])

    def _verdict(self) -> str:
        own, *others = self.arms
        name = clean(own.name)
        unclear = [clean(one.name) for one in others if one.name not in self.better_than]
        said = []
        if self.better_than:
            said.append(f"{name} is better than {', '.join(map(clean, self.better_than))} (p <= {SURE:g})")
        if unclear:
            said.append(f"it was not shown that {name} is better than {', '.join(unclear)}")
        if not any(own.returned):
            said.append(f"{name} returned the program as it was given")
        return "; ".join(said)[:1].upper() + "; ".join(said)[1:] + "."


def _row(one: Arm) -> str:
    row = f"{fitted(one.name, _NAME)} {one.score:5.3g} {_gain(one.gain)}"
    return row if one.behind is None else row + _beside(_gain(one.behind))


def _beside(text: str, between: str = "") -> str:
    """The right half of a row; in a terminal that is too narrow, below the left one."""
    return f"{between}  {text}" if terminal_columns() >= _BROAD else f"\n{'':{_NAME + 7}}{text}"


def _gain(pair: Paired) -> str:
    low, high = pair.interval
    digits = 2 if max(abs(low), abs(high)) < 10 else 0
    text = f"{pair.gain:+.{digits + 1}f} ({low:+.{digits}f}, {high:+.{digits}f})"
    return f"{text:{_GAIN}} " + ("<.001" if pair.p_value < 0.001 else f"{pair.p_value:.3f}")


async def aplacebo(
    optimizer: Optimizer,
    program: dspy.Module,
    trainset: list[dspy.Example],
    valset: list[dspy.Example] | None,
    testset: list[dspy.Example],
    *,
    arms: Sequence[str | Method] | None = None,
    seeds: Sequence[int] = (0,),
) -> Placebo:
    """Compare this optimizer with placebos: the same run without what its method stands for, at the same budget.

    Every run may spend the optimizer's budget; without one, the calls that its own run is projected to take. It
    makes up to four times as many steps, past DSPy's cache, so that cheap methods use the budget too. What comes
    back is compared, example by example, on held-out examples, whose cost is no part of any budget.

    Args:
        optimizer: Whose settings are used.
        program: The program; it is not changed.
        trainset: The examples to learn from.
        valset: The examples on which proposals are decided; None decides on the trainset.
        testset: The held-out examples.
        arms: The placebos, "isolated", "shuffled", "no_gradient", "one_step", or any `Method`; None: these four.
        seeds: The seeds of the runs; every method runs once with each.

    Returns:
        A record that prints as a table.

    Raises:
        SetupError: If the arguments cannot work; nothing was spent.
        SemanticBackpropError: As `acompile`.
    """
    settings = optimizer.settings
    settings.check(program, trainset=trainset, valset=valset, testset=testset)
    valset, _ = checks.apart(trainset, valset)
    checks.check_number("steps, where placebos are compared,", settings.most_steps, 1)
    methods = _methods(settings.method, arms)
    for seed in checks.check_list("seeds", seeds):
        checks.check_number("seeds", seed, -math.inf)
    with told_to_callers():
        return await _compared(settings, program, (trainset, valset), testset, methods, seeds)


async def _compared(
    settings: Settings,
    program: dspy.Module,
    sets: Sets,
    testset: Sequence[dspy.Example],
    methods: Sequence[Method],
    seeds: Sequence[int],
) -> Placebo:
    """Run every method with every seed, and compare what they return."""
    session, start = settings.session(budget=Budget()), read(program)
    student = settings.student(program, session, testset=testset)
    on = evaluation(student, testset, what="heldout", purpose=Purpose.HELDOUT, start_purpose=Purpose.HELDOUT)
    held = _HeldOut(Pool(start, on), range(len(testset)), session)
    for name, examples in zip(("trainset", "valset"), sets, strict=True):
        if repeated := repeated_in(testset, examples or ()):
            session.warn(f"{repeated} of {len(testset)} held-out examples are in the {name} too: scores will flatter")
    seconds = session.ledger.seconds
    check_runs(await held.pool.outcomes(start, held.ids))
    budget = _budget(settings, program, sets, held, session.ledger.seconds - seconds)
    _announce(held, budget, len(methods) * len(seeds))
    found: dict[str, list[tuple[Candidate, Spent]]] = {method.name: [] for method in methods}
    for seed in seeds:
        for method in methods:
            better = await _run(settings, program, sets, method, seed, budget)
            candidate = read(better)
            held.pool.add(candidate, start, 0)
            await held.pool.outcomes(candidate, held.ids)
            found[method.name].append((candidate, better.detailed_results.total))
            for one in better.detailed_results.warnings:
                if UNANSWERED in one:
                    session.warn(f"{method.name}, seed {seed}: {one}")
    own = methods[0].name
    return Placebo(
        examples=len(testset),
        score=held.score(start),
        seeds=tuple(seeds),
        budget={name: most for name, most in asdict(budget).items() if isinstance(most, (int, float))},
        arms=tuple(held.arm(method.name, found, own) for method in methods),
        spent=session.ledger.by_purpose,
        seconds=session.ledger.seconds,
        warnings=(*session.warnings, *session.unanswered),
    )


def _methods(own: Method, arms: Any) -> list[Method]:
    """The methods to compare: the optimizer's own one, and the arms; None for all placebos but the own one."""
    known = presets.PLACEBOS
    if arms is None:
        arms = [name for name in known if name != own.name]
    methods = [own]
    for arm in checks.check_list("arms", arms):
        if not isinstance(arm, Method) and (not isinstance(arm, str) or arm not in known):
            raise SetupError(f"arms: {arm!r} is neither a Method nor one of {', '.join(known)}")
        methods.append(arm if isinstance(arm, Method) else known[arm]())
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise SetupError(f"arms: every method needs a name of its own, not {', '.join(names)} (the first is your own)")
    return methods


async def _run(settings: Settings, program: dspy.Module, sets: Sets, method: Method, seed: int, budget: Budget) -> Any:
    # What one arm has asked would be free for the next one, which were no equal budget.
    arm = replace(
        settings,
        method=method,
        seed=seed,
        budget=budget,
        auto=None,
        steps=LONGER * settings.most_steps,
        gradient_lm=never_cached(settings.gradient_lm),
        answers=GradientCache(None),
        log_dir=None if settings.log_dir is None else Path(settings.log_dir) / f"{method.name}-{seed}",
    )
    with dspy.context(lm=never_cached(dspy.settings.lm)):
        return await compiled(arm, _uncached(program), *sets, Interrupt())


def _budget(settings: Settings, program: dspy.Module, sets: Any, held: _HeldOut, seconds: float) -> Budget:
    """The optimizer's budget; where it has none, the calls that its run is projected to take."""
    if settings.budget is not None:
        return settings.budget
    _, planned = settings.plan(program, *sets)
    known = list(held.pool[held.pool.start].outcomes.values())
    measured = Measured.of(len(held.ids), held.spent, seconds)
    return Budget(calls=planned.projection(measured, shape_of(known)).probable.calls)


def _announce(held: _HeldOut, budget: Budget, runs: int) -> None:
    each = max(held.spent.calls + held.spent.cached, len(held.ids))
    calls = f"{runs * budget.calls:,} calls" if budget.calls is not None else "the budget each"
    logger.info("projected for %d runs: at most %s; up to %d more on held-out examples", runs, calls, runs * each)


@dataclass(frozen=True)
class _HeldOut:
    """Programs on the held-out examples."""

    pool: Pool
    ids: range
    session: Session

    @property
    def spent(self) -> Spent:
        """What their evaluation has cost."""
        return self.session.ledger.by_purpose.get(Purpose.HELDOUT, Spent())

    def score(self, candidate: Candidate) -> float:
        """The mean score of a candidate, in metric points."""
        return mean(list(self.pool[candidate].outcomes.values()))

    def arm(self, name: str, found: dict[str, list[tuple[Candidate, Spent]]], own: str) -> Arm:
        """What became of one method."""
        mine, start = [candidate for candidate, _ in found[name]], self.pool.start
        return Arm(
            name=name,
            scores=tuple(map(self.score, mine)),
            returned=tuple(candidate != start for candidate in mine),
            spent=tuple(spent for _, spent in found[name]),
            gain=paired(self._compared([start], mine)),
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


def _uncached(program: dspy.Module) -> Any:
    twin = clone(program)
    for _, module in twin.named_sub_modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, dspy.BaseLM):
                setattr(module, name, never_cached(value))
    return twin
