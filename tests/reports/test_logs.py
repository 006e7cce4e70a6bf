"""Logs that cannot be run again, through a real client against a real server: read, gone through, blamed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from dspy_semantic_backprop import (
    Budget,
    Diagnosis,
    Log,
    OutOfBudget,
    SetupError,
    adiagnose_logs,
    diagnose_logs,
    project_logs,
    read_logs,
)
from tests.reports.exporting import EXPORTED, Liar
from tests.scripted import careful, served

TEAM = {
    "file": "7.json",
    "question": "How many legs do three spiders have?",
    "ground_truth": "24",
    "system_prompt": {"Counter": "Count the legs."},
    "history": [
        {"role": "human", "content": "How many legs do three spiders have?"},
        {"role": "Planner (thought)", "content": "A spider has six legs, sloppy as I am."},
        {"role": "Planner (-> Counter)", "content": "Multiply by three."},
        {"role": "user", "name": "Counter", "content": "Three times six is eighteen."},
        {"role": "Planner (thought)", "content": "The answer is 18."},
    ],
}
CHAT = [
    {"role": "system", "content": "Answer questions about the weather."},
    {"role": "user", "content": "Is it warmer in Oslo or in Rome?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
            {"id": "b", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Roma, sloppy"}'}},
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "12 degrees"},
    {"role": "tool", "tool_call_id": "b", "content": "unknown city"},
    {"role": "user", "content": [{"type": "text", "text": "Well?"}, {"type": "image_url", "image_url": {"url": "x"}}]},
    {"role": "assistant", "content": "In Oslo."},
]


def reader(prompt):
    """Finds fault with what calls itself sloppy, and else with the instruction of whoever read nothing such."""
    answers = {}
    sloppy = [name for name, text in prompt.inputs.items() if name.startswith("output_") and "sloppy" in text]
    for name in prompt.names:
        key = name.partition("_")[2]
        if name.startswith("change_"):
            wrong = f"output_{key}" in sloppy if f"output_{key}" in prompt.inputs else not sloppy
            answers[name] = f"Look it up before writing {key} down." if wrong else "No change needed."
        else:
            answers[name] = ""
    return answers


def written(folder: Path, name: str, *states) -> Path:
    path = folder / name
    path.write_text("\n".join(map(json.dumps, states)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def team(tmp_path_factory) -> list[Log]:
    path = tmp_path_factory.mktemp("logs")
    for name in ("10.json", "2.json"):
        written(path, name, {**TEAM, "file": name})
    return read_logs(path, format="whoandwhen")


@pytest.fixture(scope="module")
def found(team):
    with served(reader) as server:
        return diagnose_logs(team, subscribers=()), server


def test_a_log_of_whoandwhen_is_a_graph_whose_turns_may_have_read_all_earlier_ones(team):
    assert [log.name for log in team] == ["2.json", "10.json"]
    graph = team[0].graph
    assert [call.predictor for call in graph] == ["Planner", "Planner", "Counter", "Planner"]
    assert list(team[0].turns.values()) == [1, 2, 3, 4]
    assert graph.predecessors("Counter, turn 3") == ("Planner, turn 1", "Planner, turn 2")
    assert graph["Counter, turn 3"].instruction == "Count the legs."
    assert graph.inputs == {"task": TEAM["question"]}
    assert "24" in team[0].told


def test_the_turn_at_fault_is_blamed_by_the_same_report_and_nothing_is_said_to_be_checked(found):
    diagnosis, server = found
    assert [(one.example_id, one.call) for one in diagnosis.calls if one.share > 0.4] == [
        (0, "Planner, turn 1"),
        (1, "Planner, turn 1"),
    ]
    assert "Look it up" in diagnosis.calls[0].said[0]
    assert diagnosis.predictors[0].predictor == "Planner"
    assert diagnosis.logs == ("2.json", "10.json")
    assert not diagnosis.checks
    assert {one.verdict for one in diagnosis.predictors} == {"unchecked"}
    text = str(diagnosis)
    assert "cannot be run again" in text
    assert "checks=" not in text
    assert "log 1, 10.json: Planner, turn 1" in text
    assert diagnosis.total.calls == server.requests
    assert Diagnosis.from_dict(json.loads(json.dumps(diagnosis.to_dict()))).calls == diagnosis.calls


def test_what_it_costs_at_most_is_known_before(team, found):
    projected = project_logs(team)
    assert found[0].total.calls <= projected.calls
    narrow = project_logs(team, window=1)
    most, likely, less = (one.tokens or 0 for one in (projected, projected.probable, narrow))
    assert 0 < likely < most
    assert 0 < less < most


def test_a_window_bounds_what_a_turn_has_read_and_what_was_cut_is_said(team):
    with served(reader):
        diagnosis = asyncio.run(adiagnose_logs(team[:1], window=1, subscribers=()))
    assert any("3 lie further back than the window of 1" in one for one in diagnosis.warnings)
    # The chain of nearest turns: the fault is three readings away, and nobody in between reads it.
    assert diagnosis.calls[0].call == "Planner, turn 4"


def test_a_spent_budget_keeps_the_logs_that_it_lasted_for(team, tmp_path):
    with served(reader) as server:
        whole = diagnose_logs(team[:1], subscribers=())
        calls = whole.total.calls
        diagnosis = diagnose_logs([*team, *team], budget=Budget(calls=calls), num_threads=1, subscribers=())
        assert server.requests <= 2 * calls
        with pytest.raises(OutOfBudget):
            diagnose_logs(team, budget=Budget(seconds=1e-9), subscribers=())
    assert 1 <= diagnosis.traced < 4
    assert any("were not gone through" in one for one in diagnosis.warnings)


def test_a_budget_that_is_spent_before_the_summaries_loses_nothing(tmp_path):
    chat = [{"role": "assistant", "content": text} for text in ("A sloppy start.", "The end.")]
    (log,) = read_logs(written(tmp_path, "chat.json", {"messages": chat}), format="openai")
    with served(careful) as server:
        diagnosis = diagnose_logs([log], budget=Budget(calls=1), subscribers=())
    assert server.requests == 1
    assert len(diagnosis.predictors[0].findings) == 2
    assert any("summaries" in one and "budget" in one for one in diagnosis.warnings)


def test_chat_messages_with_tools(tmp_path):
    line = {"id": "case 9", "messages": CHAT, "expected": "Rome", "feedback": "It is Rome."}
    one, bare = read_logs(written(tmp_path, "chat.jsonl", line, CHAT), format="openai")
    assert (one.name, one.expected, bare.name, bare.expected) == ("case 9", "Rome", "chat:1", None)
    assert one.told == "It is Rome.\nThe right answer is: Rome"
    assert "not known" in bare.told
    graph = one.graph
    assert [call.predictor for call in graph] == ["assistant", "weather", "weather", "assistant"]
    assert graph.predecessors("weather, turn 4") == ("assistant, turn 2",)
    assert graph.predecessors("assistant, turn 6") == ("assistant, turn 2", "weather, turn 3", "weather, turn 4")
    last = graph["assistant, turn 6"]
    assert last.instruction == "Answer questions about the weather."
    assert list(last.inputs.values()) == ["Is it warmer in Oslo or in Rome?", "Well?\n(image_url without a text)"]
    assert '{"city": "Oslo"}' in graph["assistant, turn 2"].outputs["turn_2"]
    with served(reader):
        assert diagnose_logs([one], subscribers=()).calls[0].call == "assistant, turn 2"


@pytest.mark.parametrize(("file", "format"), [("openinference.jsonl", "openinference"), ("mlflow.json", "mlflow")])
def test_an_exported_trace_of_dspy_shows_which_prediction_read_which_and_whose_it_is(file, format):
    (bare,) = read_logs(EXPORTED / file, format=format)
    (log,) = read_logs(EXPORTED / file, format=format, program=Liar())
    graph = log.graph
    assert [call.id for call in graph] == ["lookup[0]", "title[0]", "party[0]", "verdict.predict[0]"]
    assert graph.predecessors("title[0]") == graph.predecessors("party[0]") == ("lookup[0]",)
    assert graph.predecessors("verdict.predict[0]") == ("title[0]", "party[0]")
    assert [member.call.id for member in graph.group("output")] == ["verdict.predict[0]"] * 2
    assert graph["party[0]"].instruction == "State what the party says of the speaker's honesty."
    assert graph["title[0]"].outputs == {"hint": "a radio host holds no public office"}
    assert graph.inputs == {"statement": "Taxes fell by half.", "speaker": "Ann Smith"}
    assert not graph.warnings
    # Without the program two predictors with the same fields are told apart by what they were told.
    assert len({call.predictor for call in bare.graph}) == 4
    assert any("the job says" in call.predictor for call in bare.graph)


def test_what_people_said_of_a_trace_of_mlflow_is_what_was_wanted():
    (log,) = read_logs(EXPORTED / "mlflow.json", format="mlflow")
    assert log.told == "correct: False (A host is no source.)\nThe right answer is: false"


def test_predictors_that_a_program_does_not_tell_apart_are_named_by_their_fields_with_a_warning():
    program = Liar()
    program.party.signature = program.title.signature
    (log,) = read_logs(EXPORTED / "mlflow.json", format="mlflow", program=program)
    assert [call.predictor.partition(":")[0] for call in log.graph][1:3] == ["job -> hint"] * 2
    assert "or several" in log.graph.warnings[0]


def attribute(key, value):
    return {"key": key, "value": {"intValue": "3"} if key == "n" else {"stringValue": value}}


def otlp(name, number, parent, kind, *attributes, **more):
    times = {"startTimeUnixNano": str(number * 10), "endTimeUnixNano": str(99 if parent is None else number * 10 + 5)}
    state = {"traceId": "a1", "spanId": str(number), "name": name, **times, **more}
    kinds = [attribute("openinference.span.kind", kind), attribute("n", 3)]
    return {**state, "attributes": [*kinds, *attributes]} | ({} if parent is None else {"parentSpanId": str(parent)})


def test_spans_of_any_agent_by_otlp(tmp_path):
    sent, said = "llm.input_messages", "llm.output_messages.0.message"
    call = f"{said}.tool_calls.0.tool_call.function"
    spans = [
        otlp(
            "run", 0, None, "CHAIN", attribute("input.value", "Oslo?"), attribute("output.value", "It is cold there.")
        ),
        otlp("forecaster", 1, 0, "AGENT"),
        otlp(
            *("ChatOpenAI", 2, 1, "LLM", attribute(f"{sent}.0.message.role", "system")),
            *(attribute(f"{sent}.0.message.content", "Use the tool."), attribute(f"{call}.name", "weather")),
            attribute(f"{call}.arguments", '{"city": "Oslo, Minnesota"}'),
        ),
        otlp(
            *("weather", 3, 1, "TOOL", attribute("tool.name", "weather")),
            *(
                attribute("input.value", '{"city": "Oslo, Minnesota"}'),
                attribute("input.mime_type", "application/json"),
            ),
            attribute("output.value", "Eleven degrees below zero"),
        ),
        otlp(
            *("ChatOpenAI", 4, 1, "LLM", attribute(f"{sent}.0.message.role", "tool")),
            attribute(f"{sent}.0.message.content", "Eleven degrees below zero"),
            *(attribute(f"{said}.role", "assistant"), attribute(f"{said}.content", "It is cold there.")),
        ),
        otlp("weather", 5, 0, "TOOL", attribute("tool.name", "map"), status={"code": 2, "message": "no map"}),
    ]
    request = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    (log,) = read_logs(written(tmp_path, "otlp.json", request), format="openinference")
    graph = log.graph
    assert [call.id for call in graph] == ["forecaster[0]", "weather[0]", "forecaster[1]", "map[0]"]
    assert graph["map[0]"].error == "no map"
    assert graph["forecaster[0]"].instruction == "Use the tool."
    assert graph.predecessors("weather[0]") == ("forecaster[0]",)
    assert graph.predecessors("forecaster[1]") == ("weather[0]",)
    assert graph.predecessors("output") == ("forecaster[1]",)
    assert graph.inputs == {"input": "Oslo?"}


@pytest.mark.parametrize(
    ("text", "format", "said"),
    [
        ("{", "openai", "line 1"),
        ('{"messages": [{"role": "robot"}]}', "openai", "robot"),
        ('{"messages": [{"role": "user", "content": "Hello"}]}', "openai", "no agent"),
        ('{"history": 3}', "whoandwhen", "history"),
        ("", "openai", "no log"),
        ("[1]", "openai", "messages"),
        ("{}", "xml", "format"),
        ("{}", "mlflow", "data"),
        ('{"data": {"spans": []}}', "mlflow", "none of its spans"),
        ("{}", "openinference", "resourceSpans"),
        (
            '{"name": "a", "context": {"trace_id": "1", "span_id": "2"}, "parent_id": null}',
            "openinference",
            "none of its",
        ),
    ],
)
def test_what_is_no_log_is_refused_by_name(tmp_path, text, format, said):
    path = tmp_path / "log.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SetupError, match=said):
        read_logs(path, format=format)


@pytest.mark.parametrize("how", [{"logs": []}, {"logs": ["a"]}, {"window": 0}, {"method": "semantic"}])
def test_what_cannot_work_is_refused_before_anything_is_spent(team, how):
    with served(reader) as server, pytest.raises(SetupError):
        diagnose_logs(how.pop("logs", team), subscribers=(), **how)
    assert not server.requests


def test_without_a_language_model_there_is_nothing_to_ask(team):
    with pytest.raises(SetupError, match="gradient_lm"):
        diagnose_logs(team, subscribers=())
