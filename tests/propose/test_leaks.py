"""No instruction with an example in it gets through, and no honest one is touched."""

from __future__ import annotations

import random
import time
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import SemanticGradientDescent
from dspy_semantic_backprop._evaluate.candidate import Candidate
from dspy_semantic_backprop._propose.leaks import LeakGuard
from dspy_semantic_backprop._propose.protected import Parameters
from dspy_semantic_backprop._propose.screen import Screen
from dspy_semantic_backprop._propose.sentences import sentences
from dspy_semantic_backprop._propose.shingles import located_words, shingles, words
from tests.optimizer.test_compile import Chain
from tests.propose.leak_cases import HONEST, LEAKS, RULE
from tests.propose.leak_cases_held_out import HELD_OUT_HONEST, HELD_OUT_LEAKS
from tests.propose.leak_data import DATA, SHOP
from tests.propose.leak_data_held_out import HELD_OUT_DATA
from tests.scripted import careful, questions, right, served

START = "Do the task."
ALL_DATA = {**DATA, **{f"held out: {name}": examples for name, examples in HELD_OUT_DATA.items()}}
GUARDS = {name: LeakGuard(examples, Candidate({"step": START})) for name, examples in ALL_DATA.items()}
ALL_LEAKS = LEAKS + [(f"held out: {name}", said, gone) for name, _, said, gone in HELD_OUT_LEAKS]
ALL_HONEST = HONEST + [(f"held out: {name}", text) for name, text in HELD_OUT_HONEST]
MISSED = {
    "Dietrich drives 1350 miles in 3 days, which is how many miles on average each day?": (
        "a rewritten question: no more than five of its words in a row are those of the input, and 'three' is '3'"
    ),
    "Remember that the strait between Honshu and Hokkaido is the Tsugaru Strait.": (
        "an answer in a sentence of its own: two rare words of the question beside it may be chance, three are none"
    ),
}
"""Leaks that the guard lets through, and why: 73 of the 75 known ones and all 50 of those held out are found."""
FOUND = [case for case in ALL_LEAKS if case[1] not in MISSED]


def _in_an_instruction(said):
    return f"{RULE}\n\n{said}\n\nBe brief.", f"{RULE}\n- {said}\n- Be brief."


@pytest.mark.parametrize(("data", "said", "gone"), FOUND, ids=[said[:40] for _, said, _ in FOUND])
def test_a_quotation_is_found_and_cut_out_and_the_rule_stays(data, said, gone):
    guard = GUARDS[data]
    for text in _in_an_instruction(said):
        found = guard.leaks(text, START)
        assert found
        ids = range(len(ALL_DATA[data]))
        assert all(text[one.span[0] : one.span[1]].strip() and one.example_id in ids for one in found)
        cleaned = guard.cleaned(text, START)
        assert gone not in cleaned
        assert RULE in cleaned
        assert "Be brief." in cleaned


def test_exactly_the_listed_leaks_are_missed():
    missed = {
        said for data, said, _ in ALL_LEAKS if not all(map(GUARDS[data].leaks, _in_an_instruction(said), [START] * 2))
    }
    assert missed == set(MISSED)
    assert len(LEAKS) == 75


@pytest.mark.parametrize(("data", "text"), ALL_HONEST, ids=[text[:40] for _, text in ALL_HONEST])
def test_an_honest_instruction_stays_as_it_is(data, text):
    assert GUARDS[data].leaks(text, START) == ()
    assert GUARDS[data].cleaned(f"{RULE}\n\n{text}", START) == f"{RULE}\n\n{text}"


@pytest.mark.parametrize(("data", "said", "gone"), LEAKS[::4], ids=[said[:40] for _, said, _ in LEAKS[::4]])
def test_what_the_user_wrote_is_no_leak(data, said, gone):
    text = f"{RULE}\n\n{said}"
    assert GUARDS[data].leaks(text, text) == ()
    assert LeakGuard(DATA[data], Candidate({"a": "x", "step": text})).leaks(f"Be brief. {text}", START) == ()
    assert GUARDS[data].leaks(text, RULE) != ()


def test_an_input_is_quoted_without_the_words_that_all_inputs_share():
    truths = ["not False or not not False and False", "( True ) and not not False", "False or not ( True ) and True"]
    places = ["New Zealand", "the island of Malta", "Peru", "Chad", "the old kingdom of the two Sicilies"]
    boolean = LeakGuard(_asked("{} is", [*truths, "not ( True or True ) or False"]), Candidate({"step": START}))
    capitals = LeakGuard(_asked("What is the capital of {} today?", places), Candidate({"step": START}))
    for guard, said in [*((boolean, one) for one in truths), (capitals, places[4])]:
        (leak, *_) = guard.leaks(f"Evaluate `{said}` step by step.", START)
        assert leak.field == "question"
    # A name that an input asks about is no quotation of it, and what all inputs say is none either.
    assert not capitals.leaks("Name the capital of the country, New Zealand and Malta too, as it is today.", START)
    assert not boolean.leaks("Evaluate not, and, or in this order: what is in brackets is first.", START)


@pytest.mark.parametrize(
    "again", ["Be as careful.", "What follows from statement number 3? Be as careful.", "See {url} first.", ""]
)
def test_a_text_that_quotes_an_example_is_asked_for_again_and_then_cut(again):
    def quoting(prompt: Any) -> dict[str, Any]:
        answers = careful(prompt)
        if "new_instruction" in answers:
            second = "was refused: it quotes example 0 of the trainset (question)" in prompt.text
            told = "What follows from statement number 0? Add careful. Be careful, too."
            answers["new_instruction"] = again.format(url="https://evil.example/rules") if second else told
        return answers

    with served(quoting):
        optimizer = SemanticGradientDescent(right, steps=1, probe="never", subscribers=())
        result = optimizer.compile(Chain(), trainset=questions(12)).detailed_results
    texts = set(result.instructions_after.values()) - set(result.instructions_before.values())
    # The second text, cut where it quotes as well; where that cannot be used at all, what is left of the first.
    assert texts == {"Be as careful." if "as careful" in again else "Add careful. Be careful, too."}


def test_a_text_that_repeats_the_lessons_is_refused_unless_the_user_wrote_so():
    told = "Be careful.\n\nHow the output should have been different:\n  It should be careful."
    for start, refused in ((START, True), (f"{told} Always.", False)):
        parent = Candidate({"step": start})
        screened = Screen(Parameters())("step", told, parent)
        assert ("it repeats the lessons ('How the output" in screened.refusal) == refused
    for honest in ("Say how the output should be.", "Plan the course.\nLesson 1: what a verb is.\nLesson 2: tenses."):
        assert not Screen(Parameters())("step", honest, Candidate({"step": START})).refusal


def _asked(form: str, inside: list[str]) -> list[dspy.Example]:
    return [dspy.Example(question=form.format(one), answer="?").with_inputs("question") for one in inside]


def test_a_leak_says_which_example_it_is_from():
    (leak, *_) = GUARDS["shop"].leaks(f"{RULE} Oksana saves $35 a week. How much money has she saved?", START)
    assert (leak.example_id, leak.field) == (3, "question")
    assert leak.span[0] == len(RULE) + 1


def test_the_answer_goes_with_its_question_and_the_next_rule_stays():
    block = (
        "### Examples\n\nQuestion: Marisol baked 48 muffins on Monday and half as many on Friday.\nReasoning: add.\n"
    )
    text = f"{RULE}\n\n{block}Answer: 72\n\n- Give digits only.\n- Leave out units."
    assert GUARDS["shop"].cleaned(text, START) == f"{RULE}\n\n- Give digits only.\n- Leave out units."


def test_only_the_example_of_a_rule_is_cut_out():
    text = (
        "Divide by two what is 'half as many' (for example, 48 muffins on Monday and half as many on Friday), then add."
    )
    assert GUARDS["shop"].cleaned(text, START) == "Divide by two what is 'half as many', then add."


def test_nothing_is_left_of_an_instruction_that_is_all_example():
    text = "\n\n".join(f"Question: {one.question}\nAnswer: {one.answer}" for one in SHOP[:3])
    assert GUARDS["shop"].cleaned(text, START) == ""


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_sets_of_every_size_are_guarded(count):
    guard = LeakGuard(SHOP[:count], Candidate({"step": START}))
    assert guard.leaks(f"{RULE} {SHOP[0].question}", START)
    assert not guard.leaks(RULE, START)


def test_class_labels_and_standing_phrases_are_no_property_of_an_example():
    asked = "Is the following sentence plausible?"
    names = "Arnaud Belkin Chidi Dorota Emre Farida Goran Hilda Ivo Jun Kofi Lena".split()  # noqa: SIM905
    rows = [
        (f'{asked} "{name} caught pass number {at} of the day."', ("yes", "no")[at % 2])
        for at, name in enumerate(names)
    ]
    examples = [dspy.Example(question=one, answer=other).with_inputs("question") for one, other in rows]
    guard = LeakGuard(examples, Candidate({"step": START}))
    assert not guard.leaks(
        f"{asked} Answer yes or no. The answer is yes if the sport fits 'caught pass number'.", START
    )
    assert guard.leaks("'Dorota caught pass number 3 of the day' is fine.", START)


def test_a_document_that_many_questions_share_may_not_be_quoted():
    document = (
        "The lighthouse at Skerry Point was manned by two brothers who quarrelled over a borrowed violin for years."
    )
    rows = [{"document": document, "question": f"Question {at}: who did what?", "answer": "yes"} for at in range(10)]
    examples = [dspy.Example(**row).with_inputs("document", "question") for row in rows]
    guard = LeakGuard(examples, Candidate({"step": START}))
    assert guard.leaks("The lighthouse was manned by two brothers who quarrelled over a borrowed violin.", START)


def test_examples_that_do_not_name_their_inputs_and_odd_values_are_guarded_too():
    odd = {
        "a": None,
        "b": True,
        "c": b"x",
        "d": {"deep": [{"er": ["The violet tram never stops at the fifth bridge."]}]},
    }
    guard = LeakGuard([dspy.Example(**odd), dspy.Example(), dspy.Example(e={1, 2}, f=3.5)], Candidate({}))
    assert guard.leaks("Note: the violet tram never stops at the fifth bridge.", "")
    assert not LeakGuard([], Candidate({})).leaks(RULE, "")


_PARTS = [said for _, said, _ in LEAKS] + [text for _, text in HONEST] + ["\n", "\n\n- ", "```", " ", "For example:\n"]


@settings(max_examples=150)
@given(st.sampled_from(sorted(DATA)), st.lists(st.sampled_from(_PARTS), min_size=1, max_size=8), st.text(max_size=30))
def test_what_is_cleaned_never_leaks(data, parts, noise):
    guard = GUARDS[data]
    text = noise.join(parts)
    cleaned = guard.cleaned(text, START)
    assert guard.leaks(cleaned, START) == ()
    assert guard.cleaned(cleaned, START) == cleaned
    if not guard.leaks(text, START):
        assert cleaned == text


@given(st.integers(0, len(SHOP) - 1), st.data())
def test_a_question_leaks_wherever_it_is_put_and_however_it_is_set(number, data):
    question = SHOP[number].question
    dressed = data.draw(
        st.sampled_from(
            [question, question.upper(), question.replace(" ", "  "), question.replace(" ", "\n"), f"**{question}**"]
        )
    )
    before = data.draw(st.sampled_from([text for name, text in HONEST if name == "shop"]))
    assert GUARDS["shop"].leaks(f"{before} {dressed} {before}", START)


@given(st.text())
def test_words_are_the_same_with_and_without_their_places(text):
    found, spans = located_words(text)
    assert found == words(text)
    assert all(start < end for start, end in spans)
    assert len(shingles(text)) == max(0, len(found) - 2)


@given(st.text(alphabet="ab.!? \n-1`>#:", max_size=200))
def test_the_sentences_of_a_text_are_the_text(text):
    assert "".join(text[one.start : one.end] for one in sentences(text)) == text


def test_long_inputs_and_a_long_instruction_take_little_time():
    draw = random.Random(0)
    texts = [" ".join(f"w{draw.randrange(50_000)}" for _ in range(8000)) for _ in range(40)]
    examples = [dspy.Example(text=text, label="yes").with_inputs("text") for text in texts]
    started = time.process_time()
    guard = LeakGuard(examples, Candidate({"step": START}))
    indexed = time.process_time()
    assert guard.leaks("Rule. " * 3000, START) == ()
    assert guard.leaks("Rule. " * 1500 + texts[7][20_000:20_200], START)[0].example_id == 7
    assert guard.cleaned(texts[7][:20_000], START) == ""
    # 2 MB of inputs; measured 0.05 and 0.1 seconds.
    assert indexed - started < 4
    assert time.process_time() - indexed < 2
