"""Metrics with feedback in words, for the paper's data sets (arXiv 2412.03624).

Each takes `(gold, pred, trace=None, pred_name=None, pred_trace=None)`, as dspy.GEPA's metrics do, reads the
field `answer` of both, and returns `dspy.Prediction(score=..., feedback=...)`, the score 0.0 or 1.0. The
feedback is the paper's: it names the expected answer, here together with the one given, and says what is wrong with the
form of that one: a small model took "(B)" and "(B) The van" for the same and asked for nothing else.

A bad prediction (no answer, None, a number) scores 0.0 with feedback; a bad example (no expected answer) is
a mistake in the data and raises ValueError, for a score would hide it.

A dspy.Prediction is true in an `if` whatever its score. For optimizers that want a bool (BootstrapFewShot):
`metric=lambda example, pred, trace=None: exact_match(example, pred).score == 1.0`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import dspy

_MISSING = object()
_LONGEST_QUOTE = 300
_LONGEST_NUMBER = 300

_BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
_ANSWER_IS = re.compile(r"^(?:the )?(?:final |correct )?answer(?: is\b ?:?| ?:)")
_EDGES = " .,;:!?\"'`\u201c\u201d\u2018\u2019"

_OPTION = re.compile(r"\(([a-z])\)")
_LEADING_OPTION = re.compile(r"(?:option )?([a-z])(?:[).:]|$)")
_SYMBOLS_ONLY = re.compile(r"[^\w\s]+")
_VERDICTS = frozenset({"yes", "no", "true", "false", "valid", "invalid"})
_FIRST_WORD = re.compile(r"[^\w]*(\w+)")

_NUMBER = re.compile(
    r"""(?P<outer>(?<![\w)\]])[-\u2212])?  # not the minus of a subtraction, "8-3"
        [$\u20ac\u00a3]?
        (?P<inner>(?<=[$\u20ac\u00a3])[-\u2212])?
        (?P<value>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<![0-9])\.[0-9]+)
        (?P<divisors>(?:\s?/\s?[0-9]+)*)""",
    re.VERBOSE,
)


def verbatim_match(
    gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
) -> dspy.Prediction:
    """Score 1.0 when both answers are the same string but for blanks at the ends; the paper's score for BBH and GSM8K.

    Letter case, quotes, a period or a thousands comma ("1,080") make an answer wrong: see `exact_match` and
    `number_match`.

    Arguments and errors: as for `exact_match`.
    """
    return _judge("verbatim_match", gold, pred, lambda expected, given: str(expected).strip() == str(given).strip())


def yes_or_else_no(
    gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
) -> dspy.Prediction:
    """Score 1.0 when both answers begin with "yes", in any case, or neither does; the paper's score for LIAR.

    Any answer but yes counts as no there, "**Yes**" and "True" too; no answer at all is wrong. `yes_no` is stricter.

    Arguments and errors: as for `exact_match`.
    """
    return _judge("yes_or_else_no", gold, pred, lambda want, got: _begins_with_yes(want) == _begins_with_yes(got))


def exact_match(
    gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
) -> dspy.Prediction:
    """Score 1.0 when both answers are equal after `normalise`; the paper's own score is `verbatim_match`.

    Arguments:
        gold: the example, with the field `answer`.
        pred: the program's prediction; a missing or empty `answer` scores 0.0.
        trace: accepted for the protocol, not used; so are the next two.
        pred_name: see `trace`.
        pred_trace: see `trace`.

    Raises:
        ValueError: when `gold` has no answer.
    """
    return _judge("exact_match", gold, pred, lambda expected, given: normalise(expected) == normalise(given))


def format_normalised_match(
    gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
) -> dspy.Prediction:
    """Score 1.0 also when only the format of the answer is wrong; to be reported beside `exact_match`.

    Why: nothing tells the paper's BBH programs the format of an answer, so part of any gain in exact match
    may be the learning of it. The difference between the two scores shows how much.

    What is accepted depends on the expected answer; anything that `exact_match` accepts is accepted too.
        an option, "(B)"            "B", "B.", "b) the van", "(B) the van", "the van (B)", "Option B"; not an
                                    answer that names a second option in brackets
        yes, no, true, false,       an answer that begins with the word: "Yes, because ..."
        valid, invalid
        a number, "8"               an answer whose last number is it: "8 instruments"
        symbols, "] ) >"            the same symbols spaced otherwise
        words, "apple pear"         the same words in that order, between commas, lines, bullets

    Arguments and errors: as for `exact_match`.
    """
    return _judge("format_normalised_match", gold, pred, _equal_but_for_format)


def number_match(
    gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
) -> dspy.Prediction:
    """Score 1.0 when the last number of the answer equals the last number of the expected answer.

    Thousands commas ("1,080": GSM8K keeps them in its labels), currency and percent signs and trailing zeros
    do not count; "3/4" equals "0.75"; "50%" equals "50", not "0.5". Numbers in words and mixed
    numbers ("1 1/2") are not read.

    Arguments and errors: as for `exact_match`; ValueError also when the expected answer holds no number.
    """
    expected = _expected("number_match", gold)
    if _last_number(expected) is None:
        raise ValueError(
            f"number_match: the expected answer {_quote(expected)} holds no number; use exact_match instead"
        )
    given = _field(pred, "answer")
    if _is_given(given) and _last_number(given) is None:
        return _wrong(
            f"The expected answer is {_quote(expected)}; the program answered {_quote(given)}, "
            "in which there is no number."
        )
    return _judge("number_match", gold, pred, lambda want, got: _last_number(want) == _last_number(got))


def yes_no(
    gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
) -> dspy.Prediction:
    """Score 1.0 when the answer begins with the expected word, yes or no, in any case or markup.

    "**Yes**" is yes, "No, because ..." is no. An answer that begins with any other word ("Not sure", "True")
    is wrong, and the feedback then says the format.

    Arguments and errors: as for `exact_match`; ValueError also when the expected answer is neither.
    """
    expected = _first_word(_expected("yes_no", gold))
    if expected not in ("yes", "no"):
        raise ValueError(
            f"yes_no: the expected answer {_quote(_field(gold, 'answer'))} is neither yes nor no; "
            "map the labels to yes and no when loading the data, or use exact_match"
        )
    given = _field(pred, "answer")
    if _is_given(given) and _first_word(given) not in ("yes", "no"):
        return _wrong(
            f"The expected answer is {expected}; the program answered {_quote(given)}. "
            "The answer must begin with the word yes or the word no."
        )
    return _judge("yes_no", gold, pred, lambda want, got: _first_word(want) == _first_word(got))


def normalise(value: Any) -> str:
    """Bring an answer into the form that `exact_match` compares.

    In this order, until nothing changes any more: letter case is folded; markdown bold is unwrapped; runs of
    whitespace become one space; quotes, backticks, spaces and the marks . , ; : ! ? are cut at both ends; a
    leading "The answer is", "Final answer:" or the like is cut. Brackets, signs and all else inside stay:
    "(B)" is not "B" and "] )" is not ")". An answer that consists of nothing but such marks is kept.

    Arguments:
        value: the answer; what is no string is taken as `str(value)`.

    >>> normalise(" **The answer is:** (B). ")
    '(b)'
    """
    text = str(value).casefold()
    while (shorter := _strip_once(text)) != text:
        text = shorter
    return text


def _strip_once(text: str) -> str:
    text = " ".join(_BOLD.sub(r"\1", text).split())
    text = text.strip(_EDGES) or text
    return _ANSWER_IS.sub("", text).strip() or text


def _judge(metric: str, gold: Any, pred: Any, equal: Callable[[Any, Any], bool]) -> dspy.Prediction:
    expected = _expected(metric, gold)
    given = _field(pred, "answer")
    if not _is_given(given):
        return _wrong(f"The expected answer is {_quote(expected)}; the program gave no answer.")
    said = f"The expected answer is {_quote(expected)}; the program answered {_quote(given)}"
    if equal(expected, given):
        return dspy.Prediction(score=1.0, feedback=f"{said}, which is right.")
    return _wrong(f"{said}{_form(expected, given)}.")


def _form(expected: Any, given: Any) -> str:
    """What a wrong answer must look like, where it is known to look otherwise."""
    want, got = normalise(expected), normalise(given)
    if _equal_but_for_format(expected, given):
        return f", which is right but for its form: it must be {_quote(expected)} and nothing else"
    if _OPTION.fullmatch(want) and not _options_named(got):
        return f", which names no option: it must be a letter in brackets, such as {_quote(expected)}"
    if want in _VERDICTS and _first_word(got) not in _VERDICTS:
        return f", which does not begin with a word such as {_quote(expected)}: it must be one such word"
    if _NUMBER.fullmatch(want) and _last_number(got) is None:
        return ", in which there is no number: it must be one"
    return ""


def _wrong(feedback: str) -> dspy.Prediction:
    return dspy.Prediction(score=0.0, feedback=feedback)


def _expected(metric: str, gold: Any) -> Any:
    expected = _field(gold, "answer")
    if not _is_given(expected):
        raise ValueError(
            f"{metric}: the example has no expected answer ({_quote(gold)}); "
            "give it one, for instance dspy.Example(question=..., answer=...).with_inputs('question')"
        )
    return expected


def _field(record: Any, name: str) -> Any:
    if isinstance(record, Mapping):
        return record.get(name, _MISSING)
    return getattr(record, name, _MISSING)


def _is_given(value: Any) -> bool:
    return value is not _MISSING and value is not None and bool(str(value).strip())


def _quote(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + " ..."


def _begins_with_yes(value: Any) -> bool:
    return str(value).strip().upper().startswith("YES")


def _first_word(value: Any) -> str:
    match = _FIRST_WORD.match(normalise(value))
    # The underscores of markdown emphasis count as letters of a word.
    return match.group(1).strip("_") if match else ""


def _equal_but_for_format(expected: Any, given: Any) -> bool:
    want, got = normalise(expected), normalise(given)
    if want == got:
        return True
    if _OPTION.fullmatch(want):
        return _options_named(got) == {want[1]}
    if want in _VERDICTS:
        return _first_word(got) == want
    if _NUMBER.fullmatch(want):
        return _last_number(got) == _last_number(want)
    if _SYMBOLS_ONLY.fullmatch("".join(want.split())):
        return "".join(got.split()) == "".join(want.split())
    return _words(got) == _words(want)


def _options_named(text: str) -> set[str]:
    bracketed = set(_OPTION.findall(text))
    leading = _LEADING_OPTION.match(text)
    return bracketed or ({leading.group(1)} if leading else set())


def _words(text: str) -> list[str]:
    without_bullets = re.sub(r"(?:^|(?<=\s))(?:[-*\u2022]|[0-9]+[.)])\s", " ", text)
    return [word for word in re.split(r"[\s,;]+", without_bullets) if word]


def _last_number(value: Any) -> Fraction | None:
    numbers = [number for match in _NUMBER.finditer(str(value)) if (number := _number(match)) is not None]
    return numbers[-1] if numbers else None


def _number(match: re.Match[str]) -> Fraction | None:
    digits = match["value"].replace(",", "")
    divisors = match["divisors"].replace("/", " ").split()
    # Python refuses to convert very long strings of digits, and no answer is one.
    if len(match[0]) > _LONGEST_NUMBER:
        return None
    if len(divisors) > 1:
        # A date such as 12/05/2020 is three numbers, no fraction.
        return Fraction(divisors[-1])
    divisor = int(divisors[0]) if divisors else 1
    if divisor == 0:
        return None
    number = Fraction(digits) / divisor
    return -number if match["outer"] or match["inner"] else number
