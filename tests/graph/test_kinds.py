"""Kinds of values and of programs that users have: images, types, histories, completions, tools, closures."""

from __future__ import annotations

import _thread
import asyncio
import inspect
import threading
from enum import Enum
from typing import Any

import dspy
import numpy
import pydantic
import pytest
from dspy.primitives.code_interpreter import FinalOutput

from dspy_semantic_backprop import ComputationGraph, SemanticGradientDescent, trace
from tests.graph.graphs import STRAIGHT, Pair, echo, ends, proved, untyped
from tests.scripted import served

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


def test_an_image_as_input_of_several_predictors():
    class Looks(dspy.Module):
        def __init__(self):
            super().__init__()
            self.see: Any = dspy.Predict("image: dspy.Image -> caption")
            self.check: Any = dspy.Predict("image: dspy.Image, caption -> answer")

        def forward(self, image):
            return self.check(image=image, caption=self.see(image=image).caption)

    def look(prompt):
        return {name: f"a {name} without a picture in it" for name in prompt.names}

    with served(look):
        graph = trace(Looks(), {"image": untyped.Image(PIXEL)})
    assert not graph.error, graph.error
    assert ends(graph) == {("see[0].caption", "check[0].caption"), ("check[0].answer", "output.answer")}
    assert proved(graph)
    assert ComputationGraph.from_dict(graph.to_dict()).edges == graph.edges


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Person(pydantic.BaseModel):
    name: str
    age: int


class Reads(dspy.Signature):
    """Read a text."""

    text: str = dspy.InputField()
    colors: list[Color] = dspy.OutputField()
    person: Person = dspy.OutputField()


class Uses(dspy.Signature):
    """Use what was read."""

    colors: list[Color] = dspy.InputField()
    person: Person = dspy.InputField()
    age: int = dspy.InputField()
    answer: str = dspy.OutputField()


def test_typed_outputs_passed_on_whole_and_in_parts():
    class Typed(dspy.Module):
        def __init__(self):
            super().__init__()
            self.read: Any = dspy.Predict(Reads)
            self.use: Any = dspy.Predict(Uses)

        def forward(self, text):
            found = self.read(text=text)
            return self.use(colors=found.colors, person=found.person, age=found.person.age + 1)

    def typed(prompt):
        known = {"colors": ["red", "blue"], "person": {"name": "Ann", "age": 41}, "answer": "fine"}
        return {name: known[name] for name in prompt.names}

    with served(typed):
        graph = trace(Typed(), {"text": "Ann, 41, in red and blue"})
    assert not graph.error, graph.error
    assert graph["use[0]"].inputs == {
        "colors": [Color.RED, Color.BLUE],
        "person": Person(name="Ann", age=41),
        "age": 42,
    }
    assert ends(graph) == {
        ("read[0].colors", "use[0].colors"),
        ("read[0].person", "use[0].person"),
        ("read[0].person", "use[0].age"),
        ("use[0].answer", "output.answer"),
    }
    assert proved(graph)


def test_a_history_that_grows_by_answers():
    class Talks(dspy.Module):
        def __init__(self):
            super().__init__()
            self.say: Any = dspy.Predict("question, history: dspy.History -> answer")

        def forward(self, questions):
            history = untyped.History(messages=[])
            for question in questions:
                answer = self.say(question=question, history=history).answer
                history.messages.append({"question": question, "answer": answer})
            return dspy.Prediction(answer=answer, history=history)

    def say(prompt):
        return {"answer": f"an answer to {prompt.inputs['question']}"}

    with served(say):
        graph = trace(Talks(), {"questions": ["one", "two", "three"]})
    assert [len(call.inputs["history"].messages) for call in graph] == [0, 1, 2]
    assert ends(graph) == {
        ("say[0].answer", "say[1].history"),
        ("say[0].answer", "say[2].history"),
        ("say[1].answer", "say[2].history"),
        ("say[0].answer", "output.history"),
        ("say[1].answer", "output.history"),
        ("say[2].answer", "output.history"),
        ("say[2].answer", "output.answer"),
    }
    assert proved(graph)


def test_several_completions_read_as_such():
    class Votes(dspy.Module):
        def __init__(self):
            super().__init__()
            self.guess: Any = dspy.Predict("question -> guess", n=3, temperature=1.0)
            self.judge = dspy.Predict("guesses -> answer")

        def forward(self, question):
            guesses = self.guess(question=question).completions.guess
            return self.judge(guesses=" | ".join(guesses))

    def vote(prompt):
        return {name: f"{name} number {prompt.sample}" for name in prompt.names}

    with served(vote):
        graph = trace(Votes(), {"question": "why?"})
    assert graph["judge[0]"].inputs["guesses"].count("|") == 2
    assert ("guess[0].guess", "judge[0].guesses") in ends(graph)
    assert ("judge[0].answer", "output.answer") in ends(graph)


def test_tools_of_react_that_are_asynchronous():
    ran = []

    async def look_up(word: str) -> str:
        """Look up a word."""
        await asyncio.sleep(0)
        ran.append(word)
        return f"meaning of {word}"

    def act(prompt):
        answers: dict[str, Any] = echo(prompt)
        if "next_tool_name" in answers:
            first = "meaning" not in prompt.inputs["trajectory"]
            answers |= {
                "next_tool_name": "look_up" if first else "finish",
                "next_tool_args": {"word": "tide"} if first else {},
            }
        return answers

    class Awaits(dspy.Module):
        def __init__(self):
            super().__init__()
            self.agent = untyped.ReAct("question -> answer", tools=[look_up])

        async def aforward(self, question):
            return await self.agent.acall(question=question)

    with served(act):
        graph = trace(Awaits(), {"question": "why?"})
        with dspy.context(allow_tool_async_sync_conversion=True):
            other = trace(untyped.ReAct("question -> answer", tools=[look_up]), {"question": "why?"})
    assert ran == ["tide", "tide"]
    for one, react in ((graph, "agent.react"), (other, "react")):
        assert not one.warnings
        assert (f"{react}[0].next_tool_args", f"{react}[1].trajectory") in ends(one)


def test_asyncify_and_syncify():
    class Asyncified(Pair):
        async def aforward(self, question):
            hint = (await untyped.asyncify(self.first)(question=question)).hint
            return await self.second.acall(hint=hint.upper())

        forward: Any = None

    class Async(dspy.Module):
        def __init__(self):
            super().__init__()
            self.first = dspy.Predict("question -> hint")
            self.second = dspy.Predict("hint -> answer")

        async def aforward(self, question):
            hint = (await self.first.acall(question=question)).hint
            return await self.second.acall(hint=hint.upper())

    del Asyncified.forward
    with served(echo):
        for program in (Asyncified(), untyped.syncify(Async())):
            graph = trace(program, {"question": "why?"})
            assert ends(graph) == STRAIGHT
            assert proved(graph), graph.warnings


class Sandbox:
    """An interpreter that gives what it was prepared to give, as DSPy's own tests have one."""

    def __init__(self) -> None:
        self.tools: dict[str, Any] = {}
        self.given = ["42", FinalOutput({"answer": "It is 42."})]

    def start(self) -> None: ...

    def shutdown(self) -> None: ...

    def execute(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        return self.given.pop(0) if "(" in code.splitlines()[0] else ""


class Brings(dspy.Module):
    def __init__(self, factory: Any) -> None:
        super().__init__()
        self.solve = untyped.RLM("question -> answer")
        self.factory = factory

    def forward(self, question: str) -> dspy.Prediction:
        return self.solve(question=question, interpreter_factory=self.factory)


@pytest.mark.skipif(
    "interpreter_factory" not in inspect.signature(untyped.RLM.forward).parameters,
    reason="this DSPy makes no interpreter for one call",
)
def test_an_interpreter_that_is_brought_along():
    codes = iter(["print(6 * 7)", "SUBMIT(answer='It is 42.')"])
    with served(lambda prompt: {"reasoning": "so be it", "code": next(codes)}):
        graph = trace(Brings(Sandbox), {"question": "why?"})
    assert not graph.error, graph.error
    assert ("solve.generate_action[1].code", "output.answer") in ends(graph)
    assert proved(graph), graph.warnings


GLOBAL = dspy.Predict("hint -> answer")


def test_predictors_in_a_closure_and_in_a_global():
    held = dspy.Predict("question -> hint")

    class Closes(dspy.Module):
        def forward(self, question):
            return GLOBAL(hint=held(question=question).hint.upper())

    with served(echo):
        graph = trace(Closes(), {"question": "why?"})
    assert [call.predictor for call in graph] == ["?(question -> hint)", "?(hint -> answer)"]
    assert sum("named_predictors() does not list" in warning for warning in graph.warnings) == 2
    assert ends(graph) == {
        ("?(question -> hint)[0].hint", "?(hint -> answer)[0].hint"),
        ("?(hint -> answer)[0].answer", "output.answer"),
    }


class Sorted(dspy.Signature):
    """Sort it."""

    question: str = dspy.InputField()
    note: str = dspy.OutputField()


def test_predictors_without_a_name_are_told_apart_by_what_the_code_tells_them():
    class Makes(dspy.Module):
        def forward(self, question):
            signatures: list[Any] = [dspy.make_signature("question -> note", "Look it up."), Sorted]
            signatures.append(dspy.make_signature("question -> note", f"Think of {question}"))
            notes = [dspy.Predict(one)(question=question).note for one in signatures]
            return dspy.Prediction(answer=" ".join(notes))

    with served(echo):
        graph = trace(Makes(), {"question": "why?"})
    fields = "?(question -> note"
    assert [call.predictor for call in graph] == [f"{fields}: Look it up.)", f"{fields}: Sort it.)", f"{fields})"]


def test_the_advice_that_a_module_of_dspys_asks_for_is_told_by_its_name_and_nobody_is_warned_of_it():
    refined = dspy.Refine(dspy.Predict("question -> answer"), N=2, reward_fn=lambda args, found: 0.0, threshold=1.0)
    with served(lambda prompt: {"advice": {"module": "Be short."}, "answer": f"{len(prompt.text)} letters"}):
        graph = trace(refined, {"question": "why?"})
    assert "?dspy.OfferFeedback" in {call.predictor for call in graph}
    assert not [warning for warning in graph.warnings if "named_predictors" in warning]


def test_predictors_in_containers_of_containers_are_named_as_what_cannot_be_optimised():
    class Stages(dspy.Module):
        def __init__(self):
            super().__init__()
            self.stages = {"first": [[dspy.Predict("question -> note")]]}

        def forward(self, question):
            return self.stages["first"][0][0](question=question)

    with served(echo):
        graph = trace(Stages(), {"question": "why?"})
    (warning,) = graph.warnings
    assert "stages[first]" in warning and "named_predictors() does not look" in warning


def test_what_a_service_answers_with_the_program_meanwhile_is_no_missing_call():
    async def serves() -> Any:
        program = Pair()
        live: Any = dspy.asyncify(program)

        async def requests():
            for number in range(3):
                await live(question=f"live {number}")

        optimizer = SemanticGradientDescent(lambda example, prediction: 0.5, steps=0, subscribers=())
        example = dspy.Example(question="why?").with_inputs("question")
        better, _ = await asyncio.gather(optimizer.acompile(program, trainset=[example]), requests())
        return better

    with served(echo):
        result = asyncio.run(serves()).detailed_results
    assert not [warning for warning in result.warnings if "thread" in warning]


def test_a_thread_that_nothing_can_follow_is_reported_beside_calls_that_are_seen():
    class Lost(Pair):
        def forward(self, question):
            found: list[str] = []
            done = threading.Event()

            def work() -> None:
                found.append(self.first(question=question).hint)
                done.set()

            _thread.start_new_thread(work, ())
            done.wait()
            return self.second(hint=found[0])

    with served(echo) as server:
        dspy.configure(lm=server.lm(cache=False))
        graph = trace(Lost(), {"question": "why?"})
    assert [call.id for call in graph] == ["second[0]"]
    assert any("first was called in a thread without" in warning for warning in graph.warnings)


def test_a_retriever_whose_embeddings_dspy_keeps_on_the_disk(tmp_path):
    class Looks(Pair):
        def __init__(self):
            super().__init__()
            known = [dspy.Example(question="a" * number, answer="b").with_inputs("question") for number in range(1, 4)]
            embedder = dspy.Embedder(
                lambda texts: numpy.array([[len(text), 1.0] for text in texts], dtype=numpy.float32)
            )
            self.near = dspy.KNN(k=1, trainset=known, vectorizer=embedder)

        def forward(self, question):
            hint = self.first(question=question).hint
            return self.second(hint=f"{hint.upper()}: {self.near(question=hint)[0].answer}")

    dspy.configure_cache(enable_disk_cache=True, enable_memory_cache=True, disk_cache_dir=str(tmp_path))
    with served(echo):
        graph = trace(Looks(), {"question": "why?"})
    assert proved(graph), graph.warnings
    assert ends(graph) == STRAIGHT
