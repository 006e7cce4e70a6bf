"""A trace and a compile under OpenInference's instrumentation of DSPy; the spans as JSON on the last line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from openinference.instrumentation.dspy import DSPyInstrumentor
from opentelemetry import _logs as logs
from opentelemetry import trace as telemetry
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dspy_semantic_backprop import Result, SemanticGradientDescent, trace
from dspy_semantic_backprop.integrations import span_labels
from tests.optimizer.test_resume import Fan
from tests.scripted import careful, questions, right, served


def seen(exporter: InMemorySpanExporter) -> list[dict[str, Any]]:
    """The finished spans, which are then forgotten."""
    spans = exporter.get_finished_spans()
    exporter.clear()
    return [
        {
            "id": getattr(one.context, "span_id", None),
            "name": one.name,
            "root": one.parent is None,
            "attributes": _plain(one.attributes),
        }
        for one in spans
    ]


def _plain(attributes: Any) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name.startswith("semantic_backprop.")}


def main() -> None:
    """Run both."""
    judgements, judged = InMemoryLogRecordExporter(), LoggerProvider()
    judged.add_log_record_processor(SimpleLogRecordProcessor(judgements))
    logs.set_logger_provider(judged)
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(span_labels())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.set_tracer_provider(provider)
    DSPyInstrumentor().instrument(tracer_provider=provider)
    with served(careful):
        graph = trace(Fan(), questions(1)[0])
    found: dict[str, Any] = {"calls": len(graph), "trace": seen(exporter)}
    with served(careful) as server:
        better = SemanticGradientDescent(right, steps=2, subscribers=()).compile(Fan(), trainset=questions(4))
        found |= {"requests": server.requests, "compile": seen(exporter)}
    spent = Result.of(better).spent
    records = [one.log_record for one in judgements.get_finished_logs()]
    found["blame"] = [{"name": one.event_name, "span": one.span_id, **dict(one.attributes or {})} for one in records]
    found["spent"] = {str(purpose): one.calls for purpose, one in spent.items() if one.calls}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
