"""What one run of gradient descent is made of, and what it has found so far."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import dspy
from pydantic import NonNegativeFloat

from ._decide.comparison import classes_of
from ._decide.consider import Decision, Fate
from ._decide.examples import graph_of
from ._decide.findings import of_examples, of_gradients, of_proposals, of_the_start
from ._decide.health import of_scores, of_sizes
from ._decide.pool import Pool, evaluation
from ._decide.records import Final, StepRecord, step_record
from ._decide.search import Material, Proposal, Searching
from ._decide.shape import shape_of
from ._decide.split import SINGLE, Split, groups_of
from ._errors import BudgetSpent, Ending
from ._evaluate.candidate import Candidate, read
from ._evaluate.evaluate import regraded
from ._evaluate.outcome import Outcome, Scored, score_range, scored
from ._evaluate.student import Student, check_runs, learns_nothing
from ._graph.program_graph import ProgramGraph
from ._propose.lessons import Learned
from ._propose.propose import Rewriter
from ._propose.protected import Parameters
from ._propose.screen import Screen
from ._session.budget import Purpose, Spent
from ._session.events import GraphKnown, Projected, StepDone
from ._session.journal import digest_of
from ._session.projection import Measured, Planned, Projection
from ._session.session import Session, logger
from ._settings import Settings

SAME_OF_ALL = 10
"""After so many executions with one and the same score it is said that the metric says the same of everything."""
_Amount = NonNegativeFloat
_MEASURED = tuple[()] | tuple[_Amount, _Amount, _Amount | None, _Amount]
"""What the first executions took, as a log holds it: nothing, or a `Measured`."""


@dataclass
class Run:
    """One run: its parts, and its state.

    `pool` has the candidates on the examples that are decided on, `train` on those to learn from; `classes`: example id
    -> class, where labels are few.
    """

    settings: Settings
    session: Session
    student: Student
    trainset: Sequence[dspy.Example]
    split: Split
    planned: Planned
    projection: Projection
    pool: Pool
    train: Pool
    search: Searching
    rewriter: Rewriter
    rng: random.Random
    classes: Mapping[int, str]
    records: list[StepRecord] = field(default_factory=list)
    final: Final | None = None
    _open: tuple[int, Learned] | None = None
    _checked: int = 0
    _flat: str = ""

    @classmethod
    def of(
        cls,
        settings: Settings,
        session: Session,
        program: dspy.Module,
        sets: tuple[Sequence[dspy.Example], Sequence[dspy.Example] | None],
        plan: tuple[Split, Planned],
    ) -> Run:
        """Put a run together; `plan` is what `Settings.plan` says of the same sets."""
        (trainset, valset), (split, planned), method = sets, plan, settings.method
        examples, rng = trainset if valset is None else valset, random.Random(settings.seed)
        start, student = read(program), settings.student(program, session, trainset=trainset, valset=valset)
        how = {"downstream": method.downstream, "planned": len(split.decide)}
        gate = evaluation(student, examples, what="gate", purpose=Purpose.GATE, **how)
        how |= {"planned": len(split.learn)}
        train = evaluation(student, trainset, what="train", purpose=Purpose.FORWARD, **how)
        twins = split.twins
        # What stands in both sets is one example, also to the estimate.
        both = {at: ("in both sets", twins[at]) for at in twins}
        pool = Pool(start, gate, both | groups_of(settings.group, "the examples", examples))
        given = {"trainset": trainset, "valset": valset or ()}
        screen = Screen.of(Parameters.of(program), method.restraint, given, start)
        on_train = pool
        if split.separate:
            theirs = {label[1]: label for label in both.values()}
            on_train = Pool(start, train, theirs | groups_of(settings.group, "trainset", trainset))
            pool.share(on_train, twins)
        material = Material(
            *(student, split, pool, on_train, examples, screen, method.choose_examples, method.downstream, rng)
        )
        return cls(
            settings=settings,
            session=session,
            student=student,
            trainset=trainset,
            split=split,
            planned=planned,
            projection=planned.projection().within(session.ledger.budget),
            pool=pool,
            train=on_train,
            search=method.search.begin(material),
            rewriter=Rewriter(session, method.propose, screen),
            rng=rng,
            classes=classes_of({number: examples[number] for number in split.decide}),
        )

    @property
    def start(self) -> Candidate:
        """The program as it was given."""
        return self.pool.start

    async def look_at_the_start(self) -> None:
        """Evaluate the start on the first examples that the search wants, and say what speaks against the run."""
        seconds = self.session.ledger.seconds
        outcomes = list(await self.search.start())
        if learns_nothing(outcomes):
            outcomes = await self.pool.outcomes(self.start, self.split.decide)
            check_runs(outcomes)
        self._measure(outcomes, self.session.ledger.seconds - seconds)
        for warning in (*self._health(outcomes), *await regraded(self.student.evaluator, outcomes)):
            self.session.warn(warning)
        if graph := self.graph:
            self.session.publish(GraphKnown(graph.to_dict()))

    @property
    def graph(self) -> ProgramGraph | None:
        """The graph of the program, by the executions of it as it was given; None where there are none."""
        return graph_of(self.student, list(dict.fromkeys((self.pool, self.train))))

    async def batches(self, step: int) -> tuple[Candidate, list[list[Scored]]]:
        """Whom a step improves, and the outcomes that each of its proposals learns from.

        A `BudgetSpent` where the seconds that are left are needed for the decision at the end.
        """
        left = self.session.ledger.seconds_left
        if left is not None and left < self.search.seconds:
            raise BudgetSpent(f"the budget of {self.session.ledger.budget.seconds:g} seconds is nearly spent")
        found = await self.search.batches(step)
        known = self.pool[self.start].outcomes
        if self._checked < len(self.split.decide) and all(number in known for number in self.split.decide):
            for warning in self._health([known[number] for number in self.split.decide]):
                self.session.warn(warning)
        return found

    async def prove(self, batches: Sequence[Sequence[Scored]], parent: Candidate) -> list[Scored]:
        """Outcomes of a program ready to be learned from, each as often as a batch holds it."""
        times: Counter[int] = Counter()
        for batch in batches:
            times |= Counter(outcome.example_id for outcome in batch)
        outcomes = {outcome.example_id: outcome for batch in batches for outcome in batch}
        return await self.student.prove([outcomes[number] for number in times.elements()], parent)

    async def consider(self, step: int, learned: Learned, proposals: Sequence[Proposal]) -> Decision:
        """Decide on the proposals of a step, and write down what became of it."""
        self._open = step, learned
        decision = await self.search.consider(step, proposals, learned.parent)
        self._record(step, learned, decision)
        return decision

    def record_cut(self) -> None:
        """Write down the step that the end of the run broke off, where what it had evaluated is accepted."""
        decision = self.search.cut() if self._open is not None else None
        if self._open is not None and decision is not None:
            self._record(*self._open, decision)

    def _record(self, step: int, learned: Learned, decision: Decision) -> None:
        self._open = None
        self.records.append(step_record(step, learned, decision, self.pool, self.classes))
        self.warn_of_a_flat_metric()
        self.session.publish(StepDone(step, self.records[-1].to_dict()))

    def warn_of_a_flat_metric(self) -> None:
        """Say it where the metric says the same of everything; where that is the best score, it is said already.

        What is no longer so is logged, and no warning of the result.
        """
        pools = {id(pool): pool for pool in (self.pool, self.train)}.values()
        entries = [entry for pool in pools for entry in pool]
        scores = [one.score for entry in entries for one in scored(list(entry.outcomes.values()))]
        scale = score_range(scores, self.settings.method.choose_examples.perfect)
        perfect = scale.known and min(scores, default=0.0) >= scale.best
        flat = len(scores) >= SAME_OF_ALL and len(set(scores)) == 1 and not perfect
        if flat and not self._flat:
            self._flat = (
                f"all {len(scores)} executions so far, of every candidate, score {scores[0]:.12g}: while that is so "
                "the metric cannot tell programs apart"
            )
            self.session.warn(self._flat)
        elif not flat and self._flat in self.session.warnings:
            self.session.warnings.remove(self._flat)

    def ended(self, ending: Ending, taught: bool) -> Ending:
        """How a run ends that made its last step; `taught` says whether any text was ever proposed."""
        if not self.settings.most_steps:
            return ending
        if not taught:
            return Ending.NOTHING_LEARNED
        return ending if self._tried else Ending.UNCHANGED

    @property
    def _tried(self) -> bool:
        """Whether any other program than the start was evaluated."""
        return any(entry.candidate != self.start for entry in self.pool)

    def warn_of_the_end(self) -> None:
        """Say, however the run ended, what came of nothing, and what took more than was told."""
        self.session.warn_of_overrun()
        self.warn_of_a_flat_metric()
        for warning in self._found_out():
            self.session.warn(warning)
        if self.records and not self._tried:
            same = sum(record.verdict == Fate.SAME.name.lower() for record in self.records)
            refused = [why for record in self.records for why in record.refused.values()]
            self.session.warn(
                f"no proposal changed the program: of {len(self.records)} steps, {same} proposed the instructions as "
                f"they are, and {len(refused)} texts were refused" + (f"; the first: {refused[0]}" if refused else "")
            )

    def _found_out(self) -> Iterator[str]:
        """What the run found out that no score shows, in words."""
        decided, learned = (scored(list(pool[self.start].outcomes.values())) for pool in (self.pool, self.train))
        separate = self.split.separate
        graph = self.graph
        if graph is not None:
            # What an edit sent to another predictor was learned about, too.
            spent = self.session.ledger.by_predictor
            idle = [name for name in self.start.instructions if spent.get(name, Spent()) == Spent()]
            yield from of_the_start([*(learned if separate else ()), *decided], graph, idle)
        if separate and not self.records and self.settings.most_steps:
            taught, tested = ([one.score for one in outcomes] for outcomes in (learned, decided))
            scale = score_range([*taught, *tested], self.settings.method.choose_examples.perfect)
            yield from of_examples(taught, tested, scale.best)
        yield from of_gradients(self.session.notes)
        if self._tried:  # else that nothing changed is said as a whole
            yield from of_proposals(self.session.notes)

    def warn_of_sizes(self) -> None:
        """Say what the sizes of the sets alone say against the run."""
        small = self._health()
        for warning in (*(one for one in self.split.warnings if not small or not one.endswith(SINGLE)), *small):
            self.session.warn(warning)

    def _health(self, outcomes: Sequence[Outcome] | None = None) -> list[str]:
        """What speaks against the run that costs nothing to know: from its sizes, or from the start's outcomes."""
        search, split = self.settings.method.search, self.split
        sizes = (search.evidence(len(split.learn) if split.separate else 0, len(split.decide)), len(split.fresh))
        if not self.settings.most_steps:
            return []
        if outcomes is None:
            return of_sizes(search, *sizes)
        kinds = {} if self._checked else self.student.evaluator.kinds
        self._checked = len(outcomes)
        return of_scores(search, [outcome.score for outcome in scored(outcomes)], sizes, kinds)

    def _measure(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        ledger, executions = self.session.ledger, len(outcomes)
        spent = ledger.by_purpose.get(Purpose.FORWARD, Spent()) + ledger.by_purpose.get(Purpose.METRIC, Spent())
        measured = self._measured(Measured.of(executions, spent, seconds))
        shape = shape_of(outcomes)
        projection = self.planned.projection(measured, shape)
        self.projection = projection.within(ledger.budget)
        # What depends on the clock would not be told again alike by a run that is resumed.
        self.session.show(Projected(self.projection))
        logger.info("%s", self.projection)
        runs = self.planned.executions
        if runs.elastic and measured is not None:
            full = replace(self.planned, executions=runs._replace(whole=runs.likely)).projection(measured, shape)
            ledger.hold(projection.calls, projection.executions, measured.calls, full.calls)
        asked, likely = self.settings.steps is not None, projection.probable
        for name, needed in (("calls", likely.calls), ("tokens", likely.tokens)) if asked else ():
            bound = getattr(ledger.budget, name)
            if bound is not None and needed is not None and needed > bound:
                self.session.warn(
                    f"the budget of {bound:,} {name} may not last for {self.projection.steps} steps, "
                    f"which are projected to take {needed:,}"
                )
        self.search.reserve(executions, seconds)

    def _measured(self, now: Measured | None) -> Measured | None:
        """What the first executions took; a resumed run, which has paid for more by now, goes by what it measured."""
        journal, key = self.session.journal, digest_of(["projected"])
        known = journal.take(key, _MEASURED) if journal else None
        if known is None:
            journal.keep("projected", key, list(now or ()))
            return now
        return Measured(*known) if known else None
