"""Where a text gives away the answers of examples that are too short to be quotations.

A short answer counts only if it is the property of few examples: not a class label (it stands for many examples, or
its field has few values), not a common word, not a small number. And it counts only where the text gives it as an
answer: "the answer is 624", or beside what is particular about its example: names, numbers and rare words of its
inputs. What is unlike anything else (an order number, a long name) counts anywhere.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .quotations import shared_by
from .sentences import Piece, pieces
from .words import Span, words

_MARK = re.compile(
    r"(?:(?:\b(?:answers?|results?|outputs?|labels?|solutions?|totals?|targets?|predictions?|responses?|ans)\b|####"
    r"|(?<![^\W_])A:)[^\w\n]{0,6}(?:(?:is|are|was|be|should|must|equals?|to|of|exactly|simply|then|therefore|always|also"
    r"|the|number|value|for|this|that|it|question|one|following|here|as|follows)\b[^\w\n]{0,4}){0,6})"
    r"(?:[\w.,;$\u20ac\u00a3\"'`*() ]{0,60}(?:,|;|\band\b)\s*)?[^\w\n]{0,4}$",
    re.IGNORECASE,
)
_FORM = re.compile(r"\b(?:e\.g|for example|for instance|such as|like|instead of|rather than|format\w*|not)\b", re.I)
_NAME = re.compile(r"(?<=[\w,;:)\"'] )[A-Z][^\W_]+")
_FIRST = re.compile(r"(?:^|[.!?]\s+)([A-Z][^\W_]{3,})")
_NEAR = 200
_STANDING = frozenset(
    words(
        """about above after again against along also among answer another around because been before being below
        between both cannot could does doing done down during each either else every example find first following from
        give given have here higher however input instruction into itself just keep last least less list lower make
        many more most much must need never none note number only other others output over problem question read rest
        result same sentence several should show since some step steps still such sure take text than that their them
        then there these they thing things this those through time total twice under until using value very want well
        were what when where whether which while whole whose will with within without word words work would write your
        yours"""
    )
)
_NO_ANSWER = frozenset(
    words(
        """yes no true false none unknown null nothing neither both other ambiguous valid invalid correct incorrect
        positive negative neutral maybe unclear undefined impossible error empty insufficient unanswerable all any
        always never same different high low medium good bad"""
    )
)
_TIED = 3
_LONGEST = 7
_MANY_WORDS = 200
_LONGEST_INPUT = 5_000


@dataclass(frozen=True)
class Answer:
    """A short answer.

    Args:
        field: The label field.
        words: Its words.
        examples: The examples that have it.
        certain: Whether it gives itself away wherever it stands.
        marked: Whether "the answer is ..." gives it away.
        small: Whether it is so small a number that it takes both: "the answer is ..." and its example's name.
    """

    field: str
    words: tuple[str, ...]
    examples: tuple[int, ...]
    certain: bool
    marked: bool
    small: bool = False


class Answers:
    """The short answers of many examples.

    Args:
        labels: Example -> (label field, text) for each of its labels.
        inputs: Example -> the texts of its inputs.
    """

    def __init__(self, labels: Mapping[int, Sequence[tuple[str, str]]], inputs: Mapping[int, Sequence[str]]) -> None:
        # In a long text anything stands somewhere.
        self._inputs = {at: [text for text in texts if len(text) <= _LONGEST_INPUT] for at, texts in inputs.items()}
        self._most = shared_by(len(inputs))
        own = ({word for text in texts for word in words(text)} for texts in self._inputs.values())
        self._spread = Counter(itertools.chain.from_iterable(own))
        self._answers: dict[tuple[str, ...], Answer] = {}
        by_field: dict[str, dict[tuple[str, ...], list[tuple[int, str]]]] = {}
        for example_id, told in labels.items():
            for field, text in told:
                found = tuple(words(text[:200]))
                if 0 < len(found) <= _LONGEST:
                    by_field.setdefault(field, {}).setdefault(found, []).append((example_id, text))
        for field, values in by_field.items():
            if _is_closed(values):
                continue
            for found, holders in values.items():
                answer = _answer(field, found, holders)
                if answer is not None and len(holders) < self._most:
                    self._answers[found] = answer

    def find(
        self, text: str, found: Sequence[str], spans: Sequence[Span], current: Sequence[str]
    ) -> Iterator[tuple[Answer, int, Span]]:
        """The answers that a text gives away.

        Args:
            text: The text.
            found: Its words.
            spans: Where they stand.
            current: The words of what the user wrote; neighbours that stand there are no leak.

        Yields:
            The answer, an example that has it, and where it stands.
        """
        if not self._answers:
            return
        known = set(zip(["", *current], [*current, ""], strict=True))
        lengths = sorted({len(one) for one in self._answers})
        sentences = pieces(text)
        for at in range(len(found)):
            for length in lengths:
                answer = self._answers.get(tuple(found[at : at + length]))
                if answer is None or at + length > len(found) or _is_known(found, at, length, known):
                    continue
                span = spans[at][0], spans[at + length - 1][1]
                example_id = self._gives_away(text, answer, span, sentences, set(current))
                if example_id is not None:
                    yield answer, example_id, span

    def _gives_away(
        self, text: str, answer: Answer, span: Span, sentences: Sequence[Piece], current: set[str]
    ) -> int | None:
        if answer.certain:
            return answer.examples[0]
        at = next(number for number, piece in enumerate(sentences) if span[0] < piece.end)
        piece = sentences[at]
        said = text[piece.start : span[0]]
        is_marked = bool(_MARK.search(said))
        shows_form = _FORM.search(said) or "format" in text[max(0, piece.start - _NEAR) : span[0]].casefold()
        if answer.marked and is_marked and not shows_form:
            return answer.examples[0]
        if answer.small and not is_marked:
            return None
        # "Question: ... Answer: ..." may be two sentences, or two lines.
        around = "".join(
            text[one.start : one.end] for one in sentences[max(0, at - 2) : at + 1] if one.block == piece.block
        )
        beside = set(words(around)) - set(answer.words) - current
        return next((one for one in answer.examples if self._tied(one, beside, answer.small)), None)

    def _tied(self, example_id: int, beside: set[str], marked: bool) -> bool:
        """Whether words are particular to an example; beside "the answer is", a name alone is."""
        texts = self._inputs[example_id]
        own = {word for text in texts for word in words(text)}
        shared = {word for word in own & beside if self._spread[word] < self._most}
        if not shared:
            return False
        if len(own) <= 2 and own <= beside:
            return True
        names = {word for text in texts for name in _NAME.findall(text) for word in words(name)}
        if marked:
            names |= {word for text in texts for name in _FIRST.findall(text) for word in words(name)} - _STANDING
        points = sum(2 if word in names or (word[0].isdigit() and len(word) > 1) else _is_rare(word) for word in shared)
        needed = _TIED - 1 if marked else _TIED
        return points >= (needed if len(own) <= _MANY_WORDS else 2 * _TIED)


def _is_rare(word: str) -> bool:
    return len(word) > 3 and word not in _STANDING


def _is_known(found: Sequence[str], at: int, length: int, known: set[tuple[str, str]]) -> bool:
    before = (found[at - 1] if at else "", found[at])
    behind = (found[at + length - 1], found[at + length] if at + length < len(found) else "")
    return before in known or behind in known


def _is_closed(values: Mapping[tuple[str, ...], Sequence[tuple[int, str]]]) -> bool:
    """Whether a field has so few values for its examples that they are classes."""
    return 3 * len(values) <= sum(map(len, values.values())) and len(values) <= 30


def _answer(field: str, found: tuple[str, ...], holders: Sequence[tuple[int, str]]) -> Answer | None:
    """A value as an answer that can be given away, unless it is a common word or a small number."""
    examples = tuple(example_id for example_id, _ in holders)
    text = holders[0][1].strip()
    digits = sum(sign.isdigit() for sign in text)
    if all(word[0].isdigit() for word in found):
        size = len("".join(found))
        if size < 2 or (len(found) == 1 and size == 2 and float(found[0]) <= 20):
            return Answer(field, found, examples, certain=False, marked=False, small=True)
        return Answer(field, found, examples, certain=size > 4, marked=len(holders) <= 3)
    if all(word in _NO_ANSWER for word in found):
        return None
    code = digits >= 2 and len(text) > 4 and " " not in text
    long = len(found) > 3 and sum(len(word) > 3 for word in found) > 1
    name = len(text) > 3 and all(part[:1].isupper() or (part.islower() and len(part) < 4) for part in text.split())
    return Answer(field, found, examples, certain=code or long, marked=name or len(found) > 1)
