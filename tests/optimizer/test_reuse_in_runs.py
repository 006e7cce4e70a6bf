"""Reuse in a run: what it counts, when it stops, and what a resumed run makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import Budget, Gated, SemanticGradientDescent, accept_always, drop, only, presets, silent
from dspy_semantic_backprop.integrations import EvaluationDone, EvaluationStarted, Event
from tests.evaluate.reusing import Dated, Drawn, Network, Twice, dice, echo, graded
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served

QUESTIONS = [dspy.Example(question=f"What follows from number {at}?").with_inputs("question") for at in range(5)]
STEPS = 3


def compiled(program: Any, edited: str, *, downstream: bool = True, **settings: Any) -> Any:
    """The result of a run that rewrites one predictor a step and evaluates every text on all questions."""
    parts: Any = {"backward": silent, "collect": drop, "choose_predictors": only(edited)}
    parts["search"] = Gated(accept_always, commit=None)
    method = replace(presets.published(), **parts, downstream=downstream)
    settings = {"steps": STEPS, "subscribers": (), "num_threads": 2, **settings}
    optimizer = SemanticGradientDescent(graded, method=method, **settings)
    better: Any = optimizer.compile(program, trainset=QUESTIONS[:2], valset=QUESTIONS)
    return better.detailed_results


def test_a_run_stops_reusing_where_the_program_does_not_repeat_itself_and_says_so_once(caplog):
    with served(echo):
        result = compiled(Dated([[], [0]]), "nodes[1]")
    assert caplog.text.count("evaluated in full") == 1
    assert sum("evaluated in full" in warning for warning in result.warnings) == 1
    assert len(result.steps) == STEPS


def test_a_run_that_stopped_reusing_evaluates_in_full():
    def count(event: Event) -> None:
        if isinstance(event, EvaluationStarted):
            began.append((event.examples, server.requests))
        elif isinstance(event, EvaluationDone):
            examples, before = began[-1]
            saved.append(4 * examples - (server.requests - before))

    began: list[tuple[int, int]] = []
    saved: list[int] = []
    with served(echo) as server:
        result = compiled(Drawn(), "final", steps=12, subscribers=(count,))
    assert any("evaluated in full" in warning for warning in result.warnings)
    assert sum(saved) == result.total.reused > 0
    last = max(at for at, one in enumerate(saved) if one)
    assert not any(saved[last + 1 :]) and len(saved) - last > STEPS


def test_reused_answers_are_no_calls_to_the_budget_and_are_counted_by_predictor():
    network: Any = [[], [0], [1]]
    with served(echo) as server:
        result = compiled(Network(network), "nodes[2]")
        assert server.requests == result.total.calls
        again = compiled(Network(network), "nodes[2]", budget=Budget(calls=result.total.calls))
        full = compiled(Network(network), "nodes[2]", downstream=False)
    assert again.ending is result.ending and again.total.calls == result.total.calls
    reused = {name: one.reused for name, one in result.by_predictor.items() if name}
    assert reused == {"nodes[0]": reused["nodes[0]"], "nodes[1]": reused["nodes[0]"], "nodes[2]": 0}
    assert reused["nodes[0]"] >= STEPS * len(QUESTIONS)
    assert full.total.calls == result.total.calls + result.total.reused


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 1.0])
def test_a_resumed_run_reuses_the_same_and_pays_for_nothing_twice(cut, tmp_path):
    with served(dice(), temperature=1.0) as server:
        whole = compiled(Twice(), "final", log_dir=tmp_path)
        log = tmp_path / "journal.jsonl"
        lines = log.read_bytes().splitlines(keepends=True)
        kept = lines[: max(1, int(len(lines) * cut))]
        log.write_bytes(b"".join(kept))
        before = server.requests
        known = sum(b'"event":"answer"' in line for line in kept)
        resumed = compiled(Twice(), "final", log_dir=tmp_path)
        assert server.requests - before == whole.total.calls - known
    assert resumed.total.reused == whole.total.reused >= STEPS * 2 * len(QUESTIONS)
    if cut == 1.0:
        assert resumed.instructions_after == whole.instructions_after
        assert [one.scores for one in resumed.candidates] == [one.scores for one in whole.candidates]


@pytest.mark.parametrize("method", [presets.semantic(), presets.published()], ids=lambda one: one.name)
def test_an_example_of_both_sets_is_run_and_graded_once_for_each_program(method):
    asked: list[str] = []

    def noted(prompt):
        asked.extend([prompt.text] if "question" in prompt.inputs else [])
        return careful(prompt)

    both = questions(9)
    with served(noted):
        optimizer = SemanticGradientDescent(right, steps=2, method=method, num_threads=1, subscribers=())
        result = optimizer.compile(Chain(), trainset=both[:6], valset=both[3:]).detailed_results
    assert len(asked) == len(set(asked)) > 9
    assert any("3 of 6 examples of the valset are in the trainset too" in one for one in result.warnings)
    assert all("careful" in text for text in result.instructions_after.values())
