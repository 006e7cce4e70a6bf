"""What listens to a run, by its events: progress bars, MLflow, Weights & Biases, your own; and a proposer for GEPA."""

from .._session.events import (
    EvaluationDone,
    EvaluationStarted,
    Event,
    ExampleDone,
    GradientsReady,
    Projected,
    RunDone,
    RunStarted,
    StepDone,
    Subscriber,
)

__all__ = [
    "EvaluationDone",
    "EvaluationStarted",
    "Event",
    "ExampleDone",
    "GradientsReady",
    "Projected",
    "RunDone",
    "RunStarted",
    "StepDone",
    "Subscriber",
]
