"""The signs by which a statement is judged, one for each of its attributes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from .skills import GAP, Skill

CUES: Mapping[str, Skill] = {
    "statement": Skill(
        "statement_cue",
        "Take sweeping words such as never, always or every single one as a reason for doubt.",
        r"sweeping|exaggerat|absolute (?:words?|claims?|terms?)",
    ),
    "job_title": Skill(
        "job_title_cue",
        "Take a job title outside public office, such as radio host or consultant, as a reason for doubt.",
        rf"(?:outside|not|without){GAP}public office",
    ),
    "state": Skill(
        "state_cue",
        "Take a state with a name of two words as a reason for doubt.",
        rf"(?:state|name){GAP}two words|two-word",
    ),
    "party": Skill(
        "party_cue",
        "Take a party label other than the two big ones as a reason for doubt.",
        rf"other than{GAP}(?:big|major|main)|neither{GAP}republican|(?:minor|third) part",
    ),
    "source": Skill(
        "source_cue",
        "Take a one-sided source, such as a mailer, an ad or an online post, as a reason for doubt.",
        rf"one-sided|(?:mailer|advert\w*|online post){GAP}(?:doubt|suspicio|unreliable)",
    ),
    "audience": Skill(
        "audience_cue",
        "Take an audience of the speaker's own supporters or donors as a reason for doubt.",
        rf"audience of{GAP}(?:supporters|donors)",
    ),
    "timing": Skill(
        "timing_cue",
        "Take a timing close to an election as a reason for doubt.",
        r"close to (?:an|the) election",
    ),
    "proof": Skill(
        "proof_cue",
        "Take the absence of any proof that can be checked as a reason for doubt.",
        r"(?:absence|lack) of (?:any )?proof",
    ),
    "history": Skill(
        "history_cue",
        "Take a history of retracted claims as a reason for doubt.",
        r"history of retract|retracted claims",
    ),
    "tone": Skill(
        "tone_cue",
        "Take a tone of outrage or mockery as a reason for doubt.",
        r"tone of (?:outrage|mock)",
    ),
}
_DOUBTFUL: Mapping[str, str] = {
    "statement": r"\b(?:never|always|every single|nobody|nothing|completely|not one|all of|100 percent)\b",
    "job_title": r"host|consultant|volunteer|strategist|blogger|activist|columnist|lobbyist|commentator",
    "state": r"^\W*[a-z]+ [a-z]+",
    "party": r"^(?!\W*(?:republican|democrat))",
    "source": r"e-?mail|\bpost|\bad\b|advert|mailer|tweet|blog|flyer|leaflet",
    "audience": r"donor|member|supporter",
    "timing": r"election",
    "proof": r"none|unnamed",
    "history": r"retracted",
    "tone": r"mock|outrage",
}
_CUE_LINE = re.compile(rf"(?:^[\s\"']*|[{{,] *\")({'|'.join(CUES)})[\"']?: [\"']?([^\n\"]{{1,2000}})", re.MULTILINE)


def parse_cues(text: str) -> dict[str, str] | None:
    """The attributes to judge by; beside just one other, the statement is only what it is about."""
    found = dict(_CUE_LINE.findall(text))
    if "statement" not in found:
        return None
    return {name: value for name, value in found.items() if name != "statement" or len(found) != 2}


def judge_cues(found: Mapping[str, str], has: Collection[str]) -> str:
    """Yes, it is a lie, where more than half of the attributes are signs that are known."""
    known = [name for name in found if CUES[name].name in has]
    doubts = sum(bool(re.search(_DOUBTFUL[name], found[name], re.IGNORECASE)) for name in known)
    return "yes" if doubts * 2 > len(found) else "no"
