"""Which names tell of a secret, and which values look like one."""

from __future__ import annotations

import re

TELLING = re.compile(
    r"key(?!(?-i:[a-rt-z]))|token(?!s)|(?:^|api_|access_|auth_)tokens$|secret|passw|passphrase|pwd|auth|headers|credential|cookie|client|engine"
    r"|bearer|webhook|signature|(?:^|_)(?:(?:jwt|dsn|sas|hmac|conn_?str|connection_string)(?:$|_)|(?:pat|pem|salt|pass)$)",
    re.IGNORECASE,
)
"""Names of what may hold a secret."""
_SURELY = re.compile(
    r"passw|passphrase|(?:^|[_-])(?:pwd|pass|jwt|pat|sas)$|secret|credential|bearer"
    r"|(?:api|access|private|secret|signing|account|encryption)[_-]?keys?$|[a-z][_-]?tokens?$",
    re.IGNORECASE,
)
"""Names of what is a secret, whether or not its value looks like one."""
_ORDINARY = re.compile(
    r"author(?!iz)|(?:eos|bos|pad|unk|sep|cls|mask|stop|next|prev|special|start|end|first|last)_token|(?:mon|don|tur|hoc|joc|whis)key|tokeniz|secretar|compass|bypass"
    r"|(?:answer|cache|sort|primary|foreign|partition|group|public|row|join|index|dedup\w*)[_-]?keys?$"
    r"|[a-z](?:[_-](?:name|type|count|len|length|path|file|dir|limit|size|usage|version|model)|(?<!key)_id)s?$",
    re.IGNORECASE,
)
"""Names of what is none, though a telling word stands in them."""
_SHORTEST, _LONG = 8, 12
"""Characters: shorter values are no secrets; from the second on one under a sure name is, whatever it looks like."""
_RUN = re.compile(r"[A-Za-z0-9]{4,}")
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LONGEST_PIECE = 4
"""Letters or digits: words and numbers are longer in the mean, what was drawn by chance changes sooner."""


def sureness(name: str) -> int:
    """How much a name tells of a secret: 0 nothing, 1 that it may hold one, 2 that it does."""
    if not TELLING.search(name) or is_ordinary(name):
        return 0
    return 2 if _SURELY.search(name) else 1


def is_ordinary(name: str) -> bool:
    """Whether a name is of something else, though a telling word stands in it."""
    return _ORDINARY.search(name) is not None


def looks_secret(text: str, sure: int) -> bool:
    """Whether a value looks like a secret, the sooner the more its name tells."""
    if len(text) < _SHORTEST or any(map(str.isspace, text)):
        return False
    if sure < 2 or "/" in text:  # the path of a file that holds a key is none
        return len(text) >= _LONG and _is_drawn(text)
    return len(text) >= _LONG or (
        not text.isalpha() and not text.isdigit() and re.search(r"[^\w.-]|\d", text) is not None
    )


def _is_drawn(text: str) -> bool:
    """Whether a text seems to be drawn by chance: no words, number, date, name of a model or of a file."""
    pieces = [found for run in _RUN.findall(text) if len(found := _PIECE.findall(run)) > 1]
    length = sum(len(piece) for found in pieces for piece in found)
    many = sum(map(len, pieces))
    return (
        length >= _SHORTEST and length <= _LONGEST_PIECE * many and any(map(str.isdigit, "".join(map("".join, pieces))))
    )
