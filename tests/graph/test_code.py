"""What the program's code says where nothing is replayed: calculations, choices, loops, and what it cannot see."""

from __future__ import annotations

import csv
import io
from functools import reduce
from typing import Any

import dspy

from dspy_semantic_backprop import ComputationGraph, trace
from tests.scripted import served

NUMBERS = {"price": "12", "rate": "0.5", "score": "7", "count": "3", "ok": "yes"}


def answer(prompt):
    return {name: NUMBERS.get(name, f"{name} for {' '.join(prompt.inputs.values())[:60]}") for name in prompt.names}


class Program(dspy.Module):
    """A program whose `forward` is given, so that each test shows its whole code."""

    quote: Any
    amount: Any
    write: Any
    draft: Any
    judge: Any
    publish: Any
    polish: Any
    note: Any
    item: Any
    report: Any
    check: Any
    reply: Any

    def __init__(self, **predictors: str) -> None:
        super().__init__()
        for name, signature in predictors.items():
            setattr(self, name, dspy.Predict(signature))


def found(program: dspy.Module, **inputs: Any) -> dict[tuple[str, str], str]:
    """(Source, target) -> how it is known, of the data edges."""
    with served(answer):
        graph = trace(program, inputs or {"question": "why?"}, probe="never")
    return {
        (f"{edge.source.call}.{edge.source.field}", f"{edge.target.call}.{edge.target.field}"): edge.known_by
        for edge in graph.edges
        if edge.kind == "data"
    }


def test_a_number_that_was_computed_is_followed():
    class Order(Program):
        def forward(self, question: str) -> dspy.Prediction:
            price = float(self.quote(question=question).price)
            count = int(self.amount(question=question).count)
            return dspy.Prediction(letter=self.write(total=f"{price * count:.2f}").letter)

    edges = found(Order(quote="question -> price", amount="question -> count", write="total -> letter"))
    assert edges == {
        ("quote[0].price", "write[0].total"): "code",
        ("amount[0].count", "write[0].total"): "code",
        ("write[0].letter", "output.letter"): "identity",
    }


def test_the_scores_that_chose_a_text_are_followed_and_the_other_texts_are_not():
    class Best(Program):
        def forward(self, question: str) -> dspy.Prediction:
            drafts = [self.draft(question=f"{question} {at}").text for at in range(3)]
            scores = [int(self.judge(text=text).score) for text in drafts]
            best = drafts[scores.index(max(scores))]
            return dspy.Prediction(post=self.publish(text=best).post)

    edges = found(Best(draft="question -> text", judge="text -> score", publish="text -> post"))
    into = {source for source, target in edges if target == "publish[0].text"}
    assert into == {"draft[0].text", "judge[0].score", "judge[1].score", "judge[2].score"}


def test_a_loop_hands_on_the_passage_before_and_no_other():
    class Polish(Program):
        def forward(self, question: str) -> dspy.Prediction:
            text = self.write(question=question).text
            for _ in range(3):
                text = self.polish(length=len(text)).better
            return dspy.Prediction(text=text)

    edges = found(Polish(write="question -> text", polish="length -> better"))
    assert {pair for pair in edges if pair[1].endswith(".length")} == {
        ("write[0].text", "polish[0].length"),
        ("polish[0].better", "polish[1].length"),
        ("polish[1].better", "polish[2].length"),
    }


def test_what_is_gathered_in_a_loop_reaches_whoever_reads_it_in_any_later_passage():
    class Notes(Program):
        def forward(self, question: str) -> dspy.Prediction:
            lengths: list[int] = []
            for _ in range(3):
                note = self.note(question=question, so_far=sum(lengths)).note
                lengths.append(len(note))
            return dspy.Prediction(total=sum(lengths))

    edges = found(Notes(note="question, so_far -> note"))
    assert {pair for pair in edges if pair[1].startswith("note")} == {
        ("note[0].note", "note[1].so_far"),
        ("note[0].note", "note[2].so_far"),
        ("note[1].note", "note[2].so_far"),
    }
    assert {source for source, target in edges if target == "output.total"} == {f"note[{at}].note" for at in range(3)}


def test_values_pass_through_objects_libraries_and_functions_of_the_program():
    class Table:
        def __init__(self) -> None:
            self.buffer = io.StringIO()
            self.writer = csv.writer(self.buffer)

        def add(self, *cells: str) -> None:
            self.writer.writerow([cell.upper()[::2] for cell in cells])

    class Report(Program):
        def row(self, table: Table, at: int) -> None:
            table.add(self.item(number=at).name)

        def forward(self, question: str) -> dspy.Prediction:
            table = Table()
            for at in range(2):
                self.row(table, at)
            total = reduce(lambda left, right: left + right, [len(line) for line in table.buffer.getvalue().split()])
            return dspy.Prediction(report=self.report(table=table.buffer.getvalue(), total=total).report)

    edges = found(Report(item="number -> name", report="table, total -> report"))
    for name in ("table", "total"):
        assert {s for s, target in edges if target == f"report[0].{name}"} == {"item[0].name", "item[1].name"}


def test_a_short_text_that_is_there_by_accident_is_no_edge():
    class Accident(Program):
        def forward(self, question: str) -> dspy.Prediction:
            self.check(question=question)
            return dspy.Prediction(answer=self.reply(question=question, default="yes").answer)

    edges = found(Accident(check="question -> ok", reply="question, default -> answer"))
    assert ("check[0].ok", "reply[0].default") not in edges


def test_what_decided_that_a_call_happens_is_a_control_edge():
    class Router(Program):
        def forward(self, question: str) -> dspy.Prediction:
            if self.check(question=question).ok == "yes":
                return dspy.Prediction(answer=self.reply(question=question).answer)
            return dspy.Prediction(answer="no")

    with served(answer):
        program = Router(check="question -> ok", reply="question -> answer")
        graph = trace(program, {"question": "why?"}, probe="never")
    control = [(e.source.call, e.target.call, e.known_by) for e in graph.edges if e.kind == "control"]
    assert control == [("check[0]", "reply[0]", "code")]


def control(program: dspy.Module) -> set[tuple[str, str]]:
    """The control edges that the program's code shows, as calls."""
    with served(answer):
        graph = trace(program, {"question": "why?"}, probe="never")
    return {(edge.source.call, edge.target.call) for edge in graph.edges if edge.kind == "control"}


def test_what_let_a_loop_go_on_decided_that_its_later_passages_happen():
    class Broken(Program):
        def forward(self, question: str) -> dspy.Prediction:
            for _ in range(3):
                self.polish(question=question)
                if self.check(question=question).ok != "yes":
                    break
            return dspy.Prediction(answer="none")

    class Returned(Program):
        def forward(self, question: str) -> dspy.Prediction:
            for _ in range(3):
                self.polish(question=question)
                if self.check(question=question).ok != "yes":
                    return dspy.Prediction(answer="none")
            return dspy.Prediction(answer="all")

    class Tested(Program):
        def forward(self, question: str) -> dspy.Prediction:
            ok, passages = "yes", 0
            while passages < 3 and ok == "yes":
                self.polish(question=question)
                ok, passages = self.check(question=question).ok, passages + 1
            return dspy.Prediction(answer="none")

    later = {(f"check[{at}]", f"{name}[{to}]") for to in range(3) for at in range(to) for name in ("polish", "check")}
    for kind in (Broken, Returned, Tested):
        assert control(kind(polish="question -> better", check="question -> ok")) == later


def test_what_left_out_the_rest_of_a_passage_did_not_decide_that_there_is_another():
    class Skipping(Program):
        def forward(self, question: str) -> dspy.Prediction:
            for _ in range(2):
                if self.check(question=question).ok != "yes":
                    continue
                self.polish(question=question)
            return dspy.Prediction(answer="none")

    found = control(Skipping(polish="question -> better", check="question -> ok"))
    assert found == {("check[0]", "polish[0]"), ("check[1]", "polish[1]")}


def test_a_program_without_source_is_known_by_its_values_alone():
    names: dict[str, Any] = {"dspy": dspy, "Program": Program}
    exec(
        "class Hidden(Program):\n"
        "    def forward(self, question):\n"
        "        text = self.first(question=question).text\n"
        "        return dspy.Prediction(answer=self.second(text=text, length=len(text)).answer)\n",
        names,
    )
    edges = found(names["Hidden"](first="question -> text", second="text, length -> answer"))
    assert edges[("first[0].text", "second[0].text")] == "identity"
    assert "code" not in edges.values()


def test_a_program_with_side_effects_keeps_the_edges_of_its_code(tmp_path):
    class Writes(Program):
        def forward(self, question: str) -> dspy.Prediction:
            price = float(self.quote(question=question).price)
            (tmp_path / "log").write_text(str(price))
            return dspy.Prediction(letter=self.write(total=price * 2).letter)

    with served(answer):
        program = Writes(quote="question -> price", write="total -> letter")
        graph: ComputationGraph = trace(program, {"question": "why?"})
    assert any("side effects" in warning for warning in graph.warnings)
    assert any(e.target.field == "total" and e.known_by == "code" for e in graph.edges)


def test_more_code_than_can_be_looked_at_is_left_alone(tmp_path):
    body = "\n".join(f"        x{at} = len(text) + {at} * 2 - ({at} % 7) * 3" for at in range(6_000))
    path = tmp_path / "long_program.py"
    path.write_text(
        "import dspy\n\nclass Long(dspy.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.a = dspy.Predict('question -> text')\n        self.b = dspy.Predict('size -> answer')\n"
        f"    def forward(self, question):\n        text = self.a(question=question).text\n{body}\n"
        "        return dspy.Prediction(answer=self.b(size=len(text)).answer)\n"
    )
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    edges = found(names["Long"]())
    assert ("b[0].answer", "output.answer") in edges
    assert "code" not in edges.values()
