"""Replays of programs as people write them: free, without effects, and honest about what they cannot follow."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import dspy
import pydantic
import pytest
from dspy.utils.callback import with_callbacks

from dspy_semantic_backprop import ComputationGraph, trace
from tests.scripted import served


def echo(prompt):
    return {name: f"a long answer for {name}" for name in prompt.names}


def ends(graph: ComputationGraph) -> set[tuple[str, str]]:
    return {
        (f"{edge.source.call}.{edge.source.field}", f"{edge.target.call}.{edge.target.field}") for edge in graph.edges
    }


def known(graph: ComputationGraph, source: str, target: str) -> str:
    return next(
        edge.known_by
        for edge in graph.edges
        if (f"{edge.source.call}.{edge.source.field}", f"{edge.target.call}.{edge.target.field}") == (source, target)
    )


class Program(dspy.Module):
    """A program made of a function of itself and its inputs."""

    def __init__(self, body: Callable[..., Any], **parts: Any):
        super().__init__()
        self.body = body
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("hint -> answer")
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, **inputs):
        return self.body(self, **inputs)


STRAIGHT = {("first[0].hint", "second[0].hint"), ("second[0].answer", "output.answer")}


def straight(program, question):
    return program.second(hint=program.first(question=question).hint)


def replayed(body: Callable[..., Any] = straight, rule: Any = echo, **inputs: Any) -> ComputationGraph:
    with served(rule):
        return trace(Program(body), inputs or {"question": "why?"})


@pytest.mark.parametrize("probe", ["auto", "always"])
def test_a_program_with_calls_in_threads_is_run_once_and_replayed(probe):
    def body(program, question):
        hint = program.first(question=question).hint
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: program.second(hint=hint)).result()

    with served(echo) as server:
        dspy.configure(lm=server.lm(cache=False))
        graph = trace(Program(body), {"question": "why?"}, probe=probe)
        assert server.requests == 2
    assert not graph.warnings and len(graph) == 2


def test_a_thread_that_only_a_changed_answer_starts_calls_no_model():
    def body(program, question):
        hint = program.first(question=question).hint
        if hint != "a long answer for hint":
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(lambda: program.second(hint=hint)).result()
        return dspy.Prediction(answer=hint)

    with served(echo) as server:
        dspy.configure(lm=server.lm(cache=False))
        trace(Program(body), {"question": "why?"})
        assert server.requests == 1


class Web(pydantic.BaseModel):
    address: str

    @pydantic.field_validator("address")
    @classmethod
    def _is_one(cls, value: str) -> str:
        if not value.startswith("https://"):
            raise ValueError("no address")
        return value

    def __str__(self) -> str:
        return type(self)(address=self.address).address


class Finds(dspy.Signature):
    question: str = dspy.InputField()
    page: Web = dspy.OutputField()


class Reads(dspy.Signature):
    page: Web = dspy.InputField()
    answer: str = dspy.OutputField()


def test_changed_values_that_their_type_forbids_do_not_end_the_trace():
    program = Program(
        lambda program, question: program.reads(page=program.finds(question=question).page),
        finds=dspy.Predict(Finds),
        reads=dspy.Predict(Reads),
    )
    with served(lambda prompt: {"page": {"address": "https://x.org"}} if "page" in prompt.names else echo(prompt)):
        graph = trace(program, {"question": "why?"})
    assert not graph.warnings
    assert ("finds[0].page", "reads[0].page") in ends(graph)


def test_whatever_a_replay_raises_the_graph_of_the_run_is_there():
    class Odd:
        def __init__(self, text: str, hard: bool) -> None:
            self.text, self.hard = text, hard

        def __str__(self) -> str:
            if self.hard or "zqx" in self.text:
                raise ValueError("no text")
            return self.text

    for hard in (False, True):
        graph = replayed(lambda p, question, hard=hard: dspy.Prediction(odd=Odd(straight(p, question).answer, hard)))
        assert [call.id for call in graph] == ["first[0]", "second[0]"]
        assert hard or ("first[0].hint", "second[0].hint") in ends(graph)


def test_completions_are_reads():
    def body(program, question):
        return program.second(hint=program.first(question=question).completions.hint[0].upper())

    assert ends(replayed(body)) == STRAIGHT
    popped = replayed(lambda p, question: p.second(hint=p.first(question=question)._store.pop("hint")))
    assert ends(popped) == STRAIGHT


def test_several_completions_are_all_replayed():
    def body(program, question):
        some = program.first(question=question, config={"n": 3, "temperature": 1.0})
        assert len(some.completions) == 3
        return program.second(hint=dspy.majority(some).hint.upper())

    graph = replayed(body)
    assert not graph.warnings
    assert known(graph, "first[0].hint", "second[0].hint") == "replay"


RUNS = 0
CONFIG = {"runs": [1]}


class Tally:
    runs = 0

    def __init__(self) -> None:
        self.lines: list[str] = []


TALLY = Tally()


def test_globals_class_attributes_defaults_and_what_callables_hold_are_as_one_run_leaves_them():
    def body(program, question, note, kept=[]):  # noqa: B006 - that is the case
        global RUNS
        RUNS += 1
        Tally.runs += 1
        TALLY.lines.append(question)
        CONFIG["runs"].append(2)
        kept.append(question)
        note(question)
        random.random()
        return straight(program, question)

    global RUNS
    RUNS, Tally.runs, before = 0, 0, CONFIG["runs"]
    TALLY.lines.clear()
    noted: list[str] = []
    random.seed(7)
    with served(echo):
        graph = trace(Program(body), {"question": "why?", "note": noted.append})
    after = random.random()
    random.seed(7)
    random.random()
    assert (RUNS, Tally.runs, TALLY.lines, noted) == (1, 1, ["why?"], ["why?"])
    assert CONFIG["runs"] is before and before == [1, 2]
    assert body.__defaults__ == (["why?"],)
    assert after == random.random() or not graph.warnings
    assert ends(graph) == STRAIGHT


def test_a_file_that_is_open_already_is_written_once(tmp_path):
    log = (tmp_path / "log.txt").open("w", encoding="utf-8")

    def body(program, question):
        log.write("ran\n")
        return straight(program, question)

    with log:
        graph = replayed(body)
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == "ran\n"
    assert ends(graph) == STRAIGHT and not graph.warnings


def test_replays_are_silent_and_others_are_not(capsys, caplog):
    logger = logging.getLogger("somebody")
    stop = threading.Event()

    def body(program, question):
        hint = program.first(question=question).hint
        print("program:", hint)
        logger.warning("program: %s", hint)
        warnings.warn(f"program: {hint}", stacklevel=1)
        return program.second(hint=hint)

    def other():
        while not stop.is_set():
            print("other")
            time.sleep(0.001)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            replayed(body)
    finally:
        stop.set()
        thread.join()
    out = capsys.readouterr()
    assert out.out.count("program:") == 1
    assert "other" in out.out
    assert "zqx" not in out.out + out.err + caplog.text


RAN: list[str] = []


class Runs:
    """An interpreter in this very process."""

    def __init__(self) -> None:
        self.tools: dict[str, Any] = {}

    def start(self) -> None: ...

    @with_callbacks
    def execute(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        RAN.append(code)
        return "42"

    def shutdown(self) -> None: ...


def test_code_that_a_model_wrote_is_run_once():
    def code(prompt):
        return {name: "print(42)" if "code" in name else f"a long {name}" for name in prompt.names}

    with served(code):
        graph = trace(dspy.ProgramOfThought("question -> answer", interpreter_factory=Runs), {"question": "why?"})
    assert len(RAN) == 1
    assert not any("not proved" in warning for warning in graph.warnings)
    assert any(edge.known_by == "replay" for edge in graph.edges)


def test_what_a_program_does_after_it_had_code_run_is_seen(tmp_path):
    class Writing(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.think = dspy.ProgramOfThought("question -> answer", interpreter_factory=Runs)

        def forward(self, question: str) -> dspy.Prediction:
            thought = self.think(question=question)
            (tmp_path / "log").write_text(thought.answer)
            return thought

    with served(lambda prompt: {name: "print(42)" if "code" in name else f"a {name}" for name in prompt.names}):
        graph = trace(Writing(), {"question": "why?"})
    assert any("side effects" in warning for warning in graph.warnings)


def test_a_program_that_changes_its_inputs_is_proved_and_its_inputs_are_shown_as_they_were():
    def body(program, items):
        items.append(program.first(question=str(items)).hint)
        return program.second(hint=items[-1].upper())

    graph = replayed(body, items=["one"])
    assert graph.inputs == {"items": ["one"]}
    assert not graph.warnings
    assert known(graph, "first[0].hint", "second[0].hint") == "replay"


class Turn:
    def __init__(self, text: str) -> None:
        self.text = text


def test_objects_without_an_equality_are_compared_by_what_they_hold():
    graph = replayed(lambda program, question: dspy.Prediction(turn=Turn(straight(program, question).answer)))
    assert not graph.warnings
    assert known(graph, "second[0].answer", "output.turn") == "replay"


def test_one_field_that_is_never_the_same_is_left_out_by_name():
    def body(program, question):
        answer = straight(program, question).answer
        return dspy.Prediction(answer=answer.upper(), at=time.time())

    graph = replayed(body)
    (warning,) = graph.warnings
    assert "output.at" in warning and "not deterministic" in warning
    assert known(graph, "second[0].answer", "output.answer") == "replay"


class Library:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def find(self, text: str) -> str:
        with self.lock:
            return f"found {text.upper()}"


def test_gaps_between_open_files_leave_room_for_more():
    def body(program, question):
        with ExitStack() as stack:
            file, *_ = [stack.enter_context(open(__file__, encoding="utf-8")) for _ in range(20)]
            return program.second(hint=program.first(question=question).hint + file.readline())

    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(200)]
    for _ in range(10):
        os.close(held.pop(0))
    try:
        graph = replayed(body, question="why?")
    finally:
        for number in held:
            os.close(number)
    assert not graph.warnings
    assert known(graph, "first[0].hint", "second[0].hint") == "replay"


class Wired(Library):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("wired")


@pytest.mark.parametrize("kind", [Library, Wired])
def test_inputs_with_locks_and_inputs_that_cannot_be_copied_reach_the_replay(kind):
    def body(program, question, library):
        return program.second(hint=library.find(program.first(question=question).hint))

    graph = replayed(body, question="why?", library=kind())
    assert not graph.warnings
    assert known(graph, "first[0].hint", "second[0].hint") == "replay"
