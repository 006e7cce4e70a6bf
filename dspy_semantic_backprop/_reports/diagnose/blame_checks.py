"""Checks of blame: a blamed call's output is changed as its gradient asks, and the metric decides.

What lies downstream of the change is run again, all else comes from the record. A score that rises says that
the change would have helped, not that no other would have. Where no single change of an example helped, all
its blamed outputs are changed together: a fault may lie in several calls at once. Calls whose outputs are the
answer are left alone: to change an answer into the wanted one proves nothing.

A check is only begun where the cap leaves room for all of it: half a check costs and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from ..._backward.blame import Blame
from ..._backward.gradient import TextGradient
from ..._backward.text import shown
from ..._concurrency import gather
from ..._errors import CapReached, MetricError
from ..._evaluate.outcome import Scored
from ..._evaluate.rerun import Rerun, rerun, unsafe
from ..._evaluate.student import Student
from ..._graph.graph import ComputationGraph
from ..._graph.trace import OUTPUT, Call
from ..._session.budget import Purpose
from ..._session.lm import ask
from ..._terminal import counted
from .record import Check

CHECKS = "checks of the blame"
"""What a session's progress calls them."""
LONGEST = 2000
"""The most tokens of one text that the question for another output shows; of a longer one, beginning and end."""

_QUESTION = """\
A step of a program was given an instruction and inputs, and produced an output. wanted_change says how the \
output should have been different. Write the output that the step should have produced instead: of the same \
kind, length and format as the one it did produce, with everything in it that need not change, and with the \
wanted change carried out. Write the output itself, as the step would; do not write about it, and do not \
mention the wanted change."""


@dataclass(frozen=True)
class Suspect:
    """A blamed call that can be checked.

    Args:
        share: Its share of the blame for that example, 0 to 1.
        fields: The output fields to change: those that other calls read; of a failed call, all.
        behind: The calls that the change may reach.
        cost: How many language-model calls the check is expected to take.
    """

    outcome: Scored
    call: Call
    share: float
    gradient: TextGradient
    fields: tuple[str, ...]
    behind: tuple[str, ...]
    cost: int


def suspects(
    outcome: Scored, gradients: Mapping[str, TextGradient], shares: Blame, final: Set[str]
) -> Iterator[Suspect]:
    """The blamed calls of one failing example that can be checked, by the graph's order; `final` predictors answer."""
    graph = outcome.graph
    for call in graph:
        share, gradient = shares.shares[call.id], gradients[call.id]
        if not share or not gradient or call.predictor in final:
            continue
        fields, behind = _read_fields(graph, call), graph.descendants(call.id)
        # What a failed call stood in the way of is not in the record.
        reach = len(outcome.trace.predictors) if call.error is not None else len(behind)
        if fields and reach:
            yield Suspect(outcome, call, share, gradient, fields, behind, 1 + reach)


def _read_fields(graph: ComputationGraph, call: Call) -> tuple[str, ...]:
    if call.error is not None:
        return tuple(field.name for field in call.output_fields)
    read = {edge.source.field for edge in graph.edges if edge.source.call == call.id and edge.target.call != OUTPUT}
    return tuple(name for name in call.outputs if name in read)


def final_predictors(graphs: Sequence[ComputationGraph]) -> frozenset[str]:
    """The predictors whose outputs no other call ever read."""
    called = {call.predictor for graph in graphs for call in graph}
    return frozenset(called - {call.predictor for graph in graphs for call in graph if graph.descendants(call.id)})


class Checker:
    """Makes the checks of one diagnosis: of at most so many single calls, with at most `max_calls` requests for all."""

    def __init__(self, student: Student, program: dspy.Module, *, most: int, max_calls: int) -> None:
        self.student, self.session = student, student.session
        self.program = program
        self.most = most
        self.max_calls = max_calls
        self.left_out = 0
        """How many checks the calls did not last for."""
        self._corrected: dict[tuple[int, str], dict[str, Any]] = {}

    async def __call__(self, everyone: Sequence[Suspect], shares: Mapping[str, float]) -> tuple[Check, ...]:
        """Check the most blamed calls one by one, then together where that did not help; single checks come first."""
        planned, left_out = self._planned(list(everyone), shares)
        self.left_out = left_out
        if left_out:
            self.session.warn(
                f"{counted(left_out, 'check')} would take more than the {self.max_calls} calls left to them (max_calls)"
            )
        alone = await self.session.working(CHECKS, lambda one: self._check([one]), planned)
        helped = {check.example_id for check in alone if check.confirmed}
        tried = {check.example_id for check in alone if check.after is not None}
        groups = self._groups([one for one in everyone if one.outcome.example_id in tried - helped])
        return (*alone, *await self.session.working(CHECKS, self._check, groups))

    def _planned(self, left: list[Suspect], shares: Mapping[str, float]) -> tuple[list[Suspect], int]:
        """The calls to check, in proportion to the blame of their predictors and spread over examples."""
        planned: list[Suspect] = []
        room, wanted = self.max_calls, min(self.most, len(left))

        def rank(one: Suspect) -> tuple[float, ...]:
            turn = shares[one.call.predictor] / (1 + sum(one.call.predictor == x.call.predictor for x in planned))
            return turn, -sum(one.outcome.example_id == x.outcome.example_id for x in planned), one.share

        while left and len(planned) < self.most:
            best = max(left, key=rank)
            left.remove(best)
            if best.cost <= room:
                room -= best.cost
                planned.append(best)
        return planned, wanted - len(planned)

    def _groups(self, everyone: Sequence[Suspect]) -> list[list[Suspect]]:
        """All suspects of one example, for as many examples as the cap has room for."""
        spent = self.session.ledger.by_purpose.get(Purpose.CHECK)
        room = self.max_calls - (spent.calls if spent else 0)
        groups: dict[int, list[Suspect]] = {}
        for one in everyone:
            groups.setdefault(one.outcome.example_id, []).append(one)
        kept = []
        for number, group in groups.items():
            changed = {one.call.id for one in group}
            cost = len({name for one in group for name in one.behind} - changed)
            cost += sum((number, one.call.id) not in self._corrected for one in group)
            if len(group) > 1 and cost <= room:
                room -= cost
                kept.append(group)
        return kept

    async def _check(self, group: Sequence[Suspect]) -> Check:
        outcome, session = group[0].outcome, self.session
        calls = tuple(one.call.id for one in group)
        check = Check(outcome.example_id, calls, tuple(one.call.predictor for one in group), outcome.score)
        problem = unsafe(outcome.trace, self.student.probe)
        if problem:
            return replace(check, problem=f"the program is not run again: {problem}")
        try:
            corrected = await gather(self._correct, group)
            changes = {
                (one.call.id, name): new[name] for one, new in zip(group, corrected, strict=True) for name in new
            }
            if not changes:
                return replace(check, problem="the gradient led to no other output")
            done = await rerun(
                self.program,
                outcome.trace,
                changes,
                ledger=session.ledger,
                limiter=session.limiter,
                allow_effects=self.student.probe == "always",
            )
            check = replace(check, asked=len(done.live), problem=done.problem)
            return check if done.problem else replace(check, after=await self._score(outcome, done))
        except (CapReached, LMError, MetricError) as error:
            return replace(check, problem=str(error))

    async def _correct(self, suspect: Suspect) -> dict[str, Any]:
        key = (suspect.outcome.example_id, suspect.call.id)
        if key not in self._corrected:
            with self.session.asking(Purpose.CHECK):
                self._corrected[key] = await corrected_output(suspect.call, suspect.gradient, suspect.fields)
        return self._corrected[key]

    async def _score(self, outcome: Scored, done: Rerun) -> float:
        if done.error is not None:
            return self.student.evaluator.failure_score
        evaluator = self.student.evaluator
        return (await evaluator.grade(outcome.example_id, outcome.example, done.returned, purpose=Purpose.CHECK)).score


async def corrected_output(call: Call, gradient: TextGradient, fields: Sequence[str]) -> dict[str, Any]:
    """Ask for the output that a call should have given, by its gradient: field -> value of the declared type.

    The question shows the call's inputs: the new output has to be one that the step could have given, so it may say no
    more about the rest of the program than the gradient does. Empty where none came, or the same as before.
    """
    texts = {
        "step_instruction": call.instruction,
        "step_inputs": call.inputs,
        "step_output": call.outputs if call.error is None else f"(none: {call.error})",
        "wanted_change": str(gradient),
    }
    reply = await ask(_signature(call, fields), {name: shown(text, LONGEST)[0] for name, text in texts.items()})
    values = {name: reply.get(f"new_{name}") for name in fields}
    as_before = call.error is None and all(call.outputs.get(name) == value for name, value in values.items())
    return {} if as_before or any(value is None for value in values.values()) else values


def _signature(call: Call, fields: Sequence[str]) -> Any:
    described = {field.name: field.description for field in call.output_fields}
    declared: dict[str, Any] = {
        "step_instruction": (str, dspy.InputField(desc="what the step was told to do")),
        "step_inputs": (str, dspy.InputField(desc="what it was given")),
        "step_output": (str, dspy.InputField(desc="what it produced")),
        "wanted_change": (str, dspy.InputField(desc="how that should have been different")),
    }
    for name in fields:
        about = f"the {name} that the step should have produced"
        description = f"{about} ({described[name]})" if described.get(name) else about
        declared[f"new_{name}"] = (call.annotations.get(name, str), dspy.OutputField(desc=description))
    return dspy.make_signature(declared, _QUESTION, "CorrectedOutput")
