"""Optimizers in three worlds of a referee who had seen neither the package's code nor its other worlds nor its figures.

    python experiments/unseen.py
    python experiments/unseen.py --seeds 2 --caps 250 --worlds desk --optimizers semantic gepa

Every optimizer is given the same program, examples and number of requests, counted at the server, which answers none
beyond them. The true score of a program is that of 600 cases that no optimizer sees, from the world itself, without a
request. Each run is a line of `unseen.jsonl` in the results' folder; what stands there is not run again, so that a
study can be stopped and gone on with. The record is written when every run that was asked for is there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from records import commit, origin
from unseen.arms import ARMS, LARGEST_ONLY, decide, learn, quietly
from unseen.council import COUNCIL
from unseen.desk import DESK
from unseen.ferry import FERRY, TOLD
from unseen.server import Server
from unseen.table import tables
from unseen.world import World, instructions, truth

WORLDS = {world.name: world for world in (FERRY, COUNCIL, DESK, TOLD)}
COPRO_FITS = "desk"
"""The only world whose executions are cheap enough for COPRO."""


def planned(config: argparse.Namespace) -> list[tuple[str, str, int, int]]:
    """The runs, as world, optimizer, cap and seed; seed by seed, so that a study that was stopped is balanced."""
    return [
        (world, optimizer, cap, seed)
        for seed in range(config.seeds)
        for cap in config.caps
        for world in config.worlds
        for optimizer in config.optimizers
        if (optimizer not in LARGEST_ONLY or cap == max(config.caps)) and (optimizer != "copro" or world == COPRO_FITS)
    ]


def once(world: World, optimizer: str, cap: int, seed: int) -> dict[str, Any]:
    """One run, and what it came to."""
    start, began, used = instructions(world.build()), time.monotonic(), time.process_time()
    examples = learn(world, seed) + decide(world, seed)
    with Server(world, examples, seed, cap) as server, dspy.context(lm=server.lm()), quietly():
        better, ending = ARMS[optimizer](world, server, seed)
    told = instructions(better)
    assert not server.errors, server.errors[0]
    return {
        "world": world.name,
        "optimizer": optimizer,
        "cap": cap,
        "seed": seed,
        "calls": server.requests,
        "refused": server.refused,
        "before": round(truth(world, start), 5),
        "after": round(truth(world, told), 5),
        "changed": told != start,
        "seconds": round(time.monotonic() - began, 2),
        "cpu": round(time.process_time() - used, 2),
        "commit": commit(),
        "instructions": told,
        "said": ending,
    }


def kept(line: dict[str, Any]) -> dict[str, Any]:
    """What of a run stands in the record."""
    said = line["said"]
    left_out = ("said", "instructions", "commit", "seconds")
    claims = {"final": said.get("final"), "ending": said.get("ending") or said.get("error", "")}
    return {name: value for name, value in line.items() if name not in left_out} | claims


def warned(lines: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Optimizer -> warning, its numbers left out -> in how many runs it was given."""
    counts: dict[str, Counter[str]] = {}
    for line in lines:
        for warning in line["said"].get("warnings", ()):
            counts.setdefault(line["optimizer"], Counter())[re.sub(r"\d+(\.\d+)?", "#", warning)] += 1
    return {optimizer: dict(counter.most_common()) for optimizer, counter in counts.items()}


def scores(world: World) -> dict[str, float]:
    """The true score of the start, and of the start with every rule in its place."""
    return {
        "start": round(truth(world, instructions(world.build())), 4),
        "perfect": round(truth(world, world.perfect()), 4),
    }


def main() -> None:
    """Run what is missing, print the tables and write the record."""
    parser = argparse.ArgumentParser(
        "unseen", description="Optimizers in three worlds of a referee.", allow_abbrev=False
    )
    parser.add_argument("--seeds", type=int, default=12, help="how many seeds")
    parser.add_argument("--caps", type=int, nargs="+", default=[250, 500], help="how many requests a run may make")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--optimizers", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--results_dir", default="./results")
    config = parser.parse_args()
    folder = Path(config.results_dir)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "unseen.jsonl"
    known = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    done = {(one["world"], one["optimizer"], one["cap"], one["seed"]): one for one in known}
    for run in planned(config):
        if run not in done:
            world, optimizer, cap, seed = run
            done[run] = once(WORLDS[world], optimizer, cap, seed)
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[run]) + "\n")
    lines = [done[run] for run in planned(config)]
    rows = [kept(line) for line in lines]
    print("\n".join(tables(rows)))
    record = {"study": "unseen", **origin(), "measured_on": sorted({line["commit"] for line in lines})}
    record |= {"settings": vars(config), "seed": 0, "simulated": True}
    record |= {"scores": {name: scores(WORLDS[name]) for name in config.worlds}, "warnings": warned(lines)}
    record |= {"columns": list(rows[0]), "rows": [list(row.values()) for row in rows]}
    path = folder / "unseen-simulated.json"
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
