"""Held-out score against tokens spent: ours, GEPA, MIPROv2, SIMBA and COPRO on the paper's three pipelines.

    python experiments/efficiency.py                  # simulated model, five seeds, four caps
    python experiments/efficiency.py --noise 0.05     # one answer in twenty slips
    python experiments/efficiency.py --smoke          # one pipeline, one seed, under a minute

Every optimizer gets the same program, examples and models, and may send the same number of requests; each cap is a
run of its own. `contest/optimizers.py` says how each is set to the cap. Requests and tokens are counted by the server;
DSPy's cache is on, as users have it, and empty at the start of each run; evaluating the results on held-out examples
is not counted. A run is ended at the cap by a guard in front of the models, and its best program so far is taken.

What the simulated model makes of the optimizers' questions, and why the comparison is fair (`simulated/model.py`,
`simulated/guesses.py`):

- Failures with the expected answer (semantic, GEPA, SIMBA): it tries which skill would have led to the expected
  answer, and names it. A draft takes at most two new skills, whoever asks.
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
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from contest.heat import Heat, run
from contest.optimizers import OPTIMIZERS
from contest.pipelines import PIPELINES
from contest.report import areas, curves, differences, plot, standings, table
from data import DataError
from records import origin
from tqdm.auto import tqdm

SHARES = (0.125, 0.25, 0.5, 1.0)
SIZES, SMOKE_SIZES = (24, 24, 60), (6, 6, 6)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("efficiency", description="Held-out score against tokens.", allow_abbrev=False)
    parser.add_argument("--optimizers", nargs="+", choices=list(OPTIMIZERS), help="none: all that can run here")
    parser.add_argument("--programs", nargs="+", choices=list(PIPELINES), default=list(PIPELINES))
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--noise", type=float, default=0.0, help="share of the model's answers that slip")
    parser.add_argument("--cap", type=int, default=16, help="largest cap, in runs of the program on all of val")
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES), help="the caps as shares of it")
    parser.add_argument("--data", help="a folder with bbh/, gsm8k/, liar/; none: the project's own questions")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results_dir", default="./results", help="where the record is written")
    parser.add_argument("--smoke", action="store_true", help="one pipeline, one seed, under a minute")
    return parser.parse_args(argv)


def main() -> None:
    """Run every optimizer, print a table, draw, and write the record."""
    config = parse()
    started = time.monotonic()
    wanted = config.optimizers or list(OPTIMIZERS)
    left_out = {name: OPTIMIZERS[name].needs for name in wanted if not OPTIMIZERS[name].available}
    if left_out and config.optimizers:
        sys.exit(f"error: {next(iter(left_out))} needs a package: pip install {next(iter(left_out.values()))}")
    for name, package in left_out.items():
        print(f"{name} is left out: it needs a package, pip install {package}")
    try:
        rows = contested(config, [name for name in wanted if name not in left_out])
    except DataError as error:
        sys.exit(f"error: {error}")
    record = recorded(config, rows, left_out, time.monotonic() - started)
    print(f"simulated model, {config.seeds} seeds from {config.seed}, noise {config.noise:g}")
    print(table(record))
    print(save(config, record))


def contested(config: argparse.Namespace, optimizers: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of all runs, in the order of programs, optimizers, seeds and caps."""
    if config.smoke:
        config.programs, config.seeds, config.cap, config.shares = config.programs[:1], 1, 4, [0.5, 1.0]
    sizes = SMOKE_SIZES if config.smoke else SIZES
    heats = []
    for program in config.programs:
        whole = config.cap * sizes[1] * len(PIPELINES[program].build().predictors())
        caps = tuple(int(share * whole) for share in sorted(config.shares))
        folder = Path(config.data) if config.data else None
        heats += [
            Heat(optimizer, program, seed, caps, sizes, config.noise, folder)
            for optimizer in optimizers
            for seed in range(config.seed, config.seed + config.seeds)
        ]
    if config.processes < 2 or config.smoke:
        done = [run(heat) for heat in heats]
    else:
        with ProcessPoolExecutor(config.processes) as pool:
            # The largest program first, so that no process is left alone with it at the end.
            running = {pool.submit(run, heat): heat for heat in sorted(heats, key=lambda heat: -heat.caps[-1])}
            finished = {running[one]: one.result() for one in tqdm(as_completed(running), total=len(heats), unit="run")}
        done = [finished[heat] for heat in heats]
    return [row for rows in done for row in rows]


def recorded(
    config: argparse.Namespace, rows: list[dict[str, Any]], left_out: dict[str, str], seconds: float
) -> dict[str, Any]:
    """The JSON record."""
    per_seed = areas(rows)
    return {
        "study": "efficiency",
        **origin(),
        "settings": vars(config),
        "seed": config.seed,
        "simulated": True,
        "seconds": round(seconds, 1),
        "left_out": left_out,
        "rows": rows,
        "curves": curves(rows),
        "areas": per_seed,
        "standings": standings(per_seed),
        "differences": differences(per_seed),
    }


def save(config: argparse.Namespace, record: dict[str, Any]) -> Path:
    """Write the plot and the record; returns the record's path."""
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    noise = f"-noise{config.noise:g}" if config.noise else ""
    path = directory / f"efficiency-simulated-seed{config.seed}{noise}.json"
    title = f"Held-out score against tokens (simulated model, {config.seeds} seeds, noise {config.noise:g})"
    plot(record, path.with_suffix(".png"), title)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
