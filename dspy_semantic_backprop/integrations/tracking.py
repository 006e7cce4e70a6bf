"""Runs in MLflow and Weights & Biases: subscribers that use these packages' own functions.

SemanticGradientDescent(metric, subscribers=[ProgressBar(), mlflow_tracker()])
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .._errors import SetupError
from .._result import Result
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
    """Log scores, decisions, gradients, the ending and the report to the active MLflow run, or to a new one.

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

    def show(result: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            mlflow.log_artifact(str(Result.from_dict(result).report(Path(folder) / "report.html")))

    return _Tracker(log, keep, lambda tags: mlflow.set_tags({name: str(value) for name, value in tags.items()}), show)


def wandb_tracker(**settings: Any) -> Subscriber:
    """Log scores, decisions, the ending and the report to the active Weights & Biases run, or to a new one.

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

    def show(result: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            page = Result.from_dict(result).report(Path(folder) / "report.html")
            run.log({"report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)})

    return _Tracker(log, keep, lambda tags: run.config.update(dict(tags), allow_val_change=True), show)


class _Tracker:
    """Turns events into numbers with a step, documents with a name, tags, and the report at the end."""

    def __init__(
        self,
        log: Callable[[Mapping[str, float], int], None],
        keep: Callable[[str, Any], None],
        tag: Callable[[Mapping[str, Any]], object],
        show: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.log, self.keep, self.tag, self.show = log, keep, tag, show
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
                self.show(event.result)
            case _:
                pass
