"""A text in the pieces that can be left out of it, and without those that hold given stretches."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

Span = tuple[int, int]
"""Where something stands in a text: from its first character to behind its last one."""

_END = re.compile(
    r"(?<!\b[a-zA-Z]\.)(?<!^\d\.)(?<!\b(?:vs|cf|mr|ms|dr|st|eq)\.)(?<!\b(?:etc|mrs|fig)\.)(?<=[.!?])[\"'\u201d\u2019)*_`]*"
    r"\s+(?![a-z])|(?<=[\u3002\uff01\uff1f])"
)
_FENCE = re.compile(r"\s*(```|~~~)")
_OPENS = re.compile(
    r"\W*(?:(?:few.shot |worked |sample |training |another |first |second |here (?:is|are) (?:an? |some |the )?)*"
    r"(?:examples?|samples?|demonstrations?|cases?|instances?|illustrations?)\b"
    r"|(?:for example|for instance|e\.g\b|such as|as in)\W"
    r"|(?:question|query|input|problem|prompt|user|task|q)\s*(?:\d+\s*)?[*_\"']*\s*[:=\-])",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\W*(?:(?:the )?(?:correct |expected |right |final |gold |model )?"
    r"(?:answers?|outputs?|labels?|results?|solutions?|responses?|targets?|reasoning|rationale|explanation|options?"
    r"|choices|a)\b\W*(?:(?:is|was|are|should be|would be)\b|\d*\s*[*_]*[:=\-\uff1a])"
    r"|->|=>|\u2192|####|[(\uff08][A-Z\uff21-\uff3a][)\uff09])",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*(?:[-*+\u2022\uff0d]|\d+[.)])\s")
_ANNOUNCES = re.compile(
    r"\s*#|.*[:,][*_` ]*$"
    r"|\W*(?:for example|for instance|e\.g\b|such as|as in|consider|suppose|imagine|take|like|given|see)\b[^.!?]*$",
    re.IGNORECASE | re.DOTALL,
)
_AS_IN = re.compile(
    r"\s*[,;:(\u2013\u2014-]?\s*\b(?:e\.g\.|for example|for instance|such as|as in|like in|like)\W", re.IGNORECASE
)
_LETTER = re.compile(r"[^\W\d_]")
_A_RULE = 20


class Sentence(NamedTuple):
    """A sentence of a text: where it stands, and in which line and paragraph. A fenced block is one sentence."""

    start: int
    end: int
    line: int
    block: int


def sentences(text: str) -> list[Sentence]:
    """The sentences of a text's lines, without a gap between them."""
    found: list[Sentence] = []
    block = 0
    for number, (start, end) in enumerate(_lines(text)):
        line = text[start:end]
        block += not line.strip()
        ends = [] if _FENCE.match(line) else [match.end() for match in _END.finditer(line) if match.end() < len(line)]
        bounds = [0, *ends, len(line)]
        found += [Sentence(start + a, start + b, number, block) for a, b in itertools.pairwise(bounds) if a < b]
    return found


def without(text: str, spans: Sequence[Span]) -> str:
    """A text without the sentences that spans of it stand in.

    Of a sentence that goes on behind its rule with "for example ...", only the example is left out. With a part of an
    example, such as "Question: ...", the rest of that example goes too: its answer teaches nothing alone.
    """
    pieces = sentences(text)
    said = [text[one.start : one.end] for one in pieces]
    cuts: list[Span] = []
    gone: set[int] = set()
    for start, end in spans:
        hit = [at for at, one in enumerate(pieces) if one.start < end and start < one.end]
        cut = _example_in(text, pieces[hit[0]], (start, end)) if len(hit) == 1 else None
        if cut is None:
            gone.update(hit)
        else:
            cuts.append(cut)
    for at in list(gone):
        gone |= _rest_of_example(pieces, said, at)
    # What announced nothing but that ("For example:", "## Examples") is left hanging, from the last one up.
    for at in reversed(range(len(pieces))):
        if at not in gone and _is_left_hanging(pieces, said, at, gone):
            gone.add(at)
    return _cut(text, cuts + [(pieces[at].start, pieces[at].end) for at in gone])


def _lines(text: str) -> list[Span]:
    """The lines of a text; a fenced block, a quotation and a sentence that is wrapped are one."""
    lines: list[Span] = []
    fence, at, last = "", 0, ""
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        wrapped = line[:1].islower() and last.strip(" \n*_`")[-1:].isalnum()
        if fence or (not found and (wrapped or (last.startswith(">") and line.startswith(">")))):
            lines[-1] = (lines[-1][0], at + len(line))
        else:
            lines.append((at, at + len(line)))
        if found and fence in ("", found[1]):
            fence = "" if fence else found[1]
        at += len(line)
        last = line
    return lines


def _example_in(text: str, piece: Sentence, span: Span) -> Span | None:
    """The part of a sentence that is only an example of its rule, if the span lies in it."""
    before = next((one for one in _AS_IN.finditer(text, piece.start, span[0] + 1) if one.start() < span[0]), None)
    if before is None or len(_LETTER.findall(text[piece.start : before.start()])) < _A_RULE:
        return None
    close = text.find(")", span[1], piece.end) if before.group().lstrip().startswith("(") else -1
    if close >= 0:
        return before.start(), close + 1
    return before.start(), max(span[1], piece.start + len(text[piece.start : piece.end].rstrip().rstrip(".!?")))


def _rest_of_example(pieces: Sequence[Sentence], said: Sequence[str], at: int) -> set[int]:
    """What belongs to the example that a sentence is a part of: from its beginning to its answer."""
    first = at
    while first > 0 and pieces[first - 1].block == pieces[at].block and not _OPENS.match(said[first]):
        first -= 1
    opened = bool(_OPENS.match(said[first]))
    gone = set(range(first, at)) if opened else set()
    for after in range(at + 1, len(pieces)):
        goes_on = _GOES_ON.match(said[after])
        if opened and pieces[after].block == pieces[at].block:
            # A new list item without an answer in front is a rule again.
            is_item = pieces[after].line != pieces[at].line and _ITEM.match(said[after])
            if not goes_on and (_OPENS.match(said[after]) or is_item):
                break
        elif not goes_on and (said[after].strip() or after + 1 == len(pieces)):
            break
        gone.add(after)
    return gone


def _is_left_hanging(pieces: Sequence[Sentence], said: Sequence[str], at: int, gone: set[int]) -> bool:
    if not _LETTER.search(said[at]):
        return any(one in gone and pieces[one].line == pieces[at].line for one in (at - 1, at + 1))
    if not _ANNOUNCES.match(said[at].strip()):
        return False
    behind = [one for one in range(at + 1, len(pieces)) if said[one].strip()]
    return bool(behind) and all(one in gone for one in behind if pieces[one].block == pieces[behind[0]].block)


def _cut(text: str, cuts: Sequence[Span]) -> str:
    """A text without some stretches, and without the list marks and blank lines that are left of them."""
    kept, at = "", 0
    for start, end in sorted(cuts):
        if end > at:
            kept += text[at:start] if start > at else ""
            # A line's end stays where something of the line does, or two lines would become one.
            if text[end - 1] == "\n" and kept.strip() and not kept.endswith("\n"):
                kept += "\n"
            at = end
    lines = (kept + text[at:]).splitlines()
    lines = [line.rstrip() if line.strip(" \t-*+\u2022.)0123456789>") else "" for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
