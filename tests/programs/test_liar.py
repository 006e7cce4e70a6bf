"""The LIAR program: who reads what, and what goes wrong."""

import asyncio
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM

from dspy_semantic_backprop.programs import LiarProgram

INPUTS = {
    "statement": "The moon is made of cheese.",
    "job_title": "Senator",
    "state": "Ohio",
    "party": "independent",
    "source": "a dinner speech",
}
HINTS = ["hint_statement", "hint_job_title", "hint_state", "hint_party", "hint_source"]


def judge(program, how, trace=None):
    lm = DummyLM([{"hint": f"Hint number {i}.", "answer": "yes"} for i in range(6)])
    with dspy.context(lm=lm, trace=[] if trace is None else trace):
        return program(**INPUTS) if how == "sync" else asyncio.run(program.acall(**INPUTS))


def test_names():
    assert [name for name, _ in LiarProgram().named_predictors()] == [*HINTS, "final"]


@pytest.mark.parametrize("narrow", [False, True], ids=["whole", "narrow"])
@pytest.mark.parametrize("how", ["sync", "async"])
def test_every_node_reads_the_whole_context_and_in_the_narrow_variant_its_own_attribute(how, narrow):
    program, trace = LiarProgram(narrow=narrow), []
    prediction = judge(program, how, trace)
    assert prediction.answer == "yes" and prediction is trace[-1][2]
    by_node = {id(node): (inputs, output) for node, inputs, output in trace}
    assert len(by_node) == len(trace) == 6
    for name in HINTS:
        inputs, _ = by_node[id(getattr(program, name))]
        attribute = name.removeprefix("hint_")
        own = {"statement": INPUTS["statement"], attribute: INPUTS[attribute]}
        assert inputs == (own if narrow else INPUTS)
    final_inputs, _ = by_node[id(program.final)]
    assert list(final_inputs) == [*(["statement"] if narrow else INPUTS), *HINTS]
    for name in HINTS:
        assert final_inputs[name] is by_node[id(getattr(program, name))][1].hint


@pytest.mark.parametrize("narrow", [False, True], ids=["whole", "narrow"])
def test_instructions_tell_the_nodes_apart(narrow):
    nodes: list[tuple[str, Any]] = LiarProgram(narrow=narrow).named_predictors()
    instructions = {name: node.signature.instructions for name, node in nodes}
    assert len(set(instructions.values())) == 6
    assert instructions["final"] == "Decide whether the statement is a lie."
    assert instructions["hint_party"].startswith("Judging by the speaker's political party," if narrow else "What")


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_failed_hint_raises_its_own_error(how):
    program = LiarProgram()
    program.hint_state.lm = DummyLM([{"nothing": "of use"}, {"nothing": "of use"}])
    with pytest.raises(dspy.utils.exceptions.AdapterParseError):
        judge(program, how)


def test_a_missing_input_is_named():
    with pytest.raises(TypeError, match="party"):
        LiarProgram()(**{name: value for name, value in INPUTS.items() if name != "party"})
