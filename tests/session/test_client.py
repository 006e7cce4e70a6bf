"""The way to a language model: prices, histories, secrets, and answers with other shapes."""

from __future__ import annotations

import copy
from typing import Any

import dspy
import pytest
from dspy.clients import base_lm
from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop import Budget, Purpose, SemanticGradientDescent, presets
from dspy_semantic_backprop._session.lm.failures import hide, secrets
from dspy_semantic_backprop._session.lm.prices import bound_of, quick
from dspy_semantic_backprop.testing import Faults, Prompt
from tests.optimizer.test_resume import Fan, compiled
from tests.scripted import careful, questions, right, served


@given(text=st.text(), answer=st.integers(1, 500), count=st.integers(1, 4))
def test_the_bound_of_a_request_is_no_less_than_its_bytes_and_the_longest_answer(text, answer, count):
    lm = dspy.LM("openai/none", api_key="none", max_tokens=answer)
    budget = Budget(tokens=1, usd=1.0, prices={"openai/none": (1.0, 2.0)})
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}]
    bound = bound_of(lm, budget, messages, {"n": count})
    size = len(text.encode("utf-8", "surrogatepass"))
    assert bound.calls == count
    assert bound.tokens >= count * (size + answer)
    assert bound.usd >= count * (size * 1e-6 + answer * 2e-6)


def test_prices_are_looked_up_once_in_a_run_and_dspy_is_as_before_afterwards():
    costs = pytest.importorskip("dspy.clients.costs", reason="DSPy below 3.4 prices answers elsewhere")
    before = costs.model_info
    with quick(), quick():
        inside = costs.model_info
        assert inside is not before
        first, second = inside("openai", "gpt-4o-mini"), inside("openai", "gpt-4o-mini")
        assert first == second == before("openai", "gpt-4o-mini")
        first["changed"] = True
        assert "changed" not in inside("openai", "gpt-4o-mini")
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


class Wrapped(Exception):
    """Keeps a text where nobody looks for one."""

    def __init__(self, text: str):
        super().__init__()
        self.inner = {"text": text}

    def __str__(self) -> str:
        return self.inner["text"]


def test_secrets_are_taken_out_of_errors_wherever_they_stand():
    lm = dspy.LM("openai/none", api_key="sk-0123456789", extra_headers={"Authorization": "Bearer tok-987654321"})
    hidden = secrets(lm)
    assert {"sk-0123456789", "tok-987654321"} <= hidden
    error = Wrapped("the key sk-0123456789 is wrong")
    error.__cause__ = ValueError("header tok-987654321", {"key": "sk-0123456789"})
    error.note = "sk-0123456789"  # pyright: ignore[reportAttributeAccessIssue]
    hide(error, hidden)
    seen = [error, error.__cause__, error.__context__]
    texts = " ".join(f"{one} {one!r} {vars(one) if one else ''}" for one in seen)
    assert "tok-987654321" not in texts
    assert "sk-0123456789" not in str(error) + repr(error)


def test_a_transient_failure_is_retried_at_least_six_times_unless_it_never_is():
    with served(careful, faults=Faults(server_error=0.5), num_retries=1) as server:
        result = compiled(None, steps=0)
        assert result.score_before == 0.0
        assert result.total.calls == len(server.log) > 18


def test_answers_of_another_shape_than_text_come_back_from_the_journal(tmp_path):
    from dspy_semantic_backprop._session.journal import Journal
    from dspy_semantic_backprop._session.lm import for_purpose, metered

    asked = []

    class Calling(dspy.BaseLM):
        def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
            asked.append(messages)
            return [{"text": None, "tool_calls": [{"id": "1", "function": {"name": "look_up", "arguments": "{}"}}]}]

    for _ in range(2):
        journal = Journal(tmp_path, {"version": "1"})
        ledger = journal.open_ledger()
        with for_purpose(Purpose.FORWARD, ledger, where="here"):
            (answer,) = metered(Calling(model="calling"), ledger)(messages=[{"role": "user", "content": "Which?"}])
        journal.close()
        assert answer["tool_calls"][0]["function"]["name"] == "look_up"
    assert len(asked) == 1


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
    from litellm import ModelResponse

    class Own(dspy.BaseLM):
        def __init__(self):
            super().__init__(model="own", model_type="chat", temperature=0.0, max_tokens=100, cache=False)

        def forward(self, prompt=None, messages=None, **kwargs):
            asked = Prompt.from_messages(messages or [])
            content = asked.render(careful(asked))
            return ModelResponse(choices=[{"message": {"role": "assistant", "content": content}}], model="own")

    with dspy.context(lm=Own()):
        better: Any = SemanticGradientDescent(right, subscribers=()).compile(Fan(), trainset=questions(4))
    assert better.detailed_results.score_after == 1.0
