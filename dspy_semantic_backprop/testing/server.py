"""A function of the user's own in place of a language model, behind a real HTTP server on loopback.

The server speaks OpenAI's chat completions, so that a program reaches it through the ordinary `dspy.LM`: the client,
its retries, its cache and its usage accounting are the real ones, in every version of DSPy.

Why not a class in place of `dspy.LM`: such doubles are uncached, see no transport errors, and follow an
interface that DSPy is about to drop; the wire format is the one contract that holds.
"""

from __future__ import annotations

import hashlib
import json
import socket
import socketserver
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import dspy

from .prompt import Prompt

_Sent = tuple[int, bytes] | None

_PATH = "/v1/chat/completions"
_UNPARSABLE = "I would rather not say."
_ERRORS = {
    "rate_limit": (429, "Too many requests, slow down.", "rate_limit_exceeded"),
    "server_error": (500, "The server had an error.", "server_error"),
    "auth": (401, "Incorrect API key provided.", "invalid_api_key"),
    "unknown_model": (404, "The model does not exist.", "model_not_found"),
    "billing": (429, "You exceeded your current quota.", "insufficient_quota"),
}


@dataclass(frozen=True)
class Faults:
    """How often the server misbehaves, as shares (0 to 1) of the requests; together at most 1.

    Arguments:
        rate_limit: 429 with `Retry-After: 0`.
        server_error: 500.
        garbage: 200 with a body that is not JSON.
        drop: the connection is closed without an answer.
        hang: the connection stays silent for `hang_seconds` and is closed then.
        malformed: a well-formed reply whose content no adapter can parse.
        auth: 401.
        unknown_model: 404.
        billing: 429 that says the quota is used up.
        hang_seconds: seconds that a hanging request waits.
    """

    rate_limit: float = 0.0
    server_error: float = 0.0
    garbage: float = 0.0
    drop: float = 0.0
    hang: float = 0.0
    malformed: float = 0.0
    auth: float = 0.0
    unknown_model: float = 0.0
    billing: float = 0.0
    hang_seconds: float = 30.0

    def __post_init__(self) -> None:
        rates = [value for name, value in asdict(self).items() if name != "hang_seconds"]
        if min(rates) < 0 or sum(rates) > 1 + 1e-9:
            raise ValueError(f"fault rates must be shares that sum to at most 1, got {rates}")

    def hit(self, seed: int, content: bytes, nth: int) -> str | None:
        """The fault that strikes a request; another one where its content came `nth` times before, as in a retry."""
        digest = hashlib.sha256(b"%d\0%d\0" % (seed, nth) + content).digest()
        point = int.from_bytes(digest[:8], "big") / 2**64
        for name, rate in asdict(self).items():
            if name != "hang_seconds":
                if point < rate:
                    return name
                point -= rate
        return None


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
    """

    model: str
    status: int
    messages: tuple[dict[str, Any], ...]
    reply: str
    seconds: float


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

    def __post_init__(self) -> None:
        if self.host not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError(f"the simulated server listens on loopback only, got host={self.host!r}")
        self._lock = threading.Lock()
        self._counts = Counter[str]()
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
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
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

    def respond(self, body: bytes) -> _Sent:
        """The status and body for one completion request; None to close the connection without an answer."""
        seconds = time.monotonic() - self._started
        content = hashlib.sha256(body).digest()
        with self._lock:
            self._counts["requests"] += 1
            nth = self._seen[content]
            self._seen[content] += 1
        request = _request(body)
        served = ServedRequest(str(request.get("model", "")), 0, tuple(request["messages"]), "", seconds)
        fault = self.faults.hit(self.seed, body, nth)
        wait = self.faults.hang_seconds if fault == "hang" else self.latency
        if wait > 0:
            self._stopping.wait(wait)
        if fault in ("hang", "drop"):
            return self._close(served, None)
        if fault == "garbage":
            return self._close(replace(served, status=200), b"<html>busy</html>")
        if fault in _ERRORS:
            return self._close(replace(served, status=_ERRORS[fault][0]), _error_body(fault))
        return self._complete(request, served, nth, fault == "malformed")

    def _complete(self, request: dict[str, Any], served: ServedRequest, nth: int, malformed: bool) -> _Sent:
        wanted = _whole(request.get("n"), 1)
        warm = bool(request.get("temperature"))
        samples = [nth * wanted + index if warm else 0 for index in range(wanted)]
        replies = [self._reply(request["messages"], sample, malformed) for sample in samples]
        usage = {
            "prompt_tokens": _tokens(json.dumps(request["messages"])),
            "completion_tokens": sum(_tokens(reply) for reply in replies),
        }
        with self._lock:
            self._counts["answered"] += 1
            self._counts.update(usage)
        body = _completion(served.model, replies, usage)
        return self._close(replace(served, status=200, reply=replies[0]), body)

    def _reply(self, messages: list[dict[str, Any]], sample: int, malformed: bool) -> str:
        if malformed:
            return _UNPARSABLE
        prompt = Prompt.from_messages(messages, sample=sample)
        return prompt.render(self.answer(prompt))

    def _close(self, served: ServedRequest, body: bytes | None) -> _Sent:
        with self._lock:
            self._log.append(served)
        return None if body is None else (served.status, body)


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


def _whole(value: Any, least: int) -> int:
    return max(least, value) if isinstance(value, int) else least


def _tokens(text: str) -> int:
    """About what a tokenizer would count for English text."""
    return len(text) // 4 + 1


def _error_body(fault: str) -> bytes:
    _, message, code = _ERRORS[fault]
    # LiteLLM goes by the type where it contradicts the status.
    kind = "invalid_request_error" if fault in ("auth", "unknown_model") else code
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


def _completion(model: str, replies: list[str], usage: dict[str, int]) -> bytes:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}
        for index, reply in enumerate(replies)
    ]
    return json.dumps(
        {
            "id": "chatcmpl-simulated",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": choices,
            "usage": {**usage, "total_tokens": sum(usage.values())},
        }
    ).encode()


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
        if self.path.split("?")[0] != _PATH:
            self._send(404, _error_body("unknown_model"))
            return
        answer = self.server.owner.respond(body)
        if answer is None:
            self.close_connection = True
        else:
            self._send(*answer)

    def do_GET(self) -> None:
        listed = {"object": "list", "data": [{"id": self.server.owner.model, "object": "model"}]}
        self._send(200, json.dumps(listed).encode())

    def _send(self, status: int, body: bytes) -> None:
        """One write for head and body: two would wait for each other's acknowledgement."""
        head = f"HTTP/1.1 {status} {self.responses[status][0]}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n"
        head += "Retry-After: 0\r\n" if status == 429 else ""
        try:
            self.wfile.write(head.encode() + b"\r\n" + body)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the server's own log has it all."""
