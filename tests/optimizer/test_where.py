"""Where executions are made changes nothing of a run: not its program, its decisions or its counts, whoever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dspy_semantic_backprop import Budget, SemanticGradientDescent, SetupError
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
def test_two_processes_come_to_what_threads_come_to_though_they_are_killed(in_threads, tmp_path):
    killed: list[int] = []

    def answer(prompt: Prompt) -> dict[str, Any]:
        # The one that asked, and the other one: which of them it is, a server is not told.
        if not killed and len(server.log) > 12:
            killed.extend(children())
            for process in killed:
                os.kill(process, signal.SIGKILL)
            time.sleep(0.2)
        return slowly_careful(prompt)

    with served(answer) as server:
        result = compiled(2, tmp_path)
        calls = len(server.log)
        again = compiled(None, tmp_path)
        assert len(server.log) == calls
    assert killed and not children()
    told = lines(tmp_path)
    # Nothing that was answered is asked again: only what was under way in a process that was killed.
    assert told["answer"] == in_threads.total.calls
    assert calls <= result.total.calls == told["answer"] + told["lost"]
    assert 0 < told["lost"] <= 4
    for name in ("instructions", "steps", "score_after", "ending", "metric_calls", "candidates"):
        assert outcome(result).get(name) == outcome(in_threads).get(name) == outcome(again).get(name), name
    assert result.warnings == in_threads.warnings


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


@pytest.mark.parametrize(("kind", "why"), [(Holding, "cannot be sent"), (HandingOut, "cannot be sent back")])
def test_what_no_process_can_be_sent_stays_in_threads_and_the_run_says_why(kind, why):
    with served(careful) as server:
        expected = compiled(None, program=kind(), steps=1)
        calls = len(server.log)
        found = compiled(1, program=kind(), steps=1)
        assert len(server.log) == 2 * calls
    said = [one for one in found.warnings if one not in expected.warnings]
    assert len(said) == 1 and "is run in threads" in said[0] and why in said[0]
    assert outcome(found)["steps"] == outcome(expected)["steps"]


def test_where_that_is_none_is_refused():
    for where in (0, True, "cluster", object()):
        with pytest.raises(SetupError, match="where must be"):
            SemanticGradientDescent(right, where=where)
