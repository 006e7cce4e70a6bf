"""The shapes: programs that work, with the instruction of every predictor, its neighbour, and examples.

What is asked for, the counts, and how the things are divided among the steps are drawn anew for each plan.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dspy

from dspy_semantic_backprop.programs import LayeredProgram, LiarProgram

from .claims import ORDER, THINGS, Claim, Sum, claims, follows, say
from .programs import Agent, Chain, Debate, Diamond, Loop, MapReduce, Router, Tree

Counts = dict[str, int]


@dataclass(frozen=True)
class Plan:
    """One program that works.

    Args:
        program: Makes it, without instructions.
        instructions: Predictor -> what it is told.
        neighbours: Predictor -> the one beside it, whose instruction it may be given by mistake.
        example: Makes the inputs of an example and what its answer must state.
        joint: The kinds of fault that can be seen only where outputs are judged together, by predictor.
    """

    program: Callable[[], dspy.Module]
    instructions: Mapping[str, str]
    neighbours: Mapping[str, str]
    example: Callable[[random.Random], tuple[dict[str, Any], Sequence[Claim]]]
    joint: Mapping[str, tuple[str, ...]]

    def examples(self, count: int, rng: random.Random) -> list[dspy.Example]:
        """Examples with the inputs of the program and the label `wanted`."""
        made = [self.example(rng) for _ in range(count)]
        return [dspy.Example(**inputs, wanted=say(wanted)).with_inputs(*inputs) for inputs, wanted in made]


def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> dspy.Prediction:
    """1 where the answer states what was wanted; the feedback says what that is."""
    answer = str(prediction.get("answer", prediction.get("note", "")))
    right = follows(claims(example.wanted), claims(answer))
    return dspy.Prediction(score=float(right), feedback=f"The answer should have been: {example.wanted}.")


def rule(fields: str, state: str) -> str:
    """An instruction to read some fields and to state something."""
    return f"Do your part of the stock-taking. Read {fields}. State: {state}."


def _parts(rng: random.Random, count: int, most: int = 3) -> list[Sum]:
    """Things divided into parts of one to `most`."""
    things = rng.sample(THINGS, count * most)
    sizes = [rng.randint(1, most) for _ in range(count)]
    return [tuple(things[at * most : at * most + size]) for at, size in enumerate(sizes)]


def _all(parts: Sequence[Sum]) -> Sum:
    return tuple(thing for part in parts for thing in part)


def _count(things: Sequence[str], rng: random.Random) -> Counts:
    return {thing: rng.randint(2, 9) for thing in things}


def _text(counts: Mapping[str, int], things: Sequence[str]) -> str:
    return ", ".join(f"{thing} {counts[thing]}" for thing in things)


def _single(part: Sum) -> str:
    return "; ".join(part)


def _sum(part: Sum) -> str:
    return " + ".join(part)


def _total(counts: Mapping[str, int], things: Sum) -> list[Claim]:
    return [(things, sum(counts[thing] for thing in things))]


def _ring(names: Sequence[str]) -> dict[str, str]:
    return {name: names[(at + 1) % len(names)] for at, name in enumerate(names)} if len(names) > 1 else {}


def _asked(things: Sum) -> Callable[[random.Random], tuple[dict[str, Any], Sequence[Claim]]]:
    """Examples that show all counts in one question and want their sum."""

    def example(rng: random.Random) -> tuple[dict[str, Any], Sequence[Claim]]:
        counts = _count(things, rng)
        return {"question": _text(counts, things)}, _total(counts, things)

    return example


def pair(rng: random.Random) -> Plan:
    """The paper's pipeline for BBH and GSM8K: two hidden nodes and a final one."""
    parts = _parts(rng, 2)
    hidden = ["hidden[0]", "hidden[1]"]
    told = {name: rule("question", _single(part)) for name, part in zip(hidden, parts, strict=True)}
    told["final"] = rule("statement_1, statement_2", _sum(_all(parts)))
    joint = dict.fromkeys(hidden, ("repeat",))
    return Plan(LayeredProgram, told, _ring(hidden), _asked(_all(parts)), joint)


def liar(rng: random.Random) -> Plan:
    """The narrow LIAR graph: five hints, four of which see a list that the final node does not see.

    The statement counts things of which each hint states some; the lists count others, of which each is
    stated by two hints.
    """
    names = [f"hint_{name}" for name in ("statement", "job_title", "state", "party", "source")]
    parts = _parts(rng, 5)
    hidden = tuple(thing for thing in THINGS if thing not in _all(parts))[:4]
    told = {names[0]: rule("statement", _single(parts[0]))}
    for at, name in enumerate(names[1:]):
        told[name] = rule(
            f"statement, {name.removeprefix('hint_')}", _single((*parts[at + 1], hidden[at], hidden[(at + 1) % 4]))
        )
    told["final"] = rule(", ".join(names), _sum((*_all(parts), *hidden)))

    def example(rng: random.Random) -> tuple[dict[str, Any], Sequence[Claim]]:
        counts = _count((*_all(parts), *hidden), rng)
        lists = dict.fromkeys((name.removeprefix("hint_") for name in names[1:]), _text(counts, hidden))
        return {"statement": _text(counts, _all(parts)), **lists}, _total(counts, (*_all(parts), *hidden))

    joint = dict.fromkeys(names[1:], ("repeat", "contradict"))
    return Plan(partial(LiarProgram, narrow=True), told, _ring(names[1:]), example, joint)


def chain(rng: random.Random) -> Plan:
    """Six steps, one after the other: each adds up a little more of what it was told."""
    things = tuple(rng.sample(THINGS, 12))
    told = {"first": rule("question", _single(things))}
    parts: list[Sum] = [(thing,) for thing in things]
    for at, size in enumerate((6, 4, 3, 2)):
        cuts = [round(position * len(things) / size) for position in range(size + 1)]
        finer = [things[start:end] for start, end in itertools.pairwise(cuts)]
        parts = finer if all(any(set(one) <= set(new) for new in finer) for one in parts) else _paired(parts, size)
        told[f"steps[{at}]"] = rule("note_before", "; ".join(map(_sum, parts)))
    told["last"] = rule("note_before", _sum(things))
    return Plan(Chain, told, {}, _asked(things), {})


def _paired(parts: list[Sum], size: int) -> list[Sum]:
    """Parts joined with their right neighbours until so many are left."""
    joined = list(parts)
    while len(joined) > size:
        at = min(range(len(joined) - 1), key=lambda place: len(joined[place]) + len(joined[place + 1]))
        joined[at : at + 2] = [joined[at] + joined[at + 1]]
    return joined


def layers(rng: random.Random) -> Plan:
    """Three layers of three and a final node; every node reads the whole layer before it."""
    parts = _parts(rng, 3)
    fields = "statement_1, statement_2, statement_3"
    told, beside = {}, {}
    for layer in range(3):
        names = [f"hidden[{3 * layer + at}]" for at in range(3)]
        for name, part in zip(names, parts, strict=True):
            told[name] = rule(fields, _sum(part)) if layer else rule("question", _single(part))
        beside |= _ring(names)
    told["final"] = rule(fields, _sum(_all(parts)))
    joint = dict.fromkeys(beside, ("repeat",))
    return Plan(lambda: LayeredProgram(3, 3), told, beside, _asked(_all(parts)), joint)


def loop(rng: random.Random) -> Plan:
    """Three lists, read and added to a running total, one after the other."""
    lists = _parts(rng, 3)
    told = {
        "read": rule("question", "everything"),
        "refine": rule("total_so_far, new_note", "the sum of everything"),
        "final": rule("total", _sum(_all(lists))),
    }

    def example(rng: random.Random) -> tuple[dict[str, Any], Sequence[Claim]]:
        counts = _count(_all(lists), rng)
        return {"lists": [_text(counts, part) for part in lists]}, _total(counts, _all(lists))

    return Plan(Loop, told, {}, example, {})


def router(rng: random.Random) -> Plan:
    """The question says which of three parts is wanted."""
    parts = _parts(rng, 3)
    branches = [f"branches[{at}]" for at in range(3)]
    told = {"route": rule("question", ORDER), "final": rule("branch_note", "everything")}
    told |= {name: rule("question", _sum(part)) for name, part in zip(branches, parts, strict=True)}

    def example(rng: random.Random) -> tuple[dict[str, Any], Sequence[Claim]]:
        counts, wanted = _count(_all(parts), rng), rng.randrange(3)
        question = f"{ORDER} {wanted + 1}, {_text(counts, _all(parts))}"
        return {"question": question}, _total(counts, parts[wanted])

    return Plan(Router, told, _ring(branches), example, {})


def diamond(rng: random.Random) -> Plan:
    """One step that two read; a fourth joins what they say."""
    left, right = _parts(rng, 2)
    told = {
        "source": rule("question", _single(left + right)),
        "left": rule("source_note", _sum(left)),
        "right": rule("source_note", _sum(right)),
        "join": rule("left_note, right_note", _sum(left + right)),
    }
    sides = ["left", "right"]
    return Plan(Diamond, told, _ring(sides), _asked(left + right), dict.fromkeys(sides, ("repeat",)))


def tree(rng: random.Random) -> Plan:
    """Six leaves, two middle steps, a root: nine predictors."""
    parts = _parts(rng, 6)
    leaves, middle = [f"leaves[{at}]" for at in range(6)], ["middle[0]", "middle[1]"]
    told = {name: rule("question", _single(part)) for name, part in zip(leaves, parts, strict=True)}
    for at, name in enumerate(middle):
        told[name] = rule("note_1, note_2, note_3", _sum(_all(parts[3 * at : 3 * at + 3])))
    told["root"] = rule("note_1, note_2", _sum(_all(parts)))
    beside = _ring(leaves[:3]) | _ring(leaves[3:]) | _ring(middle)
    return Plan(Tree, told, beside, _asked(_all(parts)), dict.fromkeys(beside, ("repeat",)))


def map_reduce(rng: random.Random) -> Plan:
    """28 calls of four predictors."""
    things = rng.sample(THINGS, 32)
    lists = [tuple(things[at : at + 2]) for at in range(0, 32, 2)]
    told = {"map": rule("question", "everything"), "final": rule("notes", _sum(_all(lists)))}
    told |= dict.fromkeys(("combine", "reduce"), rule("notes", "the sum of everything"))

    def example(rng: random.Random) -> tuple[dict[str, Any], Sequence[Claim]]:
        counts = _count(things, rng)
        return {"lists": [_text(counts, part) for part in lists]}, _total(counts, _all(lists))

    return Plan(MapReduce, told, {}, example, {})


def debate(rng: random.Random) -> Plan:
    """Two sides, two rounds, a verdict."""
    parts = _parts(rng, 2)
    sides = ["pro", "con"]
    told = {name: rule("question", _single(part)) for name, part in zip(sides, parts, strict=True)}
    told["judge"] = rule("pro_note, con_note", _sum(_all(parts)))
    return Plan(Debate, told, _ring(sides), _asked(_all(parts)), dict.fromkeys(sides, ("repeat",)))


def agent(rng: random.Random) -> Plan:
    """Two look-ups in a store of four lists, by plain Python between two steps."""
    lists = _parts(rng, 4)
    wishes = sorted(rng.sample(range(4), 2))
    asked = _all([lists[at] for at in wishes])
    told = {
        "choose": rule("wish", ORDER),
        "observe": rule("found", "everything"),
        "answer": rule("first_note, second_note", _sum(asked)),
    }

    def example(rng: random.Random) -> tuple[dict[str, Any], Sequence[Claim]]:
        counts = _count(_all(lists), rng)
        labels = ", ".join(f"{_sum(lists[at])} {_total(counts, lists[at])[0][1]}" for at in wishes)
        inputs = {
            "question": labels,
            "wishes": [f"{ORDER} {at + 1}" for at in wishes],
            "store": [_text(counts, part) for part in lists],
        }
        return inputs, _total(counts, asked)

    return Plan(Agent, told, {}, example, {})


SHAPES: dict[str, Callable[[random.Random], Plan]] = {
    "pair (BBH, GSM8K)": pair,
    "five hints (LIAR)": liar,
    "chain of 6": chain,
    "layers 3x3": layers,
    "loop": loop,
    "router": router,
    "diamond": diamond,
    "tree of 9": tree,
    "map-reduce, 28 calls": map_reduce,
    "debate": debate,
    "agent with look-up": agent,
}
