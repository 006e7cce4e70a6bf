"""The quickstart runs from top to bottom on the simulated model, and its stored outputs are its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import nbformat

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "quickstart.ipynb"


def outputs(notebook: Any) -> list[str]:
    return [
        output["text"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.get("name") == "stdout"
    ]


def test_the_quickstart_runs_and_shows_what_is_stored(tmp_path):
    stored: Any = nbformat.read(NOTEBOOK, as_version=4)
    fresh: Any = nbformat.read(NOTEBOOK, as_version=4)
    # As in a clone, where notebooks/ is the working directory; what the notebook writes goes to a folder of its own.
    (tmp_path / "experiments").symlink_to(NOTEBOOK.parents[1] / "experiments")
    (tmp_path / "notebooks").mkdir()
    where = {"path": str(tmp_path / "notebooks")}
    # For a hang, not for a busy machine.
    limits: Any = {"timeout": 600, "startup_timeout": 600}
    nbclient.NotebookClient(fresh, resources={"metadata": where}, **limits).execute()
    assert len(outputs(fresh)) == len(outputs(stored)) >= 6
    graph, explanation = outputs(fresh)[:2]
    assert graph == outputs(stored)[0]
    assert explanation == outputs(stored)[1]
