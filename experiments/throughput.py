"""Wall time of a compile over its lower bound, beside bare dspy.Evaluate, by the number of threads.

    python experiments/throughput.py

A program of three predictors in a row on a simulated model that answers after a fixed latency, in a process of its
own. The lower bound of an evaluation is its calls x latency / threads, in whole rounds; a compile of one step makes
two evaluations, the backward questions of two examples (two each, one after the other) and three proposals, with at
most as many at once as there are threads. `Evaluate` runs the same program on the same
examples with as many threads. Ratios are wall time over the lower bound; the first run of each is left out.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from records import origin

from dspy_semantic_backprop import SemanticGradientDescent, presets
from dspy_semantic_backprop.testing import Prompt, SimulatedServer

DEPTH = 3


class Chain(dspy.Module):
    """Three predictors, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("question, hint -> draft")
        self.final = dspy.Predict("question, draft -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        """Answer a question."""
        hint = self.first(question=question).hint
        return self.final(question=question, draft=self.second(question=question, hint=hint).draft)


def answer(prompt: Prompt) -> dict[str, Any]:
    """Something for every field that is asked for."""
    return {name: f"{name} of it" for name in prompt.names}


def wrong(example: dspy.Example, prediction: Any, trace: Any = None) -> float:
    """Every answer is wrong."""
    return 0.0


def serve(address: Any, latency: float) -> None:
    """Serve the model until killed."""
    server = SimulatedServer(answer, latency=latency).start()
    address.put((server.url, server.model))
    time.sleep(3600)


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


def measure(latency: float, threads: int, repeats: int) -> list[dict[str, Any]]:
    """Both, on as many examples as keep the threads busy for some rounds."""
    with served(latency):
        return compared(threads * (3 if latency >= 0.5 else 10), threads, latency, repeats)


def compared(count: int, threads: int, latency: float, repeats: int) -> list[dict[str, Any]]:
    """Rows for Evaluate and for a compile of one step."""
    examples = [dspy.Example(question=f"Question {at}?").with_inputs("question") for at in range(count)]
    evaluation = math.ceil(count / threads) * DEPTH * latency
    backward = math.ceil(2 / threads) * (DEPTH - 1) * latency
    proposals = math.ceil(DEPTH / threads) * latency
    bounds = {"evaluate": evaluation, "compile": 2 * evaluation + backward + proposals}
    calls = {"evaluate": count * DEPTH, "compile": 2 * count * DEPTH + 2 * (DEPTH - 1) + DEPTH}

    def evaluate() -> None:
        dspy.Evaluate(devset=examples, metric=wrong, num_threads=threads, display_progress=False)(Chain())

    def compile_once() -> None:
        method = presets.published()
        optimizer = SemanticGradientDescent(wrong, steps=1, method=method, num_threads=threads, subscribers=())
        optimizer.compile(Chain(), trainset=examples)

    seconds: dict[str, list[float]] = {"evaluate": [], "compile": []}
    for _ in range(repeats + 1):
        seconds["evaluate"].append(timed(evaluate))
        seconds["compile"].append(timed(compile_once))
    rows = []
    for what, times in seconds.items():
        middle = statistics.median(times[1:])
        rows.append(
            {
                "what": what,
                "latency": latency,
                "threads": threads,
                "examples": count,
                "calls": calls[what],
                "seconds": round(middle, 3),
                "bound_seconds": round(bounds[what], 3),
                "ratio": round(middle / bounds[what], 3),
                "ms_per_call_and_thread": round(1000 * middle * threads / calls[what], 1),
            }
        )
    return rows


def timed(work: Callable[[], Any]) -> float:
    """How long it takes, in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser("throughput", description="Wall time over the lower bound, by threads.")
    parser.add_argument("--latencies", type=float, nargs="+", default=[1.0, 0.1])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="one short run")
    config = parser.parse_args()
    if config.smoke:
        config.latencies, config.threads, config.repeats = [0.02], [2], 1
    logging.disable(logging.WARNING)
    rows = []
    print("simulated model: wall time over the lower bound")
    print("latency s  threads  Evaluate  compile")
    for latency in config.latencies:
        for threads in config.threads:
            found = measure(latency, threads, config.repeats)
            rows += found
            ratios = {row["what"]: row["ratio"] for row in found}
            print(f"{latency:9g}  {threads:7}  {ratios['evaluate']:8.2f}  {ratios['compile']:7.2f}", flush=True)
    record = {
        "study": "throughput",
        **origin(),
        "settings": vars(config),
        "simulated": True,
        "seed": 0,
        "rows": rows,
    }
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "throughput-simulated.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
