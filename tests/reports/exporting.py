"""A program whose traces are exported, and how: `python -m tests.reports.exporting mlflow` writes them again.

The files in `exported/` are what OpenInference's instrumentation of DSPy and MLflow's autologging wrote, of MLflow's
without what tells of the machine; the language model is DSPy's `DummyLM`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import dspy
from dspy.utils import DummyLM

EXPORTED = Path(__file__).parent / "exported"
ANSWERS = [
    {"hint": "a radio host holds no public office"},
    {"hint": "the party is known for honesty"},
    {"reasoning": "both hints speak for the speaker", "verdict": "true"},
]
signature: Any = dspy.Signature


def lookup(name: str) -> str:
    """Look a speaker's job up."""
    return f"{name} is a radio host in Ohio"


class Liar(dspy.Module):
    """A tool, two hints and a verdict; no two predictors have the same fields and the same instruction."""

    def __init__(self):
        super().__init__()
        self.tool = dspy.Tool(lookup)
        self.title = dspy.Predict(signature("job -> hint", "State what the job says of the speaker's honesty."))
        self.party = dspy.Predict(signature("job -> hint", "State what the party says of the speaker's honesty."))
        self.verdict = dspy.ChainOfThought(signature("statement, hints -> verdict", "Decide whether it is true."))

    def forward(self, statement, speaker):
        job = self.tool(name=speaker)
        hints = [step(job=job).hint for step in (self.title, self.party)]
        return self.verdict(statement=statement, hints="\n".join(hints))


def _run() -> None:
    with dspy.context(lm=DummyLM(ANSWERS)):
        Liar()(statement="Taxes fell by half.", speaker="Ann Smith")


def _openinference() -> str:
    from openinference.instrumentation.dspy import DSPyInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, memory = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    DSPyInstrumentor().instrument(tracer_provider=provider)
    _run()
    DSPyInstrumentor().uninstrument()
    return "".join(f"{span.to_json(indent=None)}\n" for span in memory.get_finished_spans())  # pyright: ignore[reportArgumentType]


def _mlflow() -> str:
    import mlflow
    from mlflow.entities import AssessmentSource

    person = AssessmentSource(source_type="HUMAN", source_id="reader")
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/traces.db")
        mlflow.dspy.autolog()
        _run()
        mlflow.flush_trace_async_logging()
        trace = str(mlflow.get_last_active_trace_id())
        mlflow.log_expectation(trace_id=trace, name="expected_response", value="false", source=person)
        mlflow.log_feedback(
            trace_id=trace, name="correct", value=False, rationale="A host is no source.", source=person
        )
        state = json.loads(mlflow.get_trace(trace).to_json())  # pyright: ignore[reportOptionalMemberAccess]
    kept = ("trace_id", "request_time", "state", "assessments")
    return json.dumps({"info": {name: state["info"][name] for name in kept}, "data": state["data"]}) + "\n"


if __name__ == "__main__":
    EXPORTED.mkdir(exist_ok=True)
    # One a process: the two wrap the same functions.
    files = {"openinference": ("openinference.jsonl", _openinference), "mlflow": ("mlflow.json", _mlflow)}
    file, export = files[sys.argv[1]]
    (EXPORTED / file).write_text(export(), encoding="utf-8")
