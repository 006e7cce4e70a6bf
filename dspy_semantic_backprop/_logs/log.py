"""A log: turns, or spans, as the calls of a computation graph, and what is known of how it should have ended.

Who read whom is what the format says; where it says nothing a turn may have read every earlier one, and the edge is
marked as a guess. A window keeps the nearest of these guesses: a question cannot show a hundred turns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from .._graph.edges import Edge, End
from .._graph.graph import ComputationGraph
from .._graph.trace import OUTPUT, Call, Field
from .._terminal import shown

ANSWER = "answer"
"""The field of a log's result."""
_GUESSED = 0.5


@shown
@dataclass(frozen=True, eq=False)
class Log:
    """One failed execution, known from its log only.

    Args:
        name: What messages call it.
        graph: Its calls, and which read which.
        expected: The right answer, which no agent saw; None where it is not known.
        feedback: What was wrong, in words; None where nobody said.
        turns: Call id -> the number of its turn in the log, from 0; empty for spans.
    """

    name: str
    graph: ComputationGraph
    expected: Any = None
    feedback: str | None = None
    turns: Mapping[str, int] = field(default_factory=dict, repr=False)

    @property
    def told(self) -> str:
        """What the sweep starts from: the feedback, the right answer, or that neither is known."""
        said = [self.feedback or "The task was not solved; the result is not what was wanted."]
        if self.expected is not None:
            said.append(f"The right answer is: {self.expected}")
        elif not self.feedback:
            said.append("The right answer is not known.")
        return "\n".join(said)


class Turn(NamedTuple):
    """One turn of a conversation.

    Args:
        number: Its place in the log, from 0.
        speaker: The agent, or the tool.
        instruction: What the agent was told to do; empty where the log does not hold it.
        inputs: What it was given besides earlier turns.
        read: The numbers of the turns that it read, where the format says so; None: it may have read all earlier ones.
    """

    number: int
    speaker: str
    text: str
    instruction: str = ""
    inputs: Mapping[str, Any] = {}
    read: Sequence[int] | None = None


def log_of_turns(
    name: str, turns: Sequence[Turn], inputs: Mapping[str, Any], expected: Any = None, feedback: str | None = None
) -> Log:
    """A conversation as a log; its last turn is the result. A `ValueError` where there is none."""
    if not turns:
        raise ValueError("no agent says anything in it")
    calls, spoken = {}, Counter[str]()
    for at, turn in enumerate(turns):
        calls[turn.number] = _call(turn, at, spoken[turn.speaker])
        spoken[turn.speaker] += 1
    edges = [edge for at, turn in enumerate(turns) for edge in _read(turn, turns[:at], calls)]
    last = turns[-1]
    edges.append(Edge(_said(last, calls), End(OUTPUT, ANSWER), "data", "log", 1.0))
    graph = ComputationGraph(tuple(calls.values()), tuple(edges), inputs, {ANSWER: last.text})
    return Log(name, graph, expected, feedback, {call.id: number for number, call in calls.items()})


def _call(turn: Turn, at: int, index: int) -> Call:
    # The number stands in the names: a question shows many turns of one speaker, and must be able to tell them apart.
    output = f"turn_{turn.number}"
    return Call(
        id=f"{turn.speaker}, turn {turn.number}",
        predictor=turn.speaker,
        index=index,
        instruction=turn.instruction or f"(The log does not hold what {turn.speaker} was told.)",
        inputs=turn.inputs,
        outputs={output: turn.text},
        output_fields=(Field(output),),
        started=2 * at,
        ended=2 * at + 1,
    )


def _said(turn: Turn, calls: Mapping[int, Call]) -> End:
    return End(calls[turn.number].id, f"turn_{turn.number}")


def _read(turn: Turn, earlier: Sequence[Turn], calls: Mapping[int, Call]) -> list[Edge]:
    target = End(calls[turn.number].id, "history")
    if turn.read is None:
        return [Edge(_said(one, calls), target, "inferred", "order", _GUESSED) for one in earlier]
    return [Edge(_said(one, calls), target, "data", "log", 1.0) for one in earlier if one.number in turn.read]


def within(graph: ComputationGraph, window: int | None) -> tuple[ComputationGraph, int]:
    """A graph whose readers read at most the nearest so many of the calls that they may have read, and what was cut.

    What a format says, or a text shows, is not cut: only guesses are.
    """
    if window is None:
        return graph, 0
    place = {call.id: at for at, call in enumerate(graph.calls)}
    sources: dict[str, set[int]] = {}
    for edge in graph.edges:
        if edge.kind == "inferred":
            sources.setdefault(edge.target.call, set()).add(place[edge.source.call])
    first = {reader: sorted(places)[-window:][0] for reader, places in sources.items()}
    kept = tuple(
        edge for edge in graph.edges if edge.kind != "inferred" or place[edge.source.call] >= first[edge.target.call]
    )
    return replace(graph, edges=kept), len(graph.edges) - len(kept)
