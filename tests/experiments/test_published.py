"""Each published command line: what its flags mean, which examples it learns from, what it asks, in how many calls."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import bbh
import gsm8k
import harness
import liar
import pytest

from dspy_semantic_backprop.programs import LiarProgram
from dspy_semantic_backprop.testing import Prompt, SimulatedServer

LAYERED = "--include_grad --use_bad_sample --full_update --target --n_iters 4"
KEYS = ("Statement", "Party", "Job title", "Source", "State", "Final")
CONTEXT = ("statement", "job_title", "state", "party", "source")
SMALL = ["--n_iters", "1", "--held_out", "0"]
PREDICTORS = {name for name, _ in LiarProgram().named_predictors()}
ANSWERS = {"bbh": "5", "gsm8k": "160", "liar": "no"}


@dataclass(frozen=True)
class Ran:
    """What a small run came to.

    Args:
        record: Its record.
        wrong: The numbers of the training examples that the program gets wrong.
        asked: Every prompt, by its kind.
    """

    record: dict[str, Any]
    wrong: set[int]
    asked: dict[str, list[Prompt]]

    @property
    def calls(self) -> dict[str, int]:
        return {kind: len(prompts) for kind, prompts in self.asked.items()}


def config_of(script: str, line: str, *more: str) -> harness.Config:
    return harness.parse(script, [*shlex.split(line), *more], **(liar.DEFAULTS if script == "liar" else {}))


def ran(script: str, line: str, monkeypatch, tmp_path, examples: tuple[int, ...] = (0, 4, 5)) -> Ran:
    """A published line on a few examples for one step, with a model that always answers alike."""
    asked: dict[str, list[Prompt]] = {"program": [], "backward": [], "propose": []}
    numbers = iter(range(10_000))

    def answer(prompt: Prompt) -> dict[str, str]:
        kinds = {"diagnosis": "backward", "new_instruction": "propose"}
        kind = next((kind for name, kind in kinds.items() if name in prompt.names), "program")
        asked[kind].append(prompt)
        return {
            name: ANSWERS[script] if name == "answer" else f"Plover {next(numbers)} {name}." for name in prompt.names
        }

    monkeypatch.setattr(
        harness, "SimulatedModel", lambda seed: SimpleNamespace(serve=lambda **_: SimulatedServer(answer))
    )
    config = config_of(script, line, *SMALL, "--results_dir", str(tmp_path))
    (job,) = {"bbh": bbh, "gsm8k": gsm8k, "liar": liar}[script].jobs(config)
    train = [job.split.train[at] for at in examples]
    job = replace(job, split=job.split._replace(train=train))
    record = json.loads(harness.run(script, [job], config).read_text())
    wrong = {at for at, one in enumerate(train) if one.answer != ANSWERS[script]}
    return Ran(record, wrong, asked)


def outputs_in(prompt: Prompt) -> int:
    return sum(name.startswith("output_") for name in prompt.inputs)


@pytest.mark.parametrize(
    ("script", "line", "steps"),
    [
        *(("bbh", f"--bbh_cat {task} {LAYERED}", 4) for task in bbh.bbh.TASKS),
        ("gsm8k", LAYERED, 4),
        ("bbh", "--include_grad --full_update --use_bad_samples", 12),
        ("gsm8k", "--include_grad --full_update --use_bad_samples", 12),
        ("liar", "--include_grad --full_update --use_bad_samples", 12),
        ("liar", "--n_iters 8 --include_grad", 8),
    ],
)
def test_a_published_line_is_read_as_the_published_parser_does(script, line, steps):
    config = config_of(script, line)
    assert config.n_iters == steps and config.include_grad and config.use_bad_samples and config.full_update
    # Only the LIAR script asks for directions without being told to.
    assert config.target is (script == "liar" or "--target" in line)
    assert (config.errors_per_gradient, config.gradients_per_error, config.temperature) == (2, 1, 0.0)
    assert (config.max_tokens, config.seed, config.no_select, config.include_final) == (1024, 0, False, True)


@pytest.mark.parametrize("script", ["bbh", "gsm8k"])
def test_the_layered_pipelines_ask_about_both_hidden_outputs_of_two_wrong_examples(script, monkeypatch, tmp_path):
    line = f"--bbh_cat object_counting {LAYERED}" if script == "bbh" else LAYERED
    found = ran(script, line, monkeypatch, tmp_path)
    (step,) = found.record["steps"]
    assert len(step["examples"]) == len(set(step["examples"])) == 2 and set(step["examples"]) <= found.wrong
    # Twice three calls on three examples; of each learned from one question; a rewrite of each of the three.
    assert found.calls == {"program": 18, "backward": 2, "propose": 3}
    assert found.record["spent"]["calls"] == found.record["served"] == 23
    for prompt in found.asked["backward"]:
        assert outputs_in(prompt) == 2 and "should have been different" in prompt.text
    assert step["verdict"] == "rejected"
    assert list(found.record["score"]["groups"]) == (["algorithmic"] if script == "bbh" else [])


LIAR_LINES = {
    "full": "--include_grad",
    "no_gradient": "",
    "no_siblings": "--include_grad --no_include_sibling",
    "no_siblings_bare": "--include_grad --no_include_sibling --bare",
    "job_title": "--include_grad --opt_keys 'Job title'",
    "no_gate": "--include_grad --no_select",
}


@pytest.mark.parametrize("arm", LIAR_LINES)
def test_the_liar_lines_and_arms(arm, monkeypatch, tmp_path):
    # The first of three is answered right.
    examples = (0, 4, 5) if arm == "full" else (4, 5)
    found = ran("liar", LIAR_LINES[arm], monkeypatch, tmp_path, examples)
    (step,) = found.record["steps"]
    assert len(set(step["examples"])) == 2 and set(step["examples"]) <= found.wrong
    questions = {"no_gradient": 0, "no_siblings": 10, "no_siblings_bare": 10}.get(arm, 2)
    rewrites = 1 if arm == "job_title" else 6
    assert found.calls == {"program": 12 * len(examples), "backward": questions, "propose": rewrites}
    for prompt in found.asked["program"]:
        assert prompt.names in (["hint"], ["answer"]) and set(CONTEXT) <= set(prompt.inputs)
    for prompt in found.asked["backward"]:
        assert outputs_in(prompt) == (1 if "siblings" in arm else 5) and "should have been different" in prompt.text
        assert all(f"{name}: " in prompt.inputs["reader_inputs"] for name in CONTEXT) != (arm == "no_siblings_bare")
        assert ("Decide whether" in prompt.inputs["reader_instruction"]) != (arm == "no_siblings_bare")
    told = ["should have been different" in one.inputs["lessons"] for one in found.asked["propose"]]
    assert any(told) != (arm == "no_gradient")
    assert step["verdict"] == ("accepted" if arm == "no_gate" else "rejected")
    assert set(step["proposed"]) == ({"hint_job_title"} if arm == "job_title" else PREDICTORS)


def test_the_arms_are_the_published_lines():
    by_name = {one.arm: one for one in liar.arms(config_of("liar", "--n_iters 8 --arm all"))}
    lines = {**LIAR_LINES, **{key.lower().replace(" ", "_"): f"--include_grad --opt_keys '{key}'" for key in KEYS}}
    assert by_name.keys() == lines.keys() and len(lines) == 11
    for name, line in lines.items():
        assert by_name[name] == replace(config_of("liar", f"--n_iters 8 {line}"), arm=name)
    rewritten = [harness.predictor_names(key, LiarProgram()) for key in KEYS]
    assert Counter(map(tuple, rewritten)) == Counter((name,) for name in PREDICTORS)


def test_a_projection_is_told_without_asking_anything(capsys):
    line = "--n_iters 8 --include_grad --project --base_model openai/gpt-4o-mini"
    harness.main("liar", liar.jobs, config_of("liar", line))
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    # The samples have 50 examples to learn from; nine times, six predictors.
    assert row[:2] == ["| liar", "2,700"] and float(row[-1].strip(" |")) > 0
