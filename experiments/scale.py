"""The same compile in threads, in two processes, on Dask and on Ray: what it comes to, and its wall time.

    python experiments/scale.py

A program of three predictors in a row on a simulated model that answers after a fixed latency, in a process of its
own; one step. Each engine must come to the same program, decisions and counts. Wall time stands over its ideal (calls x
latency / at once, in whole rounds) and over the critical path of the decisions that were made (with no bound on how
many calls are under way: three rounds for each evaluation, two of questions, one of proposals), beside `dspy.Evaluate`
in the same run. Processes are started within the time that is taken; Dask's and Ray's workers are there before.

    python experiments/scale.py --kills 10

Kills workers and drivers, and a Dask scheduler, at random moments, resumes each run, and compares.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import itertools
import json
import logging
import math
import os
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from records import commit, origin
from soaking.workers import VICTIMS, killed
from throughput import DEPTH, Chain, served, timed, wrong

from dspy_semantic_backprop import SemanticGradientDescent, presets

WORKERS = 2
PATH = 2 * DEPTH + (DEPTH - 1) + 1
"""Rounds on the critical path of one step."""
ENGINES = ("threads", "processes", "dask", "ray")
TITLES = {"Evaluate": "`dspy.Evaluate`", "processes": "2 processes", "dask": "Dask", "ray": "Ray"}


@contextmanager
def engine(name: str, at_once: int) -> Iterator[Any]:
    """What `where=` is given for an engine, with its workers."""
    if name == "dask":
        import dask
        from distributed import Client, LocalCluster

        # On CPython 3.11 its profiler now and then blocks a worker of many threads for ever (gh-106883).
        dask.config.set({"distributed.worker.profile.enabled": False})
        threads = math.ceil(at_once / WORKERS)
        with (
            LocalCluster(n_workers=WORKERS, threads_per_worker=threads, dashboard_address=None) as cluster,  # pyright: ignore[reportArgumentType]
            Client(cluster) as client,
        ):
            yield client
    elif name == "ray":
        import ray

        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            yield "ray"
        finally:
            ray.shutdown()
    else:
        yield WORKERS if name == "processes" else None


def rounds_of(at_once: int, latency: float, asked: int = 0) -> int:
    """How often each thread runs an example in an evaluation."""
    return asked or min(2 if latency >= 0.5 else 10, max(1, math.ceil(320 / at_once)))


def measure(at_once: int, latency: float, whats: list[str], repeats: int, rounds: int = 0) -> Iterator[dict[str, Any]]:
    """A row for `dspy.Evaluate` and for each engine, of those that are asked for."""
    rounds = rounds_of(at_once, latency, rounds)
    count = at_once * rounds
    examples = [dspy.Example(question=f"Question {at}?").with_inputs("question") for at in range(count)]
    evaluation = rounds * DEPTH * latency
    questions = math.ceil(2 / at_once) * (DEPTH - 1) * latency + math.ceil(DEPTH / at_once) * latency
    bounds = 2 * evaluation + questions, PATH * latency, repeats, 2 * count * DEPTH + 2 * (DEPTH - 1) + DEPTH
    evaluate = dspy.Evaluate(devset=examples, metric=wrong, num_threads=at_once, display_progress=False)
    with served(latency):
        for what in whats:
            row = {"at_once": at_once, "latency": latency, "examples": count, "what": what}
            if what == "Evaluate":
                taken = evaluation, DEPTH * latency, repeats, count * DEPTH
                yield row | _timed(lambda: evaluate(Chain()), *taken)
                continue
            found: list[Any] = []
            with engine(what, at_once) as where:
                took = _timed(
                    lambda where=where, found=found: found.append(compiled(examples, at_once, where)), *bounds
                )
            yield row | took | {"came_to": digest(found[0])}


def digest(found: Any) -> str:
    """What tells what two compiles came to apart."""
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()[:16]


def compiled(examples: list[dspy.Example], at_once: int, where: Any) -> dict[str, Any]:
    """What a compile of one step comes to."""
    method, settings = presets.published(), {"steps": 1, "num_threads": at_once, "subscribers": (), "where": where}
    optimizer = SemanticGradientDescent(wrong, method=method, **settings)
    state = optimizer.compile(Chain(), trainset=examples).detailed_results.to_dict()
    counts = {"calls": sum(one["calls"] for one in state["spent"].values()), "metric_calls": state["metric_calls"]}
    said = ("instructions", "steps", "warnings", "ending")
    return {**counts, **{name: state[name] for name in said if name in state}}


def _timed(work: Any, ideal: float, path: float, repeats: int, calls: int) -> dict[str, Any]:
    """Wall time, and the processor time of this process for a call, which the load of a machine changes little."""
    load, used = os.getloadavg()[0], time.process_time()
    seconds = statistics.median(timed(work) for _ in range(repeats))
    used = time.process_time() - used
    ratios = {"over_ideal": round(seconds / ideal, 2), "over_path": round(seconds / path, 2)}
    driver = {"driver_ms": round(1000 * used / repeats / calls, 2)}
    return {"calls": calls, "seconds": round(seconds, 2), **ratios, **driver, "load": round(load, 1)}


def drawn(rows: list[dict[str, Any]], path: Path) -> None:
    """Wall time over its ideal, by how many calls are under way at once."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    latencies = sorted({row["latency"] for row in rows})
    figure, axes = pyplot.subplots(1, len(latencies), figsize=(4 * len(latencies), 3.4), squeeze=False)
    for axis, latency in zip(axes[0], latencies, strict=True):
        for what in dict.fromkeys(row["what"] for row in rows):
            here = [row for row in rows if (row["latency"], row["what"]) == (latency, what)]
            points = sorted((row["at_once"], row["over_ideal"]) for row in here) or [(math.nan, math.nan)]
            axis.plot(*zip(*points, strict=True), marker="o", label=str(TITLES.get(what, what)).strip("`"))
        axis.set(title=f"{1000 * latency:g} ms a call", xlabel="calls at once", xscale="log", yscale="log")
        axis.minorticks_off()
        axis.set_xticks(sizes := sorted({row["at_once"] for row in rows}), map(str, sizes))
        axis.yaxis.set_minor_locator(ticker.LogLocator(subs=(1.5, 2, 3, 5)))
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.yaxis.set_major_formatter("{x:g}")
    axes[0][0].set_ylabel("wall time over its ideal")
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def cell(row: dict[str, Any]) -> str:
    """What a row of the table is called."""
    return f"{TITLES.get(row['what'], row['what'])}, {row['at_once']} x {1000 * row['latency']:g} ms"


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a table of the page."""
    if rows and "victim" in rows[0]:
        heads = ("what", "at request", "calls in the end", "asked again", "violations")
        cells = [
            (one["victim"], one["request"], one["calls"], one["again"], "; ".join(one["violations"]) or "none")
            for one in rows
        ]
    else:
        heads = ("engine, calls at once x latency", "calls", "wall time, s", "over ideal", "over the critical path")
        heads += ("driver's processor time for a call, ms", "load of the machine")
        told = ("over_ideal", "over_path", "driver_ms", "load")
        cells = [
            (cell(one), f"{one['calls']:,}", f"{one['seconds']:.1f}", *(one[name] for name in told)) for one in rows
        ]
    lines = [heads, ["---"] * len(heads), *cells]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def paged(path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write a table into the page, between the comments of its name."""
    text, mark = path.read_text(encoding="utf-8"), f"<!-- {name} -->\n"
    before, _, after = text.split(mark)
    path.write_text(f"{before}{mark}\n{table(rows)}\n{mark}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser("scale", description="The same compile in threads, processes, on Dask and on Ray.")
    parser.add_argument("--at_once", type=int, nargs="+", default=[8, 64, 256])
    parser.add_argument("--latencies", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=0, help="how often a thread runs an example; 0: a few times")
    parser.add_argument("--kills", type=int, default=0, help="kill so many of each instead of measuring")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--page", help="the page whose tables are written")
    parser.add_argument("--smoke", action="store_true", help="one short run")
    config = parser.parse_args()
    if config.smoke:
        config.at_once, config.latencies, config.engines = [2], [0.01], ["threads", "processes"]
    logging.disable(logging.WARNING)
    needed = {"dask": "distributed", "ray": "ray"}
    for name in [one for one in config.engines if importlib.util.find_spec(needed.get(one, "dspy")) is None]:
        print(f"{name} is not installed and is left out")
        config.engines.remove(name)
    name = "scale-kills-simulated" if config.kills else "scale-long-simulated" if config.rounds else "scale-simulated"
    path = Path(config.results_dir) / f"{name}.json"
    known = rows_of(path, config)
    if known:
        print(f"{len(known)} rows are in {path}")
    rows = kept(config, path, known, kills(config, known) if config.kills else measured(config, known))
    if config.page:
        paged(Path(config.page), name, rows)
    if not config.kills:
        with contextlib.suppress(ImportError):
            drawn(rows, path.with_suffix(".png"))


def kills(config: argparse.Namespace, known: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each kill that is not known."""
    victims = VICTIMS if "dask" in config.engines else VICTIMS[:-1]
    for row in killed(config.kills, config.seed, victims, len(known)):
        print(row, flush=True)
        yield row


def measured(config: argparse.Namespace, known: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each cell of the matrix that is not known."""
    heads = ("what", "seconds", "over_ideal", "over_path", "driver_ms", "same", "load")
    print("simulated model: wall time\nat once  latency s", *(f"{one:>10}" for one in heads))
    with served(0.001):
        compiled([dspy.Example(question="Which?").with_inputs("question")], 1, None)  # imports, once and not in a row
    came_to = {(row["at_once"], row["latency"]): row["came_to"] for row in known if row["what"] == "threads"}
    there = {(row["at_once"], row["latency"], row["what"]) for row in known}
    for at_once, latency in itertools.product(config.at_once, config.latencies):
        left = [one for one in ("Evaluate", *config.engines) if (at_once, latency, one) not in there]
        for row in measure(at_once, latency, left, config.repeats, config.rounds) if left else ():
            if row["what"] != "Evaluate":
                row["same"] = row["came_to"] == came_to.setdefault((at_once, latency), row["came_to"])
            print(f"{at_once:7}  {latency:9g}", *(f"{row.get(name, '')!s:>10}" for name in heads), flush=True)
            yield row


def rows_of(path: Path, config: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows that the same command has written on the same code; a smoke run begins anew."""
    if not path.exists() or config.smoke:
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    asked = ("at_once", "latencies", "engines", "repeats", "rounds", "kills", "seed")
    same = all(found["settings"].get(name) == getattr(config, name) for name in asked)
    return found["rows"] if same and found["commit"] == commit() else []


def kept(
    config: argparse.Namespace, path: Path, known: list[dict[str, Any]], rows: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """All rows; the record is written anew with each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {**vars(config), "cores": os.cpu_count()}
    head = {"study": "scale", **origin(), "settings": settings, "simulated": True, "seed": config.seed}
    found = list(known)
    for row in rows:
        found.append(row)
        path.write_text(json.dumps(head | {"rows": found}, indent=1) + "\n", encoding="utf-8")
    print(path)
    return found


if __name__ == "__main__":
    main()
