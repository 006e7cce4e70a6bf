"""Texts as rows of three words, hashed and in order, so that a text is looked up among gigabytes in milliseconds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from .sentences import Span

SIZE = 3
_LONG = 500
"""In texts of so many words, of four shingles side by side at least one is indexed: two fifths of all."""
_SHORT = 60
"""A text of so few characters may be found by a single shingle."""
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_THOUSANDS = re.compile(r",(?<=\d,)(?=\d\d\d(?!\d))")
_WORD = re.compile(r"[^\W_]+")
_IN_WORDS = bytes(code > 127 or chr(code).isalnum() for code in range(256))
_NO_LETTERS = bytes(code for code in range(256) if not _IN_WORDS[code])
_ODD = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9


class _Folds(dict[int, str]):
    """What a character is folded to: spaces part words, nothing is left of accents and of what is invisible."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        plain = unicodedata.normalize("NFC", unicodedata.normalize("NFKD", sign)).casefold()
        plain = "".join(one for one in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(one))
        plain = "".join(one if one.isascii() or one.isalnum() else "" for one in unicodedata.normalize("NFC", plain))
        parts = unicodedata.category(sign)[0] not in "MC" or sign.isspace()
        self[code] = f" {plain} " if _UNSPACED.match(plain) else plain or " " * parts
        return self[code]


_FOLDS = _Folds()


def folded(text: str) -> str:
    """A text without case and accents, with plain characters for full-width and compatible ones, and 1350 for 1,350."""
    return _THOUSANDS.sub("", _FOREIGN.sub(lambda run: run.group().translate(_FOLDS), text).lower())


def located(text: str) -> tuple[str, Sequence[int]]:
    """A folded text, and where each of its characters stands in the text."""
    parts = [folded(sign) for sign in text]
    plain, origin = "".join(parts), [at for at, part in enumerate(parts) for _ in part]
    for match in reversed(list(_THOUSANDS.finditer(plain))):
        del origin[match.start()]
    return _THOUSANDS.sub("", plain), origin


def words(text: str) -> list[str]:
    """The words of a text; in scripts without spaces, its characters."""
    return words_of(folded(text))


def words_of(plain: str) -> list[str]:
    """The words of a folded text."""
    return _WORD.findall(plain)


def located_words(text: str) -> tuple[list[str], list[Span]]:
    """The words of a text, and where they stand in it."""
    plain, origin = located(text)
    found = list(_WORD.finditer(plain))
    return [one.group() for one in found], [(origin[one.start()], origin[one.end() - 1] + 1) for one in found]


def letters(text: str) -> bytes:
    """The letters and digits of a text, folded."""
    return folded(text).encode("utf-8", "surrogatepass").translate(None, _NO_LETTERS)


def weight(found: Iterable[str]) -> float:
    """How many words these are worth: a number is two, and in scripts without spaces a character is half a one."""
    return sum(2 if word[0].isdigit() else 0.5 if _UNSPACED.match(word) else 1 for word in found)


def shingles(text: str) -> Any:
    """One number for each three words in a row, in order, as an array: a hash of how they begin and end."""
    import numpy as np

    data = bytes(8) + folded(text).encode("utf-8", "surrogatepass") + bytes(8)
    inside = np.frombuffer(data.translate(_IN_WORDS), bool)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    start, end = edges[::2], edges[1::2]
    # Eight bytes from each byte on, as one little-endian number; shifting drops those that are not the word's.
    eight = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))
    shift = (64 - 8 * np.minimum(end - start, 8)).astype(np.uint64)
    odd = np.array(_ODD, np.uint64)
    one = (eight[start] << shift) * odd[0] ^ (eight[end - 8] >> shift) * odd[1] ^ (end - start).astype(np.uint64)
    three = (one[:-2] * odd[0] + one[1:-1]) * odd[1] + one[2:]
    return (three * odd[2] >> np.uint64(32)).astype(np.uint32)


class Shingles:
    """The shingles of many texts, `total` in number."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np

        self._texts = texts
        self.total = 0
        parts = [np.zeros(0, np.uint64)]
        for number, text in enumerate(texts):
            found = shingles(text)
            self.total += len(found)
            found = _sample(found) if len(found) > _LONG else found
            parts.append(found.astype(np.uint64) << np.uint64(32) | np.uint64(number))
        index = np.concatenate(parts)
        parts.clear()
        index.sort()
        self._index = index[np.append(index[1:] != index[:-1], np.ones(min(len(index), 1), bool))]
        self._of = lru_cache(64)(self._reread)

    def _reread(self, number: int) -> Any:
        return shingles(self._texts[number])

    def candidates(self, mine: Any, familiar: Any, most: int, gap: int) -> Iterator[tuple[int, list[int]]]:
        """The texts that share shingles near each other with a new one, each with which of its shingles it has.

        Shingles begin at most `gap` words apart; those that are `familiar`, or in `most` texts, count for nothing.
        """
        import numpy as np

        keys = mine.astype(np.uint64) << np.uint64(32)
        first = np.searchsorted(self._index, keys)
        count = np.searchsorted(self._index, keys | np.uint64(0xFFFFFFFF), side="right") - first
        new = ~np.isin(mine, familiar) & (count < most)
        rare = np.flatnonzero(new & (count > 0))
        at = np.repeat(rare, count[rare])
        offset = np.arange(len(at)) - np.repeat(np.cumsum(count[rare]) - count[rare], count[rare])
        owner = (self._index[first[at] + offset] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        order = np.lexsort((at, owner))
        at, owner = at[order], owner[order]
        breaks = np.flatnonzero((np.diff(owner) != 0) | (np.diff(at) > gap)) + 1
        for group, owners in zip(np.split(at, breaks), np.split(owner, breaks), strict=True):
            if len(group) > 1 or (len(group) and len(self._texts[owners[0]]) < _SHORT):
                start, stop = max(0, int(group[0]) - gap), int(group[-1]) + gap + 1
                shared = np.isin(mine[start:stop], self._of(int(owners[0]))) & new[start:stop]
                yield int(owners[0]), (np.flatnonzero(shared) + start).tolist()


def _sample(found: Any) -> Any:
    """The shingles that are the smallest of some four side by side."""
    import numpy as np

    pairs = np.minimum(found[:-1], found[1:])
    least = np.pad(np.minimum(pairs[:-2], pairs[2:]), 3)
    pairs = np.maximum(least[:-1], least[1:])
    return found[found == np.maximum(pairs[:-2], pairs[2:])]
