r"""What an instruction must not be given by anybody but its user: what nobody sees, addresses, commands to send data.

A proposing model may obey what stands in an example, in a metric's feedback or in another model's answer. The screen
is given every text that it writes; what the instructions of the start hold is the user's to say.

Addresses are found by `addresses`. A command is told by its verb, by what is sent and by where to, within one sentence,
in English and the languages of `languages`; in others only the address tells. Any other sentence is nobody's but the
data's where an example's input holds the very same one.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rapidfuzz import fuzz

from .._terminal import hidden, printable, spelled
from .addresses import addresses_in, bare, defaced, disguised, encoded_in, named_in, plain_text, unleet
from .copied import OUT_OF_INPUTS, may_order
from .orders import OUT_OF_DATA, Order, is_order, names_a_tool_of, orders
from .unread import stands_in

_ALIKE = 85
_SHOWN = 100
_END = 20_000
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
_FOREIGN = (
    r"(?:web ?hooks?|pastebin|gists?|third[- ]part(?:y|ies)|attackers?|(?:external|outside|foreign|remote) (?:[\w-]+ )?"
    r"(?:services?|systems?|servers?|sites?|part(?:y|ies)|partners?|apps?|machines?"
    r"|compan(?:y|ies)|accounts?|apis?|recipients?))\b"
)
_OUTSIDE = (
    rf"\b(?:{_FOREIGN}|(?:[a-z]+ )?servers?\b|endpoints?\b|inbox\b|mailbox\b|operators? of\b)"
    r"(?!`| (?:team|desk|name|field))"
)
_SAID = (
    r"\b(?:users?['\u2019]s?|customers?['\u2019]s?|patients?['\u2019]s?"
    r"|questions?|quer(?:y|ies)|prompts?|conversations?|chats?|messages?|typed|wrote|asked"
    r"|inputs?|transcripts?|history|passwords?|secrets?|personal data|records?|answers|every answer)\b"
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
        rf"\b(?P<verb>ensure|make sure|see to it|let|have)\b{_WITHIN}{{0,40}}?{_OUTSIDE}{_WITHIN}{{0,40}}?"
        rf"\b(?:receives?|gets?|has|have|sees?|knows?|obtains?)\b{_WITHIN}{{0,40}}?{_SAID}",
        r"\b(?P<verb>give|hand|provide|supply|inform|notify|cc|bcc)\s+(?:(?:the|an?|this|that|our)\s+)?(?:[\w-]+\s+)??"
        rf"(?:{_OUTSIDE}|address|e-?mail)(?!['\u2019-]|\s+(?:that|which|whose|for|of|where|if|when|or|and|names?)\b)"
        rf"{_WITHIN}{{0,60}}?{_SAID}",
        rf"\b(?P<verb>write|log|save|store|export|sync|stream|dump|record|feed)\b"
        rf"(?! (?:no|nothing)\b){_WITHIN}{{0,80}}?"
        rf"{_SAID}{_WITHIN}{{0,40}}?\b(?:to|on|with|in|into|at)(?:\s+[\w'\u2019-]+)??\s+{_FOREIGN}",
        rf"\b(?P<verb>use|output|show|write|render|pass)\b{_WITHIN}{{0,60}}?{_SAID}{_WITHIN}{{0,50}}?"
        rf"\bas (?:an? )?[\w -]{{0,20}}parameters? (?:of|to|in){_AWAY}",
        rf"\b(?P<verb>use|open|show|load|call)\b{_WITHIN}{{0,40}}?\b(?:links?|urls?|images?|pictures?|pages?)\b"
        rf"{_WITHIN}{{0,40}}?"
        rf"\b(?:replac\w+|substitut\w+|filled)\b{_WITHIN}{{0,40}}?{_SAID}",
        rf"{_SAID}{_WITHIN}{{0,20}}?\b(?P<verb>(?:should|must|shall|has to|have to|needs? to) "
        rf"(?:end up|appear|go|be (?:put|placed|encoded|embedded|appended|added)))\b"
        rf"{_WITHIN}{{0,30}}?\b(?:in|into|to){_AWAY}",
        rf"\b(?P<verb>resolve|look up|query)\b{_WITHIN}{{0,40}}?{_SAID}{_WITHIN}{{0,40}}?\bsub-?domains?\b",
        r"\b(?:run|execute|start|call)\s+(?:[\w-]+\s+){0,2}[`\"']?"
        r"(?P<verb>curl|wget|nc|ncat|netcat|scp|rsync|iwr|bash)\b[^\n]{0,80}?"
        r"(?:\s(?:-[dFT]|--data\S*|--form|--upload-file|--post-\w+)\b|[\w.-]+ \d{2,5} *<|\S@\S+:|/dev/(?:tcp|udp)/)",
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
        self._own_texts = "\n".join(texts)
        self._rows = {row for text in texts for row in hidden(text)}
        self._addresses = {bare(one) for text in texts for one in addresses_in(text)}
        self._commands = {kind for text in texts for kind, _ in _commands(text)}
        self._own = "\n".join(map(plain_text, texts))
        self._orders = {one.kind for text in texts for one in _orders(text)}
        self._encoded = {one for text in texts for one in encoded_in(text)}
        # A text is looked at where it is proposed, and again where it is made a candidate.
        self.unasked, self.suspected = map(functools.lru_cache(64), (self._unasked, self._suspected))

    def _unasked(self, text: str) -> tuple[Unasked, ...]:
        """What a text holds that none of the user's own holds: each once."""
        rows = [row for row in dict.fromkeys(hidden(text)) if row not in self._rows]
        found = [_invisible(rows, text)] if rows else []
        marred = [one for one in defaced(text) if one not in self._own_texts]
        found += [Unasked("letters or blanks that hide something", ascii(one[:_SHOWN]), one) for one in marred]
        addresses = [one for one in addresses_in(text) if not self._is_own(bare(one))]
        found += [Unasked("an address", _quoted(one), bare(one)) for one in dict.fromkeys(addresses)]
        commands = [words for kind, words in _commands(text) if kind not in self._commands]
        found += [Unasked("a command to send data away", _quoted(one), one.lower()) for one in commands]
        found += [Unasked(one.what, _quoted(one.words), one.words.lower()) for one in self._strange(text) if one.sure]
        encoded = [one for one in encoded_in(text) if one not in self._encoded]
        return (*found, *(Unasked("an encoded text", _quoted(one), one) for one in encoded if not addresses))

    def _suspected(self, text: str) -> tuple[Unasked, ...]:
        """Orders that none of the user's own texts holds but a user may well give: where they come from decides."""
        strange = (one for one in self._strange(text) if not one.sure)
        found = [Unasked(one.what, _quoted(one.words), one.words.lower()) for one in strange]
        named = [one for one in named_in(text) if not self._is_own(bare(one)) and one not in self._own]
        found += [Unasked("an address that stands in the data", _quoted(one), bare(one)) for one in named]
        return tuple(one for one in found if one.readable or not stands(one, [self._own]))

    def sentences(self, text: str) -> tuple[Unasked, ...]:
        """Sentences that none of the user's own texts holds and that may be orders, whatever they say."""
        own = {said for said, _ in may_order(self._own)}
        found = [(said, words) for said, words in may_order(plain_text(text)) if said not in own]
        return tuple(Unasked(OUT_OF_INPUTS, _quoted(words), said) for said, words in found)

    def _strange(self, text: str) -> list[Order]:
        strange = (one for one in _orders(text) if one.kind not in self._orders)
        return [one for one in strange if not names_a_tool_of(one, self._own)]

    def _is_own(self, address: str) -> bool:
        return any(
            one == address or (one.startswith(address) and one[len(address)] in "/?#:") for one in self._addresses
        )


def searched(text: str) -> str:
    """What of a text is looked through: the two ends, as of a long one a proposing model is shown no more."""
    return text if len(text) <= 2 * _END else f"{text[:_END]}\n{text[-_END:]}"


def stands(found: Unasked, texts: Iterable[str]) -> bool:
    """Whether the very words stand in one of some texts; nearly the same words where no rule can read them."""
    plain = (" ".join(plain_text(searched(text)).lower().split()) for text in texts)
    return any(found.key in text if found.readable else stands_in(found.key, text) for text in plain)


def origin(found: Unasked, places: Iterable[tuple[str, str]]) -> str:
    """The first of some places, each with its text, where something unasked for stands too; "" if there is none."""
    for place, text in places:
        if found.key in text:
            return place
        plain = plain_text(searched(text)).lower()
        if found.key in plain or (" " in found.key and fuzz.partial_ratio(found.key, plain) >= _ALIKE):
            return place
        if found.key in (bare(one) for one in addresses_in(searched(text))):
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


@functools.lru_cache(64)
def _readings(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*disguised(text), unleet(text))))


@functools.lru_cache(64)
def _orders(text: str) -> tuple[Order, ...]:
    return tuple(dict.fromkeys(order for said in _readings(text) for order in orders(said)))


def _commands(text: str) -> list[tuple[tuple[str, str], str]]:
    """Commands to send data away: their kind (verb, and the noun that says where to), and their words."""
    found: dict[tuple[str, str], str] = {}
    for plain, pattern in itertools.product(_readings(text), _COMMANDS):
        for match in pattern.finditer(plain):
            if not is_order(plain, match):
                continue
            away = re.findall(_THING, match.group(), re.I)
            kind = (match["verb"].lower(), away[-1].lower() if away else "")
            found.setdefault(kind, " ".join(match.group().split()))
    return list(found.items())
