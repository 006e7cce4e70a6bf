"""How many requests of a compile wait for each other: its critical path, in rounds.

    python experiments/chain.py

A simulated model inside of the process holds all requests back until no further one has come for a moment; then it
answers them at once. So each round stands for one request of a chain of which each began after the one before had
ended, and their number is the critical path of the run, on a machine of any speed. Four steps of the default search on
a program of three predictors in a row, every second example right: with all examples in the trainset, and with half of
them in a valset; alone, and with a decision at the end that runs ahead. Each is then run once more with a model that
answers every request after `--latency` seconds: the wall time over that of the chain is what the rest costs.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import logging
import os
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from exponents import ASKED, half
from records import origin
from throughput import Chain

from dspy_semantic_backprop import Pooled, SemanticGradientDescent, presets
from dspy_semantic_backprop.integrations import StepDone


class Rounds:
    """Holds requests back until none has come for so many seconds, and lets them go together.

    Attributes:
        sizes: How many requests each round had.
    """

    def __init__(self, quiet: float) -> None:
        self.quiet = quiet
        self.sizes: list[int] = []
        self._changed = threading.Condition()
        self._waiting, self._last = 0, 0.0
        threading.Thread(target=self._let_go, daemon=True).start()

    def wait(self) -> None:
        """Until the round of this request."""
        with self._changed:
            self._waiting, self._last, here = self._waiting + 1, time.monotonic(), len(self.sizes)
            self._changed.wait_for(lambda: len(self.sizes) > here)

    def _let_go(self) -> None:
        while True:
            time.sleep(self.quiet / 10)
            with self._changed:
                if self._waiting and time.monotonic() - self._last > self.quiet:
                    self.sizes.append(self._waiting)
                    self._waiting = 0
                    self._changed.notify_all()


class Held(dspy.BaseLM):
    """The simulated language model of this study: answers after a wait, another question with another text."""

    def __init__(self, wait: Callable[[], None]) -> None:
        super().__init__(model="rounds", cache=False)
        self.wait = wait

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> list[str]:
        """A text for every field that is asked for."""
        self.wait()
        number = zlib.crc32(json.dumps(messages).encode())
        asked = [name for name in ASKED.findall(messages[-1]["content"]) if name != "completed"]
        said = [f"[[ ## {name} ## ]]\nversion number {number} of {name}\n" for name in asked]
        return ["\n".join([*said, "[[ ## completed ## ]]"])]


def measure(config: argparse.Namespace, valset: bool, ahead: int) -> dict[str, Any]:
    """One compile: its calls, its rounds, how many of them after the last step, and its wall time at a latency."""
    rounds, ends = Rounds(config.quiet), [0]

    def watch(event: Any) -> None:
        if isinstance(event, StepDone):
            ends.append(len(rounds.sizes))

    state = compiled(config, valset, ahead, Held(rounds.wait), watch)
    began = time.monotonic()
    timed = compiled(config, valset, ahead, Held(functools.partial(time.sleep, config.latency)))
    wall, decided = time.monotonic() - began, [_decided(one) for one in (state, timed)]
    return {
        "examples": config.examples,
        "valset": valset,
        "ahead": ahead,
        "in_vain": state["notes"].get("executions ahead in vain", 0),
        "decided": decided[0],
        "same_when_timed": decided[0] == decided[1],
        "calls": sum(one["calls"] for one in state["spent"].values()),
        "rounds": len(rounds.sizes),
        "rounds_of_steps": [after - before for before, after in itertools.pairwise(ends)],
        "rounds_at_the_end": len(rounds.sizes) - ends[-1],
        "wall_seconds": round(wall, 1),
        "wall_over_chain": round(wall / (len(rounds.sizes) * config.latency), 3),
        "sizes": rounds.sizes,
    }


def compiled(
    config: argparse.Namespace, valset: bool, ahead: int, lm: Held, watch: Callable[[Any], None] = lambda event: None
) -> dict[str, Any]:
    """The result of one compile, as plain values."""
    count, method = config.examples, replace(presets.semantic(), search=Pooled(ahead=ahead))
    examples = [dspy.Example(question=f"Question {at}?", number=at).with_inputs("question") for at in range(count)]
    given = {"trainset": examples[: count // 2], "valset": examples[count // 2 :]} if valset else {"trainset": examples}
    settings = {"steps": config.steps, "num_threads": 64, "seed": 0, "subscribers": (watch,)}
    with dspy.context(lm=lm, disable_history=True):
        optimizer = SemanticGradientDescent(half, method=method, **settings)
        return optimizer.compile(Chain(), **given).detailed_results.to_dict()


def _decided(state: dict[str, Any]) -> str:
    return _digest([state["instructions"], state["steps"], state["final"]])


def _digest(decided: Any) -> str:
    """Eight hexadecimal digits that tell decisions apart."""
    return f"{zlib.crc32(json.dumps(decided, sort_keys=True, default=str).encode()):08x}"


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser("chain", description="How many requests of a compile wait for each other.")
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--ahead", type=int, nargs="+", default=[0, 1, 4], help="blocks that the end runs ahead")
    parser.add_argument("--quiet", type=float, default=0.3, help="seconds without a request, before all are answered")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds of a request in the runs that are timed")
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="one short run")
    config = parser.parse_args()
    if config.smoke:
        config.examples, config.steps, config.quiet, config.ahead, config.latency = 4, 1, 0.02, [1], 0.01
    logging.disable(logging.WARNING)
    print("simulated model: calls, and rounds of calls that wait for each other")
    rows = []
    for valset, ahead in itertools.product((False, True), config.ahead):
        rows.append(measure(config, valset, ahead))
        print({name: value for name, value in rows[-1].items() if name != "sizes"}, flush=True)
    path = Path(config.results_dir) / "chain-simulated.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"study": "chain", **origin(), "settings": vars(config), "seed": 0, "simulated": True, "rows": rows}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
