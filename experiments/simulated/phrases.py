"""The words in which the simulated model says, and recognises, results and expected answers."""

from __future__ import annotations

import re

from .tasks import LONGEST

CARRIED = re.compile(r"intermediate result is ([^\n\"]+?)(?= \(|\.(?:\s|$|[\"'])|[\"\n]|$)")
CARRIED_CUE = re.compile(r"intermediate result is \w+ \(([a-z ]+): ([^\n\"]*?)\)\.")
LOOSE = re.compile(r"seems that the answer is ([^\n]+?) (?:in total|here)\b")
ANSWERED = re.compile(r"\banswer[\"']?\s*(?:[:=]|\n)\s*[\"']?([^\n\"]{1,2000})")
# "How the output should have been different:" heads what is asked for; it names no answer.
EXPECTED = re.compile(
    r"(?:(?:expected|correct|right|true|gold|wanted|reference)(?: final)?"
    r"(?: (?:answer|output|result|value|label))?(?: is| was|:| =| should be| would be)"
    r"|should have (?:given|been(?! different\b)|said|answered))"
    r"\s*[\"'`\u201c]?([^\n;\"\u201d]{1,2000}?)"
    r"(?=[\n;\"\u201d`]|\.?[\"']?(?:\s*$|(?-i:\.\s+[A-Z]))|,? (?:but|not|and not)\b)",
    re.IGNORECASE | re.MULTILINE,
)


def unescaped(text: str) -> str:
    """A text that may be JSON, with its line ends and quotation marks as they were."""
    return text[:LONGEST].replace("\\n", "\n").replace('\\"', '"')
