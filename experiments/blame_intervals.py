"""How often do the ranges of `diagnose` hold the true shares of the blame, and how wide are they?

    python experiments/blame_intervals.py            # about four minutes on two cores
    python experiments/blame_intervals.py --smoke    # a few seeds

All is simulated. Each failure of a program has one guilty predictor, drawn by true shares that are drawn anew for
each seed (Dirichlet, 0.5: mostly one or two large shares, the others small). What a reader says of each output and of
its own instruction is made up by its kind (`READERS`), and `estimate_blame` is asked for the shares, as `diagnose`
asks it. Where there are checks, the eight most blamed calls are tried: changing the guilty one, or one that only handed
the fault on, helps in 80 %, changing another in 3 %.

Some cells are measured through `SemanticGradientDescent.diagnose`: a program whose hints a simulated model spoils, a
reader that errs, checks that run the program again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import dspy
import numpy as np
from records import origin

from dspy_semantic_backprop import (
    OUTPUT,
    Call,
    ComputationGraph,
    Direction,
    Edge,
    End,
    Message,
    SemanticGradientDescent,
    TextGradient,
    estimate_blame,
    pool_blame,
)
from dspy_semantic_backprop.testing import Prompt, SimulatedServer

CHANGE, FINE = Direction("It should have been different."), Direction("", "none", "none")
HELPS, HELPS_BY_CHANCE = 0.8, 0.03
READERS = {
    "never errs": lambda guilty, draw, habit: guilty,
    "misses half": lambda guilty, draw, habit: guilty and draw() < 0.5,
    "accuses everybody": lambda guilty, draw, habit: True,
    "errs in 30 %": lambda guilty, draw, habit: guilty != (draw() < 0.3),
    "always accuses one": lambda guilty, draw, habit: guilty or habit,
    "names another in 30 %": None,
}
"""Kind -> whether a source is accused, by whether it is guilty, chance, and whether it is the reader's habit; None:
exactly one source is accused, in three of ten failures another than the guilty one."""


@dataclass(frozen=True)
class Cell:
    """Ranges of many seeds under one condition.

    Args:
        reader: A name in `READERS`.
        program: "fan" or "chain".
        predictors, failures, checks: How many.
        through: What was asked: "estimate_blame" or "diagnose".
        shares: How many true shares there were.
        covered: How many of these were in their range.
        if_right: How many were in the range given that the reader is right.
        width: The mean width of the ranges, 0 to 1.
        seconds: For one estimate, wall time.
    """

    reader: str
    program: str
    predictors: int
    failures: int
    checks: int
    through: str
    shares: int
    covered: int
    if_right: int
    width: float
    seconds: float


Found = list[tuple[float, tuple[float, float], tuple[float, float]]]
"""Of each predictor its true share, its range, and that given that the reader is right."""


def graph(program: str, size: int) -> ComputationGraph:
    """A fan: hints that a final step reads; a chain: steps that read the one before."""
    names = [*(f"hint_{at}" for at in range(size - 1)), "final"]
    calls = tuple(
        Call(f"{name}[0]", name, 0, "", {}, {"y": name}, started=2 * at, ended=2 * at + 1)
        for at, name in enumerate(names)
    )
    readers = ["final"] * (size - 1) if program == "fan" else names[1:]
    read = [(f"{one}[0]", End(f"{other}[0]", "x")) for one, other in zip(names, readers, strict=False)]
    edges = [Edge(End(one, "y"), to, "data", "replay", 1.0) for one, to in [*read, ("final[0]", End(OUTPUT, "y"))]]
    return ComputationGraph(calls, tuple(edges))


class Reader:
    """One reader: its kind, its chance, and the predictor that it accuses by habit."""

    def __init__(self, kind: str, size: int, rng: random.Random) -> None:
        self.accuses: Callable[..., bool] | None = READERS[kind]
        self.rng, self.habit = rng, rng.randrange(size)

    def judge(self, sources: Sequence[int], guilty: int | None) -> list[bool]:
        """Which of the sources, by number, are accused where that one misled the step."""
        if self.accuses is None:
            others = [source for source in sources if source != guilty]
            named = self.rng.choice(others) if guilty is None or self.rng.random() < 0.3 else guilty
            return [source == named for source in sources]
        return [self.accuses(source == guilty, self.rng.random, source == self.habit) for source in sources]


def sweep(known: ComputationGraph, guilty: int, reader: Reader) -> dict[str, TextGradient]:
    """What a reader says of a failure: to calls that are accused, from the answer back."""
    place = {call.id: at for at, call in enumerate(known)}
    told: dict[str, list[Message[Direction]]] = {call.id: [] for call in known}
    own: dict[str, Direction] = {}
    told["final[0]"].append(Message(OUTPUT, "final[0]", "y", CHANGE))
    for call in reversed(known.calls):
        sources = known.predecessors(call.id)
        if not sources or not any(message.value is CHANGE for message in told[call.id]):
            continue
        # In a chain what went wrong before came through the predecessor; what goes wrong later is not here.
        numbers = [place[source] for source in sources]
        came = guilty if guilty in numbers else numbers[-1] if guilty < min(numbers) else None
        true = place[call.id] if guilty == place[call.id] else came
        *of_sources, of_itself = reader.judge([*numbers, place[call.id]], true)
        for source, accused in zip(sources, of_sources, strict=True):
            told[source].append(Message(call.id, source, "y", CHANGE if accused else FINE))
        own[call.id] = CHANGE if of_itself else FINE
    return {name: TextGradient(tuple(messages), own.get(name)) for name, messages in told.items()}


def tried(known: ComputationGraph, sweeps: Sequence[Any], guilty: Sequence[int], most: int, rng: random.Random) -> Any:
    """Call -> whether changing it helped, for each failure; the most blamed are tried, spread over predictors."""
    blames = pool_blame([(known, one) for one in sweeps])
    suspects = [
        (row, at, one.shares[call.id])
        for row, one in enumerate(blames)
        for at, call in enumerate(known.calls[:-1])
        if one.shares[call.id] and sweeps[row][call.id]
    ]
    total = [sum(one.shares[call.id] for one in blames) for call in known]
    helped: list[dict[str, bool]] = [{} for _ in sweeps]
    turns = [0] * len(known)
    for _ in range(min(most, len(suspects))):
        row, at, _ = best = max(
            suspects, key=lambda one: (total[one[1]] / (1 + turns[one[1]]), -len(helped[one[0]]), one[2])
        )
        suspects.remove(best)
        turns[at] += 1
        behind = guilty[row] == at or (guilty[row] < at and known.predecessors(known.calls[at].id))
        helped[row][known.calls[at].id] = rng.random() < (HELPS if behind else HELPS_BY_CHANCE)
    return helped


def true_shares(size: int, seed: int) -> list[float]:
    """The true shares of a seed."""
    return np.random.default_rng(seed).dirichlet(np.full(size, 0.5)).tolist()


def estimated(kind: str, program: str, size: int, failures: int, checks: int, seed: int) -> Found:
    """The ranges of one seed by `estimate_blame`."""
    rng = random.Random(f"{kind}, {program}, {size}, {failures}, {seed}")
    shares, known, reader = true_shares(size, seed), graph(program, size), Reader(kind, size, rng)
    guilty = rng.choices(range(size), shares, k=failures)
    sweeps = [sweep(known, one, reader) for one in guilty]
    helped = tried(known, sweeps, guilty, checks, rng) if checks else ()
    found = estimate_blame([(known, one) for one in sweeps], helped, seed=seed)
    names = [call.predictor for call in known]
    return [(share, found.ranges[name], found.if_right[name]) for share, name in zip(shares, names, strict=True)]


class Hints(dspy.Module):
    """Hints and a final step; the question says which of them goes wrong."""

    def __init__(self, size: int) -> None:
        super().__init__()
        for at in range(size - 1):
            step: Any = dspy.make_signature("question -> hint", f"You are hint_{at}.")
            setattr(self, f"hint_{at}", dspy.Predict(step))
        read = ", ".join(f"read_{at}" for at in range(size - 1))
        last: Any = dspy.make_signature(f"question, {read} -> answer", "You are final.")
        self.final, self.size = dspy.Predict(last), size

    def forward(self, question: str) -> Any:
        """Ask for all hints, then for the answer."""
        hints = [getattr(self, f"hint_{at}")(question=question).hint for at in range(self.size - 1)]
        return self.final(question=question, **{f"read_{at}": hint for at, hint in enumerate(hints)})


def model(kind: str, size: int, seed: int) -> Callable[[Prompt], dict[str, Any]]:
    """A model that spoils what the question says, and a reader of that kind."""
    habit = random.Random(seed).randrange(size)

    def reply(prompt: Prompt) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        given = prompt.inputs
        for name in prompt.names:
            what, _, key = name.partition("_")
            if what == "change":
                text = given.get(f"output_{key}")
                guilty = "spoilt" in text if text is not None else "final spoils" in given["reader_inputs"]
                digest = hashlib.sha256(f"{seed}, {prompt.text}, {key}".encode()).digest()
                by_habit = f"hint_{habit}" in (text or "hint_final")
                accuses: Any = READERS[kind]
                accused = accuses(guilty, lambda digest=digest: int.from_bytes(digest[:6], "big") / 2**48, by_habit)
                answers[name] = f"Write something else for {key}." if accused else "No change needed."
            elif what in ("severity", "quote", "diagnosis", "statements", "contradictions"):
                answers[name] = ""
            elif what == "new":
                answers[name] = f"better {given['step_output']}".replace("spoilt", "good")
            else:
                me = prompt.instruction.partition("You are ")[2].partition(".")[0]
                bad = f"{me} spoils" in given["question"] or any("spoilt" in text for text in given.values())
                answers[name] = "wrong" if bad and name == "answer" else f"{'spoilt' if bad else 'good'} {name} of {me}"
        return answers

    return reply


def diagnosed(kind: str, size: int, failures: int, checks: int, seed: int) -> Found:
    """The ranges of one seed by `diagnose`, in a program that a simulated server runs."""
    shares = true_shares(size, seed)
    names = [*(f"hint_{at}" for at in range(size - 1)), "final"]
    guilty = random.Random(f"{kind}, {size}, {failures}, {seed}").choices(names, shares, k=failures)
    devset = [
        dspy.Example(question=f"Question {at}: {name} spoils it.").with_inputs("question")
        for at, name in enumerate(guilty)
    ]
    with SimulatedServer(model(kind, size, seed)) as server, dspy.context(lm=server.lm(cache=False)):
        optimizer = SemanticGradientDescent(lambda example, found, trace=None: found.answer != "wrong", subscribers=())
        found = optimizer.diagnose(Hints(size), devset, checks=checks)
    by = {one.predictor: one for one in found.predictors}
    return [(share, by[name].interval, by[name].if_right) for share, name in zip(shares, names, strict=True)]


def cell(condition: Mapping[str, Any], seeds: Sequence[int], ranges: Callable[[int], Found]) -> Cell:
    """Ask for the ranges of every seed and compare them with the truth."""
    started = time.monotonic()
    found = [one for seed in seeds for one in ranges(seed)]
    return Cell(
        **condition,
        shares=len(found),
        covered=sum(low <= share <= high for share, (low, high), _ in found),
        if_right=sum(low <= share <= high for share, _, (low, high) in found),
        width=round(sum(high - low for _, (low, high), _ in found) / len(found), 4),
        seconds=round((time.monotonic() - started) / len(seeds), 2),
    )


THROUGH_DIAGNOSE = ("misses half", "accuses everybody", "errs in 30 %")


def measured(kind: str, seeds: Sequence[int], smoke: bool) -> list[Cell]:
    """The cells of one kind of reader."""
    cells = []
    programs = (("fan", 4),) if smoke else (("fan", 2), ("fan", 4), ("fan", 10), ("chain", 5))
    for program, size in programs:
        for failures in (15,) if smoke else (15, 40, 100):
            for checks in (0, 8):
                how = (kind, program, size, failures, checks)
                names = ("reader", "program", "predictors", "failures", "checks")
                condition = {**dict(zip(names, how, strict=True)), "through": "estimate_blame"}
                cells.append(cell(condition, seeds, lambda seed, how=how: estimated(*how, seed)))
    if kind in THROUGH_DIAGNOSE[: 1 if smoke else None]:
        condition = {"reader": kind, "program": "fan", "predictors": 4, "failures": 15, "checks": 8}
        condition["through"] = "diagnose"
        cells.append(cell(condition, seeds, lambda seed: diagnosed(kind, 4, 15, 8, seed)))
    return cells


def table(cells: Sequence[Cell]) -> str:
    """Coverage, that given that the reader is right, and mean width."""
    lines = [f"{'reader':22} {'program':9} failures checks  covered  if right  width  through"]
    for one in cells:
        lines.append(
            f"{one.reader:22} {one.program:5} {one.predictors:3} {one.failures:8} {one.checks:6} "
            f"{one.covered / one.shares:8.2f} {one.if_right / one.shares:9.2f} {one.width:6.2f}  {one.through}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the record."""
    parser = argparse.ArgumentParser(
        "blame_intervals", description="Do ranges hold the true shares?", allow_abbrev=False
    )
    parser.add_argument("--seeds", type=int, help="seeds of each cell (3)")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many readers at the same time")
    parser.add_argument("--results_dir", default="./results", help="where the record is written")
    parser.add_argument("--smoke", action="store_true", help="one program, few failures, few seeds")
    config = parser.parse_args()
    started = time.monotonic()
    seeds = range(config.seed, config.seed + (config.seeds or (1 if config.smoke else 3)))
    with ProcessPoolExecutor(config.processes) as pool:
        parts = list(pool.map(measured, READERS, repeat(seeds), repeat(config.smoke)))
    cells = [one for part in parts for one in part]
    record = {
        "study": "blame_intervals",
        **origin(),
        "settings": vars(config),
        "seed": config.seed,
        "simulated": True,
        "seconds": round(time.monotonic() - started, 1),
        "cells": [asdict(one) for one in cells],
    }
    print(f"simulated readers, seed {config.seed}\n{table(cells)}")
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"blame-intervals-simulated-seed{config.seed}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
