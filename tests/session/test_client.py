"""The client of a run: prices, histories, retries, and language models of the user's own."""

from __future__ import annotations

import asyncio
import copy
import queue
import sys
import threading
from contextvars import ContextVar
from types import ModuleType, SimpleNamespace
from typing import Any

import dspy
import httpx
import openai
import pytest
from dspy.clients import base_lm, costs
from dspy.utils.callback import BaseCallback

from dspy_semantic_backprop import Budget, SemanticGradientDescent, presets
from dspy_semantic_backprop.testing import Faults, Prompt
from tests.optimizer.test_resume import Fan, compiled
from tests.scripted import careful, questions, right, served


def test_prices_are_looked_up_once_in_a_run_and_dspy_is_as_before_afterwards():
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


class Saying(dspy.BaseLM):
    """Says no."""

    def __init__(self) -> None:
        super().__init__(model="saying", cache=False)

    def copy(self, **kwargs: Any) -> Any:
        return copy.copy(self)

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        said = SimpleNamespace(content="[[ ## answer ## ]]\nno\n\n[[ ## completed ## ]]", tool_calls=None)
        choice = SimpleNamespace(message=said, finish_reason="stop", index=0)
        return SimpleNamespace(choices=[choice], usage={"prompt_tokens": 1, "completion_tokens": 1}, model="saying")


class Queued(dspy.Module):
    """Its own thread asks, and hands the answer on in a queue."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        answers: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=lambda: answers.put(self.ask(question=question)), daemon=True).start()
        return answers.get()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_with_the_budget_leaves_nobody_waiting_for_its_answer():
    with dspy.context(lm=Saying()):
        optimizer = SemanticGradientDescent(right, steps=1, budget=Budget(calls=2), subscribers=())
        result = optimizer.compile(Queued(), trainset=questions(4)).detailed_results
    assert (result.ending.name, result.total.calls) == ("BUDGET", 2)


class PastTheMeter(dspy.Module):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.ask, self.url = dspy.Predict("question -> answer"), url

    def forward(self, question: str) -> Any:
        httpx.post(f"{self.url}/chat/completions", json={"messages": [{"role": "user", "content": question}]})
        httpx.get(f"{self.url}/models")
        return self.ask(question=question)


class PastWithOpenAI(PastTheMeter):
    def forward(self, question: str) -> Any:
        client = openai.OpenAI(base_url=self.url, api_key="none")
        client.chat.completions.create(model="any", messages=[{"role": "user", "content": question}])
        return self.ask(question=question)


class PastByForward(PastTheMeter):
    def forward(self, question: str) -> Any:
        dspy.settings.lm.forward(messages=[{"role": "user", "content": question}])
        return self.ask(question=question)


@pytest.mark.parametrize("kind", [PastTheMeter, PastWithOpenAI, PastByForward])
def test_a_request_past_the_meter_is_told_with_its_host(kind):
    with served(careful) as server:
        optimizer = SemanticGradientDescent(right, steps=0, subscribers=())
        result = optimizer.compile(kind(server.url), trainset=questions(3)).detailed_results
    (said,) = [warning for warning in result.warnings if "past the meter" in warning]
    assert said.startswith(f"the program or its metric sent {server.requests - result.total.calls} requests")


class Insisting(dspy.BaseLM):
    """Asks its server three times for each answer, by a client of its own."""

    def __init__(self, url: str) -> None:
        super().__init__(model="insisting", cache=False)
        self.url = url

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        asked = {"messages": messages or [{"role": "user", "content": prompt}]}
        httpx.post(f"{self.url}/embeddings", json=asked)
        reply = [httpx.post(f"{self.url}/chat/completions", json=asked).json() for _ in range(3)][-1]
        said = SimpleNamespace(content=reply["choices"][0]["message"]["content"], tool_calls=None)
        choice = SimpleNamespace(message=said, finish_reason="stop", index=0)
        return SimpleNamespace(choices=[choice], usage=reply["usage"], model="insisting")


def test_a_language_model_that_asks_several_times_for_one_answer_keeps_to_the_budget(tmp_path):
    with served(careful) as server, dspy.context(lm=Insisting(server.url)):
        for _ in range(2):
            optimizer = SemanticGradientDescent(
                right, steps=1, budget=Budget(calls=11), log_dir=tmp_path, subscribers=()
            )
            result = optimizer.compile(Fan(), trainset=questions(4)).detailed_results
            assert result.ending.name == "BUDGET"
            assert server.requests == result.total.calls == 11


class AskingBack(BaseCallback):
    """Asks a language model whenever another one begins or has answered."""

    def __init__(self, lm: Any) -> None:
        self.lm, self.asks = lm, ContextVar("asks", default=False)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if not self.asks.get():
            token = self.asks.set(True)
            self.lm("What is asked?")
            self.asks.reset(token)

    def on_lm_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        self.on_lm_start(call_id, None, {})


def test_what_callbacks_ask_inside_of_a_call_is_counted_beside_it():
    with served(careful) as server:
        with dspy.context(callbacks=[AskingBack(server.lm(cache=False))]):
            optimizer = SemanticGradientDescent(right, steps=1, budget=Budget(calls=11), subscribers=())
            result = optimizer.compile(Fan(), trainset=questions(4), valset=questions(1)).detailed_results
    assert result.ending.name == "BUDGET"
    assert 9 <= server.requests == result.total.calls <= 11


def test_litellm_is_imported_before_the_time_of_a_request_begins(monkeypatch):
    from dspy.clients import _litellm

    load, found = _litellm.get_litellm, []

    def watched(**settings: Any) -> Any:
        found.append(type(dspy.settings.usage_tracker).__name__)
        return load(**settings)

    monkeypatch.setattr(_litellm, "get_litellm", watched)
    with served(careful) as server:
        # Of a name that no other test asks for: of these it is known that their client is there.
        lm = dspy.LM("openai/never-asked-before", api_base=server.url, api_key="none", cache=False, engine="litellm")
        with dspy.context(lm=lm):
            compiled(None, steps=0)
    assert found and "RequestUsage" not in found


def test_a_package_for_traces_that_another_thread_is_importing_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", ModuleType("opentelemetry.trace"))
    with served(careful):
        assert compiled(None, steps=0).score_before == 0.0
