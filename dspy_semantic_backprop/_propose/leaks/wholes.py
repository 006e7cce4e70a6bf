"""Where a text quotes short passages whole, exactly or with a few of their words changed.

A run of eight words says nothing of an input that has six, and of an input that is put together from phrases which
all examples share, no run tells which one it is; the whole does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from difflib import Match, SequenceMatcher

from .passages import Passage
from .quotations import Found, shared_by
from .words import signs, words

_HEAD = 4
_LONGEST = 400
_BY_LENGTH = 8
"""A text of so many words is nobody's phrase, even if each of its words is common."""
_INPUT = 5
_NEAR = range(6, 61)
_SHARE = 0.8
_APART = 3
_SHORT = range(5, 10)
_SEARCHED = 4_000
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_NAMES = re.compile(r"\d[\d,.]*\d|(?<=\w )[A-Z][^\W\d_]{2,}")


class Wholes:
    """Passages that a text could quote whole.

    Args:
        passages: The passages. Of those that are not what their example is about, only long ones count.
        examples: How many different examples they are from.
        in_signs: Compare punctuation too: for formulas, brackets and code.
    """

    def __init__(self, passages: Sequence[Passage], examples: int, *, in_signs: bool = False) -> None:
        split = signs if in_signs else words
        most = shared_by(examples)
        own = [one for one in passages if not one.least and len(one.text) <= 20 * _LONGEST]
        texts = [(one, tuple(split(one.text))) for one in own]
        spread = Counter(word for _, found in texts for word in set(found))
        same: dict[tuple[str, ...], list[Passage]] = {}
        for passage, found in texts:
            same.setdefault(found, []).append(passage)
            if not in_signs and len(found) > _BY_LENGTH:
                for sentence in map(tuple, map(words, _particular_sentences(passage.text))):
                    same.setdefault(sentence, []).append(replace(passage, whole=True))
        rare = {word for word, count in spread.items() if count < most or examples < 3}
        self._exact = {
            found: ones[0]
            for found, ones in same.items()
            if len(ones) < most
            and (
                len(found) >= (_INPUT if ones[0].whole else _BY_LENGTH)
                or (not in_signs and ones[0].whole and _tells(found) and rare & set(found))
            )
        }
        self._lengths: dict[tuple[str, ...], set[int]] = {}
        self._holding: dict[str, list[tuple[str, ...]]] = {}
        self._telling: dict[tuple[str, ...], Set[str]] = {}
        for found in self._exact:
            self._lengths.setdefault(found[:_HEAD], set()).add(len(found))
            if len(found) in _NEAR and not in_signs:
                self._telling[found] = rare & set(found)
                for word in self._telling[found]:
                    self._holding.setdefault(word, []).append(found)

    def find(self, text: Sequence[str], familiar: Sequence[str]) -> Iterator[Found]:
        """The passages that a text quotes whole.

        Args:
            text: Its words, of the same kind as the index.
            familiar: The words of what may be quoted.
        """
        known = f" {' '.join(familiar)} "
        for at in range(len(text)):
            for size in range(1, min(_HEAD, len(text) - at) + 1):
                for length in self._lengths.get(tuple(text[at : at + size]), ()):
                    passage = self._exact.get(tuple(text[at : at + length]))
                    fits = at + length <= len(text)
                    if passage is not None and fits and f" {' '.join(text[at : at + length])} " not in known:
                        yield Found(passage, (at, at + length))
        yield from self._find_near(text, set(familiar))

    def _find_near(self, text: Sequence[str], familiar: Set[str]) -> Iterator[Found]:
        said = set(text)
        hits = Counter(found for word in said - familiar for found in self._holding.get(word, ()))
        for found, count in hits.items():
            telling = self._telling[found]
            if 2 * count < len(telling) or sum(word in said for word in found) < _SHARE * len(found):
                continue
            places = [at for at, word in enumerate(text) if word in telling and word not in familiar]
            last = -1
            for place in places:
                if place <= last:
                    continue
                start = max(0, place - len(found))
                window = text[start : place + len(found)]
                blocks = _compact(SequenceMatcher(None, found, window, autojunk=False).get_matching_blocks()[:-1])
                matched = {window[block.b + step] for block in blocks for step in range(block.size)}
                size = sum(block.size for block in blocks)
                first, behind = blocks[0].b, blocks[-1].b + blocks[-1].size
                if (
                    size >= _SHARE * len(found)
                    and behind - first <= 1.5 * len(found)
                    and (2 * len(matched & telling) >= len(telling))
                ):
                    last = start + behind
                    yield Found(self._exact[found], (start + first, start + behind))


def _particular_sentences(text: str) -> list[str]:
    """The short sentences of a text that name somebody or something, or a number that is not small."""
    return [one for one in _SENTENCE.split(text[:_SEARCHED]) if len(one.split()) in _SHORT and _NAMES.search(one)]


def _compact(blocks: list[Match]) -> list[Match]:
    """Matching blocks without single words that lie apart from the rest."""
    while len(blocks) > 1 and blocks[0].size == 1 and blocks[1].b - blocks[0].b > _APART:
        blocks = blocks[1:]
    while len(blocks) > 1 and blocks[-1].size == 1 and blocks[-1].b - (blocks[-2].b + blocks[-2].size) >= _APART:
        blocks = blocks[:-1]
    return blocks


def _tells(found: Sequence[str]) -> bool:
    """Whether a short text is more than a common word or a small number."""
    if len(found) > 1 and all(word[0].isdigit() for word in found):
        return sum(map(len, found)) > 3 and (len(found) > 5 or max(map(len, found)) > 1)
    if len(found) > 2:
        return True
    return len(found) == 1 and any(sign.isdigit() for sign in found[0]) and len(found[0]) > 4
