"""A case of the corpus: a small program, the answers of its model, and its true edges."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dspy

Answer = Callable[[str, int, dict[str, Any]], dict[str, Any]]
Edges = frozenset[tuple[str, str]]
Reply = dict[str, Any] | list[dict[str, Any]] | Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A program and the edges that are true of one run of it, by the definition in design/graph.md.

    Ends of edges: ``draft[0].text`` is a field (output field as a source, input field as a target) of the
    first call of the predictor ``draft``; ``solver[0]`` is a call; a bare name is a field of the returned
    prediction. Predictors without a name in ``named_predictors()`` are written ``?`` and counted together,
    in the order in which their calls start.
    """

    name: str
    build: Callable[[], dspy.Module]
    inputs: dict[str, Any]
    answer: Answer
    data: Edges
    output: Edges
    control: Edges
    allowed: Edges  # neither required nor wrong
    note: str
    style: str = "sync"  # "sync" | "async"
    pure: bool = True


def edges(text: str) -> Edges:
    """Read edges, one rule a line: ``a[0].x, a[1].x -> b[0].y, b[0].z`` (each source to each target)."""
    found: set[tuple[str, str]] = set()
    for line in filter(None, (line.strip() for line in text.splitlines())):
        sources, arrow, targets = line.partition(" -> ")
        if not arrow:
            raise ValueError(f"no arrow in {line!r}")
        found |= {(s.strip(), t.strip()) for s in sources.split(",") for t in targets.split(",")}
    return frozenset(found)


def script(replies: Mapping[str, Reply]) -> Answer:
    """Answers by predictor name: always the same, one per call (the last one repeats), or by the inputs."""

    def answer(name: str, index: int, inputs: dict[str, Any]) -> dict[str, Any]:
        reply = replies[name]
        if isinstance(reply, list):
            return reply[min(index, len(reply) - 1)]
        return reply(inputs) if callable(reply) else reply

    return answer


def case(  # noqa: PLR0913
    name: str,
    build: Callable[[], dspy.Module],
    inputs: dict[str, Any],
    replies: Mapping[str, Reply],
    *,
    note: str,
    data: str = "",
    output: str = "",
    control: str = "",
    allowed: str = "",
    style: str = "sync",
    pure: bool = True,
) -> Case:
    """Make a case out of readable edges and scripted replies."""
    return Case(
        name=name,
        build=build,
        inputs=inputs,
        answer=script(replies),
        data=edges(data),
        output=edges(output),
        control=edges(control),
        allowed=edges(allowed),
        note=note,
        style=style,
        pure=pure,
    )
