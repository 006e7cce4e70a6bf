"""The notebooks run from top to bottom on the simulated model, and their stored outputs are their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def outputs(notebook: Any, name: str = "stdout") -> list[str]:
    return [
        output["text"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.get("name") == name
    ]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_is_stored(notebook, tmp_path):
    import nbclient
    import nbformat

    stored: Any = nbformat.read(notebook, as_version=4)
    fresh: Any = nbformat.read(notebook, as_version=4)
    # As in a clone, where notebooks/ is the working directory; what the notebook writes goes to a folder of its own.
    (tmp_path / "experiments").symlink_to(notebook.parents[1] / "experiments")
    (tmp_path / "notebooks").mkdir()
    where = {"path": str(tmp_path / "notebooks")}
    # For a hang, not for a busy machine.
    limits: Any = {"timeout": 600, "startup_timeout": 600}
    nbclient.NotebookClient(fresh, resources={"metadata": where}, **limits).execute()
    assert not outputs(fresh, "stderr") and not outputs(stored, "stderr"), "nothing stands in a red box"
    assert len(outputs(fresh)) == len(outputs(stored)) >= 2
    if notebook.stem == "quickstart":
        assert outputs(fresh)[:2] == outputs(stored)[:2]  # the graph, and what every call was told
