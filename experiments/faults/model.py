"""The simulated language model of the benchmark: worker, backward reader and judge behind one address.

It answers from the prompt alone. `noise` is the share of the judgements that flip: of the backward reader one
judgement for each output and one for the step's own instruction, of the judge one for each call. A flipped
"fine" becomes a wish for other numbers; a flipped wish becomes "no change needed". Which ones flip follows from
the seed and the prompt, so that every run gives the same answers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dspy_semantic_backprop.testing import Prompt

from .claims import Claim, claims, say
from .reader import Judgement, View, judge
from .worker import work

FINE = "No change needed."
_GIVEN = {"reader_instruction", "reader_inputs", "reader_output", "wanted_change"}


@dataclass(frozen=True)
class Model:
    """Answers a prompt.

    Args:
        seed: Of the flips.
        noise: The share of judgements that flip, 0 to 1.
    """

    seed: int = 0
    noise: float = 0.0

    def __call__(self, prompt: Prompt) -> dict[str, Any] | str:
        """The reply's fields; the worker's where it is no question about a fault."""
        if prompt.inputs.keys() >= _GIVEN:
            return self._read(prompt)
        if "suspicion" in prompt.names:
            return self._accuse(prompt)
        return work(prompt)

    def _read(self, prompt: Prompt) -> dict[str, Any]:
        members = {name[7:]: text for name, text in prompt.inputs.items() if name.startswith("output_")}
        given = prompt.inputs
        arrived = [text for name, text in given.items() if name.startswith("read_as_")]
        view = View(
            given["reader_instruction"],
            "\n".join([given["reader_inputs"], *arrived]),
            given["reader_output"],
            given["wanted_change"],
            members,
        )
        found = judge(view)
        answers: dict[str, Any] = {}
        for name in prompt.names:
            kind, _, key = name.partition("_")
            if kind in ("change", "severity", "quote"):
                answers[name] = self._part(kind, key, view, found, prompt)
        answers["diagnosis"] = "Each output was compared with what the wanted result requires."
        return answers

    def _part(self, kind: str, key: str, view: View, found: Judgement, prompt: Prompt) -> str:
        mine = key in view.members
        wish = found.wrong.get(key) if mine else found.own
        flipped = self._point("flip", prompt, key) < self.noise
        asked = (wish is None) if flipped else (wish is not None)
        if kind == "severity":
            return ("minor" if found.shared and not flipped else "major") if asked else "none"
        if kind == "quote":
            return view.members.get(key, "")[:80] if asked else ""
        if not asked:
            return FINE
        if wish is None:
            wish = self._mistaken(claims(view.members.get(key, view.produced)) or claims(view.wanted), prompt, key)
        if not mine:
            return (
                f"The instruction let the step go wrong; it has to be worded so that the step finds that {say(wish)}."
            )
        said = ", ".join(f"{number} for {' and '.join(left)}" for left, number in claims(view.members[key]))
        described = re.search(rf"`output_{key}` \(str\): field (\w+) of (.+)", prompt.text)
        name = f"the {described[1]} of {described[2]}" if described else "this output"
        blamed = f"{said} in {name} led the step astray" if said else f"{name} gave the step nothing to go by"
        return f"{blamed}; what the step needed to read here in its place was that {say(wish)}."

    def _mistaken(self, stated: list[Claim], prompt: Prompt, key: str) -> list[Claim]:
        """A wish that nothing calls for: other numbers."""
        return [(left, number + 1 + int(3 * self._point("by", prompt, key))) for left, number in stated[:2]]

    def _accuse(self, prompt: Prompt) -> dict[str, Any]:
        calls = json.loads(prompt.inputs["trace"])
        guilty = culprits(calls, prompt.inputs["feedback"])
        held: dict[str, list[bool]] = {}
        for call in calls:
            flipped = self._point("flip", prompt, call["call"]) < self.noise
            held.setdefault(call["predictor"], []).append((call["call"] in guilty) != flipped)
        # A predictor is suspected by the share of its calls that the judge holds to be at fault.
        scores = {name: round(sum(each) / len(each), 3) for name, each in held.items()}
        return {
            "suspicion": scores,
            "reasoning": "Each call was compared with what the wanted answer requires.",
        }

    def _point(self, what: str, prompt: Prompt, key: str) -> float:
        """A number from 0 to 1 that depends on seed, noise and prompt."""
        material = "\0".join((str(self.seed), str(self.noise), what, prompt.text, str(prompt.sample), key))
        digest = hashlib.sha256(material.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


def culprits(calls: list[Mapping[str, Any]], feedback: str) -> set[str]:
    """The calls that a judge finds at fault who reads a whole trace with the backward reader's abilities.

    It goes back from the answer as the sweep does, and at each call makes the reader's own judgement of
    everything that the call read, all at once; a call is at fault that went wrong on outputs that were right.

    Args:
        calls: call, predictor, read_from, instruction, inputs and outputs of each, in the order of the trace.
        feedback: What the metric said.

    Returns:
        Their ids.
    """
    wanted = {calls[-1]["call"]: feedback}
    guilty: set[str] = set()
    for call in reversed(calls):
        if call["call"] not in wanted:
            continue
        members = {other["call"]: _last(other["outputs"]) for other in calls if other["call"] in call["read_from"]}
        given = "\n".join(f"{name}: {text}" for name, text in call["inputs"].items())
        found = judge(View(call["instruction"], given, _last(call["outputs"]), wanted[call["call"]], members))
        for key, wish in found.wrong.items():
            wanted[key] = f"{wanted.get(key, '')} {say(wish)}"
        if not found.wrong and (found.own or not members):
            guilty.add(call["call"])
    return guilty


def _last(outputs: Mapping[str, str]) -> str:
    return str(list(outputs.values())[-1]) if outputs else ""
