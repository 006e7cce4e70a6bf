"""BigCodeBench: the published pipeline, answers that only a sandbox executes, and the evaluator itself where it is."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import bcb
import dspy
import harness
import pytest
from data import SAMPLES, DataError, Split
from data import bcb as tasks
from sandbox import by_tests, sandbox

from dspy_semantic_backprop import SetupError
from dspy_semantic_backprop.testing import SimulatedServer

LINE = "--include_grad --use_bad_samples --full_update --target --n_iters 12"
# What the sandbox's Python imports: the tests are run, and nothing is guarded.
EVALUATOR = """
import types, unittest
def untrusted_check(code, test_code, entry_point, **limits):
    module = types.ModuleType("task")
    try:
        exec(code + "\\n" + test_code, module.__dict__)
    except Exception as error:
        return "fail", {"ALL": str(error)}
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(module.TestCases).run(result)
    failed = {test.id().split(".")[-1]: trace for test, trace in result.failures + result.errors}
    return ("fail" if failed else "pass"), failed
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    """A command that starts a Python with a stand-in for the evaluator."""
    package = tmp_path_factory.mktemp("site") / "bigcodebench"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "eval.py").write_text(EVALUATOR)
    (package / "sanitize.py").write_text("def sanitize(text, entry_point):\n    return text\n")
    return f"env PYTHONPATH={shlex.quote(str(package.parent))} {shlex.quote(sys.executable)} -s"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "nothing is executed on this machine unasked"),
        (f"{sys.executable} -I -c pass", "gave no verdict"),
        (f"{sys.executable} -I", "No module named 'bigcodebench'"),
        ("/no/such/python", "No such file"),
        ("false", "ended with 1"),
    ],
)
def test_no_sandbox_no_study(command, words):
    with pytest.raises(SetupError, match="--sandbox") as caught:
        sandbox(command)
    assert words in str(caught.value)


def test_the_published_line_asks_five_nodes_and_the_tests_decide(python, monkeypatch, tmp_path):
    right, wrong = tasks.load(folder=SAMPLES).train[:2]
    asked = Counter()

    def answer(prompt):
        kinds = {"diagnosis": "backward", "new_instruction": "propose"}
        asked[next((kind for name, kind in kinds.items() if name in prompt.names), "program")] += 1
        # A solution of the first task, whatever is asked.
        return {
            name: right.answer if name == "answer" else f"Plover {sum(asked.values())} {name}." for name in prompt.names
        }

    monkeypatch.setattr(
        harness, "SimulatedModel", lambda seed: SimpleNamespace(serve=lambda **_: SimulatedServer(answer))
    )
    flags = ["--n_iters", "1", "--sandbox", python, "--results_dir", str(tmp_path)]
    config = harness.parse("bcb", [*shlex.split(LINE), *flags])
    (job,) = bcb.jobs(config)
    job = replace(job, split=Split([right, wrong], []))
    record = json.loads(harness.run("bcb", [job], config).read_text())
    (step,) = record["steps"]
    # Five nodes on two tasks, twice; of one failure a question of the final node, and one of each of the second layer.
    assert step["examples"] == [1] and record["score"]["train"]["before"] == 0.5
    assert asked == {"program": 20, "backward": 3, "propose": 5}


def test_the_metric_tells_what_failed(python):
    metric = by_tests(sandbox(python))
    for task in tasks.load(folder=SAMPLES).train:
        assert metric(task, dspy.Prediction(answer=task.answer)).score == 1.0
        wrong = metric(task, dspy.Prediction(answer="def task_func(*_):\n    return 'plover'"))
        assert wrong.score == 0.0 and "test_1: " in wrong.feedback and task.answer in wrong.feedback
        assert metric(task, dspy.Prediction(answer="no program")).score == 0.0
        assert metric(task, dspy.Prediction()).score == 0.0


def test_the_data_set(tmp_path):
    split = tasks.load(folder=SAMPLES)
    assert [one.task_id for one in split.train + split.held_out] == [f"Sample/{at}" for at in range(6)]
    assert all(dict(one.inputs()) == {"question": one.question} for one in split.train)
    (tmp_path / "bcb").mkdir()
    file = tmp_path / "bcb" / "bigcodebench.jsonl"
    file.write_text('{"task_id": "x"}\n{"task_id": "y"}\n')
    with pytest.raises(DataError, match="line 1: instruct_prompt, canonical_solution"):
        tasks.load(folder=tmp_path)
    file.write_text("{")
    with pytest.raises(DataError, match="no JSON"):
        tasks.load(folder=tmp_path)


@pytest.mark.skipif("BIGCODEBENCH_PYTHON" not in os.environ, reason="BIGCODEBENCH_PYTHON names no Python with it")
def test_the_evaluator_itself():
    executed = sandbox(os.environ["BIGCODEBENCH_PYTHON"])
    for task in tasks.load(folder=SAMPLES).held_out:
        assert executed(f"So:\n```python\n{task.answer}```", task.test, task.entry_point).passed
        assert not executed("def task_func(*_):\n    return 'plover'", task.test, task.entry_point).passed
