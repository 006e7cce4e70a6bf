"""The optimizers, each given the same world, examples and number of requests."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import dspy
from unseen.server import Server
from unseen.world import World, score

from dspy_semantic_backprop import Budget, Method, SemanticBackpropError, SemanticGradientDescent, presets

THREADS = 4
EXAMPLES = 16
"""How many examples there are to learn from, and as many again to decide on."""
Ending = dict[str, Any]
Arm = Callable[[World, Server, int], tuple[dspy.Module, Ending]]


def ours(method: Callable[[], Method] = presets.semantic) -> Arm:
    """Semantic gradient descent with one of its presets, and what it says at the end."""

    def run(world: World, server: Server, seed: int) -> tuple[dspy.Module, Ending]:
        settings: dict[str, Any] = {
            "method": method(),
            "budget": Budget(calls=server.cap),
            "num_threads": THREADS,
            "seed": seed,
        }
        optimizer = SemanticGradientDescent(world.metric, subscribers=(), **settings)
        try:
            better: Any = optimizer.compile(world.build(), trainset=learn(world, seed), valset=decide(world, seed))
        except SemanticBackpropError as error:
            return error.best or world.build(), {"error": f"{type(error).__name__}: {error}"}
        return better, said(better.detailed_results)

    return run


def said(result: Any) -> Ending:
    """What a result claims, as it stands in the record."""
    final, interval = result.final, getattr(result.final, "interval", None)
    return {
        "ending": result.ending.value,
        "reason": result.reason,
        "warnings": list(result.warnings),
        "spent": result.total.calls,
        "notes": dict(result.notes),
        "score": [result.score_before, result.score_after],
        "final": final
        and {
            "gain": final.gain,
            "interval": list(interval) if interval else None,
            "worse": final.worse,
            "proven": bool(final.proven),
        },
        "text": str(result).partition("\nChanged ")[0],
    }


def gepa(selector: str) -> Arm:
    """dspy.GEPA, stopped when the server has answered all that it will."""

    def run(world: World, server: Server, seed: int) -> tuple[dspy.Module, Ending]:
        def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
            return world.metric(gold, pred)

        optimizer = dspy.GEPA(
            metric=metric,
            reflection_lm=server.lm(),
            component_selector=selector,
            max_metric_calls=100_000,
            num_threads=THREADS,
            seed=seed,
            gepa_kwargs={"stop_callbacks": [lambda state: server.requests >= server.cap]},
        )
        return optimizer.compile(world.build(), trainset=learn(world, seed), valset=decide(world, seed)), {}

    return run


def simba(world: World, server: Server, seed: int) -> tuple[dspy.Module, Ending]:
    """dspy.SIMBA by rules alone, with the most steps that fit the cap."""
    size, many, steps, count = next(plan for plan in SIMBA_PLANS if simba_calls(world, *plan) <= server.cap)
    optimizer = dspy.SIMBA(
        metric=_named(world.metric), bsize=size, num_candidates=many, max_steps=steps, max_demos=0, num_threads=THREADS
    )
    return optimizer.compile(world.build(), trainset=learn(world, seed)[:count], seed=seed), {
        "plan": [size, many, steps, count]
    }


def simba_calls(world: World, size: int, many: int, steps: int, count: int) -> int:
    """How many requests SIMBA makes, about: each step tries, advises and evaluates, and the end evaluates again."""
    step = size * world.calls * (2 * many + 1) + many + 1
    return steps * step + min(steps + 1, many + 1) * count * world.calls


SIMBA_PLANS = [
    (size, many, steps, count)
    for steps in (4, 3, 2, 1)
    for count in (16, 12, 8)
    for many, size in ((3, 6), (3, 4), (2, 4), (2, 3))
]


def miprov2(world: World, server: Server, seed: int) -> tuple[dspy.Module, Ending]:
    """dspy.MIPROv2 with instructions alone, and as many full trials as fit the cap."""
    predictors = len(world.build().predictors())
    trials = (server.cap - 30 * predictors) // (EXAMPLES * world.calls) - 1
    optimizer = dspy.MIPROv2(
        metric=_number(world.metric),
        auto=None,
        num_candidates=4,
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        num_threads=THREADS,
        seed=seed,
    )
    sets: dict[str, Any] = {"trainset": learn(world, seed), "valset": decide(world, seed)}
    return optimizer.compile(world.build(), **sets, num_trials=trials, minibatch=False), {"trials": trials}


def copro(world: World, server: Server, seed: int) -> tuple[dspy.Module, Ending]:
    """dspy.COPRO, two instructions a predictor in one round, on as many examples as fit the cap."""
    predictors = len(world.build().predictors())
    count = min(EXAMPLES, (server.cap - 2 * predictors) // (2 * predictors * world.calls))
    optimizer = dspy.COPRO(metric=_number(world.metric), breadth=2, depth=1)
    how: dict[str, Any] = {"num_threads": THREADS, "display_progress": False}
    return optimizer.compile(world.build(), trainset=learn(world, seed)[:count], eval_kwargs=how), {"examples": count}


def _number(metric: Callable[..., Any]) -> Callable[..., float]:
    return lambda example, prediction, trace=None: score(metric(example, prediction))


def _named(metric: Callable[..., Any]) -> Callable[..., Any]:
    return lambda example, prediction, trace=None: metric(example, prediction)


def learn(world: World, seed: int) -> list[dspy.Example]:
    """The examples to learn from."""
    return world.examples(seed, 0, EXAMPLES)


def decide(world: World, seed: int) -> list[dspy.Example]:
    """The examples to decide on."""
    return world.examples(seed, EXAMPLES, EXAMPLES)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the optimizers' logs and progress bars."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


ARMS: dict[str, Arm] = {
    "semantic": ours(),
    "one_step": ours(presets.one_step),
    "published": ours(presets.published),
    "gepa": gepa("round_robin"),
    "gepa_all": gepa("all"),
    "simba": simba,
    "miprov2": miprov2,
    "copro": copro,
}
LARGEST_ONLY = ("miprov2", "copro")
"""What is run at the larger cap only."""
