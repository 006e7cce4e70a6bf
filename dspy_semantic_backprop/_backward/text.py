"""Texts that a question shows, and texts that it is answered with.

What is shown of a value is readable, bounded, and unable to pass for a part of the question itself. Why texts are
altered at all: a lone surrogate cannot be sent, a control or bidirectional character can make a prompt read otherwise
than it is written, and an output that holds an adapter's field marker would forge a field of the question. The altered
text still shows what stood there.

An answer may say "nothing must change", decline, merely repeat, or name a direction of change. Small models repeat what
they were shown more often than they answer: the output itself, or what they wrote for the neighbour. A repetition is no
direction, and to pass it on would teach the wrong thing. What was wanted, said again, is one: who wrote an output that
was read on the way has not heard it.
"""

from __future__ import annotations

import re
from typing import Any

from .._terminal import spelled
from .._values.text import readable
from .gradient import Severity

_MARKER = re.compile(r"\[\[(\s*##\s*\w+\s*##\s*)\]\]")
_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+")


def visible(text: str) -> str:
    """A text that can be sent as UTF-8: invisible characters spelled out, field markers defused, line breaks kept."""
    return _MARKER.sub(r"((\1))", spelled(text.replace("\r\n", "\n")))


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has.

    Estimated from words, digits and bytes, in linear time. Against the tokenizer of current OpenAI models the
    estimate is 1.2 times as many for English prose and Markdown, 1.3 for Chinese and source code, 0.8 for
    emoji and 0.7 for random letters and digits.

    Why no tokenizer: which one is right depends on the model, and importing LiteLLM for its own takes ten
    seconds of processor time, which no cap is worth.
    """
    return sum(_cost(match.group()) for match in _RUN.finditer(text))


def fits(text: str, limit: int) -> bool:
    """Whether a text has at most so many tokens."""
    # A character is estimated at most at two tokens, and a token from at most 16 characters: of most texts, and of a
    # megabyte, the length says enough.
    return 2 * len(text) <= limit or (len(text) <= 16 * limit + 1 and estimate_tokens(text) <= limit)


_RUN = re.compile(
    r"[A-Za-z]{1,64}|\d{1,3}|[^\S\n]{1,64}|\n{1,64}|[!-/:-@\[-`{-~]{1,64}|[^\x00-\x7f]{1,64}|.", re.DOTALL
)


def _cost(run: str) -> int:
    first = run[0]
    if first.isspace():
        return 0 if run == " " else 1 + len(run) // 16
    if first > "\x7f":
        return 1 + len(run.encode("utf-8", "replace")) * 2 // 5
    if first.isalpha():
        return 1 + ((len(run) - 1) // 7 if len(run) < 16 else len(run) // 3)
    return 1 if first.isdigit() else (len(run) + 1) // 2


def shown(value: Any, limit: int) -> tuple[str, int]:
    """A value as a question shows it, in so many tokens; and how many characters of it were left out."""
    text, left_out = clipped(readable(value), limit)
    # Spelling characters out makes a text longer.
    text, more = clipped(visible(text), limit)
    return text, left_out + more


def clipped(text: str, limit: int) -> tuple[str, int]:
    """A text of at most so many tokens; of a longer one its two ends, and how many characters were left out."""
    if fits(text, limit):
        return text, 0
    head = _end(text, limit // 2, 1)
    tail = _end(text[len(head) :], limit // 2, -1)
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left_out} characters are left out here ...]\n{tail}", left_out


def _end(text: str, limit: int, side: int) -> str:
    """The beginning (side 1) or the end (-1) of a text, of at most `limit` tokens."""
    # A token has rarely more than 16 characters; what is longer is runs of white space.
    part = text[: 16 * limit] if side > 0 else text[max(0, len(text) - 16 * limit) :]
    runs = [match.group() for match in _RUN.finditer(part)][::side]
    kept: list[str] = []
    for run in runs:
        limit -= _cost(run)
        if limit < 0:
            break
        kept.append(run)
    return "".join(kept[::side])


def whole_sentences(text: str, limit: int) -> str:
    """As many sentences from the beginning of a text as fit into a limit of tokens; of a single endless one, words."""
    if fits(text, limit):
        return text
    return _most(_SENTENCE.split(text.strip()), limit) or _most(text.split(), limit) + " ..."


def _most(parts: list[str], limit: int) -> str:
    kept = ""
    for part in parts:
        longer = f"{kept} {part}" if kept else part
        if not fits(longer, limit):
            break
        kept = longer
    return kept


_THING = r"(?:changes?|modifications?|corrections?|adjustments?|revisions?|improvements?|alterations?|amendments?)"
_DONE = r"(?:changed?|modified|modify|corrected?|adjusted|revised?|altered?|different)"
_NO_CHANGE = re.compile(
    rf"\bno (?:further |other |such )?{_THING}(?: (?:is|are|was|were|to|in|of) \w+)*"
    rf"(?: (?:needed|necessary|required))?"
    rf"|\bno need (?:to|for)(?: an?)?(?: any)?(?: be)? ?(?:{_THING}|{_DONE})"
    rf"|\b(?:needs?|requires?) no (?:further )?{_THING}"
    rf"|\b(?:(?:should|must) )?(?:not|need not|needs not)(?: need| have| require)?(?: to)?(?: be| been)?(?: any)?"
    rf" (?:{_DONE}|{_THING})"
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
_DEMAND = re.compile(r"\b(?:should|must|ought to|needs? to|has to|have to)\b", re.IGNORECASE)
_QUOTED = re.compile(r"`([^`]+)`|\"([^\"]+)\"|\u201c([^\u201d]+)\u201d|(?<!\w)'([^']+)'(?!\w)")
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
    nearly the same text and all the same a direction. So is another form of the same words, where it is demanded or
    stands alone: "it should be `PARIS`" beside "Paris", "`12`" beside "12."
    """
    from rapidfuzz import fuzz

    mine, theirs = words(reply), words(source)
    if not mine or not theirs or set(mine) - set(theirs) - _FILLER or _is_other_form(reply, source):
        return False
    if [word for word in mine if word not in _FILLER] == [word for word in theirs if word not in _FILLER]:
        return True
    if len(mine) < _LEAST_WORDS:
        return False
    mine, theirs = mine[:_MOST_WORDS], theirs[:_MOST_WORDS]
    # The same words in another selection are a direction ("leave out the apples"), so a passage must be unbroken:
    # the partial ratio compares the reply with the best window of the source that is as long as the reply.
    return fuzz.ratio(mine, theirs) >= _NEAR or (len(mine) <= len(theirs) and fuzz.partial_ratio(mine, theirs) >= _NEAR)


def _is_other_form(reply: str, source: str) -> bool:
    """Whether a reply is, or demands, the same words in other letters or signs than a text has them."""
    if _DEMAND.search(source):
        return False
    value = _demanded(reply)
    if value:
        return not re.search(rf"(?:^|: ){re.escape(value)}\s*$", source, re.MULTILINE)
    mine, theirs = (_WORD.findall(text[:_MOST_CHARACTERS]) for text in (reply, source))
    if not _DEMAND.search(reply) and any(word.casefold() in _FILLER for word in mine):
        return False
    # A sentence begins with a capital letter, which is no other form.
    known = {*theirs, theirs[0].lower()} if len(theirs) > 1 else set(theirs)
    known |= {mine[0]} if len(mine) > 1 else set()
    return any(word not in known and word.casefold() not in _FILLER for word in mine)


def _demanded(reply: str) -> str:
    """The one quotation that is all that a reply demands: "it should have been `12`"; empty where it demands more."""
    demand = _DEMAND.split(reply[:_MOST_CHARACTERS], maxsplit=1)[1:]
    quoted = _quotations(demand[0]) if demand else []
    rest = words(_QUOTED.sub(" ", demand[0])) if demand else []
    return quoted[0] if len(quoted) == 1 and not set(rest) - _FILLER else ""


def _quotations(text: str) -> list[str]:
    return [next(filter(None, groups)).strip() for groups in _QUOTED.findall(text)]


def demands_itself(reply: str) -> bool:
    """Whether a reply asks a thing to be what it is: "the output `12 pears` should have been `12 pears`"."""
    before, *after = _DEMAND.split(reply[:_MOST_CHARACTERS], maxsplit=1)
    if value := _demanded(reply):
        named = _quotations(before)
        return bool(named) and named[-1] == value
    parts = [[word for word in _WORD.findall(part) if word.casefold() not in _FILLER] for part in (before, *after)]
    return len(parts) > 1 and bool(parts[0]) and parts[0] == parts[1]


def severity_of(reply: str) -> Severity:
    """The severity of a change that a reply names; "major" where it names none (small models do), or denies it."""
    named = next((word for word in words(reply) if word in ("none", "minor", "major")), "major")
    return "minor" if named == "minor" else "major"


def occurs_in(quote: str, text: str) -> bool:
    """Whether a quotation stands in a text, white space aside."""
    plain = " ".join(quote.split())
    return bool(plain) and plain in " ".join(text.split())
