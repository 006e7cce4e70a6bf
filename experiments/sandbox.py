"""Executes answers that are programs, where BigCodeBench's own evaluator is: never in this process.

A sandbox is a command that starts a Python which can import the package `bigcodebench`: in a container, say
`docker run -i --rm --network none --entrypoint python3 bigcodebench/bigcodebench-evaluate`, or in an environment of its
own on a machine that may be lost. It is given a script by `-c` and one task on standard input.
"""

from __future__ import annotations

import functools
import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dspy

from dspy_semantic_backprop import SetupError

SECONDS = 300
"""An answer that has not been judged after so many seconds is a failure of the sandbox: the evaluator has 242."""

# Limits as in the published code: memory and data in MiB, stack in MiB, at least one second.
CHECK = """
import json, sys
from bigcodebench.eval import untrusted_check
from bigcodebench.sanitize import sanitize
task = json.load(sys.stdin)
code = sanitize(task["answer"], task["entry_point"])
limits = dict(max_as_limit=30 * 1024, max_data_limit=30 * 1024, max_stack_limit=10, min_time_limit=1, gt_time_limit=2)
verdict, details = untrusted_check(code, task["test"], task["entry_point"], **limits)
print("\\n" + json.dumps({"verdict": verdict, "details": {str(k): str(v)[-600:] for k, v in dict(details).items()}}))
"""
TRIAL = (
    "def task_func():\n    return 1\n",
    "import unittest\n\n\nclass TestCases(unittest.TestCase):\n"
    "    def test_one(self):\n        self.assertEqual(task_func(), 1)\n",
)


@dataclass(frozen=True)
class Verdict:
    """What the tests say of an answer.

    Args:
        passed: Whether it passes all.
        details: The name of each test that it fails, and how; empty where it did not come to an end.
        said: The last line that the sandbox complained with.
    """

    passed: bool
    details: dict[str, str]
    said: str = ""


def sandbox(command: str) -> Callable[[str, str, str], Verdict]:
    """What executes an answer: (answer, test, entry point) -> verdict; the same answer is executed once.

    Args:
        command: What starts the sandbox's Python.

    Raises:
        SetupError: If there is none, or if it does not tell a right program from a wrong one.
    """
    if not command.strip():
        raise SetupError(
            "--sandbox: BigCodeBench's answers are programs, and nothing is executed on this machine unasked; name a "
            "Python that has the package bigcodebench, such as 'docker run -i --rm --network none --entrypoint python3 "
            "bigcodebench/bigcodebench-evaluate'"
        )

    @functools.cache
    def executed(answer: str, test: str, entry_point: str) -> Verdict:
        return _asked(shlex.split(command), {"answer": answer, "test": test, "entry_point": entry_point})

    program, test = TRIAL
    right, wrong = (executed(one, test, "task_func") for one in (program, program.replace("1", "2")))
    if not right.passed or wrong.passed:
        raise SetupError(f"--sandbox: {command!r} cannot tell a right program from a wrong one: {right.said or right}")
    return executed


def _asked(command: list[str], task: dict[str, str]) -> Verdict:
    """Raises SetupError where the sandbox says nothing: that is never the answer's failure."""
    try:
        done = subprocess.run(
            [*command, "-c", CHECK], input=json.dumps(task), capture_output=True, text=True, timeout=SECONDS, check=True
        )
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return Verdict(found["verdict"] == "pass", dict(found["details"]), _last(done.stderr))
    except subprocess.CalledProcessError as error:
        raise SetupError(f"--sandbox: {command[0]!r} ended with {error.returncode}: {_last(error.stderr)}") from error
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError, KeyError) as error:
        raise SetupError(f"--sandbox: {command[0]!r} gave no verdict: {error}") from error


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def by_tests(executed: Callable[[str, str, str], Verdict]) -> Callable[..., dspy.Prediction]:
    """A metric: 1.0 where an answer passes its tests; the feedback is the published solution, and what failed."""

    def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        answer = str(getattr(pred, "answer", None) or "")
        found = executed(answer, gold.test, gold.entry_point) if answer.strip() else Verdict(False, {})
        failed = "\n".join(f"{name}: {text.strip()}" for name, text in found.details.items())[:2000]
        feedback = (
            "All tests pass." if found.passed else f"A solution that passes:\n{gold.answer}\nFailed: {failed or 'all'}"
        )
        return dspy.Prediction(score=float(found.passed), feedback=feedback)

    return metric
