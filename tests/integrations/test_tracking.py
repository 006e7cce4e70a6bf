"""Runs in MLflow and Weights & Biases, where these packages are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dspy_semantic_backprop import SemanticGradientDescent, SetupError, mlflow_tracker, wandb_tracker
from tests.optimizer.test_resume import Fan
from tests.scripted import careful, questions, right, served


@pytest.mark.parametrize(("tracker", "package"), [(mlflow_tracker, "mlflow"), (wandb_tracker, "wandb")])
def test_a_package_that_is_missing_is_named(tracker, package):
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(SetupError, match=f"pip install {package}"):
        tracker()


def test_scores_decisions_and_the_ending_stand_in_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="NOT TESTED: mlflow is an extra that is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path}/runs")
    with served(careful), mlflow.start_run() as run:
        optimizer = SemanticGradientDescent(right, steps=2, subscribers=(mlflow_tracker(),))
        optimizer.compile(Fan(), trainset=questions(4))
    kept = mlflow.get_run(run.info.run_id).data
    assert (kept.metrics["before"], kept.metrics["after"], kept.metrics["accepted"]) == (0.0, 1.0, 1.0)
    assert kept.tags["ending"] == "perfect"
    assert {one.path for one in mlflow.MlflowClient().list_artifacts(run.info.run_id)} >= {"step_0.json", "report.html"}


def test_mlflow_autologging_beside_the_tracker_keeps_the_run_and_traces_every_call_once(tmp_path):
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("NOT TESTED: mlflow is an extra that is not installed")
    script = Path(__file__).with_name("autolog_run.py")  # autologging patches DSPy for the whole process
    here = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, str(script), str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=here)
    assert done.returncode == 0, done.stderr
    kept = json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{")))
    assert (kept["metrics"]["before"], kept["metrics"]["after"], kept["tags"]["ending"]) == (0.0, 1.0, "perfect")
    assert {"report.html", "step_0.json", "best_model.json"} <= set(kept["artifacts"])
    asked = [name for trace in kept["traces"] for name in trace if name == "LM.__call__"]
    assert len(asked) == kept["requests"] == kept["calls"] + len(dict(Fan().named_predictors()))
    assert "raised on" not in done.stderr, "no subscriber failed"


def test_scores_decisions_and_the_ending_stand_in_wandb(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="NOT TESTED: wandb is an extra that is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    with served(careful):
        optimizer = SemanticGradientDescent(right, steps=2, subscribers=(wandb_tracker(),))
        optimizer.compile(Fan(), trainset=questions(4))
    assert dict(wandb.run.config)["ending"] == "perfect"
    assert wandb.run.summary["after"] == 1.0
    assert wandb.run.summary["report"]["_type"] == "html-file"
    wandb.finish()
