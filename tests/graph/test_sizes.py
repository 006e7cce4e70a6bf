"""Long and deep traces, and what every call took: seconds and tokens."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import ComputationGraph, trace
from dspy_semantic_backprop.testing import SimulatedServer
from tests.graph.graphs import Pair, echo, untyped
from tests.scripted import served


class Instant(dspy.BaseLM):
    """Answers at once inside of the process, where thousands of calls are traced."""

    def __init__(self):
        super().__init__(model="instant", cache=False)
        self.count = 0

    def __call__(self, prompt: Any = None, *, messages: Any = None, **_: Any) -> Any:
        self.count += 1
        return [f"[[ ## longer ## ]]\nversion number {self.count}\n\n[[ ## completed ## ]]"]


class Deep(dspy.Module):
    def __init__(self):
        super().__init__()
        self.step = dspy.Predict("text -> longer")

    def forward(self, text, depth):
        text = self.step(text=text).longer
        return self(text=text, depth=depth - 1) if depth > 1 else dspy.Prediction(text=text)


def test_a_program_that_calls_itself_500_deep():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        with dspy.context(lm=Instant()):
            graph = trace(Deep(), {"text": "start", "depth": 500}, probe="never")
    finally:
        sys.setrecursionlimit(limit)
    assert graph.error is None
    assert len(graph) == len(graph.waves) == 500
    assert len(graph.edges) == 500


def test_a_recursion_that_is_too_deep_is_the_programs_own_error_and_comes_no_sooner():
    def deepest(run):
        """The most levels that a run stands, from a thread of its own, to within twenty."""
        stands, falls = 20, 500
        while falls - stands > 20:
            middle = (stands + falls) // 2
            with ThreadPoolExecutor(1) as pool:
                error = pool.submit(run, middle).result()
            assert not error or "RecursionError" in error
            stands, falls = (stands, middle) if error else (middle, falls)
        return stands

    def bare(depth):
        try:
            with dspy.context(lm=Instant()):
                Deep()(text="start", depth=depth)
        except RecursionError as error:
            return repr(error)
        return ""

    def traced(depth):
        with dspy.context(lm=Instant()):
            graph = trace(Deep(), {"text": "start", "depth": depth}, probe="never")
        assert graph.error or len(graph) == depth
        return graph.error or ""

    # The thread that runs the program, and the recorder, stand on a few frames themselves.
    assert deepest(traced) >= deepest(bare) - 20


def test_3_000_calls_come_back_with_a_warning():
    class Long(dspy.Module):
        def __init__(self):
            super().__init__()
            self.step = dspy.Predict("text -> longer")

        def forward(self, text, length):
            for _ in range(length):
                text = self.step(text=text).longer
            return dspy.Prediction(text=text)

    with dspy.context(lm=Instant()):
        graph = trace(Long(), {"text": "start", "length": 3_000}, probe="auto")
    assert len(graph) == len(graph.edges) == 3_000
    assert any("3000 calls are more than 200" in warning for warning in graph.warnings)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_seconds_and_tokens_of_every_call(asynchronous):
    class Awaits(dspy.Module):
        def __init__(self):
            super().__init__()
            self.first = dspy.Predict("question -> hint")
            self.second = dspy.Predict("hint -> answer")

        async def aforward(self, question):
            hints = await asyncio.gather(*(self.first.acall(question=f"{question} {at}") for at in range(3)))
            return await self.second.acall(hint=" ".join(hint.hint for hint in hints))

    class Parallel(Pair):
        def forward(self, question):
            work = [(self.first, {"question": f"{question} {at}"}) for at in range(3)]
            hints = dspy.Parallel(num_threads=3, disable_progress_bar=True)(work)
            return self.second(hint=" ".join(hint.hint for hint in hints))

    program: Any = Awaits() if asynchronous else Parallel()
    with served(echo, latency=0.05) as server:
        graph = trace(program, {"question": "why?"}, probe="never")
    assert len(graph) == 4
    assert all(call.seconds is not None and 0.05 <= call.seconds < 30 for call in graph)
    assert sum(call.usage["prompt_tokens"] for call in graph) == server.prompt_tokens
    assert sum(call.usage["completion_tokens"] for call in graph) == server.completion_tokens
    assert all(set(call.usage) == {"prompt_tokens", "completion_tokens"} for call in graph)
    back = ComputationGraph.from_dict(graph.to_dict())
    assert [(call.seconds, call.usage) for call in back] == [(call.seconds, dict(call.usage)) for call in graph]
    old = graph.to_dict()
    for call in old["calls"]:
        del call["seconds"], call["usage"]
    assert [(call.seconds, call.usage) for call in ComputationGraph.from_dict(old)] == [(None, {})] * 4


def test_answers_of_the_cache_took_no_tokens_and_the_users_own_accounts_stay_right():
    program = Pair()
    with SimulatedServer(echo) as server, dspy.context(lm=server.lm()):
        with untyped.track_usage() as mine:
            fresh = trace(program, {"question": "why?"}, probe="never")
            cached = trace(program, {"question": "why?"}, probe="never")
        total = next(iter(mine.get_total_tokens().values()))
        assert total["prompt_tokens"] == server.prompt_tokens
        assert all(call.usage for call in fresh)
        assert all(call.usage == {} for call in cached)

        kept: list[Any] = []

        class Keeps(Pair):
            def __call__(self, **inputs):
                kept.append(super().__call__(**inputs))
                return kept[-1]

        with dspy.context(track_usage=True):
            Keeps()(question="and?")
            bare = kept[-1].get_lm_usage()
            dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
            trace(Keeps(), {"question": "and?"}, probe="never")
            assert bare and kept[-1].get_lm_usage() == bare
