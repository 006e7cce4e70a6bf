"""The soak test in a small size, as a script of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_small_soak_has_no_violations(tmp_path):
    command = [sys.executable, "experiments/soak.py", "--smoke", "--results_dir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "soak-simulated-seed0.json").read_text())
    assert {row["check"]: row["violations"] for row in record["rows"]} == {
        "overspend": [],
        "kill": [],
        "faults": [],
        "keys": [],
    }
    assert record["rows"][1]["kills"] > 0


def test_a_short_measurement_of_throughput(tmp_path):
    command = [sys.executable, "experiments/throughput.py", "--smoke", "--results_dir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "throughput-simulated.json").read_text())["rows"]
    assert {row["what"] for row in rows} == {"evaluate", "compile"}
    assert all(row["ratio"] >= 0.99 for row in rows)
