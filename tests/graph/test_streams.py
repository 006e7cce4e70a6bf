"""Calls behind other parts of DSPy: streams, replaced callbacks, direct calls, retrievers."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import dspy
import pytest

from dspy_semantic_backprop import trace
from dspy_semantic_backprop.testing import Prompt
from tests.graph.graphs import STRAIGHT, Pair, echo, ends, proved, untyped
from tests.scripted import served


class Here(dspy.BaseLM):
    """Echoes inside of the process: the simulated server does not stream."""

    def __init__(self):
        super().__init__(model="here", cache=False)

    def __call__(self, prompt: Any = None, *, messages: Any = None, **_: Any) -> Any:
        found = Prompt.from_messages(messages, sample=0)
        return [found.render(echo(found))]

    async def acall(self, prompt: Any = None, *, messages: Any = None, **_: Any) -> Any:
        return self(messages=messages)


def last(stream: Any) -> Any:
    return [value for value in stream if isinstance(value, dspy.Prediction)][-1]


@pytest.mark.parametrize("made", ["before the run", "in the run"])
def test_predictors_that_stream_inside_of_a_program(made):
    class Streams(Pair):
        def __init__(self):
            super().__init__()
            if made == "before the run":
                self.streamed = untyped.streamify(self.first, async_streaming=False)

        def forward(self, question):
            late = made == "in the run"
            streamed = untyped.streamify(self.first, async_streaming=False) if late else self.streamed
            return self.second(hint=last(streamed(question=question)).hint.upper())

    with dspy.context(lm=Here()):
        graph = trace(Streams(), {"question": "why?"})
    assert [call.id for call in graph] == ["first[0]", "second[0]"]
    assert graph["first[0]"].inputs == {"question": "why?"}
    assert ends(graph) == STRAIGHT
    assert proved(graph), graph.warnings


def test_a_streamed_program_used_elsewhere_is_in_nobodys_record():
    done = threading.Event()

    class Slow(Pair):
        def forward(self, question):
            hint = self.first(question=question).hint
            assert done.wait(20)
            return self.second(hint=hint)

    def elsewhere():
        with dspy.context(lm=Here()):
            streamed = untyped.streamify(Pair(), async_streaming=False)
            results.append(last(streamed(question="somebody else's")))
        done.set()

    results: list[Any] = []
    with dspy.context(lm=Here()):
        stranger = threading.Thread(target=elsewhere)
        stranger.start()
        graph = trace(Slow(), {"question": "why?"}, probe="never")
        stranger.join()
    assert "somebody else's" in results[0].answer
    assert graph["first[0]"].inputs == {"question": "why?"}
    assert ends(graph) == STRAIGHT


def test_callbacks_that_the_program_replaces():
    class Replaces(Pair):
        def forward(self, question):
            with dspy.context(callbacks=[]):
                hint = self.first(question=question).hint
            return self.second(hint=hint.upper())

    with served(echo):
        graph = trace(Replaces(), {"question": "why?"})
    assert [call.id for call in graph] == ["first[0]", "second[0]"]
    assert ends(graph) == STRAIGHT
    assert proved(graph)


def test_a_forward_called_directly_is_seen_and_said_to_be_unproved():
    class Direct(Pair):
        def forward(self, question):
            return self.second.forward(hint=self.first(question=question).hint)

    with served(echo):
        graph = trace(Direct(), {"question": "why?"})
    assert [call.id for call in graph] == ["first[0]", "second[0]"]
    assert ends(graph) == STRAIGHT
    assert any("not proved" in warning for warning in graph.warnings)


class Corpus:
    """A retrieval model as users write them: any callable."""

    def __init__(self):
        self.asked: list[str] = []

    def __call__(self, query, k=3, **_):
        self.asked.append(query)
        return [dspy.Prediction(long_text=f"passage {number} on {query[::-1]}") for number in range(k)]


class Files(dspy.Retrieve):
    """A retriever that brings its own search."""

    asked: ClassVar[list[str]] = []

    def forward(self, query, k=None, **_) -> Any:
        self.asked.append(query)
        return dspy.Prediction(passages=[f"passage {number} on {query[::-1]}" for number in range(k or self.k)])


@pytest.mark.parametrize("kind", ["settings.rm", "made on the way", "own class"])
def test_a_retriever_between_predictors_is_asked_once_and_edges_go_through_it(kind):
    class Retrieves(dspy.Module):
        def __init__(self):
            super().__init__()
            self.ask = dspy.Predict("question -> query")
            self.retrieve = Files(k=2) if kind == "own class" else dspy.Retrieve(k=2)
            self.answer = dspy.Predict("context: list[str], question -> answer")

        def forward(self, question):
            query = self.ask(question=question).query
            retrieve: Any = dspy.Retrieve(k=2) if kind == "made on the way" else self.retrieve
            return self.answer(context=retrieve(query).passages, question=question)

    corpus = Corpus()
    Files.asked.clear()
    with served(echo), dspy.context(rm=corpus):
        graph = trace(Retrieves(), {"question": "why?"})
    assert len(corpus.asked) + len(Files.asked) == 1
    assert proved(graph), graph.warnings
    assert ("ask[0].query", "answer[0].context") in ends(graph)
    assert ends(graph) == {("ask[0].query", "answer[0].context"), ("answer[0].answer", "output.answer")}
