"""What a run's result prints, what it keeps as JSON, and what a table of its candidates holds."""

import json
import math
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.lib.pretty import pretty

from dspy_semantic_backprop import Result, SemanticGradientDescent
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served


@pytest.fixture(scope="module")
def result() -> Result:
    with served(careful):
        optimizer = SemanticGradientDescent(right, steps=2, subscribers=())
        better = optimizer.compile(Chain(), trainset=questions(24))
    return Result.of(better)


def of(result: Result, **fields) -> Result:
    state = result.to_dict()
    return Result.from_dict({**state, **{name: value for name, value in fields.items()}})


def columns(line: str) -> int:
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in line)
    return len(line) + wide - sum(unicodedata.category(one) in ("Mn", "Me") for one in line)


def test_it_leads_with_the_decision_and_says_what_changed_word_by_word(result):
    said = str(result)
    assert said.startswith("Decision: expected gain")
    assert "{+" in said
    assert "Ended: " in said


def test_it_round_trips_through_json(result):
    again = Result.from_dict(json.loads(json.dumps(result.to_dict())))
    assert again == result
    assert again.to_dict() == result.to_dict()


def test_an_unknown_score_round_trips(result):
    unknown = of(result, score={"before": None, "after": None})
    assert math.isnan(unknown.score_before)
    assert unknown.to_dict()["score"] == {"before": None, "after": None, "examples": 24}


def test_a_part_that_is_missing_is_named(result):
    state = result.to_dict()
    del state["ending"]
    with pytest.raises(ValueError, match="ending"):
        Result.from_dict(state)


def test_the_table_has_a_row_for_each_candidate_and_marks_what_was_returned(result):
    rows = result.table()
    assert [row["candidate"] for row in rows] == [one.number for one in result.candidates]
    (returned,) = [row for row in rows if row["returned"]]
    assert returned["gain"] == 1.0
    assert returned["changed"] == result.changed
    assert rows[0]["gain"] == 0.0


def test_a_notebook_shows_the_text(result):
    assert pretty(result) == str(result)


texts = st.text(st.characters(blacklist_characters="[]{}+-"), max_size=200)


@settings(max_examples=30)
@given(texts, texts, st.lists(st.text(max_size=200), max_size=6))
def test_any_text_prints_within_80_columns_and_the_diff_holds_both(result, before, after, warnings):
    one = of(
        result,
        instructions={"before": {"answer": before}, "after": {"answer": after}},
        warnings=warnings,
        reason=before or "x",
    )
    assert max(columns(line) for line in str(one).split("\n")) <= 80
    assert len(str(one).split("\n")) <= 60
    if before.isprintable() and after.isprintable() and before != after:
        shown = one.diff().split("\n", 1)[1]
        assert re.sub(r"\{\+.*?\+\}|\[-|-\]", "", shown) == before
        assert re.sub(r"\[-.*?-\]|\{\+|\+\}", "", shown) == after


def test_an_edit_far_inside_a_long_text_is_seen_on_a_screen(result):
    before = " ".join(f"Rule {at} stands." for at in range(900)) + " 回答问题并给出理由"
    after = before.replace("Rule 400 stands.", "Rule 400 falls.").replace("理由", "原因")
    one = of(result, instructions={"before": {"answer": before}, "after": {"answer": after}})
    shown = " ".join(str(one).split())
    assert "Rule 400 [-stands.-]{+falls.+} Rule 401" in shown
    assert "回答问题并给出[-理由-]{+原因+}" in shown
    assert "Rule 300" not in shown
    assert one.diff().startswith(f"answer\n{before[:100]}")


def test_texts_that_repeat_one_word_are_compared_at_once(result):
    one = of(result, instructions={"before": {"answer": "word " * 5_000}, "after": {"answer": "other word " * 3_000}})
    assert "{+other+} word" in one.diff()
