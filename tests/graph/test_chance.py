"""Programs that draw what nobody can draw again: random bytes of the operating system, in stamps and in decisions."""

from __future__ import annotations

import os
import random
import secrets
import uuid
from collections.abc import Callable
from typing import Any

import dspy
import numpy as np
import pytest

from dspy_semantic_backprop import trace
from tests.scripted import served

DRAWN: dict[str, Callable[[], int]] = {
    "secrets": lambda: secrets.randbelow(8),
    "SystemRandom": lambda: random.SystemRandom().randrange(8),
    "Random": lambda: random.Random().randrange(8),
    "uuid4": lambda: uuid.uuid4().int % 8,
    "NumPy": lambda: int(np.random.default_rng().integers(8)),
}
STAMPS: dict[str, Callable[[], Any]] = {
    "hex": lambda: uuid.uuid4().hex[:8],
    "uuid4": uuid.uuid4,
    "token": lambda: secrets.token_hex(4),
}


class Answering(dspy.Module):
    """Draws when it starts, and returns what is made of that and of an answer."""

    def __init__(self, draw: Callable[[], Any], returned: Callable[[Any, str], dict[str, Any]]):
        super().__init__()
        self.draw, self.returned = draw, returned
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("hint -> answer")

    def forward(self, question):
        hint = self.first(question=question).hint
        return dspy.Prediction(**self.returned(self.draw(), self.second(hint=hint.title()).answer))


def edges(draw: Callable[[], Any], returned: Callable[[Any, str], dict[str, Any]]) -> dict[str, str]:
    """Each edge of one execution, and how it is known."""
    with served(lambda prompt: {name: f"a long answer for {name}" for name in prompt.names}):
        graph = trace(Answering(draw, returned), {"question": "why?"})
    return {f"{one.source.call} -> {one.target.call}.{one.target.field}": one.known_by for one in graph.edges}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_word_that_chance_seldom_changes_is_fed_by_no_answer_that_was_changed_meanwhile(draw):
    found = [edges(draw, lambda n, text: {"answer": text, "when": "late" if n == 0 else "soon"}) for _ in range(4)]
    assert found == [{"first[0] -> second[0].hint": "replay", "second[0] -> output.answer": "identity"}] * 4


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_what_else_is_made_of_an_answer_is_proved_whatever_was_drawn(draw):
    found = [edges(draw, lambda n, text: {"answer": text.title(), "drawn": n}) for _ in range(4)]
    assert found == [{"first[0] -> second[0].hint": "replay", "second[0] -> output.answer": "replay"}] * 4


@pytest.mark.parametrize("signs", ["abcdef", "0123456789", "4e"], ids=["letters", "digits", "both"])
@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
def test_stamps_of_any_letters_and_digits_leave_the_rest_of_their_text_proved(stamp, signs, monkeypatch):
    luck = random.Random(0)
    for module, name in ((os, "urandom"), (random, "_urandom")):
        monkeypatch.setattr(module, name, lambda size: bytes.fromhex("".join(luck.choices(signs, k=2 * size))))
    found = edges(stamp, lambda drawn, text: {"entry": f"[{drawn}] {text}"})
    assert found == {"first[0] -> second[0].hint": "replay", "second[0] -> output.entry": "replay"}
