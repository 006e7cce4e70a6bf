"""A progress bar for the terminal or the notebook, as a subscriber of a run's events."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
import warnings
from typing import Any

from .._session.events import (
    BatchWaiting,
    EvaluationDone,
    EvaluationStarted,
    Event,
    ExampleDone,
    GradientsReady,
    Projected,
    Resumed,
    RunDone,
    RunStarted,
    StepDone,
    Working,
)
from .._session.ledger import Ledger
from .._session.projection import Projection
from .._terminal import counted, spelled

with warnings.catch_warnings():
    # Without its widgets a notebook shows no bar, and the lines all the same: nobody needs to be told at each import.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

_WIDE = 58
"""Columns of the bar at most: a terminal that is made narrower leaves no half of it behind, down to this."""
_FORMAT = "{desc} {bar} {n_fmt}/{total_fmt} <{remaining}{postfix}"
_MINUTE = 60.0
_PHASES = {"gate": "deciding", "train": "running", "fresh": "proving", "heldout": "held out", "again": "once more"}
"""What a user calls what is evaluated."""
_VERDICTS = {"empty": "no usable proposal", "same": "no proposal changed anything", "seen": "no proposal was new"}
_WORK = {"backward passes": "learning", "checks of the blame": "checking"}


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
        self._run = False
        """Whether there is a run, and not a single evaluation."""
        self._steps: int | None = None
        """How many steps it makes at most; None where nothing says so."""
        self._start: list[float] = []
        """Scores of the first executions, until what they took is projected."""
        self._known: int | None = None
        self._most = self._done = self._open = 0

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case Resumed():
                self._known = event.answers
                self._say(f"resumed: {event.answers:,} answers are known from the log")
            case RunStarted():
                self._run, self._steps = True, event.steps
                sets = f"{counted(event.train, 'example')} to learn from"
                sets += f", {event.gate} to decide on" if event.separate else " and to decide on"
                steps = "as many steps as the budget lasts" if event.steps is None else counted(event.steps, "step")
                self._say(f"optimising {', '.join(event.predictors)}: {sets}; {steps}")
            case Projected():
                self._projected(event.projection)
            case EvaluationStarted():
                self._alone(event.examples)
                self._phase(_PHASES.get(event.what, event.what))
            case ExampleDone():
                self._executed(event.score)
            case EvaluationDone():
                self._evaluated()
            case Working() | GradientsReady() | BatchWaiting():
                self._works(event)
            case StepDone():
                self._decided(event.step, event.record)
            case RunDone():
                self._ended(event)

    def _opened(self, total: int | None = None) -> Any:
        bar = tqdm(total=total, leave=False, bar_format=_FORMAT, disable=None)
        _fit(bar)
        return bar

    def _alone(self, examples: int) -> None:
        """Outside of a run, show one bar for the evaluations that are under way at once."""
        if not self._run:
            self._open += 1
            if self._bar is None:
                self._bar = self._opened(0)
            self._bar.total += examples

    def _works(self, event: Working | GradientsReady | BatchWaiting) -> None:
        if isinstance(event, BatchWaiting):
            minutes = f", {event.seconds / 60:.0f} min" if event.seconds >= _MINUTE else ""
            self._phase(f"batch {event.done}/{event.requests}{minutes}")
        elif isinstance(event, GradientsReady):
            self._phase("rewriting")
        elif self._run:
            self._phase(f"learning {event.done}/{event.pieces}")
        elif event.pieces and not self._open:
            self._bar = self._bar or self._opened(0)
            self._bar.total, self._bar.n = event.pieces, event.done
            self._bar.set_postfix_str(self._spending(), refresh=False)
            self._phase(_WORK.get(event.what, event.what))
            if event.done == event.pieces:
                self._close()

    def _close(self) -> None:
        if self._bar is not None:
            _fit(self._bar)
            self._bar.close()
        self._bar = None

    def _say(self, line: str) -> None:
        if self._bar is not None:
            _fit(self._bar)
        if sys.stdout.isatty():
            line = "\n".join(textwrap.wrap(spelled(line), _columns() - 1, subsequent_indent="  "))
        tqdm.write(spelled(line))

    def _phase(self, name: str) -> None:
        if self._bar is not None:
            _fit(self._bar)
            self._bar.set_description_str(spelled(name))

    def _projected(self, projection: Projection) -> None:
        # Said once, when it is known what an execution takes.
        if self._bar is None:
            self._bar = self._opened()
        else:
            if self._start:
                self._best = math.fsum(self._start) / len(self._start)
                self._say(f"start: score {self._best:.4g} on {counted(len(self._start), 'example')}")
            self._say(str(projection))
        self._bar.total, self._most = projection.probable.executions, projection.executions

    def _executed(self, score: float | None) -> None:
        self._done += 1
        if math.isnan(self._best) and score is not None:
            self._start.append(score)
        if self._bar is not None:
            if self._run and self._done > self._bar.total:
                # More than is likely: then as many as at most, or who knows how many.
                self._bar.total = max(self._done, self._most)
            _fit(self._bar)
            self._bar.set_postfix_str(self._spending(), refresh=False)
            self._bar.update()

    def _evaluated(self) -> None:
        if self._run:
            self._phase("learning")
            return
        self._open -= 1
        if not self._open:
            self._close()

    def _decided(self, step: int, record: Any) -> None:
        accepted, scored = record["verdict"] == "accepted", _scored(record)
        if accepted and scored is not None:
            self._best = scored[1]
        planned = "" if self._steps is None else f"/{self._steps}"
        verdict = _VERDICTS.get(record["verdict"], record["verdict"])
        scores = "" if scored is None else f" ({scored[0]:.4g} -> {scored[1]:.4g} {scored[2]}{_expected(record)})"
        changes = f"; {'changes' if accepted else 'would change'} {', '.join(record['changed'])}"
        self._say(f"step {step + 1}{planned}: {verdict}{scores}{changes if record['changed'] else ''}")

    def _ended(self, event: RunDone) -> None:
        self._close()
        score = event.result.get("score") or {}
        if score.get("before") is not None and score.get("after") is not None:
            self._best = math.nan
            on = f"on {counted(score['examples'], 'example')} to decide on"
            said = [f"score {score['before']:.4g} -> {score['after']:.4g} {on}"]
        else:
            said = []  # the two have no example in common, or there is none
        said += [counted(self._done, "execution"), self._spending() or "nothing was spent"]
        self._say(f"ended: {event.reason}; {', '.join(said)}")
        if self._known is not None and self.ledger is not None:
            self._say(f"resumed: {self._known:,} of {self.ledger.total.calls:,} answers were known")

    def _spending(self) -> str:
        said = [] if math.isnan(self._best) else [f"best {self._best:.3g}"]
        if self.ledger is not None:
            total, budget = self.ledger.total, self.ledger.budget
            calls = f"/{budget.calls:,}" if budget.calls is not None else ""
            usd = f"/{budget.usd:,.2f}" if budget.usd is not None else ""
            said += [f"{total.calls:,}{calls} calls"]
            said += [f"${total.usd:.2f}{usd}"] if total.usd or usd else []
        return ", ".join(said)


def _scored(record: Any) -> tuple[float, float, str] | None:
    """What a step's proposal scored, and what it was made from, on all examples that both ran on, and on how many."""
    parts = [(record["compared"], record["before"], record["after"])] if record["compared"] else []
    learned = record["learned"]
    parts += [(learned["examples"], learned["before"], learned["after"])] if learned else []
    if not parts:
        return None
    count = sum(one for one, _, _ in parts)
    before, after = (math.fsum(part[0] * part[at] for part in parts) / count for at in (1, 2))
    on = f"on {counted(count, 'example')}" + (f", {record['compared']} of them to decide on" if learned else "")
    return before, after, on


def _expected(record: Any) -> str:
    """What a step's proposal is expected to gain, where the search estimates it."""
    return f"; expected by all scores of the run: {math.fsum(record['gains'].values()):+.3g}" if record["gains"] else ""


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _fit(bar: Any) -> None:
    # In a notebook the width is one of the page, in pixels.
    if bar.disable or hasattr(bar, "container"):
        return
    before, now = bar.ncols, _columns()
    bar.ncols = min(now - 1, _WIDE)
    if before and now < before:
        # A terminal that has become narrower has broken the bar over several rows, and the cursor is in the last one.
        bar.fp.write("\r" + "\x1b[A" * ((before - 1) // now) + "\x1b[J")
        bar.sp = bar.status_printer(bar.fp)  # the old one would still blank out as much as it had written
