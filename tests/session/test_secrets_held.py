"""A secret is known wherever what an error's words are made of holds it; what is no secret, stays."""

from __future__ import annotations

import dataclasses
import functools
import io
import itertools
import types
from contextvars import ContextVar
from typing import Any, NamedTuple

import dspy
import pytest

from dspy_semantic_backprop import JournalError, MetricError, SemanticGradientDescent, SetupError
from tests.optimizer.test_resume import Fan
from tests.scripted import careful, questions, right, served
from tests.session.test_secrets import told
from tests.session.test_secrets_inside import Raising

KEY = "mV4qT9xLb2RzK7wYn3Hc"
PASSWORD = "plover-wattle-osprey"
NOW: ContextVar[str] = ContextVar("api_key", default=KEY)
MODULE: Any = types.ModuleType("configuration")
MODULE.services = {"search": {"api_key": KEY}}


class Login(NamedTuple):
    host: str
    secret: str


class Hidden:
    def __init__(self) -> None:
        self._held = KEY

    @property
    def api_key(self) -> str:
        return self._held


class Base:
    API_TOKEN = KEY


class Client:
    def __init__(self, api_key: str) -> None:
        self.api_key = api_key


DRAWN = [f"hQ7dW2sXk9PvLm3R{number}z" for number in range(3)]
"""For those that must not be known from the test before."""
CYCLE = itertools.cycle([{"api_key": DRAWN[0]}])
VIEW = {"api_key": DRAWN[1]}.values()
LOGIN = f"host=db user=me password={PASSWORD} dbname=x"
QUOTED = f"-----BEGIN+PRIVATE+KEY-----%0A{DRAWN[2]}%2F%0A-----END"


class Derived(Base):
    """Has it of another class."""


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    api_key: str


class Slotted(Exception):
    __slots__ = ("password",)

    def __str__(self) -> str:
        return f"refused {self.password}"


def raising(held: Any, said: Any) -> Any:
    raise RuntimeError(f"refused {said(held)}")


def keeping(api_key: str) -> Any:
    return lambda: api_key


def headers(*, token: str = KEY) -> str:
    return token


def in_slots(**_: Any) -> Any:
    error = Slotted()
    error.password = PASSWORD
    raise error


def in_source(**_: Any) -> Any:
    compile(f"password = '{KEY}' and", "configuration.py", "exec")


def before(**_: Any) -> Any:
    api_key = KEY
    try:
        raise KeyError(api_key)
    except KeyError as error:
        raise ValueError(f"no {error}") from None


class Replied(Exception):
    """Holds a reply, which its words do not show."""

    def __init__(self, reply: Any) -> None:
        super().__init__("refused")
        self.reply = reply


def far_behind(**_: Any) -> Any:
    def tried(times: int) -> None:
        api_key = KEY
        try:
            tried(times - 1) if times else [].index(api_key)
        except ValueError as error:
            raise ValueError("tried again" if times else api_key) from error

    tried(40)


def of_an_error(reply: Any, **_: Any) -> Any:
    token = KEY
    raise Replied(reply(token))


PLACES: dict[str, Any] = {
    "far behind": far_behind,
    "in an iterator": lambda **_: raising(CYCLE, lambda held: next(held)["api_key"]),
    "in a view": lambda **_: raising(VIEW, lambda held: next(iter(held))),
    "the body of a reply": lambda **_: of_an_error(lambda key: io.BytesIO(f"no {key}".encode())),
    "an object of an error": lambda **_: of_an_error(lambda key: vars(types)["SimpleNamespace"](deep=Client(key))),
    "words of a login": lambda **_: raising(LOGIN, str),
    "an encoded PEM block": lambda **_: raising(QUOTED, str),
    "in a record of a list": lambda **_: raising([Login("here", KEY)], lambda held: held[0][1]),
    "in pairs": lambda **_: raising([("page", "1"), ("api_key", KEY)], lambda held: held[1][1]),
    "under another telling name": lambda **_: raising({"auth": {"given": [KEY]}}, lambda held: held["auth"]),
    "a property": lambda **_: raising(Hidden(), lambda held: held.api_key),
    "of a base class": lambda **_: raising(Derived, lambda held: held.API_TOKEN),
    "in a closure": lambda **_: raising(keeping(KEY), lambda held: held()),
    "a default": lambda **_: raising(headers, lambda held: held()),
    "in a partial": lambda **_: raising(functools.partial(functools.partial(dict, api_key=KEY)), lambda held: held()),
    "a method's object": lambda **_: raising(types.MethodType(lambda one: one.key, Frozen(KEY)), lambda _: KEY),
    "of a context": lambda **_: raising(NOW, lambda held: held.get()),
    "deep in a module": lambda **_: raising(MODULE, lambda held: held.services["search"]["api_key"]),
    "a password of words": lambda **_: raising({"password": PASSWORD}, lambda held: held["password"]),
    "an address": lambda **_: raising({"url": f"db://me:{PASSWORD}@here/x"}, lambda held: held["url"][8:28]),
    "words of a connection": lambda **_: raising(None, lambda _: f"host=db password={KEY} dbname=x"),
    "words of a command": lambda **_: raising(None, lambda _: ["curl", f"--token={KEY}"]),
    "a frozen error": lambda **_: (_ for _ in ()).throw(Frozen(KEY)),
    "a slot of an error": in_slots,
    "the line of an error of syntax": in_source,
    "an error before": before,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_that_lies_open_is_told_nowhere(place, tmp_path, caplog):
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> Any:
        return PLACES[place]()

    with served(careful):
        texts = told(tmp_path / "metric", caplog, metric=metric)
        texts += told(tmp_path / "program", caplog, program=Raising(PLACES[place], True))
    assert not [text for text in texts if any(secret in text for secret in (KEY, PASSWORD, *DRAWN))]


def test_a_subscriber_whose_error_cannot_be_changed_does_not_tell_it(tmp_path, caplog):
    with served(careful):
        texts = told(tmp_path, caplog, subscribers=[lambda _: PLACES["a slot of an error"]()])
    assert "Slotted" in texts[-1]
    assert not [text for text in texts if PASSWORD in text]


ORDINARY = {
    "key": "customer12345678",
    "cache_key": "11f6ad8ec52a2984abaafd7c3b516503785c2072",
    "author": "smith1984abc@example.com",
    "client_name": "gpt-4o-mini-2024-07-18",
    "engine": "Qwen2.5-7B-Instruct-Q4_K_M",
    "client": "claude-3-5-sonnet-20241022",
    "primary_key": "3f2b8c1d-9a7e-4f6b-8c2d-1e5f7a9b3c4d",
    "token": "internationalization",
    "token_count": "12345678901234",
    "key_file": "/home/me/keys/id_ed25519.pub",
    "tokenizer": "cl100k_base_v2024a",
    "commit": "11f6ad8ec52a2984abaafd7c3b516503785c2072",
    "picture": "data:image/png;base64,iVBORw0KGgoAAAANSUh",
    "keyframe": "f00a12b34c56d78",
    "pass_rate": "0.9312a4b5c6",
    "answer_key": "1B2A3D4C5A6B7D8C9A",
    "address": "https://x.com/?key_count=3&author=smith1984",
    "search": "https://x.com/?keyword=lamp2024&max_tokens=512",
    "lesson": "basic arithmetic2024",
    "owner": "bearer 12345678",
    "task": "sk-learn-2024-classifier-v2",
    "code": "Client(api_key=settings.api_key)",
    "advice": "api_key=<your-key>",
}


@pytest.mark.parametrize("name", ORDINARY)
def test_what_is_no_secret_stays_in_an_error(name):
    def program(**_: Any) -> Any:
        raising(types.SimpleNamespace(**{name: ORDINARY[name]}), str)

    with served(careful):
        optimizer = SemanticGradientDescent(lambda *_: 0.0, subscribers=())
        explained = str(optimizer.explain(Raising(program, True), questions(1)[0]))
    assert ORDINARY[name] in " ".join(explained.split())


class Odd:
    """All that could be run in it says so."""

    def __init__(self, ran: list[str]):
        object.__setattr__(self, "_ran", ran)

    def __getattr__(self, name: str) -> Any:
        self._ran.append(name)
        raise RuntimeError(name)

    def __iter__(self) -> Any:
        self._ran.append("__iter__")
        return iter(())

    def items(self) -> Any:
        self._ran.append("items")
        return ()

    keys = items

    @property
    def api_key(self) -> str:
        self._ran.append("api_key")
        return KEY


def test_what_lies_at_hand_is_read_and_not_run():
    ran: list[str] = []
    odd = Odd(ran)
    with served(careful):
        optimizer = SemanticGradientDescent(lambda *_: 0.0, subscribers=())
        explained = optimizer.explain(Raising(lambda: raising(odd, lambda _: "no"), True), questions(1)[0])
    assert "refused no" in str(explained)
    assert not set(ran) & {"items", "api_key", "__iter__"}


def test_of_large_things_in_an_error_the_beginning_stays():
    many = [f"number {at}" for at in range(100_000)]

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> Any:
        raise ValueError(many, dict.fromkeys(many), f"api_key={KEY} " + "word " * 1_000_000)

    with served(careful), pytest.raises(MetricError) as raised:
        SemanticGradientDescent(metric, steps=0, subscribers=()).compile(Fan(), trainset=questions(2))
    cause = raised.value.__cause__
    assert isinstance(cause, ValueError) and KEY not in str(cause)
    assert len(cause.args[0]) == len(cause.args[1]) == 100 and len(cause.args[2]) < 30_000


def test_a_function_that_groups_examples_is_refused_without_its_key():
    def group(example: dspy.Example) -> str:
        api_key = KEY
        raise LookupError(f"nobody knows {api_key}")

    with served(careful), pytest.raises(SetupError, match=r"nobody knows .hidden.") as raised:
        SemanticGradientDescent(right, steps=0, group=group, subscribers=()).compile(Fan(), trainset=questions(2))
    assert KEY not in f"{raised.value!r} {raised.value.__cause__!r}"


def test_a_refused_log_is_not_its_own_cause(tmp_path):
    texts: list[BaseException] = []
    with served(careful):
        for metric in (right, lambda example, prediction, trace=None: 0.0):
            try:
                SemanticGradientDescent(metric, steps=0, log_dir=tmp_path, subscribers=()).compile(
                    Fan(), trainset=questions(2)
                )
            except JournalError as error:
                texts.append(error)
    assert len(texts) == 1 and texts[0].__cause__ is None
