"""Processor time of a compile for each call, over that of `dspy.Evaluate`, before and after a change.

    python experiments/own_time.py --versions 51d4631 HEAD

Each version of the package is checked out beside, and measured in processes of its own, in turn: a program of three
predictors in a row on a simulated model in another process, one step of `presets.published()`, and `dspy.Evaluate` on
the same examples right before. Processor time of the process that compiles, which the load of a machine changes little;
the first compile of each process is left out.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from records import origin
from throughput import DEPTH, Chain, serve, wrong

from dspy_semantic_backprop import SemanticGradientDescent, presets

HERE = Path(__file__).resolve().parent


def measure(at_once: int, latency: float, rounds: int) -> dict[str, float]:
    """Milliseconds of processor time for a call, and wall time over its ideal, of both."""
    context = multiprocessing.get_context("spawn")
    address = context.Queue()
    server = context.Process(target=serve, args=(address, latency), daemon=True)
    server.start()
    url, model = address.get()
    examples = [dspy.Example(question=f"Question {at}?").with_inputs("question") for at in range(at_once * rounds)]
    calls = len(examples) * DEPTH
    evaluate = dspy.Evaluate(devset=examples, metric=wrong, num_threads=at_once, display_progress=False)
    optimizer = SemanticGradientDescent(wrong, method=presets.published(), steps=1, num_threads=at_once, subscribers=())
    try:
        with dspy.context(lm=dspy.LM(f"openai/{model}", api_base=url, api_key="none", cache=False, temperature=0.0)):
            optimizer.compile(Chain(), trainset=examples[:at_once])
            own = _taken(lambda: evaluate(Chain()), calls, rounds * DEPTH * latency)
            extra = 2 * (DEPTH - 1) + DEPTH
            ideal = 2 * rounds * DEPTH * latency + DEPTH * latency
            ours = _taken(lambda: optimizer.compile(Chain(), trainset=examples), 2 * calls + extra, ideal)
    finally:
        server.kill()
    return {"evaluate_ms": own[0], "compile_ms": ours[0], "evaluate_wall": own[1], "compile_wall": ours[1]}


def _taken(work: Callable[[], Any], calls: int, ideal: float) -> tuple[float, float]:
    seconds, used = time.perf_counter(), time.process_time()
    work()
    seconds, used = time.perf_counter() - seconds, time.process_time() - used
    return round(1000 * used / calls, 2), round(seconds / ideal, 2)


def in_turn(config: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each version and number of calls at once: medians of runs in turn."""
    with tempfile.TemporaryDirectory() as folder:
        trees = {version: Path(folder) / str(at) for at, version in enumerate(config.versions)}
        for version, tree in trees.items():
            _git("worktree", "add", "--detach", str(tree), version)
        try:
            found: dict[tuple[int, str], list[dict[str, float]]] = {}
            for _ in range(config.repeats):
                for at_once in config.at_once:
                    for version, tree in trees.items():
                        found.setdefault((at_once, version), []).append(_elsewhere(tree, at_once, config))
        finally:
            for tree in trees.values():
                _git("worktree", "remove", "--force", str(tree))
    return [_row(version, at_once, runs) for (at_once, version), runs in found.items()]


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(HERE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _elsewhere(tree: Path, at_once: int, config: argparse.Namespace) -> dict[str, float]:
    """One measurement with the package of another tree, by the experiments of this one."""
    command = [sys.executable, __file__, "--once", "--at_once", str(at_once), "--latency", str(config.latency)]
    command += ["--rounds", str(config.rounds)]
    path = os.pathsep.join([str(tree), str(HERE)])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True, text=True)
    print(tree.name, at_once, done.stdout.strip(), flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def _row(version: str, at_once: int, runs: list[dict[str, float]]) -> dict[str, Any]:
    middle = {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}
    ratio = statistics.median(run["compile_ms"] / run["evaluate_ms"] for run in runs)
    wall = statistics.median(run["compile_wall"] / run["evaluate_wall"] for run in runs)
    known = {"version": _git("rev-parse", "--short", version), "at_once": at_once, **middle}
    return {**known, "ratio": round(ratio, 2), "wall_ratio": round(wall, 2), "runs": runs}


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser("own_time", description="Processor time of a compile over that of Evaluate.")
    parser.add_argument("--versions", nargs="+", default=["HEAD"])
    parser.add_argument("--at_once", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=5, help="examples for each call at once")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--once", action="store_true", help="measure the installed package once, and print that")
    parser.add_argument("--smoke", action="store_true", help="one short measurement")
    config = parser.parse_args()
    logging.disable(logging.WARNING)
    if config.once or config.smoke:
        at_once, latency, rounds = (2, 0.01, 1) if config.smoke else (config.at_once[0], config.latency, config.rounds)
        print(json.dumps(measure(at_once, latency, rounds)))
        return
    rows = in_turn(config)
    print("simulated model; processor milliseconds for a call\nversion  at once  Evaluate  compile  ratio  wall ratio")
    for row in rows:
        numbers = (row["evaluate_ms"], row["compile_ms"], row["ratio"], row["wall_ratio"])
        print(f"{row['version']}  {row['at_once']:7}", *(f"{one:8.2f}" for one in numbers))
    path = Path(config.results_dir) / "own-time-simulated.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"study": "own-time", **origin(), "settings": vars(config), "seed": 0, "simulated": True, "rows": rows}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
