"""The metrics: tables of cases, and properties over arbitrary text."""

import inspect

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop.programs import (
    exact_match,
    format_normalised_match,
    normalise,
    number_match,
    verbatim_match,
    yes_no,
    yes_or_else_no,
)

METRICS = [exact_match, format_normalised_match, number_match, verbatim_match, yes_no, yes_or_else_no]
anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text(max_size=5)))


def score(metric, expected, given):
    result = metric(dspy.Example(question="?", answer=expected), dspy.Prediction(answer=given))
    assert isinstance(result, dspy.Prediction) and isinstance(result.feedback, str) and result.feedback
    return result.score


@pytest.mark.parametrize(
    ("metric", "expected", "given", "right"),
    [
        (verbatim_match, "(B)", " (B)\n", 1),
        (verbatim_match, "(B)", "(b)", 0),
        (verbatim_match, "(B)", "The answer is (B)", 0),
        (verbatim_match, "1,080", "1080", 0),
        (verbatim_match, "Yes", "Yes.", 0),
        (verbatim_match, "12", 12, 1),
        (yes_or_else_no, "yes", "YES, since", 1),
        (yes_or_else_no, "yes", "**Yes**", 0),
        (yes_or_else_no, "no", "**Yes**", 1),
        (yes_or_else_no, "no", "perhaps", 1),
        (yes_or_else_no, "yes", "No", 0),
        (yes_or_else_no, "no", "", 0),
    ],
)
def test_the_paper_s_own_scores(metric, expected, given, right):
    assert score(metric, expected, given) == right


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("(B)", "(B)", 1),
        ("(B)", " **(b)**. ", 1),
        ("(B)", "The answer is (B).", 1),
        ("(B)", "**Final answer:** (B)", 1),
        ("(B)", "(B) The limousine", 0),
        ("(B)", "B", 0),
        ("invalid", "Invalid.", 1),
        ("invalid", "valid", 0),
        ("] ]", "] ]", 1),
        ("]", ")", 0),
        ("-50", "50", 0),
        ("-50", "-50", 1),
        ("Monsters, Inc", "Monsters, Inc.", 1),
        ("12", 12, 1),
        ("12", "012", 0),
        ("a b", "a  b\n", 1),
        ("a b", "a, b", 0),
        ("?", "?", 1),
        ("answer", "answer", 1),
    ],
)
def test_exact_match(expected, given, right):
    assert score(exact_match, expected, given) == right


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("(B)", "(B) The limousine ...", 1),
        ("(B)", "B", 1),
        ("(B)", "B.", 1),
        ("(B)", "b) the van", 1),
        ("(B)", "Option B", 1),
        ("(B)", "The answer is the van (B).", 1),
        ("(B)", "(A) or (B)", 0),
        ("(B)", "(A) The van", 0),
        ("(A)", "A limousine", 0),
        ("(B)", "By bus", 0),
        ("(B)", "the van", 0),
        ("Yes", "**Yes**, because it is", 1),
        ("no", "Not at all", 0),
        ("invalid", "valid", 0),
        ("invalid", "The answer is: invalid, for two reasons", 1),
        ("8", "8 instruments", 1),
        ("8", "18", 0),
        ("-50", "It is -50", 1),
        ("-50", "It is 50", 0),
        ("] ) >", "])>", 1),
        ("] ) >", "])]", 0),
        ("apple pear", "apple, pear", 1),
        ("apple pear", "1. apple\n2. pear", 1),
        ("apple pear", "- apple\n- pear", 1),
        ("apple pear", "pear apple", 0),
    ],
)
def test_format_normalised_match(expected, given, right):
    assert score(format_normalised_match, expected, given) == right


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("1,080", "1080", 1),
        ("1080", "$1,080.00", 1),
        ("1080", "1,080 dollars.", 1),
        ("109,200,000", 109200000, 1),
        ("7", "3 + 4 = **7**.", 1),
        ("7", "7 of the 9", 0),
        ("7", "17", 0),
        ("-7", "it is -7", 1),
        ("-7", "-$7", 1),
        ("-7", "$-7", 1),
        ("-7", "\u22127", 1),
        ("3", "8-3", 1),
        ("3", "-3", 0),
        ("50", "50%", 1),
        ("0.5", "50%", 0),
        ("0.75", "3/4", 1),
        ("0.75", "It is 3 / 4.", 1),
        ("0.5", ".5", 1),
        ("2.5", 2.5, 1),
        ("2020", "12/05/2020", 1),
        ("12", "twelve", 0),
        ("12", "1/0", 0),
        ("12", "9" * 100_000, 0),
        ("72", "\\boxed{72}", 1),
        ("1", "1,2,3", 0),
    ],
)
def test_number_match(expected, given, right):
    assert score(number_match, expected, given) == right


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("yes", "**Yes**", 1),
        ("yes", "Yes, it is a lie.", 1),
        ("yes", "_yes_", 1),
        ("yes", "The answer is yes", 1),
        ("no", "No.", 1),
        ("no", "NO!", 1),
        ("no", "None", 0),
        ("no", "not a lie", 0),
        ("yes", "True", 0),
        ("yes", True, 0),
        ("yes", "yesterday", 0),
        ("yes", "no", 0),
    ],
)
def test_yes_no(expected, given, right):
    assert score(yes_no, expected, given) == right


def test_feedback_is_in_words():
    def feedback(metric, expected, given):
        return metric(dspy.Example(answer=expected), dspy.Prediction(answer=given)).feedback

    assert feedback(exact_match, "12", "7") == "The expected answer is 12; the program answered 7."
    assert feedback(number_match, "12", "12") == "The expected answer is 12; the program answered 12, which is right."
    assert "in which there is no number" in feedback(number_match, "12", "many")
    assert "must begin with the word yes or the word no" in feedback(yes_no, "yes", "Perhaps")
    assert feedback(exact_match, "12", None) == "The expected answer is 12; the program gave no answer."
    assert len(feedback(exact_match, "12", "x" * 10_000)) < 400
    assert feedback(exact_match, "(B)", "(B) the van") == (
        "The expected answer is (B); the program answered (B) the van, which is right but for its form: it must be (B) "
        "and nothing else."
    )
    assert "right but for its form" in feedback(verbatim_match, "1,080", "1080.")
    assert "names no option: it must be a letter in brackets, such as (B)" in feedback(exact_match, "(B)", "The van")
    assert "must be one such word" in feedback(exact_match, "valid", "The argument is valid")
    assert "there is no number: it must be one" in feedback(verbatim_match, "12", "many")
    for expected, said in (("(B)", "(A) the van"), ("yes", "no"), ("12", "11 cups"), ("a b", "b a")):
        assert feedback(exact_match, expected, said).endswith(f"the program answered {said}.")


@pytest.mark.parametrize("metric", METRICS)
def test_a_bad_prediction_scores_zero_and_a_bad_example_raises(metric):
    gold = {"answer": "yes" if metric is yes_no else "12"}
    for pred in (
        dspy.Prediction(other="x"),
        dspy.Prediction(answer="  "),
        dspy.Prediction(answer=None),
        None,
        {},
    ):
        result = metric(gold, pred)
        assert result.score == 0.0 and "gave no answer" in result.feedback
    with pytest.raises(ValueError, match="has no expected answer"):
        metric(dspy.Example(question="?"), dspy.Prediction(answer="12"))
    inspect.signature(metric).bind(None, None, None, None, None)
    assert metric(gold, gold, [], "final", []).score == 1.0


def test_unusable_labels_raise():
    with pytest.raises(ValueError, match="holds no number; use exact_match"):
        score(number_match, "twelve", "12")
    with pytest.raises(ValueError, match="neither yes nor no; map the labels"):
        score(yes_no, "false", "yes")


def test_metrics_work_in_evaluate():
    class Echo(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer=question)

    devset = [dspy.Example(question=text, answer="12").with_inputs("question") for text in ("12", "13")]
    result = dspy.Evaluate(devset=devset, metric=number_match, num_threads=1, display_progress=False)(Echo())
    assert result.score == 50.0


@given(st.text())
def test_normalise_is_idempotent(text):
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(), st.sampled_from(["{}", "  {}\n", "**{}**", "The answer is: {}", '"{}".']))
def test_normalise_ignores_the_wrapping(text, wrapping):
    core = normalise(text)
    if core.strip(" .,;:!?\"'`*\u201c\u201d\u2018\u2019"):
        assert normalise(wrapping.format(core)) == core


@settings(max_examples=200)
@given(st.sampled_from(METRICS), anything)
def test_no_answer_breaks_a_metric(metric, answer):
    assert score(metric, "no" if metric is yes_no else "12", answer) in (0.0, 1.0)


@given(anything, anything)
def test_the_lenient_score_is_never_below_the_raw_one(expected, given):
    try:
        raw = score(exact_match, expected, given)
    except ValueError:
        return
    assert score(format_normalised_match, expected, given) >= raw


@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from(["{:,}", "{}", "${:,}", "{}.0", "{:,}.00", "so {}.", "{}%"]),
)
def test_a_number_matches_itself_in_any_clothes(number, clothes):
    assert score(number_match, f"{number:,}", clothes.format(number)) == 1.0
    assert score(number_match, str(number), clothes.format(number + 1)) == 0.0


@given(st.integers(-1000, 1000), st.integers(1, 1000))
def test_fractions_are_exact(numerator, denominator):
    assert score(number_match, f"{numerator}/{denominator}", f"{3 * numerator}/{3 * denominator}") == 1.0
    assert score(number_match, f"{numerator}/{denominator}", f"{numerator + 1}/{denominator}") == 0.0


@given(st.sampled_from("ABCDEFGHIJKLMNOPQR"), st.sampled_from("ABCDEFGHIJKLMNOPQR"))
def test_options_match_only_their_own_letter(expected, given):
    for form in ("({})", "{}", "{}.", "{}) the van", "({}) the van", "the van ({})", "Option {}"):
        assert score(format_normalised_match, f"({expected})", form.format(given)) == float(expected == given)
