"""Held-out scores of ours, its ablations and other optimizers at equal calls, on nine graphs.

    python experiments/comparison.py                     # all that can run here, ten seeds, noise 0 and 0.1
    python experiments/comparison.py --optimizers gepa   # only that one; adds to what is there
    python experiments/comparison.py --smoke             # two programs, one seed, under a minute

Every optimizer gets the same program, examples and models, and may send the same number of requests, counted by the
server. `contest/optimizers.py` says how each is set to the cap. DSPy's cache is on, as users have it, and empty at the
start of each run; evaluating the results on held-out examples is not counted. A run is ended at the cap by a guard in
front of the models, and its best program so far is taken; ours is not guarded, its budget must hold.

Each run adds a line to `comparison.jsonl`, which begins with the rows of `comparison.json` where that is there; a run
that is there is not made again. The seed is the outermost loop, so
that what is there when it is cut off is whole but for the last seed; only a program and a seed that all optimizers
have been through, with all noises, get into `comparison.json`. TextGrad and OptoPrime need packages that are no
extras of this project, and are left out loudly without them: pip install textgrad==0.1.8 trace-opt==0.1.3.8

What the simulated model makes of the optimizers' questions, and why the comparison is fair (`simulated/model.py`,
`simulated/guesses.py`):

- Failures with the expected answer (ours, GEPA, SIMBA, TextGrad, OptoPrime): it tries which skill would have led to
  the expected answer, and names it. A draft takes at most two new skills, whoever asks.
- Labelled examples (MIPROv2's description of the data set): it names the form of the labels and every skill that
  leads to them, which is generous; drafts take two of them, other ones in each draft.
- Nothing but instructions (COPRO): it guesses; one guess in a few is that answers be bare, and where the instruction
  says what to judge by, that it be judged by the right sign.
- Skills are all that there is to learn. Demonstrations show the form only; MIPROv2 runs without, SIMBA with them.

A world in which skills are named in whole sentences is kinder than text, and kind to optimizers that read failures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from contest.heat import Heat, run
from contest.optimizers import OPTIMIZERS
from contest.programs import PROGRAMS
from contest.report import differences, standings, tables
from records import append, commit, origin, read
from tqdm.auto import tqdm

SIZES, SMOKE_SIZES = (12, 12, 40), (6, 6, 6)
KEY = ("optimizer", "program", "seed", "noise")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("comparison", description="Optimizers at equal calls.", allow_abbrev=False)
    parser.add_argument("--optimizers", nargs="+", choices=list(OPTIMIZERS), help="none: all that can run here")
    parser.add_argument("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--seed", type=int, default=100, help="the first")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.1], help="shares of answers that slip")
    parser.add_argument("--passes", type=int, default=6, help="the cap, in runs of the program on all of val")
    parser.add_argument("--results_dir", default="./results", help="where the lines and the record are written")
    parser.add_argument("--report", action="store_true", help="run nothing; make the record of what is there")
    parser.add_argument("--smoke", action="store_true", help="two programs, one seed, under a minute")
    return parser.parse_args(argv)


def main() -> None:
    """Run what is not there yet, write the record, and print its tables."""
    config = parse()
    wanted = config.optimizers or list(OPTIMIZERS)
    left_out = {name: OPTIMIZERS[name].needs for name in wanted if not OPTIMIZERS[name].available}
    if left_out and config.optimizers:
        sys.exit(f"error: {next(iter(left_out))} needs a package: pip install {next(iter(left_out.values()))}")
    for name, package in left_out.items():
        print(f"{name} is left out: it needs a package, pip install {package}")
    folder = Path(config.results_dir)
    folder.mkdir(parents=True, exist_ok=True)
    lines, path = folder / "comparison.jsonl", folder / "comparison.json"
    if path.exists() and not lines.exists():
        append(lines, json.loads(path.read_text(encoding="utf-8"))["rows"])
    if not config.report:
        add(lines, list(heats(config, [name for name in wanted if name not in left_out])))
    rows = whole(read(lines))
    if not rows:
        sys.exit("error: no program and seed is complete")
    ran = {row["optimizer"] for row in rows}
    record = recorded(config, rows, {name: package for name, package in left_out.items() if name not in ran})
    print(tables(record))
    print(write(path, record))


def heats(config: argparse.Namespace, optimizers: Sequence[str]) -> Iterator[Heat]:
    """All runs, seed by seed."""
    if config.smoke:
        config.programs, config.seeds, config.noise, config.passes = config.programs[:2], 1, [0.1], 3
    for seed in range(config.seed, config.seed + config.seeds):
        for program in config.programs:
            for noise in config.noise:
                for optimizer in optimizers:
                    yield Heat(optimizer, program, seed, noise, config.passes, SMOKE_SIZES if config.smoke else SIZES)


def add(path: Path, heats: Sequence[Heat]) -> None:
    """Run those that have no line yet, and add their lines."""
    there = {tuple(row[name] for name in KEY) for row in read(path)}
    left = [heat for heat in heats if (heat.optimizer, heat.program, heat.seed, heat.noise) not in there]
    version = commit()
    for heat in tqdm(left, unit="run"):
        append(path, [{**run(heat), "commit": version}])


def whole(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the complete blocks (a program and a seed: all optimizers, all noises), without the instructions."""
    size = len({(row["optimizer"], row["noise"]) for row in rows})
    counts = Counter((row["program"], row["seed"]) for row in rows)
    kept = [row for row in rows if counts[row["program"], row["seed"]] == size]
    kept.sort(key=lambda row: (row["seed"], *map(str, (row[name] for name in KEY))))
    return [{name: value for name, value in row.items() if name != "instructions"} for row in kept]


def recorded(config: argparse.Namespace, rows: list[dict[str, Any]], left_out: dict[str, str]) -> dict[str, Any]:
    """The record."""
    return {
        "study": "comparison",
        **origin(),
        "settings": vars(config),
        "seed": config.seed,
        "commits": sorted({row["commit"] for row in rows}),
        "simulated": True,
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "left_out": left_out,
        "standings": standings(rows),
        "differences": differences(rows),
        "rows": rows,
    }


def write(path: Path, record: dict[str, Any]) -> Path:
    """Write the record, a row in a line; returns its path."""
    rest = {name: value for name, value in record.items() if name != "rows"}
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in record["rows"])
    path.write_text(
        f'{json.dumps(rest, indent=1, ensure_ascii=False)[:-2]},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8"
    )
    return path


if __name__ == "__main__":
    main()
