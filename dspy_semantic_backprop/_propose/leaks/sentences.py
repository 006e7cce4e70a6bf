"""A text in the pieces that can be left out of it: sentences, list items, fenced blocks, blocks of an example."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from .words import Span

_END = re.compile(r"(?<=[.!?])[\"'\u201d\u2019)*_`]*\s+|(?<=[\u3002\uff01\uff1f])")
_SHORTENED = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|mr|mrs|ms|dr|st|no|fig|eq|gov|sen|rep|gen|col|prof|jr|sr|inc|ltd|co|[a-z])|^\W*\d+)\.$",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\s*(```|~~~)")
_CUE = r"(?:for example|for instance|e\.g\b|such as|as in|consider|suppose|imagine|take|like|given|see|note that)"
_EXAMPLE = re.compile(
    r"\W*(?:(?:few.shot |worked |sample |training |another |first |second |here (?:is|are) (?:an? |some |the )?)*"
    r"(?:examples?|samples?|demonstrations?|cases?|instances?|illustrations?)\b"
    r"|(?:for example|for instance|e\.g\b|such as|as in)\W"
    r"|(?:question|query|input|problem|prompt|user|task|q)\s*(?:\d+\s*)?[*_\"']*\s*[:=\-])",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\W*(?:(?:the )?(?:correct |expected |right |final |gold |model )?"
    r"(?:answers?|outputs?|labels?|results?|solutions?|responses?|targets?|completions?|reasoning|rationale|explanation"
    r"|thoughts?|assistant|expected|options?|choices|a)\b\W*"
    r"(?:(?:is|was|are|should be|would be)\b|\d*\s*[*_]*[:=\-\uff1a])"
    r"|->|=>|\u2192|####|[(\uff08][A-Z\uff21-\uff3a][)\uff09])",
    re.IGNORECASE,
)
_CHOICES = re.compile(r"\W*(?:options?|choices)\b.{0,3}\s*$", re.IGNORECASE)
_ITEM = re.compile(r"\s*(?:[-*+\u2022\uff0d]|\d+[.)])\s")
_UNFINISHED = re.compile(rf"\W*{_CUE}\b[^.!?]*$", re.IGNORECASE)
_AS_IN = re.compile(
    r"\s*[,;:(\u2013\u2014-]?\s*\b(?:e\.g\.|for example|for instance|such as|as in|like in|like)\W", re.IGNORECASE
)
_A_RULE = 20
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Piece:
    """A sentence of a text.

    Args:
        start: Where it begins.
        end: Where it ends: where the next one begins.
        line: The line that it stands in; a fenced block is one line.
        block: The paragraph that it stands in: the lines between two blank ones.
    """

    start: int
    end: int
    line: int
    block: int


def pieces(text: str) -> list[Piece]:
    """A text as the sentences of its lines, without a gap between them."""
    found: list[Piece] = []
    block = 0
    for number, (start, end) in enumerate(_lines(text)):
        line = text[start:end]
        if not line.strip():
            block += 1
        at = start
        if not _FENCE.match(line):
            for match in _END.finditer(line):
                behind = start + match.end()
                if behind < end and not line[match.end()].islower() and not _SHORTENED.search(line[: match.start()]):
                    found.append(Piece(at, behind, number, block))
                    at = behind
        found.append(Piece(at, end, number, block))
    return found


def without(text: str, spans: Sequence[Span]) -> str:
    """A text without the pieces that spans of it stand in.

    Of a sentence that goes on behind its rule with "for example ...", only the example is left out. With a piece of an
    example, such as "Question: ...", the rest of that example goes too: its answer teaches nothing alone.

    Args:
        text: The text.
        spans: What must not be left; each of them not empty.

    Returns:
        The rest, shorter than the text if there is a span.
    """
    sentences = pieces(text)
    cuts: list[Span] = []
    gone: set[int] = set()
    for start, end in spans:
        hit = [at for at, piece in enumerate(sentences) if piece.start < end and start < piece.end]
        cut = _example_in(text, sentences[hit[0]], (start, end)) if len(hit) == 1 else None
        if cut is not None:
            cuts.append(cut)
        else:
            gone.update(hit)
    for at in list(gone):
        gone |= _rest_of_example(text, sentences, at)
    gone |= _left_hanging(text, sentences, gone)
    cuts += [(sentences[at].start, sentences[at].end) for at in gone]
    return _tidy(_cut(text, cuts))


def _lines(text: str) -> list[Span]:
    """The lines of a text; a fenced block, a quotation and a sentence that is wrapped are one."""
    lines: list[Span] = []
    fence, at, last = "", 0, ""
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        inside = bool(fence)
        if found and (not fence or found[1] == fence):
            fence = "" if fence else found[1]
        if inside or (not found and _continues(last, line)):
            lines[-1] = (lines[-1][0], at + len(line))
        else:
            lines.append((at, at + len(line)))
        at += len(line)
        last = line
    return lines


def _continues(last: str, line: str) -> bool:
    if last.startswith(">") and line.startswith(">"):
        return True
    return line[:1].islower() and last.strip(" \n*_`")[-1:].isalnum()


def _example_in(text: str, piece: Piece, span: Span) -> Span | None:
    """The part of a sentence that is only an example of its rule, if the span lies in it."""
    sentence = text[piece.start : piece.end]
    before = [match for match in _AS_IN.finditer(sentence) if piece.start + match.start() < span[0]]
    if not before or len(_LETTER.findall(sentence[: before[0].start()])) < _A_RULE:
        return None
    start = before[0].start()
    opened = before[0].group().lstrip().startswith("(")
    close = sentence.find(")", span[1] - piece.start) if opened else -1
    if opened and close >= 0:
        return piece.start + start, piece.start + close + 1
    end = len(sentence.rstrip())
    if sentence[end - 1 : end] in ".!?" and end > span[1] - piece.start:
        end -= 1
    return piece.start + start, max(piece.start + end, span[1])


def _rest_of_example(text: str, sentences: Sequence[Piece], at: int) -> set[int]:
    """What belongs to the example that a sentence is a part of: from its beginning to its answer."""
    first = at
    while first > 0 and sentences[first - 1].block == sentences[at].block and not _opens(text, sentences[first]):
        first -= 1
    opened = _opens(text, sentences[first])
    gone = set(range(first, at)) if opened else set()
    line = sentences[at].line
    choosing = False
    for after in range(at + 1, len(sentences)):
        piece = sentences[after]
        said = unicodedata.normalize("NFKC", text[piece.start : piece.end])
        item = bool(_ITEM.match(said))
        choosing = bool(_CHOICES.match(said)) or (choosing and item)
        goes_on = choosing or bool(_GOES_ON.match(said))
        if opened and piece.block == sentences[at].block:
            # A new list item without an answer in front is a rule again.
            if not goes_on and (_opens(text, piece) or (piece.line != line and item)):
                break
        elif not goes_on and (said.strip() or after + 1 == len(sentences)):
            break
        gone.add(after)
    return gone


def _opens(text: str, piece: Piece) -> bool:
    return bool(_EXAMPLE.match(text[piece.start : piece.end]))


def _left_hanging(text: str, sentences: Sequence[Piece], gone: set[int]) -> set[int]:
    """Announcements ("For example:", "## Examples") of what is gone, and brackets or bullets beside it."""
    gone = set(gone)
    hanging: set[int] = set()
    for at in range(len(sentences) - 1, -1, -1):
        if at in gone:
            continue
        said = text[sentences[at].start : sentences[at].end]
        if _LETTER.search(said):
            left = not _announced_is_gone(text, sentences, at, gone)
        else:
            left = not any(one in gone and sentences[one].line == sentences[at].line for one in (at - 1, at + 1))
        if not left:
            hanging.add(at)
            gone.add(at)
    return hanging


def _announced_is_gone(text: str, sentences: Sequence[Piece], at: int, gone: set[int]) -> bool:
    said = text[sentences[at].start : sentences[at].end].strip()
    if not said.rstrip("*_` ").endswith((":", ",")) and not said.startswith("#") and not _UNFINISHED.match(said):
        return False
    behind = [one for one in range(at + 1, len(sentences)) if text[sentences[one].start : sentences[one].end].strip()]
    announced = [one for one in behind if sentences[one].block == sentences[behind[0]].block]
    return bool(announced) and all(one in gone for one in announced)


def _cut(text: str, cuts: Sequence[Span]) -> str:
    kept, at = [], 0
    for start, end in sorted(cuts):
        if end > at:
            part = text[at:start]
            kept.append(part)
            # A line's end stays where something of the line does, or two lines would become one.
            if text[end - 1] == "\n" and "".join(kept).strip() and not "".join(kept[-1:]).endswith("\n"):
                kept.append("\n")
            at = end
    return "".join([*kept, text[at:]])


def _tidy(text: str) -> str:
    lines = [line.rstrip() if line.strip(" \t-*+\u2022.)0123456789>") else "" for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
