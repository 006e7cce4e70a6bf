"""How often luck is believed, and how often a real gain: single decisions of each gate, and whole compiles.

    python experiments/gate.py --results_dir experiments/results

A simulated world whose truth is known. A program answers a question right if the question is easier than the
program's level, and then a share of all answers flips (`--noise`), anew on every run. An edit moves the level.

- `decision, no effect` / `decision, gain of 10 points`: one edit, old and new program on the same examples.
- `compile, no effect`: the program is at its ceiling; no proposal of a whole `compile()` has any effect.
- `compile, mixed`: of four proposals one gains 10 points, one loses 10, two do nothing.

Rows: `accepted` is the share of runs that took the edit, or returned another program than the start; `worse` the
share that took what is not truly better: worse or merely lucky; `interval` is `worse`'s 95 % Wilson interval. A
compile also has `gain`, the mean true gain of what was returned in metric points, and `calls`. In-process model.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import logging
import math
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
import numpy as np
from records import interval, origin

from dspy_semantic_backprop import (
    Commit,
    Comparison,
    Confident,
    Gated,
    Method,
    Pair,
    SemanticGradientDescent,
    Verdict,
    confident,
    presets,
    strict,
    strictly_better,
)

BASE, CEILING = 0.6, 1.0
GATES: dict[str, Any] = {
    "confident (default)": confident,
    "confident, error 0.2": Confident(0.2),
    "strict, error 0.05": strict,
    "> (published)": strictly_better,
}
METHODS: dict[str, Callable[[], Method]] = {
    "semantic (default)": presets.semantic,
    "proven without commit": lambda: replace(presets.proven(), search=Gated(commit=None)),
    "proven": presets.proven,
    "> (published)": presets.published,
}
START = "Answer the question."
EFFECT = re.compile(r"\[([+-]\d\.\d+)\]")


def decided(gate: Any, size: int, gain: float, noise: float, runs: int, seed: int) -> int:
    """How many of many single edits a gate accepts, looking as early and as often as it likes.

    Args:
        gate: The gate.
        size: How many examples there are.
        gain: What the edit gains in truth, in metric points.
        noise: The share of answers that flip.
        runs: How many edits.
        seed: Of the simulation.
    """
    rng = np.random.default_rng([seed, size, round(gain * 1000)])
    level = CEILING if gain == 0 else BASE
    accepted = 0
    for _ in range(runs):
        ease = rng.random(size)
        old = (ease < level) ^ (rng.random(size) < noise)
        new = (ease < level + gain) ^ (rng.random(size) < noise)
        pairs = tuple(Pair(at, float(one), float(other)) for at, (one, other) in enumerate(zip(old, new, strict=True)))
        comparison, verdict = Comparison(pairs), Verdict.MORE
        for count in (math.ceil(size * look) for look in gate.looks):
            verdict = gate(comparison.first(count), size - count)
            if verdict is not Verdict.MORE:
                break
        accepted += verdict is Verdict.ACCEPT
    return accepted


class World(dspy.BaseLM):
    """A language model whose answers are right as often as the instruction's level says, and noisy."""

    def __init__(self, level: float, noise: float, effects: tuple[float, ...], seed: int) -> None:
        super().__init__(model="world", model_type="chat", temperature=1.0, max_tokens=1000, cache=False)
        self.level, self.noise, self.effects = level, noise, effects
        self.rng = np.random.default_rng(seed)
        self.asked = self.proposed = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> World:
        return self

    def copy(self, **kwargs: Any) -> World:
        """Itself: its randomness is one stream."""
        return self

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        """Answer as a program's step, as a critic, or as a writer of instructions."""
        self.asked += 1
        text = "\n".join(str(message["content"]) for message in messages)
        names = list(dict.fromkeys(re.findall(r"\[\[ ## (\w+) ## \]\]", text.rpartition("Respond with")[2])))
        values = {name: self._value(name, messages, text) for name in names if name != "completed"}
        body = "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in values.items())
        return _response(f"{body}\n\n[[ ## completed ## ]]")

    async def aforward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        """As `forward`."""
        return self.forward(prompt, messages, **kwargs)

    def _value(self, name: str, messages: Any, text: str) -> str:
        if name == "new_instruction":
            self.proposed += 1
            effect = self.effects[int(self.rng.integers(len(self.effects)))]
            now = text.rpartition("[[ ## current_instruction ## ]]")[2].partition("[[ ##")[0].strip()
            return f"{now}\nRule {self.proposed}: mind the details [{effect:+.2f}]."
        if name != "answer":
            return "The answer should have been right." if name.startswith("change") else ""
        level = self.level + true_gain(str(messages[0]["content"]))
        right = ease(text.rpartition("[[ ## question ## ]]")[2].partition("Respond")[0].strip()) < level
        return "right" if right ^ (self.rng.random() < self.noise) else "wrong"


def _response(content: str) -> Any:
    from litellm import ModelResponse

    return ModelResponse(choices=[{"message": {"content": content, "role": "assistant"}}], model="world")


def true_gain(instruction: str) -> float:
    """What an instruction's edits gain in truth, in metric points."""
    return sum(map(float, EFFECT.findall(instruction)))


def ease(question: str) -> float:
    """How easy a question is, 0 to 1, evenly."""
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big") / 2**64


def right(example: dspy.Example, prediction: Any, trace: Any = None) -> bool:
    """Whether the answer is right."""
    return prediction.answer == "right"


def compiled(job: tuple[str, str, int, float, int, int]) -> tuple[bool, float, int]:
    """One compile: whether another program is returned, what that gains in truth, and the calls.

    Args:
        job: The method's name, the scenario, how many examples to decide on, the noise, the seed, and the steps.
    """
    name, scenario, size, noise, seed, steps = job
    logging.disable(logging.WARNING)
    nothing = scenario == "compile, no effect"
    lm = World(CEILING if nothing else BASE, noise, (0.0,) if nothing else (0.1, -0.1, 0.0, 0.0), seed)
    questions = [dspy.Example(question=f"{seed}/{at}").with_inputs("question") for at in range(size + 20)]
    program: Any = dspy.Predict("question -> answer")
    program.signature = program.signature.with_instructions(START)
    optimizer = SemanticGradientDescent(
        right, steps=steps, method=METHODS[name](), num_threads=1, seed=seed, subscribers=(), probe="never"
    )
    with dspy.context(lm=lm):
        better: Any = optimizer.compile(program, trainset=questions[:20], valset=questions[20:])
    instruction = better.signature.instructions
    return instruction != START, true_gain(instruction), lm.asked


@contextlib.contextmanager
def mapped(processes: int) -> Iterator[Callable[..., Any]]:
    """A `map` over so many processes; one is this one."""
    if processes == 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield functools.partial(pool.map, chunksize=5)


def compiles(
    config: argparse.Namespace, over: Callable[..., Any], name: str, scenario: str, size: int
) -> dict[str, Any]:
    """One row about whole compiles."""
    full = scenario == "compile, no effect" and "without" not in name
    runs = config.compiles if full else min(config.compiles, config.others)
    jobs = [(name, scenario, size, config.noise, config.seed + at, config.steps) for at in range(runs)]
    done = list(over(compiled, jobs))
    taken = [one for one in done if one[0]]
    worse = sum(gain < 1e-9 for _, gain, _ in taken)
    return {
        **row(name, scenario, size, len(done), len(taken), worse),
        "gain": round(math.fsum(gain for _, gain, _ in done) / len(done), 4),
        "calls": round(sum(calls for _, _, calls in done) / len(done)),
    }


def row(gate: str, scenario: str, size: int, runs: int, accepted: int, worse: int) -> dict[str, Any]:
    """One line of the record."""
    return {
        "gate": gate,
        "scenario": scenario,
        "size": size,
        "runs": runs,
        "accepted": round(accepted / runs, 4),
        "worse": round(worse / runs, 4),
        "interval": [round(end, 4) for end in interval([1.0] * worse + [0.0] * (runs - worse))],
    }


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Four panels: what is accepted without an effect and with one, by a decision and by a compile."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = [
        ("decision, no effect", "accepted", "One edit without effect\n(simulated)"),
        ("decision, gain of 10 points", "accepted", "One edit that gains 10 points"),
        ("compile, no effect", "accepted", "Compile, nothing has an effect:\nreturns another program"),
        ("compile, mixed", "gain", "Compile, one proposal in four\ngains 10 points: true gain"),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(15, 4.4))
    for axis, (scenario, field, title) in zip(axes, panels, strict=True):
        for name in dict.fromkeys(one["gate"] for one in rows if one["scenario"] == scenario):
            own = [one for one in rows if one["scenario"] == scenario and one["gate"] == name]
            axis.plot([one["size"] for one in own], [one[field] for one in own], marker="o", label=name)
        axis.set(title=title, xlabel="examples to decide on", xscale="log")
        sizes = sorted({one["size"] for one in rows if one["scenario"] == scenario})
        axis.set_xticks(sizes, list(map(str, sizes)))
        axis.minorticks_off()
        axis.set_ylim(0, 1 if field == "accepted" else None)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    for axis in axes[:3]:
        axis.set_ylabel("share of runs")
    axes[3].set_ylabel("metric points")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Simulate, print a table, write the record and the plot."""
    parser = argparse.ArgumentParser("gate", description="How often gates believe luck, and real gains.")
    parser.add_argument("--noise", type=float, default=0.1, help="the share of answers that flip")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 20, 50, 100, 200])
    parser.add_argument("--runs", type=int, default=2000, help="decisions in each row")
    parser.add_argument("--compile_sizes", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--compiles", type=int, default=500, help="compiles without effect in each row")
    parser.add_argument("--others", type=int, default=100, help="compiles in each other row")
    parser.add_argument("--steps", type=int, default=8, help="of a compile")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="a few runs")
    config = parser.parse_args()
    if config.smoke:
        config.sizes, config.runs, config.compile_sizes, config.compiles, config.steps = [20], 20, [12], 1, 2
    started, rows = time.monotonic(), []
    for scenario, gain in (("decision, no effect", 0.0), ("decision, gain of 10 points", 0.1)):
        for size in config.sizes:
            for name, gate in GATES.items():
                accepted = decided(gate, size, gain, config.noise, config.runs, config.seed)
                rows.append(row(name, scenario, size, config.runs, accepted, 0 if gain else accepted))
                print(*rows[-1].values(), sep="\t", flush=True)
    with mapped(config.processes) as over:
        for scenario in ("compile, no effect", "compile, mixed"):
            for size in config.compile_sizes:
                for name in METHODS:
                    rows.append(compiles(config, over, name, scenario, size))
                    print(*rows[-1].values(), sep="\t", flush=True)
    record = {
        "study": "gate",
        **origin(),
        "settings": vars(config),
        "simulated": True,
        "stated_error": {"semantic (default)": Commit().error, "confident (default)": confident.error},
        "seconds": round(time.monotonic() - started),
        "rows": rows,
    }
    path = Path(config.results_dir) / f"gate-simulated-seed{config.seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    plot(rows, path.with_suffix(".png"))
    print(path)


if __name__ == "__main__":
    main()
