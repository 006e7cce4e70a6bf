"""What a question shows of a value: readable, bounded, and unable to pass for a part of the question itself.

Why texts are altered at all: a lone surrogate cannot be sent, a control or bidirectional character can make
a prompt read otherwise than it is written, and an output that holds an adapter's field marker would forge a
field of the question. The altered text still shows what stood there.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .._graph.graph import jsonable

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters besides tab and line feed, marks of direction, other line ends, lone surrogates."""
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
    """A text that can be sent as UTF-8: invisible characters spelled out, field markers defused, line breaks kept."""
    text = _HIDDEN.sub(lambda hidden: f"\\u{ord(hidden.group()):04x}", text.replace("\r\n", "\n"))
    return _MARKER.sub(r"((\1))", text)


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has.

    Estimated from words, digits and bytes, in linear time. Against the tokenizer of current OpenAI models the
    estimate is 1.2 times as many for English prose and Markdown, 1.3 for Chinese and source code, 0.8 for
    emoji and 0.7 for random letters and digits.

    Why no tokenizer: which one is right depends on the model, and importing LiteLLM for its own takes ten
    seconds of processor time, which no cap is worth.
    """
    return sum(_cost(match.group()) for match in _RUN.finditer(text))


def fits(text: str, limit: int) -> bool:
    """Whether a text has at most so many tokens."""
    # No token is estimated from more than 16 characters: of a text of a megabyte that alone says enough.
    return len(text) <= 16 * limit + 1 and estimate_tokens(text) <= limit


_RUN = re.compile(
    r"[A-Za-z]{1,64}|\d{1,3}|[^\S\n]{1,64}|\n{1,64}|[!-/:-@\[-`{-~]{1,64}|[^\x00-\x7f]{1,64}|.", re.DOTALL
)


def _cost(run: str) -> int:
    first = run[0]
    if first.isspace():
        return 0 if run == " " else 1 + len(run) // 16
    if first > "\x7f":
        return 1 + len(run.encode("utf-8", "replace")) * 2 // 5
    if first.isalpha():
        return 1 + ((len(run) - 1) // 7 if len(run) < 16 else len(run) // 3)
    return 1 if first.isdigit() else (len(run) + 1) // 2


def shown(value: Any, limit: int) -> tuple[str, int]:
    """A value as a question shows it, in so many tokens; and how many characters of it were left out."""
    text, left_out = clipped(text_of(value), limit)
    # Spelling characters out makes a text longer.
    text, more = clipped(visible(text), limit)
    return text, left_out + more


def clipped(text: str, limit: int) -> tuple[str, int]:
    """A text of at most so many tokens; of a longer one its two ends, and how many characters were left out."""
    if fits(text, limit):
        return text, 0
    head = _end(text, limit // 2, 1)
    tail = _end(text[len(head) :], limit // 2, -1)
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left_out} characters are left out here ...]\n{tail}", left_out


def _end(text: str, limit: int, side: int) -> str:
    """The beginning (side 1) or the end (-1) of a text, of at most `limit` tokens."""
    # A token has rarely more than 16 characters; what is longer is runs of white space.
    part = text[: 16 * limit] if side > 0 else text[max(0, len(text) - 16 * limit) :]
    runs = [match.group() for match in _RUN.finditer(part)][::side]
    kept: list[str] = []
    for run in runs:
        limit -= _cost(run)
        if limit < 0:
            break
        kept.append(run)
    return "".join(kept[::side])


def whole_sentences(text: str, limit: int) -> str:
    """As many sentences from the beginning of a text as fit into a limit of tokens; of a single endless one, words."""
    if fits(text, limit):
        return text
    return _most(_SENTENCE.split(text.strip()), limit) or _most(text.split(), limit) + " ..."


def _most(parts: list[str], limit: int) -> str:
    kept = ""
    for part in parts:
        longer = f"{kept} {part}" if kept else part
        if not fits(longer, limit):
            break
        kept = longer
    return kept
