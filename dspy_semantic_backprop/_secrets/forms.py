"""Secrets that are known by their form: in addresses, in headers, under a telling name, and keys of large providers."""

from __future__ import annotations

import base64
import re

from .looks import is_ordinary, looks_secret

HIDDEN = "[hidden]"
_SECRET = r"[\w.-]{0,40}(?:key(?!(?-i:[a-rt-z]))|token(?!s)|secret|passw|pwd|signature|sig|credential|auth)[\w.-]{0,40}"
_NAMED = (
    r"(?:(?:api|access|secret|private|signing|account)[-_]?key|passwor[dt]|passwd|pwd|secret|credentials?"
    r"|(?:access|refresh|auth|bearer|session|id)[-_]?token)"
)
_FORMS = (
    # -----BEGIN PRIVATE KEY-----, also without its end
    (
        re.compile(
            r"-----BEGIN[A-Z0-9 +%]{0,30}KEY-----(?:.{0,10000}?-----END[A-Z0-9 +%]{0,30}KEY-----|[\w+/=\s\\%]*)",
            re.DOTALL,
        ),
        HIDDEN,
    ),
    # https://hooks.slack.com/services/..., https://api.telegram.org/bot...
    (
        re.compile(r"(\b(?:hooks\.slack\.com/\w+|discord(?:app)?\.com/api/webhooks|api\.telegram\.org)/)[^\s\"'<>]+"),
        rf"\1{HIDDEN}",
    ),
    # https://user:password@host
    (re.compile(r"(?<=[a-zA-Z0-9+.-]://)[^\s/\"'<>]*@"), ""),
    # ?api_key=...&
    (
        re.compile(rf"([?&;]({_SECRET})=)[^&;\s\"'<>#]+", re.IGNORECASE),
        lambda found: found.group() if is_ordinary(found.group(2)) else found.group(1) + HIDDEN,
    ),
    # x-api-key: ...
    (
        re.compile(
            r"(\b(?:proxy-)?authorization\b[\"']?\s*[:=]\s*(?:b?[\"'])?(?:[a-z]+ +(?=\S))?"
            r"|\b(?:[\w-]{1,40}-)?(?:api|subscription)[-_]?key\b[\"']?\s*[:=]\s*(?:b?[\"'])?)"
            # What was hidden before is hidden alike: else an error that says where a key goes would be lost for it.
            # Nor is code: `os.environ["..."]`, `settings.api_key`.
            r"(?!\.\.\.|<|(?:none|null|true|false)\b|\w+(?:\.\w+)*[\[(]|(?-i:[a-z_]+(?:\.[a-z_]+)+\b))(?:\[hidden\]|[^\s\"',;}\])]+)",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # 'access_token': '...'
    (
        re.compile(
            rf"""((?<![a-z]){_NAMED}\\?["']?\s*[:=]\s*b?\\?["'])[^\s"'\\]{{6,}}""",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # password=..., MY_API_KEY: ..., --token ...; of these what has letters and digits or signs, and is no call
    (
        re.compile(
            rf"((?<![a-z])(?:{_NAMED}(?:=|: ?)|--(?:[\w-]{{0,40}}-)?(?:token|{_NAMED})[= ]))"
            r"(?![\w.]+[\[(])(?:(?=[^\s\"',;&(]*\d)(?=[^\s\"',;&(]*[a-z])[^\s\"',;&()\]}]{8,}(?!\()"
            r"|(?<==)(?=\w+[-!$%#@^*~])[^\s\"',;&()\]}]{12,})",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # Keys of large providers
    (
        re.compile(
            r"(?<![A-Za-z0-9])(?:gh[opsu]_\w{30,}|github_pat_\w{30,}"
            r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|hf_[A-Za-z0-9]{20,}|eyJ[\w-]{10,}\.[\w-]{4,}\.[\w-]*)"
        ),
        HIDDEN,
    ),
    # Those that words may begin like
    (
        re.compile(r"(?<![A-Za-z0-9])(?:sk-(?=[\w-]*\d)[\w-]{16,}|xox[a-z]-[\w-]{10,})"),
        lambda found: HIDDEN if looks_secret(found.group(), 1) else found.group(),
    ),
    # Bearer ..., and Basic ... if it is one
    (re.compile(r"(\bbearer +)(?=\S*\d)(?=\S*[a-z])[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(r"(\bbasic +)([\w+/=-]{8,})", re.IGNORECASE),
        lambda found: found.group(1) + HIDDEN if _is_login(found.group(2)) else found.group(),
    ),
)


def _is_login(encoded: str) -> bool:
    """Whether a text is user and password as HTTP writes them."""
    try:
        return b":" in base64.b64decode(encoded[: len(encoded) // 4 * 4], "-_" if set(encoded) & set("-_") else None)
    except ValueError:
        return False


def formless(text: str) -> str:
    """A text without what has the form of a secret."""
    for form, instead in _FORMS:
        text = form.sub(instead, text)
    return text
