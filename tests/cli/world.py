"""A folder such as a user has: a module with a program and a metric, and files of examples."""

from __future__ import annotations

import itertools
import json
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.scripted import questions

_NUMBERS = itertools.count()
APP = """
import dspy


class Chain(dspy.Module):
    def __init__(self):
        super().__init__()
        self.draft = dspy.Predict("question -> draft")
        self.judge = dspy.Predict("draft -> answer")

    def forward(self, question):
        return self.judge(draft=self.draft(question=question).draft)


def careful():
    chain = Chain()
    chain.draft.signature = chain.draft.signature.with_instructions("Be careful.")
    chain.judge.signature = chain.judge.signature.with_instructions("Be careful.")
    return chain


def half():
    chain = careful()
    chain.judge.signature = chain.judge.signature.with_instructions("Judge.")
    return chain


def broken():
    raise ValueError("no such index")


class Odd(Chain):
    api_key = "cAnary7x31415926535"

    def named_predictors(self):
        raise ValueError(f"refused: {self.api_key}")


def metric(example, prediction, trace=None):
    return prediction.answer == example.answer


def other(example, prediction, trace=None):
    return 1


def leaves(example, prediction, trace=None):
    raise SystemExit(0)
"""


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class World:
    """The folder, and commands run in it.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.app = folder, f"app_of_a_user_{next(_NUMBERS)}"
        (folder / f"{self.app}.py").write_text(APP, encoding="utf-8")
        self.write("train.jsonl", [dict(one) for one in questions(8)])

    def write(self, name: str, rows: list[dict[str, object]]) -> None:
        """Write a file of JSON lines."""
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def run(self, capsys: pytest.CaptureFixture[str], command: str) -> Ended:
        """Run a command as it is typed, with `app` for the module's name."""
        capsys.readouterr()
        status = self.run_quietly(command)
        told = capsys.readouterr()
        return Ended(status, str(told.out), str(told.err))

    def run_quietly(self, command: str) -> int:
        """The same, for its exit status alone."""
        words = [word.replace("app:", f"{self.app}:") for word in command.split()]
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
            patch.setattr(sys, "argv", ["dspy-semantic-backprop", *words])
            runpy.run_module("dspy_semantic_backprop", run_name="__main__")
        return int(stop.value.code or 0)

    def close(self) -> None:
        """Forget the module."""
        sys.modules.pop(self.app, None)
