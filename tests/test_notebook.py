"""The notebooks run from top to bottom on the simulated model, and their stored outputs are their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

_VARYING = re.compile(r"\d{4}-\d{2}-\d{2}|[\d.,]+ (?:s|kB)\b")
NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def run():
    """Runs notebooks in one kernel, which imports DSPy once; what one defined is gone before the next one begins."""
    import nbclient
    from jupyter_client.manager import KernelManager
    from nbformat import v4

    kernel: Any = KernelManager(client_class="jupyter_client.asynchronous.AsyncKernelClient")
    # The limits are for a hang, not for a busy machine.
    client = nbclient.NotebookClient(
        v4.new_notebook(), km=kernel, timeout=600, startup_timeout=600, coalesce_streams=True
    )

    def run(notebook: Any, folder: Path) -> None:
        clear = v4.new_code_cell(f"%reset -f\nimport os\nos.chdir({str(folder)!r})\ndel os")
        for client.nb in (v4.new_notebook(cells=[clear]), notebook):
            client.execute()

    yield run
    kernel.shutdown_kernel(now=True)


def outputs(notebook: Any, name: str = "stdout") -> list[str]:
    return [
        output["text"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.get("name") == name
    ]


def shown(notebook: Any) -> list[list[str]]:
    """What each cell shows: text but for dates, seconds and sizes of files, of pictures what they are."""
    cells = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return [[_VARYING.sub("#", one.get("text", one.output_type)) for one in cell] for cell in cells]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_is_stored(notebook, run, tmp_path):
    import nbformat

    stored: Any = nbformat.read(notebook, as_version=4)
    fresh: Any = nbformat.read(notebook, as_version=4)
    # As in a clone, where notebooks/ is the working directory; what the notebook writes goes to a folder of its own.
    (tmp_path / "experiments").symlink_to(notebook.parents[1] / "experiments")
    (tmp_path / "notebooks").mkdir()
    run(fresh, tmp_path / "notebooks")
    assert not outputs(fresh, "stderr") and not outputs(stored, "stderr"), "nothing stands in a red box"
    assert "".join(outputs(stored)).count("\n") >= 2
    assert shown(fresh) == shown(stored)
