"""What a sweep costs besides its language-model calls: how it grows with the trace, and against DSPy's own time.

    python experiments/sweep_overhead.py

Graphs of up to 1,000 calls on a language model that answers at once inside the process, so that what is timed is
DSPy and the sweep and nothing else; in processor time, since other work may share the machine. For every size the
very questions of the sweep are asked once more by plain `dspy.Predict` calls, in turn with the sweep: the ratio
says what the sweep adds to DSPy's own time. The sweep's own part is the difference of the two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
import numpy
from dspy.utils.callback import BaseCallback
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
    bounded,
    propagate,
)

WIDTH = 4


class Instant(dspy.BaseLM):
    """Answers at once: the simulated language model of this benchmark."""

    def __init__(self) -> None:
        super().__init__(model="instant", cache=False)
        self.count = 0

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> list[str]:
        """A change for every output that the question asks about, and none for the instruction."""
        self.count += 1
        asked = re.findall(r"`\[\[ ## (\w+) ## \]\]`", messages[-1]["content"])
        *changes, own = [name for name in asked if name.startswith("change_")]
        said = {name: f"Say {name[::-1]} {self.count} times in it." for name in changes} | {own: "No change needed."}
        parts = [f"[[ ## {name} ## ]]\n{said.get(name, '')}\n" for name in asked if name != "completed"]
        return ["\n".join([*parts, "[[ ## completed ## ]]"])]


def ladder(calls: int) -> ComputationGraph:
    """Layers of four calls that each read the whole layer before: groups of four, all calls but the first asked."""
    made: list[Call] = []
    edges: list[Edge] = []
    for at in range(calls):
        layer, place = divmod(at, WIDTH)
        above = made[(layer - 1) * WIDTH : layer * WIDTH] if layer else []
        inputs = {"question": "what follows?"} | {f"in_{one.index % WIDTH}": one.outputs["text"] for one in above}
        outputs = {"text": f"statement {place} of layer {layer}"}
        made.append(Call(f"node[{at}]", "node", at, "Go on.", inputs, outputs, started=2 * at, ended=2 * at + 1))
        edges += [
            Edge(End(one.id, "text"), End(f"node[{at}]", f"in_{one.index % WIDTH}"), "data", "identity", 1.0)
            for one in above
        ]
    edges += [Edge(End(one.id, "text"), End(OUTPUT, one.id), "data", "identity", 1.0) for one in made[-WIDTH:]]
    return ComputationGraph(tuple(made), tuple(edges))


def seeds(graph: ComputationGraph) -> list[Message[Any]]:
    """The feedback at the output."""
    said = Direction("The expected answer is 12.", example_id=0, through=(OUTPUT,))
    return [Message(OUTPUT, member.call.id, member.field, said) for member in graph.group(OUTPUT)]


class Questions(BaseCallback):
    """Notes the questions that are asked, as plain signatures and inputs."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, dict[str, Any]]] = []

    def on_adapter_format_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Note one."""
        self.asked.append((inputs["signature"], inputs["inputs"]))


async def alone(asked: list[tuple[Any, dict[str, Any]]]) -> float:
    """Seconds of processor time that DSPy takes for the questions, one `dspy.Predict` each."""
    started = time.process_time()
    with dspy.context(adapter=dspy.ChatAdapter()):
        for signature, inputs in asked:
            await dspy.Predict(signature).acall(**inputs)
    return time.process_time() - started


async def swept(graph: ComputationGraph) -> float:
    """Seconds of processor time that a sweep takes."""
    fresh = ComputationGraph(graph.calls, graph.edges)
    started = time.process_time()
    await propagate(fresh, seeds(fresh), Semantic(), bounded())
    return time.process_time() - started


def measure(calls: int, repeats: int) -> dict[str, Any]:
    """Time one size of graph.

    Args:
        calls: Calls in the graph.
        repeats: How often both are timed, in turn.

    Returns:
        Questions asked; milliseconds per question of DSPy alone and of the sweep (medians); the median of the
        paired ratios; and milliseconds per question of the sweep alone, the median of the paired differences.
    """
    graph, lm, noted, pairs = ladder(calls), Instant(), Questions(), []
    with dspy.context(lm=lm, trace=[], disable_history=True):
        with dspy.context(callbacks=[noted]):
            asyncio.run(swept(graph))
        asked = noted.asked
        for _ in range(repeats):
            bare = asyncio.run(alone(asked))
            before = lm.count
            pairs.append((bare, asyncio.run(swept(graph))))
            assert lm.count - before == len(asked)
    size = len(asked)
    return {
        "calls": calls,
        "questions": size,
        "dspy_ms_per_question": round(1e3 * statistics.median(bare for bare, _ in pairs) / size, 3),
        "sweep_ms_per_question": round(1e3 * statistics.median(full for _, full in pairs) / size, 3),
        "ratio": round(statistics.median(full / bare for bare, full in pairs), 3),
        "own_ms_per_question": round(1e3 * statistics.median(full - bare for bare, full in pairs) / size, 3),
    }


def exponent(rows: list[dict[str, Any]]) -> float:
    """The slope of the sweep's time against its size, both as logarithms: 1 is linear, 2 quadratic."""
    sizes = [row["questions"] for row in rows]
    times = [row["sweep_ms_per_question"] * row["questions"] for row in rows]
    return round(float(numpy.polyfit(numpy.log(sizes), numpy.log(times), 1)[0]), 3)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw time against the size of the graph."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    sizes = [row["questions"] for row in rows]
    for key, mark, name in (("dspy", "o", "DSPy alone"), ("sweep", "s", "the sweep, DSPy included")):
        seconds = [row[f"{key}_ms_per_question"] * row["questions"] / 1e3 for row in rows]
        axes.loglog(sizes, seconds, f"{mark}-", label=name)
    axes.set(xlabel="questions in the sweep", ylabel="seconds of processor time")
    axes.legend()
    axes.set_title("A sweep besides its model (simulated, answers at once)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print a table, draw, and write the record."""
    parser = argparse.ArgumentParser("sweep_overhead", description="Overhead of a sweep.", allow_abbrev=False)
    parser.add_argument("--calls", type=int, nargs="+", default=[12, 40, 100, 300, 1000], help="calls in the graph")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="small graphs only")
    config = parser.parse_args()
    measure(12, 1)  # the first use of everything takes longer
    rows = [measure(calls, config.repeats) for calls in ([12, 40] if config.smoke else config.calls)]
    print("simulated model\n  calls  questions  DSPy ms/question  sweep ms/question  ratio  own ms/question")
    for row in rows:
        print(
            f"  {row['calls']:5}  {row['questions']:9}  {row['dspy_ms_per_question']:16}  "
            f"{row['sweep_ms_per_question']:17}  {row['ratio']:5}  {row['own_ms_per_question']:15}"
        )
    print(f"time grows with the size to the power of {exponent(rows)}")
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    plot(rows, directory / "sweep-overhead-simulated.png")
    path = directory / "sweep-overhead-simulated.json"
    record = {
        "study": "sweep_overhead",
        **origin(),
        "settings": vars(config),
        "seed": 0,
        "simulated": True,
        "rows": rows,
    }
    path.write_text(json.dumps({**record, "exponent": exponent(rows)}, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
