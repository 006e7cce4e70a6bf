"""A proxy in front of a language model that counts what really arrives there.

What an optimizer says it has spent is not taken for granted: every request is counted where it would be billed.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_KEEP = {"content-type", "retry-after"}


@dataclass
class Request:
    """One request that arrived.

    Args:
        body: A digest of what was asked.
        began: When it arrived, in seconds of the monotonic clock.
        ended: When the answer was handed on; None while it is under way.
        status: The HTTP status; 0 where there was none.
        tokens: Tokens sent and received, as the model counted them.
        headers: The header lines, where they are kept.
    """

    body: str
    began: float
    ended: float | None = None
    status: int = 0
    tokens: tuple[int, int] = (0, 0)
    headers: str = field(default="", repr=False)


class Proxy:
    """Stands before a model server on loopback while the context is entered. Thread-safe.

    Args:
        upstream: The model's address, ending in /v1.

    Attributes:
        struck: When something was killed, in seconds of the monotonic clock.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.requests: list[Request] = []
        self.struck = 0.0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(), bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.request_queue_size = 256

    def __enter__(self) -> Proxy:
        self._server.server_bind()
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The proxy's address, ending in /v1."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self.requests = []

    def counted(self) -> dict[str, int]:
        """How many calls and tokens there were."""
        with self._lock:
            tokens = [request.tokens for request in self.requests]
            return {
                "calls": len(tokens),
                "prompt_tokens": sum(sent for sent, _ in tokens),
                "completion_tokens": sum(received for _, received in tokens),
            }

    def bodies(self) -> Counter[str]:
        """How often each question was asked."""
        with self._lock:
            return Counter(request.body for request in self.requests)

    def under_way(self, moment: float, grace: float) -> Counter[str]:
        """The questions that had no answer at the moment when all who ask ended, or one that had just been handed on.

        Args:
            moment: In seconds of the monotonic clock.
            grace: An answer handed on so many seconds before need not have been written down.
        """
        with self._lock:
            return Counter(one.body for one in self.requests if one.ended is None or one.ended > moment - grace)

    def _handler(self) -> Any:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                data = self.rfile.read(length)
                if len(data) < length:
                    # Whoever asked was killed in the middle of it: nobody answers that, or bills it.
                    self.close_connection = True
                    return
                request = Request(hashlib.sha256(data).hexdigest(), time.monotonic(), headers=str(self.headers))
                with proxy._lock:
                    proxy.requests.append(request)
                try:
                    status, headers, answer = proxy._ask(self.path, data, self.headers.get("Authorization", ""))
                    request.status, request.tokens = status, _tokens(answer)
                    self.send_response(status)
                    for name, value in headers:
                        if name.lower() in _KEEP:
                            self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                    self.wfile.flush()
                except (OSError, http.client.HTTPException):
                    self.close_connection = True
                finally:
                    request.ended = time.monotonic()

            def handle(self) -> None:
                # A client that was killed does not close its connections.
                with contextlib.suppress(ConnectionError):
                    super().handle()

            def setup(self) -> None:
                super().setup()
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    def _ask(self, path: str, data: bytes, authorization: str) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.upstream.hostname or "", self.upstream.port, timeout=600)
        try:
            headers = {"Content-Type": "application/json", "Authorization": authorization}
            connection.request("POST", path, data, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()


def _tokens(answer: bytes) -> tuple[int, int]:
    try:
        usage = json.loads(answer)["usage"]
        return int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    except (ValueError, KeyError, TypeError):
        return 0, 0
