"""One run for all tests of the report, whose texts try whatever a text can try."""

from __future__ import annotations

import re

import pytest

from dspy_semantic_backprop import Result, SemanticGradientDescent
from tests.optimizer.test_compile import Chain
from tests.scripted import Prompt, careful, questions, right, served

HOSTILE = "</script><script>window.struck=1</script><img src=x onerror='window.struck=1'> **bold** \u202etxt.exe\u202c"
TRAIN = [one.copy(question=f"{one.question} {HOSTILE}") for one in questions(12)]


def hostile(prompt: Prompt) -> dict:
    """As careful as `careful`; gradients carry what a page must not run, and proposals change two places."""
    answers = careful(prompt)
    for name, text in answers.items():
        if name.startswith("change_") and text != "No change needed.":
            answers[name] = f"{text} {HOSTILE}"
        elif name == "new_instruction":
            answers[name] = re.sub(r"\AGiven the (?=.*\nBe careful)", "Of the ", text, flags=re.DOTALL)
    return answers


@pytest.fixture(scope="session")
def ran(tmp_path_factory) -> Result:
    with served(hostile):
        folder = tmp_path_factory.mktemp("log")
        optimizer = SemanticGradientDescent(right, steps=2, subscribers=(), log_dir=folder)
        better = optimizer.compile(Chain(), trainset=TRAIN)
    return Result.of(better)
