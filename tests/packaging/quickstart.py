"""The README's lines, run as one who installed the wheel would; then what each named extra promises.

    VENV/bin/python tests/packaging/quickstart.py [EXTRA ...]

The interpreter is that of an environment with the wheel in it and nothing else. The program, the metric and the
examples are the quickstart's; a simulated model of this checkout answers in place of a paid one.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
ROOT = Path(__file__).resolve().parents[2]


def block(page: str, with_: str) -> str:
    """The Python block of a page that contains some words."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return next(one for one in blocks if with_ in one)


def quickstart(names: dict[str, Any]) -> None:
    """Run the README's lines, look at what came out, and write the report."""
    exec(block("docs/quickstart.md", "class TwoHints"), names)
    exec(block("README.md", "SemanticGradientDescent("), names)
    result = names["better"].detailed_results
    assert names["better"] is not names["program"] and Path("better.json").is_file()
    assert result.score_after > result.score_before, result
    assert result.report("run.html").stat().st_size > 50_000
    command = shutil.which("dspy-semantic-backprop", path=str(Path(sys.executable).parent))
    assert command, "no command was installed"
    assert "report" in subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout


def drawing(names: dict[str, Any]) -> None:
    """The graph as a picture."""
    assert names["trace"](names["program"], names["train"][0]).to_svg().startswith("<svg")


def notebook(names: dict[str, Any]) -> None:
    """The widget of progress."""
    from tqdm.notebook import tqdm

    bar = tqdm(range(2), display=False)
    assert bar.container.children, "no widget was made"


def mlflow(names: dict[str, Any]) -> None:
    """A run in a local store."""
    mlflow: Any = importlib.import_module("mlflow")
    from dspy_semantic_backprop import mlflow_tracker

    os.environ |= {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    mlflow.set_tracking_uri(f"file://{Path.cwd()}/runs")
    compiled_with(names, mlflow_tracker())
    assert mlflow.get_run(mlflow.last_active_run().info.run_id).data.tags["ending"]


def wandb(names: dict[str, Any]) -> None:
    """A run without a network."""
    os.environ["WANDB_MODE"] = "offline"
    wandb: Any = importlib.import_module("wandb")
    from dspy_semantic_backprop import wandb_tracker

    compiled_with(names, wandb_tracker())
    assert dict(wandb.run.config)["ending"]
    wandb.finish()


def telemetry(names: dict[str, Any]) -> None:
    """The labels of spans."""
    from opentelemetry.sdk.trace import TracerProvider

    from dspy_semantic_backprop.integrations import span_labels

    TracerProvider().add_span_processor(span_labels())


def docs(names: dict[str, Any]) -> None:
    """The site."""
    subprocess.run([sys.executable, ROOT / "docs" / "site" / "build.py", "site"], check=True)
    assert Path("site/html/index.html").is_file()


def experiments(names: dict[str, Any]) -> None:
    """What the studies draw with, load published data with, and compare with."""
    import datasets  # noqa: F401
    import matplotlib  # noqa: F401
    import optuna  # noqa: F401


EXTRAS: dict[str, Callable[[dict[str, Any]], None]] = {
    one.__name__: one for one in (drawing, notebook, mlflow, wandb, telemetry, docs, experiments)
}


def compiled_with(names: dict[str, Any], subscriber: Any) -> None:
    """Compile the quickstart's program with a subscriber."""
    optimizer = names["SemanticGradientDescent"](names["metric"], steps=1, subscribers=(subscriber,))
    optimizer.compile(names["program"], trainset=names["train"], valset=names["val"])


def main(extras: list[str]) -> None:
    """Run all in a folder of its own."""
    # Behind everything that is installed: the simulated model is this checkout's, the package must not be.
    sys.path.append(str(ROOT))
    import dspy

    import dspy_semantic_backprop
    from experiments.simulated import SimulatedModel

    assert not Path(str(dspy_semantic_backprop.__file__)).is_relative_to(ROOT), "this is the checkout, not the wheel"
    with tempfile.TemporaryDirectory() as folder, SimulatedModel(seed=0).serve() as server:
        os.chdir(folder)
        os.environ |= {"OPENAI_API_KEY": "simulated", "OPENAI_API_BASE": server.url}
        names: dict[str, Any] = {"dspy": dspy}
        quickstart(names)
        for extra in extras:
            EXTRAS[extra](names)
        os.chdir(ROOT)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("dspy-semantic-backprop", "dspy")]
    print("right:", f"python {sys.version.split()[0]},", ", ".join([*versions, *extras]))


if __name__ == "__main__":
    main(sys.argv[1:])
