"""Optimizers in three worlds of an author who had seen the README, the guides and the public names, and no code.

    python experiments/blind.py
    python experiments/blind.py --seeds 2 --caps 250 --worlds claims --optimizers semantic gepa

Every optimizer is given the same program, examples and number of requests, counted in the model, which answers none
beyond them; one thread. The true score of a program is that of 240 cases that no optimizer sees, each with two draws of
the model's noise, without a request. Each run is a line of `blind.jsonl` in the results' folder; what stands there is
not run again. The record is written when every run that was asked for is there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from blind.announce import Announce
from blind.archive import Archive
from blind.arms import ARMS
from blind.claims import Claims
from blind.model import SimulatedModel
from blind.world import World, truth
from records import commit, origin
from unseen.arms import quietly
from unseen.table import tables
from unseen.world import instructions

WORLDS: dict[str, Callable[[], World]] = {world.name: world for world in (Claims, Archive, Announce)}


def planned(config: argparse.Namespace) -> list[tuple[str, str, int, int]]:
    """The runs, as world, optimizer, cap and seed; seed by seed, so that a study that was stopped is balanced."""
    return [
        (world, optimizer, cap, seed)
        for seed in range(1, config.seeds + 1)
        for world in config.worlds
        for cap in config.caps
        for optimizer in config.optimizers
    ]


def once(world: World, optimizer: str, cap: int, seed: int) -> dict[str, Any]:
    """One run, and what it came to."""
    lm, used = SimulatedModel(world, seed, cap), time.process_time()
    with dspy.context(lm=lm, disable_history=True), quietly():
        better, ending = ARMS[optimizer](world, lm, seed)
    used, told = time.process_time() - used, instructions(better)
    noise = (7 * seed + 901, 7 * seed + 902)
    return {
        "world": world.name,
        "optimizer": optimizer,
        "cap": cap,
        "seed": seed,
        "calls": lm.counter.requests,
        "refused": lm.counter.refused,
        "before": round(truth(world, world.start, noise), 4),
        "after": round(truth(world, told, noise), 4),
        "changed": told != world.start,
        "cpu": round(used, 1),
        "commit": commit(),
        "instructions": told,
        "said": ending,
    }


def kept(line: dict[str, Any]) -> dict[str, Any]:
    """What of a run stands in the record."""
    said = line["said"]
    claims = {"final": said.get("final"), "ending": said.get("ending") or said.get("error", "")}
    return {name: value for name, value in line.items() if name not in ("said", "instructions", "commit")} | claims


def main() -> None:
    """Run what is missing, print the tables and write the record."""
    parser = argparse.ArgumentParser("blind", description="Optimizers in three worlds, blindly.", allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=18, help="how many seeds")
    parser.add_argument("--caps", type=int, nargs="+", default=[250, 600], help="how many requests a run may make")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--optimizers", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--results_dir", default="./results")
    config = parser.parse_args()
    folder = Path(config.results_dir)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "blind.jsonl"
    known = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    done = {(one["world"], one["optimizer"], one["cap"], one["seed"]): one for one in known}
    worlds = {name: WORLDS[name]() for name in config.worlds}
    for run in planned(config):
        if run not in done:
            world, optimizer, cap, seed = run
            done[run] = once(worlds[world], optimizer, cap, seed)
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[run]) + "\n")
    lines = [done[run] for run in planned(config)]
    rows = [kept(line) for line in lines]
    print("\n".join(tables(rows)))
    scores = {
        name: {when: round(truth(world, told), 4) for when, told in (("start", world.start), ("all", world.perfect()))}
        for name, world in worlds.items()
    }
    record = {"study": "blind", **origin(), "measured_on": sorted({line["commit"] for line in lines})}
    record |= {"settings": vars(config) | {"results_dir": "./results"}, "seed": 1, "simulated": True, "scores": scores}
    record |= {"columns": list(rows[0]), "rows": [list(row.values()) for row in rows]}
    path = folder / "blind-simulated.json"
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
