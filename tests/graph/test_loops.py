"""A loop that ended: the answer that ended it decides what is kept, though nothing was read after it."""

from __future__ import annotations

import asyncio
import enum
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import dspy
import pytest

from dspy_semantic_backprop import OUTPUT, trace
from tests.scripted import served

Shape = Callable[[Any, str], Any]
SHAPES: dict[str, tuple[Shape, Any, Any]] = {}


class Grade(enum.Enum):
    GOOD = "good"
    BAD = "bad"


def shape(said: Any, kind: Any = str) -> Callable[[Shape], Shape]:
    """A loop that the first verdict `said`, of the type `kind`, ends."""

    def keep(body: Shape) -> Shape:
        SHAPES[body.__name__] = body, kind, said
        return body

    return keep


class Program(dspy.Module):
    def __init__(self, body: Shape, kind: Any) -> None:
        super().__init__()
        self.body = body
        judged = {"draft": (str, dspy.InputField()), "verdict": (kind, dspy.OutputField())}
        self.write: Any = dspy.Predict("topic, remark -> draft")
        self.judge: Any = dspy.Predict(dspy.make_signature(judged, "Judge."))  # pyright: ignore[reportArgumentType]
        self.both: Any = dspy.Predict("draft -> better, done: bool")
        self.polish: Any = dspy.Predict("draft -> text")

    def forward(self, topic: str) -> Any:
        return self.body(self, topic)


def kept(draft: str) -> dspy.Prediction:
    return dspy.Prediction(draft=draft)


@shape("none")
def a_word_breaks(p, topic):
    draft = p.write(topic=topic, remark="none").draft
    for _ in range(2):
        verdict = p.judge(draft=draft).verdict
        if verdict.strip().lower() == "none":
            break
        draft = p.write(topic=topic, remark=verdict).draft
    return kept(draft)


@shape("It is ok as far as I can see.")
def a_word_in_a_sentence_breaks(p, topic):
    draft = ""
    for _ in range(5):
        draft = p.write(topic=topic, remark=draft).draft
        if "ok" in p.judge(draft=draft).verdict:
            break
    return kept(draft)


@shape("")
def no_objection(p, topic):
    draft = p.write(topic=topic, remark="").draft
    while objection := p.judge(draft=draft).verdict:
        draft = p.write(topic=topic, remark=objection).draft
    return kept(draft)


@shape(True, bool)
def a_flag_that_is_waited_for(p, topic):
    done = False
    draft = ""
    while not done:
        draft = p.write(topic=topic, remark=draft).draft
        done = p.judge(draft=draft).verdict
    return kept(draft)


@shape(False, bool)
def a_flag_to_go_on(p, topic):
    draft = p.write(topic=topic, remark="").draft
    while p.judge(draft=draft).verdict:
        draft = p.write(topic=topic, remark=draft).draft
    return kept(draft)


@shape(0, int)
def no_mistakes_are_left(p, topic):
    for attempt in itertools.count():
        draft = p.write(topic=topic, remark=f"attempt {attempt}").draft
        if not p.judge(draft=draft).verdict:
            return kept(draft)


@shape(0.9, float)
def a_score_above_a_threshold(p, topic):
    best, draft = 0.0, ""
    while best < 0.8:
        draft = p.write(topic=topic, remark=draft).draft
        best = p.judge(draft=draft).verdict
    return kept(draft)


@shape("good", Literal["good", "bad"])
def one_of_two_words(p, topic):
    for attempt in range(3):
        draft = p.write(topic=topic, remark=str(attempt)).draft
        if p.judge(draft=draft).verdict == "good":
            return kept(draft)
    return kept("")


@shape(Grade.GOOD, Grade)
def a_member_of_an_enumeration(p, topic):
    for attempt in range(3):
        draft = p.write(topic=topic, remark=str(attempt)).draft
        if p.judge(draft=draft).verdict is Grade.GOOD:
            break
    else:
        draft = "nothing came of it"
    return kept(draft)


@shape("none")
def what_a_later_step_reads(p, topic):
    draft = p.write(topic=topic, remark="none").draft
    while (verdict := p.judge(draft=draft).verdict) != "none":
        draft = p.write(topic=topic, remark=verdict).draft
    return kept(p.polish(draft=draft).text)


@shape("none")
def a_verdict_that_is_reported_as_well(p, topic):
    draft = p.write(topic=topic, remark="none").draft
    while (verdict := p.judge(draft=draft).verdict) != "none":
        draft = p.write(topic=topic, remark=verdict).draft
    return dspy.Prediction(draft=draft, verdict=verdict)


def edges_of(body: Shape, kind: Any, said: Any) -> set[tuple[str, str | None, str, str | None]]:
    given = {"verdict": getattr(said, "value", said), "done": True}

    def rule(prompt: Any) -> dict[str, Any]:
        return {name: given.get(name, f"a long {name} on {prompt.inputs.get('topic')}") for name in prompt.names}

    with served(rule):
        graph = trace(Program(body, kind), {"topic": "pressure at the gate"})
    assert not graph.warnings
    return {(*vars(edge.source).values(), *vars(edge.target).values()) for edge in graph.edges if edge.confidence == 1}


@pytest.mark.parametrize("name", list(SHAPES))
def test_the_answer_that_ended_a_loop_feeds_what_the_loop_made(name):
    later, reported = name == "what_a_later_step_reads", name == "a_verdict_that_is_reported_as_well"
    found = {edge[2:] for edge in edges_of(*SHAPES[name]) if edge[:2] == ("judge[0]", "verdict")}
    target = ("polish[0]", "draft") if later else (OUTPUT, "draft")
    assert found == {target} | ({(OUTPUT, "verdict")} if reported else set())


def test_a_step_that_says_itself_that_it_is_done():
    def body(p: Any, topic: str) -> Any:
        draft, done = topic, False
        while not done:
            step = p.both(draft=draft)
            draft, done = step.better, step.done
        return kept(draft)

    found = edges_of(body, str, "")
    assert ("both[0]", "done", OUTPUT, "draft") in found and ("both[0]", "better", OUTPUT, "draft") in found


def test_loops_one_after_the_other_end_each_with_their_own_answer():
    def body(p: Any, topic: str) -> Any:
        made = {}
        for part in ("first", "second"):
            draft = p.write(topic=f"{part} {topic}", remark="none").draft
            while (verdict := p.judge(draft=draft).verdict) != "none":
                draft = p.write(topic=f"{part} {topic}", remark=verdict).draft
            made[part] = draft
        return dspy.Prediction(**made)

    found = {edge for edge in edges_of(body, str, "none") if edge[0].startswith("judge")}
    assert found == {(f"judge[{at}]", "verdict", OUTPUT, part) for at, part in enumerate(("first", "second"))}


@pytest.mark.parametrize("how", ["threads", "tasks"])
def test_loops_beside_each_other_end_each_with_their_own_answer(how):
    async def revised(p: Any, topic: str) -> str:
        draft = (await p.write.acall(topic=topic, remark="none")).draft
        for _ in range(2):
            verdict = (await p.judge.acall(draft=draft)).verdict
            if verdict == "none":
                break
            draft = (await p.write.acall(topic=topic, remark=verdict)).draft
        return draft

    async def beside(p: Any, topics: list[str]) -> list[str]:
        return await asyncio.gather(*(revised(p, topic) for topic in topics))

    def body(p: Any, topic: str) -> Any:
        topics = [f"{part} {topic}" for part in ("first", "second", "third")]
        if how == "tasks":
            made = asyncio.run(beside(p, topics))
        else:
            several = dspy.Parallel(num_threads=3, disable_progress_bar=True)
            made = [one.draft for one in several([(partial(a_word_breaks, p), {"topic": one}) for one in topics])]
        return dspy.Prediction(**dict(zip(("first", "second", "third"), made, strict=True)))

    found = {edge for edge in edges_of(body, str, "none") if edge[0].startswith("judge")}
    assert found == {(f"judge[{at}]", "verdict", OUTPUT, part) for at, part in enumerate(("first", "second", "third"))}


def test_a_loop_of_which_nothing_is_kept_is_no_edge():
    def body(p: Any, topic: str) -> Any:
        draft = p.write(topic=topic, remark="none").draft
        while (verdict := p.judge(draft=draft).verdict) != "none":
            p.write(topic=topic, remark=verdict)
        return kept(draft)

    assert not {edge for edge in edges_of(body, str, "none") if edge[0] == "judge[0]"}


def test_how_many_items_are_worked_on_is_seen_in_the_work_alone():
    def body(p: Any, topic: str) -> Any:
        drafts = [p.write(topic=part, remark="none").draft for part in p.judge(draft=topic).verdict.split(", ")]
        return kept("; ".join(drafts))

    found = {edge[2] for edge in edges_of(body, str, "red, blue") if edge[0] == "judge[0]"}
    assert found == {"write[0]", "write[1]"}
