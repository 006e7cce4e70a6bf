"""Spans of OpenTelemetry: one root for a run, and beneath it what DSPy's instrumentation records, by predictor."""

from __future__ import annotations

from collections import Counter

import pytest

from dspy_semantic_backprop import SemanticGradientDescent, trace
from dspy_semantic_backprop.integrations import span_labels
from tests.optimizer.test_resume import Fan
from tests.scripted import careful, questions, right, served


@pytest.fixture(scope="module")
def exporter():
    openinference = pytest.importorskip(
        "openinference.instrumentation.dspy", reason="NOT TESTED: pip install '.[test]'"
    )
    from opentelemetry import trace as api
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(span_labels())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    api.set_tracer_provider(provider)
    instrumentor = openinference.DSPyInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


@pytest.fixture
def spans(exporter):
    exporter.clear()
    return exporter.get_finished_spans


def predictors(finished) -> Counter[str]:
    """Predictor path -> how many of DSPy's own spans of predictors belong to it."""
    ours = [one for one in finished if one.name.startswith("Predict(")]
    return Counter(one.attributes.get("semantic_backprop.predictor", "?") for one in ours)


def test_a_trace_of_three_calls_has_three_spans_of_predictors_and_one_root(spans):
    with served(careful):
        graph = trace(Fan(), questions(1)[0])
    assert len(graph) == 3
    finished = spans()
    assert sum(one.name.startswith("Predict(") for one in finished) == 3
    assert predictors(finished) == {"first": 1, "second": 1, "final": 1}
    assert sum(one.parent is None for one in finished) == 1


def test_a_compile_is_one_tree_whose_spans_name_their_predictor(spans):
    with served(careful) as server:
        better = SemanticGradientDescent(right, steps=2).compile(Fan(), trainset=questions(4))
    finished = spans()
    (root,) = [one for one in finished if one.parent is None]
    assert root.name == "semantic_backprop.compile"
    assert root.attributes["semantic_backprop.ending"] == "perfect"
    kinds = Counter(one.name.removeprefix("semantic_backprop.") for one in finished if "semantic" in one.name)
    assert kinds["step"] >= 1 and kinds["sweep"] >= 1 and kinds["evaluation"] >= 2 and kinds["example"] >= 8
    asked = predictors(finished)
    assert asked["?"] + sum(asked[name] for name in dict(Fan().named_predictors())) == server.requests
    purposes = Counter(
        one.attributes["semantic_backprop.purpose"] for one in finished if one.name.startswith("Predict(")
    )
    spent = {name: amount.calls for name, amount in better.detailed_results.spent.items() if amount.calls}
    assert purposes == spent
