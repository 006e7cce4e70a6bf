"""The command lines run as published, and their records hold what they promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from diagnose import DiagnoseConfig, diagnose
from harness import parse, predictor_names

from dspy_semantic_backprop import Diagnosis
from dspy_semantic_backprop.programs import LiarProgram
from tests.experiments.script import ROOT, run

PUBLISHED = ("--include_grad", "--full_update", "--use_bad_samples")
FEW = ("--batch_size", "4", "--held_out", "4", "--n_iters", "1")


def test_a_script_runs_from_a_clone_as_published(tmp_path):
    command = [sys.executable, "experiments/gsm8k.py", *PUBLISHED, *FEW, "--results_dir", str(tmp_path)]
    # This tree's package, whichever is installed; the limit is for a hang, not for a busy machine.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / done.stdout.strip().splitlines()[-1]).is_file()


def test_every_request_is_accounted_for_with_retries_provoked(tmp_path):
    written = run("gsm8k", *PUBLISHED, *FEW, "--faults", "0.2", folder=tmp_path).record()
    assert written["study"] == "gsm8k"
    assert written["simulated"] is True
    assert written["spent"]["calls"] == written["served"] > 0
    assert {"settings", "versions", "seed", "steps", "tasks"} <= set(written)
    held_out = written["score"]["heldout"]
    assert held_out["n"] == 4
    for when in ("before", "after"):
        low, high = held_out[f"interval_{when}"]
        assert low <= held_out[when] <= high
        assert written["instructions"][when]
    assert {"before", "after"} <= set(written["score"]["train"])


@pytest.mark.parametrize("pipeline", ["bbh", "liar"])
def test_a_diagnosis_fits_a_screen_and_is_the_same_as_json(pipeline):
    found = diagnose(parse("diagnose", ["--pipeline", pipeline, "--smoke"], kind=DiagnoseConfig))
    lines = str(found).rstrip().split("\n")
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert "examples failed" in lines[0] and "final" in str(found)
    state = found.to_dict()
    assert sum(one["share"] for one in state["predictors"]) == pytest.approx(1.0)
    assert state["spent"]["check"]["calls"] <= state["max_calls"] == 32


def test_a_diagnosis_is_printed_as_a_screen_or_as_json(tmp_path):
    printed = run("diagnose", "--pipeline", "bbh", "--smoke", folder=tmp_path)
    assert printed.returncode == 0, printed.stderr[-2000:]
    state = json.loads(run("diagnose", "--pipeline", "bbh", "--smoke", "--json", folder=tmp_path).stdout)
    # The last lines tell how long it took, which differs.
    above = [text.partition("Spent:")[0] for text in (printed.stdout, str(Diagnosis.from_dict(state)))]
    assert above[0] == above[1] and "final" in above[0]


def test_every_switch_is_accepted_and_reaches_the_method(tmp_path):
    switches = ["--target", "--no_include_sibling", "--opt_via_feedback", "--short_prompt", "--no_select"]
    numbers = ["--errors_per_gradient", "1", "--gradients_per_error", "2", "--batch_size", "6", "--max_threads", "4"]
    written = run(
        "gsm8k", "--include_grad", *switches, *numbers, "--opt_keys", "hidden[0],final", "--smoke", folder=tmp_path
    ).record()
    (step,) = written["steps"]
    assert len(step["examples"]) == 2
    assert len(set(step["examples"])) == 1
    assert set(step["changed"]) <= {"hidden[0]", "final"}
    assert step["verdict"] in {"accepted", "same"}


def test_predictors_may_be_named_as_published():
    assert predictor_names("Job title, final", LiarProgram()) == ["hint_job_title", "final"]


def test_no_gradient_means_that_nobody_is_told_anything(tmp_path):
    written = run("gsm8k", "--full_update", "--no-include_final", "--smoke", folder=tmp_path).record()
    (step,) = written["steps"]
    assert all(text == "" for example in step["gradients"] for text in example["calls"].values())
    assert "final" not in step["changed"]


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("bbh", ["--no_such_flag"], "unrecognized arguments"),
        ("bbh", ["--include_gra"], "unrecognized arguments"),
        ("bbh", ["--bbh_cat", "objekt_counting"], "object_counting"),
        ("bbh", ["--data", "no/such/folder"], "no/such/folder"),
        ("liar", ["--opt_keys", "nobody"], "hint_statement"),
        ("gsm8k", ["--opt_model", "openai/x"], "--base_model"),
    ],
)
def test_a_users_mistake_is_one_line_and_an_exit_status(script, arguments, message, tmp_path):
    done = run(script, *arguments, folder=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_latency_benchmark_runs(tmp_path):
    written = run("latency", "--smoke", folder=tmp_path).record()
    assert written["rows"][0]["step_ratio"] >= 1


def test_a_gradient_is_no_longer_at_depth_than_its_cap(tmp_path):
    written = run("gradient_length", "--depth", "12", folder=tmp_path).record()
    joined, *bounded = written["rows"]
    assert joined["tokens"][-1] > 3 * written["settings"]["cap"]
    for row in bounded:
        assert max(row["tokens"]) <= written["settings"]["cap"] and len(row["tokens"]) == 12


def test_the_sweep_overhead_benchmark_asks_each_question_once(tmp_path):
    written = run("sweep_overhead", "--smoke", folder=tmp_path).record()
    assert [row["questions"] for row in written["rows"]] == [8, 36]
    assert all(row["ratio"] > 0 for row in written["rows"])


def test_questions_about_one_reader_begin_alike(tmp_path):
    written = run("prompt_cache", "--pipelines", "bbh", "--seeds", "1", "--calls", "150", folder=tmp_path).record()
    asked = [row for row in written["rows"] if row["alike"] is not None]
    assert asked and all(row["alike"] > 0.7 for row in asked)


def test_an_edit_evaluated_downstream_only_is_decided_alike_for_fewer_calls(tmp_path):
    written = run("downstream", "--smoke", folder=tmp_path).record()
    assert {row["program"] for row in written["rows"]} == {"bbh", "gsm8k", "liar", "chain of 6"}
    assert all(row["same_scores"] and row["same_decision"] for row in written["rows"])
    chain = [row["downstream"] / row["full"] for row in written["rows"] if row["program"] == "chain of 6"]
    assert chain == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 1])


def test_how_often_luck_is_believed_is_recorded_for_decisions_and_compiles(tmp_path):
    written = run("gate", "--smoke", "--processes", "1", folder=tmp_path).record()
    assert written["simulated"] is True
    scenarios = {row["scenario"] for row in written["rows"]}
    assert {"decision, no effect", "decision, gain of 10 points", "compile, no effect"} <= scenarios
    for row in written["rows"]:
        assert row["runs"] > 0 and 0 <= row["worse"] <= row["accepted"] <= 1
        low, high = row["interval"]
        assert low <= row["worse"] <= high
    assert next(tmp_path.glob("gate-*.png")).stat().st_size > 10_000


def test_ranges_of_blame_are_measured(tmp_path):
    written = run("blame_intervals", "--smoke", "--processes", "1", folder=tmp_path).record()
    assert written["simulated"] and {one["through"] for one in written["cells"]} == {"estimate_blame", "diagnose"}
    assert all(0 <= one["covered"] <= one["shares"] and 0 < one["width"] <= 1 for one in written["cells"])
