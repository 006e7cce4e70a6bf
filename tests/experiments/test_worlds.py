"""The worlds are as they say, any optimizer can run in them, and the study of decisions can go on where it stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dspy
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))

import decisions  # noqa: E402
from decisions import OPTIMIZERS, Job, run, table  # noqa: E402
from worlds import KINDS, World, build, examples, language_model, metric_of  # noqa: E402
from worlds.world import CURE, DEFECT, RULE  # noqa: E402


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """DSPy's cache and the loggers are the process's own."""
    monkeypatch.setattr(decisions.logging, "disable", lambda level: None)
    monkeypatch.setattr(dspy, "configure_cache", lambda **settings: None)


def scores(world: World, program: Any, count: int) -> list[float]:
    metric = metric_of(world)
    with dspy.context(lm=language_model(world)[0]):
        return [metric(one, program(**one.inputs())).score for one in examples(world, count, "held out")]


@pytest.mark.parametrize("name", list(KINDS))
def test_what_a_program_scores_is_what_its_instructions_are_worth_in_truth(name):
    world = World(name, 3, steps=3, matter=2 if name == "wide" else 0)
    program: Any = build(world)
    for step, predictor in enumerate(program.predictors()):
        predictor.signature = predictor.signature.with_instructions(f"{world.starts[step]}\n{world.advice[step]}")
    told = [predictor.signature.instructions for predictor in program.predictors()]
    found = scores(world, program, 120)
    assert abs(sum(found) / 120 - world.score(told)) < 4 * 0.5 / 120**0.5


def test_in_the_mute_world_every_change_of_an_instruction_draws_the_answers_anew():
    world = World("mute", 1)
    questions = [world.question(at, "any") for at in range(40)]
    nothing = next(one for one in world.advice if world.effects[0].get(RULE.findall(one)[0], 1.0) == 1.0)
    told = [world.starts[0], f"{world.starts[0]}\n{nothing}"]
    before, again, after = ([world.right(0, one, q) for q in questions] for one in (told[0], told[0], told[1]))
    assert before == again != after
    assert world.error(0, told[0]) == world.error(0, told[1])


def test_a_defect_is_mended_by_leaving_it_out_or_by_the_cure():
    world = World("defective", 2)
    broken, told = world.broken, world.starts[world.broken]
    assert DEFECT in told and world.error(broken, told) > 0.6
    mended = told.replace(DEFECT, ""), f"{told}\n{CURE}"
    assert all(world.error(broken, one) < 0.2 for one in mended)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_runs_within_its_cap_and_tries_advice(name):
    found = run(Job("mute", 0, 8, 150, name))
    assert found["calls"] <= 150
    assert found["own"] > 0
    assert 0 <= found["after"] <= 1


def test_the_study_prints_a_table_and_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    command = "decisions --worlds mute --sizes 6 --caps 60 --optimizers semantic copro --seeds 1 --results_dir"
    monkeypatch.setattr(sys, "argv", [*command.split(), str(tmp_path)])
    decisions.main()
    first = capsys.readouterr()
    path = Path(first.out.strip().splitlines()[-1])
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {one["optimizer"] for one in records} == {"semantic", "copro"}
    assert all(one["seed"] >= decisions.FIRST_UNSEEN for one in records)
    decisions.main()
    assert capsys.readouterr().err == ""
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    assert len(table(records).splitlines()) == 3
