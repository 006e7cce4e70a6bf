"""Is an answer a gradient? "Nothing must change", a refusal, a mere repetition, or a direction of change.

Small models repeat what they were shown more often than they answer: the output itself, the feedback, or what
they wrote for the neighbour. A repetition is no direction, and to pass it on would teach the wrong thing.
"""

from __future__ import annotations

import re

from .gradient import Severity

_THING = r"(?:changes?|modifications?|corrections?|adjustments?|revisions?|improvements?|alterations?|amendments?)"
_DONE = r"(?:changed?|modified|modify|corrected?|adjusted|revised?|altered?|different)"
_NO_CHANGE = re.compile(
    rf"\bno (?:further |other |such )?{_THING}(?: (?:is|are|was|were|to|in|of) \w+)*"
    rf"(?: (?:needed|necessary|required))?"
    rf"|\bno need (?:to|for)(?: an?)?(?: any)?(?: be)? ?(?:{_THING}|{_DONE})"
    rf"|\b(?:needs?|requires?) no (?:further )?{_THING}"
    rf"|\b(?:not|need not|needs not)(?: need| have| require)?(?: to)?(?: be)?(?: any)? (?:{_DONE}|{_THING})"
    rf"|\bnothing (?:at all )?(?:to|needs?|has|must|should|is|was)(?: to)?(?: be)? (?:{_DONE}|wrong|missing|needed)"
    r"|\b(?:should|can|must|may) (?:stay|remain|be kept|be left)(?: exactly)?"
    r" (?:as (?:it )?is|as it was|the same|unchanged)"
    r"|\b(?:is|was|are|were) (?:already )?(?:correct|fine|right|good|accurate|okay|ok) as (?:it is|is|they are)"
    r"|\bkeep (?:it |this |the \w+ )?(?:as (?:it )?is|unchanged)|\b(?:is|remains?|stays?) unchanged"
    r"|\b(?:is|was) (?:already |entirely |completely )?(?:correct|accurate|fine)$"
)
_CHANGE = re.compile(r"\b(should|must|instead|but|however|except|although|wrong|missing|incorrect)\b")
_NONE = {"none", "n a", "nothing", "no", "null", "nil", "ok", "okay"}
_REFUSAL = re.compile(
    r"\W*(?:(?:i am|i'm|we are)? ?(?:very |so )?sorry\b.{0,40}?)?(?:unfortunately,? )?"
    r"(?:as an? (?:ai|language model)\b"
    r"|(?:i|we)\b.{0,20}?(?:can ?not|can't|unable|won't|will not|not able|must decline)"
    r"\b.{0,40}?\b(?:help|assist|comply|answer|provide|fulfil|continue|discuss|engage|do that|do this))",
    re.IGNORECASE | re.DOTALL,
)
_WORD = re.compile(r"[^\W_]+(?:'\w+)?")
_FILLERS = """a an the this that it its is was are be been to of and or in on for as by with should would could must
have has had say said state stated give given output step result value answer text statement following instead there"""
_FILLER = set(re.findall(r"\w+", _FILLERS))
_MOST_CHARACTERS = 50_000
_MOST_WORDS = 400
"""So much of two texts is compared in their order: it takes time that grows with the square of the length."""
_LEAST_WORDS = 5
"""A shorter text that stands in a longer one may be a direction all the same: "12" in "the expected answer is 12"."""
_NEAR = 90
"""From this similarity of words in their order, in per cent, a text is taken for another one's repetition."""


def says_no_change(reply: str) -> bool:
    """Whether a reply is the legal answer that an output is fine as it is, and asks for nothing else."""
    # Read as a run of lower-case words: models decorate the phrase with asterisks, quotes and full stops.
    plain = " ".join(re.findall(r"[a-z']+", reply.casefold().replace("n't", " not").replace("\u2019", "'")))
    if plain in _NONE:
        return True
    # "No change needed to the count, but the unit should be metres" asks for a change after all.
    rest, found = _NO_CHANGE.subn(" ", plain)
    return bool(found) and not _CHANGE.search(rest)


def refuses(reply: str) -> bool:
    """Whether a reply declines to answer."""
    return bool(_REFUSAL.match(reply[:300]))


def is_blank(reply: str) -> bool:
    """Whether a reply holds no word at all."""
    return not _WORD.search(reply)


def words(text: str) -> list[str]:
    """The words of a text as comparisons see them, of a very long text those of its beginning."""
    return [word.casefold() for word in _WORD.findall(text[:_MOST_CHARACTERS])]


def repeats(reply: str, source: str) -> bool:
    """Whether a reply says nothing that a text does not say already: all of it again, or a passage of it.

    It does not as soon as one word of content is new: "there are 12 pears" beside "there are 11 pears" is
    nearly the same text and all the same a direction.
    """
    from rapidfuzz import fuzz

    mine, theirs = words(reply), words(source)
    if not mine or not theirs or set(mine) - set(theirs) - _FILLER:
        return False
    if [word for word in mine if word not in _FILLER] == [word for word in theirs if word not in _FILLER]:
        return True
    if len(mine) < _LEAST_WORDS:
        return False
    mine, theirs = mine[:_MOST_WORDS], theirs[:_MOST_WORDS]
    # The same words in another selection are a direction ("leave out the apples"), so a passage must be unbroken:
    # the partial ratio compares the reply with the best window of the source that is as long as the reply.
    return fuzz.ratio(mine, theirs) >= _NEAR or (len(mine) <= len(theirs) and fuzz.partial_ratio(mine, theirs) >= _NEAR)


def severity_of(reply: str) -> Severity:
    """The severity of a change that a reply names; "major" where it names none (small models do), or denies it."""
    named = next((word for word in words(reply) if word in ("none", "minor", "major")), "major")
    return "minor" if named == "minor" else "major"


def occurs_in(quote: str, text: str) -> bool:
    """Whether a quotation stands in a text, white space aside."""
    plain = " ".join(quote.split())
    return bool(plain) and plain in " ".join(text.split())
