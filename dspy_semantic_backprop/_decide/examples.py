"""Examples with what candidates did on them, in short texts: what a report shows as before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError
from typing import Any

import dspy

from .._evaluate.candidate import Candidate
from .._evaluate.outcome import Failed, Outcome, Scored
from .._evaluate.student import Student
from .._graph.program_graph import ProgramGraph, aggregate
from .._values.text import readable
from .pool import Pool
from .records import StepRecord

MOST_ANSWERS, MOST_CALLS, MOST_GRAPHS = 3_000, 40, 200
"""How many answers a result keeps, how many calls of each, and of how many executions it draws the graph."""
_LONGEST = 4_000
"""Characters of one text that are kept; a text that is cut says so at its end."""


@dataclass(frozen=True)
class Answer:
    """What a candidate did on an example.

    Args:
        score: In metric points; None where the provider failed.
        returned: Field of the returned prediction -> its text.
        calls: Call id -> what it wrote, as text.
        feedback: The metric's words; "" for none.
        error: What the program raised, or why it could not be run; "" for nothing.
    """

    score: float | None
    returned: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, str] = field(default_factory=dict)
    feedback: str = ""
    error: str = ""


@dataclass(frozen=True)
class ExampleRecord:
    """One example of a run.

    Args:
        example: Its id.
        learned: Whether it is of the trainset where there is a valset too; else it is one that was decided on.
        inputs: Field -> its text.
        expected: Field of the labels -> its text.
        answers: Number of a candidate -> what it did, of the start, of what came back, and of candidates that scored
            otherwise than the start or their parent.
    """

    example: int
    learned: bool
    inputs: Mapping[str, str]
    expected: Mapping[str, str]
    answers: Mapping[int, Answer] = field(default_factory=dict)


def example_records(pool: Pool, train: Pool, steps: Sequence[StepRecord], best: Candidate) -> tuple[ExampleRecord, ...]:
    """The examples that a run decided on and those that it learned from; the answers of `best` are kept in any case."""
    wanted = list(dict.fromkeys(_worth_showing(pool, best)))[:MOST_ANSWERS]
    learned = {number: step.parent for step in steps for number in step.examples}
    if train is pool:
        return _records(pool, [*wanted, *((parent, number) for number, parent in learned.items())], learned=False)
    from_train = [(parent, number) for number, parent in learned.items()]
    return _records(pool, wanted, learned=False) + _records(train, from_train, learned=True)


def _worth_showing(pool: Pool, best: Candidate) -> Iterator[tuple[int, int]]:
    """Candidate's number and example's id of the answers that are kept, the most telling first."""
    start = pool[pool.start].outcomes
    for entry in sorted(pool, key=lambda one: one.candidate != best):
        before = pool[entry.parent].outcomes
        for number, outcome in entry.outcomes.items():
            for other, outcomes in ((0, start), (pool[entry.parent].number, before)):
                if number in outcomes and _score(outcomes[number]) != _score(outcome):
                    yield from ((entry.number, number), (other, number))
    for one in (pool[best], pool[pool.start]):
        yield from ((one.number, number) for number in one.outcomes)


def _records(pool: Pool, wanted: Sequence[tuple[int, int]], *, learned: bool) -> tuple[ExampleRecord, ...]:
    entries = {entry.number: entry for entry in pool}
    answers: dict[int, dict[int, Answer]] = {}
    examples: dict[int, dspy.Example] = {}
    for candidate, number in wanted:
        outcome = entries[candidate].outcomes.get(number) if candidate in entries else None
        if outcome is not None:
            answers.setdefault(number, {})[candidate] = _answer(outcome)
            examples[number] = outcome.example
    return tuple(
        ExampleRecord(number, learned, _texts(one.inputs()), _texts(one.labels()), answers[number])
        for number, one in sorted(examples.items())
    )


def _answer(outcome: Outcome) -> Answer:
    if isinstance(outcome, Failed):
        return Answer(None, error=cut(outcome.error))
    calls = list(outcome.graph)
    wrote = {call.id: cut(readable(call.outputs) if call.error is None else call.error) for call in calls[:MOST_CALLS]}
    if len(calls) > MOST_CALLS:
        wrote["..."] = f"{len(calls) - MOST_CALLS} more calls are not kept"
    error = outcome.graph.error if outcome.raised is not None else ""
    return Answer(outcome.score, _texts(outcome.graph.output), wrote, cut(outcome.feedback or ""), cut(error or ""))


def _texts(values: Mapping[str, Any] | dspy.Example) -> dict[str, str]:
    return {str(name): cut(readable(value)) for name, value in values.items()}


def cut(text: str, most: int = _LONGEST) -> str:
    """A text, or its beginning with a note of how much is missing."""
    return text if len(text) <= most else f"{text[:most]} [{len(text) - most:,} more characters are not kept]"


def _score(outcome: Outcome) -> float | None:
    return outcome.score if isinstance(outcome, Scored) else None


def graph_of(student: Student, pools: Sequence[Pool]) -> ProgramGraph | None:
    """The program's graph, by executions of the start and what was proved of their edges; None where there are none."""
    outcomes = [one for pool in pools for one in pool[pool.start].outcomes.values() if isinstance(one, Scored)]
    graphs = [student.known(outcome) for outcome in outcomes[:MOST_GRAPHS]]
    try:
        return aggregate(graphs, list(pools[0].start.instructions)) if graphs else None
    except CycleError:
        return None
