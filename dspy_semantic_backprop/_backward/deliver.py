"""Whose gradient a call is given: its own, or for an ablation another predictor's."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from .._graph.graph import ComputationGraph
from .._graph.trace import OUTPUT, Call
from .ask import count
from .gradient import Gradients, TextGradient

Deliver = Callable[[ComputationGraph, Gradients, random.Random], dict[str, TextGradient]]
"""Takes the gradients of one example by call, and gives every call one."""


def to_its_own(graph: ComputationGraph, gradients: Gradients, rng: random.Random) -> dict[str, TextGradient]:
    """Every call is given the gradient that was sent to it."""
    return dict(gradients)


def the_answers_only(graph: ComputationGraph, gradients: Gradients, rng: random.Random) -> dict[str, TextGradient]:
    """Every call is given what was said of the program's answer, and nothing else: no graph, nobody to blame.

    What is said of the answer reaches the calls that wrote it as the seed of the sweep; here it goes to all.
    """
    feedback = {one.value: one for gradient in gradients.values() for one in gradient.messages if one.sender == OUTPUT}
    return {call.id: _readdressed(TextGradient(tuple(feedback.values())), call) for call in graph}


def to_another(graph: ComputationGraph, gradients: Gradients, rng: random.Random) -> dict[str, TextGradient]:
    """Every predictor is given the gradients of another one, call by call; no predictor keeps its own.

    Whatever gradients are worth beyond being a text about the example must be lost by this. Where an
    example has one predictor only there is no other, and it keeps its own; that is counted as "not shuffled".
    """
    calls: dict[str, list[Call]] = {}
    for call in graph:
        calls.setdefault(call.predictor, []).append(call)
    if len(calls) < 2:
        count("not shuffled")
        return dict(gradients)
    # One cycle through all predictors in random order: a permutation without a fixed point.
    order = rng.sample(list(calls), len(calls))
    giver = dict(zip(order, [*order[1:], order[0]], strict=True))
    return {
        call.id: _readdressed(gradients[calls[giver[name]][at % len(calls[giver[name]])].id], call)
        for name, mine in calls.items()
        for at, call in enumerate(mine)
    }


def _readdressed(gradient: TextGradient, call: Call) -> TextGradient:
    fields = list(call.outputs) or [field.name for field in call.output_fields]

    def field_of(name: str) -> str:
        return name if name in fields or not name or not fields else fields[-1]

    messages = (replace(one, receiver=call.id, field=field_of(one.field)) for one in gradient.messages)
    return replace(gradient, messages=tuple(messages))
