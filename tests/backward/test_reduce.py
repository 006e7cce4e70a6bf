"""From many lessons to few statements, each with the examples behind it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from dspy_semantic_backprop import Purpose
from dspy_semantic_backprop._backward.reduce import Remark, Statement, reduce
from dspy_semantic_backprop._session.ledger import Ledger
from dspy_semantic_backprop._session.lm import for_purpose
from tests.scripted import served

STATEMENT = TypeAdapter(Statement)
TOPICS = ["Count the pears.", "Name the unit.", "Answer in French.", "Give the number only.", "Cite the source."]


def reduced(remarks: list[Remark], **how: Any) -> tuple[tuple[Statement, ...], Counter[str]]:
    tally: Counter[str] = Counter()

    async def run() -> tuple[Statement, ...]:
        return await reduce(remarks, "hint_1", **how)

    with for_purpose(Purpose.CHECK, Ledger(), lm=dspy.settings.lm, tally=tally):
        return asyncio.run(run()), tally


def lessons(prompt: Any) -> list[tuple[str, str]]:
    return re.findall(r"^\[(\w+)\] (.*)$", prompt.inputs["lessons"], re.MULTILINE)


def by_topic(prompt: Any) -> dict[str, str]:
    """Merges lessons that name the same thing; sees that two languages contradict each other."""
    topics: dict[str, list[str]] = {}
    for key, text in lessons(prompt):
        topics.setdefault(next(iter(re.findall(r"pears|unit|French|German|number|source", text)), text), []).append(key)
    lines = [f"- Mind the {topic}. " + " ".join(f"[{key}]" for key in keys) for topic, keys in topics.items()]
    languages = [f"[{topics[name][0]}]" for name in ("French", "German") if name in topics]
    return {"statements": "\n".join(lines), "contradictions": " ".join(languages) if len(languages) > 1 else "none"}


def test_near_duplicates_are_merged_without_asking():
    remarks = [Remark("Count the pears, please, and say how many there are.", at) for at in range(50)]
    remarks.append(Remark("count the pears please and say how many there are", 50))
    with served(by_topic) as server:
        statements, _ = reduced(remarks)
        assert server.requests == 0
    (statement,) = statements
    assert statement.example_ids == tuple(range(51)) and statement.predictor == "hint_1"


def test_a_number_or_a_negation_of_difference_is_a_different_lesson():
    said = [
        "Say that there are 12 pears on the table in the kitchen now.",
        "Say that there are 13 pears on the table in the kitchen now.",
    ]
    with served(lambda prompt: "nonsense"):
        statements, _ = reduced([Remark(text, at) for at, text in enumerate(said)])
    assert {one.text for one in statements} == set(said)


def test_many_lessons_become_a_tree_of_few_questions_and_keep_their_examples():
    remarks = [Remark(f"Lesson of example {at}: {TOPICS[at % 5]} word{at}", at) for at in range(100)]
    with served(by_topic) as server:
        statements, tally = reduced(remarks, fan=8)
        assert server.requests < 40  # 13 for the first level, fewer for each of the others
    assert len(statements) == 5
    for statement in statements:
        topics = {at % 5 for at in statement.example_ids}
        assert len(topics) == 1 and len(statement.example_ids) == 20
    assert tally["merged"] == 95


def test_contradictions_are_surfaced_and_not_merged():
    remarks = [
        Remark("Always answer in French.", 0),
        Remark("Always answer in German.", 1),
        Remark("Name the unit.", 2),
    ]

    def muddled(prompt: Any) -> dict[str, str]:
        keys = {text: key for key, text in lessons(prompt)}
        french, german = keys["Always answer in French."], keys["Always answer in German."]
        return {"statements": f"Mind the language. [{french}] [{german}]", "contradictions": f"[{german}] [{french}]"}

    for rule in (by_topic, muddled):
        with served(rule):
            statements, _ = reduced(remarks)
        assert len(statements) == 3
        french = next(at for at, one in enumerate(statements) if 0 in one.example_ids)
        german = next(at for at, one in enumerate(statements) if 1 in one.example_ids)
        assert statements[french].contradicts == (german,) and statements[german].contradicts == (french,)


def test_invented_names_are_dropped_and_forgotten_lessons_kept():
    def forgetful(prompt: Any) -> dict[str, str]:
        keys = [key for key, _ in lessons(prompt)]
        return {"statements": f"Both of these. [{keys[0]}] [{keys[1]}] [zzzzzz] [hint 3]", "contradictions": "none"}

    with served(forgetful):
        statements, tally = reduced([Remark(text, at) for at, text in enumerate(TOPICS)], fan=8)
    assert tally["invented"] == 2
    assert Counter(one.example_ids for one in statements) == Counter([(0, 1), (2,), (3,), (4,)])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(TOPICS) | st.text(max_size=30), st.integers(0, 9)), max_size=30),
    st.integers(2, 6),
    st.integers(0, 3),
)
def test_no_example_is_lost_or_made_up_whatever_the_model_says(said, fan, mood):
    rules = [by_topic, lambda prompt: "I cannot help with that.", lambda prompt: {}, _everything]
    remarks = [Remark(text, example) for text, example in said]
    with served(rules[mood]):
        statements, _ = reduced(remarks, fan=fan)
    spoken = {remark.example_id for remark in remarks if re.search(r"[^\W_]", remark.text)}
    assert {one for statement in statements for one in statement.example_ids} == spoken
    for at, statement in enumerate(statements):
        assert list(statement.example_ids) == sorted(set(statement.example_ids)) or statement.text
        assert all(at in statements[other].contradicts for other in statement.contradicts)
        assert STATEMENT.validate_json(STATEMENT.dump_json(statement)) == statement


def _everything(prompt: Any) -> dict[str, str]:
    keys = " ".join(f"[{key}]" for key, _ in lessons(prompt))
    return {"statements": f"All of it. {keys}\nAgain. {keys}", "contradictions": f"{keys}\n[nothing] {keys}"}


def test_a_fan_of_one_cannot_merge():
    with pytest.raises(ValueError, match="fan"):
        reduced([], fan=1)
