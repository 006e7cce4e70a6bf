r"""Addresses in a text, behind the usual disguises: links, hosts, e-mail and IP addresses, telephone and bank numbers.

They are looked for in compatible letters, without what is invisible, with spaces between letters, as "hxxp" and "[.]",
percent-encoded, as entities, in base64 and as hexadecimal numbers. The names of hosts that could as well be files or
attributes ("main.py", "order.id") only count with a path, with a hyphen, behind "visit", or where they were disguised.
"""

from __future__ import annotations

import base64
import contextlib
import html
import ipaddress
import itertools
import re
import unicodedata
from collections.abc import Iterator
from mimetypes import MimeTypes
from urllib.parse import unquote

import regex

from .._terminal import seen

_FILES = MimeTypes()

_BLOB = 32
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_SURE = "com|org|net|edu|gov|mil|info|biz|onion|example|test|invalid|localhost|local|internal|xn--[a-z0-9-]+"
"""The generic domains of RFC 1591 and what is like them, those of RFC 6761, and those in other scripts."""
_NEW = (
    "lol|xyz|icu|vip|buzz|monster|quest|cyou|cfd|sbs|casino|bet|porn|xxx|dating|gift|gifts|loan|loans|bid|men|kim|guru"
    "|ninja|website|agency|club"
)
"""Newer generic domains that name neither files nor, behind a dot, much else."""
_BRANDS = "app|cloud|live|trade|win|pro|online|shop|tech|fun|life|today|digital|finance|party|science|dev|[a-z]{2}"
"""Those that name few attributes and files: they count where an example holds the very host."""
_OTHER = (
    "link|click|space|work|rest|date|stream|download|review|email|news|name|host|run|page|top|store|site|world|blog"
    f"|{_BRANDS}"
)
"""Those that name attributes and files as well: they count with a hyphen, or with letters that no code has."""
_SCRIPTS = (
    "\u0440\u0444|\u0431\u0435\u043b|\u0443\u043a\u0440|\u0441\u0440\u0431|\u0431\u0433|\u043c\u043a\u0434|\u049b\u0430\u0437|\u043c\u043e\u043d"
    "|\u043e\u0440\u0433|\u043a\u043e\u043c|\u0441\u0430\u0439\u0442|\u043e\u043d\u043b\u0430\u0439\u043d|\u03b5\u03bb|\u03b5\u03c5"
    "|\u4e2d\u56fd|\u4e2d\u570b|\u53f0\u7063|\u53f0\u6e7e|\u9999\u6e2f|\u516c\u53f8|\u7f51\u7edc|\u7f51\u5740|\u5728\u7ebf|\ud55c\uad6d"
    "|\u0645\u0635\u0631|\u0627\u0644\u0633\u0639\u0648\u062f\u064a\u0629|\u0627\u0645\u0627\u0631\u0627\u062a"
    "|\u0627\u06cc\u0631\u0627\u0646|\u0642\u0637\u0631|\u05d9\u05e9\u05e8\u05d0\u05dc|\u0e44\u0e17\u0e22|\u092d\u093e\u0930\u0924"
)
"""Domains of countries, and some others, in their own scripts."""
_CODE = re.compile(
    "py|rs|sh|md|pl|cc|ts|tf|ps|so|hs|ml|kt|go|js|st|vi|id|is|do|to|at|in|it|as|am|my|me|be|by|us|no", re.I
)
"""Countries whose domain is the ending of a file, or a word."""
_HOST = re.compile(
    rf"(?:(?<![\w@/.\\:-])|(?<=[}}\])>]\.))(?!self\.)(?P<host>(?:{_LABEL}\.)+(?P<top>xn--[a-z0-9-]+|[^\W\d_]{{2,24}}))(?![\w(-])"
    r"(?P<rest>:\d{2,5}\b|(?=/[\w?#{<~.]|\?[\w]+=))?",
    re.I,
)
_GO_TO = re.compile(
    r"\b(?:visit|browse|navigate to|go to|contact|link to|promote|subscribe (?:at|to)"
    r"|(?:curl|wget|iwr|irm|invoke-webrequest|nslookup|dig|ping|ssh|telnet|scp)(?: -{1,2}[\w-]+)*) $",
    re.I,
)
_MAILBOX = re.compile(r"(?<![\w.+@/-])[a-z][\w.+-]+@[a-z][\w-]+(?![\w.@/-])", re.I)
_NAMES_OF_CODE = frozenset({"asp.net", "ado.net", "vb.net", "ml.net"})
_SECOND_LEVEL = re.compile(r"\.(?:com?|org|net|ac|gov|edu)\.[a-z]{2}$", re.I)
_END = " \t.,;:!?)]}>'\"*_`|\u2019\u201d\u3002\uff0c"
_LINKS = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        # An address with a scheme; a bare "https://" or "https://<host>" names none.
        r"(?<![\w+.-])[^\W\d_][\w+.-]*://[\w\[%@{][^\s\"'`<>]*",
        r"(?<![\w+.-])(?:mailto|javascript|vbscript|tel|sms|magnet|blob|intent|view-source|skype|whatsapp|tg|viber"
        r"|facetime|callto|sips?|xmpp|bitcoin|ethereum|litecoin|monero|zoommtg|ms-[a-z]+|itms(?:-[a-z]+)?)"
        r":[\w+%?/(][^\s\"'`<>]*",
        r"(?<![\w+.-])file:///?\w[^\s\"'`<>]*",
        r"(?<![\w+.-])data:(?:[a-z]+/[\w.+-]+)?(?:;[\w=-]+)*,[^\s\"'`<>]+",
        r"(?<![\w:/.])//[\w-]+\.[\w.-]+[^\s\"'`<>]*",
        r"\\\\[\w-]+(?:\.[\w-]+)+\\[^\s]*",
        r"(?<![\w.+-])(?:[\w.+-]+|\"[^\"\s]+\")@[\w-]+(?:\.[\w-]+)*\.(?!tld\b)(?:xn--[a-z0-9-]+|[^\W\d_]{2,24})(?!\w)",
        r"(?<!\w)www\d?\.[\w-]+\.[\w.-]+[^\s\"'`<>]*",
        r"\b(?:background(?:-image)?\s*:|@import)\s*url\([^)\s]+|\bhttp-equiv\s*=\s*[\"']?refresh\b[^>\n]*",
        r"!\[[^\]\n]*\]\(\s*[^)\s]*[/?]\w[^)\s]*\)|\]\(\s*<?(?:\.{0,2}/|\?)\w[^)\s]*\)",
        r"<\s*[a-z][\w-]*\b[^>\n]*\b(?:src|href|(?:form)?action|poster|on[a-z]{4,})\s*="
        r"\s*[^>\s]+",
        r"(?<![\w.])0\d{1,3}(?:\.0\d{1,3}){1,2}\.0?\d{1,3}(?![\w.])|\$[a-z]\w{3,}\b(?=[^.\n]{0,30}\bcash ?app\b)",
        r"\b0x[0-9a-f]{40}\b|\bbc1[0-9a-z]{25,59}\b",
        r"(?<![\w.])(?:1[ .-]?)?\(\d{3}\) ?\d{3}[ .-]\d{4}\b",
        r"(?<![\w.,-])(?:1-\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})(?![\w,-]|\.\d)",
        r"\b1-8\d\d-[A-Z\d]{2,}-?[A-Z\d]{2,}(?:-[A-Z\d]+)*\b",
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
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_VALUE = {"oh": 0, **{word: value for value, word in enumerate(_DIGITS)}}
_SAID_DIGITS = re.compile(rf"\b(?:(?:{'|'.join(_VALUE)})[\s,.-]+){{6,14}}(?:{'|'.join(_VALUE)})\b", re.I)
_CARD = re.compile(r"(?<![\w-])[3-6](?:\d[ -]?){11,17}\d(?![\w-])")
_ESCAPED = re.compile(r"\\u00([0-9a-f]{2})|\\x([0-9a-f]{2})", re.I)
_DOT = r"(?:dot|point|period|punkt|punto|ponto|\u0442\u043e\u0447\u043a\u0430|\u70b9|\u9ede)"
_REFANGED = (
    (_ESCAPED, lambda match: chr(int(match[1] or match[2], 16))),
    (_SAID_DIGITS, lambda match: "".join(str(_VALUE[one]) for one in re.findall("[a-z]+", match.group().lower()))),
    (re.compile(r"(?<=\d)\s+(?:dot|\.)\s+(?=\d{1,3}(?:\s+(?:dot|\.)\s+\d|\b))", re.I), "."),
    (re.compile(r"(?<=[\w\"])\s?@\s(?=[\w-]+(?:\s?\.\s?[\w-]+)*\s?\.\s?[a-z]{2,24}\b)", re.I), "@"),
    # Behind a full stop that ends a sentence stands a capital letter.
    (
        re.compile(r"(?<=@)[\w-]+(?:\s\.\s?[\w-]+|\.[ \t](?=[^\WA-Z])[\w-]+|\.[\w-]+)+"),
        lambda match: "".join(match.group().split()),
    ),
    (re.compile("[\u2044\u2215\u29f8]"), "/"),
    (re.compile(r"(?<=\w)_dot_(?=\w)", re.I), "."),
    (re.compile(r"\\/|\s?[\[({<]\s?slash\s?[\])}>]\s?", re.I), "/"),
    (re.compile(r"(?<=[a-z0-9])DOT(?=[a-z])"), "."),
    (re.compile(r"(?<=[a-z0-9])AT(?=[a-z][a-z0-9-]*\.[a-z])"), "@"),
    (re.compile(rf"(?<=[^\W_]) {_DOT} (?=(?:com|org)\b)", re.I), "."),
    (re.compile(r"(?<=\w\.)(?:c0m|0rg|n3t)\b", re.I), lambda match: match.group().translate(_MEANT)),
    (re.compile(r"([\"'])(?:\s*[+.,&|]\s*|\s+(?:(?:and|then)\s+)?)\1", re.I), ""),
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
_SPACED = re.compile(r"(?<!\S)(?:\S(?:[ \u00b7_-]\S){5,}|[^\W\d_](?:[ \u00b7_-][^\W\d_]){2,})(?!\S)")
_LEET = re.compile(r"\b(?=\w*[013457])(?=\w*[a-z])(?!\d\w\b)[a-z013457]+\b", re.I)
_MEANT = str.maketrans("013457", "oieast")
_SMALL = dict(
    zip(
        "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d\u0274\u1d0f\u1d18\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21"
        "\u028f\u1d22",
        "abcdefghijklmnoprstuvwyz",
        strict=True,
    )
)
_FRAMED = {chr(start + at): chr(97 + at) for start in (0x1F1E6, 0x1F150, 0x1F170) for at in range(26)}
_DRAWN = str.maketrans(_SMALL | _FRAMED)
"""Letters that look like Latin ones and have no compatible form: small capitals, and those in frames and of flags."""
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u043c\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425"
    "\u03b1\u03b9\u03ba\u03bd\u03bf\u03c1\u03c5\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    "\u0585\u057d\u0578\u0570\u13a5\u13aa\u13ac\u13a0",
    "aeopcyxijshdmABEKMHOPCTXaikvopuABEHIKMNOPTYXounhiAED",
)
"""Cyrillic, Greek, Armenian and Cherokee letters, and the Latin ones that they are taken for."""
_MIXED = regex.compile(r"(?V1)(?=[\w.-]*\p{Latin})(?=[\w.-]*[\p{Cyrillic}\p{Greek}\p{Armenian}\p{Cherokee}])[\w.-]+")
_DEFACED = regex.compile(
    r"(?V1)(?:[\p{Latin}\p{Cyrillic}\p{Greek}]\p{Mn}{4,})+|(?:[\p{L}\p{Nd}][\u0334-\u0338]){2,}|[\u2800\ufffc\U0001d159]+"
    r"|[[\p{Zs}]--[\ \u3000]]{4,}|(?<=\S)(?:(?: +\t+){3,}|(?:\t+ +){3,})[ \t]*"
)
"""Letters under many marks or struck through, pictures of nothing, and rows of blanks that spell something."""
_CODED = re.compile(r"(?<![\w+/=-])(?:[A-Za-z0-9+/_-]{8,}={0,2})(?![\w+/=])")
_LONG = 16
"""Of shorter ones too many words and names are base64 of something."""
_WRAPPED = re.compile(
    r"(?<!\S)(?:[A-Za-z0-9+/]{0,80}(?:[a-z][A-Z]|[A-Za-z]\d|\d[A-Za-z])[A-Za-z0-9+/]{0,80}\s+)+[A-Za-z0-9+/]{1,80}={0,2}(?!\S)"
)
"""Base64 that blanks or lines part."""
_ROWS = tuple(
    (re.compile(row, re.I), re.compile(code, re.I), base)
    for row, code, base in (
        (r"(?:\b[01]{8}\b[\s,;]*){4,}", r"[01]{8}", 2),
        (r"(?:\\[0-7]{3}\s*){4,}", r"[0-7]{3}", 8),
        (r"(?:\b\d{2,3}\b[\s,;]+){5,}\d{2,3}\b", r"\d+", 10),
        (
            r"(?:(?:\bU\+0*|\\u\{?0*|\\x|&#x0*|=|\b0x|\b)[0-9a-f]{2}(?![0-9a-f])[\s,;:}-]*){4,}",
            r"[0-9a-f]{2}(?![0-9a-f])",
            16,
        ),
    )
)
"""Characters as rows of numbers: what such a row looks like, each number in it, and its base."""
_MORSE = re.compile(r"(?<!\S)(?=[.-]*(?:\s+[.-]+)*?\s+(?:\.+-|-+\.))(?:[.-]{1,6}[\s/|]+){7,}[.-]{1,6}(?!\S)")


def plain_text(text: str) -> str:
    """A text in compatible letters, without what is invisible and without marks on letters that are defaced."""
    if text.isascii():
        return seen(text)
    text = _DEFACED.sub(lambda row: regex.sub(r"\p{Mn}", "", row.group()), seen(text)).translate(_DRAWN)
    text = unicodedata.normalize("NFKC", text)
    return text if text.isascii() else _MIXED.sub(lambda word: word.group().translate(_ALIKE), text)


def defaced(text: str) -> list[str]:
    """Letters and blanks that are written to hide something."""
    return [] if text.isascii() and "\t" not in text else list(dict.fromkeys(_DEFACED.findall(text)))


def unleet(text: str) -> str:
    """A text with digits that stand for letters read as these."""
    return _LEET.sub(lambda word: word.group().translate(_MEANT), text)


def bare(address: str) -> str:
    """An address as it is compared: without scheme and case."""
    return re.sub(r"^(?:https?:)?//|^mailto:|^www\.", "", address.lower())


def disguised(text: str) -> Iterator[str]:
    """A text as it is, and what it is in plain words if it was disguised."""
    plain = plain_text(text)
    refanged = _SPACED.sub(lambda run: re.sub(r"[ \u00b7_-]", "", run.group()), plain)
    for pattern, meant in _REFANGED:
        refanged = pattern.sub(meant, refanged)
    turned = plain[::-1] if "//:" in plain else plain
    bare_letters = (
        plain if plain.isascii() else regex.sub(r"(?<=\p{Latin})\p{Mn}+", "", unicodedata.normalize("NFD", plain))
    )
    yield from dict.fromkeys((plain, refanged, html.unescape(unquote(plain, errors="ignore")), turned, bare_letters))
    for run in (*_CODED.finditer(plain), *_WRAPPED.finditer(plain)):
        yield from _decoded("".join(run.group().split()))
    for row, code, base in _ROWS:
        for run in row.finditer(plain):
            said = "".join(chr(int(one, base)) for one in code.findall(run.group()))
            yield from [said] if said.isprintable() else []


def _decoded(run: str) -> Iterator[str]:
    """What a run of letters and digits says in base64, or as a hexadecimal number, where that is text."""
    digits, raw = run.rstrip("=").replace("+", "-").replace("/", "_"), []
    with contextlib.suppress(ValueError):
        raw.append(bytes.fromhex(run))
    with contextlib.suppress(ValueError):
        raw.append(base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)))
    for one in raw:
        text = one.replace(b"\0", b"") if 2 * one.count(0) == len(one) else one
        said = text.decode("utf-8", "ignore")
        if said and said.encode() == text and said.isprintable() and (said.isascii() or _is_spoken(said)):
            yield said


def _is_spoken(text: str) -> bool:
    """Whether a text is mostly letters and blanks."""
    return sum(sign.isalpha() or sign == " " for sign in text) > 0.8 * len(text)


def encoded_in(text: str) -> list[str]:
    """Runs of letters and digits that are a text in another writing, or look like data in base64."""
    plain = plain_text(text)
    runs = dict.fromkeys(run.group() for pattern in (_CODED, _WRAPPED) for run in pattern.finditer(plain))
    found = [run for run in runs if len(run) >= _LONG or run.endswith("=")]
    said = [one for one in found if next(_decoded("".join(one.split())), None) is not None or _is_blob(one)]
    return [*said, *(run.group() for run in _MORSE.finditer(plain))]


def _is_blob(run: str) -> bool:
    """Whether a run looks like nothing but bytes in base64: no path and no name in camel case changes as often."""
    if len(run.split()) > 1:
        return False
    changes = sum(
        one.isdigit() != other.isdigit() or one.isupper() != other.isupper() for one, other in itertools.pairwise(run)
    )
    digits = len(re.findall(r"\d+", run))
    return len(run) >= _BLOB and digits >= 3 and changes >= len(run) / 3 and bool(re.search(r"[G-Zg-z]", run))


def addresses_in(text: str) -> list[str]:
    """Links, hosts, e-mail and IP addresses, telephone numbers."""
    found: dict[str, None] = {}
    for shown in disguised(text):
        for one in (*_linked(shown), *_hosts(shown, text), *_numbered(shown)):
            one = one.strip(_END + "(<[")
            if not any(one in other for other in found):
                found[one] = None
    return list(found)


def named_in(text: str) -> list[str]:
    """Hosts and mailboxes that may as well be something else: names of code, or of a version."""
    plain = plain_text(text)
    hosts = (
        one["host"] for one in _HOST.finditer(plain) if re.fullmatch(_BRANDS, one["top"]) and one["host"].islower()
    )
    named = [
        one
        for one in hosts
        if not _CODE.fullmatch(one.rsplit(".", 1)[1]) and (one.endswith(".ai") or _FILES.guess_type(one)[0] is None)
    ]
    return list(dict.fromkeys([*named, *(one.group() for one in _MAILBOX.finditer(plain))]))


def _linked(text: str) -> Iterator[str]:
    for pattern in _LINKS:
        for match in pattern.finditer(text):
            yield match.group()


def _hosts(text: str, original: str) -> Iterator[str]:
    for match in _HOST.finditer(text):
        host, top, rest = match["host"], match["top"], text[match.end("host") :]
        behind = re.split(r"[\s\"'`<>)]", rest, maxsplit=1)[0] if match["rest"] is not None else ""
        if host.lower() in _NAMES_OF_CODE:
            continue
        # "dspy.Example" is a name; EVIL.COM and evil.com are hosts.
        sure = re.fullmatch(f"{_SURE}|{_NEW}", top, re.I) and (top.islower() or top.isupper() or not top.isascii())
        sure = sure or (top.istitle() and re.fullmatch("com|org", top, re.I) and host[:-4].count(".") == 0)
        sure = sure or _SECOND_LEVEL.search(host) or _GO_TO.search(text[: match.start()][-40:])
        if sure or _is_strange(host, top, original) or (behind and not _is_file(host, top, behind)):
            yield host + behind


def _is_strange(host: str, top: str, original: str) -> bool:
    """Whether what looks like a host has letters or a hyphen that no code has, or was in other letters."""
    if re.fullmatch(_SCRIPTS, top) or (not original.isascii() and host not in original):
        return True
    known = re.fullmatch(_OTHER, top) is not None and host.islower() and _FILES.guess_type(host)[0] is None
    return known and (not host.isascii() or ("-" in host and not _CODE.fullmatch(top)))


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
    yield from (one.group() for one in _CARD.finditer(text) if _is_card(one.group()))


def _is_card(number: str) -> bool:
    """Whether the check digit of a payment card's number is right."""
    digits = [int(sign) for sign in reversed(number) if sign.isdigit()]
    doubled = [2 * one - 9 * (one > 4) for one in digits[1::2]]
    return 13 <= len(digits) <= 19 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_account(number: str) -> bool:
    """Whether the check digits of an international bank account number are right."""
    digits = number.replace(" ", "")
    return int("".join(str(int(sign, 36)) for sign in digits[4:] + digits[:4])) % 97 == 1
