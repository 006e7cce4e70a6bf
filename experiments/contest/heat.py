"""One optimizer on one program with one seed at one cap, and the held-out score of what it returns."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dspy
from simulated import SimulatedModel

from .entry import Entry
from .guard import BestSoFar, CapReached, Guard, language_model
from .optimizers import OPTIMIZERS
from .programs import PROGRAMS, Sets, sets


@dataclass(frozen=True)
class Heat:
    """What is to be run.

    Args:
        optimizer: Its name.
        program: The program's name.
        seed: Of the examples, the simulated model and the optimizer's choices.
        noise: Share of the simulated model's answers that slip, 0 to 1.
        passes: The cap, in runs of the program on all examples of val.
        sizes: Examples to train on, to decide on and to hold out.
    """

    optimizer: str
    program: str
    seed: int
    noise: float
    passes: int
    sizes: tuple[int, int, int]

    @property
    def cap(self) -> int:
        """The most calls."""
        return self.passes * self.sizes[1] * len(PROGRAMS[self.program].build().predictors())


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Args:
        state: The best program's.
        calls: Requests that reached the server.
        tokens: Tokens sent and received, as the server counted them.
        ended: What ended it: "itself", "cap", or the error that the optimizer raised.
        seconds: Processor time.
    """

    state: dict[str, Any]
    calls: int
    tokens: int
    ended: str
    seconds: float


def run(heat: Heat) -> dict[str, Any]:
    """Run it; returns its row."""
    logging.disable(logging.WARNING)
    program: Any = PROGRAMS[heat.program].build()
    outcome = raced(heat)
    before = start(heat.program, heat.seed, heat.noise, heat.sizes)
    program.load_state(outcome.state)
    told = tuple((name, predictor.signature.instructions) for name, predictor in program.named_predictors())
    first: Any = PROGRAMS[heat.program].build()
    untold = [predictor.signature.instructions for predictor in first.predictors()]
    unchanged = [text for _, text in told] == untold and not any(one.demos for one in program.predictors())
    return {
        "optimizer": heat.optimizer,
        "program": heat.program,
        "seed": heat.seed,
        "noise": heat.noise,
        "cap": heat.cap,
        "calls": outcome.calls,
        "tokens": outcome.tokens,
        "heldout": before if unchanged else scored(heat, program),
        "heldout_before": before,
        "ended": outcome.ended,
        "seconds": round(outcome.seconds, 2),
        "instructions": dict(told),
    }


def examples_of(heat: Heat) -> Sets:
    """The examples of a program and a seed, the same for every optimizer."""
    return sets(PROGRAMS[heat.program], heat.sizes, heat.seed)


@functools.lru_cache(maxsize=64)
def start(program: str, seed: int, noise: float, sizes: tuple[int, int, int]) -> float:
    """The held-out score of a program as it comes, 0 to 1."""
    return scored(Heat("", program, seed, noise, 1, sizes), PROGRAMS[program].build())


def scored(heat: Heat, program: Any) -> float:
    """The held-out score of a program, 0 to 1, on a server that counts for nobody."""
    program.set_lm(None)
    lm = language_model(Guard(SimulatedModel(heat.seed, heat.noise).serve(), math.inf), 0.0)
    metric = PROGRAMS[heat.program].metric
    evaluate = dspy.Evaluate(
        devset=examples_of(heat).held_out, metric=metric, num_threads=1, display_progress=False, max_errors=10**6
    )
    with dspy.context(lm=lm):
        return round(evaluate(program).score / 100, 4)


def raced(heat: Heat) -> Outcome:
    """One run, from an empty cache, until it ends or the cap is reached."""
    # Each run pays for its own answers.
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    contestant = OPTIMIZERS[heat.optimizer]
    with entered(heat) as (entry, best, guard):
        started, ended = time.process_time(), "itself"
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                state = contestant.compile(entry).dump_state()
        except CapReached:
            state, ended = best.state, "cap"
        except Exception as error:  # noqa: BLE001 - one that fails has what it had; the record says so
            state, ended = best.state, f"{type(error).__name__}: {error}"[:200]
        server = guard.server
        tokens = server.prompt_tokens + server.completion_tokens
        return Outcome(state, server.requests, tokens, ended, time.process_time() - started)


@contextlib.contextmanager
def entered(heat: Heat) -> Iterator[tuple[Entry, BestSoFar, Guard]]:
    """A server of its own, the models behind their guard, and the observer."""
    examples = examples_of(heat)
    server = SimulatedModel(heat.seed, heat.noise).serve()
    guard = Guard(server, math.inf if OPTIMIZERS[heat.optimizer].bounded else heat.cap)
    student, proposer = language_model(guard, 0.0), language_model(guard, 1.0)
    program = PROGRAMS[heat.program]
    as_it_comes = program.build()
    best = BestSoFar(as_it_comes, len(examples.val))
    with dspy.context(lm=student, callbacks=[best]):
        yield Entry(as_it_comes, examples, program.metric, student, proposer, heat.cap, heat.seed), best, guard
