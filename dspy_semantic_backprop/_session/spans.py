"""OpenTelemetry spans around the parts of a run, where the process traces with OpenTelemetry; nothing elsewhere.
And what is found out later about a span that has ended, as events, where it logs with OpenTelemetry.

Why not by events: a span must be current in the context of the work itself, so that what DSPy's instrumentation records
of it (OpenInference's, MLflow's) becomes its children.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[Any]:
    """A span around what is done inside, called `semantic_backprop.` and a name; None without OpenTelemetry."""
    telemetry = sys.modules.get("opentelemetry.trace")
    # Another thread may be about to import it.
    if not hasattr(telemetry, "get_tracer"):
        yield None
        return
    prefixed = {f"semantic_backprop.{key}": value for key, value in attributes.items()}
    tracer = telemetry.get_tracer("dspy_semantic_backprop")  # pyright: ignore[reportOptionalMemberAccess]
    # An exception that only ends a run, such as that of a spent budget, is no error of the work that it ends.
    how = {"record_exception": False, "set_status_on_exception": False}
    with tracer.start_as_current_span(f"semantic_backprop.{name}", attributes=prefixed, **how) as current:
        yield current


def evaluated(judged: tuple[int, int, int], name: str, value: float, label: str, explanation: str, **more: str) -> None:
    """Tell what a span (trace id, span id, flags) was found to be worth: OpenTelemetry's `gen_ai.evaluation.result`."""
    if (logs := sys.modules.get("opentelemetry._logs")) is None:
        return
    from opentelemetry import trace

    number, span_id, flags = judged
    span = trace.NonRecordingSpan(
        trace.SpanContext(number, span_id, is_remote=False, trace_flags=trace.TraceFlags(flags))
    )
    given = {"name": name, "score.value": value, "score.label": label, "explanation": explanation}
    attributes = {f"gen_ai.evaluation.{key}": one for key, one in given.items() if one != ""}
    attributes |= {f"semantic_backprop.{key}": one for key, one in more.items()}
    where = trace.set_span_in_context(span)
    record = logs.LogRecord(event_name="gen_ai.evaluation.result", context=where, attributes=attributes)
    logs.get_logger("dspy_semantic_backprop").emit(record)
