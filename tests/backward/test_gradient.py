"""Gradients as values: JSON, truth, text; and the judgement of single answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop._backward.gradient import Direction, Message, TextGradient
from dspy_semantic_backprop._backward.judge import refuses, repeats, says_no_change
from dspy_semantic_backprop._backward.text import clipped, fits, shown, tokens, visible, whole_sentences

directions = st.builds(
    Direction,
    st.text(),
    st.sampled_from(["change", "none", "missing"]),
    st.sampled_from(["none", "minor", "major"]),
    st.text(),
    st.none() | st.integers(0, 99),
    st.lists(st.text(), max_size=3).map(tuple),
    st.integers(1, 5),
)
gradients = st.builds(
    TextGradient,
    st.lists(st.builds(Message, st.text(), st.text(), st.text(), directions), max_size=4).map(tuple),
    st.none() | directions,
    st.none() | st.text(),
)


@settings(deadline=None)
@given(gradients)
def test_a_gradient_goes_through_json_and_back(gradient):
    assert TextGradient.from_dict(json.loads(json.dumps(gradient.to_dict()))) == gradient
    assert bool(gradient) == any(message.value.status == "change" for message in gradient.messages)
    assert isinstance(str(gradient), str)


@pytest.mark.parametrize(
    ("reply", "fine"),
    [
        ("No change needed.", True),
        ("**No change needed**", True),
        ("no further changes are necessary", True),
        ("This output needs no change.", True),
        ("It does not need to be changed.", True),
        ("It doesn't need any changes; nothing is wrong with it.", True),
        ("Nothing to change.", True),
        ("Nothing needs to be changed here.", True),
        ("It should remain unchanged.", True),
        ("The output is correct as it is.", True),
        ("Keep it as is.", True),
        ("No correction is required, as the count follows from it.", True),
        ("The hint is already correct.", True),
        ("There is no need to change the output statement as it already provides the correct answer.", True),
        ("None", True),
        ("N/A", True),
        ("No change needed to the count, but the unit should be metres.", False),
        ("It should say 12.", False),
        ("The change is missing.", False),
        ("The count is not correct.", False),
        ("It should not be changed to 12 but to 13.", False),
        ("\u5e94\u8be5\u662f 12", False),
        ("12", False),
        ("", False),
    ],
)
def test_the_legal_answer_that_nothing_must_change(reply, fine):
    assert says_no_change(reply) is fine


@pytest.mark.parametrize(
    ("reply", "declined"),
    [
        ("I cannot help with that.", True),
        ("I'm sorry, but I can't assist with this request.", True),
        ("Sorry, I am not able to answer.", True),
        ("As an AI language model, I have no opinion.", True),
        ("Unfortunately, I am unable to comply.", True),
        ("It should not answer 'I cannot help with that' but count the pears.", False),
        ("It cannot be 12; it should be 13.", False),
        ("The step cannot answer without the third item, so name it.", False),
    ],
)
def test_refusals(reply, declined):
    assert refuses(reply) is declined


@pytest.mark.parametrize(
    ("reply", "source", "same"),
    [
        ("There are two pears.", "there are two PEARS", True),
        ("The output should say that there are two pears", "There are two pears", True),
        ("There are three pears.", "There are two pears.", False),
        ("There are 2 pears and 3 apples and 4 plums.", "There are 2 pears and 3 apples and 5 plums.", False),
        ("It should be 12.", "The expected answer is 12.", False),
        ("two pears and one apple lie", "On the table two pears and one apple lie, said the child to the cat.", True),
        ("", "anything", False),
        ("anything", "", False),
    ],
)
def test_what_only_repeats(reply, source, same):
    assert repeats(reply, source) is same


@settings(deadline=None)
@given(st.text(alphabet=st.characters(), max_size=200) | st.text(alphabet="\u202e\x00\ud800[]# _ac\n", max_size=60))
def test_a_visible_text_can_be_sent_and_holds_no_marker(text):
    plain = visible(text)
    plain.encode("utf-8")
    assert "\u202e" not in plain and "\x00" not in plain
    assert not any(line.strip().startswith("[[ ## a ## ]]") for line in plain.splitlines())
    assert visible(plain) == plain


@settings(deadline=None)
@given(st.text(max_size=2_000) | st.text(alphabet="ab ", max_size=5_000), st.integers(1, 200))
def test_a_clipped_text_is_bounded_and_keeps_its_ends(text, limit):
    short, left_out = clipped(text, limit)
    if left_out:
        head, _, tail = short.partition("\n[... ")[0], "", short.rpartition("here ...]\n")[2]
        assert text.startswith(head) and text.endswith(tail) and len(head) + len(tail) + left_out == len(text)
        assert tokens(short) <= limit + 20
    else:
        assert short == text and fits(text, limit)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["One thing.", "Another thing!", "A third, longer thing is this?"]), max_size=60))
def test_a_text_is_never_cut_within_a_sentence(sentences):
    cut = whole_sentences(" ".join(sentences), 40)
    assert fits(cut, 40) and (not cut or cut[-1] in ".!?")


def test_a_megabyte_of_anything_is_shown_in_a_moment():
    for text in ("x" * 10**6, "\x00" * 10**6, "\U0001f600" * 10**6, "ab " * 10**6, " " * 10**6):
        short, left_out = shown(text, 1_000)
        assert left_out and len(short) < 200_000
