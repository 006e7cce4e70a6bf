"""What a provider does not answer in a report alone is said in its record."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

from dspy_semantic_backprop import SemanticGradientDescent
from tests.evaluate.faulty import spoiling, status
from tests.reports.test_diagnose import Fan, worker
from tests.scripted import questions, right


def asks(*words: str) -> Any:
    """Of a request whether its question holds one of some words."""
    return lambda number, body: any(word.encode() in body for word in words)


def optimizer(**settings: Any) -> SemanticGradientDescent:
    return SemanticGradientDescent(right, probe="never", subscribers=(), **settings)


def test_a_diagnosis_says_what_could_not_be_summarised():
    def differing(prompt: Any) -> dict[str, Any]:
        answers = worker(prompt)
        changes = {name: f"{text} See {zlib.crc32(prompt.text.encode()) % 97}." for name, text in answers.items()}
        return {name: changes[name] if name.startswith("change_") else text for name, text in answers.items()}

    with spoiling(status(503), asks("`statements`"), rule=differing) as server:
        found = optimizer().diagnose(Fan(), questions(4), checks=0)
    assert server.spoilt and found.failures == 4
    assert any("summaries of what was said of a predictor were not answered" in one for one in found.warnings)
    assert any(one.findings for one in found.predictors)


def test_a_preflight_says_which_attempt_had_no_answer():
    with spoiling(status(400), asks("clearer and more complete"), rule=worker) as server:
        found = optimizer().preflight(Fan(), questions(6), candidates=3)
    assert server.spoilt and any("proposals were not answered" in one for one in found.warnings)


def test_a_placebo_says_in_which_run_proposals_had_no_answer():
    proposals = itertools.count()
    with spoiling(status(400), lambda number, body: b"new_instruction" in body and not next(proposals), rule=worker):
        found = optimizer(steps=1).placebo(Fan(), questions(6), questions(6), questions(8)[6:], arms=["no_gradient"])
    assert any(one.startswith(("semantic, seed", "no_gradient, seed")) for one in found.warnings)
