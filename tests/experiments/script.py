"""Runs an experiment's script in this process, as the command line would; importing DSPy anew would take seconds."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """What a script came to.

    Args:
        returncode: Its exit status.
        stdout: What it printed.
        stderr: What it complained of.
    """

    returncode: int
    stdout: str
    stderr: str

    def record(self) -> dict[str, Any]:
        """The record whose path was printed last."""
        assert self.returncode == 0, self.stderr[-2000:]
        return json.loads(self.path().read_text(encoding="utf-8"))

    def path(self) -> Path:
        return Path(self.stdout.strip().splitlines()[-1])


def run(script: str, *arguments: str, folder: Path) -> Done:
    """Run `python experiments/SCRIPT.py ARGUMENTS`, its records written to a folder."""
    path = str(ROOT / "experiments" / f"{script}.py")
    argv, sys.argv = sys.argv, [path, *arguments, "--results_dir", str(folder)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        err.write(ending.code if isinstance(ending.code, str) else "")
    finally:
        sys.argv = argv
        logging.disable(logging.NOTSET)  # some scripts turn warnings off, for their own process as they think
    return Done(code, out.getvalue(), err.getvalue())
