"""Two instructions that say the same are one candidate; a changed rule is another, and how far, counts its words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_semantic_backprop._propose.restraint import edit_size
from dspy_semantic_backprop._propose.screen import gist, near_duplicate

TEXT = "Count the pears. Give the number only, e.g. 1,200. If there are none, answer 0.5 or `None`."

SAME = [
    (TEXT, TEXT.upper().replace("`NONE`", "`None`")),
    (TEXT, f"  {TEXT.replace('. ', '.' + chr(10))}\n"),
    (TEXT, "If there are none, answer 0.5 or `None`. Count the pears. Give the number only, e.g. 1,200."),
    (TEXT, "- Count the pears!\n- Give the number only: e.g. 1200\n- If there are none, answer 0.5 or `None`"),
    (TEXT, TEXT.replace("Count", "Please count").replace("Give", "Remember to give")),
    (TEXT, "# Count the pears\n\n**Give** the number only, e.g. 1,200.\n1. If there are none, answer 0.5 or `None`."),
    ("Answer yes or no.", "Answer 'yes' or \"no\"."),
    ("Answer briefly.", "You should answer briefly. "),
    ("Do not guess.", "Please just do not guess!!"),
    ("Don't guess.", "Don\u2019t guess."),
    ("Use full-width \uff11\uff12.", "Use full-width 12."),
    ("Sort the words; keep duplicates.", "Keep duplicates. Sort the words."),
    ("Sort words.\r\nKeep all.", "Sort words.\nKeep all."),
    ("Read a page — then stop.", "Read a page, then stop."),
]
OTHER = [
    ("Always answer yes, never no.", "Never answer yes, always no."),
    ("Do guess.", "Do not guess."),
    ("You may guess.", "You must guess."),
    ("Use 3 sentences.", "Use 4 sentences."),
    ("Use three sentences.", "Use four sentences."),
    ("Round to 0.5.", "Round to 5."),
    ("Return -1.", "Return 1."),
    ("Take 1,200.", "Take 1.200."),
    ("Keep x > 5.", "Keep x < 5."),
    ("Keep x >= 5.", "Keep x > 5."),
    ("Pay $5.", "Pay \u20ac5."),
    ("Give 50%.", "Give 50."),
    ("Compute a + b.", "Compute a * b."),
    ("Answer `Yes`.", "Answer `yes`."),
    ('Write "N/A".', 'Write "NA".'),
    ("Wrap it in [[ ]].", "Wrap it in {{ }}."),
    ("Answer with (A).", "Answer with A."),
    ("Answer in JSON.", "Answer in XML."),
    ("Sort before you count.", "Count before you sort."),
    ("Add all. Add all.", "Add all."),
    ("Answer only if sure.", "Answer if sure."),
    ("Give all units.", "Give no units."),
    ("Reply as <name>.", "Reply as name."),
    ("Join with a -> b.", "Join with a, b."),
    ("Answer.", "Answer. Explain."),
    ("Always explain.", "Explain."),
    ("First sort, then count.", "First count, then sort."),
    ("答えは短く。", "答えは長く。"),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=[other[:40] for _, other in SAME])
def test_dress_makes_no_other_instruction(one, other):
    assert near_duplicate(one, ["Else.", other, one]) == other
    assert hash(gist(one)) == hash(gist(other))


@pytest.mark.parametrize(("one", "other"), OTHER, ids=[other[:40] for _, other in OTHER])
def test_another_rule_is_another_instruction(one, other):
    assert near_duplicate(one, [other]) is None
    assert near_duplicate(f"{TEXT} {one}", [f"{TEXT} {other}"]) is None


@given(st.text())
def test_every_text_is_a_duplicate_of_itself(text):
    assert near_duplicate(text, [text]) == text
    assert near_duplicate(text, []) is None


@given(st.lists(st.sampled_from([one for one, _ in OTHER]), min_size=1, unique=True), st.randoms())
def test_the_order_of_sentences_makes_no_difference(sentences, random):
    shuffled = random.sample(sentences, len(sentences))
    assert gist("\n".join(sentences)) == gist(" ".join(shuffled))


@given(st.lists(st.sampled_from("1 2 3 not never yes no add sort".split()), min_size=1), st.data())  # noqa: SIM905
def test_one_changed_word_is_another_instruction(words, data):
    at = data.draw(st.integers(0, len(words) - 1))
    changed = [*words[:at], "count", *words[at + 1 :]]
    assert gist(" ".join(words)) != gist(" ".join(changed))


WORDS = st.lists(st.sampled_from("add all and count give no not only the units".split()), max_size=12)  # noqa: SIM905


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [
        ("Count the pears.", "Count the pears.", 0),
        ("Count the pears.", "Count\n  the pears. ", 0),
        ("Count the pears.", "Count all the pears.", 1),
        ("Count all the pears.", "Count the pears.", 1),
        ("Count the pears.", "Count the plums.", 1),
        ("Count the pears.", "Count every single ripe pear.", 4),
        ("Count the pears.", "Add. Count the pears. Stop.", 2),
        ("", "Count the pears.", 3),
        ("Count the pears.", "", 3),
        ("a b c d e f", "d e f a b c", 6),
    ],
)
def test_an_edit_is_as_large_as_the_words_that_it_changes(old, new, size):
    assert edit_size(old, new) == size


@given(WORDS, WORDS, WORDS, WORDS)
def test_one_patch_is_as_large_as_its_longer_side(before, removed, added, behind):
    old, new = " ".join([*before, *removed, *behind]), " ".join([*before, *added, *behind])
    assert edit_size(old, new) == edit_size(new, old) <= max(len(removed), len(added))
    assert (edit_size(old, new) == 0) == (old.split() == new.split())


def test_long_texts_are_compared_in_little_time():
    old = " ".join(f"Read line {line} of the text and say what it says." for line in range(350))
    started = time.process_time()
    assert edit_size(old, old.replace("Read", "Take", 3).replace("and say", "and tell", 100)) == 103
    assert edit_size("Add and count. " * 1300, "Count and add. " * 1300) == 2600
    # 17 and 19 KB; measured 0.3 seconds.
    assert time.process_time() - started < 3
