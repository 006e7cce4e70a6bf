"""What many examples teach one predictor, as few statements that each name the examples behind them.

Near-equal remarks are merged without asking anyone. The rest is merged by a tree of questions with few
entries each, in which every entry has an opaque name: a merged statement names the entries it came from, so
that its examples are known and not guessed. What the model forgets stays as it was; a name that it invents
counts for nothing. Statements that contradict each other are kept apart, and say so.

Why names and not numbers: "1" stands in many texts, and a model that counts wrong would give one example's
lesson to another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .._concurrency import gather
from .ask import ask_question, count
from .prompts import Merge
from .question import identifiers
from .text import clipped, is_blank, refuses, visible, whole_sentences, words

FAN = 8
"""The most entries that one question merges."""

_LONGEST = 256
"""The most tokens of one statement."""
_NEAR = 92
"""From this similarity of words in their order, in per cent, two remarks are one."""
_FEWER = 0.9
"""Another level of questions is asked while a level leaves at most this share of the entries."""

_NAME = re.compile(r"\[([^\[\]]*)\]")
_TURNS = set(
    re.findall(r"\w+", "not no never without always only more less shorter longer before after yes true false")
)
"""Words of which one more or less makes another lesson."""


@dataclass(frozen=True)
class Remark:
    """A change that one example asks of a predictor."""

    text: str
    example_id: int


@dataclass(frozen=True)
class Statement:
    """A change that examples ask of a predictor, and where statements stand that it cannot be true beside."""

    text: str
    example_ids: tuple[int, ...]
    contradicts: tuple[int, ...] = ()
    predictor: str = ""


@dataclass(frozen=True)
class _Entry:
    """A statement on its way up the tree: the lessons that it says, and those that it cannot be true beside."""

    text: str
    example_ids: tuple[int, ...]
    lessons: frozenset[int]
    against: frozenset[int] = frozenset()

    def opposes(self, other: _Entry) -> bool:
        return bool(self.against & other.lessons or other.against & self.lessons)


async def reduce(remarks: Sequence[Remark], predictor: str, *, fan: int = FAN) -> tuple[Statement, ...]:
    """Merge what many examples say of a predictor, by questions of at most `fan` entries; what most say comes first.

    Every example of a remark stands behind at least one statement.
    """
    if fan < 2:
        raise ValueError(f"fan must be at least 2, not {fan}: fewer entries cannot be merged")
    entries = _near_duplicates(remarks)
    while len(entries) > 1:
        batches = -(-len(entries) // fan)
        # Dealt out like cards, so that other entries meet on the next level.
        fewer = await gather(lambda batch: _merged(batch, predictor), [entries[at::batches] for at in range(batches)])
        before, entries = len(entries), [entry for part in fewer for entry in part]
        if batches == 1 or len(entries) > _FEWER * before:
            break
    ranked = sorted(entries, key=lambda entry: (-len(entry.example_ids), min(entry.lessons)))
    return tuple(
        Statement(
            entry.text,
            entry.example_ids,
            tuple(at for at, other in enumerate(ranked) if entry is not other and entry.opposes(other)),
            predictor,
        )
        for entry in ranked
    )


def _near_duplicates(remarks: Iterable[Remark]) -> list[_Entry]:
    groups: list[tuple[list[str], list[Remark]]] = []
    for remark in remarks:
        if is_blank(remark.text):
            continue
        mine = words(remark.text)
        found = next((group for theirs, group in groups if _alike(mine, theirs)), None)
        if found is None:
            groups.append((mine, [remark]))
        else:
            found.append(remark)
    return [
        _Entry(group[0].text, tuple(dict.fromkeys(remark.example_id for remark in group)), frozenset({number}))
        for number, (_, group) in enumerate(groups)
    ]


def _alike(mine: list[str], theirs: list[str]) -> bool:
    from rapidfuzz import fuzz

    # A number or a "not" of difference is a different lesson however much the rest is the same.
    if any(word in _TURNS or any(sign.isdigit() for sign in word) for word in set(mine) ^ set(theirs)):
        return False
    return fuzz.ratio(mine, theirs) >= _NEAR


async def _merged(batch: Sequence[_Entry], predictor: str) -> list[_Entry]:
    if len(batch) < 2:
        return list(batch)
    texts = [visible(clipped(entry.text, _LONGEST)[0]).replace("\n", " ") for entry in batch]
    keys = identifiers(len(batch), [predictor, *texts], predictor)
    lines = "\n".join(f"[{key}] {text}" for key, text in zip(keys, texts, strict=True))
    reply = await ask_question(Merge, {"step": predictor, "lessons": lines})
    left = _opposed(dict(zip(keys, batch, strict=True)), reply.fields.get("contradictions", ""))
    merged: list[_Entry] = []
    for line in reply.fields.get("statements", "").splitlines():
        named = list(dict.fromkeys(_NAME.findall(line)))
        count("invented", sum(key not in keys for key in named))
        sources = [left[key] for key in named if key in left]
        text = _NAME.sub(" ", line).strip(" -*\t")
        contradictory = any(one.opposes(other) for one in sources for other in sources)
        if len(sources) < 2 or is_blank(text) or refuses(text) or contradictory:
            continue
        count("merged", len(sources) - 1)
        left = {key: entry for key, entry in left.items() if key not in named}
        merged.append(_union(whole_sentences(" ".join(text.split()), _LONGEST), sources))
    return [*merged, *left.values()]


def _opposed(named: Mapping[str, _Entry], contradictions: str) -> dict[str, _Entry]:
    """The entries by name, each with the lessons of those that the model called contradictory to it."""
    entries = dict(named)
    for line in contradictions.splitlines():
        keys = [key for key in dict.fromkeys(_NAME.findall(line)) if key in named]
        for key in keys:
            others = frozenset().union(*(named[other].lessons for other in keys if other != key))
            entries[key] = replace(entries[key], against=entries[key].against | others)
    return entries


def _union(text: str, sources: Sequence[_Entry]) -> _Entry:
    return _Entry(
        text,
        tuple(sorted({one for entry in sources for one in entry.example_ids})),
        frozenset().union(*(entry.lessons for entry in sources)),
        frozenset().union(*(entry.against for entry in sources)),
    )
