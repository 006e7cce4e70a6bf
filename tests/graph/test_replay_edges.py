"""What replays show of edges that are easily taken for others, and what they say where they cannot tell."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from typing import Any, ClassVar

import dspy
import pytest
from dspy.utils import DummyLM

from dspy_semantic_backprop import SetupError, trace
from tests.graph.test_replay import STRAIGHT, Program, echo, ends, known, replayed, straight
from tests.scripted import served


class Raw(dspy.BaseLM):
    """A language model that answers outside of predictors; without DSPy's callbacks where it is deaf."""

    asked: ClassVar[list[str]] = []

    def __init__(self) -> None:
        super().__init__("raw", "chat", cache=False)

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        text = f"raw answer to {prompt or messages}"
        message = type("Message", (), {"content": text, "tool_calls": None})
        choice = type("Choice", (), {"message": message, "finish_reason": "stop"})
        return type("Response", (), {"choices": [choice], "usage": {}, "model": "raw"})


class Deaf(Raw):
    def __call__(self, prompt: Any = None, **kwargs: Any) -> Any:
        self.asked.append(str(prompt))
        return [f"deaf answer to {prompt}"]


DEAF = Deaf()


def test_a_language_model_outside_of_predictors_feeds_and_decides_nothing():
    def body(program, question):
        try:
            answer = program.raw(program.first(question=question).hint)[0]
            return program.second(hint=answer)
        except Exception:
            return dspy.Prediction(answer="")

    with served(echo):
        graph = trace(Program(body, raw=Raw()), {"question": "why?"})
    assert ends(graph) == STRAIGHT
    assert not [edge for edge in graph.edges if edge.kind == "control"]


@pytest.mark.parametrize("probe", ["auto", "always"])
def test_a_language_model_that_reports_to_nobody_is_asked_once(probe):
    Deaf.asked.clear()
    with served(echo):
        program = Program(lambda program, question: program.second(hint=DEAF(program.first(question=question).hint)[0]))
        graph = trace(program, {"question": "why?"}, probe=probe)
    assert len(Deaf.asked) == 1
    assert known(graph, "first[0].hint", "second[0].hint") == "replay"


def test_how_many_calls_are_made_is_no_data():
    program = Program(
        lambda program, question: program.report(
            notes="\n".join(program.note(topic=topic).text for topic in program.plan(question=question).topics)
        ),
        plan=dspy.Predict("question -> topics: list[str]"),
        note=dspy.Predict("topic -> text"),
        report=dspy.Predict("notes -> answer"),
    )

    def rule(prompt):
        return {name: ["red", "blue"] if name == "topics" else f"a long {name}" for name in prompt.names}

    with served(rule):
        graph = trace(program, {"question": "why?"})
    assert {edge.source.call for edge in graph.edges if edge.target.call == "report[0]"} == {"note[0]", "note[1]"}
    assert ("plan[0].topics", "note[1].topic") in ends(graph)


@pytest.mark.parametrize("adapter", [dspy.JSONAdapter, dspy.XMLAdapter])
def test_an_adapter_set_inside_the_program_is_answered_in_its_words(adapter):
    def body(program, question):
        with dspy.context(adapter=adapter()):
            hint = program.first(question=question).hint
        return program.second(hint=hint.upper())

    def rule(prompt):
        texts = {name: f"a long answer for {name}" for name in prompt.names}
        if adapter is dspy.XMLAdapter and "hint" in texts:
            return "<hint>a long answer for hint</hint>"
        return texts

    graph = replayed(body, rule)
    assert not graph.warnings
    assert known(graph, "first[0].hint", "second[0].hint") == "replay"


class Silent(dspy.ChatAdapter):
    def format_assistant_message_content(self, signature: Any, outputs: Any, missing_field_message: Any = None) -> str:
        raise NotImplementedError


def test_an_adapter_that_cannot_be_answered_is_told_in_one_line():
    def body(program, question):
        with dspy.context(adapter=Silent()):
            hint = program.first(question=question).hint
        return program.second(hint=hint)

    graph = replayed(body)
    (warning,) = graph.warnings
    assert "could not follow" in warning and "Silent" in warning
    assert "\n" not in warning and "deterministic" not in warning


def test_demonstrations_and_instructions_made_of_outputs_are_edges():
    def shown(program, question):
        hint = program.first(question=question).hint
        return program.second(hint="why?", demos=[dspy.Example(hint="then", answer=hint)])

    def told(program, question):
        hint = program.first(question=question).hint
        signature: Any = dspy.ensure_signature("hint -> answer", f"Mind this: {hint}")
        return dspy.Predict(signature)(hint="why?")

    assert ("first[0].hint", "second[0].demos") in ends(replayed(shown))
    assert ("first[0].hint", "?(hint -> answer)[0].instructions") in ends(replayed(told))


def test_an_argument_that_the_signature_does_not_declare_is_no_edge():
    graph = replayed(lambda p, question: p.second(hint=question, context=p.first(question=question).hint))
    assert ends(graph) == {("second[0].answer", "output.answer")}
    (warning,) = graph.warnings
    assert warning.startswith("second was given context, which its signature does not declare")


def test_what_is_no_program_and_no_example_is_refused():
    program: Any = Program(straight)
    for wrong in (dspy.streamify(program), straight, Program, dspy.asyncify(program)):
        with pytest.raises(SetupError, match="program must be"):
            trace(wrong, {"question": "why?"})  # pyright: ignore[reportArgumentType]
    with pytest.raises(SetupError, match="example must be"):
        trace(program, "why?")  # pyright: ignore[reportArgumentType]
    with pytest.raises(SetupError, match="with_inputs"):
        trace(program, dspy.Example(question="why?"))


def test_a_replay_that_goes_elsewhere_is_not_called_indeterminate():
    def body(program, question, seen={}):  # noqa: B006 - it outlives the run
        seen.setdefault(id(asyncio), 0)
        hint = program.first(question=question).hint
        return program.second(hint=hint) if dspy.settings.get("semantic_replay") is None else hint

    (warning,) = replayed(body).warnings
    assert "the replay could not follow: it made other calls" in warning


def test_long_programs_are_proved_in_few_replays():
    def body(program, question):
        text = question
        for number in range(20):
            text = program.first(question=text.upper()).hint
            if number % 5 == 4:
                # Not what a text is good for, but where it went must be found all the same.
                text = str(len(text))
        return dspy.Prediction(answer=text)

    def rule(prompt):
        return {"hint": f"a step {'x' * len(prompt.inputs['question'])}"[:200]}

    graph = replayed(body, rule)
    assert not graph.warnings
    chain = {(f"first[{at}].hint", f"first[{at + 1}].question") for at in range(19)}
    assert ends(graph) == chain | {("first[19].hint", "output.answer")}


def test_a_made_up_call_that_ends_a_loop_proves_nothing():
    program = Program(
        lambda program, question: _until_good(program, question),
        judge=dspy.Predict("draft -> good: bool, notes"),
        write=dspy.Predict("question -> draft"),
    )

    def rule(prompt):
        return {"good": True, "notes": "short notes"} if "good" in prompt.names else echo(prompt)

    with served(rule):
        graph = trace(program, {"question": "why?"})
    assert ("write[0].draft", "output.answer") in ends(graph)
    assert ("judge[0].notes", "output.answer") not in ends(graph)


def _until_good(program, question):
    draft = program.write(question=question).draft
    verdict = program.judge(draft=draft)
    while not verdict.good:
        draft = program.write(question=f"{question} {verdict.notes}").draft
        verdict = program.judge(draft=draft)
    return dspy.Prediction(answer=draft)


KINDS = ("search", "finish")


def test_a_word_inside_of_a_text_is_swapped_for_another_that_the_program_knows():
    def body(program, question):
        kind, _, text = program.first(question=question).hint.partition(": ")
        if kind not in KINDS:
            raise ValueError(f"an unknown kind: {kind}")
        return program.second(hint=text) if kind == "search" else dspy.Prediction(answer="finished")

    graph = replayed(
        body, lambda prompt: {name: "search: the facts" if name == "hint" else "x" for name in prompt.names}
    )
    control = [edge for edge in graph.edges if edge.kind == "control"]
    assert [(edge.source.call, edge.target.call) for edge in control] == [("first[0]", "second[0]")]


KNOWN_CODES = {"late": 1, "broken": 2}


def test_an_answer_that_is_looked_up_is_changed_to_what_is_found_there():
    def body(program, question):
        hint = program.first(question=question).hint
        return dspy.Prediction(code=KNOWN_CODES.get(hint, 0), answer=program.second(hint="all").answer)

    with served(echo):
        graph = trace(Program(body), {"question": "why?"})
    assert ("first[0].hint", "output.code") in {edge[:2] for edge in ends(graph)}


def test_a_database_in_a_file_is_read_in_replays_and_written_nowhere(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table paid(word text)")
        connection.execute("insert into paid values ('one'), ('two')")
    connection.close()

    def body(program, question):
        hint = program.first(question=question).hint
        with contextlib.closing(sqlite3.connect(path)) as opened, opened:
            opened.execute("insert into paid values (?)", (hint,))
            longest = opened.execute("select max(length(word)) from paid").fetchone()[0]
        return program.second(hint=f"{longest} letters")

    with served(echo):
        graph = trace(Program(body), {"question": "why?"})
    assert ends(graph) >= STRAIGHT
    with contextlib.closing(sqlite3.connect(path)) as opened:
        assert opened.execute("select count(*) from paid").fetchone()[0] == 3


def test_an_edge_that_is_suggested_and_proved_stands_once():
    def body(program, question):
        return program.second(hint=question) if program.sure(question=question).yes else dspy.Prediction(answer="no")

    with served(lambda prompt: {"yes": True} if "yes" in prompt.names else echo(prompt)):
        graph = trace(Program(body, sure=dspy.Predict("question -> yes: bool")), {"question": "why?"})
    control = [edge for edge in graph.edges if edge.kind == "control"]
    assert [(edge.known_by, edge.target.call) for edge in control] == [("replay", "second[0]")]


def test_the_same_question_gets_the_same_made_up_answer_in_every_process():
    def search(text: str) -> int:
        """Count."""
        return len(text)

    def body(program, question):
        return program.second(hint=str(program.tool(text=program.first(question=question).hint)))

    found = []
    for _ in range(2):
        with served(echo):
            graph = trace(Program(body, tool=dspy.Tool(search)), {"question": "why?"})
        found.append(ends(graph))
    assert found[0] == found[1] == STRAIGHT
    assert not re.search("not proved", " ".join(graph.warnings))


_RULES = ";".join(
    f"{kind}|{place}|{kind.capitalize()} in {place}: staff get 25 days."
    for kind in ("paid time off", "parental leave", "sick leave")
    for place in ("Norway", "Spain", "Japan")
)


def search(words: str) -> str:
    """The best three rules, whatever they are worth."""
    ranked = []
    for rule in _RULES.split(";"):
        kind, place, text = rule.split("|")
        ranked.append((-3 * (kind in words.lower()) - 2 * (place.lower() in words.lower()), text))
    return " / ".join(text for _, text in sorted(ranked)[:3])


class Searching(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rewrite = dspy.Predict("question -> query")
        self.condense = dspy.Predict("question, passages -> notes")
        self.convert = dspy.Predict("question, notes -> converted")
        self.answer = dspy.Predict("question, notes -> reply")

    def forward(self, question: str) -> Any:
        passages = search(self.rewrite(question=question).query)
        notes = self.condense(question=question, passages=passages).notes
        if "in weeks" in question:
            notes = self.convert(question=question, notes=notes).converted
        return self.answer(question=question, notes=notes)


@pytest.mark.parametrize("query", ["paid time off, Spain", "PTO for intern"])
def test_a_search_that_finds_nothing_of_what_it_was_asked_for_was_asked(query):
    with dspy.context(
        lm=DummyLM([{"query": query}, {"notes": "The passages speak of other rules."}, {"reply": "10 days."}])
    ):
        found = trace(Searching(), {"question": "I am in Spain. Could you tell me how much PTO interns get?"})
    assert "rewrite[0].query as passages" in str(found)
