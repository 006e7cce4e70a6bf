"""Spans of OpenTelemetry that say what they are about: which predictor of the program, for which part of a run."""

from __future__ import annotations

from typing import Any

import dspy

from .._errors import SetupError
from .._graph.record.recording import CURRENT
from .._session.lm.context import lm_context


def span_labels() -> Any:
    """A span processor that labels every span which begins inside of a run or a trace, whoever makes it.

        provider = opentelemetry.sdk.trace.TracerProvider()
        provider.add_span_processor(span_labels())

    | attribute | what it holds |
    |---|---|
    | `semantic_backprop.predictor` | the path of the program's predictor whose call it belongs to |
    | `semantic_backprop.purpose` | what the work is for, as `Purpose` names it |
    | `semantic_backprop.where` | which part of the run, such as "evaluation 3, example 7" |
    | `semantic_backprop.about` | of a question of the backward pass or a proposal: the predictor that it is about |

    Blame for a call is told as an event `gen_ai.evaluation.result` of the call's span, in a process that has set a
    logger provider, too.

    Returns:
        The processor, an `opentelemetry.sdk.trace.SpanProcessor`.

    Raises:
        SetupError: If the package opentelemetry-sdk is not installed.
    """
    try:
        from opentelemetry.sdk.trace import SpanProcessor
    except ImportError:
        raise SetupError("span_labels() needs opentelemetry-sdk: pip install opentelemetry-sdk") from None

    class Labels(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            span.set_attributes(_labels())
            recording, call = dspy.settings.get("semantic_recording"), CURRENT.get()
            if recording is not None and call is not None:
                # The first span within a call is the call's own: blame is told of it later, when it has ended.
                here = span.get_span_context()
                recording.spans.setdefault(call[0], (here.trace_id, here.span_id, int(here.trace_flags)))

    return Labels()


def _labels() -> dict[str, str]:
    recording, call, found = dspy.settings.get("semantic_recording"), CURRENT.get(), {}
    if recording is not None and call is not None:
        found["predictor"] = recording.names.of(call[1])
    if dspy.settings.get("semantic_lm_context") is not None:
        here = lm_context()
        found |= {"purpose": here.purpose.value, "where": here.where}
        found["about"] = "" if call is not None else str(dspy.settings.get("semantic_predictor") or "")
    return {f"semantic_backprop.{name}": value for name, value in found.items() if value}
