"""What a run found out about the program and its failures that no score shows, said when it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .._evaluate.outcome import Scored
from .._graph.program_graph import ProgramGraph
from .._propose.propose import AS_IT_WAS, WANTED

_LONGEST = 200
MANY = 4
"""Of fewer proposals nothing is said."""


def of_the_start(outcomes: Sequence[Scored], graph: ProgramGraph, idle: Sequence[str]) -> Iterator[str]:
    """What the executions of the start say about the program, in words; `idle` are predictors that nothing asked."""
    raised = [outcome for outcome in outcomes if outcome.raised is not None]
    if raised:
        first = " ".join((raised[0].graph.error or "").split())
        first = first if len(first) <= _LONGEST else f"{first[:_LONGEST]} ..."
        yield (
            f"the program as it was given raised in {len(raised)} of {len(outcomes)} executions, which score "
            f"{raised[0].score:g} each; the first: {first}"
        )
    if len(raised) == len(outcomes):
        return
    unused = [name for name in graph.never_reached if name in idle]
    if unused:
        yield f"no example called {', '.join(unused)}: nothing could be learned about {_them(unused)}"
    if not any(edge.target is None for edge in graph.edges):
        yield (
            "nothing that a predictor wrote is known to have reached what the program returned: where that is so, no "
            "instruction can change a score"
        )


def of_examples(learned: Sequence[float], decided: Sequence[float], best: float) -> Iterator[str]:
    """What the start's scores say where nothing was learned."""
    short = sum(score < best for score in decided)
    if not learned or min(learned) < best:
        return
    failing = f"; of those to decide on {short} of {len(decided)} score less: pass failing examples as trainset"
    right = f"all {len(learned)} examples to learn from have the best score, {best:g}"
    yield f"nothing could be learned: {right}{failing if short else ''}"


def of_gradients(notes: Mapping[str, int]) -> Iterator[str]:
    """What the answers of the gradient model say together, by how often each kind came."""
    usable = notes.get("directions", 0) - notes.get("missing", 0)
    if usable and notes.get("unchanged", 0) == usable:
        yield (
            f"the gradient model said of all {usable} outputs and instructions that it judged that nothing must "
            "change: new instructions were written without a gradient"
        )


def of_proposals(notes: Mapping[str, int]) -> Iterator[str]:
    """What the proposals say together, by how often one was wanted and how often the old text came back."""
    wanted, same = notes.get(WANTED, 0), notes.get(AS_IT_WAS, 0)
    if wanted >= MANY and same >= wanted / 2:
        yield (
            f"of {wanted} instructions that were to be changed the gradient model wrote {same} as they were: a "
            "stronger gradient_lm may do better"
        )


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"
