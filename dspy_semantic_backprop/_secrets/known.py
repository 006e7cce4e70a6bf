"""Secrets that are known by heart: what language models were given as credentials, and what was found beside an error.

Whoever meets a language model calls `learn_secrets`; from then on, in this process, these values stand in no text that
went through `cleaned`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Set
from enum import Enum
from typing import Any
from urllib.parse import unquote, urlsplit

from .forms import HIDDEN, formless
from .held import attributes
from .looks import TELLING, looks_secret
from .settings import HARMLESS

_SHORTEST, _UNMISTAKABLE, _LONG = 6, 12, 16
"""Characters: shorter values are left, since words would be; below the second only whole words are hidden; from the
third on the beginning of a value is enough, since errors shorten and mask keys."""
_BEGINNING = 8
_CHANGES = re.compile(r"(?<=[a-z])[A-Z]|(?<=[A-Z])[A-Z]")
"""Capitals within a value: a word has none, what was drawn by chance has."""
_PLAIN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
"""A word, as "ollama" is, which stands for a key that nobody asks for."""
_DEEPEST_SETTING = 5
_NAMES = re.compile(
    r"KEY|TOKEN(?!IZ)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|BEARER|COOKIE|WEBHOOK|LICEN[CS]E|_DSN$|_AUTH$|CONNECTION_STRING"
    r"|_(?:PAT|SAS|PASS|PWD|JWT|PEM|SALT)$"
)
"""Of environment variables that hold secrets."""
_NO_SECRETS = re.compile(r"_(?:FILE|PATH|DIR|NAME|DOMAIN)$")
"""Of environment variables that hold none, though they have such a name."""
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,20}://")
_LOGIN = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,20}://[^\s/@]*:[^\s/@]*@")
_LARGEST = 20_000
"""Characters: a longer text is no secret."""
_MOST = 200
"""So many secrets of what is at hand at once: more are data, and would make looking for them slow."""
_KEPT = 1000
"""So many are known at once, the newest: a token of its own for every request would make looking ever slower."""
_learned: dict[str, None] = {}
_learning = threading.Lock()
_CONTENT = ("messages", "prompt", "tools")
"""Arguments of a request that are the question itself."""
_SELECTIONS = ("_engine_spec", "_async_engine_spec")
"""What DSPy sends through, mostly by name; an engine of the user's own is looked at where an error comes from it."""


def learn_secrets(lm: Any, settings: Mapping[str, Any] | None = None) -> None:
    """Let the credentials of a language model, and of one request to it, stand in no text from now on."""
    given = {**(getattr(lm, "kwargs", None) or {}), **(settings or {})}
    given = {name: value for name, value in given.items() if name not in _CONTENT}
    held = {name: value for name, value in vars(lm).items() if TELLING.search(name) and name not in _SELECTIONS}
    model = str(getattr(lm, "model", ""))
    # A stand-in for a key, such as the model's own name, is no secret; nor is what any text may hold.
    _remember(text for text in (*texts(given), *texts(held)) if len(text) >= _SHORTEST and text not in model)


def _remember(found: Iterable[str]) -> int:
    """Let texts stand in no text from now on; returns how many were not known."""
    texts_found = list(found)
    with _learning:
        new = len(set(texts_found).difference(_learned))
        for one in texts_found:
            _learned.pop(one, None)
            _learned[one] = None
        for oldest in list(_learned)[: max(len(_learned) - _KEPT, 0)]:
            del _learned[oldest]
    return new


def credentials(lm: Any) -> set[str]:
    """The credentials in a language model's settings, by the names that they are held under, and in the environment."""
    given = getattr(lm, "kwargs", None) or {}
    found = {text for text in texts({name: one for name, one in _named(given) if TELLING.search(name)})}
    found |= {text for _, one in _named(given) if isinstance(one, str) and "://" in one for text in texts(one)}
    model = str(getattr(lm, "model", ""))
    return {one for one in found if len(one) >= _SHORTEST and one not in model} | _of_environment()


def _named(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings by name, those inside others too."""
    for name, value in settings.items():
        yield str(name), value
        if isinstance(value, Mapping):
            yield from _named(value)


def cleaned(text: str) -> str:
    """A text without the secrets that are known, or that stand in it in a known form."""
    return _replaced(formless(text), _of_environment().union(_learned))


def told(text: str) -> str:
    """What we say ourselves, as `cleaned`, but with plain words: a password may be one that our own sentences need.

    What others say in it has to be `cleaned` before.
    """
    return _replaced(formless(text), _unmistaken())


def _unmistaken() -> Set[str]:
    return {one for one in _of_environment().union(_learned) if not _PLAIN.fullmatch(one)}


def unsaid(value: Any) -> Any:
    """JSON values without the secrets that are known; a plain word, and what merely has the form of one, stays."""
    secrets = _unmistaken()
    # Where none stands anywhere, as nearly always, nothing is copied.
    said = json.dumps(value, default=str)
    return value if _replaced(said, secrets) == said else _unsaid(value, secrets)


def _unsaid(value: Any, secrets: Set[str]) -> Any:
    if isinstance(value, str):
        return _replaced(value, secrets)
    if isinstance(value, Mapping):
        return {_unsaid(name, secrets): _unsaid(item, secrets) for name, item in value.items()}
    return [_unsaid(item, secrets) for item in value] if isinstance(value, (list, tuple)) else value


def _replaced(text: str, secrets: Set[str]) -> str:
    # The longest first, for one may be a part of another. Each by itself: an expression of all is slow, and made anew
    # for every secret that is learned.
    for one in sorted(secrets, key=len, reverse=True):
        pattern, encoded = _ways(one)
        text = pattern.sub(HIDDEN, text)
        for way in encoded:
            text = text.replace(way, HIDDEN)
    return text


@functools.lru_cache(maxsize=2 * _KEPT)
def _ways(secret: str) -> tuple[re.Pattern[str], list[str]]:
    """How a secret may be written, and encoded."""
    return re.compile(_alternative(secret)), _encoded(secret)


def learn(found: Iterable[tuple[Any, int]]) -> None:
    """Let those texts that look like secrets, the sooner the surer their names are, stand in no text from now on."""
    many = 0
    for value, sure in found:
        if many > _MOST:
            break
        if len(value) > _LARGEST:
            continue
        if sure:
            parts = [*texts(value), *_path(value)]
            # Of a record in JSON not every part is a secret, whatever the name of the whole is.
            many += _remember(text for text in parts if looks_secret(text, 1 if text[:1] == "{" else sure))
        elif isinstance(value, str) and _LOGIN.match(value):
            many += _remember(text for text in texts(value) if looks_secret(text, 2))


def _path(value: Any) -> list[str]:
    """The parts of an address's path: of a webhook they are the secret, and under a telling name only."""
    text = value if isinstance(value, str) else ""
    return urlsplit(text).path.split("/") if _ADDRESS.match(text) else []


def _of_environment() -> set[str]:
    return _secrets_of(tuple(os.environ.items()))


@functools.lru_cache(maxsize=4)
def _secrets_of(environment: tuple[tuple[str, str], ...]) -> set[str]:
    found: set[str] = set()
    for name, value in environment:
        if len(value) < _BEGINNING or _NO_SECRETS.search(name.upper()):
            continue
        if _NAMES.search(name.upper()) and not (value.startswith("/") and not looks_secret(value, 1)):
            found.add(value)
            found.update(part for part in (*texts(value), *_path(value)) if looks_secret(part, 1))
        elif _LOGIN.match(value):
            found.update(part for part in texts(value) if looks_secret(part, 2))
    return found


def _encoded(secret: str) -> list[str]:
    """What stands in base64, wherever in the encoded text a secret begins, and in hexadecimal."""
    if len(secret) < _UNMISTAKABLE:
        return []
    one = secret.encode("utf-8", "replace")
    found = [one.hex(), one.hex().upper()]
    for before in range(3):
        # The first and last characters depend on what stands beside it.
        whole = base64.b64encode(bytes(before) + one).decode()
        start, end = (0, 2, 3)[before], len(whole) - (0 if (before + len(one)) % 3 == 0 else 4)
        found += [whole[start:end], whole[start:end].replace("+", "-").replace("/", "_")]
    return list(dict.fromkeys(found))


def _alternative(secret: str) -> str:
    whole = "".join(map(_spelled, secret))
    if len(secret) < _UNMISTAKABLE:
        return rf"(?<!\w){whole}(?!\w)"
    if len(secret) < _LONG or not any(map(str.isdigit, secret)) or any(map(str.isspace, secret)):
        return whole
    if secret[:_BEGINNING].isalpha() and len(_CHANGES.findall(secret[:_BEGINNING])) < 2:
        return whole  # a word, as "password" is, begins many texts
    beginning, rest = ("".join(map(_spelled, part)) for part in (secret[:_BEGINNING], secret[_BEGINNING:]))
    return rf"{beginning}(?:{rest}|[^\s\"',;)}}\]]*)"


@functools.lru_cache(maxsize=1024)
def _spelled(character: str) -> str:
    """A character as it may stand in an address, in a literal, in JSON, or in JSON that is quoted in JSON."""
    if character.isascii() and character.isalnum():
        return character
    backslashes = r"\\+" if character == "\\" else r"\\*" + re.escape(character)
    in_address = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "replace"))
    in_literal = rf"\\+(?:u{ord(character):04x}|x{ord(character):02x})"
    newline = r"|\\+n" if character == "\n" else ""
    return rf"(?:{backslashes}|(?i:{in_address}|{in_literal}){newline})"


def texts(value: Any, depth: int = 0) -> Iterator[str]:
    """The texts in a value, and the parts of each that may stand alone."""
    value = _opened(value)
    if isinstance(value, (str, bytes, bytearray)):
        yield from _parts(value if isinstance(value, str) else value.decode("latin-1"), depth)
        return
    if isinstance(value, int) and len(str(value)) >= _UNMISTAKABLE:
        yield str(value)
    for item in _items(value) if depth < _DEEPEST_SETTING else ():
        yield from texts(item, depth + 1)


def _opened(value: Any) -> Any:
    """What an Enum's member or pydantic's secret stands for."""
    # Asked of the class: an object may have a `__getattr__` of its own, which raises whatever it likes.
    value = value.get_secret_value() if hasattr(type(value), "get_secret_value") else value
    return value.value if isinstance(value, Enum) else value


def _items(value: Any) -> Iterator[Any]:
    """What a value holds; of an object the attributes with telling names."""
    if isinstance(value, Mapping):
        yield from (item for name, item in value.items() if name not in HARMLESS)
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif not isinstance(value, type) and not callable(value):
        yield from (item for name, item in attributes(value) if TELLING.search(name))


def _parts(text: str, depth: int) -> Iterator[str]:
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            yield from texts(json.loads(text), depth + 1)
    if "://" in text:
        # Of an address the secret parts only: errors are of no use without the host.
        yield from _of_address(text)
        return
    yield text
    # A certificate is shown line by line; a header holds the key behind the name of its scheme.
    yield from text.splitlines()
    key = text.partition(" ")[2]
    if " " not in key:
        yield key


def _of_address(text: str) -> Iterator[str]:
    try:
        address = urlsplit(text)
        user, password = address.username or "", address.password or ""
    except ValueError:
        return
    if user or password:
        pair = f"{unquote(user)}:{unquote(password)}"
        yield from (password, unquote(password), pair, base64.b64encode(pair.encode("utf-8", "replace")).decode())
    for pair in address.query.split("&"):
        yield pair.partition("=")[2]
