"""Programs, examples and predictions may hold any value: whatever its class does when asked, a run goes on."""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import Any

import dspy
import numpy as np
import pydantic
import pytest

from dspy_semantic_backprop import JournalError, MetricError, SemanticGradientDescent, presets, trace
from tests.scripted import careful, questions, right, served


class Row:
    """A row of a database whose session is closed."""

    def __repr__(self) -> str:
        raise RuntimeError("detached")

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("detached")

    def __hash__(self) -> int:
        raise RuntimeError("detached")


class Guarded:
    def __init__(self, items: list[Any]) -> None:
        self.lock = threading.Lock()
        self.items = items


class Form(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    table: Any


@dataclasses.dataclass
class Batch:
    rows: Any


def table(middle: int) -> Any:
    """A table of which `str` and `repr` leave out the middle."""
    import pandas as pd

    return pd.DataFrame({"number": [0] * 250 + [middle] + [0] * 249, "word": "w", "day": pd.Timestamp("2026-01-01")})


def nested(depth: int, end: int) -> list[Any]:
    found: list[Any] = [end]
    for _ in range(depth):
        found = [found]
    return found


def ring(end: int) -> dict[str, Any]:
    found: dict[str, Any] = {"end": end}
    found["again"] = [found]
    return found


MAKE: dict[str, Any] = {
    "table": table,
    "column": lambda at: table(at)["number"],
    "array": lambda at: np.append(np.zeros(5000), at),
    "array of objects": lambda at: np.array([[at], "x"], dtype=object),
    "in a list": lambda at: [np.append(np.zeros(5000), at), {"table": table(at)}],
    "in a model": lambda at: Form(table=table(at)),
    "in a dataclass": lambda at: Batch(table(at)),
    "deep": lambda at: nested(2000, at),
    "ring": ring,
    "set": lambda at: {"a", at, ("b", at)},
    "odd keys": lambda at: {(1, 2): at, None: "x", 3: [at]},
    "image": lambda at: dspy.Image(f"data:image/png;base64,{'A' * 500}{at}{'A' * 500}"),
    "bytes": lambda at: bytes(5000) + bytes([at]),
    "guarded": lambda at: Guarded([at]),
    "row": lambda at: [Row(), at],
    "not a number": lambda at: [float("nan"), at],
}


class Carrier(dspy.Module):
    """Carries a value from its input, and one of its own, to its prediction, and asks about something else."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held
        self.hint = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, hint -> answer")

    def forward(self, question: str, thing: Any) -> Any:
        hint = self.hint(question=question).hint
        answer = self.final(question=question, hint=hint).answer
        return dspy.Prediction(answer=answer, thing=thing, held=self.held)


def examples(make: Any, at: int) -> list[dspy.Example]:
    return [
        dspy.Example(question=f"q{number}", thing=make(at), answer="careful answer").with_inputs("question", "thing")
        for number in range(2)
    ]


def optimiser(**settings: Any) -> SemanticGradientDescent:
    settings = {"steps": 1, "method": presets.published(), "subscribers": (), **settings}
    return SemanticGradientDescent(right, **settings)


def metric_free() -> SemanticGradientDescent:
    """An optimizer that makes no step: what it says of the sets is all that counts."""
    return SemanticGradientDescent(lambda example, prediction: 1.0, steps=0, subscribers=())


@pytest.mark.parametrize("name", MAKE)
def test_a_run_and_a_trace_end_whatever_values_hold(name, tmp_path):
    make = MAKE[name]
    with served(careful):
        better: Any = optimiser(log_dir=tmp_path).compile(Carrier(make(1)), trainset=examples(make, 1))
        assert better.detailed_results.score_after == 1
        found = optimiser().explain(Carrier(make(1)), examples(make, 1)[0])
        graph = trace(Carrier(make(1)), examples(make, 1)[0])
    assert {str(edge.target.call) for edge in graph.edges} == {"final[0]", "output"}
    assert all(json.dumps(one.to_dict(), allow_nan=False) for one in (better.detailed_results, found, graph))
    assert str(found) and str(graph) and graph.to_svg()


@pytest.mark.parametrize("name", MAKE)
def test_other_content_is_another_run_whatever_its_text_says(name, tmp_path):
    make = MAKE[name]
    with served(careful):
        run = optimiser(log_dir=tmp_path, steps=0)
        for _ in range(2):
            run.compile(Carrier(None), trainset=examples(make, 1))
        with pytest.raises(JournalError, match="trainset"):
            run.compile(Carrier(None), trainset=examples(make, 2))


@pytest.mark.parametrize("name", ["table", "array", "deep", "image"])
def test_examples_that_differ_where_their_text_does_not_are_no_repetitions(name):
    rows = [dspy.Example(question="q0", thing=MAKE[name](at)).with_inputs("question", "thing") for at in (1, 2)]
    with served(careful):
        told: Any = metric_free().compile(Carrier(None), trainset=rows)
        assert not any("repeat another one" in one for one in told.detailed_results.warnings)
        told = metric_free().compile(Carrier(None), trainset=[rows[0], *examples(MAKE[name], 1)[:1]])
    assert any("repeat another one" in one for one in told.detailed_results.warnings)


@pytest.mark.parametrize("metric", ["array", "row", "tensor"])
def test_a_metric_that_returns_such_a_value_is_named(metric):
    returned = {"array": np.zeros(3), "row": Row(), "tensor": [1]}[metric]
    with served(careful), pytest.raises(MetricError, match=r"returned .* for example 0"):
        SemanticGradientDescent(lambda example, prediction: returned, subscribers=()).explain(
            dspy.Predict("question -> answer"), dspy.Example(question="q").with_inputs("question")
        )


class Eater(dspy.Module):
    """Eats up what it is given, wherever that is."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.final = dspy.Predict("question, rest -> answer")

    def forward(self, docs: Any, form: Any, rows: Any) -> Any:
        docs.pop()
        form.table.append("eaten")
        rows.loc[0, "number"] = 7
        rows["list"].iloc[0].append("eaten")
        return self.final(question="q", rest=f"{docs} {form.table} {rows['number'][0]} {rows['list'].iloc[0]}")


def test_every_execution_is_given_the_data_as_they_were():
    import pandas as pd

    rows = pd.DataFrame({"number": [1], "list": [["l"]]})
    example = dspy.Example(docs=["a", "b"], form=Form(table=["f"]), rows=rows, answer="careful answer")
    example = example.with_inputs("docs", "form", "rows")

    def metric(example, prediction, trace=None):
        example.docs.clear()
        return right(example, prediction)

    with served(careful) as server:
        optimizer = SemanticGradientDescent(metric, steps=2, method=presets.published(), subscribers=())
        optimizer.compile(Eater(), trainset=[example] * 3)
        trace(Eater(), example)
    asked = {str(one.messages[-1]["content"]).split("[[ ## rest ## ]]")[1].split("[[ ##")[0] for one in server.log[:3]}
    assert {text.split("Respond")[0].strip() for text in asked} == {"['a'] ['f', 'eaten'] 7 ['l', 'eaten']"}
    assert example.docs == ["a", "b"] and example.form.table == ["f"]
    assert rows.loc[0, "number"] == 1 and rows["list"].iloc[0] == ["l"]


def test_what_cannot_be_copied_is_said_once_and_the_rest_is_copied():
    class Stream(dspy.Module):
        def __init__(self):
            super().__init__()
            self.final = dspy.Predict("question -> answer")

        def forward(self, question, source):
            source["seen"].append(question)
            return self.final(question=question)

    source = {"words": (word for word in "abc"), "seen": []}
    row = dspy.Example(question="q", source=source, answer="careful answer").with_inputs("question", "source")
    with served(careful):
        better: Any = optimiser().compile(Stream(), trainset=[row] * 3)
    told = [one for one in better.detailed_results.warnings if "all executions share it" in one]
    assert told == ["the input source cannot be copied whole (it holds a generator): all executions share it"]
    assert source["seen"] == []


class Client:
    """Something that a program holds and nobody can copy."""

    def __init__(self):
        self.lock = threading.Lock()


def test_what_a_program_holds_that_cannot_be_copied_is_named_once(caplog):
    class Holder(dspy.Module):
        def __init__(self):
            super().__init__()
            self.final = dspy.Predict("question -> answer")
            self.client = Client()

        def forward(self, question):
            return self.final(question=question)

    with served(careful):
        found = SemanticGradientDescent(right, method=presets.published(), steps=2, subscribers=())
        result = found.compile(Holder(), trainset=questions(3)).detailed_results
    told = [record.getMessage() for record in caplog.records if "cop" in record.getMessage()]
    assert told == ["the attribute client of Holder cannot be copied whole: the copies of the program share it"]
    assert told[0] in result.warnings and result.score_after == 1.0
