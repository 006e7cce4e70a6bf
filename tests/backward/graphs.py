"""Computation graphs made by hand, and one sweep over them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from dspy_semantic_backprop import (
    OUTPUT,
    Call,
    ComputationGraph,
    Direction,
    Edge,
    End,
    GradientCache,
    Message,
    Semantic,
    TextGradient,
    backward_context,
    bounded,
    propagate,
)

FEEDBACK = "The expected answer is 12."


def data(source: str, field: str, target: str, name: str, known_by: str = "identity") -> Edge:
    return Edge(End(source, field), End(target, name), "data", known_by, 1.0)


def hint(at: int, text: str, **more: Any) -> Call:
    given: dict[str, Any] = {"outputs": {"hint": text}, **more}
    return Call(f"hint_{at}[0]", f"hint_{at}", 0, "Hint.", {"question": "q"}, **given, started=2 * at, ended=2 * at + 1)


def star(texts: Sequence[str], /, **final: Any) -> ComputationGraph:
    """Hints that one final call read, each in an input of its own."""
    hints = [hint(at, text) for at, text in enumerate(texts)]
    read = {f"h{at}": text for at, text in enumerate(texts)}
    given: dict[str, Any] = {"inputs": {"question": "q", **read}, "outputs": {"answer": "7"}, **final}
    last = Call("final[0]", "final", 0, "Solve.", **given, started=10**6, ended=10**6 + 1)
    edges = [data(call.id, "hint", last.id, f"h{at}") for at, call in enumerate(hints)]
    return ComputationGraph((*hints, last), (*edges, data(last.id, "answer", OUTPUT, "answer")))


def chain(length: int) -> ComputationGraph:
    """Calls of which each reads the one before, and the question."""
    calls = []
    for at in range(length):
        read = {"text": f"version number {at - 1}"} if at else {}
        inputs, outputs = {"question": "what follows?", **read}, {"text": f"version number {at}"}
        calls.append(Call(f"step[{at}]", "step", at, "Go on.", inputs, outputs, started=2 * at, ended=2 * at + 1))
    edges = [data(calls[at - 1].id, "text", calls[at].id, "text") for at in range(1, length)]
    return ComputationGraph(tuple(calls), (*edges, data(calls[-1].id, "text", OUTPUT, "text")))


def seeds(graph: ComputationGraph) -> list[Message[Direction]]:
    said = Direction(FEEDBACK, example_id=7, through=(OUTPUT,))
    return [Message(OUTPUT, member.call.id, member.field, said) for member in graph.group(OUTPUT)]


def swept(
    graph: ComputationGraph, backward: Any = None, collect: Any = None, answers: GradientCache | None = None
) -> tuple[dict[str, TextGradient], Counter[str]]:
    """The gradients of one sweep, and what happened in it."""

    async def sweep() -> dict[str, TextGradient]:
        return await propagate(graph, seeds(graph), backward or Semantic(), collect or bounded())

    with backward_context(answers) as counts:
        return asyncio.run(sweep()), counts


def key_of(name: str) -> str:
    return name.partition("_")[2]


def honest(prompt: Any) -> dict[str, Any]:
    """Says something about every output that no text shows, and that the instruction is fine."""
    answers = {name: "" for name in prompt.names}
    for name in prompt.names:
        if name.startswith("change_"):
            key = key_of(name)
            shown = prompt.inputs.get(f"output_{key}")
            lacks = sha256(f"{key} {shown}".encode("utf-8", "replace")).hexdigest()[:8]
            answers[name] = "The instruction needs no change." if shown is None else f"It lacks {lacks}."
    return answers


def reply(**fields: str) -> str:
    """A reply in the chat format with some fields only."""
    return "\n\n".join([f"[[ ## {name} ## ]]\n{text}" for name, text in fields.items()] + ["[[ ## completed ## ]]"])
