"""The optimizers, each given the same world, examples and number of requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dspy
from blind.world import World
from unseen.arms import Ending, said

from dspy_semantic_backprop import Budget, Method, SemanticBackpropError, SemanticGradientDescent, presets

Arm = Callable[[World, Any, int], tuple[dspy.Module, Ending]]
"""World, model and seed to the program that is returned, and what is said of it."""
FEW = 6
"""How many examples GEPA decides on in the arm that was added later."""


def ours(method: Callable[[], Method] = presets.semantic) -> Arm:
    """Semantic gradient descent with one of its presets, and what it says at the end."""

    def run(world: World, lm: Any, seed: int) -> tuple[dspy.Module, Ending]:
        learn, decide = world.examples(seed)
        settings: dict[str, Any] = {"method": method(), "budget": Budget(calls=lm.counter.cap), "seed": seed}
        optimizer = SemanticGradientDescent(world.metric(), subscribers=(), num_threads=1, **settings)
        try:
            better: Any = optimizer.compile(world.program(), trainset=learn, valset=decide)
        except SemanticBackpropError as error:
            return error.best or world.program(), {"error": f"{type(error).__name__}: {error}"}
        return better, said(better.detailed_results)

    return run


def gepa(selector: str, count: int | None = None) -> Arm:
    """dspy.GEPA, stopped when the model has answered all that it will; it decides on the first `count` examples."""

    def run(world: World, lm: Any, seed: int) -> tuple[dspy.Module, Ending]:
        learn, decide = world.examples(seed)
        counter = lm.counter
        optimizer = dspy.GEPA(
            metric=world.metric(),
            max_metric_calls=int(1.3 * counter.cap / world.calls) + 1,
            reflection_lm=lm,
            num_threads=1,
            seed=seed,
            track_stats=True,
            component_selector=selector,
            gepa_kwargs={"stop_callbacks": [lambda state: counter.requests >= counter.cap]},
        )
        return optimizer.compile(world.program(), trainset=learn, valset=decide[:count]), {}

    return run


def simba(world: World, lm: Any, seed: int) -> tuple[dspy.Module, Ending]:
    """dspy.SIMBA by rules alone, in the sizes that use the cap best."""
    size, many, steps, count = sizes(world, lm.counter.cap)
    optimizer = dspy.SIMBA(
        metric=world.metric(), bsize=size, num_candidates=many, max_steps=steps, max_demos=0, num_threads=1
    )
    learn, _ = world.examples(seed)
    return optimizer.compile(world.program(), trainset=learn[:count], seed=seed), {"plan": [size, many, steps, count]}


def sizes(world: World, cap: int) -> tuple[int, int, int, int]:
    """Batch, candidates, steps and examples of SIMBA that fit into 97 % of the cap, 85 % or more of it where possible.

    Fewer examples than there are where even the evaluation at the end would not fit; 4 where nothing else fits.
    """
    whole = world.count
    some = plans(world, cap, (whole, whole * 3 // 4, whole // 2, whole // 3, whole // 4)) or plans(world, cap, (4,))

    def worth(plan: tuple[int, int, int, int]) -> tuple[bool, float, float]:
        size, many, steps, count = plan
        used = requests(world, *plan)
        return used > 0.85 * cap, min(steps, 3) + 0.5 * min(many, 4) + 0.15 * size + 0.05 * count, used

    return max(some, key=worth)


def plans(world: World, cap: int, counts: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """All sizes with these numbers of examples that fit."""
    return [
        (size, many, steps, count)
        for count in counts
        for steps in range(1, 9)
        for many in range(2, 7)
        for size in range(4, count + 1)
        if requests(world, size, many, steps, count) <= 0.97 * cap
    ]


def requests(world: World, size: int, many: int, steps: int, count: int) -> float:
    """How many requests SIMBA makes, about."""
    step = size * many * world.calls + min(size, many + 1) + (many + 1) * size * world.calls
    return steps * step + (min(steps, many) + 1) * count * world.calls


ARMS: dict[str, Arm] = {
    "semantic": ours(),
    "one_step": ours(presets.one_step),
    "published": ours(presets.published),
    "gepa": gepa("round_robin"),
    "gepa_all": gepa("all"),
    "gepa_all_small": gepa("all", FEW),
    "simba": simba,
}
