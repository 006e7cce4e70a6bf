"""Orders that no user of a program gives it: to drop its instructions, to write to a stranger, to hand out secrets.

Each is told by its verb and what it is about, within one sentence. What is forbidden ("never reveal ..."), asked about
("whether it says to ...") or told of another one ("the user asks to ...") is no order. Here are those in English.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .languages import foreign_orders
from .unread import deciphered, unread

DENIED = re.compile(
    r"(?:\b(?:never|not|without|avoid|cannot|no|nor|refuse to|refrain from)|n['\u2019]t)\s+"
    r"(?:(?!(?:and|but|then|instead|rather)\b)[\w'\u2019-]+\s+){0,3}$",
    re.I,
)
_AFTER_ALL = re.compile(
    r"\b(?:forget|fail|hesitate|neglect|omit|only|delay|exception|asking|telling|notice|matter)\b", re.I
)
_DENIALS = re.compile(r"\b(?:never|not|without|avoid|cannot|nor)\b|n['\u2019]t\b", re.I)
_TOLD_OF = re.compile(
    r"\b(?:whether|explain (?:what|how|why|when)|judge (?:if|how)|says? (?:if|that)"
    r"|(?:tells|asks|asked|urges|wants|told) (?:\w+ ){0,2}to)\b[^.]*$",
    re.I,
)
_ORDERED_AGAIN = re.compile(r"\b(?:and|then|but|also)\s+(?:then |also |always )?$", re.I)
_SPOKEN_OF = re.compile(
    r"\b(?:texts?|messages?|mails?|prompts?|attempts?|requests?|phrases?|sentences?|inputs?|instructions?|passages?"
    r"|orders?|commands?|demands?|words)\b[^.]{0,30}\b(?:such as|like|that|which|to|saying|say|ask(?:ing)?|tell(?:ing)?"
    r"|as)\b[^.]*$|[\"\u201c'`]\s*$",
    re.I,
)
_WITHIN = r"[^.!?;\n]"
_RULES = (
    r"(?:instructions?|prompts?|rules?|directions?|directives?|guidelines?|guardrails?|guidance|orders?|commands?"
    r"|polic(?:y|ies)|restrictions?|constraints?|safety (?:\w+ )?(?:rules?|checks?|filters?|measures?)|programming)\b"
)
_BEFORE = (
    r"(?:previous(?:ly)?|prior|preceding|earlier|former|foregoing|above|original|initial|existing|current|system(?:['"
    r"\u2019]s)?|developer(?:['\u2019]s)?|your|default|old|built[- ]in|hidden)"
)
_DROP = (
    r"(?:ignore|ignoring|disregard(?:ing)?|forget|override|overrule|bypass|neglect|drop|discard|skip|cancel|void"
    r"|set aside|pay no (?:attention|heed) to|stop (?:following|obeying)|no longer (?:follow|obey))"
)
_TELL = (
    r"(?:reveal|print|output|show|repeat|disclose|leak|expose|display|include|including|append|add|attach|insert|embed"
    r"|put|write|give|provide|return|report|send|state|tell|dump|list|quote|recite|copy|mention|hand over"
    r"|(?:reply|respond|answer|begin|start|end|finish) with)"
)
_SECRET = (
    r"(?:(?:api|access|secret|private|encryption|ssh|license)[ _-]?keys?|passwords?|passphrases?|credentials?"
    r"|(?:auth(?:entication|orization)?|access|bearer|session|refresh|secret) ?(?:tokens?|cookies?)|cookies?"
    r"|environment variables?|env vars?|connection strings?|seed phrases?|(?:credit )?card (?:numbers?|details?)"
    r"|social security numbers?|pin codes?|secrets)"
)
_TOPIC = (
    r"(?:polic(?:y|ies)|rules?|resets?|fields?|columns?|strength|requirements?|length|formats?|problems?|issues?"
    r"|questions?"
    r"|topics?|categor(?:y|ies)|labels?|names?|tags?|managers?|protection|types?|errors?|parameters?|arguments?"
    r"|placeholders?|sections?)"
)
_PLATFORM = (
    r"(?:telegram|whats ?app|signal|discord|skype|wechat|viber|instagram|twitter|slack|messenger|line id|matrix)"
)
_SENDS = (
    r"(?:send|post|upload|e?mail|forward|transmit|exfiltrate|leak|share|publish|transfer|pay|webhook|notify|sms|tweet)"
)
_DESTROYS = r"(?:delete|remove|drop|wipe|erase|exec|execute|shell|bash|system|eval|kill|grant|purge)"
_CALLS = "an order to call a tool that sends or destroys"
_TOOL = (
    r"\s+(?:(?:the|a|your|its|our|tool|function|action|method|also|always|first)\s+)*[`\"'(]*(?:\w+[._])*"
    r"(?:{0}(?:(?!_(?:times?|ids?|dates?|at|counts?|keys?|names?|types?|status)\b)_\w+|(?-i:[A-Z])\w+)|[a-z]+_{0}(?:_\w+)?)\b"
)
_PATTERNS = (
    (
        "an order to drop instructions",
        rf"\b(?P<verb>{_DROP})\s+(?:(?:about|of|all|any|every(?:thing)?|each|the|of the|these|those|my|our|and)\s+)*"
        rf"(?:{_BEFORE}\s+)(?:(?:and|or)\s+)?(?:{_BEFORE}\s+|[\w'\u2019-]+\s+){{0,2}}{_RULES}(?!['\u2019])",
    ),
    (
        "an order to drop instructions",
        rf"\b(?P<verb>{_DROP})\s+(?:all|any|every|the|these|those)\s+(?:of\s+)?(?:the\s+)?{_RULES}\s+"
        r"(?:above|before|so far|(?:that )?(?:you )?(?:were|have been|had been|are) (?:given|told)"
        r"|you (?:have|got|were))",
    ),
    (
        "an order to drop instructions",
        rf"\b(?P<verb>{_DROP})\s+(?:everything|all|anything|whatever)\s+(?:that\s+)?(?:(?:was|is|has been|you were|you"
        r" have been|(?:the |your )?(?:developer|system|operator|author)s?(?: ha[sd]| have)?)\s+)?"
        r"(?:(?:said|told|written|wrote|stated|given|gave|instructed|asked)\s+(?:you\s+)?)?"
        r"(?:earlier|above|before|so far|previously)\b"
        r"(?=\s*(?:[.,;:!?\n]|and\b|$))",
    ),
    (
        "an order to drop instructions",
        rf"\b(?P<verb>{_DROP})\s+(?:all\s+)?(?:of\s+)?the\s+(?:above|foregoing|(?:above|prior|preceding)\s+(?:text|prompt))"
        r"(?=\s*(?:[.,;:!\n]|(?:and|but)\b(?! (?:following|below))|$))",
    ),
    (
        "an order to drop instructions",
        rf"\b(?P<verb>{_DROP})\s+(?:about\s+)?your\s+(?:\w+\s+)?(?:task|job|role|purpose|training)"
        r"(?=\s*(?:[.,;:!\n]|and\b|$))",
    ),
    (
        "an order to drop instructions",
        rf"(?:^|[.!?;:\n])\s*(?P<verb>(?:all\s+|of\s+|the\s+|your\s+|these\s+){{1,3}}(?:{_BEFORE}\s+)?{_RULES}\s+(?:above\s+)?"
        r"(?:no longer apply|are (?:now )?(?:void|cancelled|revoked|obsolete|lifted)))(?=\s*(?:[.,;:!\n]|and\b|$))",
    ),
    (
        "an order to drop instructions",
        rf"\binstead of\s+(?:(?:the|your|these|all)\s+)+(?:{_BEFORE}\s+{_RULES}|{_RULES}\s+above){_WITHIN}{{0,20}}?"
        r"\b(?P<verb>follow|obey)\b",
    ),
    (
        "an order to show hidden text",
        rf"\b(?P<verb>{_TELL}|quoting|repeating|printing)\s+"
        r"(?:everything|all(?: of the)?(?: text)?|the (?:text|words))\s+"
        r"(?:that\s+(?:is|stands|was|comes)\s+)?(?:above|before|preceding)\s+(?:this|these)\s+\w+",
    ),
    (
        "an order to take another role",
        r"\b(?P<verb>you are now|act as|pretend to be|become|enter|switch to|enable|activate)\s+"
        r"(?:an?\s+|in\s+|the\s+)*"
        r"(?:dan\b|jailbroken|jailbreak|unrestricted|unfiltered|uncensored"
        r"|developer mode|god mode|debug mode|sudo mode)",
    ),
    (
        "an order to show hidden text",
        rf"\b(?P<verb>{_TELL})\s+(?:(?!(?:whether|if|how|why)\b)[\w'\u2019-]+\s+){{0,4}}?"
        r"(?:the|your|its|this|all|any)\s+(?:[\w-]+\s+)?"
        r"(?:(?:system|hidden|secret|developer|internal)\s+(?:prompt|instructions?|rules)|prompt verbatim)\b",
    ),
    (
        "an order to hand out secrets",
        rf"\b(?P<verb>{_TELL})\s+(?:(?!(?:how|why|whether|if|that|numbers?|counts?)\b)[\w'\u2019-]+\s+){{0,5}}?"
        r"(?:the|your|its|their|his|her|our|any|all|every|users?['\u2019]s?)\s+"
        rf"(?:(?!(?:how|to|numbers?|counts?)\b)[\w'\u2019-]+\s+){{0,2}}?{_SECRET}\b"
        rf"(?!\s+(?:of each|{_TOPIC})\b|['`\"])",
    ),
    (
        "an order to write to a stranger",
        rf"\b(?P<verb>{_PLATFORM})\b{_WITHIN}{{0,40}}?(?<![\w/.])@[a-z]\w{{3,}}\b"
        rf"|(?<![\w/.])@[a-z]\w{{3,}}\b{_WITHIN}{{0,30}}?\b(?:on|via|at|through|in)\s+{_PLATFORM}\b"
        rf"|\b{_PLATFORM}\s+(?:handle|account|channel|group|bot|user(?:name)?|id|contact)\s*"
        r"(?:is|named|called)?\s*[:=]?\s*"
        r"[\"'`(]?@?[a-z][a-z0-9.]*[_\d][\w.]*",
    ),
    (
        "an order to write to a stranger",
        r"\b(?P<verb>contact|message|dm|write to|reach out to|reach|ping|text|join|subscribe to|talk to|ask|tell|notify"
        r"|report to|send (?:it|them|this|that|everything|the \w+) to)\s+(?:us |me |them |him |her |it )?"
        r"(?:at |on |via )?"
        r"(?<![\w/.])@[a-z]\w{3,}\b",
    ),
    (
        _CALLS,
        rf"\b(?P<verb>call|invoke|use|run|execute|trigger|launch|fire){_TOOL.format(_SENDS)}",
    ),
    (
        _CALLS,
        rf"\b(?P<verb>call|invoke|execute|trigger|launch|fire){_TOOL.format(_DESTROYS)}",
    ),
    (
        "the marks of a chat",
        r"(?P<verb><\|[a-z_]{2,20}\|?>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>|</?tool_call>"
        r"|</?(?:system|human|assistant)>|<<custom-type-(?:start|end)-identifier>>|\[\[\s*#+\s*\w+\s*#+\s*\]\])",
    ),
)
OUT_OF_DATA = "a sentence that no rule can read, out of the data"
_IN_DATA = (
    (
        "an order that stands in the data",
        rf"\b(?P<verb>{_TELL})\s+(?:[\w'\u2019-]+\s+){{0,5}}?"
        rf"(?:system|hidden|secret|initial|original|confidential|{_SECRET})\s*"
        r"(?:prompt|instructions?|messages?|rules|configuration|settings)?\b",
    ),
    (
        "an order that stands in the data",
        r"\b(?P<verb>call|invoke|use|run|execute|trigger|launch|fire)\s+(?:(?:the|a|your|its|tool|function)\s+)*"
        r"[`\"'(]*(?:\w+[._(])+\w*",
    ),
    (
        "an order that stands in the data",
        rf"\b(?P<verb>from now on|you must(?: now)?|you will now|new (?:instructions?|rules?|task)\s*:|important\s*:"
        rf"|(?:respond|reply|answer|end|begin|start) (?:only |always )?with"
        rf"|always (?:answer|say|recommend|mention|add))"
        rf"{_WITHIN}{{8,80}}",
    ),
)
"""What a user may well ask for: it only counts where the very words stand in an example or in another answer."""
_ORDERS = tuple((what, re.compile(pattern, re.I), True) for what, pattern in _PATTERNS) + tuple(
    (what, re.compile(pattern, re.I), False) for what, pattern in _IN_DATA
)


def is_order(plain: str, match: re.Match[str]) -> bool:
    """Whether what was found in a text is told to whoever reads it, and neither forbidden nor another one's words."""
    at = match.start("verb") if match["verb"] is not None else match.start()
    start = max((plain.rfind(sign, 0, match.start()) for sign in ".!?;\n"), default=-1) + 1
    before = plain[start:at]
    denied = DENIED.search(before)
    if denied and not _AFTER_ALL.search(denied.group()) and len(_DENIALS.findall(before)) < 2:
        return False
    return not _TOLD_OF.search(before) or bool(_ORDERED_AGAIN.search(before))


@dataclass(frozen=True)
class Order:
    """An order in a text.

    Args:
        what: What it is.
        words: Its words.
        sure: Whether it is refused wherever it comes from; else where its words stand in the data that was shown.
        about: What it asks for; "" where its last word says so.
    """

    what: str
    words: str
    sure: bool
    about: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """What two orders have in common that ask for the same."""
        return self.what, self.about or self.words.lower().split()[-1]


def names_a_tool_of(order: Order, texts: str) -> bool:
    """Whether an order is to call a tool that some texts name: what an agent was given it may use."""
    name = order.words.lower().split()[-1].strip("`\"'(")
    return order.what == _CALLS and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", texts, re.I) is not None


def orders(plain: str) -> Iterator[Order]:
    """The orders in a text."""
    for what, pattern, sure in _ORDERS:
        for match in pattern.finditer(plain):
            start = max((plain.rfind(sign, 0, match.start()) for sign in ".!?;\n"), default=-1) + 1
            if is_order(plain, match) and not _SPOKEN_OF.search(plain[start : match.start()]):
                yield Order(what, " ".join(match.group().split()), sure)
    for what, words, about in foreign_orders(plain):
        yield Order(what, words, True, about)
    for words in unread(plain):
        if deciphered(words):
            yield Order("a text in cipher", words, True, words.lower())
        yield Order(OUT_OF_DATA, words, False, words.lower())
