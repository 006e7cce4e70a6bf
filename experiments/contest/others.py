"""TextGrad and OptoPrime (OpenTrace) on the same graphs, by small adapters: neither takes a program of DSPy.

A program is run on an example, and what it did is written down as their own graph: instructions are the variables to
optimise, a step's output follows from its instruction and what it read. What ordinary code made of outputs (the
passages that a search finds) follows from all outputs before it; that code chose a step by an output shows in no graph
of theirs. The feedback is the metric's, as for all others.

The loops are those of their papers: steps on batches of train, each kept if the score on val is not lower than before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dspy

from .entry import Entry

BATCH, STEPS = 3, 36
_PURPOSE = "Compares the prediction with the expected answer and says what is wrong with it."


def textgrad(entry: Entry) -> dspy.Module:
    """TextGrad 0.1.8: batches of three, textual gradient descent on all instructions, validation with revert."""
    from textgrad import Variable, sum
    from textgrad.optimizer import TextualGradientDescent

    engine = _engine(entry.proposer)
    told = {
        name: Variable(text, role_description=f"the instruction of the step {name}")
        for name, text in instructions(entry.program).items()
    }
    optimizer = TextualGradientDescent(parameters=list(told.values()), engine=engine)

    def step(batch: Sequence[dspy.Example]) -> dict[str, str]:
        optimizer.zero_grad()
        sum([_loss(entry, example, told, engine) for example in batch]).backward(engine=engine)
        optimizer.step()
        return {name: variable.value for name, variable in told.items()}

    def put_back(values: dict[str, str]) -> None:
        for name, value in values.items():
            told[name].set_value(value)

    return _descend(entry, BATCH, step, put_back)


def optoprime(entry: Entry) -> dspy.Module:
    """OptoPrime of OpenTrace (trace-opt 0.1.3.8): one wrong example after the other, validation with revert."""
    from opto.optimizers import OptoPrime
    from opto.trace.nodes import ParameterNode

    told = {
        name: ParameterNode(text, name=name.replace("[", "").replace("]", ""), trainable=True)
        for name, text in instructions(entry.program).items()
    }
    optimizer = OptoPrime(list(told.values()), llm=_chat(entry.proposer))

    def step(batch: Sequence[dspy.Example]) -> dict[str, str]:
        (example,) = batch
        output, grade = _traced(entry, example, told)
        if grade.score < 1:
            optimizer.zero_feedback()
            optimizer.backward(output, grade.feedback)
            optimizer.step()
        return {name: str(node.data) for name, node in told.items()}

    def put_back(values: dict[str, str]) -> None:
        for name, value in values.items():
            told[name]._set(value)

    return _descend(entry, 1, step, put_back)


def instructions(program: dspy.Module) -> dict[str, str]:
    """The instruction of each predictor."""
    named: Any = program.named_predictors()
    return {name: predictor.signature.instructions for name, predictor in named}


def _descend(
    entry: Entry,
    size: int,
    step: Callable[[Sequence[dspy.Example]], dict[str, str]],
    put_back: Callable[[dict[str, str]], None],
) -> dspy.Module:
    """Steps on batches of train, each kept if the score on val is not lower than before."""
    evaluate = dspy.Evaluate(devset=entry.sets.val, metric=entry.score, num_threads=1, display_progress=False)
    kept, best = instructions(entry.program), evaluate(entry.program).score
    for batch in _batches(entry.sets.train, size, entry.seed):
        found = step(batch)
        if found == kept:
            continue
        _tell(entry.program, found)
        score = evaluate(entry.program).score
        if score >= best:
            kept, best = found, score
        else:
            put_back(kept)
            _tell(entry.program, kept)
    return entry.program


def _tell(program: dspy.Module, values: dict[str, str]) -> None:
    named: Any = program.named_predictors()
    for name, predictor in named:
        predictor.signature = predictor.signature.with_instructions(values[name])


def _batches(examples: Sequence[dspy.Example], size: int, seed: int) -> Iterator[list[dspy.Example]]:
    rng = random.Random(seed)
    order: list[dspy.Example] = []
    for _ in range(STEPS * BATCH // size):
        if len(order) < size:
            order = rng.sample(list(examples), len(examples))
        yield [order.pop() for _ in range(size)]


def _calls(entry: Entry, example: dspy.Example) -> tuple[list[tuple[str, dict[str, Any], dict[str, Any]]], Any]:
    """The calls of an execution (the step's name, what it read, what it wrote), in their order, and the grade."""
    named: Any = entry.program.named_predictors()
    names = {id(predictor): name for name, predictor in named}
    with dspy.context(trace=[]):
        prediction = entry.program(**example.inputs())
        trace: Any = list(dspy.settings.trace)
    calls = [(names[id(predictor)], dict(inputs), dict(outputs)) for predictor, inputs, outputs in trace]
    return calls, entry.metric(example, prediction)


def _shown(values: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in values.items())


def _engine(lm: dspy.LM) -> Any:
    """An engine of TextGrad that asks a model of DSPy."""
    from textgrad.engine import EngineLM

    class Engine(EngineLM):
        """Asks the model."""

        model_string = "simulated"

        def generate(self, prompt: Any, system_prompt: str | None = None, **_: Any) -> str:
            return _said(lm, system_prompt or self.system_prompt, prompt)

        def __call__(self, prompt: Any, system_prompt: str | None = None, **_: Any) -> str:
            return self.generate(prompt, system_prompt)

    return Engine()


def _said(lm: dspy.LM, system: str, user: str) -> str:
    reply: Any = lm(messages=[{"role": "system", "content": system}, {"role": "user", "content": user}])
    return reply[0] if isinstance(reply[0], str) else reply[0]["text"]


def _loss(entry: Entry, example: dspy.Example, told: dict[str, Any], engine: Any) -> Any:
    """An execution on an example as a graph of TextGrad, up to what the metric says."""
    from textgrad import Variable
    from textgrad.autograd.function import BackwardContext
    from textgrad.autograd.llm_ops import LLMCall
    from textgrad.autograd.string_based_ops import StringBasedFunction

    call = LLMCall(engine)
    calls, grade = _calls(entry, example)
    made: dict[int, Any] = {}
    before: list[Any] = []
    given = set(map(id, example.inputs().values()))
    for name, read, wrote in calls:
        sources = [told[name]]
        for field, value in read.items():
            if id(value) in made:
                sources.append(made[id(value)])
            elif id(value) not in given and before:
                role = f"the {field} that the program's code made of earlier outputs"
                derived = Variable(str(value), predecessors=list(before), role_description=role)
                code, inputs = StringBasedFunction(str, "Ordinary code of the program."), {"outputs": before[-1]}
                derived.set_grad_fn(
                    BackwardContext(
                        code.backward, response=derived, function_purpose=code.function_purpose, inputs=inputs
                    )
                )
                sources.append(derived)
        output = Variable(_shown(wrote), predecessors=sources, role_description=f"the output of the step {name}")
        system = told[name].value
        output.set_grad_fn(BackwardContext(call.backward, response=output, prompt=_shown(read), system_prompt=system))
        made |= {id(value): output for value in wrote.values()}
        before.append(output)
    judge = StringBasedFunction(lambda **_: f"{grade.feedback}", _PURPOSE)
    return judge({"prediction": before[-1]}, response_role_description="the evaluation of the prediction")


def _chat(lm: dspy.LM) -> Any:
    """A model of OpenTrace that asks a model of DSPy."""
    from types import SimpleNamespace

    def ask(messages: list[dict[str, str]], **_: Any) -> Any:
        text = _said(lm, messages[0]["content"], messages[1]["content"])
        return SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=text))])

    return ask


def _traced(entry: Entry, example: dspy.Example, told: dict[str, Any]) -> tuple[Any, Any]:
    """An execution on an example as a graph of OpenTrace: its last output, and the grade."""
    from opto.trace.nodes import MessageNode, Node

    calls, grade = _calls(entry, example)
    made: dict[int, Any] = {}
    before: list[Any] = []
    leaves = {id(value): Node(value, name=name) for name, value in example.inputs().items()}
    for name, read, wrote in calls:
        sources: dict[str, Any] = {"instruction": told[name]}
        for field, value in read.items():
            source = made.get(id(value)) or leaves.get(id(value))
            if source is None and before:
                inputs = {f"output_{at}": one for at, one in enumerate(before)}
                source = MessageNode(value, inputs=inputs, description="[code] Ordinary code.", name=field)
            if source is not None:
                sources[field] = source
        description = f"[{name}] A language model follows the instruction."
        output = MessageNode(
            _shown(wrote), inputs=sources, description=description, name=told[name].py_name + "_output"
        )
        made |= {id(value): output for value in wrote.values()}
        before.append(output)
    return before[-1], grade
