"""Semantic gradients inside dspy.GEPA: which examples, which model, which prompts, and what happens on failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import Budget, SemanticProposer, SetupError
from dspy_semantic_backprop.testing import Faults
from tests.optimizer.test_compile import Fan, look_up, react
from tests.scripted import careful, questions, served

pytest.importorskip("gepa", reason="dspy.GEPA needs gepa, which DSPy installs below Python 3.15")


class Three(dspy.Module):
    """The last two predictors never read the question."""

    def __init__(self):
        super().__init__()
        self.plan = dspy.Predict("question -> plan")
        self.draft = dspy.Predict("plan -> draft")
        self.judge = dspy.Predict("draft -> answer")

    def forward(self, question):
        return self.judge(draft=self.draft(plan=self.plan(question=question).plan).draft)


def carrying(prompt):
    """As `careful`, but each step adds its own word to what it read, so that each step earns its part of the score."""
    told = "careful" if "careful" in prompt.instruction.lower() else "sloppy"
    read = " ".join(prompt.inputs.get(name, "") for name in ("question", "plan", "draft"))
    steps = [name for name in prompt.names if name in ("plan", "draft", "answer")]
    return {name: f"{told} {name} after {read}" for name in steps} if steps else careful(prompt)


def share(gold, pred, trace=None, pred_name=None, pred_trace=None):
    score = pred.answer.count("careful") / 3
    return dspy.Prediction(score=score, feedback=f"{score:.0%} is careful; careful is expected for {gold.question!r}")


def whole(gold, pred, trace=None, pred_name=None, pred_trace=None):
    score = float(pred.answer == gold.answer)
    return dspy.Prediction(score=score, feedback=f"expected {gold.answer!r}")


def searched(program: Any, proposer: SemanticProposer, metric: Any, trainset: Any, **how: Any) -> Any:
    how = {"max_metric_calls": 60, "num_threads": 4, "use_merge": False, **how}
    gepa = dspy.GEPA(metric=metric, instruction_proposer=proposer, **how)
    return gepa.compile(program, trainset=trainset, valset=trainset[:3])


def instructions(program: Any) -> dict[str, str]:
    return {name: predictor.signature.instructions for name, predictor in program.named_predictors()}


def asked(server: Any, field: str) -> list[str]:
    """The prompts that had an input of that name."""
    texts = [record.messages[-1]["content"] for record in server.log]
    return [text for text in texts if f"[[ ## {field} ## ]]" in text]


# Each setting beside each setting of another one.
@pytest.mark.parametrize(
    ("selector", "own", "cache"),
    [("all", True, True), ("all", False, False), ("round_robin", True, False), ("round_robin", False, True)],
)
def test_gepa_improves_every_predictor_from_semantic_gradients(selector, own, cache):
    trainset = questions(6)
    with served(carrying, cache=cache) as server:
        proposer = SemanticProposer(Three(), share, trainset, probe="never")
        metric = proposer.metric if own else share
        better = searched(Three(), proposer, metric, trainset, component_selector=selector)
        assert asked(server, "wanted_change")
        assert all("careful" in predictor.signature.instructions for predictor in better.predictors())
        forward = proposer.spent["forward"]
    # GEPA has just run the very same candidates on the very same examples; drawn examples may be others.
    assert not (cache and own) or (forward.calls == 0 and forward.cached > 0)


def test_records_are_traced_to_their_examples_by_the_proposers_metric():
    trainset = questions(6)
    with served(carrying) as server:
        proposer = SemanticProposer(Three(), share, trainset)
        only: Any = lambda *_: ["judge"]  # noqa: E731
        searched(Three(), proposer, proposer.metric, trainset, max_metric_calls=12, component_selector=only)
        (prompt,) = asked(server, "current_instruction")[:1]
    shown = {example.question for example in trainset if example.question in prompt}
    assert len(shown) == 3
    assert "What follows" in prompt
    assert not proposer.out_of_budget()


def test_a_plain_metric_and_no_inputs_in_the_records_draws_examples_and_says_so(caplog):
    trainset = questions(6)
    with served(carrying) as server, caplog.at_level(logging.WARNING, logger="dspy_semantic_backprop"):
        proposer = SemanticProposer(Three(), share, trainset)
        row = {"Inputs": {"draft": "unheard of"}, "Generated Outputs": {"answer": "none"}, "Feedback": "too short"}
        proposed = proposer(instructions(Three()), {"judge": [row, row]}, ["judge"])
        (prompt,) = asked(server, "current_instruction")
    assert "metric=proposer.metric" in caplog.text
    assert "careful" in proposed["judge"] and list(proposed) == ["judge"]
    assert prompt.count("Lesson ") == 4 and prompt.count("too short") == 2


@pytest.mark.parametrize("broken", ["metric", "provider"])
def test_what_cannot_be_run_again_teaches_what_the_record_shows(broken):
    trainset = questions(3)
    row = {"Inputs": {"question": trainset[0].question}, "Generated Outputs": {"plan": "p"}, "Feedback": "be careful"}
    program: Any = Three()
    metric = (lambda example, prediction: 1 / 0) if broken == "metric" else share
    down = Faults(server_error=1.0 if broken == "provider" else 0.0)
    with served(carrying, faults=down) as running, served(carrying) as server:
        program.set_lm(running.lm(cache=False, num_retries=0))
        proposer = SemanticProposer(program, metric, trainset)
        proposed = proposer(instructions(program), {"plan": [row]}, ["plan"])
        (prompt,) = asked(server, "current_instruction")
        assert not asked(server, "wanted_change")
    assert "careful" in proposed["plan"]
    assert trainset[0].question in prompt and "feedback on the execution" in prompt


def test_examples_that_the_provider_leaves_out_do_not_end_the_update():
    trainset = questions(20)
    rows = [
        {"Inputs": {"question": example.question}, "Generated Outputs": {"plan": "p"}, "Feedback": "be careful"}
        for example in trainset
    ]
    program: Any = Three()
    with served(carrying, faults=Faults(server_error=0.15)) as running, served(carrying) as server:
        program.set_lm(running.lm(cache=False, num_retries=0))
        assert SemanticProposer(program, share, trainset)(instructions(program), {"plan": rows}, ["plan"])
        (prompt,) = asked(server, "current_instruction")
        assert asked(server, "wanted_change")
    assert "feedback on the execution" in prompt


@pytest.mark.parametrize("fault", ["server_error", "auth", "malformed"])
def test_a_gradient_model_that_fails_does_not_end_gepas_run(fault):
    trainset = questions(4)
    with served(careful, faults=replace(Faults(), **{fault: 1.0})) as broken, served(carrying):
        gradient_lm = broken.lm(cache=False, num_retries=0)
        proposer = SemanticProposer(Three(), share, trainset, gradient_lm=gradient_lm, probe="never")
        same = searched(Three(), proposer, proposer.metric, trainset, max_metric_calls=20)
    assert broken.requests > 0
    assert not any("careful" in predictor.signature.instructions for predictor in same.predictors())


def test_the_program_runs_on_its_own_model_and_the_questions_go_to_the_reflection_model():
    trainset = questions(4)
    with served(carrying) as reflecting, served(carrying) as running:
        proposer = SemanticProposer(Three(), share, trainset)
        searched(Three(), proposer, proposer.metric, trainset, reflection_lm=reflecting.lm(cache=False))
    assert asked(reflecting, "wanted_change") and asked(reflecting, "current_instruction")
    assert not asked(running, "wanted_change") and not asked(running, "current_instruction")
    assert len(asked(reflecting, "wanted_change") + asked(reflecting, "current_instruction")) == reflecting.requests


def test_a_budget_is_never_exceeded_and_ends_gepas_run():
    trainset = questions(6)
    with served(carrying):
        proposer = SemanticProposer(Three(), share, trainset, budget=Budget(calls=15), probe="never")
        stop = {"stop_callbacks": [proposer.out_of_budget]}
        better = searched(Three(), proposer, proposer.metric, trainset, max_metric_calls=1000, gepa_kwargs=stop)
    assert isinstance(better, Three)
    assert proposer.out_of_budget()
    assert sum(spent.calls for spent in proposer.spent.values()) <= 15


def test_the_tools_of_react_stay_in_its_instruction():
    program = react("question -> answer", tools=[look_up])
    trainset = questions(4)
    with served(careful):
        proposer = SemanticProposer(program, whole, trainset)
        better = searched(program, proposer, proposer.metric, trainset, component_selector="all")
    texts = instructions(better)
    assert all("careful" in text for text in texts.values())
    assert "look_up" in texts["react"] and texts["react"].count("look_up") == texts["react"].count("Look something up")


def test_siblings_are_told_their_own_gradients_where_gepas_records_mix_them():
    trainset = questions(4)

    def rule(prompt):
        answers = careful(prompt)
        if "hint" in prompt.names:
            which = "second" if "SECOND" in prompt.instruction else "first"
            answers["hint"] = f"sloppy hint of the {which}"
        return answers | {
            name: f"it is {prompt.inputs[name.replace('change_', 'output_')]}"
            for name in prompt.names
            if name.startswith("change_") and name.replace("change_", "output_") in prompt.inputs
        }

    program: Any = Fan()
    program.second.signature = program.second.signature.with_instructions("SECOND: give a hint.")
    with served(rule) as server:
        proposer = SemanticProposer(program, whole, trainset)
        searched(program, proposer, proposer.metric, trainset, component_selector="all", max_metric_calls=12)
        prompts = asked(server, "current_instruction")
    for name, other in (("first", "second"), ("second", "first")):
        (told,) = [text for text in prompts if f"\n{name}: reads" in text][:1]
        assert f"hint of the {name}" in told and f"hint of the {other}" not in told


def test_a_metric_of_two_arguments_works_for_gepa_too():
    trainset = questions(4)
    with served(careful):
        proposer = SemanticProposer(Fan(), lambda example, prediction: prediction.answer == example.answer, trainset)
        better = searched(Fan(), proposer, proposer.metric, trainset, component_selector="all")
    assert all("careful" in predictor.signature.instructions for predictor in better.predictors())


def test_gepa_runs_in_a_notebook_too():
    trainset = questions(4)

    async def cell():
        return searched(Three(), proposer, proposer.metric, trainset, component_selector="all")

    with served(carrying):
        proposer = SemanticProposer(Three(), share, trainset)
        better = asyncio.run(cell())
    assert all("careful" in text for text in instructions(better).values())


def test_an_instruction_that_does_not_end_is_not_handed_to_gepa():
    def endless(prompt):
        return {"new_instruction": "careful " * 5000} if "new_instruction" in prompt.names else carrying(prompt)

    trainset = questions(2)
    row = {"Inputs": {"question": trainset[0].question}, "Generated Outputs": {"plan": "p"}, "Feedback": "be careful"}
    with served(endless):
        assert SemanticProposer(Three(), share, trainset)(instructions(Three()), {"plan": [row]}, ["plan"]) == {}


def test_without_a_model_for_gradients_the_way_out_is_named():
    program: Any = Three()
    with served(carrying) as server:
        program.set_lm(server.lm(cache=False))
        with dspy.context(lm=None):
            proposer = SemanticProposer(program, share, questions(2))
            with pytest.raises(SetupError, match="gradient_lm="):
                proposer(instructions(program), {"plan": []}, ["plan"])


def test_another_program_is_refused_by_name():
    with served(careful):
        proposer = SemanticProposer(Three(), share, questions(2))
        with pytest.raises(SetupError, match=r"'first'.*plan, draft, judge"):
            proposer({"first": "x"}, {}, ["first"])
        with pytest.raises(SetupError, match="trainset is empty"):
            SemanticProposer(Three(), share, [])


class Once(dspy.Module):
    """One call that reads one input, of however many an example has."""

    def __init__(self):
        super().__init__()
        self.step = dspy.Predict("text -> hint")

    def forward(self, text, other=""):
        return self.step(text=text)


def learned_from(
    examples: list[dspy.Example], seen: list[tuple[int, str, str]], rows: list[dict[str, Any]]
) -> list[int]:
    """The positions of the examples that an update runs, once GEPA's metric was called with some calls of them."""

    def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> float:
        run.append(gold)
        return 0.0

    run: list[dspy.Example] = []
    program: Any = Once()
    proposer = SemanticProposer(program, metric, examples, num_threads=1)
    for at, read, wrote in seen:
        called = (program.step, {"text": read}, dspy.Prediction(hint=wrote))
        proposer.metric(examples[at], dspy.Prediction(hint=wrote), None, "step", [called])
    run.clear()
    proposer(instructions(program), {"step": rows}, ["step"])
    return sorted({at for at, one in enumerate(examples) for other in run if one == other})


texts = st.text("ab 漢", max_size=2)


@settings(max_examples=10)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_every_record_is_traced_to_the_example_that_gepas_metric_was_called_with(calls):
    examples = [dspy.Example(text=f"number {at}").with_inputs("text") for at in range(len(calls))]
    seen = [(at, *call) for at, call in enumerate(calls)]
    rows = [{"Inputs": {"text": read}, "Generated Outputs": {"hint": wrote}, "Feedback": ""} for read, wrote in calls]
    with served(carrying):
        assert learned_from(examples, seen, rows) == list(range(len(calls)))
        assert learned_from(examples, seen, rows[:1]) == [calls.index(calls[0])]


@settings(max_examples=10)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), texts)
def test_without_a_sighting_only_an_example_that_stands_out_is_found(inputs, read):
    examples = [dspy.Example(text=one, other=two).with_inputs("text", "other") for one, two in inputs]
    row = {"Inputs": {"text": read}, "Generated Outputs": {"hint": "none"}, "Feedback": "wrong"}
    alike = {frozenset(pair) for pair in inputs if read in pair}
    with served(carrying), capture() as warned:
        found = learned_from(examples, [], [row])
    drawn = any("metric=proposer.metric" in message for message in warned)
    assert drawn == (len(alike) != 1)
    assert drawn or {frozenset(inputs[at]) for at in found} == alike


@contextmanager
def capture() -> Iterator[list[str]]:
    """The warnings of the package's log."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("dspy_semantic_backprop")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize(("perfect", "taught"), [(None, True), (-5.0, False)])
def test_losses_are_learned_from_until_somebody_says_what_is_perfect(perfect, taught):
    trainset = questions(3)
    rows = [{"Inputs": {"question": one.question}, "Generated Outputs": {}, "Feedback": "bad"} for one in trainset]

    def loss(example, prediction, trace=None):
        return dspy.Prediction(score=-3.0, feedback="careful is expected")

    with served(carrying) as server:
        proposer = SemanticProposer(Three(), loss, trainset, perfect=perfect, probe="never")
        proposed = proposer(instructions(Three()), {"plan": rows}, ["plan"])
        assert bool(asked(server, "wanted_change")) == taught == bool(proposed)
