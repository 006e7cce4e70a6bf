"""A run as a page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import JournalError
from .log import read_log
from .page import save


def save_run(path: str | os.PathLike[str], state: Mapping[str, Any]) -> Path:
    """Write the page of a run, by what `Result.to_dict()` gives; the cost curve is taken from its log."""
    points: Sequence[Any] = []
    without = "The optimizer had no log_dir, where the time of every answer is kept"
    if state["log_dir"]:
        try:
            points = read_log(state["log_dir"])[1]
        except JournalError as error:
            without = str(error)
    return _save(path, state, points, without)


def save_log(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Write the page of a run of which there is a log."""
    return _save(path, *read_log(folder), "The run has had no answer yet")


def _save(path: str | os.PathLike[str], state: Mapping[str, Any], points: Sequence[Any], without: str) -> Path:
    shown = {name: value for name, value in state.items() if name != "log_dir"}
    curve = {"curve": points, "no_curve": "" if points else without}
    return save(path, f"{state['program'] or 'A program'}: a run", {"kind": "run", **shown, **curve})
