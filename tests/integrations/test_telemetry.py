"""Spans of OpenTelemetry: one root for a run, and beneath it what DSPy's instrumentation records, by predictor."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.optimizer.test_resume import Fan

RUN = Path(__file__).with_name("telemetry_run.py")


@pytest.fixture(scope="module")
def ran() -> dict[str, Any]:
    """A trace and a compile in a process of their own: the instrumentation and the tracer provider are a process's."""
    for needed in ("openinference", "opentelemetry"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"NOT TESTED: {needed} is not installed (the extra test)")
    done = subprocess.run([sys.executable, str(RUN)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def predictors(spans: list[dict[str, Any]]) -> Counter[str]:
    """Predictor path -> how many of the instrumentation's spans belong to it; "" for our own questions."""
    asked = [one["attributes"] for one in spans if one["name"].startswith("Predict(")]
    return Counter(one.get("semantic_backprop.predictor", "") for one in asked)


def test_a_trace_of_three_calls_has_three_spans_of_predictors_and_one_root(ran):
    assert ran["calls"] == 3
    assert predictors(ran["trace"]) == {"first": 1, "second": 1, "final": 1}
    assert sum(one["root"] for one in ran["trace"]) == 1


def test_a_compile_is_one_tree_whose_spans_name_their_predictor(ran):
    (root,) = [one for one in ran["compile"] if one["root"]]
    assert root["name"] == "semantic_backprop.compile"
    assert root["attributes"]["semantic_backprop.ending"] == "perfect"
    kinds = Counter(one["name"].removeprefix("semantic_backprop.") for one in ran["compile"])
    assert kinds["step"] >= 1 and kinds["sweep"] >= 1 and kinds["evaluation"] >= 2 and kinds["example"] >= 8
    asked = predictors(ran["compile"])
    assert set(asked) == {"", *dict(Fan().named_predictors())} and asked.total() == ran["requests"]


def test_every_call_says_what_it_was_for(ran):
    asked = [one["attributes"] for one in ran["compile"] if one["name"].startswith("Predict(")]
    assert Counter(one["semantic_backprop.purpose"] for one in asked) == ran["spent"]


def test_blame_is_an_event_of_the_span_that_is_judged(ran):
    spans = {one["id"]: one["attributes"] for one in ran["compile"]}
    assert {one["name"] for one in ran["blame"]} == {"gen_ai.evaluation.result"}
    assert {one["gen_ai.evaluation.name"] for one in ran["blame"]} == {"semantic_backprop.blame"}
    for one in ran["blame"]:
        assert spans[one["span"]]["semantic_backprop.predictor"] == one["semantic_backprop.predictor"]
        assert spans[one["span"]]["semantic_backprop.where"].endswith(f"example {one['semantic_backprop.example']}")
        share, label = one["gen_ai.evaluation.score.value"], one["gen_ai.evaluation.score.label"]
        assert 0 <= share <= 1 and label == ("blamed" if share else "cleared")
    assert any("careful" in one.get("gen_ai.evaluation.explanation", "") for one in ran["blame"])
    for example in {one["semantic_backprop.example"] for one in ran["blame"]}:
        mine = [one for one in ran["blame"] if one["semantic_backprop.example"] == example]
        calls = {one["semantic_backprop.call"]: one["gen_ai.evaluation.score.value"] for one in mine}
        assert len(calls) == 3 and abs(sum(calls.values()) - 1) < 0.01
