"""Spans of OpenTelemetry by OpenInference's conventions: OTLP's JSON, and what the SDK for Python exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .spans import Span, decoded, messages_in

_FAILED = {"ERROR", "STATUS_CODE_ERROR", "2"}


def spans_by_trace(states: Sequence[Any]) -> dict[str, list[Span]]:
    """The spans of all values of a file, by trace; a `ValueError` where one is neither a span nor a request of OTLP."""
    traces: dict[str, list[Span]] = {}
    for state in states:
        for one in _spans(state):
            context = one.get("context") or one
            trace = context.get("trace_id", context.get("traceId"))
            if trace is None:
                raise ValueError('it has neither "resourceSpans" nor the "context" of a span')
            traces.setdefault(str(trace), []).append(_span(one, context))
    return traces


def _spans(state: Any) -> list[Mapping[str, Any]]:
    if not isinstance(state, Mapping):
        raise ValueError("it is no object")
    resources = state.get("resourceSpans", state.get("resource_spans"))
    if resources is None:
        return [state]
    scopes = [scope for one in resources for scope in one.get("scopeSpans", one.get("scope_spans", ()))]
    return [span for scope in scopes for span in scope.get("spans", ())]


def _span(state: Mapping[str, Any], context: Mapping[str, Any]) -> Span:
    attributes = _attributes(state.get("attributes"))
    inputs, outputs = (decoded(attributes.get(f"{side}.value")) for side in ("input", "output"))
    nested = _nested(attributes)
    status = state.get("status") or {}
    failed = str(status.get("status_code", status.get("code", ""))) in _FAILED
    parent = state.get("parent_id", state.get("parentSpanId"))
    tool = nested.get("tool")
    return Span(
        id=str(context.get("span_id", context.get("spanId"))),
        parent=str(parent) if parent else None,
        name=str(state.get("name", "")),
        kind=str(attributes.get("openinference.span.kind", "")).upper(),
        inputs=inputs,
        outputs=outputs,
        started=_moment(state.get("start_time", state.get("startTimeUnixNano"))),
        ended=_moment(state.get("end_time", state.get("endTimeUnixNano"))),
        asked=_messages(nested, "input_messages") or messages_in(inputs),
        answered=_messages(nested, "output_messages") or messages_in(outputs),
        label=str(tool.get("name") or "") if isinstance(tool, Mapping) else "",
        error=(str(status.get("description", status.get("message"))) or "it failed") if failed else None,
    )


def _moment(value: Any) -> float:
    """A moment in seconds, from a date or from nanoseconds."""
    text = str(value)
    if text.isdigit():
        return int(text) / 1e9
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def _attributes(found: Any) -> dict[str, Any]:
    """The attributes by name: a mapping, or OTLP's list of keys and typed values."""
    if isinstance(found, Mapping):
        return dict(found)
    return {one["key"]: _value(one.get("value")) for one in found or () if isinstance(one, Mapping) and "key" in one}


def _value(typed: Any) -> Any:
    if not isinstance(typed, Mapping) or not typed:
        return typed
    kind, value = next(iter(typed.items()))
    if kind == "arrayValue":
        return [_value(one) for one in value.get("values", ())]
    if kind == "kvlistValue":
        return _attributes(value.get("values"))
    return int(value) if kind == "intValue" else value


def _nested(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes whose names have dots, as mappings of mappings."""
    whole: dict[str, Any] = {}
    for name, value in attributes.items():
        at: Any = whole
        *path, last = name.split(".")
        for part in path:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                break
        else:
            at.setdefault(last, value)
    return whole


def _messages(nested: Mapping[str, Any], side: str) -> list[Mapping[str, Any]]:
    """A language model's messages, as OpenAI writes them."""
    return [_message(one.get("message", {})) for one in _listed((nested.get("llm") or {}).get(side))]


def _message(found: Mapping[str, Any]) -> dict[str, Any]:
    parts = [one.get("message_content", {}) for one in _listed(found.get("contents"))]
    calls = [{"function": one.get("tool_call", {}).get("function")} for one in _listed(found.get("tool_calls"))]
    content = found.get("content", [{"type": one.get("type"), "text": one.get("text")} for one in parts])
    return {"role": found.get("role"), "content": content, "tool_calls": calls}


def _listed(numbered: Any) -> list[Mapping[str, Any]]:
    """The items of a mapping whose keys are numbers, in their order."""
    items = numbered.items() if isinstance(numbered, Mapping) else ()
    found = [(int(key), one) for key, one in items if key.isdigit() and isinstance(one, Mapping)]
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]
