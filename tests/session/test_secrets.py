"""A secret stands in no file, event, error, traceback, report or log record, wherever it is held."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import enum
import functools
import json
import pickle
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dspy
import httpx
import pytest

from dspy_semantic_backprop import JournalError, SemanticGradientDescent
from tests.optimizer.test_resume import Fan
from tests.scripted import careful, questions, right, served

CANARY = "cAnary7x31415926535"
LOGIN = f"http://somebody:{CANARY}@"


@contextmanager
def echo(status: int) -> Iterator[str]:
    """A provider that repeats in its errors all that it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode("utf-8", "replace")
            said = f"Not with {dict(self.headers)} at {self.path}: {body}"
            reply = json.dumps({"error": {"message": said, "type": "no", "code": "no"}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def told(folder: Any, caplog: Any, program: Any = None, metric: Any = right, subscribers: Any = ()) -> list[str]:
    """All that a run tells anybody."""
    texts: list[str] = []
    optimizer = SemanticGradientDescent(
        metric,
        steps=0,
        log_dir=folder / "log",
        gradient_cache=folder / "answers",
        subscribers=[lambda event: texts.append(repr(event)), *subscribers],
    )
    texts += [repr(optimizer), repr(optimizer.settings), repr(optimizer.settings.session())]
    try:
        better = optimizer.compile(program or Fan(), trainset=questions(2))
        texts += [repr(better.detailed_results), str(better.detailed_results.to_dict())]
    except Exception as error:
        texts.append("".join(traceback.format_exception(error)))
        while error is not None:
            texts += [str(error), repr(error), repr(vars(error))]
            with contextlib.suppress(pickle.PicklingError, TypeError, AttributeError):
                texts.append(pickle.dumps(error).decode("latin-1"))
            error = error.__cause__ or error.__context__
    texts += [path.read_text() for path in folder.rglob("*") if path.is_file()]
    return [*texts, caplog.text]


CREDENTIALS: dict[str, Any] = {"type": "service_account", "private_key": f"-----BEGIN\n{CANARY}\n-----END"}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("openai", {"api_key": CANARY}),
    ("openai", {"organization": CANARY}),
    ("openai", {"extra_headers": {"Authorization": f"Bearer {CANARY}"}}),
    ("openai", {"extra_headers": {"X-Anything": CANARY}}),
    ("openai", {"headers": {"X-Anything": CANARY}}),
    ("openai", {"default_headers": {"X-Anything": CANARY}}),
    ("openai", {"extra_body": {"password": CANARY}}),
    ("openai", {"extra_body": {"deep": [{"unheard_of": CANARY}]}}),
    ("openai", {"extra_query": {"sig": CANARY}}),
    ("openai", {"default_query": {"sig": CANARY}}),
    ("openai", {"metadata": {"team": CANARY}}),
    ("openai", {"user": CANARY}),
    ("openai", {"unheard_of": CANARY}),
    ("openai", {"proxy": f"{LOGIN}proxy:3128"}),
    ("openai", {"http_client": httpx.Client(headers={"Authorization": f"Bearer {CANARY}"})}),
    ("openai", {"http_client": httpx.Client(auth=("somebody", CANARY))}),
    ("azure", {"api_key": CANARY, "api_version": "2024-02-01"}),
    ("azure", {"azure_ad_token": CANARY, "api_version": "2024-02-01"}),
    ("azure", {"client_secret": CANARY, "tenant_id": "t", "client_id": "c", "api_version": "2024-02-01"}),
    ("azure", {"azure_password": CANARY, "azure_username": "me", "api_version": "2024-02-01"}),
    ("bedrock", {"aws_access_key_id": CANARY}),
    ("bedrock", {"aws_secret_access_key": CANARY}),
    ("bedrock", {"aws_session_token": CANARY}),
    ("bedrock", {"aws_web_identity_token": CANARY}),
    ("vertex_ai", {"vertex_credentials": json.dumps(CREDENTIALS)}),
    ("vertex_ai", {"vertex_credentials": CREDENTIALS}),
    ("gemini", {"api_key": CANARY}),
    ("anthropic", {"api_key": CANARY}),
    ("anthropic", {"auth_token": CANARY}),
    ("mistral", {"api_key": CANARY}),
    ("groq", {"api_key": CANARY}),
    ("cohere", {"api_key": CANARY}),
    ("huggingface", {"api_key": CANARY}),
    ("ollama", {"headers": {"Authorization": f"Basic {CANARY}"}}),
    ("ollama_chat", {"api_key": CANARY}),
]


@pytest.mark.parametrize("status", [401, 500])
@pytest.mark.parametrize(("provider", "settings"), SETTINGS)
def test_a_setting_of_a_language_model_is_told_nowhere(provider, settings, status, tmp_path, caplog):
    with echo(status) as address:
        known = {"api_key": "none", "api_base": f"http://{address}", "cache": False, "num_retries": 0, "timeout": 5}
        lm = dspy.LM(f"{provider}/x", **{**known, **settings})
        with dspy.context(lm=lm):
            assert not [text for text in told(tmp_path, caplog) if CANARY in text]


@pytest.mark.parametrize("secret", ["Tr0ub,4dor;{})x]y", 'p4"ss\\{}', "pässé{}", " {} \n", "a+/{}==", "a b,c {}"])
def test_a_secret_is_known_however_it_is_spelled(secret, tmp_path, caplog):
    known: dict[str, Any] = {"api_key": "none", "cache": False, "num_retries": 0}
    known |= {"extra_body": {"given": secret.format(CANARY)}, "extra_query": {"given": secret.format(CANARY)}}
    with echo(500) as address:
        with dspy.context(lm=dspy.LM("openai/x", api_base=f"http://{address}", **known)):
            assert not [text for text in told(tmp_path, caplog) if CANARY in text]


@dataclasses.dataclass
class Login:
    user: str
    value: str


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: str):
        self.value = value


class Refused(dspy.BaseLM):
    """A language model of the user's own, whose server repeats what it was sent."""

    def __init__(self, name: str, held: Any):
        super().__init__("own/x", cache=False)
        setattr(self, name, held)

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        raise RuntimeError(f"401: nobody knows {CANARY}")


HELD = {
    "bearer": CANARY,
    "session": httpx.Client(headers={"X-Any": CANARY}),
    "options": {"X-Any": [CANARY]},
    "configuration": Login("me", CANARY),
    "credentials": Slotted(CANARY),
    "auth": enum.Enum("Auth", {"HERE": CANARY})["HERE"],
    "token": bytearray(CANARY.encode()),
}


@pytest.mark.parametrize("name", HELD)
def test_a_language_model_of_the_users_own_is_refused_without_its_secret(name, tmp_path, caplog):
    with dspy.context(lm=Refused(name, HELD[name])):
        assert not [text for text in told(tmp_path, caplog) if CANARY in text]


class Encoding(Refused):
    """The same, whose server repeats it encoded."""

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        pairs = [f"{user}:{CANARY}".encode() for user in ("a", "ab", "abc")]
        raise RuntimeError(f"403: {[base64.b64encode(one).decode() for one in pairs]} {CANARY.encode().hex()}")


def test_a_secret_is_known_in_base64_and_in_hexadecimal(tmp_path, caplog):
    with dspy.context(lm=Encoding("token", CANARY)):
        texts = told(tmp_path, caplog)
    inner = [base64.b64encode(b"-" * at + CANARY.encode()).decode()[4:-4] for at in range(3)]
    assert not [text for text in texts for one in (*inner, CANARY.encode().hex()) if one in text]
    assert any("403: ['" in text for text in texts)


def test_a_number_is_a_secret_where_it_is_long_and_the_name_of_an_engine_is_none(tmp_path, caplog):
    with echo(401) as host:
        held: Any = {"engine": "litellm"} if "engine" in dspy.LM.__init__.__code__.co_varnames else {}  # since DSPy 3.4
        held |= {"extra_body": {"pin": 31415926535897}}
        lm = dspy.LM("openai/x", api_key="none", api_base=f"http://{host}", cache=False, num_retries=0, **held)
        with dspy.context(lm=lm):
            texts = told(tmp_path, caplog)
    assert not [text for text in texts if "31415926535897" in text]
    assert any("litellm.AuthenticationError" in text for text in texts)


class Client:
    """A tool, metric or subscriber that tells its key when it fails."""

    api_key = CANARY

    def __call__(self, *args: Any) -> Any:
        raise RuntimeError(f"refused: {self.api_key}")


class Searching(Fan):
    def forward(self, **inputs: Any) -> Any:
        return Client()()


@pytest.mark.parametrize("place", [{"program": Searching()}, {"metric": Client()}, {"subscribers": [Client()]}])
def test_what_fails_in_a_run_does_not_tell_its_key(place, tmp_path, caplog):
    with served(careful):
        texts = told(tmp_path, caplog, **place)
    assert "[hidden]" in str(texts)
    assert not [text for text in texts if CANARY in text]


def test_what_a_metric_returns_in_place_of_a_score_is_shown_without_its_key(tmp_path, caplog):
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> Any:
        return dataclasses.make_dataclass("Verdict", ["api_key"])(CANARY)

    with served(careful):
        texts = told(tmp_path, caplog, metric=metric)
    assert any("returned Verdict(" in text for text in texts)
    assert not [text for text in texts if CANARY in text]


@pytest.mark.parametrize("status", [401, 500])
@pytest.mark.parametrize("address", ["{login}{host}", "http://{host}?api_key={canary}", "http://{host}/{canary}"])
def test_an_address_loses_who_calls(address, status, tmp_path, caplog):
    with echo(status) as host:
        base = address.format(login=LOGIN, host=host, canary=CANARY)
        with dspy.context(lm=dspy.LM("openai/x", api_key="none", api_base=base, cache=False, num_retries=0)):
            texts = told(tmp_path, caplog)
    if "/{canary}" not in address:
        assert not [text for text in texts if CANARY in text]
    else:
        # A path is what it is; but no file names it.
        assert CANARY not in (tmp_path / "log" / "journal.jsonl").read_text().splitlines()[0]


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MY_PASSWORD"])
def test_what_the_environment_holds_is_told_nowhere(name, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv(name, CANARY)
    with echo(401) as address:
        lm = dspy.LM("openai/x", api_key=CANARY, api_base=f"http://{address}", cache=False, num_retries=0)
        with dspy.context(lm=lm):
            assert not [text for text in told(tmp_path, caplog) if CANARY in text]


class Judge:
    def __init__(self, secret: str):
        self.secret, self.words = secret, [secret]

    def __repr__(self) -> str:
        return f"Judge({self.secret})"

    def __call__(self, example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        return right(example, prediction)

    def judge(self, example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        return right(example, prediction)


def closing(secret: Any) -> Any:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        return bool(secret) and right(example, prediction)

    return metric


def defaulting(secret: Any) -> Any:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None, *, word: Any = secret) -> bool:
        return bool(word) and right(example, prediction)

    return metric


def taking(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None, *, word: Any = "") -> bool:
    return right(example, prediction)


WORD: Any = CANARY


def looking_up(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    return bool(WORD) and right(example, prediction)


METRICS = [
    closing(CANARY),
    closing({"inner": [CANARY]}),
    closing(Judge(CANARY)),
    closing(dspy.LM("openai/judge", api_key=CANARY)),
    defaulting(CANARY),
    functools.partial(taking, word=CANARY),
    functools.partial(taking, word=Judge(CANARY)),
    looking_up,
    Judge(CANARY),
    Judge(CANARY).judge,
]


@pytest.mark.parametrize("metric", METRICS, ids=range(len(METRICS)))
def test_what_a_metric_holds_is_told_nowhere(metric, tmp_path, caplog):
    with served(careful):
        assert not [text for text in told(tmp_path, caplog, metric=metric) if CANARY in text]


class Holding(Fan):
    def __init__(self) -> None:
        super().__init__()
        self.password = self.words = CANARY
        self.judge = Judge(CANARY)


def test_what_a_program_or_a_subscriber_holds_is_told_nowhere(tmp_path, caplog):
    def raising(event: Any, secret: str) -> None:
        raise RuntimeError("no")

    subscriber = functools.partial(raising, secret=CANARY)
    with served(careful):
        texts = told(tmp_path, caplog, program=Holding(), subscribers=[subscriber])
    assert "subscriber" in texts[-1]
    assert not [text for text in texts if CANARY in text]


def test_a_judge_that_is_refused_does_not_tell_its_key(tmp_path, caplog):
    with echo(401) as address, served(careful):
        judge = dspy.LM("openai/judge", api_key=CANARY, api_base=f"http://{address}", cache=False, num_retries=0)

        def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
            return bool(judge("Is it?"))

        assert not [text for text in told(tmp_path, caplog, metric=metric) if CANARY in text]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"azure_ad_token": "old-token-0123456789"}, {"azure_ad_token": "new-token-9876543210"}),
        ({"api_key": "old-key-0123456789"}, {"api_key": "new-key-9876543210"}),
        ({"aws_session_token": "old-0123456789"}, {"aws_session_token": "new-9876543210"}),
        ({"extra_headers": {"X-Any": "old-0123456789"}}, {"extra_headers": {"X-Any": "new-9876543210"}}),
        ({}, {"extra_query": {"sig": "new-9876543210"}}),
    ],
)
def test_a_refreshed_token_goes_on_and_pays_for_nothing_twice(one, other, tmp_path):
    with served(careful) as server:
        for settings in (one, other):
            with dspy.context(lm=server.lm(cache=False, **settings)):
                SemanticGradientDescent(right, steps=0, log_dir=tmp_path, subscribers=()).compile(
                    Fan(), trainset=questions(3)
                )
        assert len(server.log) == 9


def test_a_key_that_was_met_since_does_not_make_it_another_run(tmp_path):
    name = "plover-17-model"
    with served(careful) as server:

        def run(model: str, key: str, folder: Any) -> None:
            with dspy.context(lm=dspy.LM(f"openai/{model}", api_base=server.url, api_key=key, cache=False)):
                SemanticGradientDescent(right, steps=0, log_dir=folder, subscribers=()).compile(
                    Fan(), trainset=questions(3)
                )

        run(name, "simulated", tmp_path)
        # From now on no text holds this key, which is the other model's name.
        run("judge", name, None)
        run(name, "simulated", tmp_path)
        assert len(server.log) == 18


@pytest.mark.parametrize("other", [{"temperature": 0.5}, {"extra_body": {"top_k": 5}}, {"max_tokens": 77}])
def test_another_setting_is_another_run(other, tmp_path):
    with served(careful) as server:
        for settings in ({}, other):
            optimizer = SemanticGradientDescent(right, steps=0, log_dir=tmp_path, subscribers=())
            with dspy.context(lm=server.lm(cache=False, **settings)):
                if settings:
                    with pytest.raises(JournalError, match=r"settings.lm.settings"):
                        optimizer.compile(Fan(), trainset=questions(3))
                else:
                    optimizer.compile(Fan(), trainset=questions(3))
