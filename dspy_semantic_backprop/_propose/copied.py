"""Orders that are copied out of the data: sentences of a proposal that an example's input holds word for word.

No rule need know what such a sentence orders: whoever wrote it there is not the user. What tells what something is, or
asks for it, is left: "None of the above" and "What is the capital?" order nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .addresses import plain_text

OUT_OF_INPUTS = "a sentence that stands in the data"
_PIECES = re.compile(r"[^.!?;:\n\"\u201c\u201d()<>\[\]{}\u3002\uff01\uff1f]+")
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_FEWEST = 3
_NO_ORDER = frozenset(
    """a all an and any are as at both but by can could did does each either for from had has have he her his how i if
    in into is it its many may might most my neither no none nor not of on one or our shall she should so some such than
    that the their there these they this those to true false was we were what when where which who whom whose why will
    with would yes""".split()  # noqa: SIM905
)
"""How sentences begin that order nothing."""


def may_order(text: str) -> Iterator[tuple[str, str]]:
    """The sentences and lines of a text that may be orders: their words, as they are compared, and as they stand."""
    known: set[str] = set()
    for one in (*_PIECES.findall(text), *text.split("\n")):
        words = _WORD.findall(one.casefold())
        said = " ".join(words)
        asks = words[:1] == ["do"] and words[1:2] != ["not"]
        if len(words) >= _FEWEST and not asks and words[0] not in _NO_ORDER and said not in known:
            known.add(said)
            yield said, " ".join(one.split())


def said_in(texts: Iterable[str]) -> set[str]:
    """The sentences of some texts that may be orders, as they are compared."""
    return {said for text in texts for said, _ in may_order(plain_text(text))}
