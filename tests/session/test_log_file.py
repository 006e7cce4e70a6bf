"""A log that was damaged, forged, taken away or put there by somebody else is noticed before it decides anything."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import JournalError, SemanticGradientDescent
from dspy_semantic_backprop._session.lines import line_of
from tests.optimizer.test_resume import Fan, compiled, outcome, slowly_careful
from tests.scripted import careful, questions, right, served

FILE, KEY, LOCK = "journal.jsonl", "journal.key", "journal.lock"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="kinds of files and modes are POSIX")


def quick(folder: Any, metric: Any = right, **settings: Any) -> Any:
    settings = {"steps": 0, "subscribers": (), **settings}
    optimizer = SemanticGradientDescent(metric, log_dir=folder, **settings)
    return optimizer.compile(Fan(), trainset=questions(3)).detailed_results


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
    places = [*range(len(data) - 20, len(data) - 1), *rng.sample(range(len(data)), 200)]
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


def test_a_log_without_checksums_is_refused_as_an_older_one(log, again):
    lines = []
    for text in (log[0] / FILE).read_text().splitlines():
        line = json.loads(text)
        del line["sum"], line["line"]
        lines.append(json.dumps(line | ({"schema": 1} if line["event"] == "run" else {})))
    with pytest.raises(JournalError, match=r"another version of this package \(schema 1, here 2\)"):
        again("\n".join([*lines, ""]).encode())


# Somebody else's files


def a_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def a_dangling_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("nothing"))


def a_link_to_a_device(path: Path, victim: Path) -> None:
    path.symlink_to("/dev/zero")


def a_pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path, victim: Path) -> None:
    path.mkdir()


def a_socket(path: Path, victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(path.parent)  # such names are short
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize("name", [FILE, KEY, LOCK])
@pytest.mark.parametrize("put", [a_link, a_dangling_link, a_link_to_a_device, a_pipe, a_folder, a_socket])
def test_what_is_no_file_of_ours_is_refused_at_once_and_left_alone(put, name, tmp_path):
    victim, folder = tmp_path / "victim", tmp_path / "log"
    victim.write_text("the only copy")
    folder.mkdir()
    put(folder / name, victim)
    with served(careful) as server:
        with pytest.raises(JournalError, match=f"{name} is a .* and no file of this package"):
            quick(folder)
        assert not server.log
    assert victim.read_text() == "the only copy"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("name", [FILE, KEY])
@pytest.mark.parametrize(
    "content",
    [
        b"the only copy",
        b"several lines\nof text\n",
        b'{"event":"click","at":1}\n{"event":"click","at":2}\n',
        b'{"event":"click","at":1',
        b"\x00\xff\xfe binary \n",
        b"\n",
        b"{}\n[]\n",
    ],
)
def test_a_file_of_others_is_never_emptied(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with served(careful) as server:
        with pytest.raises(JournalError, match=r"no (log|key) of this package|cannot be read"):
            quick(tmp_path)
        assert not server.log
    assert (tmp_path / name).read_bytes() == content


def test_an_empty_file_and_a_head_that_was_cut_are_a_new_log(tmp_path):
    with served(careful):
        (tmp_path / FILE).touch()
        quick(tmp_path)
        data = (tmp_path / FILE).read_bytes()
        (tmp_path / FILE).write_bytes(data[: data.index(b"\n") // 2])
        quick(tmp_path)
    assert (tmp_path / FILE).read_bytes().startswith(b'{"event":"run"')


def test_a_folder_that_is_a_link_is_used(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "latest").symlink_to(tmp_path / "real")
    with served(careful):
        quick(tmp_path / "latest")
    assert (tmp_path / "real" / FILE).stat().st_size


def test_files_are_readable_by_their_owner_only(tmp_path):
    before = os.umask(0)
    try:
        with served(careful):
            quick(tmp_path / "log", gradient_cache=tmp_path / "answers", steps=1)
            (tmp_path / "log" / FILE).chmod(0o644)
            quick(tmp_path / "log", gradient_cache=tmp_path / "answers", steps=1)
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} > {FILE, KEY, LOCK}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700


# Paths


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("with\0nul", "no path can hold the character NUL"),
        ("x" * 300, "File name too long"),
        ("file/below", "is a file, and no folder"),
        ("file", "is a file, and no folder"),
        ("", "it names no folder"),
        ("\ud800", "cannot be used"),
    ],
)
def test_a_path_that_cannot_be_is_refused_in_words(name, said, tmp_path):
    (tmp_path / "file").write_text("")
    with served(careful) as server:
        with pytest.raises(JournalError, match=said):
            quick(f"{tmp_path}/{name}" if name else "")
        assert not server.log


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EIO])
@pytest.mark.parametrize("function", ["mkdir", "open", "write"])
def test_what_the_system_refuses_is_refused_in_its_words(function, number, tmp_path, monkeypatch):
    real = getattr(os, function)

    def refuse(what: Any, *args: Any, **kwargs: Any) -> Any:
        if function == "write" or str(what).startswith(str(tmp_path)):
            raise OSError(number, os.strerror(number), str(what))
        return real(what, *args, **kwargs)

    with served(careful) as server:
        with monkeypatch.context() as patch:
            patch.setattr(os, function, refuse)
            with pytest.raises(JournalError, match=os.strerror(number)):
                quick(tmp_path / "log")
        assert not server.log
        # The folder is nobody's any more.
        quick(tmp_path / "log")


# During the run


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def move_folder(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def remove_file(folder: Path) -> None:
    (folder / FILE).unlink()


def replace_file(folder: Path) -> None:
    shutil.copy(folder / FILE, folder / "copy")
    (folder / "copy").replace(folder / FILE)


def empty_file(folder: Path) -> None:
    (folder / FILE).write_text("")


def write_to_file(folder: Path) -> None:
    with (folder / FILE).open("ab") as file:
        file.write(b"a line of somebody else\n")


@pytest.mark.parametrize(
    "harm",
    [remove_folder, move_folder, remove_file, replace_file, empty_file, write_to_file],
    ids=lambda one: one.__name__,
)
def test_a_log_that_is_taken_away_ends_the_run_with_a_reason_and_the_best_so_far(harm, tmp_path):
    folder = tmp_path / "log"
    sent: list[int] = []

    with served(slowly_careful) as server:

        def harmful(event: Any) -> None:
            if type(event).__name__ == "StepDone" and not sent:
                harm(folder)
                sent.append(len(server.log))

        result = compiled(folder, subscribers=[harmful], num_threads=1)
        assert result.ending.name == "JOURNAL"
        assert "cannot be written" in result.reason
        # What cannot be kept is not paid for.
        assert len(server.log) == sent[0]
    assert len(result.steps) == 1


def test_a_relative_folder_outlasts_a_change_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with served(careful):
        result = quick("log", subscribers=[lambda event: os.chdir("/")])
    assert result.ending.name == "STEPS"
    assert (tmp_path / "log" / FILE).stat().st_size


def test_an_end_that_cannot_be_written_is_said(tmp_path):
    def harmful(event: Any) -> None:
        if type(event).__name__ == "EvaluationDone":
            remove_file(tmp_path)

    with served(careful):
        result = quick(tmp_path, subscribers=[harmful])
    assert result.ending.name == "JOURNAL" or "does not stand in its log" in str(result.warnings)


# What makes another run


class Judge:
    def __init__(self, least: float, words: Any = ()):
        self.least = least
        self.words = set(words)

    def __call__(self, example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return float(right(example, prediction) >= self.least)

    def judge(self, example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return self(example, prediction)


def closing(least: float) -> Any:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return float(right(example, prediction) >= least)

    return metric


def defaulting(least: float) -> Any:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None, *, most: float = least) -> float:
        return float(right(example, prediction) >= most)

    return metric


def taking(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None, *, least: float = 0.0) -> float:
    return float(right(example, prediction) >= least)


LEAST = 0.0


def looking_up(least: float) -> Any:
    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return float(right(example, prediction) >= LEAST)

    metric.__globals__["LEAST"] = least
    return metric


MAKERS: list[Callable[[float], Any]] = [
    closing,
    defaulting,
    looking_up,
    lambda least: partial(taking, least=least),
    lambda least: Judge(least, ["some", "words", "in", "no", "order"]),
    lambda least: Judge(least).judge,
    lambda least: partial(Judge(least).judge),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_metric_is_known_by_what_it_holds_and_that_stands_nowhere(make, tmp_path):
    with served(careful):
        first = quick(tmp_path, make(0.123456))
        assert outcome(quick(tmp_path, make(0.123456))) == outcome(first)
        with pytest.raises(JournalError, match=r"settings.metric.holds\.") as caught:
            quick(tmp_path, make(0.654321))
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in (*texts, str(caught.value)) if "123456" in text or "654321" in text]


class Keeping(Fan):
    def __init__(self, kept: Any):
        super().__init__()
        self.kept = kept


@pytest.mark.parametrize(("one", "other"), [(3, 5), (["a"], ["b"]), ({"x": 1}, {"x": 2}), ({1, 2}, {1, 3})])
def test_a_program_is_known_by_what_it_holds(one, other, tmp_path):
    def run(kept: Any) -> Any:
        optimizer = SemanticGradientDescent(right, log_dir=tmp_path, steps=0, subscribers=())
        return optimizer.compile(Keeping(kept), trainset=questions(3)).detailed_results

    with served(careful):
        assert outcome(run(one)) == outcome(run(one))
        with pytest.raises(JournalError, match=r"program.holds.*kept"):
            run(other)


def test_a_log_that_is_shown_without_its_key_tells_no_digest_to_compare_with_and_is_gone_on_from(tmp_path, caplog):
    with served(careful) as server:
        first = quick(tmp_path / "one", closing(0.5))
        (tmp_path / "two").mkdir()
        shutil.copy(tmp_path / "one" / FILE, tmp_path / "two" / FILE)
        before = len(server.log)
        assert outcome(quick(tmp_path / "two", closing(0.5))) == outcome(first)
        assert len(server.log) == before
        assert "without its journal.key" in caplog.text
        quick(tmp_path / "three", closing(0.5))
    heads = [(tmp_path / name / FILE).read_text().splitlines()[0] for name in ("one", "three")]
    held = [json.loads(head)["settings"]["metric"]["holds"] for head in heads]
    assert held[0]["least"] != held[1]["least"]
