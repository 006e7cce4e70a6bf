"""Candidates are raced, told apart, recombined and remembered; what cannot win stops costing."""

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
    decision = run(world.selection.consider(0, proposals, START))
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
    decision = run(world.selection.consider(0, [{"a": "worse"}], START))
    assert decision.fate is Fate.REJECTED
    assert world.executions["a=worse",] <= 20


def test_a_proposal_that_is_clearly_better_is_not_evaluated_to_the_end():
    world = World(lambda instructions, at: float(instructions["a"] == "good"), size=80)
    decision = run(world.selection.consider(0, [{"a": "good"}], START))
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


def test_a_harmful_edit_is_taken_out_of_good_company():
    world = World(skilled)
    decision = run(world.selection.consider(0, [{"a": "good", "b": "good", "c": "bad"}], START))
    assert decision.fate is Fate.ACCEPTED
    assert dict(decision.candidate.instructions) == {"a": "good", "b": "good", "c": "plain"}
    earned = {one.predictor: one.earned for one in decision.credit}
    assert earned["a"] > 0 and earned["b"] > 0 and earned["c"] < 0


def test_an_edit_that_spoils_what_was_right_is_taken_out_too():
    def score(instructions: dict[str, str], at: int) -> float:
        return float((at % 2 == 0 and instructions["b"] != "bad") or (at % 2 and instructions["a"] == "good"))

    world = World(score)
    decision = run(world.selection.consider(0, [{"a": "good", "b": "bad"}], START))
    assert (decision.fate, decision.changed) == (Fate.ACCEPTED, ("a",))


def test_credit_goes_to_the_edit_that_earned_it():
    world = World(lambda instructions, at: float(instructions["b"] == "good"))
    decision = run(world.selection.consider(0, [{"a": "idle", "b": "good"}], START))
    assert {one.predictor: one.earned for one in decision.credit} == {"a": 0.0, "b": 1.0}


def test_two_edits_that_only_help_together_share_the_credit():
    world = World(lambda instructions, at: float(instructions["a"] == instructions["b"] == "good"))
    decision = run(world.selection.consider(0, [{"a": "good", "b": "good"}], START))
    assert decision.fate is Fate.ACCEPTED
    assert [one.missed for one in decision.credit] == [1.0, 1.0]


def test_an_edit_that_earned_something_in_a_rejected_proposal_is_tried_again_beside_the_next_accepted_one():
    def score(instructions: dict[str, str], at: int) -> float:
        # "early" helps on few examples, too few to be accepted alone; "bad" spoils more.
        solved = (instructions["a"] == "early" and at in (0, 1)) or (instructions["c"] == "good" and at >= 20)
        spoiled = instructions["b"] == "bad" and at in (2, 3, 4, 5, 6)
        return float((solved or at in range(2, 10)) and not spoiled)

    world = World(score)
    first = run(world.selection.consider(0, [{"a": "early", "b": "bad"}], START))
    assert first.candidate.instructions["a"] == "early" and first.candidate.instructions["b"] == "plain"
    parent = first.candidate if first.fate is Fate.ACCEPTED else START
    second = run(world.selection.consider(1, [{"c": "good"}], parent))
    assert second.fate is Fate.ACCEPTED
    third = run(world.selection.consider(2, [{"b": "no use"}], second.candidate))
    winner = third.candidate if third.fate is Fate.ACCEPTED else second.candidate
    assert (winner.instructions["a"], winner.instructions["c"]) == ("early", "good")


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
    decision = run(world.selection.consider(0, proposals, START))
    assert decision.fate is fate
    assert not world.executions


def test_nothing_is_evaluated_twice():
    world = World(skilled)
    run(world.selection.consider(0, [{"c": "no use"}], START))
    before = world.executions.copy()
    again = run(world.selection.consider(1, [{"c": "no use"}], START))
    assert again.fate is Fate.SEEN
    assert world.executions == before
    assert world.selection.screen.failed["c"] == ["no use"]


def test_the_program_to_beat_need_not_be_the_newest():
    world = World(skilled)
    first = run(world.selection.consider(0, [{"a": "good"}], START))
    other = run(world.selection.consider(1, [{"b": "good"}], START))
    assert (first.fate, other.fate) == (Fate.ACCEPTED, Fate.ACCEPTED)
    assert other.candidate == Candidate({"a": "plain", "b": "good", "c": "plain"})
