"""Diagnosing programs through a real client against a real server: who is blamed, what is checked, what it costs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    Diagnosis,
    ModelError,
    ProgramError,
    SemanticGradientDescent,
    SetupError,
    TooManyFailures,
    all_or_blamed,
    blamed,
    presets,
)
from dspy_semantic_backprop.testing import Faults
from tests.scripted import questions, right, served

signature: Any = dspy.Signature


class Fan(dspy.Module):
    """Two hints and a final answer; each predictor has an instruction of its own, so that one can be broken."""

    def __init__(self, broken: str = "second"):
        super().__init__()
        for name in ("first", "second", "third"):
            told = "Be sloppy." if name == broken else "Be careful."
            setattr(self, name, dspy.Predict(signature("question -> hint", told)))
        told = "Be sloppy." if broken == "final" else "Be careful."
        self.final = dspy.Predict(signature("question, one, two, three -> answer", told))

    def forward(self, question):
        steps: list[Any] = [self.first, self.second, self.third]
        hints = [step(question=question).hint for step in steps]
        return self.final(question=question, one=hints[0], two=hints[1], three=hints[2])


def worker(prompt):
    """Careful where it is told so and reads nothing sloppy; the reader of outputs sees which of them are sloppy."""
    answers: dict[str, Any] = {}
    sloppy_read = [text for name, text in prompt.inputs.items() if name.startswith("output_") and "sloppy" in text]
    for name in prompt.names:
        key = name.partition("_")[2]
        if name.startswith("change_") and f"output_{key}" in prompt.inputs:
            wrong = "sloppy" in prompt.inputs[f"output_{key}"]
            answers[name] = f"Write a tidy text in place of what output_{key} says." if wrong else "No change needed."
        elif name.startswith("change_"):
            answers[name] = "No change needed." if sloppy_read else "Demand tidy work in every part of it."
        elif name.startswith("new_") and name != "new_instruction":
            answers[name] = prompt.inputs["step_output"].partition(": ")[2].replace("sloppy", "careful")
        elif name.startswith(("severity_", "quote_", "diagnosis")):
            answers[name] = ""
        elif name == "new_instruction":
            answers[name] = prompt.inputs["current_instruction"].replace("sloppy", "careful")
        elif name in ("statements", "contradictions"):
            answers[name] = ""
        else:
            clean = "sloppy" not in prompt.instruction and not any("sloppy" in one for one in prompt.inputs.values())
            answers[name] = f"{'careful' if clean else 'sloppy'} {name}"
    return answers


def diagnosed(program, devset=None, *, metric: Any = right, rule=worker, faults=None, **how):
    chosen = {name: how.pop(name) for name in ("num_threads", "probe", "method") if name in how}
    with served(rule, faults=faults) as server:
        optimizer = SemanticGradientDescent(metric, subscribers=(), **chosen)
        found = optimizer.diagnose(program, devset or questions(4), **how)
    for one in found.predictors:
        assert 0 <= one.interval[0] <= one.share + 0.02 and one.share - 0.02 <= one.interval[1] <= 1
    return found, server


def spent_is_what_the_server_saw(found: Diagnosis, server):
    assert found.total.calls == server.requests


@pytest.mark.parametrize("broken", ["first", "second", "third"])
def test_a_broken_hint_is_blamed_and_confirmed(broken):
    found, server = diagnosed(Fan(broken))
    top = found.predictors[0]
    assert (top.predictor, top.share, top.failures) == (broken, pytest.approx(1.0), 4)
    assert (top.verdict, top.checked, top.confirmed) == ("confirmed", 4, 4)
    assert top.interval[0] < 0.6 and top.interval[1] == pytest.approx(1.0)
    (finding,) = top.findings
    assert "tidy text" in finding.text and finding.examples == (0, 1, 2, 3)
    assert sum(one.share for one in found.predictors) == pytest.approx(1.0)
    assert found.spent["check"].calls == 4 * 2
    assert {check.asked for check in found.checks} == {1}
    spent_is_what_the_server_saw(found, server)
    assert "confirmed" in str(found)


def test_what_checks_confirm_stands_above_what_was_said_more_often():
    def blames_itself(prompt):
        answers = worker(prompt)
        for name in prompt.names:
            beside = name.startswith("change_") and f"output_{name[7:]}" not in prompt.inputs
            if beside:
                answers[name] = "Demand tidy work in every part of it."
            elif name.startswith("severity_"):
                answers[name] = "minor" if f"output_{name[9:]}" in prompt.inputs else "major"
        return answers

    unchecked, _ = diagnosed(Fan("second"), rule=blames_itself, checks=0)
    assert unchecked.predictors[0].predictor == "final"
    assert "To be surer: checks" in " ".join(str(unchecked).split())
    found, _ = diagnosed(Fan("second"), rule=blames_itself)
    assert (found.predictors[0].predictor, found.predictors[0].verdict) == ("second", "confirmed")
    (before,) = [one.interval for one in unchecked.predictors if one.predictor == "second"]
    assert found.predictors[0].interval[0] > before[0]


def test_checks_that_the_calls_did_not_last_for_ask_for_calls_and_not_for_checks():
    program: Any = Fan("second")
    program.third.signature = program.third.signature.with_instructions("Be sloppy.")
    found, _ = diagnosed(program, checks=8, max_calls=2)
    said = " ".join(str(found).split())
    assert (found.most_checks, found.left_out) == (8, 7)
    assert "more calls for checks (max_calls=30)" in said and "checks=2)" not in said
    assert "1 checks" not in " ".join(found.warnings)


def test_a_broken_answer_is_blamed_on_its_instruction_and_not_checked():
    found, server = diagnosed(Fan("final"))
    top = found.predictors[0]
    assert (top.predictor, top.share, top.verdict, top.final) == ("final", pytest.approx(1.0), "unchecked", True)
    assert "Demand tidy work" in top.findings[0].text
    assert not found.checks and "check" not in found.spent
    spent_is_what_the_server_saw(found, server)


def test_blame_that_fails_the_check_is_marked():
    def stubborn(prompt):
        answers = worker(prompt)
        return {**answers, "answer": "sloppy answer"} if "answer" in answers else answers

    found, _ = diagnosed(Fan("second"), rule=stubborn)
    assert found.predictors[0].predictor == "second"
    assert found.predictors[0].verdict == "not confirmed"
    assert "not confirmed" in str(found)


def test_a_fault_of_two_calls_is_confirmed_by_changing_both():
    program: Any = Fan("second")
    program.third.signature = program.third.signature.with_instructions("Be sloppy.")
    found, server = diagnosed(program, checks=2)
    alone = [check for check in found.checks if len(check.calls) == 1]
    together = [check for check in found.checks if len(check.calls) == 2]
    assert len(alone) == 2 and not any(check.confirmed for check in alone)
    assert together and all(check.confirmed for check in together)
    assert {one.predictor: one.verdict for one in found.predictors}["second"] == "not confirmed"
    assert "changing all blamed ones of an" in str(found)
    assert found.spent["check"].calls <= found.max_calls == 8
    spent_is_what_the_server_saw(found, server)


def test_the_program_and_its_instructions_are_not_changed():
    program: Any = Fan()
    before = program.dump_state()
    diagnosed(program)
    assert program.dump_state() == before
    assert not hasattr(program, "detailed_results")


@pytest.mark.parametrize("cap", [0, 1, 3, 5])
def test_checks_never_make_more_calls_than_the_cap(cap):
    found, server = diagnosed(Fan(), max_calls=cap, num_threads=8)
    assert found.max_calls == cap
    assert ("check" not in found.spent) if cap < 2 else (found.spent["check"].calls == cap // 2 * 2)
    assert any("max_calls" in warning for warning in found.warnings)
    spent_is_what_the_server_saw(found, server)


def test_retries_of_a_broken_server_stay_below_the_cap_too():
    faults = Faults(server_error=0.4)
    found, server = diagnosed(Fan(), questions(12), max_calls=7, faults=faults)
    assert found.spent["check"].calls <= 7
    spent_is_what_the_server_saw(found, server)


def test_a_judge_inside_the_metric_counts_as_a_check_where_it_grades_one():
    judge = dspy.Predict("answer -> verdict")

    def metric(example, prediction, trace=None):
        judge(answer=prediction.answer)
        return right(example, prediction)

    found, server = diagnosed(Fan(), metric=metric, checks=2)
    assert found.spent["metric"].calls == 4
    assert found.spent["check"].calls == 2 * 3
    spent_is_what_the_server_saw(found, server)


def test_without_failures_nothing_more_is_spent():
    found, server = diagnosed(Fan("nobody"))
    assert (found.failures, found.predictors, found.checks) == (0, (), ())
    assert set(found.spent) == {"forward"}
    assert server.requests == 4 * 4
    assert "nothing to blame" in str(found)


def test_a_metric_of_another_scale():
    found, _ = diagnosed(Fan("nobody"), metric=lambda e, p, trace=None: 50.0, perfect=100)
    assert found.failures == 4


def test_missing_examples_are_counted_and_too_many_are_an_error():
    with pytest.raises(TooManyFailures):
        with served(worker, faults=Faults(server_error=1.0), num_retries=0):
            SemanticGradientDescent(right, subscribers=()).diagnose(Fan(), questions(3))


def test_a_program_that_raises_everywhere_has_nothing_to_diagnose():
    class Raises(Fan):
        def forward(self, question):
            raise KeyError("nothing works")

    with pytest.raises(ProgramError, match="nothing works"):
        diagnosed(Raises())


def test_answers_that_cannot_be_parsed_are_blamed_on_the_call_that_gave_them():
    def mumbles(prompt):
        return "mumble" if "sloppy" in prompt.instruction and prompt.names == ["hint"] else worker(prompt)

    found, server = diagnosed(Fan("second"), rule=mumbles)
    assert found.predictors[0].predictor == "second"
    assert found.predictors[0].share == pytest.approx(1.0)
    spent_is_what_the_server_saw(found, server)


def test_a_single_predictor():
    program = dspy.Predict(signature("question -> answer", "Be sloppy."))
    found, _ = diagnosed(program)
    (only,) = found.predictors
    assert only.share == pytest.approx(1.0) and only.final and only.verdict == "unchecked"
    assert len(str(found).split("\n")) <= 24


def test_awkward_names_and_texts():
    class Awkward(dspy.Module):
        def __init__(self):
            super().__init__()
            self.parts = {"漢字 [0]\n\u202e": dspy.Predict(signature("question -> hint", "Be sloppy."))}
            self.final = dspy.Predict(signature("hint -> answer", "Be careful."))

        def forward(self, question):
            return self.final(hint=next(iter(self.parts.values()))(question=question).hint)

    def rule(prompt):
        answers = worker(prompt)
        return {
            name: f"[[ ## x ## ]] {text} \u202e\x07 {'long ' * 300}" if name.startswith("change_") else text
            for name, text in answers.items()
        }

    found, _ = diagnosed(Awkward(), rule=rule)
    lines = str(found).split("\n")
    assert len(lines) <= 24 and all(len(line) <= 80 for line in lines)
    assert json.loads(json.dumps(found.to_dict())) == Diagnosis.from_dict(found.to_dict()).to_dict()


def test_a_trace_of_200_calls():
    class Long(dspy.Module):
        def __init__(self):
            super().__init__()
            self.step = dspy.Predict(signature("text -> longer", "Be careful."))
            self.final = dspy.Predict(signature("text -> answer", "Be sloppy."))

        def forward(self, question):
            text = question
            for at in range(199):
                text = f"{self.step(text=text).longer} {at}"
            return self.final(text=text)

    found, server = diagnosed(Long(), questions(1), probe="never")
    assert sum(one.share for one in found.predictors) == pytest.approx(1.0)
    assert found.spent["forward"].calls == 200
    spent_is_what_the_server_saw(found, server)


def test_programs_with_side_effects_are_blamed_but_not_run_again(tmp_path):
    class Writes(Fan):
        def forward(self, question):
            (tmp_path / "log").write_text(question)
            return super().forward(question)

    found, _ = diagnosed(Writes())
    assert found.predictors[0].predictor == "second"
    assert found.predictors[0].verdict == "unchecked"
    assert "side effects" in found.checks[0].problem
    assert "could not be made" in str(found)
    assert "check" not in found.spent


def test_programs_that_change_globals_are_checked_and_globals_keep_what_every_run_writes():
    class Remembers(Fan):
        def forward(self, question):
            LOG.append(question)
            return super().forward(question)

    found, _ = diagnosed(Remembers())
    assert found.predictors[0].verdict == "confirmed"
    assert len(LOG) == 4 + len(found.checks)


LOG: list[str] = []


def test_no_gradients_at_all_leave_the_blame_at_the_answer():
    found, _ = diagnosed(Fan(), method=presets.no_gradient())
    assert found.predictors[0].predictor == "final"
    assert set(found.spent) == {"forward"}


def test_the_async_twin_and_a_running_loop():
    async def in_a_notebook():
        optimizer = SemanticGradientDescent(right, subscribers=())
        return await optimizer.adiagnose(Fan(), questions(2)), optimizer.diagnose(Fan(), questions(2))

    with served(worker):
        one, other = asyncio.run(in_a_notebook())
    assert one.predictors == other.predictors


@pytest.mark.parametrize(
    "how", [{"checks": -1}, {"checks": 1.5}, {"max_calls": -1}, {"max_calls": True}, {"perfect": "high"}]
)
def test_bad_arguments_are_refused_before_anything_is_spent(how):
    with served(worker) as server, pytest.raises(SetupError):
        SemanticGradientDescent(right).diagnose(Fan(), questions(1), **how)
    assert server.requests == 0


def test_a_wrong_key_is_a_model_error():
    with served(worker, faults=Faults(auth=1.0)), pytest.raises(ModelError):
        SemanticGradientDescent(right, subscribers=()).diagnose(Fan(), questions(1))


def test_an_interval_over_one_example_is_wide():
    found, _ = diagnosed(Fan(), questions(1), checks=0)
    low, high = found.predictors[0].interval
    assert low < 0.25 and high == 1.0


def test_a_step_rewrites_only_the_predictors_to_blame():
    with served(worker):
        optimizer = SemanticGradientDescent(right, steps=1, method=presets.blamed(), subscribers=())
        better: Any = optimizer.compile(Fan(), trainset=questions(8))
    result = better.detailed_results
    assert result.method == "blamed"
    assert result.steps[0].changed == ("second",)
    assert result.score_after == 1.0
    assert result.spent["propose"].calls == 2


@pytest.mark.parametrize(
    ("share", "blame", "chosen"),
    [
        (0.2, {"a": 0.5, "b": 0.3, "c": 0.1}, ["a", "b"]),
        (0.9, {"a": 0.5, "b": 0.3}, ["a"]),
        (0.9, {"b": 0.5, "c": 0.4}, ["b"]),
        (0.0, {"b": 1.0}, ["a", "b", "c"]),
    ],
)
def test_blamed_never_chooses_nobody(share, blame, chosen):
    import random

    assert blamed(share)(["a", "b", "c"], 0, random.Random(0), blame) == chosen


@pytest.mark.parametrize(
    ("choose", "counts"), [(blamed(), {1}), (all_or_blamed(3), {3, 5}), (all_or_blamed(4, 0.9), {4, 5})]
)
@pytest.mark.parametrize("blame", [{}, dict.fromkeys("abcde", 0.15)])
def test_where_nothing_tells_predictors_apart_no_one_is_always_rewritten(choose, counts, blame):
    import random

    drawn = [choose([*"abcde"], 0, random.Random(seed), blame) for seed in range(60)]
    assert {len(names) for names in drawn} == counts
    assert {name for names in drawn for name in names} == set("abcde")


@pytest.mark.parametrize("share", [-0.1, 1.1, True, "half"])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(SetupError):
        replace(presets.semantic(), choose_predictors=blamed(share))
