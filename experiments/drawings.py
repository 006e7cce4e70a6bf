"""The drawings of the README: four programs traced on the simulated model, each as an SVG.

python experiments/drawings.py --results_dir experiments/results
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from data import SAMPLES, bbh, liar
from records import origin
from simulated import SimulatedModel

from dspy_semantic_backprop import trace
from dspy_semantic_backprop.programs import LayeredProgram, LiarProgram
from dspy_semantic_backprop.testing import Prompt, SimulatedServer


def population(city: str) -> int:
    """Look up how many people live in a city."""
    return {"Oslo": 700_000, "Bergen": 290_000}.get(city, 0)


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


class Router(dspy.Module):
    """Two ways to answer, chosen by a call."""

    def __init__(self) -> None:
        super().__init__()
        self.router = dspy.Predict("question -> kind")
        self.calculate = dspy.Predict("question -> answer")
        self.recall = dspy.Predict("question -> answer")
        self.polish = dspy.Predict("draft -> reply")

    def forward(self, question: str) -> dspy.Prediction:
        """Answer by the way that the router chose."""
        solver = self.calculate if "sum" in self.router(question=question).kind else self.recall
        return self.polish(draft=solver(question=question).answer.strip().lower())


def scripted(prompt: Prompt) -> dict[str, Any]:
    """The answers of the ReAct run and of the router."""
    if "next_tool_name" in prompt.names:
        steps = [
            ("population", {"city": "Oslo"}),
            ("multiply", {"a": 700_000, "b": 2}),
            ("finish", {}),
        ]
        done = prompt.inputs["trajectory"].count("observation_")
        name, arguments = steps[min(done, len(steps) - 1)]
        return {"next_thought": f"Step {done + 1}.", "next_tool_name": name, "next_tool_args": arguments}
    answers = {"kind": "a sum", "answer": "The Answer Is 1,400,000", "reply": "There are 1.4 million."}
    return {name: answers.get(name, "yes") for name in prompt.names}


react: Any = dspy.ReAct


def drawings() -> dict[str, tuple[Callable[[], dspy.Module], dict[str, Any], bool]]:
    """Name -> program, inputs, and whether the rule-based model answers."""
    statement = liar.load(folder=SAMPLES).train[0].inputs().toDict()
    question = bbh.load("object_counting", folder=SAMPLES).train[0].inputs().toDict()
    return {
        "liar": (lambda: LiarProgram(narrow=True), statement, True),
        "layers": (lambda: LayeredProgram(layers=3, width=3, across_layers=True), question, True),
        "react": (
            lambda: react("question -> answer", tools=[population, multiply]),
            {"question": "How many shoes are there in Oslo?"},
            False,
        ),
        "router": (Router, {"question": "How many shoes are there in Oslo?"}, False),
    }


def main() -> None:
    """Trace, draw and write."""
    parser = argparse.ArgumentParser("drawings", description="The README's drawings.", allow_abbrev=False)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="the same: it takes seconds")
    config = parser.parse_args()
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (build, inputs, rules) in drawings().items():
        with (
            SimulatedServer(SimulatedModel() if rules else scripted) as server,
            dspy.context(lm=server.lm(cache=False)),
        ):
            graph = trace(build(), inputs)
        path = directory / f"graph-{name}.svg"
        path.write_text(graph.to_svg(), encoding="utf-8")
        print(f"{name}: {len(graph)} calls, {len(graph.edges)} edges, {path}")
        written.append({"name": name, "calls": len(graph), "edges": len(graph.edges), "warnings": graph.warnings})
    path = directory / "drawings-simulated.json"
    record = {"study": "drawings", **origin(), "settings": vars(config), "seed": 0, "simulated": True, "rows": written}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
