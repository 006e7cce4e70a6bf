"""The pooled search: edits are told apart by all scores together, and luck is not returned."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop import Budget, Ending, Pooled, SemanticGradientDescent, SetupError
from dspy_semantic_backprop._decide.claim import Found, told
from dspy_semantic_backprop._decide.comparison import Comparison
from dspy_semantic_backprop._decide.consider import Fate
from dspy_semantic_backprop._decide.estimate import Estimate, Lineage, Seen
from dspy_semantic_backprop._evaluate.outcome import score_range
from tests.decide.world import START, World
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served


def searched(world: World, draw: Any, steps: int = 8, search: Pooled | None = None) -> Any:
    """A whole search: each step's proposals are drawn by a function of the step."""
    found = world.pooled(search)

    async def go() -> Any:
        await found.start()
        for step in range(steps):
            parent, batches = await found.batches(step)
            if not batches:
                break
            await found.consider(step, [(draw(), batch) for batch in batches], parent)
        return await found.end()

    return found, asyncio.run(go())


def test_what_helps_is_found_in_the_company_of_what_harms():
    rng = random.Random(1)

    def score(instructions: dict[str, str], at: int) -> float:
        right = 0.3 + 0.5 * ("good" in instructions["a"]) - 0.5 * ("bad" in instructions["b"])
        return float(random.Random(f"{sorted(instructions.items())}/{at}").random() < right)

    def draw() -> dict[str, str]:
        number = rng.randrange(10**6)
        return {name: f"{rng.choice(['good', 'bad', 'idle'])} {number}" for name in ("a", "b")}

    found, final = searched(World(score), draw, steps=12)
    assert final.returned and final.proven and final.gain > 0.2
    assert "good" in found.best.instructions["a"] and "bad" not in found.best.instructions["b"]


@pytest.mark.parametrize("harm", [0.0, 0.1])
def test_what_harms_is_seldom_returned_and_luck_is_not_called_more_than_luck(harm):
    from scipy import stats

    returned = proven = 0
    runs = 60
    for run in range(runs):
        rng = random.Random(run)

        def score(instructions: dict[str, str], at: int, rng: random.Random = rng) -> float:
            edited = any(text != "plain" for text in instructions.values())
            return float(rng.random() < 0.6 - harm * edited)

        def draw(rng: random.Random = rng) -> dict[str, str]:
            return {name: f"edit {rng.randrange(10**6)}" for name in ("a", "b")}

        _, final = searched(World(score, size=20), draw)
        returned += bool(final is not None and final.returned)
        proven += bool(final is not None and final.returned and final.proven)
    # What has no effect is as good as the start, and may be returned.
    assert not harm or stats.binomtest(returned, runs).proportion_ci(0.99).low <= Pooled().worse
    assert stats.binomtest(proven, runs).proportion_ci(0.99).low <= 0.05


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, -1), (0, 100), (1, 5)])
def test_any_range_of_scores_will_do(low, high):
    def score(instructions: dict[str, str], at: int) -> float:
        return high if instructions["a"] == "good" or at % 4 == 0 else low

    found, final = searched(World(score), lambda: {"a": "good"}, steps=2)
    assert found.best.instructions["a"] == "good"
    assert final.returned and 0 < final.gain <= high - low


def test_a_proposal_is_compared_with_the_program_it_was_made_from_on_the_same_few_examples():
    world = World(lambda instructions, at: float(instructions["a"] == "good"))
    found = world.pooled(Pooled(block=3, first=5))

    async def go() -> Any:
        await found.start()
        return await found.consider(0, [({"a": "good"}, ()), ({"b": "idle"}, ())], START)

    decision = asyncio.run(go())
    assert decision.fate is Fate.ACCEPTED and decision.changed == ("a",)
    assert decision.gains["a"] > 0 and decision.comparison.gain == 1
    assert world.executions["a=good",] == world.executions["b=idle",] == 3


def test_a_search_whose_proposals_say_nothing_new_is_stuck():
    world = World(lambda instructions, at: 0.0)
    found = world.pooled()

    async def go() -> None:
        await found.start()
        for step in range(6):
            await found.consider(step, [({"a": "same"}, ())], START)

    asyncio.run(go())
    assert found.stuck


scores = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.floats(0, 1)), min_size=1, max_size=40)


@given(scores)
def test_gains_are_differences_and_shrink_towards_nothing(rows):
    seen = [Seen((edit,) if edit else (), example, score) for edit, example, score in rows]
    estimate = Estimate.of(seen, 5)
    for one in range(5):
        gain, deviation = estimate.gain((one,))
        assert gain == pytest.approx(-estimate.gain((), (one,))[0]) and abs(gain) <= 1
        assert 0 <= deviation <= 0.2
        assert estimate.worse((one,)) == pytest.approx(1 - estimate.worse((), (one,)))
    assert estimate.gain((1,), (1,)) == (0, 0)


def test_a_regression_over_examples_agrees_with_the_full_mixed_model():
    """Examples integrated out, or kept as effects of their own: the same posterior."""
    import numpy as np

    from dspy_semantic_backprop._decide import estimate as model

    rng = random.Random(3)
    rows = [((), at) for at in range(6)] + [((0,), at) for at in (0, 1, 2)] + [((0, 1), at) for at in (1, 2, 3, 4)]
    seen = [Seen(edits, at, float(rng.random() < 0.5)) for edits, at in rows]
    found = Estimate.of(seen, 2)
    scores = np.array([one.score for one in seen]) - 0.5
    spread = max(model.LEAST_VARIANCE, scores.var())
    noise, between = (1 - model.BETWEEN) * spread, model.BETWEEN * spread
    table = np.array([[1, len(e), 0, 0 in e, 1 in e, *(at == other for other in range(6))] for e, at in rows], float)
    prior = [model.LEVEL, model.COMMON, model.OPTIMISM, model.EFFECT, model.EFFECT, *[between**0.5] * 6]
    precision = table.T @ table / noise + np.diag(np.array(prior) ** -2.0)
    mean = np.linalg.solve(precision, table.T @ scores / noise)
    assert found.gain((0,))[0] == pytest.approx(mean[1] + mean[3])
    assert found.gain((0, 1), (0,))[0] == pytest.approx(mean[1] + mean[4])


def test_what_an_edit_was_made_from_counts_less():
    rows = [Seen((), at, 0.0) for at in range(8)]
    fresh = Estimate.of([*rows, *(Seen((0,), at, 1.0) for at in range(4))], 1)
    fitted = Estimate.of([*rows, *(Seen((0,), at, 1.0, True) for at in range(4))], 1)
    assert 0 < fitted.gain((0,))[0] < fresh.gain((0,))[0]


def test_a_text_holds_the_edits_of_the_text_it_was_made_from():
    lineage = Lineage({"a": "plain", "b": "plain"})
    lineage.add("a", "first", "plain", frozenset({1}))
    lineage.add("a", "second", "first", frozenset({2}))
    assert lineage.edits({"a": "second", "b": "plain"}) == (0, 1)
    assert lineage.learned((0, 1), 1) and not lineage.learned((1,), 1)


@pytest.mark.parametrize("wrong", [{"proposals": 0}, {"block": 1.5}, {"first": True}, {"worse": 2}, {"end": -0.1}])
def test_settings_that_are_none_are_refused(wrong):
    with pytest.raises(SetupError, match="must be a"):
        Pooled(**wrong)


def test_a_perfect_edit_of_a_tiny_set_is_returned():
    found, final = searched(World(lambda instructions, at: float("good" in instructions["a"]), size=4), good, steps=4)
    assert final.returned and "good" in found.best.instructions["a"]


@pytest.mark.parametrize("size", [1, 3])
def test_what_mends_its_own_documents_only_is_no_proof(size):
    def score(instructions: dict[str, str], at: int) -> float:
        return float(at % 3 == 0 or f"<{at // size}>" in instructions["a"])

    world = World(score, size=30)
    world.pool.groups = {at: at // size for at in world.ids}
    found = world.pooled()

    async def go() -> Any:
        await found.start()
        for step in range(8):
            parent, batches = await found.batches(step)
            told = [
                parent.instructions["a"] + "".join(f" <{one.example_id // size}>" for one in batch) for batch in batches
            ]
            proposals = [({"a": text}, batch) for text, batch in zip(told, batches, strict=True)]
            await found.consider(step, proposals, parent)
        return await found.end()

    final = asyncio.run(go())
    assert final.candidate and not final.proven and final.p_value == 1


def test_the_worst_losses_of_graded_scores_are_listed_and_what_was_tested_is_said():
    def score(instructions: dict[str, str], at: int) -> float:
        return (0.9, 0.5, 0.2)[at % 3] if at < 3 else 0.1 if instructions["a"] == "plain" else 0.8

    def edited(instructions: dict[str, str], at: int) -> float:
        return score(instructions, at) if instructions["a"] == "plain" or at > 2 else 0.1 * at

    _, final = searched(World(edited), lambda: {"a": "good"}, steps=2)
    assert final.returned and final.worst == ((0, 0.9, 0), (1, 0.5, 0.1))
    assert "lost most: example 0 (0.9 -> 0), example 1 (0.5 -> 0.1)" in final.reason
    assert "tested: the mean gain" in final.reason


def good() -> dict[str, str]:
    return {name: f"good {name}" for name in ("a", "b")}


@pytest.mark.parametrize("together", [True, False])
def test_documents_that_err_as_a_whole_are_no_proof_if_told_that_they_belong_together(together):
    from scipy import stats

    proven = 0
    # That they are taken for proof otherwise shows soon.
    runs = 30 if together else 12
    for run in range(runs):
        rng = random.Random(run)
        drawn: dict[Any, float] = {}

        def score(instructions: dict[str, str], at: int, rng: random.Random = rng, drawn: Any = drawn) -> float:
            return drawn.setdefault((at // 12, *instructions.values()), float(rng.random() < 0.5))

        def draw(rng: random.Random = rng) -> dict[str, str]:
            return {name: f"edit {rng.randrange(10**6)}" for name in ("a", "b")}

        world = World(score, size=48)
        world.pool.groups = {at: at // 12 for at in world.ids} if together else {}
        _, final = searched(world, draw, steps=4)
        proven += bool(final is not None and final.proven)
    if together:
        assert stats.binomtest(proven, runs).proportion_ci(0.99).low <= 0.05
    else:
        assert stats.binomtest(proven, runs).proportion_ci(0.9).low > 0.05


def test_what_was_paid_is_known_although_the_budget_ends_in_between():
    with served(careful):
        optimizer = SemanticGradientDescent(right, steps=1, budget=Budget(calls=9), num_threads=1, subscribers=())
        found: Any = optimizer.compile(Chain(), trainset=questions(12))
    result = found.detailed_results
    assert result.ending is Ending.BUDGET and result.total.calls == 9
    assert len(result.candidates[0].scores) == 4 and result.score_before == 0


@pytest.mark.parametrize("gain", [0.0, 0.3])
def test_running_ahead_decides_the_same_and_says_what_was_in_vain(gain):
    def score(instructions: dict[str, str], at: int) -> float:
        edited = any(text != "plain" for text in instructions.values())
        return float(random.Random(f"{sorted(instructions.items())}/{at}").random() < 0.4 + gain * edited)

    def run(ahead: int) -> tuple[Any, int, int, Any]:
        world, rng = World(score), random.Random(4)
        found, final = searched(world, lambda: {"a": f"edit {rng.randrange(99)}"}, 3, Pooled(ahead=ahead))
        asked = sum(len(entry.outcomes) for entry in world.pool)
        return (found.best, final), asked, sum(world.executions.values()), found.material.student.session.notes

    alone, asked, made, _ = run(0)
    beside, asked_too, made_too, notes = run(3)
    assert beside == alone and asked == asked_too == made
    assert notes["executions ahead in vain"] == made_too - made
    assert made_too - made < made / 5


def test_where_two_programs_cannot_be_told_apart_the_start_is_still_run_on_all():
    rng, world = (
        random.Random(4),
        World(lambda instructions, at: 0.2 + 0.1 * (at % 3) if instructions["a"] == "plain" else 0.8),
    )
    found, final = searched(world, lambda: {"a": f"edit {rng.randrange(99)}"}, 2)
    # What was tried scores the same everywhere: no number of examples tells which is better.
    assert found.best != START and final.missing_calls == 0
    assert [len(world.pool[one].outcomes) for one in (START, found.best)] == [40, 40]


@pytest.mark.parametrize(("start", "most"), [([1.0, 1.0, 0.0, 0.0], 0.9), ([0.5] * 4, 0.75), ([0.95] * 16, 0.08)])
def test_the_range_of_a_gain_allows_for_few_scores_of_the_start(start, most):
    found = Found(0.6, (0.3, 0.95), 0.001, 0.01)
    final = told(found, score_range(start, 1.0), start, Comparison(()), 0.1, candidate=1, returned=True, planned=9)
    room = 1 - sum(start) / len(start)
    assert final.gain == pytest.approx(room)
    assert final.interval is not None and final.interval[0] <= room < final.interval[1] <= most


def test_a_metric_without_a_known_best_score_bounds_no_gain():
    found = Found(0.8, (0.3, 1.2), 0.001, 0.01)
    final = told(found, score_range([0.0, 7.0]), [7.0, 7.0], Comparison(()), 0.1, candidate=1, returned=True, planned=9)
    assert (final.gain, final.interval) == (pytest.approx(5.6), (pytest.approx(2.1), pytest.approx(8.4)))
