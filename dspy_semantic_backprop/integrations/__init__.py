"""What listens to a run, by its events: progress bars, MLflow, Weights & Biases, your own; spans of
OpenTelemetry; and a proposer for GEPA."""

from .._session.events import (
    BatchWaiting,
    EvaluationDone,
    EvaluationStarted,
    Event,
    ExampleDone,
    GradientsReady,
    GraphKnown,
    Projected,
    RunDone,
    RunStarted,
    StepDone,
    Subscriber,
    Working,
)
from .telemetry import span_labels

__all__ = [
    "BatchWaiting",
    "EvaluationDone",
    "EvaluationStarted",
    "Event",
    "ExampleDone",
    "GradientsReady",
    "GraphKnown",
    "Projected",
    "RunDone",
    "RunStarted",
    "StepDone",
    "Subscriber",
    "Working",
    "span_labels",
]
