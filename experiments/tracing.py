"""What tracing costs: a ratio to DSPy's own time for the same calls, and how it grows with the trace.

    python experiments/tracing.py

A chain of predictors, on two simulated language models: one that answers at once inside of the process, so that
what is timed is DSPy and the tracer and nothing else; and one behind the real client and a server on loopback
that adds no latency of its own, which is the least that a call costs users. Each repeat runs the same program
alone, with a callback that does nothing (so much of the price is DSPy's own dispatch to any callback, the
tracer's or not), and with the tracer, in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
import tracemalloc
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from dspy.utils.callback import BaseCallback
from records import origin

from dspy_semantic_backprop import trace
from dspy_semantic_backprop.testing import Prompt, SimulatedServer

LONGEST_HTTP = 1000
"""The longest chain, in calls, that is measured through the client: the calls themselves take long."""


class Chain(dspy.Module):
    """One predictor called again and again, each time with its own last answer."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.step = dspy.Predict("question, text -> longer")

    def forward(self, question: str) -> dspy.Prediction:
        """Call the predictor `length` times."""
        text = "the beginning"
        for number in range(self.length):
            text = self.step(question=f"{question} {number}", text=text).longer
        return dspy.Prediction(text=text)


class Instant(dspy.BaseLM):
    """Answers at once: the simulated language model of this benchmark."""

    def __init__(self) -> None:
        super().__init__(model="instant", cache=False)
        self.count = 0

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> list[str]:
        """A new text each time."""
        self.count += 1
        return [f"[[ ## longer ## ]]\nversion number {self.count}\n\n[[ ## completed ## ]]"]


def server() -> SimulatedServer:
    """A server that answers every request with a new text."""
    count = itertools.count(1)

    def answer(prompt: Prompt) -> dict[str, Any]:
        return {name: f"version number {next(count)}" for name in prompt.names}

    return SimulatedServer(answer)


def measure(client: str, lm: dspy.BaseLM, length: int, repeats: int) -> dict[str, Any]:
    """Time and memory of one chain.

    Args:
        client: What stands in the row: "instant" or "http".
        lm: The language model.
        length: Calls in the chain.
        repeats: How often all three are timed, in turn.

    Returns:
        Milliseconds per call alone, with a callback that does nothing, and with the tracer (medians), the medians
        of the paired ratios of the latter two, that of the tracer in the process's CPU time too (which other work
        on the machine touches less, and which holds the server's time where there is one), and the peak of traced
        memory in kilobytes per call (None where the client's own memory would hide it).
    """
    program, inputs = Chain(length), {"question": "what follows?"}
    timed: list[tuple[float, float, float]] = []
    cpu_ratios: list[float] = []
    peak = None
    with dspy.context(lm=lm, trace=[], disable_history=True):
        for _ in range(repeats):
            times, cpu = [time.perf_counter()], [time.process_time()]
            program(**inputs)
            times.append(time.perf_counter())
            cpu.append(time.process_time())
            with dspy.context(callbacks=[BaseCallback()]):
                program(**inputs)
            times.append(time.perf_counter())
            cpu.append(time.process_time())
            trace(program, inputs, probe="never")
            times.append(time.perf_counter())
            cpu.append(time.process_time())
            cpu_ratios.append((cpu[3] - cpu[2]) / (cpu[1] - cpu[0]))
            alone, dispatched, traced = (end - start for start, end in itertools.pairwise(times))
            timed.append((alone, dispatched, traced))
        if client == "instant":
            tracemalloc.start()
            trace(program, inputs, probe="never")
            peak = round(tracemalloc.get_traced_memory()[1] / 1024 / length, 1)
            tracemalloc.stop()
    alone, dispatched, traced = (1e3 * statistics.median(column) / length for column in zip(*timed, strict=True))
    return {
        "client": client,
        "calls": length,
        "dspy_ms_per_call": round(alone, 3),
        "dispatch_ms_per_call": round(dispatched, 3),
        "traced_ms_per_call": round(traced, 3),
        "dispatch_ratio": round(statistics.median(one[1] / one[0] for one in timed), 3),
        "ratio": round(statistics.median(one[2] / one[0] for one in timed), 3),
        "cpu_ratio": round(statistics.median(cpu_ratios), 3),
        "peak_kb_per_call": peak,
    }


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw time and memory against the length of the trace."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5))
    for client, line in (("instant", "-"), ("http", "--")):
        mine = [row for row in rows if row["client"] == client]
        calls = [row["calls"] for row in mine]
        for key, mark, label in (("dspy_ms_per_call", "o", "DSPy alone"), ("traced_ms_per_call", "s", "traced")):
            seconds = [row[key] * row["calls"] / 1e3 for row in mine]
            left.loglog(calls, seconds, mark + line, label=f"{label}, {client}")
    left.set(xlabel="calls in the trace", ylabel="seconds")
    left.legend()
    mine = [row for row in rows if row["peak_kb_per_call"] is not None]
    peaks = [row["peak_kb_per_call"] * row["calls"] / 1024 for row in mine]
    right.loglog([row["calls"] for row in mine], peaks, "s-")
    right.set(xlabel="calls in the trace", ylabel="peak memory, MB")
    figure.suptitle("Tracing a chain of predictors (simulated model, no probing)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print a table, draw, and write the record."""
    parser = argparse.ArgumentParser("tracing", description="Overhead of tracing.", allow_abbrev=False)
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 100, 1000, 10000], help="calls in the chain")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="short chains only")
    config = parser.parse_args()
    lengths = [10, 100] if config.smoke else config.lengths
    rows = []
    with server() as running:
        for client, lm in (("instant", Instant()), ("http", running.lm(cache=False))):
            measure(client, lm, 10, 1)  # the first use of everything takes longer
            for length in lengths:
                if client == "instant" or length <= LONGEST_HTTP:
                    rows.append(measure(client, lm, length, max(1, config.repeats if length < 10_000 else 1)))
    print(f"simulated model, no probing, DSPy {dspy.__version__}; milliseconds and kilobytes per call")
    names = (
        "client",
        "calls",
        "DSPy",
        "any callback",
        "traced",
        "ratio of any callback",
        "ratio",
        "CPU ratio",
        "peak kB",
    )
    print("  " + "  ".join(names))
    for row in rows:
        cells = zip(names, row.values(), strict=True)
        print("  " + "  ".join(f"{'-' if value is None else value:>{len(name)}}" for name, value in cells))
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    plot(rows, directory / "tracing-simulated.png")
    path = directory / "tracing-simulated.json"
    record = {"study": "tracing", **origin(), "settings": vars(config), "seed": 0, "simulated": True}
    record["rows"] = rows
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
