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
import importlib.util
import json
import logging
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from records import origin
from soaking.workers import VICTIMS, killed
from throughput import DEPTH, Chain, serve, timed, wrong

from dspy_semantic_backprop import SemanticGradientDescent, presets

WORKERS = 2
PATH = 2 * DEPTH + (DEPTH - 1) + 1
"""Rounds on the critical path of one step."""
ENGINES = ("threads", "processes", "dask", "ray")


@contextmanager
def engine(name: str, at_once: int) -> Iterator[Any]:
    """What `where=` is given for an engine, with its workers."""
    if name == "dask":
        from distributed import Client, LocalCluster

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


@contextmanager
def served(latency: float) -> Iterator[None]:
    """The simulated model, in a process of its own, as DSPy's."""
    context = multiprocessing.get_context("spawn")
    address = context.Queue()
    server = context.Process(target=serve, args=(address, latency), daemon=True)
    server.start()
    url, model = address.get()
    try:
        lm = dspy.LM(f"openai/{model}", api_base=url, api_key="simulated", cache=False, temperature=0.0)
        with dspy.context(lm=lm):
            yield
    finally:
        server.kill()


def measure(at_once: int, latency: float, engines: list[str], repeats: int) -> list[dict[str, Any]]:
    """A row for `dspy.Evaluate`, and one for each engine."""
    rounds = 3 if latency >= 0.5 or at_once > 64 else 5
    count = at_once * rounds
    examples = [dspy.Example(question=f"Question {at}?").with_inputs("question") for at in range(count)]
    evaluation = rounds * DEPTH * latency
    questions = math.ceil(2 / at_once) * (DEPTH - 1) * latency + math.ceil(DEPTH / at_once) * latency
    base = {"at_once": at_once, "latency": latency, "examples": count}
    with served(latency):
        evaluate = dspy.Evaluate(devset=examples, metric=wrong, num_threads=at_once, display_progress=False)
        rows = [
            {
                **base,
                "what": "Evaluate",
                **_timed(lambda: evaluate(Chain()), evaluation, DEPTH * latency, repeats, count * DEPTH),
            }
        ]
        for name in engines:
            with engine(name, at_once) as where:
                found: list[Any] = []
                took = _timed(
                    lambda where=where, found=found: found.append(compiled(examples, at_once, where)),
                    2 * evaluation + questions,
                    PATH * latency,
                    repeats,
                    2 * count * DEPTH + 2 * (DEPTH - 1) + DEPTH,
                )
            rows.append({**base, "what": name, **took, "came_to": found[0]})
    first = rows[1]["came_to"]
    for row in rows[1:]:
        row["same"] = row.pop("came_to") == first
    return rows


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
    from matplotlib import pyplot

    latencies = sorted({row["latency"] for row in rows})
    figure, axes = pyplot.subplots(1, len(latencies), figsize=(4 * len(latencies), 3.4), squeeze=False)
    for axis, latency in zip(axes[0], latencies, strict=True):
        for what in dict.fromkeys(row["what"] for row in rows):
            here = sorted(
                (row["at_once"], row["over_ideal"]) for row in rows if (row["latency"], row["what"]) == (latency, what)
            )
            axis.plot(*zip(*here, strict=True), marker="o", label=what)
        axis.set(title=f"{1000 * latency:g} ms a call", xlabel="calls at once", xscale="log", yscale="log")
    axes[0][0].set_ylabel("wall time over its ideal")
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser("scale", description="The same compile in threads, processes, on Dask and on Ray.")
    parser.add_argument("--at_once", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--latencies", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0, help="kill so many of each instead of measuring")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="one short run")
    config = parser.parse_args()
    if config.smoke:
        config.at_once, config.latencies, config.engines = [2], [0.01], ["threads", "processes"]
    logging.disable(logging.WARNING)
    needed = {"dask": "distributed", "ray": "ray"}
    for name in [one for one in config.engines if importlib.util.find_spec(needed.get(one, "dspy")) is None]:
        print(f"{name} is not installed and is left out")
        config.engines.remove(name)
    if config.kills:
        victims = VICTIMS if "dask" in config.engines else VICTIMS[:2]
        kept(config, "scale-kills-simulated", map(told, killed(config.kills, config.seed, victims)))
        return
    heads = ("what", "seconds", "over_ideal", "over_path", "driver_ms", "same", "load")
    print("simulated model: wall time\nat once  latency s", *(f"{one:>10}" for one in heads))

    def measured() -> Iterator[dict[str, Any]]:
        for at_once in config.at_once:
            for latency in config.latencies:
                for row in measure(at_once, latency, config.engines, config.repeats):
                    shown = (f"{row.get(name, '')!s:>10}" for name in heads)
                    print(f"{at_once:7}  {latency:9g}", *shown, flush=True)
                    yield row

    path = kept(config, "scale-simulated", measured())
    with contextlib.suppress(ImportError):
        drawn(json.loads(path.read_text(encoding="utf-8"))["rows"], path.with_suffix(".png"))


def told(row: dict[str, Any]) -> dict[str, Any]:
    """A row, printed."""
    print(row, flush=True)
    return row


def kept(config: argparse.Namespace, name: str, rows: Iterable[dict[str, Any]]) -> Path:
    """Write the record, anew with each row."""
    path = Path(config.results_dir) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {**vars(config), "cores": os.cpu_count()}
    record = {"study": "scale", **origin(), "settings": settings, "simulated": True, "seed": config.seed, "rows": []}
    for row in rows:
        record["rows"].append(row)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    return path


if __name__ == "__main__":
    main()
