"""Half-price mode under SIGKILL: the same run with and without batches, killed at moments all over its batches.

    python experiments/batch.py --kills 12

A process compiles in batches against a simulated provider in this one. It is killed when the provider has seen so many
requests of its batch interface (files, batches, looks at them, replies), and started again on the same log until it
ends. What counts is what the provider counted: no request answered twice, the same program, half of the price.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy

from dspy_semantic_backprop import Budget, SemanticGradientDescent, presets
from dspy_semantic_backprop.testing import Prompt, SimulatedServer

MODEL, PRICE, EXAMPLES = "simulated-batch", (1.0, 2.0), 8


class Pair(dspy.Module):
    """Two predictors, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, hint -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        """Answer with a hint."""
        return self.final(question=question, hint=self.first(question=question).hint)


def rule(prompt: Prompt) -> dict[str, Any]:
    """Right where every predictor was told to be careful, which gradients ask for."""
    careful = "careful" in prompt.instruction.lower()
    said = "careful" if careful and "sloppy" not in str(prompt.inputs) else "sloppy"
    answers = dict.fromkeys(prompt.names, f"{said} answer")
    for name in prompt.names:
        if name.startswith(("change_", "severity_", "quote_")):
            answers[name] = "it should be careful" if name.startswith("change_") else ""
    if "new_instruction" in answers:
        now = prompt.inputs["current_instruction"]
        answers["new_instruction"] = now if "careful" in now else f"{now}\nBe careful."
    return answers


def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    """Whether the answer is the expected one."""
    return prediction.answer == example.answer


def compile_once(url: str, folder: str, batch: bool, told: Any = None) -> Any:
    """One run; its result, also sent through a pipe where there is one."""
    settings = {"api_base": url, "api_key": "simulated", "temperature": 0.0, "max_tokens": 500, "cache": False}
    examples = [
        dspy.Example(question=f"Number {number}?", answer="careful answer").with_inputs("question")
        for number in range(EXAMPLES)
    ]
    with dspy.context(lm=dspy.LM(f"openai/{MODEL}", **settings)):
        optimizer = SemanticGradientDescent(
            metric,
            steps=2,
            method=presets.proven(),
            budget=Budget(usd=10.0, prices={MODEL: PRICE}),
            batch=batch,
            log_dir=folder,
            subscribers=(),
        )
        result = optimizer.compile(Pair(), trainset=examples[:3], valset=examples[3:]).detailed_results
    found = (dict(result.instructions_after), result.total.calls, result.total.usd)
    if told is not None:
        told.send(found)
    return found


def killed(context: Any, server: SimulatedServer, folder: str, moment: int) -> tuple[Any, int]:
    """A run that is killed once the batch interface has seen so many requests, and again after as many more; and how
    often it was killed."""
    kills = 0
    while True:
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=compile_once, args=(server.url, folder, True, there))
        until = server.desk.requests + moment
        child.start()
        there.close()
        while child.is_alive() and (kills > 1 or server.desk.requests < until):
            child.join(0.002)
        if child.is_alive():
            child.kill()
            kills += 1
        child.join()
        if child.exitcode == 0:
            return here.recv(), kills


def main() -> None:
    """Run, kill, compare, and print a line for each."""
    parser = argparse.ArgumentParser("batch", description="Half-price mode under SIGKILL")
    parser.add_argument("--kills", type=int, default=12, help="at how many moments")
    moments = range(1, 1 + parser.parse_args().kills)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["litellm", "dspy", "batch"])
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        with SimulatedServer(rule, model=MODEL) as server:
            plain = compile_once(server.url, f"{folder}/plain", batch=False)
        for moment in (0, *moments):
            with SimulatedServer(rule, model=MODEL) as server:
                place = str(Path(folder) / f"batch-{moment}")
                found, kills = (
                    killed(context, server, place, moment)
                    if moment
                    else (compile_once(server.url, place, batch=True), 0)
                )
                same = found[:2] == plain[:2] and server.answered == plain[1]
                half = abs(found[2] - plain[2] / 2) < 1e-9
                wrong += not (same and half)
                print(
                    f"killed {kills} times, each {moment} requests on: {server.answered} answered ({plain[1]} without "
                    f"batches) in {len(server.desk.batches)} batches, {found[2] / plain[2]:.2f} of the price, "
                    f"{'the same' if same else 'ANOTHER'} program",
                    flush=True,
                )
    print(f"{threading.active_count()} threads at the end; wrong: {wrong} of {len(moments) + 1}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
