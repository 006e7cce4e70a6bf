"""One decision at the end: luck among many tries is not enough, a real gain is, and fresh examples count."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import dspy
import numpy as np
import pytest

from dspy_semantic_backprop import SemanticGradientDescent, SetupError, presets
from dspy_semantic_backprop._decide.commit import Commit, Evidence
from dspy_semantic_backprop._decide.consider import Fate
from dspy_semantic_backprop._decide.split import split
from dspy_semantic_backprop._propose.choose import Standing, incumbent, pareto
from tests.decide.test_comparison import differing
from tests.decide.world import START, World
from tests.scripted import careful, questions, served


def test_a_gain_is_paid_for_with_every_candidate_that_was_tried():
    alone = Evidence(differing(5, 0, 15))
    assert alone.p_value == pytest.approx(1 / 32)
    rivals = [differing(6, 3, 11)] * 7
    assert replace(alone, rivals=rivals).p_value > 4 * alone.p_value


def test_candidates_that_could_not_have_looked_as_good_cost_nothing():
    alone = Evidence(differing(5, 0, 15))
    assert replace(alone, rivals=[differing(1, 1, 18)] * 20).p_value == alone.p_value


def test_fresh_examples_confirm_or_refute():
    loop = Evidence(differing(5, 1, 34), rivals=[differing(4, 4, 32)] * 3)
    confirmed = replace(loop, fresh=differing(6, 0, 34))
    refuted = replace(loop, fresh=differing(2, 4, 34))
    assert confirmed.p_value < loop.p_value < refuted.p_value
    assert Commit()(confirmed) and not Commit()(refuted)


def test_fresh_examples_that_show_a_loss_have_the_last_word():
    outvoted = Evidence(differing(14, 2, 24), fresh=differing(4, 5, 30))
    assert outvoted.p_value < 0.2
    assert not Commit()(outvoted)


def test_a_run_whose_fresh_examples_disagree_with_the_loop_says_so_and_gives_the_start_back():
    train, val = questions(4), questions(44)[4:]
    fresh = {val[at].question for at in split(train, val, Commit().kept, 0, math.inf).fresh}

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
        return ("careful" in prediction.answer) != (example.question in fresh)

    with served(careful):
        optimizer = SemanticGradientDescent(metric, steps=1, method=presets.proven(), subscribers=())
        found: Any = optimizer.compile(dspy.Predict("question -> answer"), trainset=train, valset=val)
    final = found.detailed_results.final
    assert found.detailed_results.steps[0].verdict == "accepted" and not final.returned
    assert (final.examples, final.gain) == (len(fresh), -1)
    assert (
        "16 fresh examples 1 -> 0" in final.reason and "the 24 of the loop, which were decided on, +1" in final.reason
    )
    assert "be careful" not in found.signature.instructions.lower()


def test_small_sets_still_accept_what_is_plain():
    assert Commit()(Evidence(differing(3, 0, 1)))
    assert Commit()(Evidence(differing(4, 0, 6), rivals=[differing(2, 1, 7)]))
    assert not Commit()(Evidence(differing(1, 0, 9)))


@pytest.mark.parametrize("fresh", [0, 30])
def test_a_run_without_any_effect_returns_another_program_no_more_often_than_stated(fresh):
    """Whole loops of eight steps over noise: the gate believes some of it, the decision at the end does not."""
    from scipy import stats

    rng = np.random.default_rng(fresh)
    runs, returned = 150, 0
    commit = Commit()

    for _ in range(runs):
        world = World(lambda instructions, at: float(rng.random() < 0.85), size=30)

        async def loop(world=world):
            best = START
            for step in range(8):
                decision = await world.consider(step, [{"a": f"edit {step}"}], best)
                best = decision.candidate if decision.fate is Fate.ACCEPTED else best
            if best == START:
                return False
            await world.pool.outcomes(best, world.ids)
            others = [entry.candidate for entry in world.pool if entry.candidate not in (START, best)]
            old, new = rng.random(fresh) < 0.85, rng.random(fresh) < 0.85
            more = differing(int((new & ~old).sum()), int((old & ~new).sum())) if fresh else None
            compare = world.pool.compare
            rivals = [compare(START, one, world.ids) for one in others]
            return commit(Evidence(compare(START, best, world.ids), rivals, fresh=more))

        returned += asyncio.run(loop())
    assert stats.binomtest(returned, runs).proportion_ci(0.99).low <= commit.error


@pytest.mark.parametrize("settings", [{"error": 0}, {"error": 1.5}, {"fresh": -0.1}, {"fresh": 0.9}, {"error": True}])
def test_settings_that_are_none_are_refused(settings):
    with pytest.raises(SetupError, match="must be a"):
        Commit(**settings)


def test_few_examples_are_all_decided_on_in_the_loop():
    assert Commit().kept(39) == 0
    assert Commit().kept(100) == 40
    assert Commit(fresh=0).kept(100) == 0


def test_a_parent_may_be_whoever_is_best_at_something():
    import random

    specialist, generalist = START.revised({"a": "odd"}), START.revised({"b": "even"})
    standing = [
        Standing(START, {0: 0.0, 1: 0.0, 2: 0.0}),
        Standing(specialist, {0: 1.0, 1: 0.0, 2: 0.0}),
        Standing(generalist, {0: 0.0, 1: 1.0, 2: 1.0}),
    ]
    rng = random.Random(0)
    drawn = [pareto(standing, rng) for _ in range(300)]
    assert set(drawn) == {specialist, generalist}
    assert drawn.count(generalist) > drawn.count(specialist) > 50
    assert incumbent(standing, rng) == generalist
