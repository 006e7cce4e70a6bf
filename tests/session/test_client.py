"""The client of a run: prices, histories, retries, and language models of the user's own."""

from __future__ import annotations

import asyncio
import copy
from types import SimpleNamespace
from typing import Any

import dspy
import pytest
from dspy.clients import base_lm

from dspy_semantic_backprop import SemanticGradientDescent, presets
from dspy_semantic_backprop.testing import Faults, Prompt
from tests.optimizer.test_resume import Fan, compiled
from tests.scripted import careful, questions, right, served


def test_prices_are_looked_up_once_in_a_run_and_dspy_is_as_before_afterwards():
    costs = pytest.importorskip("dspy.clients.costs", reason="DSPy below 3.4 prices answers elsewhere")
    before, inside = costs.model_info, set()

    def watch(event: Any) -> None:
        if type(event).__name__ == "ExampleDone":
            inside.add(costs.model_info)

    async def two_runs() -> None:
        optimizer = SemanticGradientDescent(right, steps=0, subscribers=(watch,))
        await asyncio.gather(*(optimizer.acompile(Fan(), trainset=questions(2)) for _ in range(2)))

    with served(careful):
        asyncio.run(two_runs())
    (look_up,) = inside
    assert look_up is not before
    first, second = look_up("openai", "gpt-4o-mini"), look_up("openai", "gpt-4o-mini")
    assert first == second == before("openai", "gpt-4o-mini")
    first["changed"] = True
    assert "changed" not in look_up("openai", "gpt-4o-mini")
    assert costs.model_info is before


def test_histories_keep_the_newest_calls_of_a_run_and_all_of_others():
    with served(careful) as server:
        lm = server.lm(cache=False)
        with dspy.context(lm=lm):
            dspy.Predict("question -> answer")(question="mine")
            mine = base_lm.GLOBAL_HISTORY[-1]
            optimizer = SemanticGradientDescent(right, steps=0, method=presets.published(), subscribers=())
            before = len(base_lm.GLOBAL_HISTORY)
            optimizer.compile(Fan(), trainset=questions(100))
            assert len(server.log) == 301
            assert len(base_lm.GLOBAL_HISTORY) - before <= 200
            assert any(entry is mine for entry in base_lm.GLOBAL_HISTORY)
            assert len(lm.history) == 200


def test_a_transient_failure_is_retried_at_least_six_times_unless_it_never_is():
    with served(careful, faults=Faults(rate_limit=0.5), num_retries=1) as server:
        result = compiled(None, steps=0)
        assert result.score_before == 0.0
        assert result.total.calls == len(server.log) > 18


def test_what_a_run_gives_back_can_be_copied_and_pickled():
    import pickle

    with served(careful):
        optimizer = SemanticGradientDescent(right, steps=1, subscribers=())
        better: Any = optimizer.compile(Fan(), trainset=questions(2))
    result = better.detailed_results
    for twin in (copy.deepcopy(better), better.deepcopy()):
        assert twin.detailed_results.to_dict() == result.to_dict()
    assert pickle.loads(pickle.dumps(result)).to_dict() == result.to_dict()


def test_a_language_model_that_is_synchronous_only_can_be_asked_for_gradients_too():
    class Own(dspy.BaseLM):
        def __init__(self):
            super().__init__(model="own", model_type="chat", temperature=0.0, max_tokens=100, cache=False)

        def forward(self, prompt=None, messages=None, **kwargs):
            asked = Prompt.from_messages(messages or [])
            content = asked.render(careful(asked))
            message = SimpleNamespace(role="assistant", content=content)
            return SimpleNamespace(choices=[SimpleNamespace(message=message)], usage={}, model="own")

    with dspy.context(lm=Own()):
        better: Any = SemanticGradientDescent(right, subscribers=()).compile(Fan(), trainset=questions(4))
    assert better.detailed_results.score_after == 1.0
