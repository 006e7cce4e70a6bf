"""The study of Who&When on logs of our own: arms, floors, and a run that goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
import whoandwhen

from tests.scripted import served


def log(number: int, fault: int):
    said = [f"Step {at} of case {number}{', sloppy' if at == fault else ''}." for at in range(4)]
    history = [{"role": "human", "content": "Solve it."}]
    history += [
        {"role": f"{'Planner' if at % 2 == 0 else 'Worker'} (-> all)", "content": text} for at, text in enumerate(said)
    ]
    labels = {"mistake_agent": "Planner" if fault % 2 == 0 else "Worker", "mistake_step": str(fault + 1)}
    return {"file": f"{number}.json", "question": "Solve it.", "ground_truth": "42", "history": history, **labels}


def reader(prompt):
    """Sees what is sloppy, in a group of outputs, in a list of turns, and in the last turn of several."""
    turns = prompt.inputs.get("turns", "").splitlines()
    wrong = next((line for line in turns if "sloppy" in line), "[1] Planner:")
    steps = {f"turn {wrong[1:2]}": 0.9, "Planner": 1.0}
    known: dict[str, Any] = {"agents": {wrong.split()[1].strip(":"): 1.0, "nobody": 0.1}, "steps": steps}
    known |= {"mistaken": "sloppy" in turns[-1] if turns else False, "reasoning": "It is sloppy."}
    sloppy = [name for name, text in prompt.inputs.items() if name.startswith("output_") and "sloppy" in text]
    for name in prompt.names:
        if name.startswith("change_"):
            output = name.replace("change_", "output_")
            own = not sloppy and "sloppy" in prompt.inputs["reader_output"]
            # An answer that repeats the wanted change is none.
            told = "The instruction should ask for a check." if own else "Check it against the task before going on."
            asked = output in sloppy if output in prompt.inputs else own
            known[name] = told if asked else "No change needed."
    return {name: known.get(name, "") for name in prompt.names}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    data = folder / "data"
    data.mkdir()
    lines = [json.dumps(log(number, fault)) for number, fault in enumerate((0, 0, 1))]
    (data / "small.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with served(reader) as server:
        arguments = ["--data", str(data), "--base_model", f"openai/{server.model}", "--api_base", server.url]
        arguments += ["--lines", str(folder / "lines.jsonl"), "--record", str(folder / "record.json"), "--window", "3"]
        first = whoandwhen.main(arguments)
        asked = server.requests
        second = whoandwhen.main(arguments)
    return first, second, asked, server.requests


def test_each_arm_has_a_row_beside_the_floors(run):
    found = {row["arm"]: row for row in run[0]["rows"]}
    assert {"chance", "first speaker", *whoandwhen.ARMS} <= set(found)
    assert found["first speaker"]["agent"] == pytest.approx(2 / 3)
    assert found["always step 1"]["step"] == pytest.approx(2 / 3)
    for arm in whoandwhen.ARMS:
        assert (found[arm]["agent"], found[arm]["step"], found[arm]["n"]) == (1, 1, 3), arm
        assert found[arm]["tokens"] > 0 and found[arm]["agent_interval"][0] < 1
    assert run[0]["data"] == {"small": {"logs": 3, "labels_disagree": 0}}
    assert run[0]["commit"] and run[0]["command"] and run[0]["date"]


def test_what_was_answered_is_not_asked_again(run):
    first, second, asked, again = run
    assert asked == again
    assert [row for row in second["rows"] if row["arm"] != "pooled"] == [
        row for row in first["rows"] if row["arm"] != "pooled"
    ]


def test_without_the_data_it_says_that_it_is_skipped(tmp_path, capsys):
    assert whoandwhen.main(["--data", str(tmp_path / "none")]) is None
    assert "SKIPPED" in capsys.readouterr().err
