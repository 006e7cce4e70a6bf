"""The reader: answers whatever a prompt asks from what the prompt shows, and does not know who wrote it."""

from __future__ import annotations

import re
from typing import Any

from blind.evidence import Evidence, Lesson
from blind.rules import HARMFUL, IDLE, Rule, pick

UNCHANGED = "This needs no change."
GENERAL = [
    "The output did not fit what was wanted.",
    "The steps did not agree with each other.",
    "Some details were not handled as expected.",
]
VAGUE = ["It should be more precise.", "It should say more about the circumstances.", *HARMFUL[:2]]
FOUND = {"named": 0.85, "near": 0.75, "final": 0.6, None: 0.0}
"""Where what was wanted is shown -> with what probability a question about one output is answered rightly."""
ABOUT_CHANGE = re.compile(r"differ|change|improv|wrong|fault|feedback|comment", re.IGNORECASE)


class Reader(Evidence):
    """Answers any prompt that is no call of the program."""

    def answer(self) -> dict[str, Any] | str:
        """The answer: output field -> value; a text where no fields are asked for."""
        if not self.prompt.outputs:
            return self.plain()
        graded: dict[str, tuple[str, str]] = {}
        return {name: self.value(name, *how, graded) for name, how in self.prompt.outputs.items()}

    def plain(self) -> str:
        """A rewrite of the instruction in a fenced block, or a general remark."""
        block = re.search(r"```\n?(.*?)```", self.prompt.user, re.DOTALL)
        current = block[1].strip() if block else ""
        if predictor := self.whose(current):
            return "```\n" + self.rewrite(predictor, current, self.prompt.user.replace(current, " ")) + "\n```"
        return self.general()

    def value(self, name: str, kind: str, says: str, graded: dict[str, tuple[str, str]]) -> Any:
        """What is written into a field; `graded` holds severity and quote of the directions so far."""
        of = name.split("_", 1)[-1]
        if kind.startswith("dict"):
            return self.advice()
        if re.search(r"instruction", name, re.IGNORECASE) and not re.search(
            r"change|critique|diagnos", name, re.IGNORECASE
        ):
            return self.instruction()
        if (about := self.target(name, says)) is not None:
            text, severity, quote = self.direction(name, *about)
            graded[of] = severity, quote
            return text
        fixed = {"float": "0.5", "bool": "False"}
        if name.split("_")[0] in ("severity", "quote"):
            return graded.get(of, ("minor", ""))[name.split("_")[0] == "quote"]
        return next((value for prefix, value in fixed.items() if kind.startswith(prefix)), None) or self.general()

    def instruction(self) -> str:
        """A new instruction in place of the one that is shown."""
        shown = next((name for name in self.prompt.values if "instruction" in name), None)
        current = self.prompt.values[shown] if shown else ""
        evidence = [value for name, value in self.prompt.values.items() if name != shown and value != self.prompt.tried]
        predictor = self.whose(current)
        return self.rewrite(predictor, current, "\n".join(evidence)) if predictor else self.general()

    def whose(self, instruction: str) -> str | None:
        """The predictor that an instruction belongs to: by its words, else by the fields that the prompt shows."""
        for predictor, start in self.world.start.items():
            if start.split(".")[0] in instruction:
                return predictor
        named = [
            predictor
            for predictor, (inputs, outputs) in self.world.fields.items()
            if all(re.search(rf"\b{one}\b", self.prompt.text) for one in (*inputs, *outputs))
        ]
        return named[-1] if named else None

    def target(self, name: str, says: str) -> tuple[str, bool] | None:
        """What a question for a direction of change is about: whose output, or (True) whose instruction."""
        if not ABOUT_CHANGE.search(f"{name} {says}") or re.match(r"(severity|quote)", name):
            return None
        for predictor, (_, outputs) in self.world.fields.items():
            if re.search(rf"\b{predictor}\b", says) and any(re.search(rf"\b{one}\b", says) for one in outputs):
                return predictor, False
        predictor = self.whose(self.shown_instruction()) if "instruction" in says else None
        return (predictor, True) if predictor else None

    def shown_instruction(self) -> str:
        """The first instruction that the prompt shows."""
        return next((value for name, value in self.prompt.values.items() if "instruction" in name), "")

    def advice(self) -> dict[str, str]:
        """Advice for each module, from two runs of one case."""
        shown = self.prompt.besides(r"code|defn|definition")
        described = "\n".join(v for name, v in self.prompt.values.items() if re.search(r"defn|definition", name))
        given = {}
        for predictor in self.world.fields:
            block = re.search(rf"Module {predictor}\n(.*?)(?:-{{20,}}|\Z)", described, re.DOTALL)
            found = self.contrasted(predictor, block[1] if block else "", shown)
            said, drawn = [self.phrase(lesson) for lesson in found], self.draw("adv", predictor)
            if found:
                said += self.extra(predictor, True)
            elif drawn < 0.45:
                said.append(pick(IDLE, *self.key, predictor))
            elif drawn < 0.55:
                said.append(pick(HARMFUL, *self.key, predictor))
            if said:
                given[predictor] = " ".join(said)
        return given

    def contrasted(self, predictor: str, instruction: str, shown: str) -> list[Lesson]:
        """At most one rule, that the worse of two runs broke."""
        case = next(iter(self.world.segments(shown)), None)
        if case is None:
            return []
        worse = "\n".join(value for name, value in self.prompt.values.items() if "worse" in name) or shown
        for rule in self.lacking(predictor, instruction):
            known = self.world.seen(rule, case, worse)
            strength = self.strength(rule, case, shown, with_steps=True, seen=True) if known else 0.0
            if self.draw("state", rule.name) < strength:
                return [Lesson(rule, 1, False)]
        return []

    def direction(self, name: str, predictor: str, of_instruction: bool) -> tuple[str, str, str]:
        """How an output, or an instruction, should have been, with a severity and a quote."""
        text = self.prompt.besides(r"instruction")
        case = self.world.case_of(text)
        if case is None:
            return UNCHANGED, "none", ""
        if of_instruction:
            return self.of_instruction(name, predictor, case, text)
        of, values = name.split("_", 1)[-1], self.prompt.values
        outputs = [value for one, value in values.items() if one.endswith(of) and one.startswith("output")]
        outputs += [value for one, value in values.items() if of in one and "read" not in one]
        mine = (*outputs, text)[0]
        others = (value for one, value in values.items() if "instruction" not in one and not one.endswith(of))
        rest, said = "\n".join(others), []
        for rule, wanted in self.world.faults(case, predictor, mine, rest):
            if self.draw("dir", name, wanted) < self.sure(rule, self.world.level(case, predictor, rule, rest)):
                said.append(wanted + self.why(name, wanted, rule, rule.asks(case) if rule else None, text))
        if said:
            return " ".join(said[:3]), "major", mine.split(".")[0][:60]
        if self.draw("none", name) < 0.8:
            return UNCHANGED, "none", ""
        return pick(VAGUE, *self.key, name), "minor", ""

    def of_instruction(self, name: str, predictor: str, case: Any, text: str) -> tuple[str, str, str]:
        """What an instruction should have said."""
        for rule in self.lacking(predictor, self.shown_instruction()):
            if self.draw("dir", name, rule.name) < self.strength(rule, case, text, with_steps=True):
                return "It should have said: " + pick(rule.full, *self.key, rule.name), "major", ""
        if self.draw("none", name) < 0.75:
            return UNCHANGED, "none", ""
        return "It should be stricter. " + pick(IDLE, *self.key, name), "minor", ""

    def sure(self, rule: Rule | None, level: str | None) -> float:
        """With what probability a fault of one output is said."""
        return 0.35 + 0.3 * rule.infer if rule and rule.item is None and level == "final" else FOUND[level]

    def why(self, name: str, wanted: str, rule: Rule | None, asked: str | None, text: str) -> str:
        """The rule behind a fault, where the reader sees it."""
        if rule is None or (asked and asked not in text) or self.draw("why", name, wanted) >= 0.6:
            return ""
        return " " + pick(rule.full, *self.key, rule.name)

    def general(self) -> str:
        """A remark that helps nobody."""
        return pick(GENERAL, *self.key)
