"""Is it worth it? Noise, headroom, detectable gains and advice, through a real client against a real server."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    Budget,
    ModelError,
    OutOfBudget,
    Preflight,
    ProgramError,
    SemanticGradientDescent,
    SetupError,
    TooManyFailures,
    presets,
)
from dspy_semantic_backprop.testing import Faults
from experiments.simulated import SimulatedModel
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served

signature: Any = dspy.Signature
TRAIN, VAL = questions(20), questions(50)[20:]
FEW = VAL[:8]


def told_to_be_careful() -> dspy.Module:
    program: Any = Chain()
    for predictor in program.predictors():
        predictor.signature = predictor.signature.with_instructions("Be careful.")
    return program


def slipping(share: float, rule: Any = careful):
    """A model whose final answers are spoilt at random, with this probability."""
    rng, lock = random.Random(0), threading.Lock()

    def answer(prompt):
        answers = rule(prompt)
        with lock:
            slips = rng.random() < share
        return {**answers, "answer": "a slip"} if slips and "answer" in answers else answers

    return answer


def unteachable(prompt):
    """As `careful`, but its proposals do not help."""
    answers = careful(prompt)
    return {name: "Do it well." if name == "new_instruction" else text for name, text in answers.items()}


def flown(rule, program=None, *, train=TRAIN, val: Any = VAL, how: Any = None, faults=None, lm: Any = None, **settings):
    with served(rule, faults=faults, **(lm or {})) as server:
        optimizer = SemanticGradientDescent(right, probe="never", subscribers=(), **settings)
        found = optimizer.preflight(program or Chain(), train, val, **(how or {}))
    return found, server


def test_a_weak_program_that_can_be_taught_is_worth_it_and_compiling_agrees():
    with served(careful) as server:
        optimizer = SemanticGradientDescent(right, subscribers=())
        found = optimizer.preflight(Chain(), TRAIN, VAL[:20])
        assert found.total.calls == server.requests
        better: Any = optimizer.compile(Chain(), trainset=TRAIN, valset=VAL[:20])
    assert found.recommendation == "go", found
    assert (found.score, found.best, found.headroom, found.noise.rate) == (0.0, 1.0, 1.0, 0.0)
    assert found.attempts[0].result is not None and found.attempts[0].result.gain == 1.0
    assert better.detailed_results.score_after == 1.0
    assert not better.detailed_results.warnings


def test_a_program_at_its_ceiling_with_noise_has_no_headroom_and_compile_repeats_it():
    with served(slipping(0.1)):
        # One at a time: which examples random slips meet is else up to the order of the threads.
        optimizer = SemanticGradientDescent(right, steps=2, probe="never", num_threads=1, subscribers=())
        found = optimizer.preflight(told_to_be_careful(), TRAIN, VAL)
        better: Any = optimizer.compile(told_to_be_careful(), trainset=TRAIN, valset=VAL)
        other: Any = optimizer.compile(Chain(), trainset=TRAIN, valset=VAL)
    assert found.recommendation == "no headroom", found
    assert 0.05 < found.noise.rate < 0.35 and found.noise.changed > 3
    assert found.noise.luck > 0
    assert any("no headroom" in warning for warning in better.detailed_results.warnings)
    assert not any("pre-flight" in warning for warning in other.detailed_results.warnings)


@pytest.fixture(scope="module")
def hopeless() -> Preflight:
    """What is found where no proposal helps."""
    return flown(unteachable)[0]


def test_where_no_proposal_helps_the_room_is_not_denied(hopeless):
    found = hopeless
    assert found.recommendation == "nothing helped"
    assert "none of" in found.reason and found.headroom == 1.0


def test_what_was_found_round_trips_and_fits_the_screen(hopeless):
    noisy, _ = flown(slipping(0.2), told_to_be_careful(), val=VAL[:20])
    for found in (hopeless, noisy):
        assert Preflight.from_dict(json.loads(json.dumps(found.to_dict()))) == found
        lines = str(found).splitlines()
        assert len(lines) <= 24 and max(map(len, lines)) <= 80
        assert lines[0].endswith(found.recommendation.upper())


def test_answers_by_the_toss_of_a_coin_are_too_noisy():
    # One thread, so that the coins fall in the same order every time.
    found, _ = flown(slipping(0.5, unteachable), told_to_be_careful(), val=VAL[:20], num_threads=1)
    assert found.recommendation == "too noisy", found
    assert found.noise.rate > 0.35


@pytest.mark.parametrize(("size", "asked"), [(1, "at least 3"), (2, "at least 3")])
def test_too_few_examples_are_named_with_the_number_that_it_takes(size, asked):
    with served(careful):
        optimizer = SemanticGradientDescent(right, steps=1, probe="never", method=presets.proven(), subscribers=())
        found = optimizer.preflight(Chain(), TRAIN, VAL[:size])
        better: Any = optimizer.compile(Chain(), trainset=TRAIN, valset=VAL[:size])
    assert found.recommendation == "more examples first", found
    assert (found.detectable.even, found.detectable.likely) == (None, None)
    for warnings in (found.warnings, better.detailed_results.warnings):
        assert any(asked in warning for warning in warnings)
    # What was warned of is what happens.
    assert better.detailed_results.score_after == better.detailed_results.score_before


def test_four_examples_that_all_can_be_put_right_are_enough():
    found, _ = flown(careful, val=VAL[:4], method=presets.proven())
    assert found.recommendation == "go"
    assert found.detectable.even is not None and found.detectable.even > 0.4


@pytest.mark.parametrize(("temperature", "cold"), [(0.0, True), (1.0, False)])
def test_the_cache_does_not_hide_the_noise(temperature, cold):
    program = told_to_be_careful()
    lm = {"cache": True, "temperature": temperature}
    found, server = flown(slipping(0.2), program, val=VAL[:20], lm=lm, how={"candidates": 0}, num_threads=1)
    assert found.noise.cold is cold
    assert found.noise.rate > 0.1
    assert found.spent["noise"].calls == 2 * 2 * 20 and not found.spent["noise"].cached
    assert found.total.calls == server.requests


def test_a_language_model_of_a_predictor_is_asked_afresh_too_and_stays_as_it_is():
    program: Any = told_to_be_careful()
    with served(slipping(0.2), cache=True) as server:
        program.judge.lm = own = server.lm(cache=True)
        found = SemanticGradientDescent(right, subscribers=()).preflight(program, TRAIN, FEW, candidates=0)
    assert found.spent["noise"].calls == 2 * 2 * len(FEW)
    assert program.judge.lm is own and own.cache


def test_a_program_that_keeps_its_language_model_out_of_reach_is_said_to():
    with served(careful, cache=True) as server:
        hidden = server.lm(cache=True)

        class Hiding(Chain):
            def forward(self, question):
                with dspy.context(lm=hidden):
                    return super().forward(question)

        found = SemanticGradientDescent(right, subscribers=()).preflight(Hiding(), TRAIN, FEW, candidates=0)
    assert any("came from a cache" in warning for warning in found.warnings)


def test_the_rule_based_model_flips_when_it_is_warm():
    with SimulatedModel(noise=0.2).serve() as server, dspy.context(lm=server.lm(temperature=1.0)):
        examples = [
            dspy.Example(question=f"Work out: ({n} + 2 * 3 - 1) =", answer=str(n + 5)).with_inputs("question")
            for n in range(30)
        ]
        told = "Respect operator precedence. Answer with only the bare number, in digits."
        program = dspy.Predict(signature("question -> answer", told))
        found = SemanticGradientDescent(right, subscribers=()).preflight(program, examples, candidates=0, repeats=4)
    assert found.noise.runs == 4 and found.noise.rate > 0.1 and found.noise.deviation > 0


def test_without_a_valset_the_candidate_is_not_judged_on_what_it_was_made_from():
    found, _ = flown(careful, train=questions(30), val=None)
    assert found.recommendation == "go" and not found.warnings
    small, _ = flown(careful, train=questions(8), val=None)
    assert any("made from" in warning for warning in small.warnings)


def test_cheap_candidates_respect_what_every_edit_must():
    def quoting(prompt):
        answers = careful(prompt)
        if "new_instruction" in answers:
            answers["new_instruction"] += f"\n{VAL[3].question} The answer is: {VAL[3].answer}."
        return answers

    asked: list[str] = []

    def rule(prompt):
        asked.append(prompt.instruction)
        return quoting(prompt)

    found, _ = flown(rule, val=FEW)
    assert found.recommendation == "go"
    assert not any(VAL[3].question in instruction for instruction in asked)


def test_the_program_is_not_changed():
    program = Chain()
    before = program.dump_state()
    flown(careful, program, val=FEW)
    assert program.dump_state() == before


def test_it_works_where_an_event_loop_runs():
    async def both():
        optimizer = SemanticGradientDescent(right, subscribers=())
        return optimizer.preflight(Chain(), TRAIN, FEW), await optimizer.apreflight(Chain(), TRAIN, FEW)

    with served(careful):
        one, other = asyncio.run(both())
    assert one.recommendation == other.recommendation == "go"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"repeats": 1}, "repeats"),
        ({"repeats": 2.5}, "repeats"),
        ({"candidates": 4}, "candidates"),
        ({"candidates": -1}, "candidates"),
        ({"sample": 0}, "sample"),
        ({"perfect": "best"}, "perfect"),
        ({"perfect": float("nan")}, "perfect"),
    ],
)
def test_bad_arguments_are_refused_before_money_is_spent(how, message):
    with served(careful) as server, pytest.raises(SetupError, match=message):
        SemanticGradientDescent(right, subscribers=()).preflight(Chain(), TRAIN, VAL, **how)
    assert server.requests == 0


@pytest.mark.parametrize(("train", "val", "message"), [([], VAL, "trainset is empty"), (TRAIN, [], "valset is empty")])
def test_bad_sets_are_refused_before_money_is_spent(train, val, message):
    with served(careful) as server, pytest.raises(SetupError, match=message):
        SemanticGradientDescent(right, subscribers=()).preflight(Chain(), train, val)
    assert server.requests == 0


def test_a_budget_holds_and_what_was_found_within_it_is_told():
    runs = 2 * 2 * len(FEW)
    with pytest.raises(OutOfBudget):
        flown(careful, val=FEW, budget=Budget(calls=runs - 5))
    found, server = flown(careful, val=FEW, budget=Budget(calls=runs + 10))
    assert server.requests <= runs + 10
    assert found.noise.runs == 2
    assert any("run 2 times and not 3" in warning for warning in found.warnings)
    assert any("not all candidates" in warning for warning in found.warnings)
    assert found.attempts[0].result is None
    assert found.recommendation == "larger budget first" and "more calls would do" in found.reason
    said = " ".join(str(found).split())
    assert "was not measured" in said and "A run makes as many steps as its budget lasts for" in said


def test_half_of_a_budget_is_for_the_candidates():
    found, _ = flown(careful, val=FEW, budget=Budget(calls=2 * 2 * len(FEW) + 80))
    assert found.noise.runs == 3 and found.attempts[0].result is not None
    found, _ = flown(careful, val=FEW, budget=Budget(calls=2 * 2 * len(FEW) + 60))
    assert found.noise.runs == 2 and found.attempts[0].result is not None and found.recommendation == "go"


def test_one_candidate_that_does_not_help_is_no_verdict_where_the_budget_left_out_the_others():
    found, _ = flown(unteachable, val=FEW, budget=Budget(calls=2 * 2 * len(FEW) + 60))
    assert found.recommendation == "larger budget first", found
    assert "1 cheap candidate did not help" in found.reason


def test_failures_of_the_provider_are_missing_and_no_noise():
    found, server = flown(careful, told_to_be_careful(), faults=Faults(server_error=0.03), lm={"num_retries": 0})
    assert found.missing > 0 and found.noise.rate == 0.0 and found.score == 1.0
    assert found.total.calls == server.requests


def test_a_provider_that_is_down_a_bad_key_and_a_broken_program_are_errors():
    class Broken(Chain):
        def forward(self, question):
            raise KeyError("no such thing")

    with pytest.raises(TooManyFailures):
        flown(careful, faults=Faults(server_error=1.0), lm={"num_retries": 0})
    with pytest.raises(ModelError):
        flown(careful, faults=Faults(auth=1.0))
    with pytest.raises(ProgramError, match="KeyError"):
        flown(careful, Broken())


def test_the_cost_is_that_of_the_program_as_it_is():
    class Twice(Chain):
        def forward(self, question):
            super().forward(question)
            return super().forward(question)

    once, _ = flown(careful, val=FEW, how={"candidates": 0})
    twice, _ = flown(careful, Twice(), val=FEW, how={"candidates": 0})
    executions = once.projection.executions
    asked = [one.projection.calls - one.projection.own for one in (once, twice)]
    # Each of the three is rounded up on its own.
    assert asked[1] - asked[0] == pytest.approx(2 * executions, abs=2)
    assert once.projection.tokens is not None and once.projection.seconds is not None
