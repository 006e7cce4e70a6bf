"""What the report of a run holds, from its result and from its log alone, and what a comparison says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dspy_semantic_backprop import (
    JournalError,
    MetricError,
    Result,
    SemanticGradientDescent,
    SetupError,
    compare,
    report,
)
from tests.cli.world import World
from tests.optimizer.test_compile import Chain
from tests.report.conftest import HOSTILE, TRAIN
from tests.scripted import careful, number_from_the_start, right, served


def data_of(page: Path) -> dict:
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"))
    return json.loads(block)


def test_a_result_and_its_log_give_the_same_report(ran, tmp_path):
    one = data_of(ran.report(tmp_path / "one.html"))
    other = data_of(report(ran.log_dir, tmp_path / "other.html"))
    assert one == other


def test_it_holds_graph_blame_gradients_and_both_answers(ran, tmp_path):
    data = data_of(report(ran, tmp_path / "run.html"))
    assert [node["predictor"] for node in data["graph"]["nodes"]] == ["draft", "judge"]
    step = data["steps"][0]
    assert set(step["blame"]) == {"draft", "judge"}
    assert any("</script><script>" in text for one in step["gradients"] for text in one["calls"].values())
    fixed = next(one for one in data["examples"] if one["example"] == step["fixes"][0])
    before, after = fixed["answers"]["0"], fixed["answers"][str(step["candidates"][0])]
    assert (before["returned"]["answer"], after["returned"]["answer"]) == ("sloppy answer", "careful answer")
    assert (before["calls"]["draft[0]"], after["calls"]["draft[0]"]) == ("draft: sloppy draft", "draft: careful draft")
    assert fixed["inputs"]["question"].endswith(HOSTILE)
    assert fixed["expected"] == {"answer": "careful answer"}
    assert data["curve"][-1]["calls"] == sum(one["calls"] for one in data["spent"].values())
    assert [point["step"] for point in data["curve"] if "step" in point] == [0]


def test_no_text_ends_the_block_of_data_or_escapes_the_policy(ran, tmp_path):
    text = ran.report(tmp_path / "run.html").read_text("utf-8")
    assert text.count("<script") == text.count("</script>") == 2
    assert "default-src 'none'" in text and "unsafe" not in text.split("<style>")[0]
    assert {address.split("/")[2] for address in re.findall(r"https?://\w[^\s\"'`]*", text)} == {"www.w3.org"}


def test_long_texts_are_cut_with_a_note_and_the_file_stays_small(ran, tmp_path):
    state = ran.to_dict()
    for example in state["examples"]:
        for answer in example["answers"].values():
            answer["returned"] = {"answer": "x" * 1_000_000 + "\ud800"}
    file = Result.from_dict(state).report(tmp_path / "run.html")
    assert file.stat().st_size < 2_000_000
    assert "[960,001 more characters are not in this page]" in file.read_text("utf-8")


def test_the_log_of_a_run_that_did_not_end_says_so(ran, tmp_path):
    lines = (Path(ran.log_dir) / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (end,) = [at for at, line in enumerate(lines) if line.startswith(b'{"event":"RunDone"')]
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines[:end]) + b'{"event":"torn')
    data = data_of(report(tmp_path, tmp_path / "run.html"))
    assert not data["ending"] and "did not end" not in data["reason"]
    assert "the log ends before the run did" in data["reason"]
    assert data["steps"] == [one for one in ran.to_dict()["steps"]]
    assert [node["predictor"] for node in data["graph"]["nodes"]] == ["draft", "judge"]
    assert data["instructions"]["before"] == ran.instructions_before
    assert data["spent"] == {purpose: one for purpose, one in ran.to_dict()["spent"].items()}


@pytest.mark.parametrize("stop", [RuntimeError("no such column"), KeyboardInterrupt()])
def test_the_log_of_a_run_that_an_error_ended_tells_what_it_was(stop, tmp_path, capsys):
    def fails(example, prediction, trace=None):
        if prediction.answer == "careful answer":
            raise stop
        return right(example, prediction, trace)

    for again in ("", "again"):  # the second time everything up to there is known, and nothing is told twice
        number_from_the_start()
        with served(careful), pytest.raises((MetricError, KeyboardInterrupt)):
            optimizer = SemanticGradientDescent(fails, steps=2, subscribers=(), log_dir=tmp_path, num_threads=1)
            optimizer.compile(Chain(), trainset=TRAIN[:4])
        data = data_of(report(tmp_path, tmp_path / f"{again}run.html"))
        words = "by Ctrl-C" if isinstance(stop, KeyboardInterrupt) else "no such column"
        assert words in data["reason"] and data["ending"] in ("the run failed", "the run was interrupted")
        assert data["spent"] and data["examples"] and data["score"]["before"] == 0.0
        (told,) = json.loads(World(tmp_path).run(capsys, f"runs {tmp_path} --json").out)
        assert told["state"] in ("failed", "interrupted") and words in told["why"] and told["resumable"]


def test_what_is_no_log_and_what_cannot_be_written_is_refused(ran, tmp_path):
    with pytest.raises(JournalError, match="holds no log"):
        report(tmp_path, tmp_path / "run.html")
    (tmp_path / "journal.jsonl").write_text("a diary")
    with pytest.raises(JournalError, match="no log of this package"):
        report(tmp_path, tmp_path / "run.html")
    with pytest.raises(SetupError, match="cannot be written"):
        ran.report(tmp_path / "no" / "folder.html")
    with pytest.raises(SetupError, match="no program that was saved"):
        compare(ran, tmp_path / "journal.jsonl")


def test_two_runs_are_compared_from_a_result_a_log_and_a_saved_program(ran, tmp_path):
    with served(careful):
        other = SemanticGradientDescent(right, steps=0, subscribers=()).compile(Chain(), trainset=TRAIN)
    other.save(str(tmp_path / "start.json"))
    found = compare(Result.of(other), ran.log_dir, tmp_path / "both.html")
    assert found.scores is not None
    assert (found.scores.before, found.scores.after, found.scores.regressions) == (0.0, 1.0, 0)
    assert found.changed == ("draft", "judge")
    assert data_of(tmp_path / "both.html") | found.to_dict() == data_of(tmp_path / "both.html")
    saved = compare(ran, tmp_path / "start.json")
    assert saved.scores is None
    assert "keeps no scores" in str(saved)
    assert saved.changed == found.changed
    assert max(map(len, str(found).splitlines())) <= 80
