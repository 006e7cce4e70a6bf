"""However a run ends, the best program so far comes back, with the reason, and nothing is paid for afterwards."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    Budget,
    Limits,
    MetricError,
    ModelError,
    OutOfBudget,
    SemanticGradientDescent,
    SetupError,
    TooManyFailures,
    presets,
)
from dspy_semantic_backprop.integrations import (
    EvaluationDone,
    EvaluationStarted,
    Event,
    ExampleDone,
    GradientsReady,
    Projected,
    RunDone,
    RunStarted,
    StepDone,
)
from dspy_semantic_backprop.testing import Faults
from tests.optimizer.test_resume import Fan, Gathering, greedy, slowly_careful
from tests.scripted import careful, questions, right, served

PRICE = (10.0, 40.0)


def compiled(program: Any = None, metric: Any = right, subscribers: Any = (), **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(metric, **{"steps": 3, "method": greedy(), **settings}, subscribers=subscribers)
    return optimizer.compile(program or Fan(), trainset=questions(4), valset=questions(6))


def settled(server: Any) -> int:
    """The requests that arrived, once no more do."""
    before = -1
    while before != len(server.log):
        before = len(server.log)
        time.sleep(0.1 + 2 * server.latency)
    return before


@pytest.mark.parametrize("kind", ["calls", "tokens", "usd", "metric_calls"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_no_budget_is_exceeded_by_sixteen_threads(kind, share):
    with served(slowly_careful, max_tokens=60) as server:
        prices = {f"openai/{server.model}": PRICE}
        whole = compiled(num_threads=16).detailed_results
        total = whole.total
        usd = (total.prompt_tokens * PRICE[0] + total.completion_tokens * PRICE[1]) / 1e6
        all_of_it = {"calls": total.calls, "tokens": total.tokens, "usd": usd, "metric_calls": whole.metric_calls}
        most = all_of_it[kind] * share
        most = most if kind == "usd" else max(1, int(most))
        before = len(server.log)
        cut = compiled(num_threads=16, budget=Budget(**{kind: most}, prices=prices)).detailed_results
        arrived = settled(server) - before
    assert cut.ending.name == "BUDGET"
    assert cut.total.calls == arrived
    spent = {"calls": arrived, "tokens": cut.total.tokens, "usd": cut.total.usd, "metric_calls": cut.metric_calls}
    assert spent[kind] <= most * (1 + 1e-9)
    assert f"{most:,.6g}" in cut.reason


@pytest.mark.parametrize("program", [Fan, Gathering])
def test_time_that_is_up_ends_the_run_at_once(program):
    with served(slowly_careful, latency=0.3) as server:
        started = time.monotonic()
        better = compiled(program(), budget=Budget(seconds=1.5))
        assert time.monotonic() - started < 2.5
        before = settled(server)
        time.sleep(0.5)
        assert len(server.log) == before
    result = better.detailed_results
    assert result.ending.name == "BUDGET"
    assert result.reason in ("the budget of 1.5 seconds is spent", "the budget of 1.5 seconds is nearly spent")


@pytest.mark.parametrize("kind", [RunStarted, EvaluationStarted, ExampleDone, EvaluationDone, GradientsReady, StepDone])
def test_ctrl_c_returns_the_best_so_far_within_two_seconds(kind):
    pressed: list[float] = []
    seen: list[Event] = []

    def press(event: Event) -> None:
        seen.append(event)
        if isinstance(event, kind) and not pressed:
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with served(slowly_careful, latency=0.2) as server:
        better = compiled(subscribers=(press,))
        assert time.monotonic() - pressed[0] < 2.0
        before = settled(server)
        time.sleep(0.5)
        assert len(server.log) == before
    result = better.detailed_results
    assert result.ending.name == "INTERRUPTED"
    assert "Ctrl-C" in result.reason
    assert isinstance(better, Fan)
    assert isinstance(seen[-1], RunDone)
    assert signal.getsignal(signal.SIGINT) is handler


def test_in_a_notebook_ctrl_c_does_the_same():
    def press(event: Event) -> None:
        if isinstance(event, EvaluationStarted):
            os.kill(os.getpid(), signal.SIGINT)

    async def cell() -> Any:
        return compiled(subscribers=(press,))

    with served(slowly_careful, latency=0.2):
        result = asyncio.run(cell()).detailed_results
    assert result.ending.name == "INTERRUPTED"


def test_a_second_ctrl_c_raises():
    def press_twice(event: Event) -> None:
        if isinstance(event, EvaluationDone):
            # Sent to this very thread, where a signal is handled before the call returns: two in a row are never one.
            for _ in range(2):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with served(careful), pytest.raises(KeyboardInterrupt):
        compiled(subscribers=(press_twice,))


def test_a_task_that_is_cancelled_is_cancelled():
    async def cancelled() -> None:
        begun = asyncio.Event()

        def watch(event: Event) -> None:
            if isinstance(event, ExampleDone):
                begun.set()

        optimizer = SemanticGradientDescent(right, subscribers=(watch,))
        task = asyncio.ensure_future(optimizer.acompile(Fan(), trainset=questions(4)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with served(careful, latency=0.3) as server:
        asyncio.run(cancelled())
        before = settled(server)
        time.sleep(0.4)
        assert len(server.log) == before


@pytest.mark.parametrize("program", [Fan, Gathering])
def test_a_request_that_hangs_is_cut_and_asked_again(program):
    with served(slowly_careful, faults=Faults(hang=0.05, hang_seconds=60.0)) as server:
        started = time.monotonic()
        result = compiled(program(), limits=Limits(request=0.5)).detailed_results
        assert time.monotonic() - started < 45
        assert any(record.status != 200 for record in server.log) or result.total.calls > 60
    assert result.score_after == 1.0
    assert all(not step.missing for step in result.steps)


class Slow(dspy.Module):
    """Answers at once, but of one question."""

    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict("question -> answer")
        self.ran: list[str] = []

    def forward(self, question):
        self.ran.append(question)
        if "number 1" in question:
            time.sleep(30)
        return self.answer(question=question)


class SlowAsynchronous(dspy.Module):
    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict("question -> answer")

    async def aforward(self, question):
        if "number 1" in question:
            await asyncio.sleep(30)
        return await self.answer.acall(question=question)


@pytest.mark.parametrize("program", [Slow, SlowAsynchronous])
def test_an_example_that_takes_too_long_is_missing_and_not_run_again(program):
    missing: list[Any] = []

    def watch(event: Event) -> None:
        if isinstance(event, ExampleDone) and event.score is None:
            missing.append(event.example_id)

    with served(careful):
        started = time.monotonic()
        optimizer = SemanticGradientDescent(
            right,
            steps=1,
            limits=Limits(example=1.0, missing=0.3),
            method=presets.proven(),
            subscribers=(watch,),
            num_threads=8,
        )
        result = optimizer.compile(program(), trainset=questions(6)).detailed_results
        assert time.monotonic() - started < 15
    assert result.score_after == 1.0
    assert missing == [1, 1]
    assert result.steps[0].missing == 1


def test_too_many_slow_examples_say_so():
    with served(careful), pytest.raises(TooManyFailures, match=r"took longer than 0.5 seconds \(Limits.example\)"):
        SemanticGradientDescent(right, limits=Limits(example=0.5), subscribers=()).compile(
            Slow(), trainset=questions(2)
        )


def test_a_metric_that_blocks_for_ever_ends_the_run_with_its_name():
    def stuck(example: Any, prediction: Any, trace: Any = None) -> float:
        threading.Event().wait()
        return 1.0

    with served(careful), pytest.raises(MetricError, match=r"'stuck' took longer than 0.5 seconds for example"):
        compiled(metric=stuck, limits=Limits(metric=0.5))


def test_an_error_in_the_middle_of_a_run_carries_the_best_program():
    def breaks(example: Any, prediction: Any, trace: Any = None) -> float:
        if "careful answer" in prediction.answer:
            raise RuntimeError("I cannot grade this")
        return 0.0

    with served(careful), pytest.raises(MetricError) as caught:
        compiled(metric=breaks)
    assert isinstance(caught.value.best, Fan)
    assert caught.value.best.detailed_results.ending.name == "FAILED"
    assert caught.value.best.detailed_results.score_before == 0.0


def test_a_key_that_is_refused_from_the_start_leaves_no_program():
    with served(careful, faults=Faults(auth=1.0)), pytest.raises(ModelError) as caught:
        compiled()
    assert caught.value.best is None


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
        assert settled(server) <= most
        assert result.ending.name == "BUDGET"
        assert result.total.calls == len(server.log)


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


def test_compiles_beside_each_other_share_nothing(tmp_path):
    def one(at: int) -> Any:
        with served(slowly_careful, latency=0.01) as server:
            events: list[Event] = []
            result = compiled(
                log_dir=tmp_path / str(at), budget=Budget(calls=1000), subscribers=(events.append,)
            ).detailed_results
            return result, len(server.log), sum(isinstance(event, ExampleDone) for event in events)

    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(one, range(3)))
    for result, arrived, examples in runs:
        assert result.total.calls == arrived
        assert examples == runs[0][2]
        assert result.score_after == 1.0


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
    assert (first.executions, first.calls, first.tokens) == (63, 285, None)
    assert first.probable.calls <= first.calls and second.probable.calls <= second.calls
    assert second.tokens is not None and second.tokens > 0
    assert len(server.log) < first.calls
    assert "(at most 285)" in str(first) and "(at most 63)" in str(first)


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


def test_the_bar_shows_score_spending_and_what_is_left(capsys):
    with served(careful):
        compiled(subscribers=None, steps=1)
    shown = capsys.readouterr()
    assert "projected for 1 steps" in shown.out
    assert re.search(r"best \d.*calls, [\d,]+ tokens", shown.err)


def test_what_was_spent_is_told_by_purpose_and_predictor():
    with served(slowly_careful) as server:
        result = compiled().detailed_results
        assert result.total.calls == len(server.log)
    assert set(result.spent) >= {"forward", "gate", "backward", "propose"}
    assert set(result.by_predictor) == {"first", "second", "final"}
    assert sum(spent.calls for spent in result.by_predictor.values()) == result.total.calls
    assert result.to_dict()["spent_by_predictor"]["final"]["calls"] == result.by_predictor["final"].calls


def test_the_key_appears_nowhere(tmp_path):
    canary = "sk-canary-3141592653589793"
    texts: list[str] = []

    def tell(event: Event) -> None:
        texts.append(repr(event))

    for at, faults in enumerate((Faults(), Faults(auth=1.0), Faults(server_error=1.0))):
        with served(careful, faults=faults, api_key=canary, num_retries=0):
            try:
                better = compiled(log_dir=tmp_path / str(at), subscribers=(tell,))
                better.save(tmp_path / "saved.json")
                texts.append(str(better.detailed_results.to_dict()))
            except Exception as error:
                texts += said(error)
    texts += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) > 20
    assert not [text for text in texts if canary in text]


def said(error: BaseException | None) -> list[str]:
    texts = []
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    return texts
