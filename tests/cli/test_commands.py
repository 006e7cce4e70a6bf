"""The commands, through `main`: what they print, write and return, and what they refuse before anything is spent."""

from __future__ import annotations

import json
import os

import dspy
import pytest

from dspy_semantic_backprop.testing import Faults
from tests.cli.world import World
from tests.scripted import careful, questions, served

ON = "app:Chain train.jsonl --inputs question"
WITH = f"{ON} --metric app:metric"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    world, before = World(tmp_path_factory.mktemp("user")), os.getcwd()
    os.chdir(world.folder)
    yield world
    os.chdir(before)
    world.close()


@pytest.fixture
def world(place, capsys):
    with served(careful) as server:
        yield lambda command: place.run(capsys, command), server


def test_a_graph_of_one_example_and_of_several(world):
    run, _ = world
    assert "judge[0]\n      <- draft[0].draft as draft (data, identity)" in run(f"graph {ON} --example 1").out
    assert run(f"graph {ON} --first 2").out.startswith("ProgramGraph")
    assert "flowchart" in run(f"graph {ON} --format mermaid").out
    assert json.loads(run(f"graph {ON} --format json").out)["calls"]


def test_what_every_call_was_told(world):
    run, _ = world
    assert "should be careful" in run(f"explain {WITH}").out
    assert json.loads(run(f"explain {WITH} --json").out)["score"] == 0


def test_who_is_to_blame_and_whether_it_is_worth_it(world):
    run, _ = world
    assert run(f"diagnose {WITH} --checks 1 --yes").out.startswith("8 of 8 examples failed")
    told = run(f"preflight {WITH} --repeats 2 --candidates 1 --steps 1 --yes")
    assert told.out.startswith("Is it worth optimising? GO") and told.err.startswith("about ")


def test_who_is_to_blame_in_logs_of_others(world, monkeypatch):
    run, server = world
    messages = [{"role": "assistant", "content": "A sloppy start."}, {"role": "assistant", "content": "The end."}]
    with open("chats.jsonl", "w", encoding="utf-8") as file:
        file.write(json.dumps({"id": "one", "messages": messages, "expected": "Another end."}))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_API_BASE", server.url)
    command = f"diagnose-logs chats.jsonl --format openai --model openai/{server.model}"
    refused = run(command)
    assert refused.status == 2 and "about 1 language-model calls" in refused.err and not server.requests
    told = run(f"{command} --yes")
    assert told.out.startswith("1 of 1 logs were gone through") and "assistant, turn 0" in told.out
    assert json.loads(run(f"{command} --yes --json").out)["logs"] == ["one"]
    assert run(f"diagnose-logs nothing.json --format openai --model openai/{server.model}").status == 2


def test_a_compiled_program_is_saved_runs_and_is_listed(world, place):
    run, server = world
    done = run(f"compile {WITH} --steps 1 --yes --output better.json --log-dir runs/first")
    assert done.status == 0 and done.out.rstrip().endswith("saved to better.json")
    assert "1 step: about" in done.err
    paid = len(server.log)
    again = run(f"compile {WITH} --steps 1 --yes --output again.json --log-dir runs/first")
    assert again.status == 0 and "calls of it are paid for" in again.err
    assert f"resumed: {paid} of {paid} answers were known" in again.out
    assert len(server.log) == paid, "a second run pays for nothing"
    assert json.loads(run(f"explain {WITH} --load better.json --json").out)["score"] == 1
    (place.folder / "runs" / "other").mkdir()
    (place.folder / "runs" / "other" / "journal.jsonl").write_text("no log\n", encoding="utf-8")
    listed = json.loads(run("runs runs --json").out)
    assert [(one["state"], one["resumable"]) for one in listed] == [("steps", True), ("unreadable", False)]
    assert listed[0]["program"] == "Chain" and listed[0]["score"] == 1 and listed[0]["spent"]["calls"] > 0
    assert "not resumable: " in run("runs runs").out
    assert "0 of 2 instructions differ" in run("compare runs/first better.json").out
    assert run("report runs/first --output page.html").out == "written to page.html\n"
    assert "Be careful." in (place.folder / "page.html").read_text(encoding="utf-8")


REFUSED = {
    "graph app.Chain train.jsonl --inputs question": "must be given as module:attribute",
    "graph app:Chains train.jsonl --inputs question": "did you mean",
    "graph app:nothing_alike train.jsonl --inputs question": "has no nothing_alike; it has Chain, ",
    "graph nowhere:Chain train.jsonl --inputs question": "cannot be imported: ModuleNotFoundError",
    "graph app:broken train.jsonl --inputs question": "cannot be made without arguments: ValueError: no such index",
    "graph app:metric train.jsonl --inputs question": "cannot be made without arguments",
    "graph app:Chain train.jsonl --inputs ,": "--inputs names no field",
    f"compile {WITH} --output better.json --yes --group topic": "it has no such field",
    "graph app:Chain absent.jsonl --inputs question": "No such file or directory",
    "graph app:Chain train.jsonl --inputs questoin": "line 1 of train.jsonl has no field 'questoin'",
    "graph app:Chain train.jsonl --inputs question --example 8": "there are 8 examples, counted from 0",
    "graph app:Chain damaged.jsonl --inputs question": "line 2 of damaged.jsonl is no JSON",
    "graph app:Chain empty.jsonl --inputs question": "holds no examples",
    f"diagnose {WITH}": "add --yes",
    f"preflight {WITH}": "add --yes",
    f"compile {WITH} --output better.json": "add --yes",
    f"compile {WITH} --output better.txt --yes": "must end in .json or .pkl",
    f"compile {WITH} --output absent/better.json --yes": "make it first",
    f"compile {WITH} --output better.json --yes --method provn": "did you mean proven?",
    f"compile {WITH} --output better.json --yes --method nothing": "there is no such preset; the presets are semantic",
    f"compile {WITH} --output better.json --yes --max-calls 0": "budget.calls must be a whole number above 0",
    f"compile {WITH} --output better.json --yes --steps 2 --auto light": "give one of them",
    f"compile {WITH} --output better.json --yes --where somewhere": "where must be 'threads', 'processes'",
    f"diagnose {WITH} --yes --where 0": "where must be 'threads', 'processes'",
    f"check {WITH} --baseline baseline.json --write-baseline --yes --where nowhere://1": "--where nowhere://1",
    f"explain {WITH} --load train.jsonl": "cannot be loaded",
    "runs absent": "is no folder",
    "report absent": "absent",
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_cannot_work_is_one_sentence_before_anything_is_spent(command, world, place):
    run, server = world
    (place.folder / "damaged.jsonl").write_text('{"question": "?"}\n{"question"', encoding="utf-8")
    (place.folder / "empty.jsonl").write_text("\n", encoding="utf-8")
    ended = run(command)
    assert ended.status == 2 and not ended.out and not server.log
    assert REFUSED[command] in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err


def test_without_a_model_it_is_said_how_to_name_one(place, capsys):
    ended = place.run(capsys, f"explain {WITH}")
    assert ended.status == 2 and "--model" in ended.err


def test_without_a_key_it_is_said_where_it_goes(place, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ended = place.run(capsys, f"explain {WITH} --model openai/gpt-4.1-mini")
    assert ended.status == 2 and "OPENAI_API_KEY" in ended.err


def test_a_metric_that_ends_the_process_ends_nothing_well(world):
    run, _ = world
    ended = run("explain app:Chain train.jsonl --inputs question --metric app:leaves")
    assert ended.status == 2


def test_the_answer_at_a_terminal_decides(world, monkeypatch):
    run, server = world
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda: "n")
    assert "not agreed to" in run(f"diagnose {WITH} --checks 0").err and not server.log
    monkeypatch.setattr("builtins.input", lambda: "y")
    assert run(f"diagnose {WITH} --checks 0").status == 0


def test_hostile_text_reaches_no_terminal(world, place):
    run, _ = world
    place.write("hostile.jsonl", [{"question": "\x1b]0;owned\x07 \u202e", "answer": "\x1b[2J"}])
    ended = run("explain app:Chain hostile.jsonl --inputs question --metric app:metric")
    assert ended.status == 0 and "\x1b" not in ended.out + ended.err and "\u202e" not in ended.out
    assert dspy.settings.lm is not None
    ended = run("runs . --\x1b[31m")
    assert ended.status == 2 and "unrecognized arguments: --\\u001b[31m" in ended.err


def test_help_names_every_command(world):
    run, _ = world
    help_ = run("--help")
    assert help_.status == 0
    for name in ("graph", "explain", "diagnose", "preflight", "compile", "check", "report", "compare", "runs"):
        assert f"\n    {name}" in help_.out
    compiled, logs = run("compile --help").out, run("diagnose-logs --help").out
    assert "the most US dollars" in compiled and "(default: 0)" in compiled
    assert max(map(len, logs.splitlines())) <= 80 and "what the files hold: openai, " in logs


def test_what_a_program_reads_holds_the_record_alone(world):
    run, _ = world
    ended = run(f"compile {WITH} --steps 1 --yes --output other.json --json")
    assert json.loads(ended.out)["ending"] == "all steps were made"


def test_a_run_that_fails_half_way_leaves_the_best_program(place, capsys):
    # The key is refused after the first step.
    rows = [dict(one) for one in questions(8)]
    place.write("hard.jsonl", [{**row, "answer": "?"} if at > 5 else row for at, row in enumerate(rows)])
    with served(careful, faults=Faults(auth=1.0, spared=42), num_retries=0):
        ended = place.run(
            capsys, f"compile {WITH.replace('train', 'hard')} --steps 6 --method published --yes --output rescued.json"
        )
    assert ended.status == 2 and "Incorrect API key" in ended.err
    assert "saved to rescued.json" in ended.out and "Be careful." in (place.folder / "rescued.json").read_text("utf-8")


def test_a_graph_of_an_execution_that_failed_is_shown_and_not_done_well(place, capsys):
    with served(careful, faults=Faults(auth=1.0), num_retries=0):
        ended = place.run(capsys, f"graph {ON}")
    assert ended.status == 2 and "FAILED" in ended.out and "Incorrect API key" in ended.err
