"""Does optimisation help with a real model, and does the graph? BBH's layered program, arms at equal calls.

    python experiments/real_model.py --data DATA --base_model openai/local --api_base http://127.0.0.1:8799/v1

DATA has `bbh/<task>.json`. Every cell (task, seed, arm) is optimised with the same budget of requests, and its program
is run on held-out questions before and after; each is a line of `--lines`, and a known one is not run again. What an
optimisation paid for is in a folder beside these lines: one that was killed goes on from there. Seeds come first, so
that a run that ends early has all arms of a seed. An arm is a preset by its name.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import multiprocessing
import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from data import bbh
from harness import Config, Job, evaluate, folder, real, shortened
from records import average, origin
from tqdm.auto import tqdm

from dspy_semantic_backprop import Budget, SemanticGradientDescent, presets
from dspy_semantic_backprop.programs import LayeredProgram, format_normalised_match, verbatim_match

RECORD = Path(__file__).parent / "results" / "real-model.json"
ARMS = ("semantic", "isolated", "one_step")
TASKS = ("object_counting", "boolean_expressions", "formal_fallacies")
Cell = tuple[str, int, str]
"""Task, seed and arm."""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("real_model", description="Does the graph help a real model?", allow_abbrev=False)
    parser.add_argument("--data", required=True, help="the folder with bbh/")
    parser.add_argument("--base_model", required=True, help="any LiteLLM string")
    parser.add_argument("--api_base", nargs="*", default=[], help="addresses of servers of this model, taken in turn")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=("semantic", "published", *presets.PLACEBOS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--calls", type=int, default=400, help="requests that one optimisation may send")
    parser.add_argument("--train", type=int, default=30, help="questions to learn from")
    parser.add_argument("--held_out", type=int, default=60, help="questions that no optimisation sees")
    parser.add_argument("--max_tokens", type=int, default=512, help="the most tokens of one answer")
    parser.add_argument("--threads", type=int, default=16, help="programs at once in one cell")
    parser.add_argument("--processes", type=int, default=4, help="cells at once")
    parser.add_argument("--minutes", type=float, default=math.inf, help="an optimisation ends after so many minutes")
    parser.add_argument("--lines", default="real-model.jsonl", help="every cell, as JSON lines; known ones are kept")
    parser.add_argument("--record", default=str(RECORD), help="where the record is written")
    return parser.parse_args(argv)


def how(config: argparse.Namespace) -> dict[str, Any]:
    """What a cell depends on besides task, seed and arm."""
    names = ("base_model", "calls", "train", "held_out", "max_tokens", "threads")
    return {name: getattr(config, name) for name in names}


def paid_for(which: Cell, config: argparse.Namespace) -> Path:
    """The folder of one optimisation's log: another one for other settings."""
    settings = hashlib.sha256(json.dumps(how(config)).encode()).hexdigest()[:8]
    return Path(config.lines).with_suffix("") / "-".join([*map(str, which), settings])


def job(task: str, seed: int, config: argparse.Namespace, flags: Config) -> Job:
    """The task with its split."""
    split = bbh.load(task, folder=folder(flags), train=config.train, seed=seed)
    return shortened(Job(task, LayeredProgram, verbatim_match, format_normalised_match, split), flags)


def cell(which: Cell, number: int, config: argparse.Namespace) -> dict[str, Any]:
    """Optimise one program and run it on held-out questions, before and after."""
    task, seed, arm = which
    started = time.monotonic()
    server = config.api_base[number % len(config.api_base)] if config.api_base else None
    flags = Config(
        api_base=server,
        max_tokens=config.max_tokens,
        max_threads=config.threads,
        held_out=config.held_out,
        data=config.data,
        seed=seed,
    )
    mine = job(task, seed, config, flags)
    # All arms of a task and seed start from one program: its held-out answers are asked for once and then in the cache.
    lm = real(config.base_model, flags, 600)
    program = mine.build()
    with dspy.context(lm=lm):
        before = evaluate(program, mine, flags, f"{task}, {arm}, {seed}: before")
    seconds = None if math.isinf(config.minutes) else 60 * config.minutes
    with dspy.context(lm=lm.copy(cache=False)):
        optimizer = SemanticGradientDescent(
            mine.metric,
            method=getattr(presets, arm)(),
            budget=Budget(calls=config.calls, seconds=seconds),
            num_threads=config.threads,
            seed=seed,
            subscribers=(),
            log_dir=paid_for(which, config),
        )
        better: Any = optimizer.compile(program, trainset=mine.split.train)
    result = better.detailed_results
    same = result.instructions_before == result.instructions_after
    with dspy.context(lm=lm):
        after = before if same else evaluate(better, mine, flags, f"{task}, {arm}, {seed}: after")
    return {
        **dict(zip(("task", "seed", "arm"), which, strict=True)),
        "how": how(config),
        "train": {"before": result.score_before, "after": result.score_after},
        "exact": {"before": before.scores, "after": after.scores},
        "lenient": {"before": before.lenient, "after": after.lenient},
        "missing": before.missing + after.missing,
        "changed": not same,
        "ending": result.ending.value,
        "calls": result.total.calls,
        "tokens": result.total.tokens,
        "spent": {purpose: asdict(spent) for purpose, spent in result.spent.items()},
        "notes": dict(result.notes),
        "warnings": list(result.warnings),
        "instructions": {"before": dict(result.instructions_before), "after": dict(result.instructions_after)},
        "steps": [step.to_dict() for step in result.steps],
        "seconds": round(time.monotonic() - started, 1),
    }


def rows(cells: Sequence[dict[str, Any]], arms: Sequence[str]) -> Iterator[dict[str, Any]]:
    """For each task, and for all, what each arm gained on held-out questions, in metric points."""
    by_task = {task: [one for one in cells if one["task"] == task] for task in dict.fromkeys(x["task"] for x in cells)}
    for task, some in {**by_task, "all": list(cells)}.items():
        for arm in arms:
            if mine := [one for one in some if one["arm"] == arm]:
                yield row(task, arm, mine)


def row(task: str, arm: str, mine: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the cells of an arm; the intervals are over cells, none with fewer than three."""
    gains = {"lenient_gain": [one["lenient"]["after"] - one["lenient"]["before"] for one in mine]}
    gains["exact_gain"] = [average(one["exact"]["after"]) - average(one["exact"]["before"]) for one in mine]
    means = {
        f"{kind}_{when}": average([average([*value(one[kind][when])]) for one in mine])
        for kind in ("lenient", "exact")
        for when in ("before", "after")
    }
    return {
        "task": task,
        "arm": arm,
        "n": len(mine),
        **means,
        **{name: average(some) for name, some in gains.items()},
        **{f"{name}_interval": interval(some) for name, some in gains.items()},
        "changed": sum(one["changed"] for one in mine),
        "calls": average([one["calls"] for one in mine]),
        "tokens": average([one["tokens"] for one in mine]),
    }


def value(scores: Any) -> Sequence[float]:
    """Scores, or the one mean that there is."""
    return scores if isinstance(scores, list) else [scores]


def pairs(cells: Sequence[dict[str, Any]], arms: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every two arms, by task and seed: how much more the first gained, format aside and exactly."""
    at = {(one["task"], one["seed"], one["arm"]): one for one in cells}
    for first, second in itertools.combinations(arms, 2):
        places = [(task, seed) for task, seed, arm in at if arm == first and (task, seed, second) in at]
        for kind in ("lenient", "exact"):
            ahead = [
                average([*value(at[task, seed, first][kind]["after"])])
                - average([*value(at[task, seed, second][kind]["after"])])
                for task, seed in places
            ]
            if ahead:
                found = {"n": len(ahead), "ahead": average(ahead), "interval": interval(ahead), "p": sign_flips(ahead)}
                yield {"arms": [first, second], "score": kind, **found}


def interval(numbers: Sequence[float]) -> list[float]:
    """The 95 % t interval of a mean; none of fewer than three."""
    from scipy.stats import sem, t

    if len(numbers) < 3:
        return []
    half = float(t.ppf(0.975, len(numbers) - 1) * sem(numbers))
    return [average(numbers) - half, average(numbers) + half]


def sign_flips(numbers: Sequence[float]) -> float:
    """The p-value of a mean other than 0, by flipping signs at random, 10,000 times."""
    rng, seen = random.Random(0), abs(math.fsum(numbers))
    drawn = (abs(math.fsum(rng.choice((-one, one)) for one in numbers)) for _ in range(10_000))
    return (1 + sum(one >= seen - 1e-12 for one in drawn)) / 10_001


def end_with_parent() -> None:
    """End this process with the one that started it, which alone writes cells down: nobody would know what it paid."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run(config: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the cells that are not known yet; each is written down as it ends."""
    lines = Path(config.lines)
    known = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()] if lines.exists() else []
    known = [one for one in known if one["how"] == how(config)]
    wanted = [(task, seed, arm) for seed in config.seeds for task in config.tasks for arm in config.arms]
    there = {(one["task"], one["seed"], one["arm"]) for one in known}
    waiting = [which for which in wanted if which not in there]
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(config.processes, len(waiting)))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        running = {pool.submit(cell, which, at, config): which for at, which in enumerate(waiting)}
        for done in tqdm(as_completed(running), total=len(running), unit="cell"):
            if (error := done.exception()) is not None:
                print(f"{running[done]}: {type(error).__name__}: {error}", file=sys.stderr)
                continue
            known.append(done.result())
            with lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known[-1], ensure_ascii=False, default=str) + "\n")
    return [one for which in wanted for one in known if (one["task"], one["seed"], one["arm"]) == which]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print the rows, and write the record."""
    config, started = parse(argv), time.monotonic()
    cells = run(config)
    record = {
        "study": "real-model",
        **origin(),
        "settings": how(config),
        "seconds": round(time.monotonic() - started, 1),
        "rows": [*rows(cells, config.arms)],
        "pairs": [*pairs(cells, config.arms)],
        "cells": [{name: of for name, of in one.items() if name not in ("how", "steps")} for one in cells],
    }
    Path(config.record).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for one in record["rows"]:
        print(told(one))
    for one in record["pairs"]:
        print(
            f"{' over '.join(one['arms'])}, {one['score']}: {one['ahead']:+.3f} in {one['n']} cells, p = {one['p']:.2g}"
        )
    print(config.record)
    return record


def told(one: dict[str, Any]) -> str:
    """A row in one line."""
    scores = ", ".join(
        f"{kind} {one[f'{kind}_before']:.3f} -> {one[f'{kind}_after']:.3f} ({one[f'{kind}_gain']:+.3f})"
        for kind in ("lenient", "exact")
    )
    return (
        f"{one['task']:20} {one['arm']:10} n={one['n']}  {scores}  {one['changed']} changed, {one['calls']:.0f} calls"
    )


if __name__ == "__main__":
    main()
