"""One optimizer on one pipeline with one seed: a run for each cap, and the held-out scores."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
from simulated import SimulatedModel

from dspy_semantic_backprop.testing import SimulatedServer

from .guard import BestSoFar, CapReached, Guard, GuardedLM
from .optimizers import OPTIMIZERS, Entry
from .pipelines import PIPELINES, Sets, sets


@dataclass(frozen=True)
class Heat:
    """What is to be run.

    Args:
        optimizer: Its name.
        program: The pipeline's name.
        seed: Of the examples, the simulated model and the optimizer's choices.
        caps: The most calls of each run, rising.
        sizes: Examples to train on, to decide on and to hold out.
        noise: Share of the simulated model's answers that slip, 0 to 1.
        folder: A data folder; None for the project's own questions.
    """

    optimizer: str
    program: str
    seed: int
    caps: tuple[int, ...]
    sizes: tuple[int, int, int]
    noise: float = 0.0
    folder: Path | None = None


def run(heat: Heat) -> list[dict[str, Any]]:
    """Run it.

    Returns:
        A row for each cap.
    """
    logging.disable(logging.WARNING)
    pipeline = PIPELINES[heat.program]
    examples = sets(pipeline, heat.folder, heat.sizes, heat.seed)
    evaluate = dspy.Evaluate(devset=examples.held_out, metric=pipeline.metric, num_threads=1, display_progress=False)
    known: dict[str, float] = {}
    with SimulatedModel(heat.seed, heat.noise).serve() as judge:

        def held_out(program: dspy.Module) -> float:
            key = json.dumps(program.dump_state(), default=str, sort_keys=True)
            if key not in known:
                with dspy.context(lm=judge.lm()):
                    known[key] = evaluate(program).score / 100
            return known[key]

        rows = []
        for cap in heat.caps:
            outcome = climbed(heat, examples, cap)
            program: Any = rebuilt(heat, outcome.state)
            before, after = held_out(pipeline.build()), held_out(program)
            rows.append(
                {
                    "optimizer": heat.optimizer,
                    "program": heat.program,
                    "seed": heat.seed,
                    "cap": cap,
                    "calls": outcome.calls,
                    "tokens": outcome.tokens,
                    "heldout": round(after, 4),
                    "heldout_before": round(before, 4),
                    "ended": outcome.ended,
                    "seconds": round(outcome.seconds, 2),
                    "instructions": {
                        name: predictor.signature.instructions for name, predictor in program.named_predictors()
                    },
                }
            )
    return rows


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Args:
        state: The best program's.
        calls: Requests that reached the server.
        tokens: Tokens sent and received, as the server counted them.
        ended: What ended it: "itself", "cap", or the error that the optimizer raised.
        seconds: Wall time.
    """

    state: dict[str, Any]
    calls: int
    tokens: int
    ended: str
    seconds: float


def climbed(heat: Heat, examples: Sets, cap: int) -> Outcome:
    """The run that counts: the only one, or the one on the highest rung that ends by itself."""
    contestant = OPTIMIZERS[heat.optimizer]
    build = PIPELINES[heat.program].build
    best, rung = Outcome(build().dump_state(), 0, 0, "cap", 0.0), 0
    with entered(heat, examples, cap) as (entry, _, _):
        rung = contestant.first(entry) if contestant.first else 0
    tried: set[int] = set()
    while rung >= 0 and rung not in tried:
        tried.add(rung)
        outcome = raced(heat, examples, cap, rung)
        if contestant.first is None:
            return outcome
        fits = outcome.ended == "itself"
        best = outcome if fits else best
        rung += 1 if fits else -1
    return best


def raced(heat: Heat, examples: Sets, cap: int, rung: int) -> Outcome:
    """One run, from an empty cache, until it ends or the cap is reached."""
    # Each run pays for its own answers.
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    with entered(heat, examples, cap) as (entry, best, server):
        started, ended = time.monotonic(), "itself"
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                state = OPTIMIZERS[heat.optimizer].compile(entry, rung).dump_state()
        except CapReached:
            state, ended = best.state, "cap"
        except Exception as error:  # noqa: BLE001 - one that fails has what it had; the record says so
            state, ended = best.state, f"{type(error).__name__}: {error}"[:200]
        tokens = server.prompt_tokens + server.completion_tokens
        return Outcome(state, server.requests, tokens, ended, time.monotonic() - started)


@contextlib.contextmanager
def entered(heat: Heat, examples: Sets, cap: int) -> Iterator[tuple[Entry, BestSoFar, SimulatedServer]]:
    """A server of its own, the models behind their guard, and the observer."""
    pipeline = PIPELINES[heat.program]
    with SimulatedModel(heat.seed, heat.noise).serve() as server:
        guard = Guard(server, math.inf if OPTIMIZERS[heat.optimizer].bounded else cap)
        student, proposer = GuardedLM(guard, 0.0), GuardedLM(guard, 1.0)
        program = pipeline.build()
        best = BestSoFar(program, len(examples.val))
        with dspy.context(lm=student, callbacks=[best]):
            yield Entry(program, examples, pipeline.metric, student, proposer, cap, heat.seed), best, server


def rebuilt(heat: Heat, state: dict[str, Any]) -> dspy.Module:
    """A new program in a state; it asks the model in use, not the guarded one that an optimizer may have set."""
    program: Any = PIPELINES[heat.program].build()
    program.load_state(state)
    program.set_lm(None)
    return program
