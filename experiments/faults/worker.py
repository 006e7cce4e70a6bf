"""The simulated model as a worker: it does what its instruction says, right or broken.

An instruction names the input fields to read and what to state from them:

    Read statement_1, statement_2. State: apples + pears; plums.

`State: everything.` restates all that was read, `State: the sum of everything.` adds it up. A sentence more
may spoil the numbers. Without a rule the worker has nothing to go by and says so.
"""

from __future__ import annotations

import re

from dspy_semantic_backprop.testing import Prompt

from .claims import Claim, Sum, System, claims, say, sums

DOUBLED = "Give the first number doubled."
RAISED = "Give the last number as 3 more than it is."
STUTTER = "Say the first one twice and nothing else."
RULELESS = "Do what is asked of this step."
SILENT = "Nothing in particular stands out."

_READ = re.compile(r"\bRead ([\w, ]+)\.")
_STATE = re.compile(r"\bState: ([^.]*)\.")


def fields_named(instruction: str) -> list[str]:
    """The input fields that an instruction says to read."""
    match = _READ.search(instruction)
    return match[1].split(", ") if match else []


def work(prompt: Prompt) -> dict[str, str]:
    """The worker's answer: its result in the last output field, a word of form in those before it."""
    text = result(prompt.instruction, {name: text for name, text in prompt.inputs.items()})
    return {name: text if name == prompt.names[-1] else "As told." for name in prompt.names}


def result(instruction: str, inputs: dict[str, str]) -> str:
    """What an instruction makes of inputs."""
    rule = _STATE.search(instruction)
    if rule is None:
        return SILENT
    read = [claim for name in fields_named(instruction) for claim in claims(inputs.get(name, ""))]
    # Told two numbers for one thing, the worker takes the larger: that a fault shows must not hang on order.
    known = System()
    for claim in sorted(read, key=lambda claim: -claim[1]):
        known.add(claim)
    made = [(left, known.number(left)) for left in wanted(rule[1], read)]
    return say(spoilt(instruction, made)) or SILENT


def wanted(rule: str, read: list[Claim]) -> list[Sum]:
    """The sums that a rule asks for."""
    stated = list(dict.fromkeys(left for left, _ in read))
    if rule == "everything":
        return stated
    if rule == "the sum of everything":
        things = tuple(dict.fromkeys(thing for left in stated for thing in left))
        return [things] if things else []
    return sums(rule)


def spoilt(instruction: str, made: list[tuple[Sum, int | None]]) -> list[tuple[Sum, int | None]]:
    """Numbers as the instruction's other sentences want them."""
    if DOUBLED in instruction and made and made[0][1] is not None:
        made = [(made[0][0], 2 * made[0][1]), *made[1:]]
    if RAISED in instruction and made and made[-1][1] is not None:
        made = [*made[:-1], (made[-1][0], made[-1][1] + 3)]
    return [made[0], made[0]] if STUTTER in instruction and made else made
