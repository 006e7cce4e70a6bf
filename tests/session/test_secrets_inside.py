"""A secret inside of something that an error's words are made of stands in nothing that a run or a report tells."""

from __future__ import annotations

import json
import types
from dataclasses import dataclass
from typing import Any

import dspy
import httpx
import pydantic
import pytest

from dspy_semantic_backprop import SemanticGradientDescent
from tests.optimizer.test_resume import Fan
from tests.scripted import careful, questions, served
from tests.session.test_secrets import CANARY, told


@dataclass
class Connection:
    host: str
    api_key: str


class Settings:
    PASSWORD = CANARY


class Checked(pydantic.BaseModel):
    api_key: int


class Unchangeable(Exception):
    """Its words are made of what no one can take out."""

    __slots__ = ("why",)

    def __init__(self, why: str):
        super().__init__()
        self.why = why

    def __str__(self) -> str:
        return f"refused {self.why}"


CONNECTION = Connection("here", CANARY)
MODULE: Any = types.ModuleType("configuration")
MODULE.SERVICE_TOKEN = CANARY


def connecting(**_: Any) -> Any:
    raise RuntimeError(f"no way to {CONNECTION}")


def of_a_class(**_: Any) -> Any:
    raise RuntimeError(f"refused {Settings.PASSWORD}")


def of_a_module(**_: Any) -> Any:
    raise RuntimeError(f"refused {MODULE.SERVICE_TOKEN}")


def of_a_mapping(**_: Any) -> Any:
    options = {"url": "here", "auth_token": CANARY}
    raise RuntimeError(f"refused {options}")


def of_a_nested_mapping(**_: Any) -> Any:
    options = {"search": {"url": "here", "api_key": CANARY}}
    raise RuntimeError(f"refused {options['search']['url']} with {list(options['search'].values())}")


def of_a_request(**_: Any) -> Any:
    request = httpx.Request("GET", "http://here/", headers={"x-api-key": CANARY})
    reply = httpx.Response(403, text=f"nobody knows {CANARY}", request=request)
    raise RuntimeError(reply.text)


def of_a_refusal(**_: Any) -> Any:
    request = httpx.Request("GET", "http://here/", headers={"authorization": f"Bearer {CANARY}"})
    httpx.Response(403, headers={"set-cookie": f"session={CANARY}"}, request=request).raise_for_status()


def of_a_reply(**_: Any) -> Any:
    raise RuntimeError("refused: " + json.dumps({"user": "me", "access_token": CANARY}))


def checking(**_: Any) -> Any:
    token = CANARY
    return Checked(api_key=token)  # pyright: ignore[reportArgumentType]


def unchangeable(**_: Any) -> Any:
    token = CANARY
    raise Unchangeable(token)


RAISING = [
    *(connecting, of_a_class, of_a_module, of_a_mapping, of_a_nested_mapping),
    *(of_a_request, of_a_refusal, of_a_reply, checking, unchangeable),
]


class Raising(Fan):
    """Raises where it is asked, on every example or on the first one."""

    def __init__(self, why: Any, always: bool) -> None:
        super().__init__()
        self.why, self.always = why, always

    def forward(self, question: str) -> Any:
        return self.why() if self.always or "number 0" in question else super().forward(question=question)


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("why", RAISING)
def test_what_an_error_of_the_program_is_made_of_is_told_nowhere(why, always, tmp_path, caplog):
    with served(careful):
        texts = told(tmp_path, caplog, program=Raising(why, always))
    # Of a refusal over HTTP only what it holds tells the key, which no text of it shows.
    assert "[hidden]" in str(texts) or why is of_a_refusal
    assert not [text for text in texts if CANARY in text]


@pytest.mark.parametrize("why", RAISING)
def test_what_an_error_of_the_metric_is_made_of_is_told_nowhere(why, tmp_path, caplog):
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> Any:
        return why()

    with served(careful):
        assert not [text for text in told(tmp_path, caplog, metric=metric) if CANARY in text]


@pytest.mark.parametrize("why", RAISING)
def test_an_explanation_of_what_raised_does_not_tell_it(why):
    with served(careful):
        explained = SemanticGradientDescent(lambda *_: 0.0, subscribers=()).explain(Raising(why, True), questions(1)[0])
    assert CANARY not in repr(explained) + str(explained)
