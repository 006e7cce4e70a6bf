"""The program of a run: run with any candidate's instructions, and its executions' graphs proved."""

from __future__ import annotations

import asyncio
import functools
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import dspy
from dspy.utils.exceptions import AdapterParseError

from .._concurrency import cancel, gather
from .._errors import BudgetSpent, ProgramError
from .._graph.edges import EDGES, Edge
from .._graph.evidence.combine import prove
from .._graph.evidence.replay.replays import Probe, Replays
from .._graph.graph import ComputationGraph
from .._graph.record.snapshots import describe
from .._graph.trace import OUTPUT, Call
from .._secrets.errors import hide, learn_held
from .._session.budget import Purpose
from .._session.events import EvaluationDone, EvaluationStarted, ExampleDone
from .._session.journal import digest_of
from .._session.lm import install, own, uncached
from .._session.session import Session
from .._session.spans import span
from .away import Elsewhere, elsewhere
from .candidate import Candidate, Edited, changed, clone, write
from .carried import CARRIED, FIRST, carried
from .evaluate import Evaluator, Keep
from .metric import Grade, NoGrade, adapt
from .outcome import Failed, Outcome, Scored, joined, mean, scored
from .places import Places
from .reach import KEPT, Reach
from .reuse import Reuse
from .shelf import Shelf

EXECUTIONS = "executions of an example"
"""What a session counts them as."""
MOST_PROOFS = 3
"""Of a shape with calls that seem to feed nothing so many executions are replayed at most."""
MOST_STRAYED = 3
"""After so many executions that did not repeat the incumbent's, a run reuses none of its answers any more."""


@dataclass
class Student:
    """The program that a run works on; it is never changed, only copies of it are run.

    Args:
        probe: How far to prove the edges of its graphs.
        away: Runs its copies in other processes; None in this one.

    Attributes:
        lowest: The lowest score, in metric points, of an execution that did not fail; infinity before there was one.
        reach: Which predictors' edits reach a prompt.
        strayed: How many executions were given other inputs than before although nothing upstream had changed.
    """

    program: dspy.Module
    session: Session
    evaluator: Evaluator
    probe: Probe = "auto"
    away: Elsewhere | None = None
    strayed: int = 0
    lowest: float = math.inf
    reach: Reach = field(default_factory=Reach)
    _evaluations: int = 0
    _called: dict[int, dspy.Example] = field(default_factory=dict)
    _shapes: dict[Any, tuple[Edge, ...]] = field(default_factory=dict)
    _proofs: Counter[Any] = field(default_factory=Counter)
    _words: dict[Scored, Mapping[str, str]] = field(default_factory=dict)
    _shelf: Shelf = field(default_factory=Shelf)
    _places: Places = field(kw_only=True)
    _edited: Edited = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        program: dspy.Module,
        session: Session,
        metric: Any,
        *,
        sets: Mapping[str, Sequence[dspy.Example]],
        failure_score: float = 0.0,
        probe: Probe = "auto",
        where: Any = None,
    ) -> Student:
        """A program with the evaluator that grades it; `sets`: name -> examples, by which errors name an example."""
        shelf, places = Shelf(), Places(session.ledger, len(program.predictors()))
        learn_held(program)

        def on_outcome(outcome: Outcome) -> None:
            session.publish(ExampleDone(outcome.example_id, getattr(outcome, "score", None)))
            shelf.tidy()
            places.ended(outcome)

        evaluator = Evaluator(
            metric=adapt(metric),
            ledger=session.ledger,
            limiter=session.limiter,
            sets=sets,
            failure_score=failure_score,
            limits=session.limits,
            on_outcome=on_outcome,
        )
        return cls(program, session, evaluator, probe, elsewhere(where, session), _shelf=shelf, _places=places)

    def copy_with(self, candidate: Candidate) -> dspy.Module:
        """A copy of the program with a candidate's instructions."""
        return write(candidate, clone(self.program, self.session.warn), self._edited)

    async def evaluate(  # noqa: PLR0913 - keyword-only parts of one question
        self,
        what: str,
        examples: Sequence[dspy.Example],
        candidate: Candidate,
        *,
        ids: Sequence[int] | None = None,
        purpose: Purpose = Purpose.FORWARD,
        known: Sequence[Outcome] = (),
        planned: int | None = None,
        reuse: Reuse | None = None,
        fresh: bool = False,
        edited_from: Candidate | None = None,
        keep: Keep = lambda outcomes: None,
    ) -> tuple[Outcome, ...]:
        """Run and grade the program, with a candidate's instructions, on examples.

        Args:
            what: Which set, for subscribers.
            ids: What each example is called in its outcome; None: its position.
            purpose: What the calls are booked under.
            known: The candidate's outcomes on other examples of the same set.
            planned: How many outcomes there are going to be; None: these and the known ones.
            reuse: The outcomes of the program that was edited, so that only what the edit can reach is asked; None asks
                everything, and so does a run whose program was seen `MOST_STRAYED` times not to repeat itself.
            fresh: Whether DSPy's cache must not answer.
            edited_from: What the candidate was made from, where its first execution is to show whether an edit reaches
                a prompt: where none does, that one is the only one.
            keep: Told the outcomes that were paid for where the budget does not last for all.
        """
        program = self.copy_with(candidate)
        away = self.away.runner(program, fresh) if self.away is not None else None
        install(program, self.session.ledger)
        own(program, self.session.ledger)
        self._evaluations += 1
        self.session.publish(EvaluationStarted(what, len(examples)))
        ids = list(range(len(examples))) if ids is None else ids
        evaluating = span("evaluation", what=what, examples=len(examples))
        with evaluating, self._asking(program, fresh), self._places.row(ids, purpose) as row:
            reuse = reuse if self.strayed < MOST_STRAYED else None
            where = f"evaluation {self._evaluations}"
            how = {"purpose": purpose, "where": where, "reuse": reuse, "away": away, "row": row}
            run = functools.partial(self.evaluator, **how)
            outcomes = await _until(
                None if edited_from is None else _Look(self, candidate, edited_from),
                functools.partial(run, program),
                examples,
                ids,
                lambda some: keep(self._no_better_for_failing(some)),
            )
        for outcome in outcomes:
            self.session.asked[EXECUTIONS].count(outcome.error if isinstance(outcome, Failed) else None)
        outcomes = self._no_better_for_failing(outcomes)
        self._count_strayed(outcomes)
        if any(map(self._is_kept, scored(outcomes))):
            self.session.warn(KEPT)
        names = carried(self.program, program, scored(outcomes)) if self._evaluations <= FIRST and not away else []
        if names:
            self.session.warn(CARRIED.format(", ".join(f"`{name}`" for name in names)))
        self._called.update((id(one.example), one.example) for one in scored(outcomes) if one.trace.calls)
        for words in dict.fromkeys(words for one in scored(outcomes) for words in one.trace.shared):
            self.session.warn(words)
        self.evaluator.check_missing([*known, *outcomes], planned or len(known) + len(outcomes))
        self.session.publish(EvaluationDone(what, mean(outcomes), len(outcomes) - len(scored(outcomes))))
        self._shelf.put(outcomes)
        return outcomes

    def _asking(self, program: dspy.Module, fresh: bool) -> AbstractContextManager[Any]:
        return uncached(program, self.session.ledger) if fresh else nullcontext()

    def looks(self, candidate: Candidate, parent: Candidate, outcome: Outcome) -> bool:
        """Look, in the first execution of a candidate, whether its edits reach a prompt; True where none does."""
        edits = changed(parent, candidate)
        if isinstance(outcome, Scored):
            self.reach.look(outcome.trace, candidate, parent, edits, self._is_kept(outcome))
        for name, why in self.reach.unreached.items():
            if why != KEPT:  # that is said once, of all of them
                self.session.warn(f"the edited instruction of {name} is in no prompt: {why}; it is edited no further")
        for name, why in self.reach.partly.items():
            self.session.warn(f"some calls of {name} are not told its edited instruction: {why}")
        return self.reach.is_inert(edits)

    def _is_kept(self, outcome: Scored) -> bool:
        """Whether the program answered without a call, where it had made some before: nothing but its state says so."""
        return not outcome.trace.calls and outcome.raised is None and id(outcome.example) in self._called

    def _no_better_for_failing(self, outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
        """The outcomes, of which none that failed has more than the lowest score of one that did not.

        Where scores are losses, 0 for a failure would be the best score there is.
        """
        self.lowest = min([self.lowest, *(one.score for one in scored(outcomes) if one.raised is None)])

        def bounded(one: Outcome) -> Outcome:
            if not isinstance(one, Scored) or one.raised is None or one.score <= self.lowest:
                return one
            return replace(one, score=self.lowest)

        return tuple(map(bounded, outcomes)) if math.isfinite(self.lowest) else tuple(outcomes)

    def _count_strayed(self, outcomes: Sequence[Outcome]) -> None:
        # Between evaluations and not within one, so that a resumed run decides alike.
        self.strayed += sum(outcome.strayed for outcome in scored(outcomes))
        if self.strayed >= MOST_STRAYED:
            most = self.session.ledger.hold_in_full()
            self.session.warn(
                "the program is not deterministic: its predictors were given other inputs than before although nothing "
                "upstream of them had changed; from now on proposals are evaluated in full, which takes more calls"
                + (f", at most {most:,} in all" if most else "")
            )

    async def prove(self, outcomes: Sequence[Scored], candidate: Candidate) -> list[Scored]:
        """The outcomes ready to be learned from.

        The edges of their graphs are proved by replay, as far as that can be done safely; and a metric that takes
        GEPA's arguments is asked for its words, once for each call that wrote the answer. No score is changed by them.
        """
        program = self.copy_with(candidate)
        graphs = [await self._proved(outcome, program) for outcome in outcomes]
        known = dict(zip(outcomes, graphs, strict=True))
        told = await gather(lambda one: self._with_words(*one, program), known.items())
        return [dict(zip(known, told, strict=True))[outcome] for outcome in outcomes]

    def known(self, outcome: Scored) -> ComputationGraph:
        """The graph of an execution with the edges that were proved for its shape; where none were, as it is."""
        return replace(outcome.graph, edges=self._shapes.get(_shape(outcome.graph), outcome.graph.edges))

    async def _with_words(self, known: Scored, graph: ComputationGraph, program: dspy.Module) -> Scored:
        outcome = replace(known, graph=graph)
        if known not in self._words:
            writers = list({member.call.id: member.call for member in outcome.graph.group(OUTPUT)}.values())
            said = await gather(functools.partial(self._words_for, outcome, program), writers)
            self._check_scores(outcome, said)
            found = zip(writers, said, strict=True)
            self._words[known] = {one.id: grade.feedback for one, grade in found if grade and grade.feedback}
        told = self._words[known]
        return replace(outcome, told=told, feedback=outcome.feedback or joined(told))

    async def _words_for(self, outcome: Scored, program: dspy.Module, writer: Call) -> Grade | None:
        try:
            return await self.evaluator.words(program, outcome, writer)
        except NoGrade as error:
            self.session.warn(f"the metric's language model had no words for {writer.predictor}: {error}")
            return None

    def _check_scores(self, outcome: Scored, said: Sequence[Grade | None]) -> None:
        if any(grade is not None and grade.score != outcome.score for grade in said):
            self.session.warn(
                "the metric scores a prediction otherwise when it is told of a predictor; the score that it gave "
                "without one counts"
            )

    async def _proved(self, outcome: Scored, program: dspy.Module) -> ComputationGraph:
        # Executions of one shape have the same edges: what one of them proved holds for all. One where a look-up found
        # nothing shows no edge through it, since it finds nothing whatever else is asked: others are asked then.
        shape, graph = _shape(outcome.graph), outcome.graph
        known = self._shapes.get(shape, ())
        if not self._proofs[shape] or (self._proofs[shape] < MOST_PROOFS and _feed_nothing(graph.calls, known)):
            self._proofs[shape] += 1
            self._shapes[shape] = _joined(known, await self._proved_edges(outcome, program))
        return replace(graph, edges=self._shapes[shape])

    async def _proved_edges(self, outcome: Scored, program: dspy.Module) -> tuple[Edge, ...]:
        # A resumed run goes by what was found before, and asks for no proof again.
        journal, graph = self.session.journal, outcome.graph
        key = digest_of(["edges", [call.id for call in graph], EDGES.dump_python(graph.edges)]) if journal else ""
        known = journal.take(key, tuple[Edge, ...], lambda edges: replace(graph, edges=edges)) if journal else None
        if known is not None:
            return known
        proved = await prove(graph, outcome.trace, Replays(program, outcome.trace.inputs), self.probe)
        for warning in proved.warnings:
            self.session.warn(warning)
        journal.keep("edges", key, EDGES.dump_python(proved.edges, mode="json"))
        return proved.edges


def _feed_nothing(calls: Sequence[Call], edges: Sequence[Edge]) -> bool:
    """Whether there is a call whose outputs nothing seems to read."""
    return bool({call.id for call in calls} - {edge.source.call for edge in edges})


def _joined(known: tuple[Edge, ...], found: tuple[Edge, ...]) -> tuple[Edge, ...]:
    """The edges of some executions of a shape, and those that a further one has proved besides."""
    ends = {(edge.source, edge.target) for edge in known}
    return known + tuple(
        edge for edge in found if not known or ("replay" in edge.known_by and (edge.source, edge.target) not in ends)
    )


def _shape(graph: ComputationGraph) -> tuple[tuple[str, ...], tuple[Edge, ...]]:
    return tuple(call.id for call in graph), graph.edges


@dataclass(frozen=True)
class _Look:
    """Whether an edit reaches a prompt: seen while the first execution runs, or when it has ended."""

    student: Student
    candidate: Candidate
    parent: Candidate

    def shows(self, call: Mapping[str, Any]) -> bool:
        return self.student.reach.shows(call, self.candidate, changed(self.parent, self.candidate))

    def none_does(self, first: Outcome) -> bool:
        return self.student.looks(self.candidate, self.parent, first)


async def _until(
    look: _Look | None,
    run: Any,
    examples: Sequence[dspy.Example],
    ids: Sequence[int],
    keep: Keep,
) -> tuple[Outcome, ...]:
    """The outcomes of all examples; where in the first one no edit reaches a prompt, that one's alone.

    The others are begun as soon as one is seen to: in a program of many calls that is long before the first has ended.
    """
    if look is None or not examples:
        return await run(examples, ids=ids, keep=keep)
    loop, seen, stops, kept = asyncio.get_running_loop(), asyncio.Event(), [], []

    def on_told(call: Mapping[str, Any]) -> None:
        if not seen.is_set() and look.shows(call):
            with suppress(RuntimeError):  # of a thread that nobody waits for any more
                loop.call_soon_threadsafe(seen.set)

    async def paid(work: Callable[[], Awaitable[tuple[Outcome, ...]]]) -> tuple[Outcome, ...]:
        try:
            return await work()
        except BudgetSpent as stop:
            stops.append(stop)
            return ()

    first = asyncio.ensure_future(run(examples[:1], ids=ids[:1], on_told=on_told))
    noticed = asyncio.ensure_future(seen.wait())
    try:
        await asyncio.wait({first, noticed}, return_when=asyncio.FIRST_COMPLETED)
        if first.done() and look.none_does(first.result()[0]):
            return first.result()
        looked = first.done()
        others = functools.partial(run, examples[1:], ids=ids[1:], keep=kept.extend)
        one, rest = await gather(paid, [lambda: first, others])
        if one and not looked:
            look.none_does(one[0])
        if stops:
            keep((*one, *rest, *kept))
            raise stops[0]
        return (*one, *rest)
    finally:
        await cancel([first, noticed])


def learns_nothing(outcomes: Sequence[Outcome]) -> bool:
    """Whether no execution of several is one to learn from: each raised, returned nothing, or called no predictor."""
    ended = scored(outcomes)
    return bool(ended) and all(one.raised is not None or one.returned is None or not len(one.graph) for one in ended)


def check_runs(outcomes: Sequence[Outcome]) -> None:
    """Refuse a program that raised, returned nothing or called no predictor on every example: it teaches nothing."""
    ended = scored(outcomes)
    raised = [outcome.raised for outcome in ended]
    if raised and all(error is not None and not isinstance(error, AdapterParseError) for error in raised):
        first = cast(BaseException, raised[0])
        hide(first)
        message = f"the program raised on every one of {len(raised)} examples; the first: {describe(first)}"
        raise ProgramError(message) from first
    if ended and not any(raised):
        if all(one.returned is None for one in ended):
            raise ProgramError(
                f"the program returned nothing on every one of {len(ended)} examples; its forward must return it"
            )
        if not any(len(one.graph) for one in ended):
            raise ProgramError(
                f"the program called no predictor on any of {len(ended)} examples, as far as can be seen: there is "
                "nothing to learn from"
            )
