"""Calls in threads that a program starts by itself: seen, booked, in their own execution; then all is as before."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Budget, SemanticGradientDescent, presets, trace
from tests.graph.graphs import untyped
from tests.scripted import careful, questions, right, served

SHARED = ThreadPoolExecutor(2)


class Several(dspy.Module):
    """Asks for three hints, somewhere else than in its own thread, and answers by them."""

    def __init__(self, ask: Any) -> None:
        super().__init__()
        self.ask = ask
        self.hint = dspy.Predict("question, part -> hint")
        self.final = dspy.Predict("question, hints -> answer")

    def forward(self, question: str) -> Any:
        hints = self.ask(lambda part: self.hint(question=question, part=part).hint, ["one", "two", "three"])
        return self.final(question=question, hints=" ".join(hints))


class Awaiting(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hint = dspy.Predict("question, part -> hint")
        self.final = dspy.Predict("question, hints -> answer")

    async def aforward(self, question: str) -> Any:
        loop = asyncio.get_running_loop()
        tasks = [loop.run_in_executor(None, self._hint, question, part) for part in ("one", "two", "three")]
        return await self.final.acall(question=question, hints=" ".join(await asyncio.gather(*tasks)))

    def _hint(self, question: str, part: str) -> str:
        return self.hint(question=question, part=part).hint


def in_a_pool(function: Any, items: list[str]) -> list[str]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


def in_a_pool_of_three(function: Any, items: list[str]) -> list[str]:
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(function, items))


def in_brought_contexts(function: Any, items: list[str]) -> list[str]:
    with ThreadPoolExecutor(3) as pool:
        tasks = [pool.submit(contextvars.copy_context().run, function, item) for item in items]
        return [task.result() for task in tasks]


def in_a_shared_pool(function: Any, items: list[str]) -> list[str]:
    return [task.result() for task in [SHARED.submit(function, item) for item in items]]


def in_bare_threads(function: Any, items: list[str]) -> list[str]:
    found: dict[str, str] = {}
    threads = [threading.Thread(target=lambda one=item: found.update({one: function(one)})) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[item] for item in items]


def in_a_thread_of_a_thread(function: Any, items: list[str]) -> list[str]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_a_pool, function, items).result()


def in_a_pool_of_another_kind(function: Any, items: list[str]) -> list[str]:
    with ThreadPool(2) as pool:
        return pool.map(function, items)


WAYS = [in_a_pool, in_a_shared_pool, in_bare_threads, in_a_thread_of_a_thread, in_a_pool_of_another_kind]


@pytest.mark.parametrize("make", [*(lambda way=way: Several(way) for way in WAYS), Awaiting])
def test_calls_in_threads_are_seen_proved_booked_and_optimised(make):
    with served(careful) as server:
        graph = trace(make(), {"question": "why?"})
        assert server.requests == 4 and len(graph) == 4
        assert {(str(edge.source.call), str(edge.target.call)) for edge in graph.edges} == {
            *((f"hint[{at}]", "final[0]") for at in range(3)),
            ("final[0]", "output"),
        }
        optimizer = SemanticGradientDescent(right, steps=1, method=presets.published(), subscribers=())
        better: Any = optimizer.compile(make(), trainset=questions(5))
        assert better.detailed_results.score_after == 1
        assert better.detailed_results.total.calls == server.requests - 4


class Graded(dspy.Module):
    """Two calls for each essay, side by side; what passes between them is a small number, alike for two of them."""

    def __init__(self, ask: Any) -> None:
        super().__init__()
        self.ask = ask
        self.grade = dspy.Predict("essay -> grade: int")
        self.praise = dspy.Predict("grade: int -> praise")
        self.final = dspy.Predict("best: int -> summary")

    def one(self, essay: str) -> tuple[int, str]:
        grade = self.grade(essay=essay.strip()).grade
        return grade, self.praise(grade=grade + 1).praise

    def forward(self, essays: list[str]) -> Any:
        graded = self.ask(self.one, [f" {essay}" for essay in essays])
        best = self.final(best=max(grade for grade, _ in graded)).summary
        return dspy.Prediction(summary=best, remarks=[praise for _, praise in graded])


def in_dspys_pool(function: Any, items: list[str]) -> list[Any]:
    return dspy.Parallel(num_threads=3, disable_progress_bar=True)([(function, {"essay": item}) for item in items])


def in_tasks(send: Any) -> Any:
    async def together(function: Any, items: list[str]) -> list[Any]:
        return await asyncio.gather(*(send(function, item) for item in items))

    return lambda function, items: asyncio.run(together(function, items))


SIDE_BY_SIDE = {
    "dspy.Parallel": in_dspys_pool,
    "pool": in_a_pool_of_three,
    "contexts": in_brought_contexts,
    "threads": in_bare_threads,
    "asyncify": in_tasks(lambda function, item: untyped.asyncify(function)(item)),
    "to_thread": in_tasks(asyncio.to_thread),
}


@pytest.mark.parametrize("way", SIDE_BY_SIDE)
def test_a_graph_does_not_depend_on_which_thread_is_first(way):
    grades = {"rain": 5, "snow": 9, "hail": 5}

    def graph(late: str) -> Any:
        def answer(prompt: Any) -> dict[str, Any]:
            if late in prompt.inputs.values():
                time.sleep(0.05)
            if "essay" in prompt.inputs:
                return {"grade": grades[prompt.inputs["essay"]]}
            return {name: f"{name} for {prompt.inputs}" for name in prompt.names}

        with served(answer):
            return trace(Graded(SIDE_BY_SIDE[way]), {"essays": list(grades)})

    graphs = [graph(late) for late in ("rain", "hail")]
    assert not graphs[0].warnings
    assert graphs[0].edges == graphs[1].edges
    assert [call.id for call in graphs[0]] == [call.id for call in graphs[1]]
    assert {(edge.source.call, edge.target.call) for edge in graphs[0].edges if edge.target.call != "output"} == {
        *((f"grade[{at}]", f"praise[{at}]") for at in range(3)),
        *((f"grade[{at}]", "final[0]") for at in range(3)),
    }


def test_threads_do_not_spend_past_the_budget():
    with served(careful) as server:
        optimizer = SemanticGradientDescent(
            right, steps=4, method=presets.published(), budget=Budget(calls=20), subscribers=()
        )
        better: Any = optimizer.compile(Several(in_a_pool), trainset=questions(8))
    assert server.requests == better.detailed_results.total.calls <= 20


def test_executions_at_the_same_time_never_mix_in_a_pool_that_they_share():
    examples = questions(12)
    seen: dict[str, set[str]] = {}

    def metric(example, prediction, trace=None, pred_name=None, pred_trace=None):
        if pred_name is not None and trace is not None:
            seen[example.question] = {str(inputs["question"]) for _, inputs, _ in trace}
        return 0.0

    with served(careful, latency=0.01):
        optimizer = SemanticGradientDescent(metric, steps=1, method=presets.published(), subscribers=())
        optimizer.compile(Several(in_a_shared_pool), trainset=examples)
    assert seen and all(questions == {question} for question, questions in seen.items())


def test_threads_are_as_they_were_afterwards_and_others_are_let_alone():
    before = threading.Thread.start, ThreadPoolExecutor.submit
    with served(careful):
        trace(Several(in_a_pool), {"question": "why?"})
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == before
