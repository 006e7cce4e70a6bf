"""Where a text quotes passages, word for word or slightly altered, out of thousands of long ones.

Three words in a row are the unit. Those of all passages are hashed into one sorted array, so that a text is looked up
in milliseconds however long the passages are; what the lookup finds is then compared with the passage itself.

What is a quotation: words that stand near each other in one passage, at least eight of them, a few changed or missing
ones between them, or four fifths of a shorter passage. In millions of words any phrase occurs somewhere by chance, so
that there more words are asked for. Words in a row that many passages share (the question's standing phrases) are
nobody's, and those that are familiar (the user's own instruction has them) count for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .passages import Passage
from .words import Span, signs, weight, words

_RUN = 3
_GAP = 6
"""At most so many words lie between the beginnings of two rows of one quotation: three may be changed in between."""

_LONG = 8
_CRUMB = 2
_SHARE = 0.8
_SHORT = 12
_BRIEF = 400
_FAR = 40
_NEARLY_ALL = 0.75
_LEAST_OF_LONG = 6
_LOW = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Found:
    """A quotation.

    Args:
        passage: What is quoted.
        words: Which words of the text quote it: the first, and the one behind the last.
    """

    passage: Passage
    words: Span


def shared_by(examples: int) -> int:
    """In how many examples something stands that is a standing phrase, and no property of one of them.

    Args:
        examples: How many different examples there are.

    Returns:
        3 % of them, and at least three; of fewer than six, two.
    """
    return max(2 if examples < 6 else 3, math.ceil(0.03 * examples))


class Quotations:
    """The index of many passages.

    Args:
        passages: The passages; the same text is indexed once.
        examples: How many different examples they are from.
        in_signs: Compare punctuation too, and nothing but long quotations: for formulas, brackets and code.
    """

    def __init__(self, passages: Sequence[Passage], examples: int, *, in_signs: bool = False) -> None:
        self._split: Callable[[str], list[str]] = signs if in_signs else words
        self._least = _LONG if in_signs else 4
        self._most = shared_by(examples)
        self._passages: list[Passage] = []
        self._sizes: list[int] = []
        self._half = max(self._most, math.ceil(examples / 2))
        self._recall = lru_cache(64)(self._reread)
        self._particular = lru_cache(10_000)(self._telling)
        seen: set[str] = set()
        parts = [np.zeros(0, np.uint64)]
        total = 0
        for passage in passages:
            if passage.text in seen:
                continue
            seen.add(passage.text)
            found = self._split(passage.text)
            total += len(found)
            rows = rows_of(found).astype(np.uint64) << np.uint64(32)
            parts.append(rows | np.uint64(len(self._passages)))
            self._passages.append(passage)
            self._sizes.append(len(found))
        self._rows = np.concatenate(parts)
        self._rows.sort()
        self._rows = self._rows[np.diff(self._rows, prepend=np.uint64(0)) != 0]
        self._long = _LONG + round(2 * max(0.0, math.log10(max(total, 1) / 1e6)))

    def find(self, text: Sequence[str], familiar: np.ndarray) -> Iterator[Found]:
        """The quotations in a text.

        Args:
            text: Its words, of the same kind as the index.
            familiar: The rows (see `rows_of`) that are no quotations.
        """
        rows = rows_of(text)
        new = ~np.isin(rows, familiar)
        first, behind = self._stretches(rows)
        shared = np.where(new, behind - first, 0)
        quoted = np.zeros(len(text), bool)
        groups = sorted(self._groups(first, shared, self._most, _GAP), key=lambda one: -len(one[1]))
        for owner, group in groups:
            # A stretch that one passage explains need not be compared with all the others that share a part of it.
            if _covered(group) >= 4 and not quoted[group[0] : group[-1] + _RUN].all():
                found = self._checked(text, rows, group, owner)
                if found is not None:
                    quoted[slice(*found)] = True
                    yield Found(self._passages[owner], found)
        for owner, group in self._groups(first, shared, self._half, _FAR):
            known = quoted[group[0] : group[-1] + _RUN].all()
            if len(group) >= _LONG and self._sizes[owner] <= _BRIEF and not known:
                group = self._all_of(owner, rows, group)
                if len(group):
                    yield Found(self._passages[owner], (int(group[0]), int(group[-1]) + _RUN))

    def _groups(self, first: np.ndarray, shared: np.ndarray, most: int, gap: int) -> Iterator[tuple[int, np.ndarray]]:
        """For each passage, where in the text there are rows of it near each other that fewer than `most` have."""
        rare = np.flatnonzero((shared > 0) & (shared < most))
        counts = shared[rare]
        at = np.repeat(rare, counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        owner = (self._rows[first[at] + offsets] & _LOW).astype(np.int64)
        order = np.lexsort((at, owner))
        at, owner = at[order], owner[order]
        starts = np.flatnonzero(np.diff(owner, prepend=-1).astype(bool) | (np.diff(at, prepend=-1) > gap))
        sizes = np.diff(starts, append=len(at))
        for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
            yield int(owner[start]), at[start : start + size]

    def _all_of(self, owner: int, rows: np.ndarray, group: np.ndarray) -> np.ndarray:
        """The part of a group that holds what tells a passage from half of the others; empty where it does not."""
        own = self._particular(owner)

        def holds(some: np.ndarray) -> bool:
            return len(own) >= _LONG and bool(np.isin(own, rows[some]).mean() >= _NEARLY_ALL)

        return _trimmed(group, _GAP, len(group), holds)

    def _stretches(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys = rows.astype(np.uint64) << np.uint64(32)
        return np.searchsorted(self._rows, keys), np.searchsorted(self._rows, keys | _LOW, side="right")

    def _checked(self, text: Sequence[str], rows: np.ndarray, group: np.ndarray, owner: int) -> Span | None:
        """The words of a text that quote a passage, if the rows that it shares with it lie together there too."""
        there, needed = self._recall(owner)
        width = 2 * int(group[-1] - group[0] + _RUN) + _GAP
        places = np.flatnonzero(np.isin(there, rows[group]))
        ends = np.searchsorted(places, places + width)
        first = int(np.argmax(ends - np.arange(len(places))))
        near = there[places[first : ends[first]]]
        kept = group[np.isin(rows[group], near)]

        def holds(some: np.ndarray) -> bool:
            return weight(str(text[at]) for at in {at + step for at in some.tolist() for step in range(_RUN)}) >= needed

        kept = _trimmed(kept, _RUN, _CRUMB, holds)
        return (int(kept[0]), int(kept[-1]) + _RUN) if len(kept) else None

    def _reread(self, owner: int) -> tuple[np.ndarray, float]:
        """The rows of a passage, and how many of its words are a quotation of it."""
        passage = self._passages[owner]
        found = self._split(passage.text)
        rows = rows_of(found)
        first, behind = self._stretches(rows)
        own = np.ones(len(found), bool)
        for at in np.flatnonzero(behind - first >= self._most).tolist():
            own[at : at + _RUN] = False
        core = weight([word for word, mine in zip(found, own.tolist(), strict=True) if mine])
        least = self._least if len(found) <= _SHORT else max(self._least, _LEAST_OF_LONG)
        return rows, passage.least or min(self._long, max(least, math.ceil(_SHARE * core)))

    def _telling(self, owner: int) -> np.ndarray:
        rows = np.unique(rows_of(self._split(self._passages[owner].text)))
        first, behind = self._stretches(rows)
        return rows[behind - first < self._half]


def rows_of(some: Sequence[str]) -> np.ndarray:
    """One number for each three words in a row, in order."""
    if len(some) < _RUN:
        return np.zeros(0, np.uint32)
    numbers = np.fromiter(map(hash, some), np.int64, len(some)).astype(np.uint64)
    mixed = (numbers[:-2] * _ODD[0] + numbers[1:-1]) * _ODD[1] + numbers[2:]
    return ((mixed * _ODD[2]) >> np.uint64(32)).astype(np.uint32)


_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


def _trimmed(group: np.ndarray, gap: int, crumb: int, holds: Callable[[np.ndarray], bool]) -> np.ndarray:
    """A group of rows without up to `crumb` ones that lie apart and are not needed; empty where all is not enough."""
    if not holds(group):
        return group[:0]
    parts = np.split(group, np.flatnonzero(np.diff(group) > gap) + 1)
    while len(parts) > 1 and len(parts[0]) <= crumb and holds(np.concatenate(parts[1:])):
        parts = parts[1:]
    while len(parts) > 1 and len(parts[-1]) <= crumb and holds(np.concatenate(parts[:-1])):
        parts = parts[:-1]
    return np.concatenate(parts)


def _covered(group: np.ndarray) -> int:
    return int(np.minimum(np.diff(group), _RUN).sum()) + _RUN
