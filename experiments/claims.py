"""How often a gain is claimed where no edit has any effect.

    python experiments/claims.py --results_dir experiments/results

Every run is a `compile` of the default with a hard cap on requests, in a world in which no piece of advice has an
effect on how often a step errs, and every change of an instruction draws the answers anew: whatever looks like a gain
is luck. Counted is how often the ending says "more than luck". Every run is one line of a file, so that a study can go
on where it was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import platform
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from worlds import World, build, examples, language_model, metric_of
from worlds.world import uniform

from dspy_semantic_backprop import Budget, SemanticGradientDescent

PREDICTORS, RUNS, STATED = (1, 3, 10), 500, 0.05
SCORES = ("binary", "graded")
ERRORS = {1: 0.5, 3: 0.2, 10: 0.07}
"""Predictors -> how often each errs: the program is right in about one half of the cases."""


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        predictors: How many predictors the program has.
        scores: "binary": right or wrong; "graded": what is wrong may be more or less close.
        size: How many examples to learn from, and as many to decide on.
        calls: The most requests.
        seed: Which world, and the optimizer's seed.
    """

    predictors: int
    scores: str
    size: int
    calls: int
    seed: int


def run(job: Job) -> dict[str, Any]:
    """Do one run; what it was, and what its ending said."""
    error = ERRORS.get(job.predictors, 0.7 / job.predictors)
    world = World("mute", job.seed, steps=job.predictors, error=error, helpful=0.0, harmful=0.0)
    metric = metric_of(world) if job.scores == "binary" else closeness(metric_of(world))
    lm, engine = language_model(world, job.calls)
    optimizer = SemanticGradientDescent(
        metric,
        steps=1000,
        budget=Budget(calls=job.calls),
        num_threads=1,
        seed=job.seed,
        subscribers=(),
        probe="never",
    )
    started = time.process_time()
    with dspy.context(lm=lm):
        sets = {"trainset": examples(world, job.size, "learn"), "valset": examples(world, job.size, "decide")}
        final = optimizer.compile(build(world), **sets).detailed_results.final
    return {
        **asdict(job),
        "returned": final is not None and final.returned,
        "claimed": final is not None and final.returned and final.proven,
        "p_value": None if final is None else round(final.p_value, 4),
        "requests": engine.requests,
        "seconds": round(time.process_time() - started, 2),
    }


def closeness(metric: Callable[..., Any]) -> Callable[..., Any]:
    """A metric that gives a wrong answer some of the score, by the answer."""

    def graded(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        found = metric(gold, pred)
        said = str(pred.get("answer", "")).split(" ")[0]
        return found if found.score else dspy.Prediction(score=uniform(gold.answer, said), feedback=found.feedback)

    return graded


def carry_out(jobs: list[Job], path: Path) -> Iterator[dict[str, Any]]:
    """Do the runs that the file does not hold yet; all their records, in the jobs' order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    names = list(asdict(jobs[0]))
    known = {Job(**{name: one[name] for name in names}): one for one in map(json.loads, lines)}
    with path.open("a", encoding="utf-8") as file:
        for number, job in enumerate(jobs, start=1):
            if job not in known:
                known[job] = run(job)
                file.write(json.dumps(known[job]) + "\n")
                file.flush()
                print(f"{number}/{len(jobs)}", *known[job].values(), sep="\t", file=sys.stderr, flush=True)
            yield known[job]


def table(records: list[dict[str, Any]]) -> str:
    """One line for each number of predictors and kind of scores."""
    from scipy import stats

    lines = ["predictors\tscores\truns\treturned\tclaimed\tshare\t95 % sure"]
    cells: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for one in records:
        cells.setdefault((one["predictors"], one["scores"]), []).append(one)
    for (predictors, scores), runs in cells.items():
        returned, claimed = (sum(one[name] for one in runs) for name in ("returned", "claimed"))
        sure = stats.binomtest(claimed, len(runs)).proportion_ci(method="wilson")
        share = f"{claimed / len(runs):.3f}\t{sure.low:.3f} to {sure.high:.3f}"
        lines.append(f"{predictors}\t{scores}\t{len(runs)}\t{returned}\t{claimed}\t{share}")
    return "\n".join(lines)


def keep(records: list[dict[str, Any]], config: argparse.Namespace, path: Path) -> None:
    """Write the study's record: how it was made, and a row for each run."""
    columns = list(records[0])
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    made = {
        "study": "claims",
        "command": shlex.join(["python", "experiments/claims.py", *sys.argv[1:]]),
        "settings": vars(config) | {"stated": STATED},
        "date": datetime.now(timezone.utc).date().isoformat(),
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        "machine": config.machine,
        "simulated": True,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("dspy", "numpy", "scipy")},
        },
        "columns": columns,
    }
    rows = ",\n  ".join(json.dumps([one[name] for name in columns]) for one in records)
    path.write_text(f'{json.dumps(made, indent=1)[:-2]},\n "rows": [\n  {rows}\n ]\n}}\n', encoding="utf-8")


def main() -> None:
    """Do the runs, print the table, and write the record."""
    parser = argparse.ArgumentParser("claims", description="How often a gain is claimed where there is none.")
    parser.add_argument("--predictors", type=int, nargs="+", default=list(PREDICTORS))
    parser.add_argument("--scores", nargs="+", default=list(SCORES), choices=SCORES)
    parser.add_argument("--size", type=int, default=24, help="examples to learn from, and as many to decide on")
    parser.add_argument("--calls", type=int, default=230, help="the most requests of a run")
    parser.add_argument("--runs", type=int, default=RUNS, help="in each cell")
    parser.add_argument("--first_seed", type=int, default=1000)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--machine", default="", help="in words, for the record")
    config = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    jobs = [
        Job(predictors, scores, config.size, config.calls, seed)
        for seed in range(config.first_seed, config.first_seed + config.runs)
        for predictors in config.predictors
        for scores in config.scores
    ]
    path = Path(config.results_dir) / "claims-simulated.jsonl"
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        records = list(carry_out(jobs, path))
    records.sort(key=lambda one: (one["predictors"], one["scores"], one["seed"]))
    print(table(records))
    keep(records, config, path.with_suffix(".json"))
    print(path.with_suffix(".json"))


if __name__ == "__main__":
    main()
