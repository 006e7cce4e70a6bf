"""A run as one page of HTML, from what `compile` gave back or from its log alone."""

from __future__ import annotations

import os
from pathlib import Path

from .._page.run_page import save_log
from .._result import Result


def report(source: Result | str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write the report of a run: one file of HTML that needs nothing else and reaches nothing.

    Args:
        source: The result of the run, or its `log_dir`; nothing in a log is changed, and a run that was stopped, or is
            still under way, is shown as far as it got.
        path: The file; one that is there is replaced.

    Returns:
        The file's path.

    Raises:
        JournalError: If the folder holds no log, or one that cannot be read.
        SetupError: If the file cannot be written.
    """
    return source.report(path) if isinstance(source, Result) else save_log(path, source)
