"""Reuse in a run: what it counts, when it stops, and what a resumed run makes of it."""

from __future__ import annotations

import dspy
import pytest

from dspy_semantic_backprop import Purpose
from dspy_semantic_backprop._concurrency import run_sync
from dspy_semantic_backprop._evaluate.candidate import read
from dspy_semantic_backprop._evaluate.outcome import Scored, scored
from dspy_semantic_backprop._evaluate.reuse import Reuse
from dspy_semantic_backprop._evaluate.student import MOST_STRAYED, Student
from dspy_semantic_backprop._session.budget import Budget
from dspy_semantic_backprop._session.journal import Journal
from dspy_semantic_backprop._settings import Settings
from tests.evaluate.reusing import (
    Dated,
    Drawn,
    Network,
    Twice,
    dice,
    echo,
    edit,
    graded,
)
from tests.scripted import served


def run_of(program, **settings) -> Student:
    journal = settings.pop("journal", None)
    chosen = Settings(graded, subscribers=(), num_threads=2, **settings)
    return chosen.student(program, chosen.session(journal))


QUESTIONS = [dspy.Example(question=f"What follows from number {at}?").with_inputs("question") for at in range(5)]


async def two_evaluations(run: Student, edited, times=1):
    records = {
        one.example_id: one
        for one in await run.evaluate("gate", QUESTIONS, read(run.program))
        if isinstance(one, Scored)
    }
    candidate = edit(run.program, edited)
    return [
        await run.evaluate("gate", QUESTIONS, candidate, purpose=Purpose.GATE, reuse=Reuse(records, frozenset(edited)))
        for _ in range(times)
    ]


def test_a_run_stops_reusing_where_the_program_does_not_repeat_itself_and_says_so_once(caplog):
    with served(echo):
        run = run_of(Dated([[], [0]]))
        run_sync(two_evaluations(run, ["nodes[1]"], times=3))
        assert run.strayed == len(QUESTIONS) >= MOST_STRAYED
    assert caplog.text.count("not deterministic") == 1
    assert run.session.warnings == [one for one in run.session.warnings if "not deterministic" in one]


def test_a_run_that_stopped_reusing_evaluates_in_full():
    with served(echo):
        run = run_of(Drawn())
        strayed, reused = [0], [0]
        while strayed[-1] < MOST_STRAYED:
            run_sync(two_evaluations(run, ["final"]))
            strayed.append(run.strayed)
            reused.append(run.session.ledger.total.reused)
        assert reused == sorted(set(reused))
        run_sync(two_evaluations(run, ["final"]))
    assert (run.strayed, run.session.ledger.total.reused) == (strayed[-1], reused[-1])


def test_reused_answers_are_no_calls_to_the_budget_and_are_counted_by_predictor():
    with served(echo) as server:
        run = run_of(Network([[], [0], [1]]), budget=Budget(calls=3 * 5 + 5))
        (outcomes,) = run_sync(two_evaluations(run, ["nodes[2]"]))
        assert all(isinstance(one, Scored) for one in outcomes)
        assert server.requests == run.session.ledger.total.calls == 20
    assert run.session.ledger.by_purpose["gate"].reused == 10
    assert {name: one.reused for name, one in run.session.ledger.by_predictor.items() if name} == {
        "nodes[0]": 5,
        "nodes[1]": 5,
        "nodes[2]": 0,
    }


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 1.0])
def test_a_resumed_run_reuses_the_same_and_pays_for_nothing_twice(cut, tmp_path):
    def go():
        journal = Journal(tmp_path)
        try:
            run = run_of(Twice(), journal=journal)
            outcomes = run_sync(two_evaluations(run, ["final"], times=2))
            return run.session.ledger.total, [
                [(one.score, one.graph.output) for one in scored(some)] for some in outcomes
            ]
        finally:
            journal.close()

    with served(dice(), temperature=1.0) as server:
        whole, first = go()
        log = tmp_path / "journal.jsonl"
        lines = log.read_bytes().splitlines(keepends=True)
        kept = lines[: max(1, int(len(lines) * cut))]
        log.write_bytes(b"".join(kept))
        before = server.requests
        known = sum(b'"event":"answer"' in line for line in kept)
        resumed, second = go()
        assert server.requests - before == whole.calls - known
    assert resumed.reused == whole.reused == 20
    if cut == 1.0:
        assert second == first
