"""Graphs that the paper does not have: ten hints, retrieval in two hops, a router, a generator with a critic."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import dspy
from dspy.signatures import make_signature

CUES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "statement": (
        ("We never raised a single tax.", "Nobody ever voted for it.", "Every single road is broken."),
        ("The tax rose by two percent.", "The council voted for it in May.", "Two roads were repaired."),
    ),
    "job_title": (("Radio host", "Lobbyist", "Blogger"), ("Governor", "Senator", "Mayor")),
    "state": (("New Jersey", "North Dakota", "West Virginia"), ("Ohio", "Texas", "Maine")),
    "party": (("newsmaker", "independent", "libertarian"), ("democrat", "republican", "Democrat")),
    "source": (("a mailer", "an online post", "a TV ad"), ("a debate", "an interview", "a press conference")),
    "audience": (("paying donors", "party members", "supporters"), ("the parliament", "reporters", "the public")),
    "timing": (("the eve of the election", "election week"), ("mid term", "the spring session")),
    "proof": (("none", "an unnamed friend"), ("a census table", "a court ruling")),
    "history": (("retracted twice", "often retracted"), ("never questioned", "confirmed before")),
    "tone": (("mocking", "outraged"), ("calm", "matter-of-fact")),
}
"""Each attribute with values that are a sign of a lie, and values that are none."""
_JUDGED_BY = {
    "statement": "its own words",
    "job_title": "the speaker's job title",
    "state": "the speaker's state",
    "party": "the speaker's political party",
    "source": "the place where it was made",
    "audience": "its audience",
    "timing": "its timing",
    "proof": "the proof offered",
    "history": "the speaker's history",
    "tone": "its tone",
}
PLACES = json.loads((Path(__file__).parent / "places.json").read_text(encoding="utf-8"))
_WORD = re.compile(r"\w+")


class TenHints(dspy.Module):
    """Ten hints, each by one attribute of a statement, and a verdict from the hints."""

    def __init__(self) -> None:
        super().__init__()
        for name, by in _JUDGED_BY.items():
            read = dict.fromkeys(dict.fromkeys(("statement", name)), (str, dspy.InputField()))
            told = f"Judging by {by}, give a hint as to whether the statement is a lie."
            hint = make_signature({**read, "hint": (str, dspy.OutputField(desc="The hint."))}, told)
            setattr(self, f"hint_{name}", dspy.Predict(hint))
        read = {one: (str, dspy.InputField()) for one in ("statement", *(f"hint_{name}" for name in CUES))}
        said = (str, dspy.OutputField(desc="yes if the statement is a lie, no if it is not."))
        self.final = dspy.Predict(make_signature({**read, "answer": said}, "Decide whether the statement is a lie."))

    def forward(self, **given: str) -> dspy.Prediction:
        """Judge `statement` by it and nine other attributes."""
        hints: dict[str, Any] = {}
        for name in CUES:
            read = {one: given[one] for one in dict.fromkeys(("statement", name))}
            hints[f"hint_{name}"] = getattr(self, f"hint_{name}")(**read).hint
        return self.final(statement=given["statement"], **hints)


class MultiHop(dspy.Module):
    """Two searches in a small corpus, the second one with the passages of the first, and an answer."""

    def __init__(self) -> None:
        super().__init__()
        told = "Write a search query that helps to answer the question."
        self.first = dspy.Predict(make_signature("question -> query", told))
        self.second = dspy.Predict(make_signature("question, passages -> query", told))
        self.answer = dspy.Predict(make_signature("question, passages -> answer", "Answer from the passages."))

    def forward(self, question: str) -> dspy.Prediction:
        """Answer `question` from what the searches find."""
        passages = search(self.first(question=question).query)
        more = search(self.second(question=question, passages="\n".join(passages)).query)
        return self.answer(question=question, passages="\n".join(dict.fromkeys([*passages, *more])))


class Router(dspy.Module):
    """A question is sent to one of two steps, by what a first step says of it."""

    def __init__(self) -> None:
        super().__init__()
        route = dspy.OutputField(desc="Which step shall answer.")
        asked = (str, dspy.InputField())
        kinds = {"question": asked, "route": (Literal["amounts", "logic"], route)}
        self.route: Any = dspy.Predict(make_signature(kinds, "Say which step shall answer the question."))
        self.amounts = dspy.Predict(make_signature("question -> answer", "Work out the amount."))
        self.logic = dspy.Predict(make_signature("question -> answer", "Work out the truth value."))

    def forward(self, question: str) -> dspy.Prediction:
        """Answer `question`."""
        chosen = self.route(question=question).route
        return self.amounts(question=question) if chosen == "amounts" else self.logic(question=question)


class Critic(dspy.Module):
    """A draft, a note on the draft by a critic, and an answer from both."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = dspy.Predict(make_signature("question -> draft", "Draft an answer."))
        self.critic = dspy.Predict(make_signature("question, draft -> note", "Check the draft."))
        self.final = dspy.Predict(make_signature("question, note, draft -> answer", "Answer the question."))

    def forward(self, question: str) -> dspy.Prediction:
        """Answer `question`."""
        draft = self.generator(question=question).draft
        return self.final(question=question, note=self.critic(question=question, draft=draft).note, draft=draft)


def search(query: str, count: int = 2) -> list[str]:
    """The passages that share the rarest words with a query.

    Args:
        query: Any text.
        count: How many passages.
    """
    wanted = set(_WORD.findall(query.casefold()))
    scores = [sum(1 / _RARITY[word] for word in wanted & words) for words in _WORDS]
    best = sorted(range(len(scores)), key=lambda at: (-scores[at], at))[:count]
    return [PASSAGES[at] for at in best]


def _passages() -> list[str]:
    born = [f"{person} was born in {town}." for person, town in PLACES["people"].items()]
    towns = PLACES["towns"].items()
    return [*born, *(f"The {what} of {town} is {value}." for town, facts in towns for what, value in facts.items())]


PASSAGES = _passages()
_WORDS = [set(_WORD.findall(passage.casefold())) for passage in PASSAGES]
_RARITY = {word: sum(word in words for words in _WORDS) for word in set().union(*_WORDS)}
