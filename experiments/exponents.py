"""How our own time grows with the work: examples, calls of an execution, predictors, threads.

    python experiments/exponents.py

One compile after another on a model that answers at once inside of the process, so that processor time is DSPy's and
ours and nothing else. One size grows at a time, and nothing else that a compile does grows with it:

- `examples`: what is done before and beside 40 calls, the whole budget;
- `decided`: the examples that a run without a budget evaluates and decides on;
- `calls`: of one execution, a chain; per compile the same number of executions;
- `predictors`: of a chain that calls each once;
- `threads`: for the same 64 examples.

The exponent is the slope of processor seconds against the size, both as logarithms, over the two largest steps of the
size, where what every compile costs weighs least.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
import numpy
from records import origin

from dspy_semantic_backprop import Budget, SemanticGradientDescent

SIZES = {
    "examples": [10, 100, 1_000, 10_000, 100_000],
    "decided": [30, 100, 300, 1_000],
    "calls": [3, 30, 300, 3_000],
    "predictors": [2, 6, 20, 60, 200],
    "threads": [1, 4, 16, 64, 256],
}
SMOKE = {"examples": [10, 30, 100], "calls": [3, 6, 12], "threads": [1, 2, 4]}
ASKED = re.compile(r"`\[\[ ## (\w+) ## \]\]`")


class Instant(dspy.BaseLM):
    """Answers at once: the simulated language model of this benchmark."""

    def __init__(self) -> None:
        super().__init__(model="instant", cache=False)
        self.numbers = itertools.count()

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> list[str]:
        """A text for every field that is asked for, never the same one."""
        asked = [name for name in ASKED.findall(messages[-1]["content"]) if name != "completed"]
        said = [f"[[ ## {name} ## ]]\nversion number {next(self.numbers)} of it\n" for name in asked]
        return ["\n".join([*said, "[[ ## completed ## ]]"])]

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> list[str]:
        """The same."""
        return self(messages=messages)


class Chain(dspy.Module):
    """Predictors one after the other, each given the text of the one before, over and over."""

    def __init__(self, predictors: int, calls: int) -> None:
        super().__init__()
        self.steps = [dspy.Predict("question, text -> longer") for _ in range(predictors)]
        self.calls = calls

    def forward(self, question: str) -> dspy.Prediction:
        """Call them."""
        text = "the beginning"
        for at in range(self.calls):
            text = self.steps[at % len(self.steps)](question=question, text=text).longer
        return dspy.Prediction(answer=text)


def half(example: dspy.Example, prediction: Any, trace: Any = None) -> float:
    """Every second answer is right."""
    return float(example.number % 2)


def compile_once(what: str, size: int) -> float:
    """Processor seconds of one compile."""
    count = {"examples": size, "decided": size, "threads": 64}.get(what, 4)
    predictors = size if what == "predictors" else 2
    calls = size if what in ("calls", "predictors") else 2
    threads = size if what == "threads" else 2
    examples = [
        dspy.Example(question=f"What follows from statement {at}?", number=at).with_inputs("question")
        for at in range(count)
    ]
    budget = Budget(calls=40) if what == "examples" else None
    optimizer = SemanticGradientDescent(half, steps=1, num_threads=threads, budget=budget, subscribers=())
    program = Chain(predictors, calls)
    started = time.process_time()
    optimizer.compile(program, trainset=examples)
    return time.process_time() - started


def exponent(rows: list[dict[str, Any]]) -> float:
    """The slope of time against size, both as logarithms, over the last three sizes: 1 is linear, 2 quadratic."""
    last = rows[-3:]
    sizes, seconds = [row["size"] for row in last], [row["seconds"] for row in last]
    return round(float(numpy.polyfit(numpy.log(sizes), numpy.log(seconds), 1)[0]), 2)


def plot(rows: list[dict[str, Any]], exponents: dict[str, float], path: Path) -> None:
    """Draw time against each size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for what, slope in exponents.items():
        mine = [row for row in rows if row["what"] == what]
        axes.loglog([row["size"] for row in mine], [row["seconds"] for row in mine], "o-", label=f"{what}: {slope}")
    axes.set(xlabel="size", ylabel="processor seconds of a compile")
    axes.legend(title="exponent")
    axes.set_title("Our own time as work grows (simulated model, answers at once)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def measured(sizes: dict[str, list[int]], repeats: int, told: Callable[[str], None]) -> list[dict[str, Any]]:
    """The least processor time of some compiles at each size."""
    rows = []
    with dspy.context(lm=Instant(), disable_history=True):
        compile_once("calls", 3)  # the first use of everything takes longer
        for what, steps in sizes.items():
            for size in steps:
                seconds = [compile_once(what, size)]
                # What takes long needs no repetition.
                seconds += [compile_once(what, size) for _ in range(repeats - 1) if seconds[0] < 3]
                rows.append({"what": what, "size": size, "seconds": round(min(seconds), 3)})
                told(f"{what:>10}  {size:7,}  {rows[-1]['seconds']:9.2f} s")
    return rows


def main() -> None:
    """Measure, print, draw, and write the record."""
    parser = argparse.ArgumentParser("exponents", description="Our own time as work grows.", allow_abbrev=False)
    parser.add_argument("--what", nargs="+", choices=SIZES, default=list(SIZES), help="what grows")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="small sizes only")
    config = parser.parse_args()
    sizes = SMOKE if config.smoke else {what: SIZES[what] for what in config.what}
    print("simulated model; processor seconds of a compile")
    rows = measured(sizes, config.repeats, lambda line: print(line, flush=True))
    exponents = {what: exponent([row for row in rows if row["what"] == what]) for what in sizes}
    print("\n".join(f"time grows with {what} to the power of {slope}" for what, slope in exponents.items()))
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    plot(rows, exponents, directory / "growth-simulated.png")
    path = directory / "growth-simulated.json"
    record = {"study": "exponents", **origin(), "settings": vars(config), "seed": 0, "simulated": True}
    path.write_text(json.dumps({**record, "rows": rows, "exponents": exponents}, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
