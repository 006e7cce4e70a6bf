"""The words in which the simulated model says, and recognises, results and expected answers."""

from __future__ import annotations

import re

from .tasks import LONGEST

CARRIED = re.compile(r"intermediate result is ([^\n\"]+?)(?= \(|\.(?:\s|$|[\"'])|[\"\n]|$)")
CARRIED_CUE = re.compile(r"intermediate result is \w+ \(([a-z ]+): ([^\n\"]*?)\)\.")
LOOSE = re.compile(r"seems that the answer is ([^\n]+?) (?:in total|here)\b")
ANSWERED = re.compile(r"\banswer[\"']?\s*(?:[:=]|\n)(?!\s*<)\s*[\"']?([^\n\"]{1,2000})")
_ANSWER = r"(?:expected|correct|right|true|gold|wanted|reference)(?: final)?(?: (?:answer|output|result|value|label))?"
# Prose is full of what looks like it: "How the output should have been different:" heads what is asked for, and "the
# wanted result: name what is missing" asks. So a colon makes a label only where the label begins what is said.
EXPECTED = re.compile(
    rf"(?:{_ANSWER}(?: is| was| should be| would be)"
    rf"|(?:^|[.,;({{\[\"'`>#*])[ \t]*(?:the )?{_ANSWER}(?::| =)"
    r"|should have (?:given|been(?! different\b)|said|answered))"
    r"\s*[\"'`\u201c]?([^\n;\"\u201d]{1,2000}?)"
    r"(?=[\n;\"\u201d`]|\.?[\"']?(?:\s*$|(?-i:\.\s+[A-Z]))|,? (?:but|not|and not)\b)",
    re.IGNORECASE | re.MULTILINE,
)


def unescaped(text: str) -> str:
    """A text that may be JSON, with its line ends and quotation marks as they were."""
    return text[:LONGEST].replace("\\n", "\n").replace('\\"', '"')
