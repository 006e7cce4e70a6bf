"""What providers read from their prompt caches: asked for, counted and priced."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dspy
import pytest
from dspy import lm15

from dspy_semantic_backprop import Budget, SemanticGradientDescent
from tests.optimizer.test_resume import Fan
from tests.scripted import questions, right

READ, WRITTEN, SENT, RECEIVED = 1000, 200, 1300, 50
ANSWER = "".join(f"[[ ## {name} ## ]]\ncareful {name}\n\n" for name in ("hint", "answer", "completed"))
MESSAGES = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": ANSWER}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": SENT - READ - WRITTEN,
        "output_tokens": RECEIVED,
        "cache_read_input_tokens": READ,
        "cache_creation_input_tokens": WRITTEN,
    },
}
COMPLETIONS = {
    "object": "chat.completion",
    "created": 1,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}],
    "usage": {
        "prompt_tokens": SENT,
        "completion_tokens": RECEIVED,
        "total_tokens": SENT + RECEIVED,
        "prompt_tokens_details": {"cached_tokens": READ},
    },
}


@contextmanager
def provider() -> Iterator[tuple[str, list[Any]]]:
    """A server of both interfaces, at an address, and the requests that it got."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append(asked)
            reply = MESSAGES if self.path.endswith("/messages") else COMPLETIONS
            body = json.dumps({"id": "1", "model": asked["model"], **reply}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def run(model: str, address: str, *, budget: Budget | None = None, **settings: Any) -> Any:
    lm = dspy.LM(model, api_key="none", api_base=address, cache=False, max_tokens=100, **settings)
    optimizer = SemanticGradientDescent(right, steps=0, budget=budget, subscribers=())
    with dspy.context(lm=lm):
        return optimizer.compile(Fan(), trainset=questions(2)).detailed_results


def marking(engine: str) -> dict[str, Any]:
    """What lets a client mark the system message for Anthropic's cache."""
    if engine == "litellm":
        return {"cache_control_injection_points": [{"location": "message", "role": "system"}]}
    return {"prompt_cache": lm15.CacheConfig(prefix="stable")}


@pytest.mark.parametrize("engine", ["native", "litellm"])
def test_anthropic_is_told_what_to_keep_and_what_it_read_is_priced_so(engine):
    settings = marking(engine)
    with provider() as (address, seen):
        result = run("anthropic/claude-sonnet-4-5", address, budget=Budget(usd=1.0), **settings)
    assert len(seen) == result.total.calls > 0
    assert all(one["system"][-1]["cache_control"]["type"] == "ephemeral" for one in seen)
    assert not any("cache_control" in json.dumps(one["messages"]) for one in seen)
    # US dollars for a million: 3 sent, 0.3 read, 3.75 written, 15 received.
    each = (100 * 3 + READ * 0.3 + WRITTEN * 3.75 + RECEIVED * 15) / 1_000_000
    assert result.total.usd == pytest.approx(len(seen) * each)
    assert result.total.cache_read_tokens == len(seen) * READ
    assert result.total.cache_write_tokens == len(seen) * WRITTEN
    assert result.total.prompt_tokens == len(seen) * SENT
    assert f"({len(seen) * READ:,} of them from the provider's cache)" in str(result)


def test_a_stated_price_may_say_what_a_token_from_the_cache_costs():
    totals = {}
    with provider() as (address, seen):
        for price in ((1.0, 2.0), (1.0, 2.0, 0.1)):
            before = len(seen)
            budget = Budget(usd=1.0, prices={"openai/own": price})
            totals[price] = run("openai/own", f"{address}/v1", budget=budget).total, len(seen) - before
    for price, (total, calls) in totals.items():
        less = READ * 0.9 if len(price) == 3 else 0
        assert total.usd == pytest.approx(calls * (SENT + RECEIVED * 2 - less) / 1_000_000)
        assert total.cache_read_tokens == calls * READ and total.cache_write_tokens == 0


def test_marks_are_no_part_of_what_a_run_is(tmp_path):
    optimizer = SemanticGradientDescent(right, steps=0, subscribers=(), log_dir=tmp_path)
    with provider() as (address, seen):
        for settings in ({}, marking("litellm")):
            lm = dspy.LM("anthropic/claude-sonnet-4-5", api_key="none", api_base=address, cache=False, **settings)
            with dspy.context(lm=lm):
                result = optimizer.compile(Fan(), trainset=questions(2)).detailed_results
            # What the first run was answered is not asked for again.
            assert len(seen) == result.total.calls == 6
