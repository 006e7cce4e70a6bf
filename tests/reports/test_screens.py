"""Whatever a program, a metric or a model writes: what is printed fits the terminal and does not act on it."""

from __future__ import annotations

import io
import sys
import unicodedata
from dataclasses import replace
from typing import Any

import pytest

from dspy_semantic_backprop import Placebo, Result, SemanticGradientDescent, compare, program_graph, trace
from tests.optimizer.test_compile import Chain
from tests.scripted import Prompt, careful, questions, served

EVIL = "\x1b[31mred\x1b[0m\x1b]0;title\x07 \u202eliame\u202c \x00\x08 \u200bgap\u2066x\u2069 | </b>`*_[x](y)_*` ]]> "
WIDE = "漢字" * 60 + " e\u0301 👩\u200d👩\u200d👧 "
LONG = EVIL + WIDE + "x" * 5_000
HIDDEN = {"\x1b", "\x07", "\x00", "\x08", "\u202e", "\u202c", "\u200b", "\u2066", "\u2069"}


def hostile(prompt: Prompt) -> dict[str, Any]:
    answers = careful(prompt)
    for name, text in answers.items():
        if name in ("draft", "answer"):
            answers[name] = f"{text} {LONG}"
        elif name.startswith("change_") and text != "No change needed.":
            answers[name] = f"{text} {EVIL}{WIDE}"
    return answers


def graded(example: Any, prediction: Any, trace: Any = None) -> Any:
    fine = prediction.answer.startswith(example.answer)
    return {"score": float(fine), "feedback": "Right." if fine else f"It should be careful. {EVIL}{WIDE}"}


@pytest.fixture(scope="module")
def records() -> dict[str, Any]:
    """Everything that prints, about one hostile program."""
    examples = [one.copy(question=one.question + LONG) for one in questions(4)]
    program: Any = type(f"Desk\u202e{WIDE}", (Chain,), {})()
    with served(hostile):
        optimizer = SemanticGradientDescent(graded, steps=1, subscribers=())
        better = optimizer.compile(program, trainset=examples)
        known = optimizer.baseline(better, examples, must=lambda example: True)
        found = {
            "graph": trace(program, examples[0]),
            "program graph": program_graph(program, examples[:1]),
            "explanation": optimizer.explain(program, examples[0]),
            "diagnosis": optimizer.diagnose(program, examples, checks=1),
            "result": Result.of(better),
            "baseline": known,
            "checked": optimizer.check(program, examples, known),
        }
    pair = {"before": 0.1, "after": 0.2, "gain": 0.1, "interval": [-0.1, 0.3], "p_value": 0.2, "examples": 9}
    arm = {
        "name": LONG,
        "score": 0.5,
        "gain": {**pair, "fixes": 1, "regressions": 0},
        "behind": {**pair, "fixes": 1, "regressions": 0},
    }
    placebo = {
        "examples": 9,
        "seeds": [0],
        "budget": {},
        "score": 0.4,
        "arms": [arm | {"returned": [True], "scores": [0.5], "spent": [{}]}],
    }
    return {**found, "comparison": compare(found["result"], found["result"]), "placebo": Placebo.from_dict(placebo)}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def columns(line: str) -> int:
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in line)
    return len(line) + wide - sum(unicodedata.category(one) in ("Mn", "Me", "Cf") for one in line)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_what_is_printed_fits_the_terminal_and_does_not_act_on_it(records, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", Terminal())
    printed = {name: str(record) for name, record in records.items()}
    monkeypatch.undo()
    for name, text in printed.items():
        assert max(map(columns, text.split("\n"))) <= min(width, 80), (name, text)
        assert not HIDDEN & set(text), name
        assert len(text.split("\n")) <= 8_000 // width, name


def test_what_is_hidden_is_spelled_out_and_what_belongs_together_stays(records):
    told = str(records["explanation"])
    assert "\\u001b[31mred" in told and "\\u202e" in told and "👩\u200d👩\u200d👧" in told


def test_what_a_build_is_told_holds_nothing_that_acts(records):
    checked = records["checked"]
    assert checked.verdict == "regressed"
    for text in (checked.markdown(), checked.junit()):
        assert not HIDDEN & set(text)
        assert "\\u202e" in text or "\\x1b" in text
    long = replace(checked, broken=tuple(replace(one, error="x" * 1_000_000) for one in checked.broken))
    assert checked.broken and len(long.junit()) + len(long.markdown()) < 20_000 * len(checked.broken)
    assert "more characters" in long.junit()


def test_a_notebook_shows_the_same_text(records):
    from IPython.lib.pretty import pretty

    for name in ("explanation", "diagnosis", "result", "baseline", "checked", "comparison", "placebo"):
        assert pretty(records[name]) == str(records[name]), name


@pytest.mark.parametrize("name", ["diagnosis", "checked", "placebo", "result"])
def test_warnings_for_which_there_is_no_room_are_counted(records, name):
    told = str(replace(records[name], warnings=tuple(f"Warning number {at}, {'word ' * 60}" for at in range(12))))
    assert 1 <= told.count("Warning: Warning number") < 12
    assert f"{12 - told.count('Warning: Warning number')} more in `warnings`" in told
