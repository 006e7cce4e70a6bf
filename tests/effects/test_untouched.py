"""What belongs to the application beside the program is, during and after replays, as if there were none."""

from __future__ import annotations

import contextvars
import gc
import mmap
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import ComputationGraph, SemanticGradientDescent, trace
from tests.effects.world import Acts, surroundings
from tests.scripted import careful, questions, right, served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no replay without a fork")


def compiled(act: Callable[[], object] = int, seed: int = 0) -> None:
    optimizer = SemanticGradientDescent(right, steps=1, num_threads=2, subscribers=(), seed=seed)
    optimizer.compile(Acts(act), trainset=questions(4))


def traced(act: Callable[[], object] = int) -> ComputationGraph:
    return trace(Acts(act), questions(1)[0])


def at_once(*works: Callable[[], object]) -> None:
    """Do several things at once, in threads with the context of this one."""
    threads = [threading.Thread(target=contextvars.copy_context().run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("work", [traced, compiled])
def test_streams_handlers_signals_and_hooks_are_the_same_afterwards_also_of_several_at_once(work):
    with served(careful):
        work()
        before = surroundings()
        try:
            for _ in range(2):
                at_once(work, work, work, work)
            assert surroundings() == before
        finally:
            sys.stdout, sys.stderr, _ = before["streams"]


def _left_over() -> list[set[Any]]:
    """The threads, the descriptors and the child processes that there are."""
    gc.collect()
    children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    # Without the one that reading the folder opens: its number depends on which are free at the moment.
    listed = list(Path("/proc/self/fd").iterdir())
    told = {f"{path.name}: {path.readlink()}" for path in listed if path.is_symlink()}
    return [set(threading.enumerate()), told, set(chain(*children))]


def left_over() -> list[list[str]]:
    """The threads, descriptors and child processes that five traces leave."""
    with served(careful):
        traced()
        before = _left_over()
        for _ in range(5):
            traced()
        return [sorted(map(str, after - earlier)) for after, earlier in zip(_left_over(), before, strict=True)]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="what is open is read from /proc")
def test_no_thread_descriptor_or_process_is_left_over():
    # In a process of its own: threads of clients that earlier tests used open what they like, when they like.
    code = f"from {__name__} import left_over; print(left_over())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ended.stdout.strip() == "[[], [], []]", ended.stderr


LIST: list[str] = []
TABLE: dict[int, str] = {}
COUNTER: Counter[str] = Counter()
NUMBER = 0


def _note() -> None:
    global NUMBER
    LIST.append("program")
    COUNTER["program"] += 1
    TABLE[-1] = "program"
    NUMBER += 0


@contextmanager
def _application() -> Iterator[list[int]]:
    """Another thread that writes to what the program writes to; how often it did, so far."""
    stop, written = threading.Event(), [0]

    def work() -> None:
        global NUMBER
        while not stop.wait(0.001):
            LIST.append("application")
            COUNTER["application"] += 1
            TABLE[written[0]] = "application"
            NUMBER += 1
            written[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("work", [traced, compiled])
def test_nothing_that_another_thread_writes_meanwhile_is_lost(work):
    global NUMBER
    NUMBER = 0
    for held in (LIST, TABLE, COUNTER):
        held.clear()
    with served(careful), _application() as written:
        work(_note)
    kept = (LIST.count("application"), COUNTER["application"], len(TABLE) - 1, NUMBER)
    assert kept == (written[0],) * 4


def test_other_threads_go_on_reading_what_the_program_changes():
    """No reader ever sees a list that was emptied to be filled again."""
    held, stop, shortest = ["kept"] * 3, threading.Event(), [3]

    def read() -> None:
        while not stop.wait(0.0005):
            shortest[0] = min(shortest[0], len(held))

    thread = threading.Thread(target=read)
    with served(careful):
        thread.start()
        try:
            for _ in range(5):
                traced(lambda: held.append("more"))
        finally:
            stop.set()
            thread.join()
    assert (len(held), shortest[0]) == (8, 3)


def _in_an_adapter(act: Callable[[], object]) -> dspy.Module:
    class Adapts(dspy.ChatAdapter):
        def parse(self, signature: Any, completion: str) -> dict[str, Any]:
            if "answer" in signature.output_fields:
                act()
            return super().parse(signature, completion)

    class Adapted(Acts):
        def forward(self, question: str) -> dspy.Prediction:
            with dspy.context(adapter=Adapts()):
                return super().forward(question)

    return Adapted(int)


def _in_a_value(act: Callable[[], object]) -> dspy.Module:
    class Noisy:
        def __str__(self) -> str:
            return "noisy"

        def __bool__(self) -> bool:
            act()
            return True

    return Acts(lambda: "yes" if Noisy() else "no")


class Around(Acts):
    """Acts before anything is asked and after everything was answered."""

    def __init__(self, before: Callable[[], object], after: Callable[[], object]) -> None:
        super().__init__(int)
        self.around = lambda: before(), lambda: after()

    def forward(self, question: str) -> dspy.Prediction:
        self.around[0]()
        answered = super().forward(question)
        self.around[1]()
        return answered


class Fails(Acts):
    """Acts and raises where it read what no model said."""

    def forward(self, question: str) -> dspy.Prediction:
        hint = self.hint(question=question).hint
        if "hint" not in hint:
            self.act()
            raise ValueError(hint)
        return self.final(question=question, hint=hint)


PLACES: dict[str, tuple[Callable[[Callable[[], object]], dspy.Module], int]] = {
    "before the first predictor": (lambda act: Around(act, int), 1),
    "after the last predictor": (lambda act: Around(int, act), 1),
    "in an adapter": (_in_an_adapter, 1),
    "in a value": (_in_a_value, 1),
    "in a thread": (lambda act: Acts(lambda: at_once(act)), 1),
    "in a nested program": (lambda act: _Nested(Acts(act)), 1),
    "only where an answer was changed": (Fails, 0),
}


class _Nested(dspy.Module):
    def __init__(self, inner: dspy.Module) -> None:
        super().__init__()
        self.inner = inner
        self.last = dspy.Predict("hint -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return self.last(hint=self.inner(question=question).answer)


@pytest.mark.parametrize("place", PLACES)
def test_wherever_a_program_does_something_a_trace_does_it_as_often_as_the_execution(place, tmp_path):
    make, times = PLACES[place]
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        with served(careful):
            graph = trace(make(lambda: os.write(descriptor, b"x")), questions(1)[0])
    finally:
        os.close(descriptor)
    assert not graph.error
    assert path.stat().st_size == times


def test_no_text_that_a_replay_made_up_is_sent(tmp_path):
    class Sends(Acts):
        def forward(self, question: str) -> dspy.Prediction:
            hint = self.hint(question=question).hint
            os.write(descriptor, f"{hint}\n".encode())
            return self.final(question=question, hint=hint)

    path = tmp_path / "file"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        with served(careful):
            trace(Sends(int), questions(1)[0])
    finally:
        os.close(descriptor)
    assert path.read_text().splitlines() == ["sloppy hint"]


def test_what_another_thread_alone_holds_stays_whole(tmp_path):
    local, ready, over, found = threading.local(), threading.Event(), threading.Event(), []
    shared = mmap.mmap(-1, 1)

    class Leaving:
        def __del__(self) -> None:
            shared[0] = 1

    def work() -> None:
        local.leaving, local.folder = Leaving(), tempfile.TemporaryDirectory(dir=tmp_path)
        local.database = sqlite3.connect(tmp_path / "db", isolation_level=None)
        local.database.execute("pragma journal_mode=wal")
        local.database.execute("create table t(x)")
        ready.set()
        over.wait()
        found.extend([os.path.isdir(local.folder.name), (tmp_path / "db-wal").exists(), shared[0] == 0])

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    try:
        with served(careful):
            assert not trace(Acts(int), questions(1)[0]).warnings
    finally:
        over.set()
        thread.join()
    assert found == [True, True, True]


_AT_EXIT = """
import atexit, sys, threading, weakref
from dspy_semantic_backprop import trace
from tests.effects.world import Acts
from tests.scripted import careful, questions, served

path = sys.argv[1]
buffered = open(path + ".buffered", "a")



def note(what):
    open(f"{path}.{what}", "a").write("x")


class Held: ...


held = Held()


def act():
    buffered.write("x")
    print("x")
    atexit.register(note, "atexit")
    weakref.finalize(held, note, "finalizer")
    threading.Timer(0.05, note, ("timer",)).start()


with served(careful):
    trace(Acts(act), questions(1)[0], probe=sys.argv[2])
"""


@pytest.mark.parametrize("probe", ["auto", "never"])
def test_what_is_left_for_the_end_of_the_process_is_done_once(tmp_path, probe):
    path = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", _AT_EXIT, path, probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["x"]
    sizes = {one.suffix: one.stat().st_size for one in tmp_path.iterdir() if one.suffix != ".thread"}
    assert sizes == {".buffered": 1, ".atexit": 1, ".finalizer": 1, ".timer": 1}


class Branches(dspy.Module):
    """Reads in parts, branches, loops and joins."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("question -> plan, kind")
        self.work = dspy.Predict("part -> result")
        self.join = dspy.Predict("results: list[str], kind -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        plan = self.plan(question=question)
        results = [self.work(part=part).result for part in plan.plan.split()]
        return self.join(results=results[: 1 + ("sloppy" in plan.kind)], kind=plan.kind.upper())


@contextmanager
def _loaded() -> Iterator[None]:
    """Keep the processors busy, and the interpreter's lock contended."""
    busy = [subprocess.Popen([sys.executable, "-Sc", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(10_000))

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize("program", [Acts(int), Branches()], ids=lambda program: type(program).__name__)
def test_a_trace_is_the_same_on_a_busy_machine(program):
    def graph() -> dict[str, Any]:
        found = trace(program, questions(1)[0]).to_dict()
        return {name: found[name] for name in found if name in ("edges", "warnings", "error")}

    with served(careful):
        idle = graph()
        with _loaded():
            loaded = graph()
    assert loaded == idle
