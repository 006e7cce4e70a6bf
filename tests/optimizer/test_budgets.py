"""No budget is exceeded, whoever asks, and what a run will cost and did cost is told."""

from __future__ import annotations

import re
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    Budget,
    OutOfBudget,
    SemanticGradientDescent,
    SetupError,
)
from dspy_semantic_backprop.integrations import (
    EvaluationStarted,
    Event,
    Projected,
    RunStarted,
)
from tests.optimizer.test_endings import compiled, settled
from tests.optimizer.test_resume import Fan, slowly_careful
from tests.scripted import careful, questions, right, served

PRICE = (10.0, 40.0)


@pytest.fixture(scope="module")
def all_of_it() -> dict[str, float]:
    """What a run without a budget takes, in each unit of one."""
    with served(slowly_careful, max_tokens=60):
        whole = compiled(num_threads=16).detailed_results
    total = whole.total
    usd = (total.prompt_tokens * PRICE[0] + total.completion_tokens * PRICE[1]) / 1e6
    return {"calls": total.calls, "tokens": total.tokens, "usd": usd, "metric_calls": whole.metric_calls}


@pytest.mark.parametrize("kind", ["calls", "tokens", "usd", "metric_calls"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_no_budget_is_exceeded_by_sixteen_threads(kind, share, all_of_it):
    with served(slowly_careful, max_tokens=60) as server:
        prices = {f"openai/{server.model}": PRICE}
        most = all_of_it[kind] * share
        most = most if kind == "usd" else max(1, int(most))
        cut = compiled(num_threads=16, budget=Budget(**{kind: most}, prices=prices)).detailed_results
        arrived = settled(server)
    assert cut.ending.name == "BUDGET"
    # What is cancelled on its way, where others found the budget spent, counts: it may have arrived.
    assert arrived <= cut.total.calls <= arrived + 16
    usd = (server.prompt_tokens * PRICE[0] + server.completion_tokens * PRICE[1]) / 1e6
    tokens = server.prompt_tokens + server.completion_tokens
    for spent in (
        {"calls": arrived, "tokens": tokens, "usd": usd, "metric_calls": cut.metric_calls},
        {"calls": cut.total.calls, "tokens": cut.total.tokens, "usd": cut.total.usd, "metric_calls": 0},
    ):
        assert spent[kind] <= most * (1 + 1e-9)
    assert f"{most:,.6g}" in cut.reason


def test_a_budget_in_dollars_needs_a_price():
    with served(careful, max_tokens=100) as server:
        with pytest.raises(SetupError, match=r"price of 'openai/simulated-\w+' .*Budget\(usd=..., prices="):
            compiled(budget=Budget(usd=1.0))
        assert not server.log


@pytest.mark.parametrize("budget", [Budget(tokens=1000), Budget(usd=1.0)])
def test_a_budget_in_tokens_needs_the_longest_answer(budget):
    with served(careful) as server:
        with pytest.raises(SetupError, match=r"make it dspy.LM\(..., max_tokens=...\)"):
            compiled(budget=budget)
        assert not server.log


def test_a_known_price_is_enough_for_a_budget_in_dollars():
    with served(careful) as server:
        known = dspy.LM("openai/gpt-4o-mini", api_base=server.url, api_key="none", cache=False)
        with dspy.context(lm=known):
            total = compiled(budget=Budget(usd=1.0)).detailed_results.total
            assert total.calls == len(server.log) and not total.unpriced
            assert 1e-8 < total.usd / total.tokens < 1e-3
            # The longest answer is 16,384 tokens: less than one of these costs lets no request through.
            price = (total.usd - 1e-12) / total.tokens
            cut = compiled(budget=Budget(usd=price * 16_384)).detailed_results
            assert cut.ending.name == "BUDGET" and cut.total.calls == 0


HELD: list[Any] = []


class Outside(Fan):
    """Asks a language model that is no part of it."""

    def forward(self, question):
        with dspy.context(lm=HELD[0]):
            hint = self.first(question=question).hint
        two = HELD[0](f"Another hint for {question}")[0]
        return self.final(question=question, one=hint, two=two)


class OutsideAsynchronous(Outside):
    async def aforward(self, question):
        with dspy.context(lm=HELD[0]):
            hint = (await self.first.acall(question=question)).hint
        two = (await HELD[0].acall(f"Another hint for {question}"))[0]
        return await self.final.acall(question=question, one=hint, two=two)

    forward = None  # pyright: ignore[reportAssignmentType]


@pytest.mark.parametrize("program", [Outside, OutsideAsynchronous])
@pytest.mark.parametrize("most", [7, 20, 33])
def test_a_language_model_in_a_global_keeps_to_the_budget_too(program, most):
    with served(slowly_careful, latency=0.01) as server:
        HELD[:] = [server.lm(cache=False, num_retries=1)]
        result = compiled(program(), budget=Budget(calls=most), num_threads=16).detailed_results
        arrived = settled(server)
        assert arrived <= result.total.calls <= most
        assert result.total.calls <= arrived + 16
        assert result.ending.name == "BUDGET"


@pytest.mark.parametrize("call", ["explain", "diagnose"])
def test_explaining_and_diagnosing_keep_to_the_budget(call):
    with served(careful) as server:
        optimizer = SemanticGradientDescent(right, budget=Budget(calls=2), subscribers=())
        with pytest.raises(OutOfBudget, match="budget of 2 language-model calls"):
            if call == "explain":
                optimizer.explain(Fan(), questions(1)[0])
            else:
                optimizer.diagnose(Fan(), questions(4))
        assert settled(server) == 2


class Swallowing(Fan):
    """Answers whatever happens, as many programs do."""

    def forward(self, question):
        try:
            return super().forward(question)
        except Exception:
            return dspy.Prediction(answer="careful answer")


def test_a_program_that_catches_everything_does_not_hide_a_spent_budget():
    with served(careful) as server:
        result = compiled(Swallowing(), budget=Budget(calls=7)).detailed_results
        assert settled(server) == 7
    assert result.ending.name == "BUDGET"


def test_the_size_of_a_run_by_its_name_sets_steps_and_budget_and_the_cost_is_told_before_it_starts():
    events: list[Event] = []
    with served(careful) as server:
        optimizer = SemanticGradientDescent(right, auto="light", subscribers=(events.append,))
        optimizer.compile(Fan(), trainset=questions(4))
    assert next(event.steps for event in events if isinstance(event, RunStarted)) == 4
    kinds = [type(event) for event in events]
    assert kinds.index(Projected) < kinds.index(EvaluationStarted)
    first, second = (event.projection for event in events if isinstance(event, Projected))
    assert (first.executions, first.calls, first.tokens) == (52, 217, None)
    assert first.probable.calls <= first.calls and second.probable.calls <= second.calls
    assert second.tokens is not None and second.tokens > 0
    assert len(server.log) < first.calls
    assert "(at most 217)" in str(first) and "(at most 52)" in str(first)


def test_a_resumed_run_is_told_the_same_bill(tmp_path):
    told: list[list[Any]] = []
    with served(careful):
        for _ in range(2):
            events: list[Event] = []
            compiled(log_dir=tmp_path, subscribers=(events.append,))
            told.append([event.projection for event in events if isinstance(event, Projected)])
    first, again = ([(one.calls, one.tokens, one.probable.calls) for one in run] for run in told)
    assert first == again


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"auto": "huge"}, "auto must be one of"), ({"auto": "light", "steps": 3}, "give one of them")],
)
def test_a_size_that_is_none_is_refused(settings, said):
    with pytest.raises(SetupError, match=said):
        SemanticGradientDescent(right, **settings)


def test_a_budget_that_will_not_last_is_said_aloud(caplog):
    with served(careful):
        compiled(budget=Budget(calls=25))
    assert "the budget of 25 calls may not last for 3 steps" in caplog.text


def test_the_lines_of_a_run_show_score_and_spending(capsys):
    with served(careful):
        compiled(subscribers=None, steps=1)
    shown = capsys.readouterr().out
    assert "projected for 1 step:" in shown
    assert re.search(r"score 0 -> 1 on 6 examples to decide on, \d+ executions, \d+ calls", shown)


def test_what_was_spent_is_told_by_purpose_and_predictor():
    with served(slowly_careful) as server:
        result = compiled().detailed_results
        assert result.total.calls == len(server.log)
    assert set(result.spent) >= {"forward", "gate", "backward", "propose"}
    assert set(result.by_predictor) == {"first", "second", "final"}
    assert sum(spent.calls for spent in result.by_predictor.values()) == result.total.calls
    assert result.to_dict()["spent_by_predictor"]["final"]["calls"] == result.by_predictor["final"].calls
