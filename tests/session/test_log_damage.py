"""A log that was damaged or forged is noticed before it decides anything."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import JournalError
from dspy_semantic_backprop._session.lines import line_of
from tests.optimizer.test_resume import compiled, outcome, slowly_careful
from tests.scripted import served
from tests.session.test_log_file import FILE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kinds of files and modes are POSIX")


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Iterator[tuple[Path, Any, Any]]:
    """The log of a run of several steps, its result, and the server that answered."""
    folder = tmp_path_factory.mktemp("whole")
    with served(slowly_careful) as server:
        yield folder, compiled(folder, num_threads=1), server


@pytest.fixture
def again(log, tmp_path) -> Iterator[Callable[[bytes], Any]]:
    """Resume from a log of other bytes; nothing may be sent."""
    folder, server = tmp_path / "again", log[2]
    shutil.copytree(log[0], folder)
    before = len(server.log)

    def resume(data: bytes) -> Any:
        (folder / FILE).write_bytes(data)
        return compiled(folder, num_threads=1)

    with dspy.context(lm=server.lm(cache=False, num_retries=8)):
        yield resume
    assert len(server.log) == before


def test_every_flipped_bit_is_noticed(log, again, caplog):
    data = (log[0] / FILE).read_bytes()
    rng = random.Random(0)
    places = [*range(len(data) - 20, len(data)), *rng.sample(range(len(data)), 200)]
    for at in places:
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        with pytest.raises(JournalError, match=r"cannot be read|no log of this|another version|begin with a run"):
            again(bytes(changed))
    caplog.clear()


@pytest.mark.parametrize("at", [1, 5, 40, -3])
def test_a_lost_line_is_noticed_and_said_where(at, log, again):
    lines = (log[0] / FILE).read_bytes().splitlines(True)
    number = at % len(lines)
    with pytest.raises(JournalError, match=rf"line {number + 1} .*line number {number + 1} is lost.*head -n {number}"):
        again(b"".join(lines[:number] + lines[number + 1 :]))


def test_what_stands_before_a_damaged_line_is_a_log_to_go_on_from(log, tmp_path):
    lines = (log[0] / FILE).read_bytes().splitlines(True)
    (tmp_path / FILE).write_bytes(b"".join(lines[:40]))
    server = log[2]
    before = len(server.log)
    with dspy.context(lm=server.lm(cache=False, num_retries=8)):
        resumed = compiled(tmp_path, num_threads=1)
    assert len(server.log) - before < log[1].total.calls
    assert outcome(resumed)["instructions"] == outcome(log[1])["instructions"]


def test_lines_that_stand_doubled_or_elsewhere_are_read_once_in_their_place(log, again, caplog):
    lines = (log[0] / FILE).read_bytes().splitlines(True)
    for changed in (
        [lines[0], *[line for line in lines[1:] for _ in range(2)]],
        [lines[0], *reversed(lines[1:])],
        random.Random(0).sample(lines[1:], len(lines) - 1) + lines[:1],
        lines + lines[10:20],
    ):
        caplog.clear()
        assert outcome(again(b"".join(changed))) == outcome(log[1])
        assert "doubled or in another order" in caplog.text


def test_a_line_of_another_log_is_noticed(log, again):
    lines = (log[0] / FILE).read_bytes().splitlines(True)
    other = {name: value for name, value in json.loads(lines[20]).items() if name not in ("line", "sum")}
    with pytest.raises(JournalError, match="another line bears its number"):
        again(b"".join([*lines[:30], line_of(21, {**other, "at": "yesterday"}), *lines[30:]]))


def forged(data: bytes, event: str, **fields: Any) -> bytes:
    """A log in which the first line of a kind has other values, under a checksum that fits."""
    lines = data.splitlines(True)
    at = next(at for at, line in enumerate(lines) if json.loads(line)["event"] == event)
    line = {name: value for name, value in json.loads(lines[at]).items() if name not in ("line", "sum")}
    lines[at] = line_of(at + 1, {**line, **fields})
    return b"".join(lines)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("answer", {"spent": {"calls": -1000}}),
        ("answer", {"spent": {"prompt_tokens": -5}}),
        ("answer", {"spent": {"usd": -0.5}}),
        ("answer", {"spent": {"usd": "0.5"}}),
        ("answer", {"spent": {"calls": True}}),
        ("answer", {"spent": {"calls": 1.5}}),
        ("answer", {"spent": {"cows": 1}}),
        ("answer", {"spent": 5}),
        ("answer", {"usage": 5}),
        ("answer", {"outputs": True}),
        ("answer", {"outputs": {"text": "yes"}}),
        ("answer", {"key": 5}),
        ("answer", {"ticket": "1"}),
        ("answer", {"purpose": "fun"}),
        ("answer", {"seconds": -1.0}),
        ("answer", {"seconds": "long ago"}),
        ("sent", {"bound": {"calls": -1}}),
        ("sent", {"bound": {"tokens": None}}),
        ("sent", {"ticket": -1}),
        ("sent", {"ticket": None}),
        ("StepDone", {"step": "first"}),
        ("kept", {"key": None}),
    ],
)
def test_values_that_no_run_writes_lift_no_budget(event, fields, log, again):
    with pytest.raises(JournalError, match="cannot be read"):
        again(forged((log[0] / FILE).read_bytes(), event, **fields))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number, log, again):
    data = forged((log[0] / FILE).read_bytes(), "answer", seconds=123456789.25).replace(
        b"123456789.25", number.encode()
    )
    with pytest.raises(JournalError, match="cannot be read"):
        again(data)


@pytest.mark.parametrize(
    "value", [5, "high", [], {"score": "high", "feedback": None}, {"feedback": "fine"}, {"score": [1.0]}]
)
def test_a_grade_that_cannot_be_ends_the_run_with_the_best_so_far(value, log, again):
    data = forged((log[0] / FILE).read_bytes(), "kept", value=value)
    with pytest.raises(JournalError, match="holds a value that cannot be") as caught:
        again(data)
    assert hasattr(caught.value, "best")


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("projected", lambda value: value[:-1]),
        ("projected", lambda value: [-1, *value[1:]]),
        ("measured", lambda value: {"calls": 1.0}),
        ("edges", lambda value: [{**value[0], "target": {**value[0]["target"], "call": "\x1b[31mnobody"}}]),
    ],
)
def test_what_was_worked_out_and_cannot_be_ends_the_run_with_a_typed_error(what, change, log, again):
    lines = (log[0] / FILE).read_bytes().splitlines(True)
    at = next(at for at, line in enumerate(lines) if json.loads(line).get("what") == what)
    line = {name: value for name, value in json.loads(lines[at]).items() if name not in ("line", "sum")}
    lines[at] = line_of(at + 1, {**line, "value": change(line["value"])})
    with pytest.raises(JournalError, match="holds a value that cannot be") as caught:
        again(b"".join(lines))
    assert hasattr(caught.value, "best")
    assert "\x1b" not in str(caught.value)


def test_the_version_of_a_forged_log_reaches_no_terminal(log, again):
    with pytest.raises(JournalError, match="another version") as caught:
        again(forged((log[0] / FILE).read_bytes(), "run", version="\x1b[31mred"))
    assert "\x1b" not in str(caught.value)


def test_a_log_without_checksums_is_refused_as_an_older_one(log, again):
    lines = []
    for text in (log[0] / FILE).read_text().splitlines():
        line = json.loads(text)
        del line["sum"], line["line"]
        lines.append(json.dumps(line | ({"schema": 1} if line["event"] == "run" else {})))
    with pytest.raises(JournalError, match=r"another version of this package \(schema 1, here 2\)"):
        again("\n".join([*lines, ""]).encode())
