"""Runs in MLflow and Weights & Biases: subscribers that use these packages' own functions.

SemanticGradientDescent(metric, subscribers=[ProgressBar(), mlflow_tracker()])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .._errors import SetupError
from .._session.events import (
    EvaluationDone,
    Event,
    GradientsReady,
    Projected,
    RunDone,
    RunStarted,
    StepDone,
    Subscriber,
)


def mlflow_tracker() -> Subscriber:
    """Log scores, decisions, gradients and the ending to the active MLflow run, or to a new one.

    Raises:
        SetupError: If the package mlflow is not installed.
    """
    try:
        import mlflow  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise SetupError("mlflow_tracker() needs the package mlflow: pip install mlflow") from None

    def log(values: Mapping[str, float], step: int) -> None:
        mlflow.log_metrics(dict(values), step=step)

    def keep(name: str, value: Any) -> None:
        mlflow.log_dict(value, f"{name}.json")

    return _Tracker(log, keep, lambda tags: mlflow.set_tags({name: str(value) for name, value in tags.items()}))


def wandb_tracker(**settings: Any) -> Subscriber:
    """Log scores, decisions and the ending to the active Weights & Biases run, or to a new one.

    Args:
        **settings: Of `wandb.init`, where there is no active run.

    Raises:
        SetupError: If the package wandb is not installed.
    """
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise SetupError("wandb_tracker() needs the package wandb: pip install wandb") from None
    run = wandb.run or wandb.init(**{"project": "dspy-semantic-backprop", **settings})

    def keep(name: str, value: Any) -> None:
        run.summary[name] = value

    def log(values: Mapping[str, float], step: int) -> None:
        run.log({**values, "optimizer_step": step})

    return _Tracker(log, keep, lambda tags: run.config.update(dict(tags), allow_val_change=True))


class _Tracker:
    """Turns events into numbers with a step, documents with a name, and tags."""

    def __init__(
        self,
        log: Callable[[Mapping[str, float], int], None],
        keep: Callable[[str, Any], None],
        tag: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.log, self.keep, self.tag = log, keep, tag
        self.step = 0

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted():
                self.tag({"predictors": ", ".join(event.predictors), "train": event.train, "gate": event.gate})
            case Projected():
                self.log({"projected_calls": float(event.projection.calls)}, self.step)
            case EvaluationDone() if math.isfinite(event.score):
                self.log({f"{event.what}_score": event.score, "missing": float(event.missing)}, self.step)
            case GradientsReady():
                self.keep(f"gradients_{event.step}", {str(number): dict(calls) for number, calls in event.gradients})
            case StepDone():
                self.step = event.step + 1
                numbers = {name: event.record[name] for name in ("before", "after") if event.record[name] is not None}
                self.log({**numbers, "accepted": float(event.record["verdict"] == "accepted")}, self.step)
                self.keep(f"step_{event.step}", event.record)
            case RunDone():
                self.tag({"ending": event.ending, "reason": event.reason})
            case _:
                pass
