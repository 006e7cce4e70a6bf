"""Reads an optimizer's prompt, whoever wrote it, and finds a fault only as far as the evidence stands in the prompt."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

import dspy
from unseen.prompts import Request
from unseen.world import KEY, Fault, World, execute, instructions

REACH = 240
"""How many characters after a case's name are taken to be about it, unless another case is named before."""
CASES = 4
"""From how many cases at most a reader learns about one rule."""
IN_FORCE = ("current_instruction", "basic_instruction", "reader_instruction", "modules_defn", "program_code")
"""Fields in which the advice is that of the program itself, and nothing new."""
SENTENCE = re.compile(r"(?<=[.!?])\s+")
IDLE = (
    "Work step by step.",
    "Check the result before answering.",
    "Be precise and complete.",
    "Consider every part of what you are given.",
    "Pay attention to unusual cases.",
    "Follow the format exactly.",
)
LEADS = (
    "As it stands, {it} cannot be right about {key}, since it is to lead up to {wanted} and does not.",
    "Whoever relies on {it} for {key} ends elsewhere; it has to make {wanted} follow.",
    "Look again at {it}: for {key} it must be put so that {wanted} comes out.",
)


@dataclass
class Reader:
    """What the model has seen go wrong in a world, and how it answers questions about it.

    Args:
        world: Where.
        faults: Case -> what went wrong in it, without repetition.
        told: Instruction -> the predictor that was last called with it.
    """

    world: World
    faults: dict[str, dict[Fault, None]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    def note(self, predictor: str, instruction: str, faults: Iterable[Fault]) -> None:
        """Remember a call of the program."""
        self.told[instruction] = predictor
        for fault in faults:
            self.faults.setdefault(fault.key, {})[fault] = None

    def study(self, examples: Iterable[dspy.Example]) -> None:
        """Know what can go wrong in these cases under the starting instructions, shown or not."""
        start = instructions(self.world.build())
        for example in examples:
            for luck in range(3):
                faults: list[Fault] = []
                execute(self.world, start, example, random.Random(luck), faults)
                self.note("", "", faults)

    def answers(self, request: Request, rng: random.Random) -> dict[str, str]:
        """An answer for every field that is asked for."""
        refused = {name for name, said in request.inputs.items() if "did not help" in said}
        values = {name: text for name, text in request.values.items() if name not in refused}
        seen = "\n".join(values.values()).replace("\\n", "\n").replace('\\"', '"')
        fresh = "\n".join(text for name, text in values.items() if name not in IN_FORCE)
        found = self._found(seen, fresh, rng)
        traps = [trap.phrase for trap in self.world.traps if trap.symptom in seen and rng.random() < trap.chance]
        written = _Written(self, request, values, seen, [*found, *traps], found, rng)
        return {name: written.field(name, said) for name, said in (request.outputs or {"": ""}).items()}

    def _found(self, seen: str, fresh: str, rng: random.Random) -> dict[str, Fault | None]:
        """The rules that the reader finds: from cases in the prompt, or because the prompt says the advice."""
        chances: dict[str, list[tuple[float, Fault]]] = {}
        for key, words in about(seen).items():
            best: dict[str, tuple[float, Fault]] = {}
            for fault in self.faults.get(key, ()):
                chance = self.world.finds.get(evidence(fault, words), 0.0)
                if chance > best.get(fault.rule, (0.0,))[0]:
                    best[fault.rule] = chance, fault
            for rule, one in best.items():
                chances.setdefault(rule, []).append(one)
        found: dict[str, Fault | None] = {}
        flat = " ".join(fresh.lower().split())
        for name, rule in self.world.rules.items():
            if rule.phrase.lower() in flat and rng.random() < self.world.finds["hint"]:
                found[name] = None
            for chance, fault in sorted(chances.get(name, []), key=lambda one: -one[0])[:CASES]:
                if rng.random() < chance:
                    found[name] = fault
        return found

    def sentence(self, name: str) -> str:
        """The advice of a rule or a trap."""
        known = {**self.world.rules, **{trap.phrase: trap for trap in self.world.traps}}
        return known[name].advice

    def shown(self, text: str) -> str:
        """The instruction known from a call of the program that stands last, and longest, in a text; empty without."""
        places = [(text.rfind(told) + len(told), len(told), told) for told in self.told if told and told in text]
        return max(places)[2] if places else ""


@dataclass(frozen=True)
class _Written:
    """One reply in the making."""

    reader: Reader
    request: Request
    values: Mapping[str, str]
    seen: str
    lessons: list[str]
    found: Mapping[str, Fault | None]
    rng: random.Random

    def field(self, name: str, said: str) -> str:
        """The text of one output field, by what its name and description ask for."""
        about_whom = self._owner(name, said)
        if name.startswith("severity"):
            return "major" if self._of(about_whom) else "minor"
        if name.startswith("quote"):
            faults = [fault for fault in (self.found.get(one) for one in self._of(about_whom)) if fault]
            return faults[0].given if faults else ""
        if name == "module_advice":
            names = re.findall(r"\w+", self.values.get("module_names", ""))
            return json.dumps({one: " ".join(self._advice(one)) or self._idle() for one in names})
        if name == "" or ("instruction" in name and "change" not in name):
            return self._rewritten()
        if "prefix" in name:
            return "Answer:"
        return " ".join(self._advice(about_whom)) or self._passed_on(name, said) or self._idle()

    def _owner(self, name: str, said: str) -> str:
        """Whom an answer is about: the predictor in the field's description, or the one whose instruction is meant."""
        said = self.request.outputs.get(f"change_{name.rpartition('_')[2]}", said)
        if "instruction" in said and "reader_instruction" in self.values:
            return self.reader.told.get(self.values["reader_instruction"], "")
        words = set(re.findall(r"\w+", said))
        named = [one for one in {rule.predictor for rule in self.reader.world.rules.values()} if one in words]
        return named[0] if len(named) == 1 and name.startswith(("change", "severity", "quote")) else ""

    def _of(self, predictor: str) -> list[str]:
        rules = self.reader.world.rules
        return [one for one in self.lessons if not predictor or one not in rules or rules[one].predictor == predictor]

    def _advice(self, predictor: str) -> list[str]:
        return [self.reader.sentence(one) for one in self._of(predictor)]

    def _idle(self) -> str:
        return self.rng.choice(IDLE)

    def _passed_on(self, name: str, said: str) -> str:
        """What the prompt says was wanted, in words about this field: a question about one step tells the next."""
        about_it = re.split(",? should", said.removeprefix("how "))[0] if name.startswith("change") else "the program"
        for key, words in about(self.seen).items():
            for fault in self.reader.faults.get(key, ()):
                if "w" in evidence(fault, words) and self.rng.random() < 0.8:
                    return self.rng.choice(LEADS).format(
                        it=about_it, key=key, wanted=fault.wanted.removeprefix(key).strip(" /")
                    )
        return ""

    def _rewritten(self) -> str:
        """The instruction in force, each sentence kept with some probability, and what the reader has found."""
        named = next(
            (self.values[one] for one in ("current_instruction", "basic_instruction") if one in self.values), ""
        )
        base = named or self.reader.shown(self.seen)
        kept = [one for one in SENTENCE.split(base.strip()) if self.rng.random() < self.reader.world.keeps]
        added = [self.reader.sentence(one) for one in self.lessons]
        if not added or self.rng.random() < 0.3:
            added.append(self._idle())
        return " ".join([*kept, *(one for one in dict.fromkeys(added) if one not in base)])


def about(text: str) -> dict[str, str]:
    """Case -> the words that follow its name in a text."""
    places = list(KEY.finditer(text))
    words: dict[str, str] = {}
    for place, after in zip_longest(places, places[1:]):
        end = min(place.end() + REACH, len(text))
        if after and after[0] != place[0]:
            end = min(end, after.start())
        words[place[0]] = words.get(place[0], "") + " " + text[place.end() : end]
    return words


def evidence(fault: Fault, words: str) -> str:
    """Which of "a", "g" and "w" of a fault stand in the words about its case."""
    wanted = fault.wanted.removeprefix(fault.key).strip(" /")
    parts = {"a": fault.asked, "g": fault.given, "w": wanted}
    return "".join(letter for letter, said in parts.items() if said and said in words)
