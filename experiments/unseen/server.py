"""A loopback server with the interface of OpenAI's chat completions that plays a world's model and counts requests."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import traceback
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dspy
from unseen.prompts import Request, parse, reply
from unseen.reader import Reader
from unseen.world import Turn, World


class Server:
    """A world's model behind HTTP; after `cap` requests it answers none.

    Args:
        world: Which world.
        examples: The cases that its reader knows of.
        seed: Of its luck.
        cap: How many requests it answers.
        keep: Whether to keep every request and reply in `log`.
    """

    def __init__(self, world: World, examples: list[dspy.Example], seed: int, cap: int, *, keep: bool = False) -> None:
        self.reader, self.cap, self.requests, self.refused = Reader(world), cap, 0, 0
        self.reader.study(examples)
        self.log: list[tuple[list[dict[str, Any]], list[str]]] = []
        self._world, self._seed, self._keep = world, seed, keep
        self.errors: list[str] = []
        self._lock, self._asked = threading.Lock(), Counter[str]()
        fields: dict[str, Any] = {name: one.signature for name, one in world.build().named_predictors()}
        self._called = {(tuple(one.input_fields), tuple(one.output_fields)): name for name, one in fields.items()}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> Server:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def lm(self) -> dspy.LM:
        """A client of this server that neither caches nor retries."""
        base = f"http://127.0.0.1:{self._http.server_port}/v1"
        return dspy.LM(f"openai/{self._world.name}", api_base=base, api_key="none", cache=False, num_retries=0)

    def answer(self, messages: list[dict[str, Any]], many: int) -> list[str]:
        """As many replies to a request as it asks for; none beyond the cap."""
        with self._lock:
            if self.requests >= self.cap:
                self.refused += 1
                return []
            self.requests += 1
            request = parse(messages)
            replies = [self._one(request, self._luck(messages)) for _ in range(many)]
            if self._keep:
                self.log.append((messages, replies))
            return replies

    def _luck(self, messages: list[dict[str, Any]]) -> random.Random:
        asked = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()
        self._asked[asked] += 1
        return random.Random(f"{self._seed} {asked} {self._asked[asked]}")

    def _one(self, request: Request, rng: random.Random) -> str:
        name = self._called.get((tuple(request.inputs), tuple(request.outputs)), "")
        if not name:
            return reply(request, self.reader.answers(request, rng))
        turn = Turn(self._world, name, request.instruction, request.values, rng, [])
        written = self._world.answer(turn)
        self.reader.note(name, request.instruction, turn.faults)
        return reply(request, written)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, wbufsize = "HTTP/1.1", 1 << 16

            def do_POST(self) -> None:
                """Answer a chat completion."""
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    replies = server.answer(body["messages"], body.get("n") or 1)
                except Exception:
                    server.errors.append(traceback.format_exc())
                    raise
                self._send(200 if replies else 400, _completion(body["model"], replies))

            def _send(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler


def _completion(model: str, replies: list[str]) -> dict[str, Any]:
    if not replies:
        return {"error": {"message": "no more requests are answered", "type": "cap", "code": "cap"}}
    choices = [
        {"index": at, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for at, text in enumerate(replies)
    ]
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    return {"id": "one", "object": "chat.completion", "created": 0, "model": model, "choices": choices, "usage": usage}
