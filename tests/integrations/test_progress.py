"""What a run's progress prints: lines that fit the terminal, no bar where there is none, and how it ended."""

from __future__ import annotations

import io
import logging
import re
import sys
from typing import Any

import pytest

from dspy_semantic_backprop import ProgressBar, SemanticGradientDescent
from dspy_semantic_backprop.integrations import Projected, Working
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


def test_a_terminal_that_becomes_narrower_keeps_no_half_of_the_bar(events, monkeypatch):
    terminal = Terminal()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, terminal)
    monkeypatch.setenv("COLUMNS", "80")
    bar = ProgressBar()
    (start,) = [at for at, event in enumerate(events) if isinstance(event, Projected)][:1]
    for event in events[: start + 3]:
        bar(event)
    wide = terminal.getvalue()
    monkeypatch.setenv("COLUMNS", "30")
    for event in events[start + 3 :]:
        bar(event)
    narrow = terminal.getvalue()[len(wide) :]
    assert "\x1b" not in wide
    assert narrow.startswith("\r\x1b[A\x1b[J"), "58 columns are two rows of 30: the upper one goes, too"
    assert max(len(line) for line in re.split("[\r\n]|\x1b\\[[AJ]", narrow)) < 30


def test_a_diagnosis_shows_its_backward_passes_and_checks(monkeypatch):
    terminal, seen = Terminal(), list[Any]()
    monkeypatch.setattr(sys, "stderr", terminal)
    with served(careful):
        optimizer = SemanticGradientDescent(right, subscribers=[ProgressBar(), seen.append])
        optimizer.diagnose(Chain(), questions(2), checks=1)
    work = [(one.what, one.done, one.pieces) for one in seen if isinstance(one, Working)]
    assert work[:3] == [("backward passes", done, 2) for done in range(3)]
    assert ("checks of the blame", 1, 1) in work
    shown = terminal.getvalue()
    assert "learning" in shown and "checking" in shown
    assert not shown.split("\r")[-1].strip(), "the bar is gone in the end"


@pytest.mark.parametrize("notebook", [False, True])
def test_a_warning_stands_above_the_bar_and_is_ordinary_output_in_a_notebook(events, notebook, monkeypatch):
    streams = {name: Terminal() for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a process that has configured no logging
    if notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    else:
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    bar, (start, *_) = ProgressBar(), [at for at, event in enumerate(events) if isinstance(event, Projected)]
    for event in events[: start + 3]:
        bar(event)
    begun = {name: len(stream.getvalue()) for name, stream in streams.items()}
    logging.getLogger("dspy_semantic_backprop").warning("the price of \x1b[31mthis is not known")
    said = {name: stream.getvalue()[begun[name] :] for name, stream in streams.items()}
    for event in events[start + 3 :]:
        bar(event)
    text = "Warning: the price of \\u001b[31mthis is not known\n"
    if notebook:
        assert text in said["stdout"] and text not in said["stderr"]
    else:
        assert re.match(f"\r *\r{re.escape(text)}\r", said["stderr"]), "the bar makes room, and comes again below"


def test_a_log_gets_whole_lines_and_no_bar(events, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    show(events)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "optimising draft, judge: 6 examples to learn from and to decide on; 2 steps"
    assert lines[1] == "start: score 0 on 6 examples"
    assert lines[3].startswith("step 1/2: accepted (0 -> 1 on 3 examples; expected by all scores of the run: +0.")
    assert lines[-1].startswith(
        "ended: no example is left to learn from, or to gain on; score 0 -> 1 on 6 examples to decide on, 12 executions"
    )
    assert printed.err == ""
