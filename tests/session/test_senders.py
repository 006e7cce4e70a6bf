"""Whatever sends a request to a language model in a run, by whichever client and for whomever, is counted or told."""

from __future__ import annotations

import asyncio
import ctypes.util
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Budget, Limits, SemanticGradientDescent
from tests.optimizer.test_endings import settled
from tests.optimizer.test_resume import Fan
from tests.scripted import careful, questions, right, served


@contextmanager
def answering(status: int, body: bytes = b"", **headers: str) -> Iterator[SimpleNamespace]:
    """A server that gives one answer to all; `requests` counts them."""
    seen = SimpleNamespace(requests=0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            seen.requests += 1
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    seen.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()


def optimised(program: Any = None, **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(**{"metric": right, "steps": 1, "subscribers": (), **settings})
    return optimizer.compile(program or Fan(), trainset=questions(4)).detailed_results


def test_every_hop_of_a_redirected_request_is_a_call():
    with served(careful) as server:
        with answering(307, Location=f"{server.url}/chat/completions") as first:
            with dspy.context(lm=server.lm(cache=False, api_base=first.url, engine="litellm")):
                result = optimised(budget=Budget(calls=11))
            arrived = settled(server) + first.requests
    assert result.ending.name == "BUDGET"
    assert 10 <= arrived == result.total.calls <= 11


async def post(url: str, asked: Any) -> Any:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.post(f"{url}/chat/completions", json=asked) as reply:
        return await reply.json()


class Insisting(dspy.BaseLM):
    """Asks its server twice for each answer, through aiohttp."""

    def __init__(self, url: str) -> None:
        super().__init__(model="insisting", cache=False)
        self.url = url

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        asked = {"messages": messages or [{"role": "user", "content": prompt}]}
        reply = [asyncio.run(post(self.url, asked)) for _ in range(2)][-1]
        said = SimpleNamespace(content=reply["choices"][0]["message"]["content"], tool_calls=None)
        choice = SimpleNamespace(message=said, finish_reason="stop", index=0)
        return SimpleNamespace(choices=[choice], usage=reply["usage"], model="insisting")


def test_requests_through_aiohttp_keep_to_the_budget():
    with served(careful) as server, dspy.context(lm=Insisting(server.url)):
        result = optimised(budget=Budget(calls=11))
        assert server.requests == result.total.calls == 11


class PastTheMeter(Fan):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def forward(self, question: str) -> Any:
        asyncio.run(post(self.url, {"messages": [{"role": "user", "content": question}]}))
        return super().forward(question)


def test_a_request_through_aiohttp_past_the_meter_is_told():
    with served(careful) as server:
        result = optimised(PastTheMeter(server.url), steps=0)
        past = server.requests - result.total.calls
    assert past
    assert any(f"sent {past} requests to a language model" in warning for warning in result.warnings)


def forked() -> None:
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()


def awaited() -> None:
    async def run() -> None:
        await (await asyncio.create_subprocess_exec("true")).wait()

    asyncio.run(run())


STARTING: dict[str, Callable[[], Any]] = {
    "fork": forked,
    "run": lambda: subprocess.run(["true"], check=True),
    "popen": lambda: os.popen("true").close(),
    "asyncio": awaited,
    "system": lambda: os.system("true"),
    "spawn": lambda: os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ), 0),
}


class Starting(Fan):
    def __init__(self, start: Callable[[], Any]) -> None:
        super().__init__()
        self.start = start

    def forward(self, question: str) -> Any:
        self.start()
        return super().forward(question)


@pytest.mark.parametrize("start", STARTING)
def test_processes_that_a_program_or_its_metric_starts_are_told_once(start):
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        STARTING[start]()
        return right(example, prediction)

    with served(careful):
        by_program = optimised(Starting(STARTING[start]), steps=0).warnings
        by_metric = optimised(Fan(), metric=metric, steps=0).warnings
    for warnings in (by_program, by_metric):
        assert sum("starts processes of its own" in warning for warning in warnings) == 1


def test_processes_that_python_starts_for_itself_are_not_told():
    with served(careful):
        result = optimised(Starting(lambda: ctypes.util.find_library("nothing")), steps=0)
    assert not any("starts processes of its own" in warning for warning in result.warnings)


TEXT = "[[ ## hint ## ]]\nno\n\n[[ ## answer ## ]]\nno\n\n[[ ## completed ## ]]"
CONTENT = [{"type": "output_text", "annotations": [], "text": TEXT}]
MESSAGE = {"type": "message", "id": "m", "status": "completed", "role": "assistant", "content": CONTENT}
USAGE = {"input_tokens": 70, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 9, "total_tokens": 79}
RESPONSE = {"id": "r", "object": "response", "created_at": 1, "model": "x", "status": "completed", "output": [MESSAGE]}
RESPONSE |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": USAGE}


@pytest.mark.parametrize("engine", ["auto", "litellm"])
def test_what_a_responses_model_took_is_counted_and_not_bounded(engine):
    with answering(200, json.dumps(RESPONSE).encode()) as server:
        settings = {"api_key": "none", "cache": False, "max_tokens": 100}
        lm = dspy.LM("openai/x", model_type="responses", api_base=server.url, engine=engine, **settings)
        with dspy.context(lm=lm):
            total = optimised(steps=0).total
    sent = server.requests
    assert (total.calls, total.prompt_tokens, total.completion_tokens) == (sent, 70 * sent, 9 * sent)
    assert (total.unsure_tokens, total.cache_read_tokens) == (0, 20 * sent)


class Unsendable(Fan):
    """Asks for one example what LiteLLM's client for completions does not take, and says a server's error."""

    def forward(self, question: str) -> Any:
        if question.endswith("1?"):
            dspy.LM("text-completion-openai/x", model_type="text", api_key="none", num_retries=0, cache=False)(
                "Is it?", response_format={"type": "json_object"}
            )
        return super().forward(question)


def test_what_the_client_itself_refuses_is_no_call_whatever_it_is_said_to_be():
    with served(careful) as server:
        result = optimised(Unsendable(), steps=0, limits=Limits(missing=0.5))
        assert (result.total.calls, result.total.unsure_tokens) == (server.requests, 0)


def test_what_subscribers_ask_in_a_run_is_counted_and_keeps_to_the_budget():
    for most in (None, 9):
        with served(careful) as server:
            lm, asked = dspy.settings.lm, []

            def subscriber(event: Any, lm: Any = lm, asked: Any = asked) -> None:
                asked.append(type(event).__name__)
                thread = threading.Thread(target=lm, args=(f"What of {event}?",))
                thread.start()
                thread.join()
                lm(f"And what else of {type(event)}?")

            budget = Budget(calls=most) if most else None
            result = optimised(subscribers=[subscriber], steps=0, budget=budget)
            # What it asks at the end, when the result is made, is its own affair.
            assert asked[-1] == "RunDone"
            assert server.requests - 2 == result.total.calls == sum(one.calls for one in result.spent.values())
            assert result.spent["subscriber"].calls > 1
            assert most is None or (result.total.calls <= most and result.ending.name == "BUDGET")
