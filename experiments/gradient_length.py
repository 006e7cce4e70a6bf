"""How long a gradient is, against how deep the call that it reached lies.

    python experiments/gradient_length.py

A chain of 20 calls on a simulated model that writes, for every output, all that it was told and five sentences
more, as models do whose advice is passed on from step to step. Three ways to collect what a call is told are
compared: as it is, bounded by a summary that keeps its promise, and bounded by one that does not (and is cut
after a whole sentence). What is counted is real; how a real model would swell its advice is not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from records import origin

from dspy_semantic_backprop import (
    OUTPUT,
    Call,
    ComputationGraph,
    Direction,
    Edge,
    End,
    Message,
    Semantic,
    backward_context,
    bounded,
    estimate_tokens,
    join,
    propagate,
)
from dspy_semantic_backprop.testing import Prompt, SimulatedServer

CAP = 256
"""Of a gradient, in tokens; the default of `bounded`."""


def chain(length: int) -> ComputationGraph:
    """Calls of which each reads the one before it."""
    calls, edges = [], []
    for at in range(length):
        inputs = {"draft": f"draft number {at - 1}"} if at else {"question": "what follows?"}
        calls.append(Call(f"step[{at}]", "step", at, "Improve the draft.", inputs, {"draft": f"draft number {at}"}))
        target = (f"step[{at + 1}]", "draft") if at + 1 < length else (OUTPUT, "draft")
        edges.append(Edge(End(f"step[{at}]", "draft"), End(*target), "data", "identity", 1.0))
    return ComputationGraph(tuple(calls), tuple(edges))


def swelling(summary: int) -> Any:
    """The simulated reader: says again what it was told, and more.

    Args:
        summary: How many sentences it writes when it is asked for a summary.
    """

    def answer(prompt: Prompt) -> dict[str, Any]:
        if "summary" in prompt.names:
            return {"summary": " ".join(f"The draft should mind point number {at} of all." for at in range(summary))}
        told = prompt.inputs["wanted_change"]
        answers: dict[str, Any] = dict.fromkeys(prompt.names, "")
        for name in prompt.names:
            key = name.partition("_")[2]
            if name.startswith("change_"):
                more = " ".join(f"Besides, {key} should give reason number {at} for what it says." for at in range(5))
                answers[name] = f"{told} {more}" if f"output_{key}" in prompt.inputs else "No change needed."
        return answers

    return answer


def lengths(depth: int, collect: Any, summary: int) -> tuple[list[int], int, dict[str, int]]:
    """The length of the gradient at every depth, in tokens; the requests served; and what happened."""
    graph = chain(depth + 1)
    feedback = Direction("The expected draft is number 12.", through=(OUTPUT,))
    seed = [Message(OUTPUT, f"step[{depth}]", "draft", feedback)]

    async def sweep() -> Any:
        return await propagate(graph, seed, Semantic(), collect)

    with SimulatedServer(swelling(summary)) as server:
        with dspy.context(lm=server.lm(cache=False)), backward_context() as happened:
            gradients = asyncio.run(sweep())
        return (
            [estimate_tokens(str(gradients[f"step[{depth - far}]"])) for far in range(1, depth + 1)],
            server.requests,
            dict(happened),
        )


def plot(rows: list[dict[str, Any]], cap: int, path: Path) -> None:
    """Draw length against depth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, axes = pyplot.subplots(figsize=(7, 3.5))
    for row, mark in zip(rows, "o^s", strict=True):
        axes.plot(range(1, len(row["tokens"]) + 1), row["tokens"], f"{mark}-", label=row["collect"], markersize=4)
    axes.axhline(cap, color="grey", linestyle=":", label=f"the cap, {cap} tokens")
    axes.set(xlabel="readers between the call and the output", ylabel="tokens in the gradient", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    axes.set_title("A gradient's length against depth (simulated model)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Sweep, print a table, draw, and write the record."""
    parser = argparse.ArgumentParser("gradient_length", description="Length of gradients.", allow_abbrev=False)
    parser.add_argument("--depth", type=int, default=20, help="how many readers deep the chain is")
    parser.add_argument("--cap", type=int, default=CAP, help="the most tokens of a gradient")
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="a short chain only")
    config = parser.parse_args()
    depth = 6 if config.smoke else config.depth
    ways = {
        "joined as they are": (join, 0),
        "bounded, by a summary": (bounded(config.cap), 16),
        "bounded, by a summary that is too long": (bounded(config.cap), 200),
    }
    rows = []
    for name, (collect, summary) in ways.items():
        found, requests, tally = lengths(depth, collect, summary)
        rows.append({"collect": name, "tokens": found, "calls": requests, "tally": tally})
        print(f"simulated model, {name}: depth 1 to {depth}: {' '.join(map(str, found))}; {requests} calls, {tally}")
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    plot(rows, config.cap, directory / "gradient-length-simulated.png")
    path = directory / "gradient-length-simulated.json"
    record = {
        "study": "gradient_length",
        **origin(),
        "settings": vars(config),
        "seed": 0,
        "simulated": True,
        "rows": rows,
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
