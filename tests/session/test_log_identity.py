"""Which run a log belongs to: what a metric and a program hold makes another one, and stands nowhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import JournalError, SemanticGradientDescent
from dspy_semantic_backprop.testing import SimulatedServer
from tests.optimizer.test_resume import Fan, outcome
from tests.scripted import careful, questions, right, served
from tests.session.test_log_file import FILE, quick


class Judge:
    def __init__(self, least: float, words: Any = ()):
        self.least = least
        self.words = set(words)

    def __call__(self, example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return float(right(example, prediction) >= self.least)

    def judge(self, example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return self(example, prediction)


def closing(least: float) -> Any:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return float(right(example, prediction) >= least)

    return metric


def defaulting(least: float) -> Any:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None, *, most: float = least) -> float:
        return float(right(example, prediction) >= most)

    return metric


def taking(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None, *, least: float = 0.0) -> float:
    return float(right(example, prediction) >= least)


LEAST = 0.0


def looking_up(least: float) -> Any:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return float(right(example, prediction) >= LEAST)

    metric.__globals__["LEAST"] = least
    return metric


MAKERS: list[Callable[[float], Any]] = [
    closing,
    defaulting,
    looking_up,
    lambda least: partial(taking, least=least),
    lambda least: Judge(least, ["some", "words", "in", "no", "order"]),
    lambda least: Judge(least).judge,
    lambda least: partial(Judge(least).judge),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_metric_is_known_by_what_it_holds_and_that_stands_nowhere(make, tmp_path):
    with served(careful):
        first = quick(tmp_path, make(0.123456))
        assert outcome(quick(tmp_path, make(0.123456))) == outcome(first)
        with pytest.raises(JournalError, match=r"settings.metric.holds\.") as caught:
            quick(tmp_path, make(0.654321))
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in (*texts, str(caught.value)) if "123456" in text or "654321" in text]


class Keeping(Fan):
    def __init__(self, kept: Any):
        super().__init__()
        self.kept = kept


@pytest.mark.parametrize(("one", "other"), [(3, 5), (["a"], ["b"]), ({"x": 1}, {"x": 2}), ({1, 2}, {1, 3})])
def test_a_program_is_known_by_what_it_holds(one, other, tmp_path):
    def run(kept: Any) -> Any:
        optimizer = SemanticGradientDescent(right, log_dir=tmp_path, steps=0, subscribers=())
        return optimizer.compile(Keeping(kept), trainset=questions(3)).detailed_results

    with served(careful):
        assert outcome(run(one)) == outcome(run(one))
        with pytest.raises(JournalError, match=r"program.holds.*kept"):
            run(other)


def test_what_objects_of_this_package_hold_is_not_the_users_however_it_is_installed(tmp_path):
    def run(kept: Any) -> Any:
        optimizer = SemanticGradientDescent(right, log_dir=tmp_path, steps=0, subscribers=())
        return optimizer.compile(Keeping(kept), trainset=questions(3)).detailed_results

    with served(careful):
        assert outcome(run(SimulatedServer(careful))) == outcome(run(SimulatedServer(careful, latency=0.5)))


def test_a_log_that_is_shown_without_its_key_tells_no_digest_to_compare_with_and_is_gone_on_from(tmp_path, caplog):
    with served(careful) as server:
        first = quick(tmp_path / "one", closing(0.5))
        (tmp_path / "two").mkdir()
        shutil.copy(tmp_path / "one" / FILE, tmp_path / "two" / FILE)
        before = len(server.log)
        assert outcome(quick(tmp_path / "two", closing(0.5))) == outcome(first)
        assert len(server.log) == before
        assert "without its journal.key" in caplog.text
        quick(tmp_path / "three", closing(0.5))
    heads = [(tmp_path / name / FILE).read_text().splitlines()[0] for name in ("one", "three")]
    held = [json.loads(head)["settings"]["metric"]["holds"] for head in heads]
    assert held[0]["least"] != held[1]["least"]
