"""Traces of MLflow, as `Trace.to_json()` writes them; an assessment may say what was wanted, and what was wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .spans import Span, decoded, messages_in


def spans_in(state: Any) -> list[Span]:
    """The spans of a trace; a `ValueError` where it is none."""
    data = state.get("data") if isinstance(state, Mapping) else None
    spans = data.get("spans") if isinstance(data, Mapping) else None
    if not isinstance(spans, list) or not all(isinstance(one, Mapping) for one in spans):
        raise ValueError('it has no "data" with "spans", as Trace.to_json() writes them')
    return [_span(one) for one in spans]


def _span(state: Mapping[str, Any]) -> Span:
    attributes = {name: decoded(value) for name, value in (state.get("attributes") or {}).items()}
    inputs, outputs = attributes.get("mlflow.spanInputs"), attributes.get("mlflow.spanOutputs")
    context, status = state.get("context") or state, state.get("status") or {}
    parent = state.get("parent_span_id", state.get("parent_id"))
    code = status.get("code", state.get("status_code", "")) if isinstance(status, Mapping) else status
    return Span(
        id=str(context.get("span_id")),
        parent=str(parent) if parent else None,
        name=str(state.get("name", "")),
        kind=str(attributes.get("mlflow.spanType", "")).upper(),
        inputs=inputs,
        outputs=outputs,
        started=float(state.get("start_time_unix_nano", state.get("start_time")) or 0),
        ended=float(state.get("end_time_unix_nano", state.get("end_time")) or 0),
        asked=messages_in(inputs),
        answered=messages_in(outputs),
        label=str(attributes.get("name") or ""),
        error=_why(status) if "ERROR" in str(code) else None,
    )


def _why(status: Any) -> str:
    return str((status.get("message") if isinstance(status, Mapping) else "") or "it failed")


def name_of(state: Mapping[str, Any], otherwise: str) -> str:
    """A trace's id; in traces of earlier versions it is the request's."""
    info = state.get("info") or {}
    return str(info.get("trace_id") or info.get("request_id") or otherwise)


def wanted(state: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The right answer by an expectation, and what feedback says is wrong; None where nobody said."""
    assessments = [one for one in (state.get("info") or {}).get("assessments") or () if isinstance(one, Mapping)]
    expected = [one["expectation"].get("value") for one in assessments if isinstance(one.get("expectation"), Mapping)]
    said = [text for one in assessments for text in _said(one)]
    return (expected[0] if len(expected) == 1 else expected or None), "\n".join(said) or None


def _said(assessment: Mapping[str, Any]) -> Iterator[str]:
    feedback = assessment.get("feedback")
    if isinstance(feedback, Mapping):
        why = assessment.get("rationale")
        yield f"{assessment.get('assessment_name')}: {feedback.get('value')}" + (f" ({why})" if why else "")
