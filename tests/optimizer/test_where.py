"""Where executions are made changes nothing of a run: not its program, its decisions or its counts, whoever dies."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import pytest
import tqdm

from dspy_semantic_backprop import Budget, Limits, ProgramError, SemanticGradientDescent, SetupError
from dspy_semantic_backprop.testing import Prompt
from tests.optimizer.test_resume import FILE, Fan, greedy, outcome, slowly_careful
from tests.scripted import careful, questions, right, served


class Holding(Fan):
    """Holds what no process can send to another one."""

    def __init__(self):
        super().__init__()
        self.turn = threading.Lock()


class Here:
    def __reduce__(self):
        raise TypeError("it is here and nowhere else")

    def __repr__(self):
        return "here"


class HandingOut(Fan):
    """Returns what no process can send to another one."""

    def forward(self, question):
        found = super().forward(question)
        found.place = Here()
        return found


class Alike(Fan):
    """Raises where its process was not started as this one, and where nobody has made the first progress bar."""

    def forward(self, question):
        assert "error::BytesWarning" in sys.warnoptions and hasattr(tqdm.tqdm, "_instances")
        return super().forward(question)


class Refusing(Fan):
    """Raises, of one example, what holds what no process can send to another one."""

    def forward(self, question):
        if "number 3" in question:
            error = ValueError("no")
            error.place = Here()  # pyright: ignore[reportAttributeAccessIssue]
            raise error
        return super().forward(question)


class Ending(Fan):
    """Raises what it was given, of one example."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, question):
        if "number 3" in question:
            raise self.error
        return super().forward(question)


class Awaited(Ending):
    async def aforward(self, question):
        return super().forward(question)

    forward = None  # pyright: ignore[reportAssignmentType]


class ToldLater(Fan):
    """Needs what it is told when this process has started: a worker, which imports it, is not told."""

    told: Any = None

    def forward(self, question):
        return super().forward(self.told(question))


class Recounting(Fan):
    """Tells its last predictor of one example what another one was answered."""

    def __init__(self):
        super().__init__()
        self.heard: list[str] = []

    def forward(self, question):
        one = self.first(question=question).hint
        found = self.final(question=question, one=one, two=" / ".join(self.heard[-3:]))
        self.heard.append(f"of {question}")
        return found


def compiled(where: Any, folder: Path | None = None, program: Any = None, **settings: Any) -> Any:
    settings = {"steps": 2, "num_threads": 4, "method": greedy(), "subscribers": (), **settings}
    optimizer = SemanticGradientDescent(right, log_dir=folder, where=where, **settings)
    return optimizer.compile(program or Fan(), trainset=questions(4), valset=questions(6)).detailed_results


def lines(folder: Path) -> Counter[str]:
    return Counter(json.loads(line)["event"] for line in (folder / FILE).read_text().splitlines())


def children() -> set[int]:
    """The processes that this one has started and that run."""
    found = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    every = {int(pid) for task in found.parents[1].iterdir() for pid in (task / "children").read_text().split()}
    return {pid for pid in every if b"semantic" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@pytest.fixture(scope="module")
def in_threads() -> Any:
    with served(slowly_careful):
        return compiled(None)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_two_processes_come_to_what_threads_come_to_though_one_is_killed_and_one_is_frozen(in_threads, tmp_path):
    killed, others = list[int](), children()

    def answer(prompt: Prompt) -> dict[str, Any]:
        # The one that asked, and the other one: which of them it is, a server is not told.
        if not killed and len(server.log) > 12:
            killed.extend(children() - others)
            for process, how in zip(killed, (signal.SIGKILL, signal.SIGSTOP), strict=True):
                os.kill(process, how)
            time.sleep(0.2)
        return slowly_careful(prompt)

    with served(answer) as server:
        result = compiled(2, tmp_path, limits=Limits(request=3.0))
        calls = len(server.log)
        again = compiled(None, tmp_path)
        assert len(server.log) == calls
    assert killed and not children() - others
    told = lines(tmp_path)
    # Nothing that was answered is asked again: only what was under way in a process that was killed.
    assert told["answer"] == in_threads.total.calls
    assert calls <= result.total.calls == told["answer"] + told["lost"]
    assert 0 < told["lost"] <= 4
    for name in ("instructions", "steps", "score_after", "ending", "metric_calls", "candidates"):
        assert outcome(result).get(name) == outcome(in_threads).get(name) == outcome(again).get(name), name
    (said,) = [one for one in result.warnings if one not in in_threads.warnings]
    assert "nothing was heard for 8 seconds" in said and len(result.warnings) == len(in_threads.warnings) + 1


def test_a_budget_holds_in_processes():
    with served(careful) as server:
        cut = compiled(1, budget=Budget(calls=20))
        assert cut.ending.name == "BUDGET"
        assert 10 < len(server.log) == cut.total.calls <= 20


KILLED = """
import sys, dspy
from tests.optimizer.test_where import compiled
from pathlib import Path
if __name__ == "__main__":
    url, folder = sys.argv[1:]
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    dspy.configure(lm=dspy.LM("openai/simulated-0", api_base=url, api_key="simulated", temperature=0.0, cache=False))
    compiled(1, Path(folder))
"""


def test_a_driver_that_is_killed_takes_its_workers_along_and_pays_for_nothing_twice(in_threads, tmp_path):
    def answer(prompt: Prompt) -> dict[str, Any]:
        if len(server.log) == 24:
            driver.send_signal(signal.SIGKILL)
        return slowly_careful(prompt)

    with served(answer) as server:
        driver = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(tmp_path)])
        assert driver.wait() == -signal.SIGKILL
        known = lines(tmp_path)["answer"]
        before = _settled(server)
        result = compiled(None, tmp_path)
        assert len(server.log) - before == in_threads.total.calls - known
    # What was under way is the most that was asked again.
    assert before - known <= 4
    assert outcome(result)["instructions"] == outcome(in_threads)["instructions"]
    assert outcome(result)["steps"] == outcome(in_threads)["steps"]


def _settled(server: Any) -> int:
    """How many requests arrived, once no more do."""
    seen = -1
    while seen != (seen := len(server.log)):
        time.sleep(0.3)
    return seen


STAYING = [
    (Holding, "cannot be sent"),
    (HandingOut, "cannot be sent back"),
    (ToldLater, "raised what it does not raise"),
]


@pytest.mark.parametrize(("kind", "why"), STAYING)
def test_what_no_process_can_be_sent_stays_in_threads_and_the_run_says_why(kind, why, monkeypatch):
    monkeypatch.setattr(ToldLater, "told", staticmethod(str))
    with served(careful) as server:
        expected = compiled(None, program=kind(), steps=1)
        calls = len(server.log)
        found = compiled(1, program=kind(), steps=1)
        assert len(server.log) == 2 * calls
    said = [one for one in found.warnings if one not in expected.warnings]
    assert len(said) == 1 and "is run in threads" in said[0] and why in said[0]
    assert outcome(found)["steps"] == outcome(expected)["steps"]


@pytest.mark.parametrize("kind", [Alike, Refusing])
def test_a_worker_runs_as_this_process_does_and_tells_what_was_raised(kind, monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", ["error::BytesWarning"])
    with served(careful):
        expected, found = (compiled(where, program=kind(), steps=1) for where in (None, 1))
    assert found.warnings == expected.warnings
    assert outcome(found)["steps"] == outcome(expected)["steps"]


@pytest.mark.parametrize("where", [None, 1])
def test_what_a_program_raises_that_is_no_exception_is_told(where):
    how = {"steps": 0, "limits": Limits(request=1.0)}
    with served(careful):
        for error in (asyncio.CancelledError("no"), concurrent.futures.CancelledError("no"), GeneratorExit("no")):
            found = compiled(where, program=Ending(error), **how)
            assert any(f"{type(error).__name__} was raised: no" in one for one in found.warnings)
        with pytest.raises(BaseException, match="stop"):
            compiled(where, program=Ending(BaseException("stop")), **how)
        with pytest.raises(ProgramError, match="nobody had cancelled it"):
            compiled(where, program=Awaited(asyncio.CancelledError()), **how)


@pytest.mark.parametrize("python", ["/nowhere/python", None, shutil.which("false")])
def test_processes_that_cannot_be_started_are_told_before_anything_is_spent(python, monkeypatch):
    monkeypatch.setattr(sys, "executable", python)
    why = "ended with 1" if python == shutil.which("false") else "no process can be started"
    with served(careful) as server:
        with pytest.raises(SetupError, match=f"no worker has begun anything.*{why}"):
            compiled(2)
        assert not server.log


def test_nothing_is_left_open_after_a_run():
    with served(careful), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        compiled(1, steps=0)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            gc.collect()
            time.sleep(0.1)
    assert not [one for one in said if issubclass(one.category, ResourceWarning)]


def test_what_a_worker_does_is_told_here():
    with served(careful), dspy.track_usage() as usage:
        found = compiled(1, program=Recounting(), steps=0, num_threads=1)
    assert any("keeps something from one execution for the next (`heard`)" in one for one in found.warnings)
    (entries,) = usage.usage_data.values()
    assert len(entries) == found.total.calls > 0


def test_a_model_that_answers_from_a_list_stays_here():
    answers = [{"hint": "careful", "answer": f"answer {at}"} for at in range(40)]
    with dspy.context(lm=dspy.utils.DummyLM(answers)):
        optimizer = SemanticGradientDescent(right, steps=0, where=1, subscribers=())
        found = optimizer.compile(dspy.Predict("question -> answer"), trainset=questions(4)).detailed_results
    assert any("is run in threads" in one and "DummyLM" in one for one in found.warnings)


@pytest.mark.parametrize("owner", ["lm", "adapter"])
def test_what_tells_callbacks_stays_here(owner):
    callbacks = [dspy.utils.callback.BaseCallback()]
    with served(careful) as server:
        adapter = dspy.ChatAdapter(callbacks=callbacks if owner == "adapter" else [])
        lm = server.lm(cache=False, callbacks=callbacks) if owner == "lm" else dspy.settings.lm
        with dspy.context(lm=lm, adapter=adapter):
            found = compiled(1, steps=0)
    assert any("is run in threads" in one and "callbacks" in one for one in found.warnings)


def test_where_that_is_none_is_refused():
    for where in (0, True, "cluster", object(), np.array([1, 2])):
        with pytest.raises(SetupError, match="where must be"):
            SemanticGradientDescent(right, where=where)
