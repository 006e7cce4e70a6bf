"""What a program does to the world is done once in each execution, whatever was learned from running it again."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from dspy_semantic_backprop import SemanticGradientDescent, atrace, trace
from dspy_semantic_backprop.testing import Prompt
from tests.effects import (  # noqa: F401 - they register their kinds
    files,
    loops,
    network,
    processes,
    settings,
    state,
    stores,
    threads,
    watchers,
)
from tests.effects.world import KINDS, Acts, AwaitingActs, World
from tests.scripted import careful, questions, right, served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="many kinds are POSIX; no replay without a fork")


@pytest.fixture
def executions() -> list[str]:
    """The real executions so far: each asks its last predictor, also where earlier answers are given again."""
    return []


@pytest.fixture
def world(tmp_path, executions):
    def answer(prompt: Prompt) -> dict[str, Any]:
        if list(prompt.names) == ["answer"]:
            executions.append(prompt.inputs["question"])
        return careful(prompt)

    with served(answer), ExitStack() as ending:
        yield World(tmp_path, ending)


@pytest.mark.parametrize("name", KINDS)
def test_a_trace_does_it_once(name, world, executions):
    act, count = KINDS[name](world)
    trace(Acts(act), questions(1)[0])
    assert len(executions) == 1
    assert count() == 1


@pytest.mark.parametrize("name", KINDS)
def test_a_compile_does_it_once_for_each_execution(name, world, executions):
    act, count = KINDS[name](world)
    optimizer = SemanticGradientDescent(right, steps=1, num_threads=1, subscribers=())
    optimizer.compile(Acts(act), trainset=questions(2))
    assert count() == len(executions) > 2


@pytest.mark.parametrize("name", ["event_that_a_worker_waits_for", "thread_local_of_a_worker", "barrier_with_a_worker"])
def test_a_wait_for_a_thread_that_a_replay_does_not_have_is_over_at_once(name, world):
    act, _ = KINDS[name](world)
    # A minute would be long enough for the process to be taken for one that waits for ever.
    assert not trace(Acts(act), questions(1)[0]).warnings


@pytest.mark.parametrize("name", ["executor_of_processes_made_before", "coroutine_in_an_event_loop_of_another_thread"])
def test_a_wait_without_an_end_for_such_a_thread_is_said(name, world):
    act, _ = KINDS[name](world)
    (warning,) = trace(Acts(act), questions(1)[0]).warnings
    assert "it waits for another thread" in warning


@pytest.mark.parametrize("name", loops.KINDS)
def test_an_asynchronous_trace_and_compile_do_it_once(name, world, executions):
    async def traced() -> int:
        act, count = await loops.KINDS[name](world)
        await atrace(AwaitingActs(act), questions(1)[0])
        return await count()

    async def compiled() -> int:
        act, count = await loops.KINDS[name](world)
        optimizer = SemanticGradientDescent(right, steps=1, num_threads=1, subscribers=())
        await optimizer.acompile(AwaitingActs(act), trainset=questions(2))
        return await count()

    assert asyncio.run(traced()) == len(executions) == 1
    world.web.orders.clear()
    executions.clear()
    assert asyncio.run(compiled()) == len(executions) > 2
