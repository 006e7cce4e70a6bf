"""Questions that take two searches: where a person was born, then a fact about that place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from .skills import Skill

PERSON = Skill(
    "person",
    "Search for the birthplace of the person first, naming the person in full.",
    r"birthplace of the person|(?:person|name) in full",
)
PLACE = Skill(
    "place",
    "Where the passages name the birthplace, search for the fact about that place, not for the person again.",
    r"not for the person again|fact about (?:that|the) (?:place|town)",
)
FACT = Skill(
    "fact",
    "Give the fact that is asked about the birthplace, not the birthplace itself.",
    r"not the birthplace itself|asked about the birthplace",
)
HOPS = (PERSON, PLACE, FACT)
QUESTION = re.compile(r"What is the ([a-z ]{3,30}) of the town where ([A-Z]\w+ [A-Z]\w+) was born\?")


def found_in(match: re.Match[str], has: Collection[str], passages: str = "") -> str:
    """The answer that some passages give; the place itself without the skill for it."""
    town, fact = _known(match, passages)
    return (fact if "fact" in has and fact else town) or "unknown"


def query(match: re.Match[str], has: Collection[str], passages: str | None) -> str:
    """What is searched for, first (None for the passages) or with some passages at hand."""
    relation, person = match[1], match[2]
    if passages is None and "person" not in has:
        return f"the {relation} of a town"
    town, _ = _known(match, passages or "")
    return f"the {relation} of {town}" if town and "place" in has else f"where was {person} born"


def lacking(match: re.Match[str], text: str, answered: Mapping[int, str]) -> Iterator[Skill]:
    """The skills that would have helped in a stretch of text that shows a question, what was searched, what was found.

    Args:
        match: The question.
        text: The stretch.
        answered: The wrong answers in it, by where they stand.
    """
    relation, person = match[1], match[2]
    if f"the {relation} of a town" in text:
        yield PERSON
    town, fact = _known(match, text)
    again = text.rfind(f"where was {person} born")
    if town and not fact and again > text.find(f"{person} was born in"):
        yield PLACE
    if fact and any(value.startswith(town) for value in answered.values()):
        yield FACT


def wanted(match: re.Match[str], shown: str, output: str, expected: str) -> tuple[str, tuple[Skill, ...]]:
    """What an output should have been, by all that is shown beside it and what was expected, and the skills for it."""
    relation, person = match[1], match[2]
    town, fact = _known(match, f"{shown}\n{output}")
    further, birth = f"the {relation} of {town or 'that place'}", f"where was {person} born"
    if f"the {relation} of a town" in output:
        return birth, (PERSON,)
    if birth in output:
        # Where a search went on from here, or its reader should have, the first one was right.
        done = fact or re.search(rf"the {relation} of (?!a town|the town)", f"{shown}\n{expected}")
        return (birth, ()) if done else (further, (PLACE,))
    if town and further in output:
        return further, ()
    return expected, (FACT,) if fact == expected else ()


def _known(match: re.Match[str], text: str) -> tuple[str, str]:
    """The person's town, and the fact about it, as far as a text says them; empty where it does not."""
    town = re.search(rf"{match[2]} was born in (\w+)\.", text)
    fact = re.search(rf"[Tt]he {match[1]} of {town[1]} is ([^.\n]+)\.", text) if town else None
    return town[1] if town else "", fact[1] if fact else ""
