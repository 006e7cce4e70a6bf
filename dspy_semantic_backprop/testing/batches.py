"""A batch interface like OpenAI's, for the simulated server: files, batches of their lines, files of replies."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .faults import Sent, error_body

_URL = "/v1/chat/completions"
_PART = re.compile(rb'name="file".*?\r\n\r\n(.*?)\r\n--', re.DOTALL)


@dataclass
class BatchFaults:
    """What goes wrong with batches; what a line is answered has the faults of any request.

    Arguments:
        polls: how often a batch is looked at before it is over.
        ending: how a batch ends: completed, failed, expired or cancelled; of one that ends early, `answered` of the
            lines were answered.
        answered: how many lines of a batch that expires or is cancelled were answered.
        lost: how many of its last lines no file of replies has.
        twice: whether each line of replies stands there twice.
        torn: how often a file of replies is read before it is whole.
        statuses: path, such as "POST /v1/batches" or "GET /v1/batches/" -> HTTP statuses of the next requests; 0 closes
            the connection, and a negative one does so once the work is done.
    """

    polls: int = 0
    ending: str = "completed"
    answered: int = 0
    lost: int = 0
    twice: bool = False
    torn: int = 0
    statuses: dict[str, list[int]] = field(default_factory=dict)


@dataclass
class BatchDesk:
    """Files and batches of one server.

    Arguments:
        answer: what is sent for one line's request.

    Attributes:
        batches: the batches that were made, in order.
        requests: how many requests of this interface arrived.
        files: name -> content.
    """

    answer: Callable[[bytes], Sent]
    faults: BatchFaults = field(default_factory=BatchFaults)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0
        self._looks = Counter[str]()
        self._numbers = itertools.count()

    def respond(self, method: str, path: str, body: bytes) -> Sent | None:
        """What is sent for a request of the batch interface; None where it is none."""
        kind, _, rest = path.partition("?")[0].removeprefix("/v1/").partition("/")
        if kind not in ("files", "batches"):
            return None
        with self._lock:
            self.requests += 1
            status = self._status(f"{method} /v1/{kind}{'/' if rest else ''}")
            if status >= 0 and status != _FINE:
                return Sent(0) if status == 0 else Sent(status, json.dumps(error_body(f"status {status}")).encode())
            sent = self._done(method, kind, rest, path, body)
            return Sent(0) if status < 0 else sent

    def _status(self, what: str) -> int:
        left = self.faults.statuses.get(what)
        return left.pop(0) if left else _FINE

    def _done(self, method: str, kind: str, rest: str, path: str, body: bytes) -> Sent:
        if kind == "files":
            if method == "POST":
                return self._upload(body)
            name = rest.removesuffix("/content")
            return _unknown(rest) if name not in self.files else Sent(200, self._content(name))
        if method == "POST":
            return self._create(json.loads(body))
        if not rest:
            return _json({"object": "list", "data": self.batches[::-1], "has_more": False})
        found = [one for one in self.batches if one["id"] == rest]
        return _json(self._look(found[0])) if found else _unknown(rest)

    def _upload(self, body: bytes) -> Sent:
        found = _PART.search(body)
        name = f"file-{len(self.files)}"
        self.files[name] = found[1] if found else b""
        return _json({"id": name, "object": "file", "bytes": len(self.files[name]), "purpose": "batch", **_FILE})

    def _create(self, asked: dict[str, Any]) -> Sent:
        lines = self.files.get(asked["input_file_id"], b"").splitlines()
        made = {
            **{"id": f"batch-{next(self._numbers)}", "object": "batch", "created_at": int(time.time())},
            **{"endpoint": _URL, "completion_window": "24h", "input_file_id": asked["input_file_id"]},
            **{"status": "validating", "metadata": asked.get("metadata"), "output_file_id": None},
            **{"error_file_id": None, "errors": None},
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        self.batches.append(made)
        return _json(made)

    def _look(self, batch: dict[str, Any]) -> dict[str, Any]:
        self._looks[batch["id"]] += 1
        if batch["status"] == "validating":
            batch["status"] = "in_progress"
        if batch["status"] == "in_progress" and self._looks[batch["id"]] > self.faults.polls:
            self._end(batch)
        return batch

    def _end(self, batch: dict[str, Any]) -> None:
        faults, lines = self.faults, self.files[batch["input_file_id"]].splitlines()
        batch["status"] = faults.ending
        if faults.ending == "failed":
            said = {"code": "invalid_request", "message": "the file is refused", "line": 1, "param": None}
            batch["errors"] = {"object": "list", "data": [said]}
            return
        whole = faults.ending == "completed"
        asked = [json.loads(line) for line in lines]
        worked = asked if whole else asked[: faults.answered]
        done = [self._reply(one) for one in worked]
        rest = [_never(one, faults.ending) for one in asked[len(worked) :]]
        good = [one for one in done if one["response"]["status_code"] < 400]
        bad = [one for one in done if one["response"]["status_code"] >= 400]
        good = good[: len(good) - faults.lost]
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad) + len(rest)}
        for name, replies in (("output_file_id", good), ("error_file_id", bad + rest)):
            if replies:
                batch[name] = f"{batch['id']}-{name}"
                text = [json.dumps(one) for one in replies for _ in range(1 + faults.twice)]
                self.files[batch[name]] = "\n".join(text).encode()

    def _reply(self, line: dict[str, Any]) -> dict[str, Any]:
        sent = self.answer(json.dumps(line["body"]).encode())
        try:
            body: Any = json.loads(sent.body)
        except ValueError:
            body = sent.body.decode("utf-8", "replace")
        response = {"status_code": sent.status or 500, "request_id": "req", "body": body}
        return {"id": f"line-{line['custom_id']}", "custom_id": line["custom_id"], "response": response, "error": None}

    def _content(self, name: str) -> bytes:
        content = self.files[name]
        if self.faults.torn and name.endswith("output_file_id"):
            self.faults.torn -= 1
            return content[: len(content) // 2]
        return content


_FINE = 200
_FILE = {"created_at": 0, "filename": "requests.jsonl", "status": "processed"}


def _json(value: Any) -> Sent:
    return Sent(200, json.dumps(value).encode())


def _unknown(name: str) -> Sent:
    return Sent(404, json.dumps(error_body(f"no such thing: {name}")).encode())


def _never(line: dict[str, Any], ending: str) -> dict[str, Any]:
    said = {"code": f"batch_{ending}", "message": f"the batch has {ending} before this request was begun"}
    return {"id": f"line-{line['custom_id']}", "custom_id": line["custom_id"], "response": None, "error": said}
