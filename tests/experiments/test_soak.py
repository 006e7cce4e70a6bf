"""The soak test in a small size, as a script."""

from __future__ import annotations

import sys

import pytest

from tests.experiments.script import run


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_small_soak_has_no_violations(tmp_path):
    record = run("soak", "--smoke", folder=tmp_path).record()
    assert {row["check"]: row["violations"] for row in record["rows"]} == {
        "overspend": [],
        "kill": [],
        "faults": [],
        "provider": [],
        "usage": [],
        "keys": [],
    }
    assert record["rows"][1]["kills"] > 0


def test_a_short_measurement_of_throughput(tmp_path):
    rows = run("throughput", "--smoke", folder=tmp_path).record()["rows"]
    assert {row["what"] for row in rows} == {"evaluate", "compile"}
    assert all(row["ratio"] >= 0.99 for row in rows)
