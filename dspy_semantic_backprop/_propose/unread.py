"""Sentences that no rule here can read, as they are in none of the languages that it knows, or in cipher.

What they say cannot be told; where they come from can: one that stands in the data is not the proposing model's own.
"""

from __future__ import annotations

import functools
import os
import re
import string
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz

_PARTS = re.compile(r"[^.!?;:\n\uff1a\u3002\uff01\uff1f\u061f\u061b\u0964\u06d4]+")
_CLAUSES = re.compile(r"[^,\uff0c\u3001\u060c]+")
_QUOTED = re.compile(r"[\"\u201c\u201e\u00ab\u300c`][^\"\u201d\u201c\u00bb\u300d`]*(?:[\"\u201d\u201c\u00bb\u300d`]|$)")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_ENGLISH = frozenset(
    """a about after all always an and any are as at be been before between by can did do does each every for from give
    had has have he how if in into is it its less may more most must never no not of on one only or other over same she
    should than that the their them then there these they this those to two under use was we were what when where which
    who why will with without would you your answer question return say text write""".split()  # noqa: SIM905
)
_SHARE = 0.2
"""So many of the words of an English sentence are among those, and fewer of any other language's."""
_LETTERS, _LETTERS_ASCII, _WORDS = 20, 24, 3
"""Shorter ones stand in many texts by chance."""
_EACH, _EACH_AT_LEAST = 4.0, 3.5
"""So many letters has a token of English, and of what English text is full of; one of anything else has 1.5 to 3.2."""
_SHORT, _ALIKE, _ALIKE_IN_LENGTH = 40, 85, 77
"""How alike two sentences of one origin are, in percent: long ones share less by chance."""
_CIPHERS = tuple(
    str.maketrans(string.ascii_letters, f"{low}{low.upper()}")
    for low in (
        *(string.ascii_lowercase[by:] + string.ascii_lowercase[:by] for by in range(1, 26)),
        string.ascii_lowercase[::-1],
    )
)


def unread(plain: str) -> Iterator[str]:
    """The sentences of a text that do not look like English, and those of their clauses that could stand alone."""
    for part in _PARTS.finditer(_QUOTED.sub(" ", plain)):
        sentence = part.group()
        clauses = [one.group() for one in _CLAUSES.finditer(sentence)]
        for one in dict.fromkeys(" ".join(one.split()) for one in (sentence, *clauses)):
            words = _WORD.findall(one)
            letters = sum(map(len, words))
            short = letters < _LETTERS_ASCII or len(words) < _WORDS if one.isascii() else letters < _LETTERS
            if not short and not _is_english(words):
                yield one


def _is_english(words: list[str]) -> bool:
    return sum(word.lower() in _ENGLISH for word in words) >= _SHARE * len(words)


@functools.cache
def _tokens() -> Any:
    import tiktoken

    # As LiteLLM reads the file that it brings along; to import LiteLLM for it takes longer than to import DSPy.
    spec = find_spec("litellm")
    folder = Path(spec.origin if spec is not None and spec.origin else "").parent / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = os.environ.get("CUSTOM_TIKTOKEN_CACHE_DIR", str(folder))
    return tiktoken.get_encoding("cl100k_base")


def looks_english(text: str, each: float = _EACH) -> bool:
    """Whether a text is English, or made of words that stand in much English text, by how few tokens it has."""
    letters = "".join(chain.from_iterable(_WORD.findall(text)))
    return len(letters) >= each * len(_tokens().encode(text, disallowed_special=()))


def deciphered(text: str) -> bool:
    """Whether a text is English once each letter stands for another one, as in rot13, or once read from its end."""
    if not text.isascii() or looks_english(text):
        return False
    return any(looks_english(one, _EACH_AT_LEAST) for one in (text[::-1], *map(text.translate, _CIPHERS)))


def stands_in(sentence: str, text: str) -> bool:
    """Whether a sentence stands in a text in nearly the same words, and is none that is known from everywhere."""
    least = _ALIKE if len(sentence) < _SHORT else _ALIKE_IN_LENGTH
    # A text that is shorter would be looked for in the sentence: any short label stands in one.
    held = 100 * len(text) >= least * len(sentence) and fuzz.partial_ratio(sentence, text, score_cutoff=least) > 0
    return held and not looks_english(sentence)
