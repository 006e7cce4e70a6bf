r"""What an instruction must not be given by anybody but its user: what nobody sees, addresses, commands to send data.

A proposing model may obey what stands in an example, in a metric's feedback or in another model's answer. The screen
is given every text that it writes; what the instructions of the start hold is the user's to say.

Addresses are looked for behind the usual disguises: in compatible letters, without what is invisible, with spaces
between letters, as "hxxp" and "[.]", percent-encoded, as entities, in base64 and as hexadecimal numbers. The names of
hosts that could as well be files or attributes ("main.py", "order.id") only count with a path, or behind "visit". A
command is told by its verb, by what is sent and by where to, within one sentence, in English and the languages of
`languages`; in others only the address tells.
"""

from __future__ import annotations

import base64
import contextlib
import html
import ipaddress
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mimetypes import MimeTypes
from urllib.parse import unquote

from rapidfuzz import fuzz

from .._terminal import hidden, printable, seen, spelled
from .orders import OUT_OF_DATA, Order, is_order, names_a_tool_of, orders
from .unread import stands_in

_ALIKE = 85
_SHOWN = 100
_SEARCHED = 20_000
_BLOB = 32
_FILES = MimeTypes()

_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_SURE = "com|org|net|edu|gov|mil|info|biz|onion|example|test|invalid|localhost|local|internal|xn--[a-z0-9-]+"
"""The generic domains of RFC 1591 and what is like them, those of RFC 6761, and those in other scripts."""
_HOST = re.compile(
    rf"(?:(?<![\w@/.\\:-])|(?<=[}}\])>]\.))(?!self\.)(?P<host>(?:{_LABEL}\.)+(?P<top>xn--[a-z0-9-]+|[^\W\d_]{{2,24}}))(?![\w(-])"
    r"(?P<rest>:\d{2,5}\b|(?=/[\w?#{<~.]|\?[\w]+=))?",
    re.I,
)
_GO_TO = re.compile(r"\b(?:visit|browse|navigate to|go to|contact|link to|promote|subscribe (?:at|to)) $", re.I)
_SECOND_LEVEL = re.compile(r"\.(?:com?|org|net|ac|gov|edu)\.[a-z]{2}$", re.I)
_END = " \t.,;:!?)]}>'\"*_`|\u2019\u201d\u3002\uff0c"
_LINKS = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        # An address with a scheme; a bare "https://" or "https://<host>" names none.
        r"(?<![\w+.-])[^\W\d_][\w+.-]*://[\w\[%@{][^\s\"'`<>]*",
        r"(?<![\w+.-])(?:mailto|javascript|vbscript|tel|sms|magnet|blob|intent|view-source):[\w+%?/(][^\s\"'`<>]*",
        r"(?<![\w+.-])file:///?\w[^\s\"'`<>]*",
        r"(?<![\w+.-])data:(?:[a-z]+/[\w.+-]+)?(?:;[\w=-]+)*,[^\s\"'`<>]+",
        r"(?<![\w:/.])//[\w-]+\.[\w.-]+[^\s\"'`<>]*",
        r"\\\\[\w-]+(?:\.[\w-]+)+\\[^\s]*",
        r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.(?:xn--[a-z0-9-]+|[^\W\d_]{2,24})(?!\w)",
        r"(?<!\w)www\d?\.[\w-]+\.[\w.-]+[^\s\"'`<>]*",
        r"!\[[^\]\n]*\]\(\s*[^)\s]*[/?]\w[^)\s]*\)|\]\(\s*<?(?:\.{0,2}/|\?)\w[^)\s]*\)",
        r"<\s*(?:a|img|script|iframe|object|embed|form|link|svg|audio|video)\b[^>\n]*\b(?:src|href|action|on[a-z]{4,})\s*="
        r"\s*[^>\s]+",
        r"\b0x[0-9a-f]{40}\b|\bbc1[0-9a-z]{25,59}\b",
        r"(?<![\w.])\+(?:[2-9]\d{8,14}\b|\d{1,3}[ ./-]\(?\d[\d ()./-]{5,}\d)",
    )
)
_IPV4 = re.compile(
    r"(?<!version )(?<!section )(?<!rule )(?<!chapter )(?<!clause )(?<!python )(?<!release )(?<!step )(?<!item )"
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)",
    re.I,
)
_IPV6 = re.compile(r"(?<![\w:])\[?(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}\]?(?![\w:])", re.I)
_PHONE = re.compile(
    r"\b(?:call|phone|dial|text|ring|fax|sms|whatsapp|message)\b[^.\n]{0,60}?"
    r"(?P<number>\+\d{1,3}[\d ().-]{6,}\d|\(?\b\d{3}\)?[-. ]\d{3}[-. ]\d{4}\b)"
    r"|\b(?:call|phone|dial|ring|fax)\b[^.\n]{0,20}?(?P<digits>\b\d[\d -]{6,}\d\b)",
    re.I,
)
_ACCOUNT = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_REFANGED = (
    (re.compile(r"\\/"), "/"),
    (re.compile(r"\bh(?:xx|\*\*)p(?=s?\b)", re.I), "http"),
    (re.compile(r"(?<=[^\W_])\s?[\[({<]\s?(?:\.|dot)\s?[\])}>]\s?(?=[^\W_])", re.I), "."),
    (re.compile(r"(?<=[^\W_])\s?[\[({<]\s?(?:@|at)\s?[\])}>]\s?(?=[^\W_])", re.I), "@"),
    (re.compile(r"[\[({<]\s?(://|:|/)\s?[\])}>]"), r"\1"),
    (re.compile(rf"(?<=[^\W_]) dot (?=(?:[a-z0-9-]+ dot )*(?:{_SURE}|[a-z]{{2}})\b)", re.I), "."),
    (re.compile(rf"(?<=[^\W_]) at (?=(?:{_LABEL}\.)+(?:{_SURE})\b)", re.I), "@"),
    (re.compile(r"\b(https?|ftp|wss?)\s*:\s*/\s*/\s*(?=[\w-]+(?:\s?\.\s?[\w-]+)+)", re.I), r"\1://"),
    (re.compile(rf"(?<=[^\W_])\s\.\s(?=(?:{_LABEL}\s\.\s)*(?:{_SURE})\b)", re.I), "."),
    (re.compile(r"(?<=\w)[\u3002\uff61](?=[a-z])", re.I), "."),
)
_SPACED = re.compile(r"(?<!\S)\S(?:[ \u00b7_-]\S){5,}(?!\S)")
_LEET = re.compile(r"\b(?=\w*\d)(?=\w*[a-z]{2})\w+", re.I)
_MEANT = str.maketrans("013457", "oieast")
_CODED = re.compile(r"(?<![\w+/=-])(?:[A-Za-z0-9+/_-]{16,}={0,2})(?![\w+/=])")

_DATA = (
    r"\b(?:users?|customers?|clients?|patients?|persons?|visitors?|callers?|people|inputs?|questions?|quer(?:y|ies)"
    r"|prompts?|conversations?|chats?|messages?|typed|wrote|said|answers?|outputs?|repl(?:y|ies)|texts?|contents?"
    r"|records?|data|everything|all|passwords?|secrets?|keys?|tokens?|credentials?|history|documents?|passages?"
    r"|requests?|names?|it|them)\b"
)
_THING = (
    r"(?:urls?|uris?|hyperlinks?|links?|(?:ip |e-?mail |web )?addresse?s?|endpoints?|(?:[a-z]+ )?servers?|web ?hooks?"
    r"|web ?sites?|web ?pages?|sites?|domains?|hosts?|inbox(?:es)?|mailbox(?:es)?|buckets?|pastebin|gists?|dropbox"
    r"|google (?:drive|forms?)|phone numbers?"
    r"|third[- ]part(?:y|ies)|attackers?|internet|query strings?"
    r"|(?:external|outside|foreign|remote) (?:[\w-]+ )?(?:services?|systems?|part(?:y|ies)|apps?|machines?"
    r"|compan(?:y|ies)|world|accounts?|apis?|recipients?))\b(?!`| (?:tool|step|module|agent|team|predictor|parser"
    r"|extractor|checker|classifier|desk|department|field|column|key|attribute|section|tag|property|box|argument|variable|list|node|text"
    r"|title|label|name)s?\b)"
)
_AWAY = (
    rf"(?:\s+(?!(?:and|or|nor|about|of|for|from|on|in|that|which|question|answer)\b)[\w'\u2019-]+){{0,4}}?\s+{_THING}"
)
_SENDING = (
    r"send(?:ing)?|forward(?:ing)?|upload(?:ing)?|transmit(?:ting)?|post(?:ing)?|submit(?:ting)?|e-?mail(?:ing)?|mail"
    r"|relay(?:ing)?|leak(?:ing)?|share|sharing|report(?:ing)?|deliver(?:ing)?|push|stream(?:ing)?|pass(?:ing)?|hand"
    r"|transfer(?:ring)?|publish(?:ing)?|copy|disclose|reveal|sell"
    r"|(?:be|are|is) (?:sent|forwarded|uploaded|transmitted|posted|submitted|mailed|relayed|shared|delivered|copied)"
)
_NO_NOUN = r"(?<!\bthe )(?<!\ba )(?<!\ban )(?<!\bthis )(?<!\bthat )(?<!\beach )"
_PUTTING = r"append|add|put|attach|embed|encode|insert|include|place|concatenate|paste|hide|smuggle"
_ASKING = r"fetch|open|load|call|ping|query|hit|visit|request|get"
_WITHIN = r"[^.!?;\n]"
_COMMANDS = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        rf"{_NO_NOUN}\b(?P<verb>{_SENDING})\b{_WITHIN}{{0,150}}?"
        rf"\b(?:to|onto|into|through|via){_AWAY}",
        rf"\b(?P<verb>share|sharing|disclose)\b{_WITHIN}{{0,60}}?\bwith{_AWAY}",
        rf"\b(?P<verb>{_PUTTING})\b{_WITHIN}{{0,60}}?{_DATA}{_WITHIN}{{0,50}}?"
        rf"\b(?:to|onto|into|in|as an? [\w -]{{0,30}}parameters? (?:of|to|in)){_AWAY}",
        rf"\b(?P<verb>{_ASKING}){_AWAY}{_WITHIN}{{0,60}}?"
        rf"\b(?:with|containing|carrying|plus|passing|including){_WITHIN}{{0,40}}?{_DATA}",
        r"\b(?P<verb>make|send|issue|perform|trigger|do)\s+(?:an?|one|the)\s+(?:[\w-]+\s+){0,2}request\b"
        rf"{_WITHIN}{{0,40}}?\b(?:with|that|which|containing|carrying|including|holding){_WITHIN}{{0,40}}?{_DATA}",
        r"\b(?:image|picture|pixel|icon|link)s?\s+whose\s+(?:\w+\s+){0,2}(?P<verb>url|link|address|source|src|query)\b"
        rf"{_WITHIN}{{0,60}}?{_DATA}",
        rf"\b(?P<verb>{_SENDING}|message)\b{_WITHIN}{{0,80}}?{_DATA}{_WITHIN}{{0,40}}?\b(?:to|in|on|at)"
        r"(?: the| a| our)? (?:#[a-z][\w-]+|@[a-z][\w-]+)",
        r"\b(?P<verb>exfiltrate)\b",
    )
)


@dataclass(frozen=True)
class Unasked:
    """Something in an instruction that nobody asked for.

    Args:
        what: What it is, in words.
        words: The words, with what is invisible spelled out.
        key: What it is looked for by, in the texts that it may come from.
    """

    what: str
    words: str
    key: str

    @property
    def readable(self) -> bool:
        """Whether a rule could read what it says, rather than only where it stands."""
        return self.what != OUT_OF_DATA

    @printable
    def __str__(self) -> str:
        return f"{self.what} ({self.words})"


class InjectionGuard:
    """Knows what the user's own texts hold.

    Args:
        own: The instructions that the user wrote, and what else the user asked for.
    """

    def __init__(self, own: Iterable[str]) -> None:
        texts = list(own)
        self._rows = {row for text in texts for row in hidden(text)}
        self._addresses = {_bare(one) for text in texts for one in _addresses(text)}
        self._commands = {kind for text in texts for kind, _ in _commands(_plain(text))}
        self._own = "\n".join(map(_plain, texts))
        self._orders = {one.kind for text in texts for one in _orders(text)}
        self._encoded = {one for text in texts for one in _encoded(text)}

    def unasked(self, text: str) -> tuple[Unasked, ...]:
        """What a text holds that none of the user's own holds: each once."""
        rows = [row for row in dict.fromkeys(hidden(text)) if row not in self._rows]
        found = [_invisible(rows, text)] if rows else []
        addresses = [one for one in _addresses(text) if not self._is_own(_bare(one))]
        found += [Unasked("an address", _quoted(one), _bare(one)) for one in dict.fromkeys(addresses)]
        commands = [words for kind, words in _commands(_plain(text)) if kind not in self._commands]
        found += [Unasked("a command to send data away", _quoted(one), one.lower()) for one in commands]
        found += [Unasked(one.what, _quoted(one.words), one.words.lower()) for one in self._strange(text) if one.sure]
        encoded = [one for one in _encoded(text) if one not in self._encoded]
        return (*found, *(Unasked("an encoded text", _quoted(one), one) for one in encoded if not addresses))

    def suspected(self, text: str) -> tuple[Unasked, ...]:
        """Orders that none of the user's own texts holds but a user may well give: where they come from decides."""
        strange = (one for one in self._strange(text) if not one.sure)
        found = (Unasked(one.what, _quoted(one.words), one.words.lower()) for one in strange)
        return tuple(one for one in found if one.readable or not stands(one, [self._own]))

    def _strange(self, text: str) -> list[Order]:
        strange = (one for one in dict.fromkeys(_orders(text)) if one.kind not in self._orders)
        return [one for one in strange if not names_a_tool_of(one, self._own)]

    def _is_own(self, address: str) -> bool:
        return any(
            one == address or (one.startswith(address) and one[len(address)] in "/?#:") for one in self._addresses
        )


def stands(found: Unasked, texts: Iterable[str]) -> bool:
    """Whether the very words stand in one of some texts; nearly the same words where no rule can read them."""
    plain = (" ".join(_plain(text[:_SEARCHED]).lower().split()) for text in texts)
    return any(found.key in text if found.readable else stands_in(found.key, text) for text in plain)


def origin(found: Unasked, places: Iterable[tuple[str, str]]) -> str:
    """The first of some places, each with its text, where something unasked for stands too; "" if there is none."""
    for place, text in places:
        if found.key in text:
            return place
        plain = _plain(text[:_SEARCHED]).lower()
        if found.key in plain or (" " in found.key and fuzz.partial_ratio(found.key, plain) >= _ALIKE):
            return place
        if found.key in (_bare(one) for one in _addresses(text[:_SEARCHED])):
            return place
    return ""


def _invisible(rows: list[str], text: str) -> Unasked:
    """Invisible characters, by name, and the words around the first of them."""
    counted = Counter(
        "a tag character" if "\U000e0000" <= one <= "\U000e007f" else _named(one) for one in "".join(rows)
    )
    names = [f"{times} times {name}" if times > 1 else name for name, times in counted.most_common(3)]
    names += ["..."] if len(counted) > 3 else []
    at = text.index(rows[0])
    around = spelled(text[max(0, at - 20) : at + len(rows[0]) + 20])
    return Unasked("characters that nobody sees", f"{', '.join(names)}, in {_quoted(around)}", rows[0])


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _quoted(text: str) -> str:
    text = spelled(" ".join(text.split()))
    return f'"{text}"' if len(text) <= _SHOWN else f'"{text[: _SHOWN - 3]}..."'


def _plain(text: str) -> str:
    """A text in compatible letters, without what is invisible."""
    return unicodedata.normalize("NFKC", seen(text))


def _bare(address: str) -> str:
    """An address as it is compared: without scheme and case."""
    return re.sub(r"^(?:https?:)?//|^mailto:|^www\.", "", address.lower())


def _disguised(text: str) -> Iterator[str]:
    """A text as it is, and what it is in plain words if it was disguised."""
    plain = _plain(text)
    refanged = _SPACED.sub(lambda run: re.sub(r"[ \u00b7_-]", "", run.group()), plain)
    for pattern, meant in _REFANGED:
        refanged = pattern.sub(meant, refanged)
    yield from dict.fromkeys((plain, refanged, html.unescape(unquote(plain, errors="ignore"))))
    for run in _CODED.finditer(plain):
        yield from _decoded(run.group())


def _decoded(run: str) -> Iterator[str]:
    """What a run of letters and digits says in base64, or as a hexadecimal number, where that is text."""
    digits, raw = run.rstrip("=").replace("+", "-").replace("/", "_"), []
    with contextlib.suppress(ValueError):
        raw.append(bytes.fromhex(run))
    with contextlib.suppress(ValueError):
        raw.append(base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)))
    for one in raw:
        said = one.decode("ascii", "ignore")
        if len(said) == len(one) and said.isprintable():
            yield said


def _orders(text: str) -> Iterator[Order]:
    for said in dict.fromkeys((*_disguised(text), _LEET.sub(lambda word: word.group().translate(_MEANT), text))):
        yield from orders(said)


def _encoded(text: str) -> list[str]:
    """Runs of letters and digits that are a text in another writing, or look like data in base64."""
    runs = dict.fromkeys(run.group() for run in _CODED.finditer(_plain(text)))
    return [run for run in runs if next(_decoded(run), None) is not None or _is_blob(run)]


def _is_blob(run: str) -> bool:
    """Whether a run looks like nothing but bytes in base64: no path and no name in camel case changes as often."""
    changes = sum(
        one.isdigit() != other.isdigit() or one.isupper() != other.isupper() for one, other in itertools.pairwise(run)
    )
    digits = len(re.findall(r"\d+", run))
    return len(run) >= _BLOB and digits >= 3 and changes >= len(run) / 3 and bool(re.search(r"[G-Zg-z]", run))


def _addresses(text: str) -> list[str]:
    """Links, hosts, e-mail and IP addresses, telephone numbers."""
    found: dict[str, None] = {}
    for shown in _disguised(text):
        for one in (*_linked(shown), *_hosts(shown), *_numbered(shown)):
            one = one.strip(_END + "(<[")
            if not any(one in other for other in found):
                found[one] = None
    return list(found)


def _linked(text: str) -> Iterator[str]:
    for pattern in _LINKS:
        for match in pattern.finditer(text):
            yield match.group()


def _hosts(text: str) -> Iterator[str]:
    for match in _HOST.finditer(text):
        host, top, rest = match["host"], match["top"], text[match.end("host") :]
        behind = re.split(r"[\s\"'`<>)]", rest, maxsplit=1)[0] if match["rest"] is not None else ""
        # "dspy.Example" is a name; EVIL.COM and evil.com are hosts.
        sure = re.fullmatch(_SURE, top, re.I) and (top.islower() or top.isupper() or not top.isascii())
        sure = sure or _SECOND_LEVEL.search(host) or _GO_TO.search(text[: match.start()][-40:])
        if sure or (behind and not _is_file(host, top, behind)):
            yield host + behind


def _is_file(host: str, top: str, behind: str) -> bool:
    """Whether what looks like a host and its path are two files, or two names: "train.csv/test.csv"."""
    # Nobody writes files for troff, and the messengers' short addresses end so.
    if _FILES.guess_type(host)[0] is not None and top.lower() != "me":
        return True
    first = re.split(r"[/?#]", behind.lstrip(":/"))[0]
    return first.lower().endswith(f".{top.lower()}") or (
        bool(re.fullmatch(r"\w+\.[a-z]+", first, re.I)) and len(top) > 3
    )


def _numbered(text: str) -> Iterator[str]:
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            said = match.group()
            try:
                ipaddress.ip_address(said.strip("[]"))
            except ValueError:
                continue
            # C++ writes "ab::cd".
            if pattern is _IPV4 or said.startswith("[") or sum(map(bool, said.split(":"))) > 2:
                yield said
    for match in _PHONE.finditer(text):
        number = match["number"] or match["digits"]
        if 7 <= sum(sign.isdigit() for sign in number) <= 15:
            yield number
    yield from (one.group() for one in _ACCOUNT.finditer(text) if _is_account(one.group()))


def _is_account(number: str) -> bool:
    """Whether the check digits of an international bank account number are right."""
    digits = number.replace(" ", "")
    return int("".join(str(int(sign, 36)) for sign in digits[4:] + digits[:4])) % 97 == 1


def _commands(plain: str) -> list[tuple[tuple[str, str], str]]:
    """Commands to send data away: their kind (verb, and the noun that says where to), and their words."""
    found: dict[tuple[str, str], str] = {}
    for pattern in _COMMANDS:
        for match in pattern.finditer(plain):
            if not is_order(plain, match):
                continue
            away = re.findall(_THING, match.group(), re.I)
            kind = (match["verb"].lower(), away[-1].lower() if away else "")
            found.setdefault(kind, " ".join(match.group().split()))
    return list(found.items())
