"""The layered program: its graph, its concurrency, its errors."""

import asyncio
import threading
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM
from dspy.utils.callback import BaseCallback

from dspy_semantic_backprop.programs import LayeredProgram

BY_FIELD = [
    {"reasoning": f"reasoning {i}", "statement": f"statement number {i}", "answer": f"answer {i}"} for i in range(40)
]


def signature(node: Any) -> Any:
    return node.signature


class Stop(BaseException):
    """Stands for a spent budget."""


class Calls(BaseCallback):
    """Keeps the inputs of every predictor call; optionally waits for, or breaks, some of them."""

    def __init__(self, barrier=None, raises=None):
        self.inputs, self.barrier, self.raises, self.lock = [], barrier, raises, threading.Lock()

    def on_module_start(self, call_id, instance, inputs):
        if not isinstance(instance, dspy.Predict):
            return
        with self.lock:
            self.inputs.append((instance, inputs["kwargs"]))
        if self.barrier is not None and "statement" in signature(instance).output_fields:
            self.barrier.wait(timeout=5)
        if self.raises is not None and instance is self.raises:
            raise Stop("the budget is spent")


def answers():
    return DummyLM([dict(row) for row in BY_FIELD])


def run(program, how, **context):
    with dspy.context(lm=context.pop("lm", None) or answers(), **context):
        if how == "sync":
            return program(question="What is 6 times 7?")
        return asyncio.run(program.acall(question="What is 6 times 7?"))


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize(
    ("layers", "width", "across", "read"),
    [
        (1, 2, False, [0, 0, 2]),
        (2, 2, False, [0, 0, 2, 2, 2]),
        (3, 2, True, [0, 0, 2, 2, 4, 4, 6]),
        (2, 1, True, [0, 1, 2]),
    ],
)
def test_every_node_reads_the_question_and_the_right_statements(how, layers, width, across, read):
    program = LayeredProgram(layers=layers, width=width, across_layers=across)
    names = [name for name, _ in program.named_predictors()]
    assert names == [f"hidden[{i}]" for i in range(layers * width)] + ["final"]

    trace = []
    prediction = run(program, how, trace=trace)
    assert prediction.answer.startswith("answer") and prediction.reasoning
    by_node = {id(node): (inputs, output) for node, inputs, output in trace}
    nodes = [*program.hidden, program.final]
    assert len(trace) == len(nodes)
    written = [by_node[id(node)][1].statement for node in program.hidden]
    for position, (node, count) in enumerate(zip(nodes, read, strict=True)):
        inputs = by_node[id(node)][0]
        assert inputs["question"] == "What is 6 times 7?"
        end = position // width * width
        assert [inputs[f"statement_{i}"] for i in range(1, count + 1)] == written[end - count : end]
        assert len(inputs) == 1 + count
        assert all(inputs[f"statement_{i}"] is written[end - count + i - 1] for i in range(1, count + 1))


def test_starting_instructions_and_fields():
    program = LayeredProgram(answer_description="A number.")
    assert {signature(node).instructions for node in program.hidden} == {
        "Work out an intermediate step that helps solve the problem."
    }
    assert list(signature(program.hidden[0]).output_fields) == ["reasoning", "statement"]
    assert signature(program.final).instructions == "Solve the problem."
    assert list(signature(program.final).output_fields) == ["reasoning", "answer"]
    assert signature(program.final).output_fields["answer"].json_schema_extra["desc"] == "A number."
    assert program.hidden[0].stage != program.hidden[1].stage


@pytest.mark.parametrize("arguments", [{"layers": 0}, {"width": -1}, {"layers": 1.5}, {"width": True}])
def test_sizes_are_checked(arguments):
    with pytest.raises(ValueError, match=r"is no whole number of at least 1; pass 1, 2"):
        LayeredProgram(**arguments)


def test_nodes_of_a_layer_run_at_the_same_time():
    barrier = threading.Barrier(3)
    run(LayeredProgram(width=3), "sync", callbacks=[Calls(barrier=barrier)])
    assert not barrier.broken


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_failed_node_raises_its_own_error_and_is_not_repeated(how):
    program = LayeredProgram(width=2)
    program.hidden[1].lm = FailingLM()
    calls = Calls()
    with pytest.raises(RuntimeError, match="the model is away"):
        run(program, how, callbacks=[calls])
    assert sorted(id(node) for node, _ in calls.inputs) == sorted(id(node) for node in program.hidden)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_stop_comes_out_even_beside_an_ordinary_error(how):
    program = LayeredProgram(width=2)
    program.hidden[0].lm = FailingLM()
    with pytest.raises(Stop):
        run(program, how, callbacks=[Calls(raises=program.hidden[1])])


class FailingLM(DummyLM):
    def __init__(self):
        super().__init__([])

    def __call__(self, *args, **kwargs):
        raise RuntimeError("the model is away")

    async def acall(self, *args, **kwargs):
        raise RuntimeError("the model is away")


def test_works_inside_a_running_event_loop():
    async def notebook():
        return LayeredProgram()(question="What?")

    with dspy.context(lm=answers()):
        assert asyncio.run(notebook()).answer


def test_survives_copy_save_and_load(tmp_path):
    program = LayeredProgram(layers=2, across_layers=True)
    program.hidden[2].signature = signature(program.hidden[2]).with_instructions("Check the sum.")
    program.save(tmp_path / "program.json")
    loaded = LayeredProgram(layers=2, across_layers=True)
    loaded.load(tmp_path / "program.json")
    assert signature(loaded.hidden[2]).instructions == "Check the sum."
    assert run(loaded.deepcopy(), "sync").answer
    assert signature(loaded.hidden[3]).instructions != "Check the sum."


class Fails(dspy.Module):
    """Stands for a node that fails at once."""

    def forward(self, **inputs):
        raise KeyError("first")

    async def aforward(self, **inputs):
        raise KeyError("first")


class Slow(dspy.Module):
    """Stands for a node that takes its time."""

    def __init__(self):
        super().__init__()
        self.ended = 0

    def forward(self, **inputs):
        threading.Event().wait(0.05)
        self.ended += 1
        return dspy.Prediction(statement="late")

    async def aforward(self, **inputs):
        await asyncio.sleep(0.02)
        self.ended += 1
        return dspy.Prediction(statement="late")


@pytest.mark.parametrize("way", ["sync", "async"])
def test_all_nodes_of_a_layer_have_ended_before_an_error_is_raised(way):
    program: Any = LayeredProgram()
    program.hidden = [Fails(), Slow()]
    with pytest.raises(KeyError, match="first"):
        run(program, way)
    assert program.hidden[1].ended == 1
