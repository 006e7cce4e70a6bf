"""Whether two instructions say the same in nearly the same words, so that only one of them need be paid for.

Case, white space, punctuation, markdown, filler and the order of sentences make no difference. Everything else does: a
number, a "not", a comparison sign, an exact text in quotation marks. In doubt two instructions differ: to evaluate one
too many costs money, to miss a better one costs the run.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_MARKUP = re.compile(r"^[ \t]*(?:[-*+\u2022>]|#+|\(?\d+[.)]|\(?[a-z][.)])[ \t]+|(\*\*|__)(?=\S)|(?<=\S)(\*\*|__)", re.M)
_LITERAL = re.compile(r"`+([^`\n]+)`+|\"([^\"\n]+)\"|\u201c([^\u201d\n]+)\u201d|(?<!\w)'([^'\n]+)'(?!\w)")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|(?<=[\u3002\uff01\uff1f])")
_TOKEN = re.compile(
    r"\x00\d+\x00|(?:(?<![\w)])-)?\d+(?:[.,]\d+)*%?|[^\W\d_]+(?:['\u2019][^\W\d_]+)*"
    r"|[+*/=<>\u2264\u2265\u2260\u00b1^|&~$\u20ac\u00a3{}\[\]\u2192_@#\\]+|(?<=\s)-(?=\s)|\(\w{1,2}\)"
)
_OPENERS = (
    r"(?:please|kindly|remember to|remember that|be sure to|be sure that|make sure to|make sure that|note that"
    r"|you should|you must|you need to|you have to|also|in addition|additionally|furthermore|moreover)\b,?\s*"
)
_OPENER = re.compile(rf"^\W*(?:{_OPENERS})+", re.IGNORECASE)
_FILLER = frozenset("a an the please just simply really quite kindly basically actually".split())  # noqa: SIM905

Gist = frozenset[tuple[tuple[str, ...], int]]


def gist(text: str) -> Gist:
    """What of an instruction makes it another one, as a value that can be compared and hashed.

    Args:
        text: The instruction.

    Returns:
        Its sentences without filler, and how often each stands there.
    """
    text = unicodedata.normalize("NFKC", text.replace("\r\n", "\n"))
    literals: list[str] = []

    def keep(match: re.Match[str]) -> str:
        said = next(part for part in match.groups() if part)
        if re.fullmatch(r"[a-z]+(?: [a-z]+)*[.,]?", said):
            return f" {said} "
        literals.append(" ".join(said.split()))
        return f" \x00{len(literals) - 1}\x00 "

    plain = _MARKUP.sub("", _LITERAL.sub(keep, text.replace("\x00", "")))
    said = [_words(_OPENER.sub("", sentence), literals) for sentence in _SENTENCE.split(plain)]
    return frozenset(Counter(words for words in said if words).items())


def near_duplicate(text: str, others: Iterable[str]) -> str | None:
    """The first of some instructions that says the same as another one.

    Args:
        text: An instruction.
        others: Instructions, such as those of all candidates so far.

    Returns:
        The one that it is a near duplicate of; None if there is none.
    """
    mine = gist(text)
    return next((other for other in others if gist(other) == mine), None)


def _words(sentence: str, literals: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for token in _TOKEN.findall(sentence):
        if token[0] == "\x00":
            found.append(f"'{literals[int(token.strip(chr(0)))]}'")
        elif token.casefold() not in _FILLER:
            number = token.replace(",", "") if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?", token) else token
            found.append(number.casefold().replace("\u2019", "'"))
    return tuple(found)
