"""Requests in batches of the provider: the same run at half the price, resumed in the middle, whatever fails."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Budget, SemanticGradientDescent
from dspy_semantic_backprop.integrations import BatchWaiting
from dspy_semantic_backprop.testing import SimulatedServer
from tests.optimizer.test_resume import FILE, greedy, outcome
from tests.scripted import careful, questions, right, served

PRICE = (1.0, 2.0)
ENDLESS = 10**9


class Pair(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, hint -> answer")

    def forward(self, question):
        return self.final(question=question, hint=self.first(question=question).hint)


class Awaited(Pair):
    async def aforward(self, question):
        found = await self.first.acall(question=question)
        return await self.final.acall(question=question, hint=found.hint)

    forward = None  # pyright: ignore[reportAssignmentType]


def optimizer(server: SimulatedServer, folder: Path | None = None, **settings: Any) -> SemanticGradientDescent:
    prices = {f"openai/{server.model}": PRICE}
    budget = {"calls": 200, "usd": 100.0, **settings.pop("budget", {})}
    settings = {"steps": 1, "method": greedy(), "subscribers": (), "batch": True, **settings}
    return SemanticGradientDescent(right, log_dir=folder, budget=Budget(prices=prices, **budget), **settings)


def compiled(server: SimulatedServer, folder: Path | None = None, program: Any = None, **settings: Any) -> Any:
    made = optimizer(server, folder, **settings)
    return made.compile(program or Pair(), trainset=questions(3), valset=questions(5)).detailed_results


def in_batches(server: SimulatedServer) -> int:
    return sum(one["request_counts"]["total"] for one in server.desk.batches)


def decided(result: Any) -> dict[str, Any]:
    """What a run came to, what it cost left out."""
    state = outcome(result)
    return {name: state[name] for name in ("instructions", "steps", "score", "ending")}


def lines(folder: Path, event: str) -> list[dict[str, Any]]:
    return [one for one in map(json.loads, (folder / FILE).read_text().splitlines()) if one["event"] == event]


@pytest.fixture(scope="module")
def plain() -> Any:
    """A run without batches."""
    with served(careful, max_tokens=500) as server:
        return compiled(server, batch=False, num_threads=8)


@pytest.mark.parametrize("kind", [Pair, Awaited])
def test_a_run_in_batches_is_the_same_run_at_half_the_price(kind, plain, tmp_path):
    shown: list[Any] = []
    with served(careful, max_tokens=500) as server:
        made = optimizer(server, tmp_path, subscribers=[shown.append])
        compiled_program = asyncio.run(made.acompile(kind(), trainset=questions(3), valset=questions(5)))
        result = compiled_program.detailed_results
        assert decided(result) == decided(plain)
        assert in_batches(server) == len(server.log) == result.total.calls == plain.total.calls
        assert len(server.desk.batches) < result.total.calls / 2
        tokens = result.total.prompt_tokens * PRICE[0] + result.total.completion_tokens * PRICE[1]
        assert result.total.usd == pytest.approx(tokens / 1e6 / 2)
        assert result.total.unsure_tokens == 0
        assert {one.status for one in shown if isinstance(one, BatchWaiting)} == {"completed"}
