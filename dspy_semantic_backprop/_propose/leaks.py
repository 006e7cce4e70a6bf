"""Where an instruction quotes the examples that it is scored on: it would score well on those and on no others.

Three rules, decided from the data: (1) words in a row of an input or of a long answer, at least eight or nearly all of
a shorter one, a few of them changed, or five beside the answer; (2) a short input or a line of symbols, whole; (3) a
short answer of few examples, given as an answer or beside what is particular about its example. What many examples
share is no property of one (labels, standing phrases), and what the user's own instruction says is the user's to say.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import dspy
from rapidfuzz import fuzz

from .._evaluate.candidate import Candidate
from .._values.text import jsonable
from .sentences import Span, sentences, without
from .shingles import SIZE, Shingles, folded, letters, located, located_words, shingles, weight, words, words_of

_GAP = 6
"""Shingles that begin at most so many words apart belong to one quotation: three words in between may differ."""
_ENOUGH = 8
_BESIDE_ANSWER = 5
_ALIKE = 80
_HEAD = 6
_LONGEST_ANSWER = 7
_LEAST_INSIDE = 4
"""Of what differs between inputs so many words are a quotation: fewer may be a name that an instruction says, too."""
_SIGN = re.compile(r"[\W_]")
_SEARCHED = 5_000
"""In longer texts any word stands somewhere."""
_MARK = re.compile(
    r"(?:\b(?:answers?|results?|outputs?|labels?|solutions?|totals?|targets?)\b|####|(?<!\w)a:)[^\n]{0,70}$", re.I
)
_FORM = re.compile(r"\b(?:e\.g|for example|for instance|such as|like|instead of|rather than|not)\b|format", re.I)
_COMMON = frozenset(
    words(
        """about after also answer before correct does each example false find first from give given have just many more
        most much must need no none number only question should some step take text that their them then there these
        they this time true unknown very want well were what when where which while whole whose will with word would
        write yes your"""
    )
)


@dataclass(frozen=True)
class Leak:
    """A stretch of an instruction, in characters, that quotes a field of an example (its position in the set)."""

    example_id: int
    field: str
    span: Span


class _Text(NamedTuple):
    """A text of an example, and where in its field it stands; `least` words quote it where that is known."""

    example_id: int
    field: str
    key: str
    text: str
    least: int = 0


class _ShortLabel(NamedTuple):
    """A short label: the examples that have it, and whether it leaks wherever it stands, or behind "answer is"."""

    field: str
    examples: list[int]
    anywhere: bool
    marked: bool


class LeakGuard:
    """Knows the examples, and the instructions that the run started with.

    Args:
        examples: The examples; where one does not say which of its fields are inputs, all are.
        start: The instructions that the user wrote.
    """

    def __init__(self, examples: Sequence[dspy.Example], start: Candidate) -> None:
        self._start = "\n".join(start.instructions.values())
        self._inputs: dict[int, list[str]] = {}
        self._wholes: dict[str, list[tuple[str, _Text]]] = {}
        self._times: Counter[str] = Counter()
        self._labels: dict[int, list[str]] = {}
        sources: list[_Text] = []
        answers: dict[str, dict[str, list[_Text]]] = {}
        known: set[int] = set()
        texts = [_texts(example_id, example) for example_id, example in enumerate(examples)]
        frames = _frames([one for given, _ in texts for one in given])
        for example_id, (given, told) in enumerate(texts):
            same = hash(tuple(one.text for one in [*given, *told]))
            if same in known:
                continue
            known.add(same)
            self._inputs[example_id] = [one.text for one in given if len(one.text) <= _SEARCHED]
            sources += _sources(given, told)
            for whole, one in _wholes(given, told, frames):
                self._wholes.setdefault(whole[:_HEAD], []).append((whole, one))
                self._times[whole] += 1
            for one in told:
                found = words(one.text[:200])
                if 0 < len(found) <= _LONGEST_ANSWER:
                    self._labels.setdefault(example_id, []).append(f" {' '.join(found)} ")
                    answers.setdefault(one.field, {}).setdefault(" ".join(found), []).append(one)
        self._most = max(2 if len(known) < 6 else 3, math.ceil(0.03 * len(known)))
        self._sources = list({one.text: one for one in reversed(sources)}.values())
        self._index = Shingles([one.text for one in self._sources])
        # In millions of words any phrase occurs somewhere by chance.
        self._enough = _ENOUGH + round(2 * max(0.0, math.log10(max(self._index.total, 1) / 1e6)))
        self._answers = {
            said: _answer(said, ones)
            for values in answers.values()
            if len(values) > min(30, sum(map(len, values.values())) * 2 / 3)  # Fewer values are classes.
            for said, ones in values.items()
            if len(ones) < self._most and not _COMMON.issuperset(said.split())
        }
        self._spread = Counter(word for texts in self._inputs.values() for word in set(words(" \n ".join(texts))))
        # A text is looked at where it is proposed, where it is cleaned, and where it is made a candidate.
        self.leaks = functools.lru_cache(64)(self._leaks)

    def _leaks(self, text: str, current: str) -> tuple[Leak, ...]:
        """The stretches of an instruction that quote an example, by where they begin; they may overlap.

        What stands in the `current` one, which it would replace, is no leak.
        """
        familiar = f"{self._start}\n{current}"
        found = {*self._quotations(text, familiar), *self._whole(text, familiar), *self._given_away(text, familiar)}
        return tuple(sorted(found, key=lambda leak: (leak.span, leak.example_id, leak.field)))

    def cleaned(self, text: str, current: str) -> str:
        """An instruction without sentences and blocks that quote an example; empty if nothing usable is left."""
        while found := self.leaks(text, current):
            text = without(text, [leak.span for leak in found])
            if len(words(text)) < 3:
                return ""
        return text

    def _quotations(self, text: str, familiar: str) -> Iterator[Leak]:
        """Shingles that few texts have find what is quoted; comparing it with the text itself confirms it."""
        found, spans = located_words(text)
        mine = shingles(text)
        for number, at in self._index.candidates(mine, shingles(familiar), self._most, _GAP):
            source = self._sources[number]
            runs = _runs({place + step for place in at for step in range(SIZE)})
            behind = f" {' '.join(found[runs[-1][-1] + 1 : runs[-1][-1] + 9])} "
            needed = self._needed(source)
            if any(label in behind for label in self._labels.get(source.example_id, ())):
                needed = min(needed, _BESIDE_ANSWER)
            worth = [weight([found[place] for place in run]) for run in runs]
            # Three words that lie apart may be there by chance.
            while len(runs) > 1 and len(runs[0]) == SIZE and sum(worth[1:]) >= needed:
                del runs[0], worth[0]
            while len(runs) > 1 and len(runs[-1]) == SIZE and sum(worth[:-1]) >= needed:
                del runs[-1], worth[-1]
            if sum(worth) < needed:
                continue
            covered = runs[0][0], runs[-1][-1]
            span = spans[covered[0]][0], spans[covered[1]][1]
            if source.least or fuzz.partial_ratio(letters(text[slice(*span)]), letters(source.text)) >= _ALIKE:
                yield Leak(source.example_id, source.field, span)

    def _needed(self, source: _Text) -> float:
        """How many words quote a source."""
        found = words(source.text[:400])
        size = weight(found)
        return source.least or min(self._enough, size if len(found) < 6 else max(4, math.ceil(0.8 * size)))

    def _whole(self, text: str, familiar: str) -> Iterator[Leak]:
        """Short inputs and lines of symbols, compared without white space."""
        said, origin = _squeezed(text)
        known = "".join(folded(familiar).split())
        for at in range(len(said)):
            for whole, one in self._wholes.get(said[at : at + _HEAD], ()):
                if said.startswith(whole, at) and self._times[whole] < self._most and whole not in known:
                    start, end = origin[at], origin[at + len(whole) - 1] + 1
                    if not any(re.fullmatch(r"\w\w", text[edge - 1 : edge + 1]) for edge in (start, end)):
                        yield Leak(one.example_id, one.field, (start, end))

    def _given_away(self, text: str, familiar: str) -> Iterator[Leak]:
        """Short answers that are given as one, or beside what is particular about their example."""
        found, spans = located_words(text)
        known = f" {' '.join(words(familiar))} "
        pieces = sentences(text)
        for at in range(len(found) if self._answers else 0):
            for length in range(1, min(_LONGEST_ANSWER, len(found) - at) + 1):
                said = " ".join(found[at : at + length])
                answer = self._answers.get(said)
                if answer is None or f" {said} " in known:
                    continue
                start, end = spans[at][0], spans[at + length - 1][1]
                number = next(number for number, one in enumerate(pieces) if start < one.end)
                first = pieces[number].start
                is_marked = bool(_MARK.search(text[first:start]))
                shows_form = _FORM.search(text[max(0, first - 100) : start])
                # "Question: ... Answer: ..." may be two sentences, or two lines.
                near = [one for one in pieces[max(0, number - 2) : number + 1] if one.block == pieces[number].block]
                beside = set(words(text[near[0].start : near[-1].end])) - {*said.split(), *known.split()}
                tied = [one for one in answer.examples if self._tied(one, beside, is_marked)]
                if tied or answer.anywhere or (answer.marked and is_marked and not shows_form):
                    yield Leak((tied or answer.examples)[0], answer.field, (start, end))

    def _tied(self, example_id: int, beside: Set[str], is_marked: bool) -> bool:
        """Whether words are particular to an example; numbers count twice."""
        own = {word for word in words(" \n ".join(self._inputs[example_id])) if self._spread[word] < self._most}
        telling = {
            word for word in own - _COMMON if len(word) > 3 or (word.isdigit() and len(word) > 1) or not word.isascii()
        }
        return weight(telling & beside) >= (2 if is_marked else 3) or (bool(telling) and own <= beside)


def _runs(places: Set[int]) -> list[list[int]]:
    """Numbers in order, as runs without a gap."""
    runs: list[list[int]] = []
    for place in sorted(places):
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def fields(example: dspy.Example) -> Iterator[tuple[str, str]]:
    """The texts of an example, each with the name of its field."""
    for name, value in example.items():
        yield from ((name, text) for _, text in _leaves(value, name))


def _texts(example_id: int, example: dspy.Example) -> tuple[list[_Text], list[_Text]]:
    """The texts of an example's inputs, and of its labels."""
    given: list[_Text] = []
    told: list[_Text] = []
    for name, value in example.items():
        is_input = example._input_keys is None or name in example._input_keys
        found = (_Text(example_id, name, key, text) for key, text in _leaves(_known(value), name) if text.strip())
        (given if is_input else told).extend(found)
    return given, told


def _known(value: Any) -> Any:
    return None if isinstance(value, bytes) else jsonable(value)


def _leaves(value: Any, key: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """The texts inside a JSON value, and the last key above each; what lies 20 levels deep is left out."""
    if value is None or isinstance(value, bool) or depth > 20:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, name, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, key, depth + 1)
    else:
        yield key, str(value)


def _sources(given: list[_Text], told: list[_Text]) -> Iterator[_Text]:
    """An example's long texts, its main input where all are short, and its short inputs side by side."""
    sizes = {one: len(words(one.text[:400])) for one in [*given, *told]}
    yield from (one for one, size in sizes.items() if size >= _ENOUGH)
    short = [one for one in given if sizes[one] < _ENOUGH]
    main = max(given, key=lambda one: len(one.text), default=None)
    if main and len(short) == len(given) and sizes[main] > (2 if len(given) == 1 else 3):
        yield main
    if len(short) > 1:
        # One of the values alone is no quotation of them all.
        most, total = max(map(sizes.__getitem__, short)), sum(map(sizes.__getitem__, short))
        least = max(4, min(most, 5) + 2, min(_ENOUGH - 1, math.ceil(0.6 * total)))
        text = "\n".join([*(f"{one.key}: {one.text}" for one in short), *(one.text for one in short)])
        yield _Text(short[0].example_id, ", ".join(dict.fromkeys(one.field for one in short)), "", text, least)


def _squeezed(text: str) -> tuple[str, list[int]]:
    """A folded text without white space, and where its characters stand in the text."""
    plain, origin = located(text)
    kept = [at for at, sign in enumerate(plain) if not sign.isspace()]
    return "".join(plain[at] for at in kept), [origin[at] for at in kept]


def _frames(given: list[_Text]) -> dict[str, tuple[list[str], list[str]]]:
    """The words that most texts of a field begin and end with, as in "What is ... worth?"; the latter from the end."""
    fields: dict[str, list[list[str]]] = {}
    for one in given:
        fields.setdefault(one.field, []).append(one.text.split())
    return {field: (_shared(ones), _shared([one[::-1] for one in ones])) for field, ones in fields.items()}


def _shared(texts: list[list[str]]) -> list[str]:
    """The words that at least four of five texts, and three, begin with."""
    shared: list[str] = []
    least = max(3, 0.8 * len(texts))
    while nexts := Counter(one[len(shared)] for one in texts if len(one) > len(shared)):
        word, times = nexts.most_common(1)[0]
        if times < least:
            break
        texts = [one for one in texts if one[len(shared) : len(shared) + 1] == [word]]
        shared.append(word)
    return shared


def _inside(text: str, frame: tuple[list[str], list[str]]) -> str:
    """A text without the words that most others begin and end with, too."""
    found, (head, tail) = text.split(), frame
    found = found[len(head) :] if found[: len(head)] == head else found
    back = found[::-1]
    return " ".join((back[len(tail) :] if back[: len(tail)] == tail else back)[::-1])


def _wholes(
    given: list[_Text], told: list[_Text], frames: Mapping[str, tuple[list[str], list[str]]]
) -> Iterator[tuple[str, _Text]]:
    """What is a quotation as a whole whatever its words are: inputs, and lines of code, formulas or brackets."""
    for one in [*given, *told]:
        lines = one.text.splitlines() if len(one.text) <= _SEARCHED else []
        inside = _inside(one.text, frames[one.field]) if one in given else one.text
        for text in {*lines, one.text, inside} if lines else ():
            plain = folded(text)
            whole, found = "".join(plain.split()).rstrip("=?.:,;!"), words_of(plain)
            signs = len(_SIGN.findall(whole))
            is_all = text == one.text or (text == inside and len(found) >= _LEAST_INSIDE)
            is_main = one in given and is_all and (len(given) == 1 or len(found) >= _ENOUGH)
            tells = len(found) > 1 or any(sign.isdigit() for sign in whole)
            if (len(whole) >= 12 and 2 * signs >= len(found)) or (is_main and tells and len(whole) >= _HEAD):
                yield whole, one


def _answer(said: str, holders: list[_Text]) -> _ShortLabel:
    """A short label; a small number is none even behind "the answer is"."""
    text, found = holders[0].text.strip(), said.split()
    size = sum(map(len, found))
    code = sum(sign.isdigit() for sign in text) > 1 and len(text) > 4 and " " not in text
    anywhere = code or (len(found) > 3 and sum(len(word) > 3 for word in found) > 1)
    if said[0].isdigit() and all(word[0].isdigit() for word in found):
        marked = size > 2 or (size == 2 and (len(found) > 1 or float(said) > 20))
    else:
        marked = len(found) > 1 or (size > 3 and text[0].isupper())
    return _ShortLabel(holders[0].field, [one.example_id for one in holders], anywhere, marked)
