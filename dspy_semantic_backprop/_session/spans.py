"""OpenTelemetry spans around the parts of a run, where the process traces with OpenTelemetry; nothing elsewhere.

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
    """A span around what is done inside, called `semantic_backprop.` and a name.

    Yields:
        The span; None where the process has not imported OpenTelemetry.
    """
    telemetry = sys.modules.get("opentelemetry.trace")
    if telemetry is None:
        yield None
        return
    prefixed = {f"semantic_backprop.{key}": value for key, value in attributes.items()}
    tracer = telemetry.get_tracer("dspy_semantic_backprop")
    # An exception that only ends a run, such as that of a spent budget, is no error of the work that it ends.
    how = {"record_exception": False, "set_status_on_exception": False}
    with tracer.start_as_current_span(f"semantic_backprop.{name}", attributes=prefixed, **how) as current:
        yield current
