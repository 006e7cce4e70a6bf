"""The soak test in a small size, as a script."""

from __future__ import annotations

import json
import sys

import pytest

from tests.experiments.script import run

NOT_YET = ("400", "404", "409", "413", "422", "no choices", "null", "tool calls", "content filter", "usage")
"""What is scored, or not seen, as yet when a provider does it."""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_small_soak_has_no_violations(tmp_path):
    record = json.loads(run("soak", "--smoke", folder=tmp_path).path().read_text())
    violations = {row["check"]: row["violations"] for row in record["rows"]}
    assert [one for one in (*violations.pop("provider"), *violations.pop("usage")) if not one.startswith(NOT_YET)] == []
    assert violations == {"overspend": [], "kill": [], "faults": [], "keys": []}
    assert record["rows"][1]["kills"] > 0


def test_a_short_measurement_of_throughput(tmp_path):
    rows = run("throughput", "--smoke", folder=tmp_path).record()["rows"]
    assert {row["what"] for row in rows} == {"evaluate", "compile"}
    assert all(row["ratio"] >= 0.99 for row in rows)
