"""What a run's progress prints: lines that fit the terminal, no bar where there is none, and how it ended."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from dspy_semantic_backprop import ProgressBar, SemanticGradientDescent
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served


@pytest.fixture(scope="module")
def events() -> list[Any]:
    seen: list[Any] = []
    with served(careful):
        SemanticGradientDescent(right, steps=2, subscribers=[seen.append]).compile(Chain(), trainset=questions(6))
    return seen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(events: list[Any]) -> None:
    bar = ProgressBar()
    for event in events:
        bar(event)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lines_fit_the_terminal(events, width, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    show(events)
    lines = terminal.getvalue().split("\n")
    assert max(map(len, lines)) < width
    assert "ended: no example is left to learn from" in " ".join(line.strip() for line in lines)


def test_a_log_gets_whole_lines_and_no_bar(events, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    show(events)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("optimising draft, judge: 6 examples to learn from, 6 to decide on")
    assert lines[-1].startswith("ended: no example is left to learn from, or to gain on; score 0 -> 1, 12 executions")
    assert printed.err == ""
