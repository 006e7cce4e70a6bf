"""One page of HTML out of JSON values: inert whatever they hold, and cut to a size that opens at once.

The page is the bundle that `source/` is packed into, beside one block of data. Models wrote much of that data: it is
escaped so that no text of it ends the block, the page sets texts as text alone, and its Content-Security-Policy
lets no other script run, and nothing be fetched or sent.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import SetupError
from .._secrets.known import unsaid
from .._terminal import spelled

MOST_BYTES = 9_000_000
"""So large the data of a page may be, in bytes; beyond, its texts are cut."""
BOUNDS = (40_000, 8_000, 3_000, 1_500, 800, 400, 200, 100, 40)
"""Characters of one text that are shown, by the first bound with which the data is small enough: of examples alone,
and where that does not do, of all texts."""
_LONG = ("examples", "differing")
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main id="page"><noscript>This page needs JavaScript; it is in this file, and nothing is fetched.</noscript></main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""
_ESCAPED = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}


def save(path: str | os.PathLike[str], title: str, data: Mapping[str, Any]) -> Path:
    """Write a page with a title that shows JSON values; a file that is there is replaced."""
    target = Path(path)
    try:
        target.write_bytes(page(title, data).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise SetupError(f"the report cannot be written to {str(path)!r}: {error.strerror or error}") from None
    return target


def page(title: str, data: Mapping[str, Any]) -> str:
    """A page as text; half a pair of surrogates in it must be written as its escape."""
    script, style = (Path(__file__).with_name(name).read_text("utf-8") for name in ("report.js", "report.css"))
    return _PAGE.format(
        policy=_POLICY.format(script=_hash(script), style=_hash(style)),
        title=html.escape(spelled(title)),
        style=style,
        data=_small(unsaid(data)).translate(_ESCAPED),
        script=script,
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _small(data: Mapping[str, Any]) -> str:
    text = ""
    for most, everywhere in [*((one, False) for one in BOUNDS), *((one, True) for one in BOUNDS)]:
        shown = {name: _cut(value, most if everywhere or name in _LONG else BOUNDS[0]) for name, value in data.items()}
        shown["cut"] = {"characters": most, "everywhere": everywhere} if most < BOUNDS[0] else None
        text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode("utf-8", "replace")) <= MOST_BYTES:
            break
    return text


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str):
        left = len(value) - most
        return value if left <= 0 else f"{value[:most]} [{left:,} more characters are not in this page]"
    if isinstance(value, Mapping):
        return {_cut(name, most): _cut(item, most) for name, item in value.items()}
    return [_cut(item, most) for item in value] if isinstance(value, (list, tuple)) else value
