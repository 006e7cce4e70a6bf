"""A progress bar for the terminal or the notebook, as a subscriber of a run's events."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from typing import Any

from tqdm.auto import tqdm

from .._session.events import (
    EvaluationDone,
    EvaluationStarted,
    Event,
    ExampleDone,
    Projected,
    RunDone,
    RunStarted,
    StepDone,
)
from .._session.ledger import Ledger
from .._session.projection import Projection
from .._terminal import spelled

_NARROW = 72
"""Columns of a terminal below which the bar leaves out the tokens, so that something is left for the bar itself."""
_FORMAT = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} <{remaining}{postfix}"


class ProgressBar:
    """Shows one bar for the run, with score, spending and the time left, and one line for each decision and the end.

    Outside of a run, as in `diagnose`, one bar for the evaluation. Where the output is no terminal, as in a log, there
    is no bar, and the lines are not broken.

    Args:
        ledger: The run's, from which the spending is read; None shows none.
    """

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger = ledger
        self._bar: Any = None
        self._best = math.nan
        self._steps: int | None = None
        """How many steps a run makes; None where there is no run, but a single evaluation."""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted():
                self._steps = event.steps
                self._say(
                    f"optimising {', '.join(event.predictors)}: {event.train} examples to learn from, "
                    f"{event.gate} to decide on, {event.steps} step{'s' if event.steps != 1 else ''} planned"
                )
            case Projected():
                self._projected(event.projection)
            case EvaluationStarted():
                self._bar = self._bar if self._steps is not None else self._opened(event.examples)
                if self._bar is not None:
                    self._bar.set_description(spelled(event.what))
            case ExampleDone() if self._bar is not None:
                self._bar.update()
                self._bar.set_postfix_str(self._spending(), refresh=False)
            case EvaluationDone():
                self._evaluated(event)
            case StepDone():
                self._decided(event.step, event.record)
            case RunDone():
                if self._bar is not None:
                    self._bar.close()
                self._say(f"ended: {event.reason}; {self._spending() or 'nothing was spent'}")
            case _:
                pass

    def _opened(self, total: int | None = None) -> Any:
        return tqdm(total=total, leave=False, dynamic_ncols=True, bar_format=_FORMAT, disable=None)

    def _say(self, line: str) -> None:
        if sys.stdout.isatty():
            line = "\n".join(textwrap.wrap(spelled(line), _columns() - 1, subsequent_indent="  "))
        tqdm.write(spelled(line))

    def _projected(self, projection: Projection) -> None:
        # Said once, when it is known what an execution takes.
        if self._bar is None:
            self._bar = self._opened()
        else:
            self._say(str(projection))
        self._bar.total = projection.executions

    def _evaluated(self, event: EvaluationDone) -> None:
        if self._steps is None:
            self._bar.close()
        elif math.isnan(self._best):
            self._best = event.score
            self._say(f"start: {event.what} score {event.score:.4g}")

    def _decided(self, step: int, record: Any) -> None:
        if record["verdict"] == "accepted" and record["after"] is not None:
            self._best = record["after"]
        scores = "" if record["before"] is None else f" ({record['before']:.4g} -> {record['after']:.4g})"
        changed = ", ".join(record["changed"]) or "nothing"
        # A run that was asked for no number of steps makes as many as its budget lasts.
        planned = f"/{self._steps}" if self._steps is not None and step < self._steps else ""
        self._say(f"step {step + 1}{planned}: {record['verdict']}{scores}; changes {changed}")

    def _spending(self) -> str:
        best = "" if math.isnan(self._best) else f"best {self._best:.4g}, "
        if self.ledger is None:
            return best.rstrip(", ")
        total = self.ledger.total
        usd = f", ${total.usd:.2f}" if total.usd else ""
        tokens = f", {tqdm.format_sizeof(total.tokens)} tokens" if _columns() >= _NARROW else ""
        return f"{best}{total.calls} calls{tokens}{usd}"


def _columns() -> int:
    return shutil.get_terminal_size().columns
