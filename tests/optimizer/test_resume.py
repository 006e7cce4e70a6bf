"""A run that ended at any moment goes on from its log, ends as it would have, and pays for nothing twice."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import (
    Budget,
    Gated,
    JournalError,
    Limits,
    Method,
    SemanticGradientDescent,
    TooManyFailures,
    accept_always,
    presets,
)
from dspy_semantic_backprop.integrations import EvaluationStarted, Event, ExampleDone
from dspy_semantic_backprop.testing import Faults, Prompt
from tests.scripted import careful, questions, right, served

FILE = "journal.jsonl"


class Fan(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, one, two -> answer")

    def forward(self, question):
        one, two = self.first(question=question).hint, self.second(question=question).hint
        return self.final(question=question, one=one, two=two)


class Gathering(Fan):
    async def aforward(self, question):
        import asyncio

        one, two = await asyncio.gather(self.first.acall(question=question), self.second.acall(question=question))
        return await self.final.acall(question=question, one=one.hint, two=two.hint)

    forward = None  # pyright: ignore[reportAssignmentType]


def slowly_careful(prompt: Prompt) -> dict[str, Any]:
    """As `careful`, but a proposal becomes careful only once it has been warned twice: a run of several steps."""
    answers = careful(prompt)
    text = answers.get("new_instruction")
    if text and "careful" in text:
        now = prompt.inputs["current_instruction"]
        warned = now.count("Take heed")
        answers["new_instruction"] = text if warned >= 2 else f"{now}\nTake heed {warned + 1}."
    return answers


def greedy() -> Method:
    return replace(presets.proven(), search=Gated(accept_always))


def compiled(folder: Path | None, program: Any = None, **settings: Any) -> Any:
    settings = {"steps": 3, "num_threads": 3, "method": greedy(), **settings}
    settings = {"subscribers": (), **settings}
    optimizer = SemanticGradientDescent(right, log_dir=folder, **settings)
    return optimizer.compile(program or Fan(), trainset=questions(4), valset=questions(6)).detailed_results


def outcome(result: Any) -> dict[str, Any]:
    """What a run came to, its times left out."""
    state = result.to_dict()
    return {name: value for name, value in state.items() if name not in ("seconds", "log_dir")}


POOLED: dict[str, Any] = {"method": presets.semantic(), "steps": None, "budget": Budget(calls=150), "num_threads": 1}
"""The default search goes on as long as its budget lasts: a resumed run must not stop sooner for knowing more."""


@pytest.mark.parametrize(("kind", "how"), [(Fan, {}), (Gathering, {}), (Fan, POOLED), (Gathering, POOLED)])
def test_a_log_that_was_cut_anywhere_leads_to_the_same_end_and_no_answer_is_paid_for_twice(kind, how, tmp_path):
    with served(slowly_careful) as server:
        whole = compiled(tmp_path / "whole", kind(), **how)
        calls = len(server.log)
        data = (tmp_path / "whole" / FILE).read_bytes()
        assert calls == whole.total.calls > 60
        rng = random.Random(0)
        for at in sorted(rng.sample(range(data.index(b"\n") + 1, len(data)), 4)):
            folder = tmp_path / str(at)
            folder.mkdir()
            (folder / FILE).write_bytes(data[:at])
            known = data[:at].count(b'{"event":"answer"')
            known -= data[data.rfind(b"\n", 0, at) + 1 : at].count(b'{"event":"answer"')
            before = len(server.log)
            resumed = compiled(folder, kind(), **how)
            assert len(server.log) - before == calls - known
            assert outcome(resumed)["instructions"] == outcome(whole)["instructions"]
            assert outcome(resumed)["steps"] == outcome(whole)["steps"]
            assert resumed.ending is whole.ending
            assert resumed.metric_calls == whole.metric_calls


def test_a_run_that_ended_is_told_again_for_nothing(tmp_path):
    with served(slowly_careful) as server:
        first = compiled(tmp_path)
        lines = (tmp_path / FILE).read_text().count("\n")
        before = len(server.log)
        again = compiled(tmp_path)
        assert len(server.log) == before
    assert outcome(again) == outcome(first)
    assert (tmp_path / FILE).read_text().count("\n") == lines + 1


def test_requests_under_way_at_a_kill_count_at_their_bound(tmp_path):
    with served(slowly_careful, max_tokens=100) as server:
        whole = compiled(tmp_path / "whole", budget=Budget(tokens=10**6))
        data = (tmp_path / "whole" / FILE).read_bytes()
        end = data.index(b"\n", data.index(b'"event":"sent"')) + 1
        sent = json.loads(data[:end].splitlines()[-1])
        (tmp_path / "killed").mkdir()
        (tmp_path / "killed" / FILE).write_bytes(data[:end])
        resumed = compiled(tmp_path / "killed", budget=Budget(tokens=10**6))
    assert resumed.total.unsure_tokens == sent["bound"]["tokens"] > 100
    assert resumed.total.calls == len(server.log) - whole.total.calls + 1


def test_failures_of_the_provider_are_remembered_once_something_rests_on_them(tmp_path):
    patient = Limits(missing=0.9)
    with served(careful, num_retries=0) as server:

        def failing_at_first(event: Event) -> None:
            # The proposal's evaluation finds the server down until it has lost an example.
            if isinstance(event, EvaluationStarted):
                evaluations.append(event)
                server.faults = Faults(server_error=float(len(evaluations) == 2))
            elif isinstance(event, ExampleDone) and event.score is None:
                server.faults = Faults()

        evaluations: list[EvaluationStarted] = []
        first = compiled(tmp_path, steps=1, limits=patient, subscribers=[failing_at_first])
        before = len(server.log)
        again = compiled(tmp_path, steps=1, limits=patient)
        assert len(server.log) == before
    assert any(step.missing for step in first.steps)
    assert [step.missing for step in first.steps] == [step.missing for step in again.steps]
    assert outcome(first)["steps"] == outcome(again)["steps"]


def test_after_an_outage_the_examples_that_were_missing_are_asked_again(tmp_path):
    with served(careful, faults=Faults(server_error=1.0), num_retries=0) as server:
        with pytest.raises(TooManyFailures):
            compiled(tmp_path, steps=1)
        server.faults = Faults()
        assert compiled(tmp_path, steps=1).score_after == 1.0


def test_a_torn_last_line_is_left_out(tmp_path, caplog):
    with served(careful):
        first = compiled(tmp_path)
        with (tmp_path / FILE).open("ab") as log:
            log.write(b'{"event":"answer","key":"abc')
        again = compiled(tmp_path)
    assert outcome(again) == outcome(first)
    assert "torn" in caplog.text
    assert all(json.loads(line) for line in (tmp_path / FILE).read_text().splitlines())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 4}, "settings.steps was 3 and is 4"),
        ({"seed": 1}, "settings.seed was 0 and is 1"),
        ({"method": presets.isolated()}, "settings.method"),
        ({"program": Gathering()}, "program.class was 'Fan' and is 'Gathering'"),
    ],
)
def test_another_run_is_refused_with_the_difference(change, named, tmp_path):
    with served(careful) as server:
        compiled(tmp_path)
        before = len(server.log)
        with pytest.raises(JournalError, match=named):
            compiled(tmp_path, **change)
        assert len(server.log) == before


def test_other_data_are_refused_and_named(tmp_path):
    with served(careful):
        compiled(tmp_path)
        same = {"steps": 3, "num_threads": 3, "method": greedy()}
        optimizer = SemanticGradientDescent(right, log_dir=tmp_path, subscribers=(), **same)
        changed = questions(4)
        changed[2] = dspy.Example(question="Another?", answer="careful answer").with_inputs("question")
        with pytest.raises(JournalError, match=r"trainset\[2\]"):
            optimizer.compile(Fan(), trainset=changed, valset=questions(6))


def test_threads_budget_and_limits_may_change(tmp_path):
    with served(careful) as server:
        cut = compiled(tmp_path, budget=Budget(calls=20))
        assert cut.ending.name == "BUDGET"
        whole = compiled(tmp_path, budget=Budget(calls=1000), limits=Limits(request=30), num_threads=1)
        assert whole.score_after == 1.0
        assert whole.total.calls == len(server.log)


@pytest.fixture(scope="module")
def log() -> str:
    """The log of a run that ended."""
    with served(careful), tempfile.TemporaryDirectory() as folder:
        compiled(Path(folder))
        return (Path(folder) / FILE).read_text()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text.replace('"event":"answer"', '"event":"answer', 1), "line .* cannot be read"),
        (lambda text: text[text.index("\n") + 1 :], "does not begin with a run"),
        (lambda text: text.replace('"schema":2', '"schema":1', 1), "another version"),
        (lambda text: text.replace('"version":"', '"version":"9.', 1), "another version"),
        (lambda text: text.replace('"spent":{"calls"', '"spent":{"cows"', 1), "cannot be read"),
    ],
)
def test_a_damaged_log_is_refused_before_anything_is_spent(damage, said, log, tmp_path):
    (tmp_path / FILE).write_text(damage(log))
    with served(careful) as server:
        with pytest.raises(JournalError, match=said):
            compiled(tmp_path)
        assert not server.log


def test_a_log_that_is_removed_leaves_its_folder_to_another_run(log, tmp_path):
    (tmp_path / FILE).write_text(log[:-1])
    (tmp_path / FILE).unlink()
    with served(careful):
        assert compiled(tmp_path).score_after == 1.0


def test_a_folder_that_cannot_be_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with served(careful) as server:
        with pytest.raises(JournalError, match="cannot be used"):
            compiled(tmp_path / "file")
        assert not server.log


def holding(folder: str, held: Any, done: Any) -> None:
    def waiting(example: dspy.Example, prediction: dspy.Prediction) -> bool:
        held.set()
        return done.wait(60)

    with served(careful):
        SemanticGradientDescent(waiting, log_dir=folder, subscribers=()).compile(Fan(), trainset=questions(1))


def test_a_second_process_on_the_same_folder_is_refused(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    held, done = spawn.Event(), spawn.Event()
    other = spawn.Process(target=holding, args=(str(tmp_path), held, done))
    other.start()
    assert held.wait(120)
    try:
        with served(careful), pytest.raises(JournalError, match="in use by another run"):
            compiled(tmp_path)
    finally:
        done.set()
        other.join()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
def test_a_disk_that_is_full_ends_the_run_with_the_best_so_far_and_a_log_to_go_on_from(tmp_path):
    import resource

    with served(slowly_careful) as server:
        whole = compiled(tmp_path / "whole")
        size = (tmp_path / "whole" / FILE).stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size * 2 // 3, before[1]))
        try:
            full = compiled(tmp_path / "full")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert full.ending.name == "JOURNAL"
        assert os.strerror(errno.EFBIG) in full.reason
        assert full.steps
        calls = len(server.log)
        known = (tmp_path / "full" / FILE).read_bytes().count(b'{"event":"answer"')
        again = compiled(tmp_path / "full")
        assert outcome(again)["instructions"] == outcome(whole)["instructions"]
        assert len(server.log) - calls == whole.total.calls - known


def test_a_file_system_without_fsync_is_said_aloud_and_used(tmp_path, monkeypatch, caplog):
    def refuse(handle: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    with served(careful):
        first = compiled(tmp_path)
        again = compiled(tmp_path)
    assert outcome(first) == outcome(again)
    assert "cannot be told to keep the log" in caplog.text


def test_a_subscriber_that_raises_changes_nothing(tmp_path):
    def raises(event: Event) -> None:
        raise RuntimeError("no")

    with served(careful):
        settings = {"steps": 1, "method": presets.published()}
        optimizer = SemanticGradientDescent(right, log_dir=tmp_path, subscribers=(raises,), **settings)
        assert optimizer.compile(Fan(), trainset=questions(2)).detailed_results.score_after == 1.0


def test_a_copied_log_serves_another_folder(tmp_path):
    with served(careful) as server:
        first = compiled(tmp_path / "one")
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        before = len(server.log)
        assert outcome(compiled(tmp_path / "two")) == outcome(first)
        assert len(server.log) == before
