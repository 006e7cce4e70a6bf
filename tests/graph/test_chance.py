"""Programs that meet what nobody can repeat, in stamps and in decisions: the system's random bytes, and the time."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
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
    "seed": lambda: random.seed() or random.randrange(8),
    "time as a seed": lambda: random.Random(time.time()).randrange(8),
    "time": lambda: time.time_ns() // 1000 % 8,
    "perf_counter, imported": lambda: int(perf_counter() * 1e6) % 8,
    "datetime": lambda: datetime.now().microsecond % 8,
    "datetime in a zone": lambda: datetime.now(timezone.utc).microsecond % 8,
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


def of_the_device() -> int:
    with Path("/dev/urandom").open("rb") as device:
        # The clock too: only programs that look at one, draw or start threads are doubted.
        return (device.read(1)[0] + int(time.time() < 0)) % 64


def test_a_word_that_hangs_on_what_no_replay_repeats_is_fed_by_no_answer():
    found = [
        edges(
            of_the_device,
            lambda n, text: {"answer": text, "when": "late" if n == 0 else "soon"},
        )
        for _ in range(6)
    ]
    assert found == [{"first[0] -> second[0].hint": "replay", "second[0] -> output.answer": "identity"}] * 6


def test_a_stamp_of_the_last_moment_of_a_second_leaves_the_rest_of_its_text_proved():
    def stamp():
        time.sleep(max(0.0, 0.98 - time.time() % 1))
        return f"{datetime.now():%H:%M:%S}"

    found = edges(stamp, lambda drawn, text: {"entry": f"[{drawn}] {text}"})
    assert found == {"first[0] -> second[0].hint": "replay", "second[0] -> output.entry": "replay"}


@pytest.mark.parametrize("first", [0, 1])
def test_which_of_two_tasks_is_first_hangs_on_how_long_they_sleep_and_on_no_answer(first):
    class Racing(dspy.Module):
        def __init__(self):
            super().__init__()
            self.first = dspy.Predict("question -> hint")
            self.second = dspy.Predict("hint -> answer")

        async def aforward(self, question):
            hint = (await self.first.acall(question=question)).hint

            async def asked(number):
                await asyncio.sleep(0.0001 * (number != first))
                return (await self.second.acall(hint=f"{number} {hint.title()}")).answer

            tasks = [asyncio.create_task(asked(number)) for number in range(2)]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(*tasks)
            return dspy.Prediction(winner="left" if tasks[0] in done else "right")

    for _ in range(4):
        with served(lambda prompt: {name: f"a long answer for {name}" for name in prompt.names}):
            graph = trace(Racing(), {"question": "why?"})
        assert {(one.source.call, one.target.call) for one in graph.edges if one.known_by == "replay"} == {
            ("first[0]", "second[0]"),
            ("first[0]", "second[1]"),
        }
