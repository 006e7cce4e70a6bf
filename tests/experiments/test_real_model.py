"""The optimisation study with a real model: a cell is run and told, and arms are compared in pairs."""

from __future__ import annotations

import json

import pytest
import real_model
from data import SAMPLES
from simulated import SimulatedModel


def cell(task: str, seed: int, arm: str, after: float):
    return {
        **{"task": task, "seed": seed, "arm": arm, "changed": after > 0.25, "calls": 40, "tokens": 1000},
        "lenient": {"before": 0.5, "after": after},
        "exact": {"before": [0.0, 1.0], "after": [after, after]},
    }


CELLS = [
    cell(task, seed, arm, 0.25 * seed + (0.25 if arm == "semantic" else 0))
    for task in ("counting", "logic")
    for seed in (1, 2)
    for arm in ("semantic", "one_step")
]


def test_what_each_arm_gained_by_task_and_over_all():
    found = {(row["task"], row["arm"]): row for row in real_model.rows(CELLS, ["semantic", "one_step"])}
    assert found.keys() == {(task, arm) for task in ("counting", "logic", "all") for arm in ("semantic", "one_step")}
    whole = found["all", "semantic"]
    assert (whole["n"], whole["lenient_gain"], whole["exact_after"], whole["changed"]) == (4, 0.125, 0.625, 4)
    assert whole["lenient_gain_interval"][0] < 0.125 < whole["lenient_gain_interval"][1]
    assert found["logic", "semantic"]["lenient_gain_interval"] == []


def test_arms_are_compared_on_the_same_task_and_seed():
    lenient, exact = real_model.pairs(CELLS[1:], ["semantic", "one_step"])
    assert (lenient["n"], lenient["ahead"], lenient["interval"]) == (3, 0.25, [0.25, 0.25])
    assert (exact["score"], exact["p"] > 0.05) == ("exact", True)


def test_a_cell_is_optimised_within_its_budget_and_run_on_unseen_questions(tmp_path):
    with SimulatedModel(1).serve() as server:
        few = ["--calls", "16", "--train", "4", "--held_out", "2", "--threads", "4"]
        where = ["--data", str(SAMPLES), "--base_model", f"openai/{server.model}", "--api_base", server.url]
        config = real_model.parse([*where, *few, "--lines", str(tmp_path / "cells.jsonl")])
        found = real_model.cell(("object_counting", 1, "one_step"), 0, config)
        sent = server.requests
        again = real_model.cell(("object_counting", 1, "one_step"), 0, config)
    held_out = sum(map(len, found["exact"].values()))
    assert server.requests - sent <= 2 * held_out, "only held-out questions are asked again"
    assert again["instructions"] == found["instructions"]
    assert found["calls"] <= 16 and len(found["exact"]["before"]) == 2
    assert {"ending", "instructions", "steps", "notes"} <= found.keys() and found["how"]["calls"] == 16
    json.dumps(found)


def test_an_unknown_arm_is_refused():
    with pytest.raises(SystemExit):
        real_model.parse(["--data", ".", "--base_model", "openai/x", "--arms", "magic"])
