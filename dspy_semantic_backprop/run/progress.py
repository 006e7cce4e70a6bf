"""A progress bar for the terminal or the notebook, as a subscriber of a run's events."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm

from .events import EvaluationDone, EvaluationStarted, Event, ExampleDone, RunStarted, StepDone


class ProgressBar:
    """Shows one bar for each evaluation and one line for each decision."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._step = ""
        self._steps = 0

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted():
                self._step, self._steps = "start", event.steps
                tqdm.write(
                    f"optimising {', '.join(event.predictors)}: {event.train} examples to learn from, "
                    f"{event.gate} to decide on, {event.steps} steps"
                )
            case EvaluationStarted():
                title = f"{self._step}: {event.what}" if self._step else event.what
                self._bar = tqdm(total=event.examples, desc=title, leave=False)
            case ExampleDone() if self._bar is not None:
                self._bar.update()
            case EvaluationDone() if self._bar is not None:
                self._bar.close()
                if self._step == "start":
                    tqdm.write(f"start: {event.what} score {event.score:.4g}")
                    self._step = "step 1"
            case StepDone():
                record = event.record
                scores = "" if record["before"] is None else f" ({record['before']:.4g} -> {record['after']:.4g})"
                changed = ", ".join(record["changed"]) or "nothing"
                tqdm.write(f"step {event.step + 1}/{self._steps}: {record['verdict']}{scores}; changes {changed}")
                self._step = f"step {event.step + 2}"
            case _:
                pass
