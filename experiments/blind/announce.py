"""The world of announcements: four parts side by side, a loop of criticism, a rubric with rich feedback."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

import dspy
from blind.announcement import FILLER, FIRST, HYPE, RUBRIC, RULES, SECOND, Announcement, case
from blind.rules import BROAD, FULL, Case, Rule, always, pick
from blind.world import Call, Metric, World

PASSING = ("gather", "criticise", "revise")
"""Predictors whose output the feedback is not about."""
SHOULD = {
    "access": "It should describe the access for wheelchairs.",
    "contact": "The telephone number is missing in it.",
    "refund": "It should name the last day for returning tickets.",
    "weekday": "It should name the weekday.",
    "time": "The time should be in 24-hour form.",
    "price": "The price should say the currency and that it is per person.",
    "filler": "The filler sentence should go.",
}
SETTLED_BY_REVISING = ("weekday", "time", "price", "access", "refund", "filler")
LIVELY = "It could be livelier."
Fault = tuple[str, str, str | None]
"""A point of the rubric, what an output should have held, and the predictor's own rule behind it."""


class Announce(World):
    """Eight to ten calls an execution; the feedback lists each point that was missed, and not who missed it."""

    name, letter, last = "announce", "c", None
    program = Announcement
    key = re.compile(rf"\b(?:{FIRST.replace(' ', '|')}) (?:{SECOND.replace(' ', '|')})(?: [IVX]+)?\b")
    count, calls = 24, 8.4

    def __init__(self) -> None:
        rng = random.Random(1066)
        titles = [
            f"{first} {second}{number}"
            for first in FIRST.split()
            for second in SECOND.split()
            for number in ("", " II")
        ]
        rng.shuffle(titles)
        super().__init__(RULES, [case(rng, titles) for _ in range(400)])

    def asked(self, inputs: Mapping[str, str]) -> Any:
        """The case that the first input names, else any other."""
        return super().asked(inputs) or self.case_of("\n".join(inputs.values()))

    def below(self, predictor: str) -> list[str]:
        """All that come later."""
        order = list(self.start)
        return order[order.index(predictor) + 1 :]

    def right(self, it: Case, predictor: str) -> list[str]:
        """No text is the right one."""
        return []

    def final(self, it: Case) -> list[str]:
        """No text is the right one."""
        return []

    def level(self, it: Case, predictor: str, rule: Rule | None, text: str) -> str | None:
        """What is wanted is known where the feedback names the point."""
        if rule is None or rule.item is None or not wanted(rule.item, text):
            return None
        return "near" if predictor in PASSING else "named"

    def seen(self, rule: Rule, it: Case, text: str) -> bool:
        """Whether a fault in the output of the rule's own predictor is shown."""
        listed = f"place: {it.place}" in text.replace("\\n", "\n")
        content = any(words in text for words in ("No issues", "livelier", "Add"))
        shown = {
            "G1": listed and "access: " not in text,
            "G2": listed and "refund: " not in text,
            "W1": f"Tickets cost {it.price}." in text,
            "W2": f"at {it.hour} pm on" in text,
            "W3": FILLER in text,
            "C1": f"on {it.date}" in text
            and "Add the weekday" not in text
            and any(words in text for words in ("No issues", "livelier", "Add:", "advertising words")),
            "C2": HYPE in text and "Take out" not in text and content,
            "V1": f"Questions: {it.phone}" in text,
            "V2": "livelier" in text and HYPE in text,
            "H1": "unforgettable evening" in text or bool(re.search(rf"{re.escape(it.key)}(?! at)", text)),
            "H2": "unforgettable evening" in text,
        }
        return shown[rule.name]

    def faults(self, it: Case, predictor: str, mine: str, rest: str) -> list[tuple[Rule | None, str]]:
        """Each point that the feedback names and this output could have met."""
        told = {name for name, point in RUBRIC.items() if wanted(name, rest) and point.applies(it)}
        found = getattr(self, f"_{predictor}_faults")(it, mine, told)
        own = {rule.name: rule for rule in self.rules[predictor]}
        return [(own.get(rule) or passing(item), says) for item, says, rule in found]

    def _gather_faults(self, it: Case, mine: str, told: set[str]) -> list[Fault]:
        lacks = [
            ("access", "access: ", "The access for wheelchairs is missing in it.", "G1"),
            ("refund", "refund: ", "The last day for returning tickets is missing in it.", "G2"),
            ("contact", it.phone, SHOULD["contact"], None),
        ]
        return [(item, says, rule) for item, words, says, rule in lacks if item in told and words not in mine]

    def _write_faults(self, it: Case, mine: str, told: set[str]) -> list[Fault]:
        found: list[Fault] = []
        if "price" in told and f"Tickets cost {it.price}." in mine:
            found.append(("price", SHOULD["price"], "W1"))
        if "time" in told and f"{it.hour} pm" in mine:
            found.append(("time", SHOULD["time"], "W2"))
        if "filler" in told and FILLER in mine:
            found.append(("filler", "The filler sentence should not be there.", "W3"))
        elif "access" in told and FILLER in mine:
            found.append(("access", SHOULD["access"], None))
        if "refund" in told and "Tickets" in mine and it.refund not in mine:
            found.append(("refund", SHOULD["refund"], None))
        return found

    def _criticise_faults(self, it: Case, mine: str, told: set[str]) -> list[Fault]:
        found: list[Fault] = []
        if "weekday" in told and "weekday" not in mine:
            found.append(("weekday", "It should have demanded the weekday.", "C1"))
        if "plain" in told and it.hype and "Take out" not in mine:
            found.append(("plain", "It should have objected to the advertising.", "C2"))
        if "plain" in told and not it.hype and "livelier" in mine:
            says = "It should not have asked for livelier words, which led to advertising."
            found.append(("plain", says, None))
        return found

    def _revise_faults(self, it: Case, mine: str, told: set[str]) -> list[Fault]:
        found: list[Fault] = []
        if "contact" in told and it.phone not in mine:
            found.append(("contact", "The telephone number should have been kept.", "V1"))
        if "plain" in told and "amazing" in mine:
            added: Fault = ("plain", "It should not have added advertising.", "V2")
            found.append(("plain", "The advertising should be out of it.", None) if it.hype else added)
        left = [item for item in SETTLED_BY_REVISING if item in told and not RUBRIC[item].met(mine, "", it)]
        return found + [(item, SHOULD[item], None) for item in left]

    def _headline_faults(self, it: Case, mine: str, told: set[str]) -> list[Fault]:
        found: list[Fault] = []
        if "hplace" in told and it.place not in mine:
            found.append(("hplace", "The headline should name the place.", "H1"))
        if "hshort" in told and len(mine.split()) > 9:
            found.append(("hshort", "It should have at most nine words.", "H2"))
        return found

    def behave(self, call: Call, inputs: Mapping[str, str]) -> dict[str, str]:
        """Facts, a part, issues, a revision or a headline, as far as the rules are followed."""
        broken = {rule.name for rule in call.broken()}
        stated_broadly = (name for name, state in call.heard.states.items() if state == BROAD)
        over = {name for name in stated_broadly if call.draw("over", name) < 0.35}
        (field,) = self.fields[call.predictor][1]
        return {field: getattr(self, f"_{call.predictor}")(call, inputs, broken, over)}

    def _gather(self, call: Call, inputs: Mapping[str, str], broken: set[str], over: set[str]) -> str:
        it = call.case
        facts = {"event": it.key, "place": it.place, "date": f"{it.date}, {it.day}", "time": f"{it.hour} pm"}
        facts |= {"price": it.price, "contact": it.phone}
        if it.access and "G1" not in broken:
            facts["access"] = it.access
        if it.refund and "G2" not in broken:
            facts["refund"] = it.refund
        if "G1" in over and not it.access:
            facts["access"] = "more details on request"
        if it.hype:
            facts["tone"] = "amazing"
        if call.slips(0.05):
            facts.pop(pick(["price", "contact", "time", "refund"], *call.key), None)
        lines = [f"{name}: {value}" for name, value in facts.items()]
        return "\n".join(lines[:5] if call.harmed("short", "short", 0.35) else lines)

    def _write(self, call: Call, inputs: Mapping[str, str], broken: set[str], over: set[str]) -> str:
        facts = dict(line.split(": ", 1) for line in inputs["facts"].splitlines() if ": " in line)
        part, slips, short = inputs["part"].strip(), call.slips(0.05), call.harmed("short", "short", 0.35)
        if part == "programme":
            return programme(call.case, facts, slips, "W2" in broken)
        if part == "tickets":
            return tickets(call.case, facts, slips or "W1" in broken, short)
        if part == "access":
            if "access" in facts:
                return "-" if "W3" in over or slips or short else f"For wheelchairs: {facts['access']}."
            unmet = call.heard.states["W3"] is None if call.case.access else "W3" in broken
            return FILLER if unmet else "-"
        return f"Questions: {facts['contact']}." if "contact" in facts and not slips else "Questions: at the door."

    def _criticise(self, call: Call, inputs: Mapping[str, str], broken: set[str], over: set[str]) -> str:
        it, draft, issues = call.case, inputs["draft"], []
        if "C1" not in broken and f"{it.day}, {it.date}" not in draft and it.date in draft:
            issues.append(f"Add the weekday: {it.day}.")
        if it.hype and "C2" not in broken and "amazing" in draft:
            issues.append("Take out the advertising words.")
        if over or call.harmed("doubt", "d", 0.4):
            issues.append(LIVELY)
        if (not issues and call.draw("vague") < 0.35) or call.slips(0.05):
            issues.append(LIVELY)
        return " ".join(issues) or "No issues."

    def _revise(self, call: Call, inputs: Mapping[str, str], broken: set[str], over: set[str]) -> str:
        it, draft, issues, slips = call.case, inputs["draft"], inputs["issues"], call.slips(0.05)
        if "Add the weekday" in issues and not slips:
            draft = draft.replace(f"on {it.date}", f"on {it.day}, {it.date}")
        if "Take out" in issues and not slips:
            draft = draft.replace(f" {HYPE}", "")
        warned = call.heard.states["V2"] in (FULL, BROAD) and call.draw("V2x") < 0.95
        if "livelier" in issues and call.draw("lively") < 0.6 and not warned and HYPE not in draft:
            draft += f"\n{HYPE}"
        if ("V1" in broken and call.draw("dropped") < 0.5) or call.harmed("short", "short", 0.35):
            draft = "\n".join(line for line in draft.split("\n") if not line.startswith("Questions"))
        return draft

    def _headline(self, call: Call, inputs: Mapping[str, str], broken: set[str], over: set[str]) -> str:
        it = call.case
        title = "An unforgettable evening that nobody in town should miss: the " if "H2" in broken else ""
        title += it.key if "H1" in broken else f"{it.key} at {it.place}"
        if call.slips(0.05):
            title = "News from our town"
        if "H1" in over or call.harmed("explain", "e", 0.4):
            title += f", on {it.date} at {it.hour} pm, for {it.price} euros"
        return title

    def metric(self) -> Metric:
        """The share of the points that are met, with each that is not in words."""

        def metric(
            example: Any, prediction: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None
        ) -> dspy.Prediction:
            it = self.case_of(example.brief)
            if it is None or getattr(prediction, "text", None) is None:
                return dspy.Prediction(score=0.0, feedback="There is no announcement.")
            points = [point for point in RUBRIC.values() if point.applies(it)]
            missed = [one.missed for one in points if not one.met(prediction.text, prediction.title or "", it)]
            score = round(1 - len(missed) / len(points), 4)
            return dspy.Prediction(score=score, feedback=" ".join(missed) or "All points are met.")

        return metric


def programme(it: Case, facts: Mapping[str, str], slips: bool, as_given: bool) -> str:
    """What happens where and when."""
    text = f"{it.key} at {it.place}: it begins"
    if "time" in facts:
        text += f" at {facts['time'] if as_given else f'{it.hour + 12}:00'}"
    text += f" on {it.date}."
    if "tone" in facts:
        text += f" {HYPE}"
    return text.replace(f" on {it.date}", "") if slips else text


def tickets(it: Case, facts: Mapping[str, str], bare: bool, short: bool) -> str:
    """What it costs, and until when tickets are taken back."""
    if "price" not in facts:
        return "-"
    text = f"Tickets cost {it.price}." if bare else f"Tickets cost {it.price} euros per person."
    if "refund" in facts and not short:
        text += f" They can be returned until {facts['refund']}."
    return text


def wanted(item: str, text: str) -> bool:
    """Whether a text names a point of the rubric as missed."""
    return bool(re.search(RUBRIC[item].wanted, text, re.IGNORECASE))


def passing(item: str) -> Rule:
    """Stands for no rule: the predictor could have met a point that others should have met before it."""
    return Rule("pass", "", always, ("",), "", ("", ""), ("", ""), item=item)
