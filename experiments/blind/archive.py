"""Look-ups in a village archive in two hops: code between the calls, one predictor called twice, token F1."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import dspy
from blind.rules import Case, Rule, draw, pick
from blind.world import Call, Metric, World
from unseen.world import predict

ENTRIES: dict[tuple[str, str], str] = {}
"""Section and name in small letters -> the numbered entries."""
SECTIONS = ("persons", "deeds", "guilds", "parish")
GIVEN = (
    "Anna Berta Clara Dora Emil Fritz Georg Hanna Ida Jakob Karl Lene Martin Nora Otto Paula Ruth Simon Tilda Viktor"
)
LAST = (
    "Amsel Birk Castor Dorn Eckert Falk Gruber Heller Imhof Jansen Keller Lorenz Maurer Nagel Oswald Petzold Quast "
    "Richter Seidel Thoma Ulmer Vogt Wirth Zander"
)
TOWNS = ["Marne", "Elfeld", "Oberau", "Rissen", "Talheim", "Windach"]
COUNTIES = ["Upper Vale", "Low March", "Salt Coast"]
TRADES = ["cooper", "tanner", "chandler", "wheelwright", "glazier", "saddler"]


def look_up(query: str) -> str:
    """The entries of the archive under `section: name`, as numbered lines."""
    section, _, name = query.partition(":")
    return ENTRIES.get((section.strip().lower(), name.strip().lower()), "No entry found.")


def enter(section: str, name: str, *entries: str) -> None:
    """Enter what there is under a name."""
    ENTRIES[section, name.lower()] = "\n".join(f"[{at}] {text}" for at, text in enumerate(entries, 1))


class Chronicle(dspy.Module):
    """A question about a relative of somebody: who it is, then what is asked of this person."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = predict(
            "question -> query",
            "Write the first look-up in the village archive for the question, as `section: name`. "
            "The sections are persons, deeds, guilds and parish.",
        )
        self.read = predict("question, passages -> note", "Note what the entries say that helps with the question.")
        self.follow = predict(
            "question, note -> next_query",
            "Write the second look-up, as `section: name`, for the person that the note names.",
        )
        self.reply = predict("question, first_note, second_note -> answer", "Answer the question from the two notes.")

    def forward(self, question: str) -> dspy.Prediction:
        """Two look-ups, each read, and the answer."""
        first = self.read(question=question, passages=look_up(self.plan(question=question).query)).note
        query = self.follow(question=question, note=first).next_query
        second = self.read(question=question, passages=look_up(query)).note
        answer = self.reply(question=question, first_note=first, second_note=second).answer
        return dspy.Prediction(answer=answer, second_query=query)


def case(rng: random.Random, names: list[str]) -> Case:
    """A question, its answer, and the entries that lead there and astray."""
    it = Case(key=names.pop())
    it.relation = rng.choice(["teacher", "uncle", "landlord", "godmother"])
    it.asked = rng.choice(["birthplace", "birthplace", "trade", "year of death"])
    given = it.key.split()[0]
    it.maiden = None if rng.random() < 0.78 else f"{given} {rng.choice(LAST.split())}"
    it.amended = rng.random() < 0.3
    it.double = it.asked == "year of death" and rng.random() < 0.6
    it.person, it.namesake = names.pop(), names.pop()
    sections = "deeds" if it.relation == "landlord" else "persons", "guilds" if it.asked == "trade" else "persons"
    it.section, it.next_section = sections
    it.entered = it.maiden or it.key
    it.town, county, year = rng.choice(TOWNS), rng.choice(COUNTIES), rng.randrange(1690, 1760)
    other_town, other_year = rng.choice(TOWNS), rng.randrange(1690, 1760)
    it.year = str(year)
    trade = rng.choice(TRADES)
    it.value = {
        "birthplace": f"{it.town}, {county}",
        "trade": trade,
        "year of death": str(year + 1) if it.double else it.year,
    }[it.asked]
    born = f" (née {it.maiden.split()[1]})" if it.maiden else ""
    it.question = f"What was the {it.asked} of the {it.relation} of {it.key}{born}?"
    first = f"17{rng.randrange(10, 19)}: {it.entered}, {it.relation} {it.namesake if it.amended else it.person}."
    entries = [first]
    if it.amended:
        entries.append(f"17{rng.randrange(20, 39)}, amended: {it.entered}, {it.relation} {it.person}.")
    enter(it.section, it.entered, *entries)
    buried = f"{year}/{str(year + 1)[2:]}" if it.double else it.year
    fact = {
        "birthplace": f"born at {it.town} in the county of {county}",
        "trade": f"sworn {it.value}",
        "year of death": f"buried {buried}",
    }[it.asked]
    enter(it.next_section, it.person, f"{it.person}, {fact}.")
    other_trade = rng.choice([one for one in TRADES if one != it.value])
    it.other = {"birthplace": other_town, "trade": other_trade, "year of death": str(other_year)}[it.asked]
    enter(it.next_section, it.namesake, f"{it.namesake}, {it.other}.")
    it.query, it.next_query = f"{it.section}: {it.entered}", f"{it.next_section}: {it.person}"
    wanted = dspy.Example(question=it.question, answer=it.value, entries=[it.query, it.next_query])
    it.example = wanted.with_inputs("question")
    return it


def overlap(given: str, wanted: str) -> float:
    """Token F1."""
    some, other = (re.findall(r"\w+", text.lower()) for text in (given, wanted))
    common = sum((Counter(some) & Counter(other)).values())
    return 2 * common / (len(some) + len(other)) if common else 0.0


RULES = [
    Rule(
        "P1",
        "plan",
        lambda it: it.relation == "landlord",
        (
            "Landlords are recorded in the section deeds.",
            "For a question about a landlord look under deeds, not under persons.",
        ),
        r"landlords are recorded|question about a landlord",
        ("Look under deeds if a house is mentioned.", r"if a house is"),
        ("Look under deeds for landlords, teachers and godparents alike.", r"teachers and godparents alike"),
        lambda it: "landlord",
    ),
    Rule(
        "P2",
        "plan",
        lambda it: it.maiden,
        (
            "A woman is entered under her maiden name, given with née.",
            "Use the maiden name behind née for the look-up.",
        ),
        r"under her maiden name|use the maiden name",
        ("Use the surname in brackets for names that are not found otherwise.", r"not found otherwise"),
        ("Use the last surname of the question.", r"last surname of the question"),
        lambda it: "née",
    ),
    Rule(
        "R1",
        "read",
        lambda it: it.amended,
        (
            "Where an entry was amended later, the amended one holds.",
            "Of two entries that differ, take the later, amended one.",
        ),
        r"was amended later|take the later, amended",
        ("If two entries have the same year, take the second.", r"the same year"),
        ("Always take the last entry.", r"always take the last"),
        lambda it: "amended",
        lambda it: f"{it.relation} is {it.namesake}",
    ),
    Rule(
        "R2",
        "read",
        lambda it: it.double,
        (
            "Of a double year such as 1712/13 the second one counts.",
            "A year written 1712/13 means the second year.",
        ),
        r"(double year|1712/13)[^.]*second",
        ("A year that is written in two ways is the later one in deeds.", r"later one in deeds"),
        ("Add one to every year.", r"add one to every"),
        lambda it: f"{it.year}/",
        lambda it: f"is {it.year}",
    ),
    Rule(
        "N1",
        "follow",
        lambda it: it.asked == "trade",
        ("Trades are recorded in the section guilds.", "To find somebody's trade look under guilds."),
        r"trades are recorded|somebody's trade",
        ("Coopers and tanners are found in the guilds.", r"coopers and tanners"),
        ("Look under guilds unless the question says otherwise.", r"unless the question says"),
        lambda it: "trade",
        lambda it: f"persons: {it.person}",
    ),
    Rule(
        "A2",
        "reply",
        lambda it: it.asked == "birthplace",
        (
            "Give a birthplace with its county, separated by a comma.",
            "Name the county behind the town of birth.",
        ),
        r"with its county|name the county behind",
        ("Name the region of towns that occur twice.", r"occur twice"),
        ("Add where it lies to every answer.", r"where it lies"),
        lambda it: it.town,
    ),
    Rule(
        "A1",
        "reply",
        lambda it: draw("B", it.key, "fmt") < 0.4,
        (
            "Answer with the bare value only, not with a sentence.",
            "Write nothing but the name, trade or year that was asked for.",
        ),
        r"bare value|nothing but the",
        ("Do not begin with a greeting.", r"begin with a greeting"),
        ("Answer with one word.", r"with one word"),
        wrong=lambda it: f"The {it.asked} of the {it.relation} of {it.key} was",
    ),
]


class Archive(World):
    """Five calls an execution; the feedback names the answer and, after a wrong look-up, the entries that hold it."""

    name, letter, last = "archive", "b", "reply"
    program = Chronicle
    key = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b")
    count, calls = 20, 5.0

    def __init__(self) -> None:
        rng = random.Random(1789)
        names = [f"{a} {b}{c}" for a in GIVEN.split() for b in LAST.split() for c in ("", "er", "mann")]
        rng.shuffle(names)
        super().__init__(RULES, [case(rng, names) for _ in range(400)])

    def case_of(self, text: str) -> Case | None:
        """The case that a question is about; without a question the first that is named."""
        asked = re.search(r"of the \w+ of ([A-Z][a-z]+ [A-Z][a-z]+)", text)
        return self.by_key.get(asked[1]) if asked else super().case_of(text)

    def below(self, predictor: str) -> list[str]:
        """The chain goes on to the reply."""
        order = list(self.start)
        return order[order.index(predictor) + 1 :]

    def right(self, it: Case, predictor: str) -> list[str]:
        """The look-up, the note or the answer."""
        notes = [f"{it.relation} is {it.person}", f"{it.asked} is {it.value}"]
        known = {"plan": [it.query], "read": notes, "follow": [it.next_query]}
        return known[predictor] if predictor in known else self.final(it)[:3]

    def final(self, it: Case) -> list[str]:
        """The answer as a metric or a record of it shows it."""
        quoted = [f"'{it.value}'", f"should have been {it.value}", f'"answer": "{it.value}"']
        return [*quoted, f"{it.asked} is {it.value}"]

    def level(self, it: Case, predictor: str, rule: Rule | None, text: str) -> str | None:
        """The right second look-up names the person that should have been read."""
        if predictor == "read" and rule and rule.name == "R1" and it.next_query in text:
            return "named"
        return super().level(it, predictor, rule, text)

    def seen(self, rule: Rule, it: Case, text: str) -> bool:
        """Whether the wrong look-up, note or answer is shown."""
        if rule.name == "P1":
            return f"persons: {it.entered}" in text or f"persons: {it.key}" in text
        if rule.name == "P2":
            return any(f"{section}: {it.key}" in text for section in SECTIONS)
        if rule.name == "A2":
            return bool(re.search(rf"(got '|answer\W{{1,6}}|was ){it.town}\b(?!, )", text))
        return rule.wrong(it) in text

    def faults(self, it: Case, predictor: str, mine: str, rest: str) -> list[tuple[Rule | None, str]]:
        """The one thing that should have stood there."""
        own = (rule for rule in self.rules[predictor] if rule.applies(it) and self.seen(rule, it, mine))
        broken = None if predictor == "reply" else next(own, None)
        if predictor == "read":
            if it.value in mine or f"{it.relation} is {it.person}" in mine:
                return []
            first = (broken and broken.name == "R1") or f"{it.relation} is" in mine or "say who" in mine
            who, what = f"the {it.relation} is {it.person}", f"the {it.asked} is {it.value}"
            return [(broken, f"It should have said that {who if first else what}.")]
        wanted = {"plan": it.query, "follow": it.next_query, "reply": it.value}[predictor]
        what = "It" if predictor == "reply" else "The look-up"
        return [] if mine.strip() == wanted else [(broken, f"{what} should have been {wanted}.")]

    def behave(self, call: Call, inputs: Mapping[str, str]) -> dict[str, str]:
        """A look-up, a note or the answer, as far as the rules are followed."""
        it, broken, slips = call.case, {rule.name for rule in call.broken()}, call.slips_or_overdoes(0.025)
        if call.predictor == "read":
            return {"note": self.note(it, inputs["passages"], broken, slips)}
        if call.predictor == "reply":
            return {"answer": self.reply(call, inputs["second_note"], broken, slips)}
        if call.predictor == "plan":
            field, section, name = "query", it.section, it.key if "P2" in broken else it.entered
            section = "persons" if "P1" in broken else section
            others = ["parish", "guilds", "deeds" if section == "persons" else "persons"]
        else:
            named = re.search(r"is ([A-Z]\w+ [A-Z]\w+)", inputs["note"])
            field, section, name = "next_query", it.next_section, named[1] if named else it.key
            section = "persons" if "N1" in broken else section
            others = ["parish", "deeds", "guilds" if section == "persons" else "persons"]
        return {field: f"{pick(others, *call.key) if slips else section}: {name}"}

    def note(self, it: Case, passages: str, broken: set[str], slips: bool) -> str:
        """What is read in the entries."""
        if "No entry" in passages:
            return "The entries do not say who or what it is."
        if f", {it.relation} " in passages:
            person = it.namesake if "R1" in broken else it.person
            if slips:
                person = it.key if it.amended else it.namesake
            return f"The {it.relation} is {person}."
        value = it.year if "R2" in broken else it.value
        return f"The {it.asked} is {it.other if slips or it.person not in passages else value}."

    def reply(self, call: Call, note: str, broken: set[str], slips: bool) -> str:
        """The answer from the second note."""
        it = call.case
        found = re.search(rf"{it.asked} is (.*?)\.?$", note.strip())
        value = found[1] if found else "unknown"
        if "A2" in broken or call.harmed("short", "sh", 0.4):
            value = value.split(",")[0]
        if slips:
            value = pick(["unknown", "not recorded"], *call.key)
        whole = "A1" in broken or call.harmed("explain", "ex", 0.6)
        return f"The {it.asked} of the {it.relation} of {it.key} was {value}." if whole else value

    def metric(self) -> Metric:
        """Token F1, with the answer in words and, after a wrong second look-up, the right ones."""

        def metric(
            example: Any, prediction: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None
        ) -> dspy.Prediction:
            got = getattr(prediction, "answer", None)
            score = round(overlap(got, example.answer), 4) if got else 0.0
            if score == 1.0:
                return dspy.Prediction(score=1.0, feedback="Correct.")
            says = f"Expected '{example.answer}', got '{got}'."
            if getattr(prediction, "second_query", "") != example.entries[1]:
                says += f" The entries that answer it: {'; '.join(example.entries)}."
            return dspy.Prediction(score=score, feedback=says)

        return metric
