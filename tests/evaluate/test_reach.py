"""A budget holds for every language model that a program or its metric can reach, in any thread."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Budget, SemanticGradientDescent, presets
from tests.scripted import careful, questions, right, served

POOL = ThreadPoolExecutor(2)
HELD: list[Any] = []


class One(dspy.Module):
    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict("question -> answer")

    def forward(self, question):
        found: list[Any] = []
        self.run(lambda: found.append(self.ask(question)))
        return dspy.Prediction(answer=found[0])

    def ask(self, question: str) -> str:
        return self.answer(question=question).answer

    def run(self, task: Any) -> None:
        task()


class BareThread(One):
    def run(self, task: Any) -> None:
        thread = threading.Thread(target=task)
        thread.start()
        thread.join()


class OwnPool(One):
    def run(self, task: Any) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(task).result()


class PoolFromBefore(One):
    def run(self, task: Any) -> None:
        POOL.submit(task).result()


class LoopInAThread(One):
    def run(self, task: Any) -> None:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def ask() -> None:
            task()

        asyncio.run_coroutine_threadsafe(ask(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


class InGlobal(One):
    def ask(self, question: str) -> str:
        with dspy.context(lm=HELD[0]):
            return super().ask(question)


class MadeInside(One):
    def ask(self, question: str) -> str:
        held = HELD[0]
        with dspy.context(lm=dspy.LM(held.model, **held.kwargs, cache=False)):
            return super().ask(question)


class Copied(One):
    def ask(self, question: str) -> str:
        with dspy.context(lm=HELD[0].copy(temperature=0.0)):
            return super().ask(question)


class CallOnly(dspy.LM):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return HELD[0].__class__.__call__(self, *args, **kwargs)


class Overriding(One):
    def ask(self, question: str) -> str:
        held = HELD[0]
        with dspy.context(lm=CallOnly(held.model, **held.kwargs, cache=False)):
            return super().ask(question)


class Router(dspy.BaseLM):
    """Passes every call on to the language model that it holds."""

    def __init__(self, inner: Any) -> None:
        super().__init__(model="router", cache=False, max_tokens=60)
        self.inner = inner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


class Routed(One):
    def ask(self, question: str) -> str:
        with dspy.context(lm=Router(HELD[0])):
            return super().ask(question)


# Where the budget is spent, the thread that asked ends with an error that only the interpreter sees.
DIES = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
PROGRAMS = [BareThread, OwnPool, PoolFromBefore, LoopInAThread, InGlobal, MadeInside, Copied, Overriding, Routed]


def result_of(program: Any, metric: Any = right, **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(metric, steps=1, method=presets.published(), subscribers=(), **settings)
    return optimizer.compile(program, trainset=questions(8)).detailed_results


@DIES
@pytest.mark.parametrize("most", [None, 5])
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_call_of_the_program_is_counted_and_held_to_the_budget(program, most):
    with served(careful, max_tokens=60, num_retries=0) as server:
        HELD[:] = [server.lm(cache=False, max_tokens=60)]
        result = result_of(program(), budget=most and Budget(calls=most))
        assert result.total.calls == server.requests <= (most or 1000)
    assert result.ending.name == ("BUDGET" if most else "PERFECT") or result.score_after == 1.0


@DIES
@pytest.mark.parametrize("program", [BareThread, OwnPool, PoolFromBefore, LoopInAThread])
def test_every_call_of_the_metric_is_counted_and_held_to_the_budget(program):
    judge = dspy.Predict("question, answer -> verdict")

    def metric(example: Any, prediction: Any, trace: Any = None) -> float:
        found: list[Any] = []
        program().run(lambda: found.append(judge(question=example.question, answer=prediction.answer)))
        return float(right(example, prediction)) if found else 0.0

    with served(careful, max_tokens=60, num_retries=0) as server:
        cut = result_of(One(), metric, budget=Budget(calls=12))
        assert cut.total.calls == server.requests == 12
    assert cut.ending.name == "BUDGET"


def test_the_classes_of_language_models_are_as_before_afterwards():
    before = {(kind, name): vars(kind).get(name) for kind in (dspy.BaseLM, dspy.LM) for name in ("__call__", "acall")}
    with served(careful):
        result_of(One())
    assert before == {(kind, name): vars(kind).get(name) for kind, name in before}


def test_calls_of_others_meanwhile_are_nobodys():
    done, calls = threading.Event(), []
    with served(careful, max_tokens=60) as server:
        other = server.lm(cache=False, max_tokens=60)

        def work() -> None:
            while not done.wait(0.01):
                calls.append(other("hello"))

        thread = threading.Thread(target=work)
        thread.start()
        result = result_of(One())
        done.set()
        thread.join()
        assert result.total.calls + len(calls) == server.requests


def test_the_metric_is_told_what_a_prediction_took():
    seen: list[Any] = []

    def metric(example: Any, prediction: Any, trace: Any = None) -> bool:
        seen.append(prediction.get_lm_usage())
        return right(example, prediction)

    with served(careful), dspy.context(track_usage=True):
        result_of(One(), metric)
    assert seen and all(seen)


def test_whoever_tracks_usage_around_a_run_is_told_all_of_it():
    with served(careful), dspy.track_usage() as outside:
        result = result_of(One())
    told = outside.get_total_tokens().values()
    assert sum(one["prompt_tokens"] + one["completion_tokens"] for one in told) == result.total.tokens


def test_the_others_do_not_wait_for_the_end_of_the_execution_that_shows_that_an_edit_reaches_a_prompt():
    begun: set[str] = set()
    another = threading.Event()
    in_time: list[bool] = []

    def rule(prompt: Any) -> dict[str, Any]:
        if "careful" in prompt.instruction.lower() and "draft" in prompt.names:
            begun.add(prompt.inputs["question"])
            if len(begun) > 1:
                another.set()
        elif begun and "answer" in prompt.names:
            in_time.append(another.wait(60))
        return careful(prompt)

    with served(rule):
        optimizer = SemanticGradientDescent(right, method=presets.published(), steps=1, num_threads=4, subscribers=())
        found = optimizer.compile(Drafted(), trainset=questions(4))
    assert found.detailed_results.steps[0].changed
    assert len(in_time) == 4 and all(in_time)


class Drafted(dspy.Module):
    def __init__(self):
        super().__init__()
        self.draft = dspy.Predict("question -> draft")
        self.judge = dspy.Predict("question, draft -> answer")

    def forward(self, question):
        return self.judge(question=question, draft=self.draft(question=question).draft)
