"""However a run ends, the best program so far comes back, with the reason, and nothing is paid for afterwards."""

from __future__ import annotations

import asyncio
import functools
import os
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
    SemanticGradientDescent,
    TooManyFailures,
    presets,
)
from dspy_semantic_backprop.integrations import (
    EvaluationDone,
    EvaluationStarted,
    Event,
    ExampleDone,
    GradientsReady,
    RunDone,
    RunStarted,
    StepDone,
)
from dspy_semantic_backprop.testing import Faults, Prompt
from tests.optimizer.test_resume import Fan, Gathering, greedy, slowly_careful
from tests.scripted import careful, questions, right, served


def compiled(program: Any = None, metric: Any = right, subscribers: Any = (), **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(metric, **{"steps": 3, "method": greedy(), **settings}, subscribers=subscribers)
    return optimizer.compile(program or Fan(), trainset=questions(4), valset=questions(6))


def settled(server: Any) -> int:
    """The requests that arrived, once no more do."""
    seen = [server.requests]
    # Not one long pause: on a busy machine each of these lets the threads that send and serve have their turn.
    while len(seen) < 20 or len(set(seen[-20:])) > 1:
        time.sleep(0.01)
        seen.append(server.requests)
    return seen[-1]


class Stalling:
    """Answers until it stalls; from then on nobody is answered while the test goes on."""

    def __init__(self) -> None:
        self.stalls, self.over = threading.Event(), threading.Event()
        self.waited_for = 0

    def __call__(self, prompt: Prompt) -> dict[str, Any]:
        if self.stalls.is_set() and not self.over.wait(60):
            self.waited_for += 1
        return slowly_careful(prompt)


def assert_nothing_is_asked_for(server: Any, rule: Stalling) -> None:
    """A run that returned has waited for no answer under way, and asks nothing more, answered or not."""
    assert not rule.waited_for
    before = settled(server)
    rule.over.set()
    assert settled(server) == before


@pytest.mark.parametrize("program", [Fan, Gathering])
def test_time_that_is_up_ends_the_run_at_once(program):
    rule = Stalling()

    def stall(event: Event) -> None:
        if isinstance(event, EvaluationDone):
            rule.stalls.set()

    with served(rule) as server:
        better = compiled(program(), subscribers=(stall,), budget=Budget(seconds=1.5))
        assert_nothing_is_asked_for(server, rule)
    result = better.detailed_results
    assert result.ending.name == "BUDGET"
    assert result.reason in ("the budget of 1.5 seconds is spent", "the budget of 1.5 seconds is nearly spent")


@pytest.mark.parametrize("kind", [RunStarted, EvaluationStarted, ExampleDone, EvaluationDone, GradientsReady, StepDone])
def test_ctrl_c_returns_the_best_so_far_at_once(kind):
    rule = Stalling()
    seen: list[Event] = []

    def press(event: Event) -> None:
        seen.append(event)
        if isinstance(event, kind) and not rule.stalls.is_set():
            rule.stalls.set()
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with served(rule) as server:
        better = compiled(subscribers=(press,))
        assert_nothing_is_asked_for(server, rule)
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

    with served(slowly_careful):
        result = asyncio.run(cell()).detailed_results
    assert result.ending.name == "INTERRUPTED"


def test_a_second_ctrl_c_raises(request):
    # The second does what Ctrl-C did before the run, whatever other tests of this process have made of that.
    request.addfinalizer(functools.partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def press_twice(event: Event) -> None:
        if isinstance(event, EvaluationDone):
            # Sent to this very thread, where a signal is handled before the call returns: two in a row are never one.
            for _ in range(2):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with served(careful), pytest.raises(KeyboardInterrupt):
        compiled(subscribers=(press_twice,))


def test_a_task_that_is_cancelled_is_cancelled():
    rule = Stalling()

    async def cancelled() -> None:
        begun = asyncio.Event()

        def watch(event: Event) -> None:
            if isinstance(event, ExampleDone):
                rule.stalls.set()
                begun.set()

        optimizer = SemanticGradientDescent(right, subscribers=(watch,))
        task = asyncio.ensure_future(optimizer.acompile(Fan(), trainset=questions(4)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with served(rule) as server:
        asyncio.run(cancelled())
        assert_nothing_is_asked_for(server, rule)


@pytest.mark.parametrize("program", [Fan, Gathering])
def test_a_request_that_hangs_is_cut_and_asked_again(program):
    with served(careful, faults=Faults(hang=0.05, hang_seconds=60.0)) as server:
        result = compiled(program(), steps=1, limits=Limits(request=1.0)).detailed_results
        hanging = server.requests - len(server.log)
    assert hanging > 0
    assert result.score_after == 1.0
    assert all(not step.missing for step in result.steps)


OVER = threading.Event()
"""Set when a test that has slow programs is over."""
WAITED_FOR: list[str] = []


@pytest.fixture
def slow():
    OVER.clear()
    WAITED_FOR.clear()
    yield
    OVER.set()


class Slow(dspy.Module):
    """Answers at once, but one question not before the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        if "number 1" in question and not OVER.wait(60):
            WAITED_FOR.append(question)
        return self.answer(question=question)


class SlowAsynchronous(Slow):
    async def aforward(self, question: str) -> dspy.Prediction:
        if "number 1" in question:
            await asyncio.sleep(60)
            WAITED_FOR.append(question)
        return await self.answer.acall(question=question)

    forward = None  # pyright: ignore[reportAssignmentType]


@pytest.mark.parametrize("program", [Slow, SlowAsynchronous])
def test_an_example_that_takes_too_long_is_missing_and_not_run_again(program, slow):
    missing: list[Any] = []

    def watch(event: Event) -> None:
        if isinstance(event, ExampleDone) and event.score is None:
            missing.append(event.example_id)

    with served(careful):
        optimizer = SemanticGradientDescent(
            right,
            steps=1,
            limits=Limits(example=1.5, missing=0.3),
            method=presets.proven(),
            subscribers=(watch,),
            num_threads=8,
        )
        result = optimizer.compile(program(), trainset=questions(6)).detailed_results
    assert not WAITED_FOR
    assert result.score_after == 1.0
    assert missing == [1, 1]
    assert result.steps[0].missing == 1


def test_too_many_slow_examples_say_so(slow):
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
