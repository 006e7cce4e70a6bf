"""Proposals behind a gate are raced and remembered; what cannot win stops costing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dspy_semantic_backprop._decide.consider import Fate
from dspy_semantic_backprop._decide.gate import Verdict, confident, strictly_better
from dspy_semantic_backprop._decide.race import race
from dspy_semantic_backprop._evaluate.candidate import Candidate
from tests.decide.world import START, World


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def skilled(instructions: dict[str, str], at: int) -> float:
    """Each good edit solves another third of the examples; a bad one spoils every fifth."""
    solved = {"a": 0, "b": 1, "c": 2}
    good = any(text == "good" and at % 3 == solved[name] for name, text in instructions.items())
    return float(good and not ("bad" in instructions.values() and at % 5 == 0))


def test_the_best_of_several_proposals_wins_and_all_are_kept():
    world = World(skilled)
    proposals = [{"a": "good"}, {"a": "good", "b": "good"}, {"c": "no use"}]
    decision = run(world.consider(0, proposals, START))
    assert decision.fate is Fate.ACCEPTED
    assert decision.changed == ("a", "b")
    assert decision.comparison.gain > 0.5
    numbers = [entry.number for entry in world.pool]
    assert numbers == list(range(len(numbers)))
    assert {entry.candidate.instructions["c"] for entry in world.pool} == {"plain", "no use"}


def test_a_proposal_that_cannot_win_any_more_stops_costing():
    def harmful(instructions: dict[str, str], at: int) -> float:
        return float(instructions["a"] != "worse" and at % 2 == 0)

    world = World(harmful, size=80)
    decision = run(world.consider(0, [{"a": "worse"}], START))
    assert decision.fate is Fate.REJECTED
    assert world.executions["a=worse",] <= 20


def test_a_proposal_that_is_clearly_better_is_not_evaluated_to_the_end():
    world = World(lambda instructions, at: float(instructions["a"] == "good"), size=80)
    decision = run(world.consider(0, [{"a": "good"}], START))
    assert decision.fate is Fate.ACCEPTED
    assert world.executions["a=good",] <= 40


def test_of_two_good_proposals_the_worse_one_is_given_up():
    def score(instructions: dict[str, str], at: int) -> float:
        return float({"best": at % 8 != 0, "good": at % 4 == 0}.get(instructions["a"], False))

    world = World(score, size=80, gate=strictly_better)
    best, good = (START.revised({"a": name}) for name in ("best", "good"))
    for one in (best, good):
        world.pool.add(one, START, 0)
    raced = run(race(world.pool, START, [good, best], world.ids, confident))
    assert {one.candidate: one.verdict for one in raced}[best] is Verdict.ACCEPT
    assert world.executions["a=good",] < 80


@pytest.mark.parametrize(
    ("proposals", "fate"),
    [
        ([], Fate.EMPTY),
        ([{"a": "  \n"}], Fate.EMPTY),
        ([{"a": "plain"}], Fate.SAME),
        ([{"a": "x" * 200_000}], Fate.EMPTY),
        ([{"a": ""}, {"a": "plain"}], Fate.SAME),
    ],
)
def test_what_is_no_proposal_costs_nothing(proposals, fate):
    world = World(skilled)
    decision = run(world.consider(0, proposals, START))
    assert decision.fate is fate
    assert not world.executions


def test_nothing_is_evaluated_twice():
    world = World(skilled)
    run(world.consider(0, [{"c": "no use"}], START))
    before = world.executions.copy()
    again = run(world.consider(1, [{"c": "no use"}], START))
    assert again.fate is Fate.SEEN
    assert world.executions == before
    assert world.screen.failed["c"] == ["no use"]


def test_the_program_to_beat_need_not_be_the_newest():
    world = World(skilled)
    first = run(world.consider(0, [{"a": "good"}], START))
    other = run(world.consider(1, [{"b": "good"}], START))
    assert (first.fate, other.fate) == (Fate.ACCEPTED, Fate.ACCEPTED)
    assert other.candidate == Candidate({"a": "plain", "b": "good", "c": "plain"})
