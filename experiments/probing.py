"""What proving edges costs, over the programs of the graph corpus, and whether it gives the same edges each time.

    python experiments/probing.py
    python experiments/probing.py --beside PATH   # another checkout of the package too, in the same run, in turn
    python experiments/probing.py --busy 2 --repeats 10   # with two processes beside that compute all the time
    python experiments/probing.py --repeats 10 --ways auto   # whether the edges are the same each time; or "never"

Every program runs alone, traced without replays, and traced with them, in turn, as often as `--repeats` says; the least
of each counts, since other work on the machine only adds. Processor time is that of the process and of those that it
forked. The simulated models of the corpus answer at once: what is timed is DSPy, the tracer and the replays.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
sys.path.append(str(Path(__file__).resolve().parent.parent))

import dspy
from records import origin

from dspy_semantic_backprop import ComputationGraph, trace

# The package is that of the checkout in PYTHONPATH; the programs are these, whatever that one has.
sys.path.insert(0, sys.path.pop())

from tests.graph.corpus import CASES, FINAL, OTHERS, UNSEEN, Case, ScriptedLM, call

ROOT = Path(__file__).resolve().parent.parent
CORPUS = {case.name: case for case in (*CASES, *UNSEEN, *FINAL, *OTHERS)}
WAYS = ("bare", "never", "auto")
RATIOS = {
    "never over bare": ("never", "bare"),
    "auto over never": ("auto", "never"),
    "auto over auto beside": ("auto", "auto beside"),
}


def digest(graph: ComputationGraph) -> str:
    """The calls and edges of a graph, in their order, as 12 hexadecimal digits."""
    told = [[call.id for call in graph], [str(vars(edge)) for edge in graph.edges]]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def once(case: Case, way: str) -> dict[str, Any]:
    """Seconds, processor seconds and edges of one program, run alone ("bare") or traced with that `probe`."""
    program = case.build()
    found = ""
    with dspy.context(lm=ScriptedLM(program, case.answer)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started, used = time.perf_counter(), _processor_seconds()
        if way == "bare":
            with suppress(Exception):
                call(program, case)
        else:
            found = digest(trace(program, case.inputs, probe=way))  # pyright: ignore[reportArgumentType]
        return {"seconds": time.perf_counter() - started, "cpu": _processor_seconds() - used, "edges": found}


def _processor_seconds() -> float:
    used = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def answer_lines() -> None:
    """Be a worker: read a program's name and a way from each line, and answer with what `once` gives, as JSON."""
    logging.disable()
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        name, way = line.split()
        os.write(answers, (json.dumps(once(CORPUS[name], way)) + "\n").encode())


class Worker:
    """A process that runs the programs with one checkout's package."""

    def __init__(self, checkout: Path, stack: ExitStack) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        command = [sys.executable, str(ROOT / "experiments" / "probing.py"), "--worker"]
        pipe, silent = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=silent, text=True)
        stack.callback(self._process.wait)
        stack.callback(self._process.terminate)

    def once(self, name: str, way: str) -> dict[str, Any]:
        """What `once` gives there."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None and answers is not None
        asked.write(f"{name} {way}\n")
        asked.flush()
        return json.loads(answers.readline())


def measure(
    names: list[str], ways: list[str], repeats: int, checkouts: dict[str, Path], busy: int
) -> list[dict[str, Any]]:
    """A row for each program: the least seconds and processor seconds of each way, and the edges of every repeat."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in names}
    with ExitStack() as stack:
        for _ in range(busy):
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(other.wait)
            stack.callback(other.kill)
        workers = {suffix: Worker(checkout, stack) for suffix, checkout in checkouts.items()}
        for worker in workers.values():
            worker.once(names[0], "auto")  # the first use of everything takes longer
        for _ in range(repeats):
            for name in names:
                for way in ways:
                    for suffix, worker in workers.items():
                        found[name].setdefault(way + suffix, []).append(worker.once(name, way))
    return [
        {
            "program": name,
            "seconds": {way: round(min(one["seconds"] for one in several), 5) for way, several in by_way.items()},
            "cpu": {way: round(min(one["cpu"] for one in several), 5) for way, several in by_way.items()},
            "edges": sorted({one["edges"] for one in by_way.get("auto", by_way.get("never", []))}),
        }
        for name, by_way in found.items()
    ]


def ratios(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Which ratio -> its median over the programs, of seconds and of processor seconds."""
    return {
        title: {
            unit: round(statistics.median(row[unit][one] / max(row[unit][other], 1e-5) for row in rows), 2)
            for unit in ("seconds", "cpu")
        }
        for title, (one, other) in RATIOS.items()
        if {one, other} <= rows[0]["seconds"].keys()
    }


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser("probing", description="What proving edges costs.", allow_abbrev=False)
    parser.add_argument("--repeats", type=int, default=3, help="how often each program is run in each way")
    parser.add_argument("--every", type=int, default=1, help="of how many programs of the corpus one is taken")
    parser.add_argument("--programs", nargs="+", choices=CORPUS, metavar="NAME", help="these programs only")
    parser.add_argument("--beside", type=Path, help="another checkout, whose package is measured in the same run")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="how each program is run")
    parser.add_argument("--busy", type=int, default=0, help="how many processes compute beside, all the time")
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="few programs, once")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    config = parser.parse_args()
    if config.worker:
        answer_lines()
        return
    names = config.programs or list(CORPUS)[:: 48 if config.smoke else config.every]
    checkouts = {"": ROOT} | ({" beside": config.beside.resolve()} if config.beside else {})
    rows = measure(names, config.ways, 1 if config.smoke else config.repeats, checkouts, config.busy)
    medians = ratios(rows)
    print(f"{len(rows)} programs, DSPy {dspy.__version__}; medians, of seconds and of processor seconds")
    for title, units in medians.items():
        print(f"  {title:22} {units['seconds']:6.2f} {units['cpu']:6.2f}")
    varied = [row["program"] for row in rows if len(row["edges"]) > 1]
    together = hashlib.sha256(json.dumps([row["edges"] for row in rows]).encode()).hexdigest()[:12]
    print(f"edges {together}; different from repeat to repeat: {', '.join(varied) or 'none'}")
    path = Path(config.results_dir) / "probing-simulated.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {**vars(config), "beside": bool(config.beside)}
    record = {"study": "probing", **origin(), "settings": settings, "seed": 0, "simulated": True}
    record |= {"edges": together, "varied": varied, "medians": medians, "rows": rows}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
