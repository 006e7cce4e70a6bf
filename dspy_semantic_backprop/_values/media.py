"""Images, sounds and files: as parts of a message, and as the few words that stand for them in a text.

DSPy turns such a value into a marker in the text of a prompt and the marker into a part of the message. A text that
holds the marker would become a part too, with an address that the text chose. So in what we show, every marker is
replaced by a few words: what it is, how large, and a digest by which two of them can be told apart.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import dspy
from dspy.adapters.types.base_type import CUSTOM_TYPE_END_IDENTIFIER as _END
from dspy.adapters.types.base_type import CUSTOM_TYPE_START_IDENTIFIER as _START

_DEEPEST = 12
_MARKED = re.compile(f"{re.escape(_START)}(.*?){re.escape(_END)}", re.DOTALL)
_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*;base64,([A-Za-z0-9+/=_\s-]{64,})")
_NOT_MEDIA = frozenset({"text", "tool_calls"})
_CONTENT, _ABOUT = ("url", "data", "file_data", "file_id"), ("format", "filename", "media_type")
_SHORT = 200


def without_markers(text: str) -> str:
    """A text that no adapter makes anything else of: words in the place of DSPy's markers, and of encoded files."""
    if _START in text or _END in text:
        text = _MARKED.sub(lambda found: _of_payload(found[1].strip()), text)
        text = text.replace(_START, f"(({_START[2:-2]}))").replace(_END, f"(({_END[2:-2]}))")
    if "base64," in text:
        text = _DATA_URI.sub(lambda found: f"({found[1] or 'file'} {_digest(found[2])}: {_size(found[2])})", text)
    return text


def is_formatted(value: Any) -> bool:
    """Whether a value is of one of DSPy's types that say themselves what stands for them in a prompt."""
    return isinstance(value, dspy.Type) and type(value).format is not dspy.Type.format


def words_for(value: dspy.Type) -> str:
    """What stands for a value of one of DSPy's types in a text: the text that it is, or a few words about a file."""
    formatted = value.format()
    if isinstance(formatted, str):
        return without_markers(formatted)
    return _of_parts(formatted) if isinstance(formatted, list) else without_markers(json.dumps(formatted, default=str))


def name_of(value: Any) -> str:
    """The name of an image, a sound or a file, "image_3fa2c1", that no other content has; "" for other values."""
    try:
        parts = value.format() if isinstance(value, dspy.Type) else None
    except Exception:  # noqa: BLE001 - formatting is the type's own code
        return ""
    media = [part for part in parts if _is_media(part)] if isinstance(parts, list) else []
    return f"{_kind(media[0])}_{_digest(parts)}" if media else ""


def media_in(*values: Any) -> dict[str, Any]:
    """The images, sounds and files that values hold, each once: name -> value."""
    return {name: one for one in _inside(values, 0, ()) if (name := name_of(one))}


def _inside(value: Any, depth: int, above: tuple[int, ...]) -> Iterator[Any]:
    if isinstance(value, (str, bytes, int, float, type(None), type)) or depth > _DEEPEST or id(value) in above:
        return
    if isinstance(value, dspy.Type):
        yield value
        return
    if isinstance(value, (Mapping, dspy.Example)):
        inner: Any = [item for _, item in value.items()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = value
    elif is_dataclass(value):
        inner = [getattr(value, one.name, None) for one in fields(value)]
    elif hasattr(type(value), "model_fields"):
        inner = list(vars(value).values())
    else:
        return
    for item in inner:
        yield from _inside(item, depth + 1, (*above, id(value)))


def _of_payload(payload: str) -> str:
    for read in (json.loads, lambda text: json.loads(json.loads(f'"{text}"'))):
        try:
            parts = read(payload)
        except (ValueError, TypeError, RecursionError):
            continue
        return _of_parts(parts) if isinstance(parts, list) else without_markers(json.dumps(parts))
    return f"(an attachment that cannot be read, {len(payload):,} characters)"


def _of_parts(parts: Sequence[Any]) -> str:
    return "\n".join(_of_part(part, parts) for part in parts)


def _of_part(part: Any, parts: Sequence[Any]) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text":
        return without_markers(str(part.get("text", "")))
    if _is_media(part):
        return f"({_kind(part)} {_digest(parts)}: {', '.join(_described(part))})"
    source = part.get("source") if isinstance(part, Mapping) else None
    if isinstance(source, Mapping) and source.get("type") == "text":
        return without_markers("\n".join(str(one) for one in (part.get("title"), source.get("data")) if one))
    return without_markers(json.dumps(part, default=str, ensure_ascii=False))


def _is_media(part: Any) -> bool:
    if not isinstance(part, Mapping) or part.get("type") in _NOT_MEDIA:
        return False
    source = part.get("source")
    is_text = isinstance(source, Mapping) and source.get("type") == "text"
    return not is_text and any(name in _CONTENT for name, _ in _texts(part))


def _texts(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts inside a part of a message, with their names."""
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _texts(value)
        elif isinstance(value, str):
            yield name, value


def _kind(part: Mapping[str, Any]) -> str:
    kind = str(part["type"]).removeprefix("input_").removesuffix("_url")
    return re.sub(r"\W+", "_", kind) or "file"


def _described(part: Mapping[str, Any]) -> Iterator[str]:
    for name, text in _texts(part):
        known = _DATA_URI.fullmatch(text)
        if known is not None:
            yield f"{known[1] or 'file'}, {_size(known[2])}"
        elif name in _CONTENT and len(text) > _SHORT:
            yield _size(text)
        elif name in (*_CONTENT, *_ABOUT):
            yield without_markers(text)


def _size(encoded: str) -> str:
    size = len(encoded) * 3 // 4
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.0f} kB"


def _digest(content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
