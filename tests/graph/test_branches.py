"""A branch that was not taken: the answer that it was not taken for decides what comes after it all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import trace
from tests.scripted import served

ROUTE = re.compile(r"^(escalate|refund)\b")
WORDS = ["foreign", "dialect"]
FOREIGN = "foreign"
LONG = "It is a plain line of the log as far as I can see, and nothing in it needs treatment before it is read."

Shape = Callable[[Any, str], str]
SHAPES: dict[str, tuple[Shape, str, Any]] = {}


def shape(said: Any = "plain", kind: str = "str") -> Callable[[Shape], Shape]:
    """A way to go on after the answer `said`, of the type `kind`, which is not what the code tests for."""

    def keep(body: Shape) -> Shape:
        SHAPES[body.__name__] = body, kind, said
        return body

    return keep


class Program(dspy.Module):
    def __init__(self, body: Shape, kind: str) -> None:
        super().__init__()
        self.body = body
        self.sort: Any = dspy.Predict(f"raw -> lane: {kind}")
        self.translate: Any = dspy.Predict("foreign -> plain")
        self.clean: Any = dspy.Predict("line -> readings")

    def forward(self, raw: str) -> dspy.Prediction:
        return dspy.Prediction(readings=self.clean(line=self.body(self, raw)).readings)


@shape()
def a_word_far_from_its_test(p, raw):
    line = raw
    if "foreign" in p.sort(raw=raw, config={"temperature": 0.5}).lane.strip().lower().replace("-", " "):
        line = p.translate(foreign=raw).plain
    return line


@shape(LONG)
def a_word_in_a_long_answer(p, raw):
    return p.translate(foreign=raw).plain if "foreign" in p.sort(raw=raw).lane.lower() else raw


@shape()
def an_ending(p, raw):
    return p.translate(foreign=raw).plain if p.sort(raw=raw).lane.endswith("FOREIGN") else raw


@shape()
def a_marker_that_parts_a_text(p, raw):
    _, found, rest = p.sort(raw=raw).lane.partition("TRANSLATE:")
    return p.translate(foreign=rest).plain if found else raw


@shape()
def a_constant_of_the_file(p, raw):
    lane = p.sort(raw=raw).lane
    if lane.lower() != FOREIGN:
        return raw
    return p.translate(foreign=raw).plain


@shape()
def a_word_that_the_program_holds(p, raw):
    p.word = "foreign"
    return p.translate(foreign=raw).plain if p.sort(raw=raw).lane == p.word else raw


@shape()
def every_word_of_a_list(p, raw):
    lane = p.sort(raw=raw).lane
    return p.translate(foreign=raw).plain if all(word in lane for word in WORDS) else raw


@shape(LONG)
def any_word_of_a_list(p, raw):
    lane = p.sort(raw=raw).lane
    return p.translate(foreign=raw).plain if any(word in lane for word in WORDS) else raw


@shape()
def a_loop_that_found_nothing(p, raw):
    lane = p.sort(raw=raw).lane
    for word in WORDS:
        if word in lane:
            break
    else:
        return raw
    return p.translate(foreign=raw).plain


@shape()
def the_first_word_of_those_there(p, raw):
    lane = p.sort(raw=raw).lane
    found = next((word for word in ("foreign", "dialect") if word in lane), None)
    return p.translate(foreign=raw).plain if found else raw


@shape()
def a_pattern_with_classes_and_groups(p, raw):
    found = re.match(r"lane[:=]\s*([A-Z]{3})-(\d+)(?:/\2)?$", p.sort(raw=raw).lane)
    return p.translate(foreign=found[1]).plain if found else raw


@shape()
def a_compiled_pattern(p, raw):
    return p.translate(foreign=raw).plain if ROUTE.match(p.sort(raw=raw).lane) else raw


@shape()
def a_dictionary_of_ways(p, raw):
    return {"foreign": lambda: p.translate(foreign=raw).plain}.get(p.sort(raw=raw).lane.lower(), lambda: raw)()


@shape()
def a_key_that_is_missing(p, raw):
    try:
        return {"foreign": p.translate}[p.sort(raw=raw).lane](foreign=raw).plain
    except KeyError:
        return raw


@shape()
def a_text_that_is_no_number(p, raw):
    try:
        int(p.sort(raw=raw).lane)
    except ValueError:
        return raw
    return p.translate(foreign=raw).plain


@shape()
def a_loop_that_never_ran(p, raw):
    lane = p.sort(raw=raw).lane
    while "foreign" in lane:
        raw = p.translate(foreign=raw).plain
        lane = p.sort(raw=raw).lane
    return raw


@shape("score: 4 of 10")
def a_number_in_a_text(p, raw):
    found = re.search(r"(\d+)", p.sort(raw=raw).lane)
    return p.translate(foreign=raw).plain if found and int(found[1]) in (8, 9) else raw


@shape("kind: plain\nwhy: it is")
def a_labelled_line(p, raw):
    told = dict(line.split(": ", 1) for line in p.sort(raw=raw).lane.splitlines() if ": " in line)
    return p.translate(foreign=raw).plain if told.get("kind") == "foreign" else raw


@shape("It reads well.\nNothing in it is of another language, and the crew will know every word.\n**Verdict:** accept")
def a_verdict_in_the_last_line(p, raw):
    found = re.search(r"\*\*Verdict:\*\*\s*(\w+)", p.sort(raw=raw).lane)
    return p.translate(foreign=raw).plain if found and found[1] == "reject" else raw


@shape('{"kind": "plain"}')
def a_field_of_json(p, raw):
    return p.translate(foreign=raw).plain if json.loads(p.sort(raw=raw).lane)["kind"] == "foreign" else raw


@shape(["plain", "short"], "list[str]")
def an_item_of_a_list(p, raw):
    return p.translate(foreign=raw).plain if any(one.startswith("foreign") for one in p.sort(raw=raw).lane) else raw


@shape({"kind": "plain"}, "dict[str, str]")
def a_value_of_a_dictionary(p, raw):
    return p.translate(foreign=raw).plain if p.sort(raw=raw).lane.get("kind") == "foreign" else raw


def _edges_of_sort(name: str) -> set[str]:
    body, kind, said = SHAPES[name]
    with served(lambda prompt: {one: said if one == "lane" else f"a long {one}" for one in prompt.names}):
        graph = trace(Program(body, kind), {"raw": "pressure at the gate"})
    assert not graph.warnings
    return {edge.target.call for edge in graph.edges if edge.source.call == "sort[0]" and edge.confidence == 1}


@pytest.mark.parametrize("name", list(SHAPES))
def test_an_answer_that_a_branch_was_not_taken_for_feeds_what_comes_after_it(name):
    assert _edges_of_sort(name) == {"clean[0]"}


@shape()
def nothing_hangs_on_it(p, raw):
    seen = []
    if "foreign" in p.sort(raw=raw).lane:
        seen.append(raw)
    return raw


def test_a_branch_that_changes_nothing_is_no_edge():
    assert _edges_of_sort("nothing_hangs_on_it") == set()
