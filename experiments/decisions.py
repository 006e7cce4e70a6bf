"""What optimizers return at a hard cap on calls, in worlds whose truth is known: the true gain, and how often a loss.

    python experiments/decisions.py --results_dir experiments/results

Each run is one world, one seed of it, one size of the sets (as many examples to learn from as to decide on), one cap on
requests to the language model, and one optimizer. Ours keeps the cap itself (`Budget(calls=cap)`); the others are
stopped by the language model, and what counts is the best program that they had evaluated so far. What a program is
worth is computed from its instructions, see `worlds`. Every run is one line of a file, so that a study can go on where
it was stopped. Nothing but the optimizers' time is spent: the language models are in this process.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import math
import multiprocessing
import os
import platform
import shlex
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from contest.guard import BestSoFar
from records import commit
from worlds import KINDS, CapReached, Engine, World, build, examples, instructions, language_model, metric_of

from dspy_semantic_backprop import Budget, SemanticGradientDescent, presets

SIZES, CAPS, SEEDS = (12, 24, 60), (230, 470, 940), 20
FIRST_UNSEEN = 1000
"""Seeds from here on are looked at once; those below are for development."""
STEPS = 1000


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        world: The name of the world.
        seed: Which world of that kind, and the optimizer's seed.
        size: How many examples to learn from, and as many to decide on.
        cap: The most requests.
        optimizer: One of `OPTIMIZERS`.
    """

    world: str
    seed: int
    size: int
    cap: int
    optimizer: str


@dataclass(frozen=True)
class Task:
    """What an optimizer is given.

    Args:
        program: The program.
        learn: Examples to learn from.
        decide: Examples to decide on.
        metric: Grades an answer, with feedback.
        lm: The language model, of the program and of the optimizer.
        engine: What answers it.
        cap: The most requests.
        seed: Of the optimizer's choices.
    """

    program: Any
    learn: list[dspy.Example]
    decide: list[dspy.Example]
    metric: Callable[..., Any]
    lm: dspy.LM
    engine: Engine
    cap: int
    seed: int

    @property
    def steps(self) -> int:
        """How many requests one execution of the program takes."""
        return len(self.program.predictors())

    def score(self, example: dspy.Example, prediction: Any, trace: Any = None) -> float:
        """The score as a number: MIPROv2 takes any other object for a pass."""
        return self.metric(example, prediction).score


def ours(method: Callable[[], presets.Method]) -> Callable[[Task], dspy.Module]:
    """Our optimizer with a method."""

    def compiled(task: Task) -> dspy.Module:
        optimizer = SemanticGradientDescent(
            task.metric,
            steps=STEPS,
            method=method(),
            budget=Budget(calls=task.cap),
            num_threads=1,
            seed=task.seed,
            subscribers=(),
            probe="never",
        )
        return optimizer.compile(task.program, trainset=task.learn, valset=task.decide)

    return compiled


def gepa(task: Task, **settings: Any) -> dspy.Module:
    """GEPA as it comes; the cap ends it."""
    optimizer = dspy.GEPA(
        task.metric,
        max_metric_calls=6 * task.cap // task.steps,
        reflection_lm=task.lm,
        num_threads=1,
        seed=task.seed,
        **settings,
    )
    return optimizer.compile(task.program, trainset=task.learn, valset=task.decide)


def gepa_all(task: Task) -> dspy.Module:
    """GEPA that rewrites all predictors at once."""
    return gepa(task, component_selector="all")


def miprov2(task: Task) -> dspy.Module:
    """MIPROv2 without demonstrations, with as many candidates as the cap has room for."""
    room = task.cap / (task.steps * len(task.decide))

    def trials(candidates: int) -> int:
        return int(max(2 * task.steps * math.log2(candidates), 1.5 * candidates))

    fitting = [one for one in range(3, 19) if 8 * one * task.steps / task.cap + (trials(one) + 1) / room <= 1]
    candidates = max([3, *fitting])
    optimizer = dspy.MIPROv2(
        metric=task.score,
        prompt_model=task.lm,
        task_model=task.lm,
        auto=None,
        num_candidates=candidates,
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        num_threads=1,
        seed=task.seed + 1,
    )
    return optimizer.compile(
        task.program,
        trainset=task.learn,
        valset=task.decide,
        num_trials=3 * trials(candidates),
        minibatch=False,
    )


def simba(task: Task) -> dspy.Module:
    """SIMBA without demonstrations, in the largest size that ends within the cap: it decides at its very end only."""
    last: Any = None
    for steps, batch, seen in _simba_sizes(task):
        optimizer = dspy.SIMBA(
            metric=task.metric, bsize=batch, num_candidates=3, max_steps=steps, max_demos=0, num_threads=1
        )
        lm, engine = language_model(task.engine.world, task.cap)
        optimizer.prompt_model = lm
        with contextlib.suppress(CapReached), dspy.context(lm=lm):
            last = optimizer.compile(task.program, trainset=task.learn[:seen], seed=task.seed)
        task.engine.by_kind = engine.by_kind
        if last is not None:
            return last
    return task.program


def _simba_sizes(task: Task) -> Iterable[tuple[int, int, int]]:
    """Steps, batch size, and examples to choose on at the end, largest first."""
    for steps in range(8, 0, -1):
        for batch in (10, 8, 6, 4):
            left = task.cap - steps * (2 * 3 * batch * task.steps + 3)
            seen = min(len(task.learn), int(1.2 * left / (task.steps * (min(steps, 3) + 1))))
            if batch <= seen and seen >= min(len(task.learn), 10):
                yield steps, batch, seen
                break


def copro(task: Task) -> dspy.Module:
    """COPRO, as broad as its first round fits the cap."""
    breadth = min(10, max(2, round(task.cap / (task.steps * len(task.decide)) / task.steps)))
    optimizer = dspy.COPRO(prompt_model=task.lm, metric=task.score, breadth=breadth, depth=3)
    settings = {"num_threads": 1, "display_progress": False}
    return optimizer.compile(task.program, trainset=task.decide, eval_kwargs=settings)


OPTIMIZERS: dict[str, Callable[[Task], dspy.Module]] = {
    "semantic": ours(presets.semantic),
    "proven": ours(presets.proven),
    "published": ours(presets.published),
    "one_step": ours(presets.one_step),
    "gepa": gepa,
    "gepa, all": gepa_all,
    "miprov2": miprov2,
    "simba": simba,
    "copro": copro,
}


def run(job: Job, **changes: Any) -> dict[str, Any]:
    """Do one run; what it was, the score of the start and of what was returned in truth, requests and seconds."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    world = World(job.world, job.seed, **changes)
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    lm, engine = language_model(world, job.cap)
    program = build(world)
    sets = examples(world, job.size, "learn"), examples(world, job.size, "decide")
    task = Task(program, *sets, metric_of(world), lm, engine, job.cap, job.seed)
    best = BestSoFar(program, job.size)
    before = world.score(world.starts)
    started = time.process_time()
    with dspy.context(lm=lm, callbacks=[best], disable_history=False), _quiet():
        try:
            found = OPTIMIZERS[job.optimizer](task)
        except CapReached:
            found = program.deepcopy()
            found.load_state(best.state)
    after = world.score(instructions(found))
    return {
        **asdict(job),
        "before": round(before, 4),
        "after": round(after, 4),
        "calls": engine.requests,
        "own": engine.by_kind["optimizer"],
        "seconds": round(time.process_time() - started, 2),
    }


@contextlib.contextmanager
def _quiet() -> Any:
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        yield


def key_of(record: Any) -> str:
    """What tells one run from all others."""
    parts = [record[name] for name in ("world", "seed", "size", "cap", "optimizer")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def carry_out(jobs: list[Job], path: Path, workers: int) -> list[dict[str, Any]]:
    """Do the runs that the file does not hold yet; all their records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {}
    if path.exists():
        known = {key_of(one): one for one in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    left = [job for job in jobs if key_of(asdict(job)) not in known]
    with path.open("a", encoding="utf-8") as file, contextlib.ExitStack() as stack:
        if workers > 1:
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(workers))
            done: Iterable[dict[str, Any]] = pool.imap_unordered(run, left)
        else:
            done = map(run, left)
        for number, record in enumerate(done, start=1):
            known[key_of(record)] = record
            file.write(json.dumps(record) + "\n")
            file.flush()
            print(f"{number}/{len(left)}", *record.values(), sep="\t", file=sys.stderr, flush=True)
    return [known[key_of(asdict(job))] for job in jobs]


def table(records: list[dict[str, Any]]) -> str:
    """One line for each world, size, cap and optimizer."""
    lines = ["world\tsize\tcap\toptimizer\truns\tbefore\tafter\terror\tgain\tworse\tcalls\tseconds"]
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in records:
        cells.setdefault((one["world"], one["size"], one["cap"], one["optimizer"]), []).append(one)
    for cell, runs in cells.items():
        gains = [100 * (one["after"] - one["before"]) for one in runs]
        error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        means = [100 * statistics.fmean(one[name] for one in runs) for name in ("before", "after")]
        worse = 100 * statistics.fmean(gain < -1e-6 for gain in gains)
        calls, seconds = (statistics.fmean(one[name] for one in runs) for name in ("calls", "seconds"))
        figures = f"{means[0]:.1f}\t{means[1]:.1f}\t{error:.1f}\t{statistics.fmean(gains):+.1f}\t{worse:.0f} %"
        lines.append("\t".join(map(str, [*cell, len(runs)])) + f"\t{figures}\t{calls:.0f}\t{seconds:.1f}")
    return "\n".join(lines)


def plot(records: list[dict[str, Any]], path: Path) -> None:
    """Draw the mean true score of what was returned: a panel for each world and size, a bar for each cap."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names, caps, worlds, sizes = (
        list(dict.fromkeys(one[key] for one in records)) for key in ("optimizer", "cap", "world", "size")
    )
    figure, grid = pyplot.subplots(
        len(sizes), len(worlds), figsize=(2.4 * len(worlds) + 1.5, 2.8 * len(sizes) + 0.8), sharey=True, squeeze=False
    )
    for row, size in enumerate(sizes):
        for axes, world in zip(grid[row], worlds, strict=True):
            for at, cap in enumerate(caps):
                for place, name in enumerate(names):
                    wanted = (world, size, cap, name)
                    cell = [
                        one for one in records if (one["world"], one["size"], one["cap"], one["optimizer"]) == wanted
                    ]
                    if cell:
                        _bar(axes, place + (at - (len(caps) - 1) / 2) * 0.8 / len(caps), 0.8 / len(caps), cell, at, cap)
            axes.set_yticks(range(len(names)), names)
            axes.set(title=f"{world}, {size} examples", xlim=(0, 100))
    grid[0][0].invert_yaxis()
    handles, labels = grid[0][0].get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    figure.legend(shown.values(), shown.keys(), loc="lower center", ncols=len(shown), frameon=False)
    figure.suptitle("True score in % of what was returned (simulated; line: the start; whiskers: standard error)")
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110)


def _bar(axes: Any, place: float, height: float, cell: list[dict[str, Any]], at: int, cap: int) -> None:
    after = [100 * one["after"] for one in cell]
    error = statistics.stdev(after) / math.sqrt(len(after)) if len(after) > 1 else 0.0
    axes.barh(place, statistics.fmean(after), height, xerr=error, color=f"C{at}", label=f"{cap} calls")
    axes.axvline(100 * statistics.fmean(one["before"] for one in cell), color="0.4", linewidth=0.8)


def keep(records: list[dict[str, Any]], settings: dict[str, Any], machine: str, path: Path) -> None:
    """Write the study's record: how it was made, and a row for each run."""
    columns = list(records[0])
    packages = ("dspy", "gepa", "optuna", "numpy")
    made = {
        "study": "decisions",
        "command": shlex.join(["python", "experiments/decisions.py", *sys.argv[1:]]),
        "settings": settings,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "commit": commit(),
        "machine": machine,
        "simulated": True,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "columns": columns,
    }
    head = json.dumps(made, indent=1)[:-2]
    rows = ",\n  ".join(json.dumps([one[name] for name in columns]) for one in records)
    path.write_text(f'{head},\n "rows": [\n  {rows}\n ]\n}}\n', encoding="utf-8")


def main() -> None:
    """Do the runs, print the table, draw, and write the record."""
    parser = argparse.ArgumentParser("decisions", description="What optimizers return at a cap on calls.")
    parser.add_argument("--worlds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--caps", type=int, nargs="+", default=list(CAPS))
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS), choices=list(OPTIMIZERS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs in each cell")
    parser.add_argument("--first_seed", type=int, default=FIRST_UNSEEN, help="below 1000: seeds for development")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--machine", default="", help="in words, for the record")
    config = parser.parse_args()
    jobs = [
        Job(world, seed, size, cap, optimizer)
        for seed in range(config.first_seed, config.first_seed + config.seeds)
        for world in config.worlds
        for size in config.sizes
        for cap in config.caps
        for optimizer in config.optimizers
    ]
    path = Path(config.results_dir) / "decisions-simulated.jsonl"
    records = carry_out(jobs, path, config.workers)
    order = {name: at for at, name in enumerate([*config.worlds, *config.optimizers])}
    records.sort(key=lambda one: (order[one["world"]], one["size"], one["cap"], order[one["optimizer"]], one["seed"]))
    print(table(records))
    plot(records, path.with_suffix(".png"))
    keep(records, vars(config), config.machine, path.with_suffix(".json"))
    print(path)


if __name__ == "__main__":
    main()
