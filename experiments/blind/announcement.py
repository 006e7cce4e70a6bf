"""An announcement of an event: the program, the briefs, the rubric and the rules."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dspy
from blind.rules import Case, Rule, always
from unseen.world import predict

HYPE = "It will be the most amazing event ever!"
FILLER = "Ask us for more details on how to get in."
FIRST = (
    "Lantern Harvest Winter Spring River Orchard Moonlight Market Harbour Meadow Cider Apple Kite Puppet Choir Organ "
    "Poetry Fiddle Dance Stone"
)
SECOND = "Walk Fair Night Concert Supper Reading Parade Workshop Picnic Ball"
PLACES = (
    ["Moss", "Ash", "Elder", "Fern", "Heath", "Raven", "Swan", "Thorn", "Wick", "Bram"],
    ["field", "ton", "bury", "stead", "ham"],
    ["Mill", "Hall", "Barn", "Chapel", "Quay"],
)
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
ACCESS = ["the yard entrance has no steps", "a lift is beside the cloakroom", "a ramp leads to the side door"]


class Announcement(dspy.Module):
    """Facts, four parts side by side, up to two rounds of criticism, a headline."""

    def __init__(self) -> None:
        super().__init__()
        self.gather = predict(
            "brief -> facts",
            "List the facts of the event from the brief, one on each line: event, place, date, time, price, contact.",
        )
        self.write = predict("facts, part -> paragraph", "Write the given part of the announcement from the facts.")
        self.criticise = predict(
            "brief, draft -> issues",
            "Criticise the draft of the announcement. Say 'No issues.' if there are none.",
        )
        self.revise = predict("draft, issues -> revised", "Revise the draft so that the issues are settled.")
        self.headline = predict("text -> title", "Write an attractive headline for the announcement.")

    def forward(self, brief: str) -> dspy.Prediction:
        """The parts are joined by code; without issues no more rounds are made."""
        facts = self.gather(brief=brief).facts
        names = ("programme", "tickets", "access", "contact")
        parts = [self.write(facts=facts, part=part).paragraph for part in names]
        draft = "\n".join(part for part in parts if part.strip() not in ("", "-"))
        for _ in range(2):
            issues = self.criticise(brief=brief, draft=draft).issues
            if issues.strip().startswith("No issues"):
                break
            draft = self.revise(draft=draft, issues=issues).revised
        return dspy.Prediction(text=draft, title=self.headline(text=draft).title)


def case(rng: random.Random, titles: list[str]) -> Case:
    """An event and the brief about it."""
    it = Case(key=titles.pop())
    first, second, third = PLACES
    it.place = rng.choice(first) + rng.choice(second) + " " + rng.choice(third)
    day = rng.randrange(1, 29)
    it.date = f"{day} {rng.choice(['May', 'June', 'July', 'September'])}"
    it.day, it.hour, it.price = rng.choice(DAYS), rng.choice([5, 6, 7, 8]), rng.choice([4, 6, 9, 12, 15])
    it.phone = f"0{rng.randrange(100, 999)} {rng.randrange(1000, 9999)}"
    it.access = rng.choice(ACCESS) if rng.random() < 0.6 else None
    it.refund = f"{max(1, day - 3)} {it.date.split()[1]}" if rng.random() < 0.55 else None
    it.hype = rng.random() < 0.5
    brief = [
        f"We plan the {it.key} at {it.place} on {it.date}, which is a {it.day}.",
        f"It begins at {it.hour} pm. Each visitor pays {it.price}, in euros. Questions to {it.phone}.",
        f"For those who cannot walk: {it.access}." if it.access else "",
        f"We take tickets back up to {it.refund}." if it.refund else "",
        HYPE if it.hype else "",
    ]
    it.example = dspy.Example(brief=" ".join(filter(None, brief))).with_inputs("brief")
    return it


@dataclass(frozen=True)
class Point:
    """A point of the rubric.

    Args:
        met: Whether a case's text and headline meet it.
        missed: What the feedback says if not.
        wanted: By which words it is known to be wanted.
        applies: Whether it is one of the case's points.
    """

    met: Callable[[str, str, Case], Any]
    missed: str
    wanted: str
    applies: Callable[[Case], Any] = always


RUBRIC = {
    "date": Point(lambda text, title, it: it.date in text, "The date is missing.", "date"),
    "weekday": Point(
        lambda text, title, it: f"{it.day}, {it.date}" in text, "The weekday is missing beside the date.", "weekday"
    ),
    "time": Point(
        lambda text, title, it: f"{it.hour + 12}:00" in text, "The time is not given in the 24-hour form.", "24-hour"
    ),
    "price": Point(
        lambda text, title, it: f"{it.price} euros per person" in text,
        "The price does not say the currency and that it is per person.",
        "per person",
    ),
    "contact": Point(lambda text, title, it: it.phone in text, "The telephone number is missing.", "telephone"),
    "access": Point(
        lambda text, title, it: it.access in text,
        "Access for wheelchairs is not mentioned although the brief describes it.",
        "wheelchair",
        lambda it: it.access,
    ),
    "refund": Point(
        lambda text, title, it: f"returned until {it.refund}" in text,
        "The last day for returning tickets is missing.",
        "returning tickets",
        lambda it: it.refund,
    ),
    "plain": Point(
        lambda text, title, it: "amazing" not in text,
        "The text advertises instead of informing ('amazing').",
        "advertis",
    ),
    "filler": Point(
        lambda text, title, it: "more details" not in text,
        "A sentence about access says nothing (filler).",
        "filler",
        lambda it: not it.access,
    ),
    "hplace": Point(
        lambda text, title, it: it.place in title,
        "The headline does not name the place.",
        "headline does not name|headline should name",
    ),
    "hshort": Point(
        lambda text, title, it: len(title.split()) <= 9, "The headline has more than nine words.", "nine words"
    ),
}

RULES = [
    Rule(
        "G1",
        "gather",
        lambda it: it.access,
        (
            "Also list what the brief says about access for wheelchairs or people who cannot walk.",
            "Add a line with the access for wheelchairs.",
        ),
        r"also list what the brief says about access|line with the access",
        ("List lifts.", r"list lifts"),
        ("Add a line on access even if the brief says nothing.", r"even if the brief says nothing"),
        lambda it: it.access,
        item="access",
    ),
    Rule(
        "G2",
        "gather",
        lambda it: it.refund,
        (
            "Also list the last day for returning tickets.",
            "Add a line with the day until which tickets can be returned.",
        ),
        r"also list the last day|line with the day until",
        ("List when tickets are cheaper or returned in June.", r"returned in june"),
        ("Add a line on returns, and guess the day if there is none.", r"guess the day"),
        lambda it: it.refund,
        item="refund",
    ),
    Rule(
        "W1",
        "write",
        always,
        ("Give prices with the currency and say that they are per person.", "Write a price as 'euros per person'."),
        r"with the currency and say|write a price as",
        ("Give the currency of prices above ten.", r"prices above ten"),
        ("Repeat the price in every part.", r"repeat the price"),
        item="price",
    ),
    Rule(
        "W2",
        "write",
        always,
        ("Give times in the 24-hour form, as 19:00.", "Write the time in 24-hour form."),
        r"times in the 24-hour|write the time in 24",
        ("Write evening times as numbers.", r"as numbers"),
        ("Give all times as exactly as seconds.", r"as seconds"),
        lambda it: f"{it.hour} pm",
        item="time",
    ),
    Rule(
        "W3",
        "write",
        lambda it: not it.access,
        (
            "If there are no facts for a part, write only a dash and no filler.",
            "Write '-' for a part without facts instead of a filler sentence.",
        ),
        r"only a dash and|write '-' for a part without",
        ("Leave the access part out for concerts.", r"for concerts"),
        ("Write a dash whenever a part has few facts.", r"few facts"),
        item="filler",
    ),
    Rule(
        "C1",
        "criticise",
        always,
        (
            "Demand the weekday beside the date, as the brief gives it.",
            "Check that the weekday stands with the date.",
        ),
        r"demand the weekday beside|that the weekday stands",
        ("Ask for the day if the date is hard to read.", r"hard to read"),
        ("Demand weekdays for all dates, also where the brief has none.", r"has none"),
        lambda it: it.day,
        item="weekday",
    ),
    Rule(
        "C2",
        "criticise",
        lambda it: it.hype,
        ("Object to advertising words such as amazing.", "Demand that advertising is taken out."),
        r"object to advertising words|demand that advertising",
        ("Object to the word ever.", r"the word ever"),
        ("Object to every adjective as advertisement.", r"every adjective"),
        item="plain",
    ),
    Rule(
        "V1",
        "revise",
        always,
        (
            "Keep every fact of the draft, such as the telephone number, when you revise.",
            "Do not drop the telephone number or other facts.",
        ),
        r"keep every fact|drop the telephone",
        ("Keep all numbers above a thousand.", r"above a thousand"),
        ("Change as little as possible, even if an issue remains.", r"even if an issue"),
        lambda it: it.phone,
        item="contact",
    ),
    Rule(
        "V2",
        "revise",
        lambda it: not it.hype,
        (
            "Do not add advertising where an issue asks for livelier words.",
            "Ignore wishes for style; never add advertising.",
        ),
        r"do not add advertising|never add advertising",
        ("Do not add two exclamation marks.", r"two exclamation"),
        ("Ignore all issues that ask for words.", r"ask for words"),
        item="plain",
    ),
    Rule(
        "H1",
        "headline",
        always,
        ("Name the place in the headline.", "The headline should name the event and its place."),
        r"name the place in the headline|the event and its place",
        ("Say where it is if it is a chapel or a mill.", r"chapel or a mill"),
        ("Name place, date, time and price.", r"date, time and price"),
        lambda it: it.place,
        item="hplace",
    ),
    Rule(
        "H2",
        "headline",
        always,
        ("Use at most nine words.", "Keep the headline to nine words or fewer."),
        r"at most nine|to nine words",
        ("Avoid headlines of more than two lines.", r"two lines"),
        ("Use three words.", r"three words"),
        item="hshort",
    ),
]
