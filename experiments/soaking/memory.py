"""Memory over ten thousand executions of a program, through the real client."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy

from dspy_semantic_backprop import SemanticGradientDescent
from dspy_semantic_backprop.integrations import Event, StepDone
from dspy_semantic_backprop.testing import Prompt, SimulatedServer

EXAMPLES = 100
_processes = multiprocessing.get_context("spawn")


class Pair(dspy.Module):
    """A hint and an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.hint = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, hint -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        """Answer a question."""
        return self.final(question=question, hint=self.hint(question=question).hint)


def serve(address: Any) -> None:
    """Serve a model of which every proposal is another one, until killed."""
    count = itertools.count()

    def answer(prompt: Prompt) -> dict[str, Any]:
        return {name: f"{name} {next(count)} " + "of it " * 30 for name in prompt.names}

    server = SimulatedServer(answer, keep=1).start()
    address.put((server.url, server.model))
    time.sleep(36_000)


def wrong(example: dspy.Example, prediction: Any, trace: Any = None) -> float:
    """Every answer is wrong, so that no proposal is accepted and the run goes on."""
    return 0.0


def megabytes() -> float:
    """The resident memory of this process, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def grow(executions: int, url: str, model: str, folder: str) -> None:
    """Compile for so many executions, and write how much memory there was after each step."""
    logging.disable(logging.WARNING)
    series: list[tuple[int, float]] = []

    def watch(event: Event) -> None:
        if isinstance(event, StepDone):
            gc.collect()
            series.append(((event.step + 2) * EXAMPLES, round(megabytes(), 1)))

    steps = executions // EXAMPLES - 1
    optimizer = SemanticGradientDescent(
        wrong, steps=steps, num_threads=8, subscribers=(watch,), log_dir=f"{folder}/log"
    )
    train = [dspy.Example(question=f"What is {at} plus {at + 1}?").with_inputs("question") for at in range(EXAMPLES)]
    with dspy.context(lm=dspy.LM(f"openai/{model}", api_base=url, api_key="none", cache=False, temperature=0.0)):
        optimizer.compile(Pair(), trainset=train)
    Path(f"{folder}/series").write_text(json.dumps(series), encoding="utf-8")


def measured(executions: int) -> list[tuple[int, float]]:
    """Compile in a process of its own.

    Args:
        executions: How often the program is run, a multiple of a hundred.

    Returns:
        (executions so far, megabytes) after each step.
    """
    address = _processes.Queue()
    server = _processes.Process(target=serve, args=(address,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        child = _processes.Process(target=grow, args=(executions, *address.get(), folder))
        child.start()
        child.join()
        server.kill()
        series = json.loads(Path(f"{folder}/series").read_text(encoding="utf-8"))
    return [(count, size) for count, size in series]


def plot(series: list[tuple[int, float]], path: Path) -> None:
    """Draw memory against executions."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.2))
    axes.plot(*zip(*series, strict=True))
    axes.set(
        xlabel="executions of the program",
        ylabel="resident memory, MB",
        ylim=(0, 1.25 * max(size for _, size in series)),
    )
    axes.set_title("Memory of one run (simulated model, real client, log on)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
