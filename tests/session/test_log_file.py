"""A log that was taken away, put there by somebody else, or that the system refuses ends the run in words."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from dspy_semantic_backprop import JournalError, SemanticGradientDescent
from tests.optimizer.test_resume import Fan, compiled, slowly_careful
from tests.scripted import careful, questions, right, served

FILE, KEY, LOCK = "journal.jsonl", "journal.key", "journal.lock"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="kinds of files and modes are POSIX")


def quick(folder: Any, metric: Any = right, **settings: Any) -> Any:
    settings = {"steps": 0, "subscribers": (), **settings}
    optimizer = SemanticGradientDescent(metric, log_dir=folder, **settings)
    return optimizer.compile(Fan(), trainset=questions(3)).detailed_results


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
