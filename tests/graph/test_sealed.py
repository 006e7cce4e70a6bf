"""Where a replay cannot run, the run's graph is there and says why; what a fork may do wrong stays inside."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import mmap
import os
import platform
import sqlite3
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import dspy
import pytest

from dspy_semantic_backprop import trace
from dspy_semantic_backprop._graph.evidence.replay import process, syscalls
from tests.graph.graphs import STRAIGHT, Pair, echo, ends, proved
from tests.scripted import served

linux = pytest.mark.skipif(sys.platform != "linux", reason="what only Linux tells or does")


@linux
def test_a_lock_that_another_thread_holds_at_the_fork_is_said():
    lock, held, over = threading.Lock(), threading.Event(), threading.Event()

    class Locked(Pair):
        def forward(self, question):
            hint = self.first(question=question).hint
            over.set()
            with lock:
                return self.second(hint=hint)

    def hold():
        with lock:
            held.set()
            over.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    with served(echo):
        graph = trace(Locked(), {"question": "why?"})
    other.join()
    assert ends(graph) >= STRAIGHT
    assert "waits for what never comes, such as a lock" in " ".join(graph.warnings)


def test_a_fork_that_the_system_refuses_is_said(monkeypatch):
    def refused(first):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(process, "forked", refused)
    with served(echo):
        graph = trace(Pair(), {"question": "why?"})
    assert ends(graph) >= STRAIGHT
    assert "no process could be forked (BlockingIOError" in " ".join(graph.warnings)


NO_THREAD = "can't start new thread"


def test_a_thread_that_the_system_refuses_is_waited_for_and_then_said(monkeypatch):
    start, tries = threading.Thread.start, itertools.count()

    def refused(thread):
        if thread.name == "semantic-backprop-worker" and next(tries) < 6:
            raise RuntimeError(NO_THREAD)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with served(echo):
        # The replay's thread is refused five times and given up; the program's is started at the second try.
        graph = trace(Pair(), {"question": "why?"})
    assert ends(graph) >= STRAIGHT and graph.error is None
    assert f"no process could be forked ({NO_THREAD}: this process" in " ".join(graph.warnings)


def test_what_was_paid_for_is_not_lost_where_the_loop_cannot_be_closed(monkeypatch):
    async def refused(loop, timeout=None):
        raise RuntimeError(NO_THREAD)

    monkeypatch.setattr(asyncio.BaseEventLoop, "shutdown_default_executor", refused)
    with served(echo):
        assert ends(trace(Pair(), {"question": "why?"}, probe="never")) >= STRAIGHT


@linux
def test_a_machine_whose_kernel_calls_are_not_known_replays_nothing_and_says_so(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with served(echo):
        graph = trace(Pair(), {"question": "why?"})
    assert ends(graph) >= STRAIGHT
    assert "what a replay may do on this machine (riscv64)" in " ".join(graph.warnings)


def test_pythons_warning_of_a_fork_beside_other_threads_is_no_error_and_reaches_nobody(monkeypatch, recwarn):
    fork = os.fork
    text = "This process (pid=1) is multi-threaded, use of fork() may lead to deadlocks in the child."

    def warned():
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return fork()

    monkeypatch.setattr(os, "fork", warned)
    warnings.simplefilter("error", DeprecationWarning)
    with served(echo):
        graph = trace(Pair(), {"question": "why?"})
    assert proved(graph)
    assert not [one for one in recwarn if "multi-threaded" in str(one.message)]


@pytest.mark.parametrize(
    ("machine", "computes", "acts"),
    [
        ("x86_64", (0, 9, 11, 202, 231), (41, 42, 44, 49, 59, 62, 82, 83, 84, 87, 90, 92, 101, 257, 322, 2)),
        ("aarch64", (63, 222, 215, 98, 94), (198, 203, 206, 200, 221, 129, 38, 34, 35, 52, 54, 117, 276, 281, 56)),
    ],
)
def test_the_kernels_list_of_each_machine_lets_compute_and_not_act(machine, computes, acts):
    # Sockets, programs, signals, names of files, rights and other processes; files are opened by a rule of their own.
    allowed = {int(call) for call in syscalls._MACHINES[machine][1].split()}
    assert allowed.issuperset(computes)
    assert allowed.isdisjoint(acts)
    assert len(syscalls._code(machine)) % 8 == 0


def test_callbacks_hear_of_the_run_and_of_no_replay():
    heard = []

    class Listener(dspy.utils.callback.BaseCallback):
        def on_module_start(self, call_id, instance, inputs):
            heard.append(type(instance).__name__)

        def on_lm_start(self, call_id, instance, inputs):
            heard.append("lm")

    program = Pair()
    with served(echo), dspy.context(callbacks=[Listener()]):
        assert proved(trace(program, {"question": "why?"}))
    assert heard == ["Pair", "Predict", "lm", "Predict", "lm"]


@pytest.mark.parametrize("kind", ["database", "memory"])
def test_memory_that_other_threads_share_and_give_back_at_the_fork_ends_no_replay(kind, tmp_path):
    over = threading.Event()

    def share():
        while not over.is_set():
            if kind == "memory":
                with mmap.mmap(-1, 65536) as shared:
                    shared[0] = 1
                continue
            with closing(sqlite3.connect(tmp_path / f"{threading.get_ident()}.db")) as database:
                database.execute("pragma journal_mode=wal")
                database.execute("create table if not exists notes (words)")

    with ThreadPoolExecutor(2) as pool, served(echo):
        try:
            sharing = [pool.submit(share) for _ in range(2)]
            graphs = [trace(Pair(), {"question": "why?"}) for _ in range(25)]
        finally:
            over.set()
    assert not [one for one in sharing if one.exception()]
    assert [graph.warnings for graph in graphs] == [()] * len(graphs)


@linux
@pytest.mark.parametrize(
    ("end", "words"), [(lambda: os._exit(3), "with status 3"), (lambda: ctypes.string_at(0), "by SIGSEGV")]
)
def test_how_the_process_of_replays_ended_is_said(end, words):
    here = os.getpid()

    class Ending(Pair):
        def forward(self, question):
            if os.getpid() != here:
                end()
            return super().forward(question)

    with served(echo):
        graph = trace(Ending(), {"question": "why?"})
    assert graph.warnings == (f"edges are not proved by replay: its process has ended {words}",)
