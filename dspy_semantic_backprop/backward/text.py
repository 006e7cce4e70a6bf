"""What a question shows of a value: readable, bounded, and unable to pass for a part of the question itself.

Why texts are altered at all: a lone surrogate cannot be sent, a control or bidirectional character can make
a prompt read otherwise than it is written, and an output that holds an adapter's field marker would forge a
field of the question. The altered text still shows what stood there.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from ..forward.graph import jsonable

PIECE = 1000
"""Characters counted at a time: tokenizers take quadratic time on long runs of one character."""

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKS = frozenset("\u2028\u2029\x85")
_SUSPECT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKER = re.compile(r"\[\[(\s*##\s*\w+\s*##\s*)\]\]")
_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+")


def text_of(value: Any) -> str:
    """A value as a language model reads it: texts as they are, records by field, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) or hasattr(value, "items"):
        return "\n".join(f"{name}: {text_of(item)}" for name, item in dict(value).items())
    return json.dumps(jsonable(value), ensure_ascii=False)


def visible(text: str) -> str:
    """A text with invisible and unsendable characters spelled out, and field markers defused.

    Args:
        text: Any text, lone surrogates included.

    Returns:
        A text that can be encoded as UTF-8; line breaks are kept.
    """
    if _SUSPECT.search(text):
        text = "".join(_spelled(one) for one in text.replace("\r\n", "\n"))
    return _MARKER.sub(r"((\1))", text)


def _spelled(character: str) -> str:
    category = unicodedata.category(character)
    hidden = category == "Cs" or (category == "Cc" and character not in "\n\t")
    if not hidden and character not in _BIDI and character not in _BREAKS:
        return character
    return f"\\u{ord(character):04x}"


def tokens(text: str) -> int:
    """How many tokens a text has, by the tokenizer that ships with LiteLLM; other models count within some 30 %."""
    return sum(_count(text[start : start + PIECE]) for start in range(0, len(text), PIECE))


def fits(text: str, limit: int) -> bool:
    """Whether a text has at most so many tokens, without looking at more of it than that takes."""
    # No token is shorter than a byte.
    if len(text) * 4 <= limit or (len(text) <= limit and len(text.encode("utf-8", "replace")) <= limit):
        return True
    total = 0
    for start in range(0, len(text), PIECE):
        total += _count(text[start : start + PIECE])
        if total > limit:
            return False
    return True


def _count(piece: str) -> int:
    # Imported where it is needed: it takes a second.
    import litellm

    return litellm.token_counter(model="", text=piece)


def shown(value: Any, limit: int) -> tuple[str, int]:
    """A value as a question shows it.

    Args:
        value: Any value.
        limit: In tokens.

    Returns:
        The text, and how many characters of it were left out.
    """
    text, left_out = clipped(text_of(value), limit)
    # Spelling characters out makes a text longer.
    text, more = clipped(visible(text), limit)
    return text, left_out + more


def clipped(text: str, limit: int) -> tuple[str, int]:
    """A text that is too long, by its beginning and its end.

    Args:
        text: Any text.
        limit: In tokens.

    Returns:
        The text, or its two ends around a note of what was left out; and how many characters were.
    """
    if fits(text, limit):
        return text, 0
    head = _end(text, limit // 2, 1)
    tail = _end(text[len(head) :], limit // 2, -1)
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left_out} characters are left out here ...]\n{tail}", left_out


def _end(text: str, limit: int, side: int) -> str:
    """The beginning (side 1) or the end (-1) of a text, of about `limit` tokens."""
    size = 0
    while limit > 0 and size < len(text):
        step = min(PIECE, len(text) - size)
        cost = _count(text[size : size + step] if side > 0 else text[len(text) - size - step : len(text) - size])
        size += step if cost <= limit else step * limit // cost
        limit -= cost
    return text[:size] if side > 0 else text[len(text) - size :]


def whole_sentences(text: str, limit: int) -> str:
    """As many sentences from the beginning of a text as fit; of a single endless one, as many words.

    Args:
        text: Any text.
        limit: In tokens.
    """
    if fits(text, limit):
        return text
    kept = _most(_SENTENCE.split(text.strip()), limit, " ")
    return kept or _most(text.split(), limit, " ") + " ..."


def _most(parts: list[str], limit: int, glue: str) -> str:
    kept = ""
    for part in parts:
        longer = f"{kept}{glue}{part}" if kept else part
        if not fits(longer, limit):
            break
        kept = longer
    return kept
