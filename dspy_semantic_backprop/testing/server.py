"""A function of the user's own in place of a language model, behind a real HTTP server on loopback.

The server speaks OpenAI's chat completions, so that a program reaches it through the ordinary `dspy.LM`: the client,
its retries, its cache and its usage accounting are the real ones, in every version of DSPy.

Why not a class in place of `dspy.LM`: such doubles are uncached, see no transport errors, and follow an
interface that DSPy is about to drop; the wire format is the one contract that holds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import socketserver
import struct
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import dspy

from .batches import BatchDesk, BatchFaults
from .faults import UNPARSABLE, Faults, Sent, error, is_answer, reply
from .prompt import Prompt

_PATH = "/v1/chat/completions"
_LOOK = 0.01
"""The longest that a stop waits for, in seconds: a suite of tests stops a server thousands of times."""


class AnswerFunction(Protocol):
    """A function that answers prompts; it is called from several threads at once."""

    def __call__(self, prompt: Prompt, /) -> Mapping[str, Any] | str:
        """Output values by field name, of which missing ones are made up, or the whole reply's text."""
        ...


@dataclass(frozen=True)
class ServedRequest:
    """One request that arrived.

    Arguments:
        model: the model name asked for.
        status: the HTTP status sent; 0 when the connection was closed without one.
        messages: the chat messages.
        reply: the text answered, empty if there was none.
        seconds: time of arrival in seconds since the server's start.
        fault: what went wrong; empty where nothing did.
    """

    model: str
    status: int
    messages: tuple[dict[str, Any], ...]
    reply: str
    seconds: float
    fault: str = ""


@dataclass(eq=False)
class SimulatedServer:
    """A language model in name, answering by a function, served on loopback while the context is entered.

        with SimulatedServer(lambda prompt: {name: "yes" for name in prompt.names}) as server:
            dspy.configure(lm=server.lm())

    Arguments:
        answer: answers each prompt.
        latency: seconds that each request takes at least.
        faults: how often the server misbehaves.
        seed: decides which requests the faults strike.
        model: the model's name; by default one that no other server has, since DSPy caches answers by it.
        host: a loopback address.
        keep: how many requests `log` keeps at most.
        batch_faults: what goes wrong with batches.

    Attributes:
        desk: its batch interface.

    Raises:
        ValueError: if the host is no loopback address.
    """

    answer: AnswerFunction
    _: KW_ONLY
    latency: float = 0.0
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    model: str = field(default_factory=lambda: f"simulated-{uuid.uuid4().hex[:8]}")
    host: str = "127.0.0.1"
    keep: int = 10_000
    batch_faults: BatchFaults = field(default_factory=BatchFaults)

    def __post_init__(self) -> None:
        if self.host not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError(f"the simulated server listens on loopback only, got host={self.host!r}")
        self._lock = threading.Lock()
        self._counts = Counter[str]()
        self.desk = BatchDesk(self.respond, self.batch_faults)
        self._seen = Counter[bytes]()
        self._log: deque[ServedRequest] = deque(maxlen=self.keep)
        self._listener: _Listener | None = None
        self._started = time.monotonic()
        self._stopping = threading.Event()

    def start(self) -> SimulatedServer:
        """Listen on a free port; returns the server itself."""
        if self._listener is not None:
            raise RuntimeError("the simulated server runs already")
        self._stopping.clear()
        self._started = time.monotonic()
        self._listener = _Listener(self)
        threading.Thread(target=self._listener.serve_forever, args=(_LOOK,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the port and every connection; a second call does nothing."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._stopping.set()
            listener.shutdown()
            listener.close_all()

    def __enter__(self) -> SimulatedServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The API's base address, ending in /v1."""
        if self._listener is None:
            raise RuntimeError("the simulated server is not running: `with SimulatedServer(answer) as server: ...`")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._listener.server_address[1]}/v1"

    def lm(self, **kwargs: Any) -> dspy.LM:
        """A language model client for this server; settings are those of `dspy.LM`, the temperature 0 unless given."""
        settings = {"api_base": self.url, "api_key": "simulated", "temperature": 0.0, **kwargs}
        return dspy.LM(f"openai/{self.model}", **settings)

    @property
    def requests(self) -> int:
        """How many completion requests arrived."""
        return self._counts["requests"]

    @property
    def answered(self) -> int:
        """How many of them got a 200 with a good body."""
        return self._counts["answered"]

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens of the answered requests."""
        return self._counts["prompt_tokens"]

    @property
    def completion_tokens(self) -> int:
        """Completion tokens of the answered requests."""
        return self._counts["completion_tokens"]

    @property
    def log(self) -> list[ServedRequest]:
        """The latest requests, oldest first."""
        with self._lock:
            return list(self._log)

    def pause(self, seconds: float) -> None:
        """Wait, or until the server stops."""
        self._stopping.wait(seconds)

    def respond(self, body: bytes) -> Sent:
        """What is sent for one completion request."""
        seconds = time.monotonic() - self._started
        content = hashlib.sha256(body).digest()
        with self._lock:
            self._counts["requests"] += 1
            spared = self._counts["requests"] <= self.faults.spared
            nth = self._seen[content]
            self._seen[content] += 1
        request = _request(body)
        fault = "" if spared else self.faults.hit(self.seed, body, nth)
        served = ServedRequest(str(request.get("model", "")), 0, tuple(request["messages"]), "", seconds, fault)
        wait = self.faults.hang_seconds if fault == "hang" else self.latency
        if wait > 0:
            self.pause(wait)
        sent, text = error(self.faults, fault), ""
        if sent is None:
            sent, text = self._complete(request, served, nth)
        with self._lock:
            self._log.append(replace(served, status=sent.status, reply=text))
        return sent

    def _complete(self, request: dict[str, Any], served: ServedRequest, nth: int) -> tuple[Sent, str]:
        wanted = max(1, request["n"]) if isinstance(request.get("n"), int) else 1
        warm = bool(request.get("temperature"))
        samples = [nth * wanted + index if warm else 0 for index in range(wanted)]
        replies = [self._reply(request["messages"], sample, served.fault == "malformed") for sample in samples]
        usage = {
            "prompt_tokens": _tokens(json.dumps(request["messages"])),
            "completion_tokens": sum(_tokens(reply) for reply in replies),
        }
        completion = _completion(served.model, replies, usage)
        streams = bool(request.get("stream")) and not served.fault
        sent = Sent(200, _streamed(completion), "text/event-stream") if streams else reply(served.fault, completion)
        if is_answer(served.fault):
            with self._lock:
                self._counts["answered"] += 1
                self._counts.update(usage)
        return sent, replies[0] if is_answer(served.fault) else ""

    def _reply(self, messages: list[dict[str, Any]], sample: int, malformed: bool) -> str:
        if malformed:
            return UNPARSABLE
        prompt = Prompt.from_messages(messages, sample=sample)
        return prompt.render(self.answer(prompt))


def _request(body: bytes) -> dict[str, Any]:
    """The parsed request; whatever is wrong with it counts as a request without messages."""
    try:
        request = json.loads(body)
    except ValueError:
        request = {}
    request = request if isinstance(request, dict) else {}
    messages = request.get("messages")
    messages = messages if isinstance(messages, list) else []
    return {**request, "messages": [message for message in messages if isinstance(message, dict)]}


def _tokens(text: str) -> int:
    """About what a tokenizer would count for English text."""
    return len(text) // 4 + 1


def _completion(model: str, replies: list[str], usage: dict[str, int]) -> dict[str, Any]:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}
        for index, reply in enumerate(replies)
    ]
    return {
        "id": "chatcmpl-simulated",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": choices,
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }


def _streamed(completion: dict[str, Any]) -> bytes:
    """A completion as server-sent events, word by word; the last event has what it used."""
    common = {**completion, "object": "chat.completion.chunk"}

    def event(index: int, delta: dict[str, str], why: str | None = None) -> dict[str, Any]:
        choices = [{"index": index, "delta": delta, "finish_reason": why}]
        return {key: value for key, value in {**common, "choices": choices}.items() if key != "usage"}

    events: list[dict[str, Any]] = []
    for choice in completion["choices"]:
        at, words = choice["index"], re.findall(r"\s*\S+|\s+$", choice["message"]["content"])
        events += [event(at, {"role": "assistant", "content": word}) for word in words] + [event(at, {}, "stop")]
    told = [json.dumps(one) for one in [*events, {**common, "choices": []}]]
    return "".join(f"data: {one}\n\n" for one in [*told, "[DONE]"]).encode()


class _Listener(ThreadingHTTPServer):
    """One thread per connection; connections are kept so that a stop ends them too."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, owner: SimulatedServer) -> None:
        self.owner = owner
        self.open: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in owner.host else socket.AF_INET
        super().__init__((owner.host, 0), _Handler)

    def server_bind(self) -> None:
        # The base class looks up the host's full name here, which can take seconds.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up is no news; a scripted answer that fails must be seen.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close_all(self) -> None:
        self.server_close()
        for connection in list(self.open):
            self.shutdown_request(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(length) if length.isdigit() else 0)
        owner, known = self.server.owner, self.path.split("?")[0] == _PATH
        sent = owner.respond(body) if known else owner.desk.respond("POST", self.path, body)
        sent = sent or error(Faults(), "unknown_model")
        # A client that hangs up is no news.
        with contextlib.suppress(OSError):
            self._send(sent or Sent(0))

    def do_GET(self) -> None:
        listed = {"object": "list", "data": [{"id": self.server.owner.model, "object": "model"}]}
        sent = self.server.owner.desk.respond("GET", self.path, b"")
        with contextlib.suppress(OSError):
            self._send(sent or Sent(200, json.dumps(listed).encode()))

    def _send(self, sent: Sent) -> None:
        """One write for head and body: two would wait for each other's acknowledgement."""
        self.close_connection |= not sent.status or sent.connection == "cut off"
        if sent.connection == "reset":
            # Closing a socket that lingers for no time drops what is under way and says so to the other side.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        if not sent.status:
            return
        reason = self.responses.get(sent.status, ("Unknown",))[0]
        head = f"HTTP/1.1 {sent.status} {reason}\r\nContent-Type: {sent.kind}\r\nContent-Length: {len(sent.body)}\r\n"
        head += f"Retry-After: {sent.retry_after:g}\r\n" if sent.retry_after is not None else ""
        body = sent.body[: -len(sent.body) // 2] if sent.connection == "cut off" else sent.body
        if sent.connection != "slow":
            self.wfile.write(head.encode() + b"\r\n" + body)
            return
        self.wfile.write(head.encode() + b"\r\n")
        for at in range(len(body)):
            self.wfile.write(body[at : at + 1])
            self.server.owner.pause(self.server.owner.faults.hang_seconds / len(body))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the server's own log has it all."""
