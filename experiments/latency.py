"""How long a step takes against the rounds on its critical path.

    python experiments/latency.py

The paper's graph (two hidden nodes, one final) on 20 simulated examples, concurrency unlimited. A step is
one backward pass (1 round: the final node's group), the proposals (1 round) and the evaluation of the
proposal (2 rounds); the evaluation before the first step has 2. The lower bound is rounds x latency.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from data import SAMPLES, bbh
from records import origin
from simulated import SimulatedModel

from dspy_semantic_backprop import SemanticGradientDescent
from dspy_semantic_backprop.integrations import EvaluationDone, Event, StepDone
from dspy_semantic_backprop.programs import LayeredProgram, exact_match

STEP_ROUNDS, START_ROUNDS = 4, 2
TASK = "object_counting"


class Stopwatch:
    """Notes when the first evaluation and the first step were done."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.marks: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Take the time of an event's first occurrence."""
        if isinstance(event, (EvaluationDone, StepDone)):
            self.marks.setdefault(type(event).__name__, time.perf_counter())


def measure(latency: float, examples: int, seed: int) -> dict[str, Any]:
    """One compile of one step at one latency.

    Args:
        latency: Seconds that each request takes.
        examples: How many examples.
        seed: Of the run and of the simulated model.

    Returns:
        Seconds and ratios of the start and of the step.
    """
    train = bbh.load(TASK, folder=SAMPLES, seed=seed).train[:examples]
    with SimulatedModel(seed).serve(latency=latency) as server, dspy.context(lm=server.lm(cache=False)):
        watch = Stopwatch()
        optimizer = SemanticGradientDescent(exact_match, steps=1, num_threads=math.inf, seed=seed, subscribers=(watch,))
        better: Any = optimizer.compile(LayeredProgram(), trainset=train)
        verdict = better.detailed_results.steps[0].verdict
        calls = better.detailed_results.total.calls
    start = watch.marks["EvaluationDone"] - watch.started
    step = watch.marks["StepDone"] - watch.marks["EvaluationDone"]
    return {
        "latency": latency,
        "examples": len(train),
        "calls": calls,
        "verdict": verdict,
        "start_seconds": round(start, 3),
        "step_seconds": round(step, 3),
        "start_ratio": round(start / (START_ROUNDS * latency), 3),
        "step_ratio": round(step / (STEP_ROUNDS * latency), 3),
    }


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser("latency", description="Wall time of a step over its lower bound.")
    parser.add_argument("--latencies", type=float, nargs="+", default=[1.0, 0.05], help="seconds of each request")
    parser.add_argument("--repeats", type=int, default=3, help="runs at each latency")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="one short run")
    config = parser.parse_args()
    latencies, repeats = ([0.05], 1) if config.smoke else (config.latencies, config.repeats)
    measure(0.01, 4, config.seed)  # the first use of every client takes longer
    rows = [measure(latency, 20, config.seed) for latency in latencies for _ in range(repeats)]
    print("simulated model: wall time over rounds x latency")
    print("latency s  step s  step ratio  start ratio")
    for row in rows:
        print(f"{row['latency']:9g}  {row['step_seconds']:6.2f}  {row['step_ratio']:10.2f}  {row['start_ratio']:11.2f}")
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"latency-simulated-seed{config.seed}.json"
    record = {
        "study": "latency",
        **origin(),
        "settings": vars(config),
        "seed": config.seed,
        "simulated": True,
        "rows": rows,
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
