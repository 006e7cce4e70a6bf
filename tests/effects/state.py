"""State of the program: objects, globals, classes, caches and random numbers."""

from __future__ import annotations

import array
import collections
import functools
import itertools
import os
import random
import threading
import types
from typing import Any

import dspy
import numpy as np

from tests.effects.world import Effect, World, grown, kind

LIST: list[str] = []
COUNTER: collections.Counter[str] = collections.Counter()
NUMBER = 0


class Tally:
    made = 0
    by_name: dict[str, int] = {}  # noqa: RUF012 - shared on purpose

    __slots__ = ("own",)

    def __init__(self) -> None:
        self.own = 0


@kind
def global_list(world: World) -> Effect:
    return lambda: LIST.append("x"), grown(LIST)


@kind
def global_counter(world: World) -> Effect:
    COUNTER.clear()
    return lambda: COUNTER.update("x"), COUNTER.total


@kind
def global_name(world: World) -> Effect:
    before = NUMBER

    def act() -> None:
        global NUMBER
        NUMBER += 1

    return act, lambda: NUMBER - before


@kind
def variable_of_a_closure(world: World) -> Effect:
    number = 0

    def act() -> None:
        nonlocal number
        number += 1

    return act, lambda: number


@kind
def class_attribute(world: World) -> Effect:
    Tally.made = 0

    def act() -> None:
        Tally.made += 1

    return act, lambda: Tally.made


@kind
def dictionary_of_a_class(world: World) -> Effect:
    Tally.by_name.clear()

    def act() -> None:
        Tally.by_name["x"] = Tally.by_name.get("x", 0) + 1

    return act, lambda: Tally.by_name["x"]


@kind
def object_with_slots(world: World) -> Effect:
    held = Tally()

    def act() -> None:
        held.own += 1

    return act, lambda: held.own


@kind
def default_argument(world: World) -> Effect:
    held: list[str] = []

    def act(kept: list[str] = held) -> None:
        kept.append("x")

    return act, lambda: len(held)


@kind
def attribute_of_a_function(world: World) -> Effect:
    def act() -> None:
        setattr(act, "count", getattr(act, "count", 0) + 1)  # noqa: B010 - functions declare no attributes

    return act, lambda: getattr(act, "count", 0)


@kind
def module_made_at_run_time(world: World) -> Effect:
    module: Any = types.ModuleType("counts")
    module.count = 0
    return lambda: setattr(module, "count", module.count + 1), lambda: module.count


@kind
def bytes_in_place(world: World) -> Effect:
    held = bytearray(1)

    def act() -> None:
        memoryview(held)[0] += 1

    return act, lambda: held[0]


@kind
def array_in_place(world: World) -> Effect:
    held = array.array("i", [0])

    def act() -> None:
        held[0] += 1

    return act, lambda: held[0]


@kind
def numpy_array_in_place(world: World) -> Effect:
    held = np.zeros(1, int)
    return lambda: held.__iadd__(1), lambda: int(held[0])


@kind
def data_frame_in_place(world: World) -> Effect:
    import pandas as pd

    held: Any = pd.DataFrame({"x": [0]})
    return lambda: held.__setitem__("x", held["x"] + 1), lambda: int(held["x"][0])


@kind
def double_ended_queue(world: World) -> Effect:
    held = collections.deque(range(500))
    return held.popleft, lambda: 500 - len(held)


@kind
def generator_consumed(world: World) -> Effect:
    numbers = (number for number in range(500))
    return lambda: next(numbers), lambda: next(numbers)


@kind
def iterator_consumed(world: World) -> Effect:
    numbers = itertools.count()
    return lambda: next(numbers), lambda: next(numbers)


def _drawn(draw: Any, expected: list[Any]) -> Effect:
    """How often a number was drawn: where the next one stands in the series."""
    return draw, lambda: expected.index(draw())


@kind
def random_numbers(world: World) -> Effect:
    world.at_end(random.setstate, random.getstate())
    random.seed(0)
    expected = [random.random() for _ in range(50_000)]
    random.seed(0)
    # Clients draw a number now and then for their own purposes.
    return lambda: [random.random() for _ in range(1000)], lambda: expected.index(random.random()) // 1000


@kind
def random_numbers_of_an_object(world: World) -> Effect:
    own = random.Random(0)
    return _drawn(random.Random(0).random, [own.random() for _ in range(500)])


@kind
def random_numbers_of_numpy(world: World) -> Effect:
    np.random.seed(0)
    expected = list(np.random.random(500))
    np.random.seed(0)
    return _drawn(np.random.random, expected)


@kind
def random_generator_of_numpy(world: World) -> Effect:
    return _drawn(np.random.default_rng(0).random, list(np.random.default_rng(0).random(500)))


@kind
def patched_attribute_of_a_library(world: World) -> Effect:
    kept = os.path.basename
    world.at_end(setattr, os.path, "basename", kept)

    def act() -> None:
        inner = os.path.basename

        @functools.wraps(inner)
        def outer(path: Any) -> Any:
            return inner(path)

        os.path.basename = outer

    def count() -> int:
        depth, function = 0, os.path.basename
        while function is not kept:
            depth, function = depth + 1, function.__wrapped__
        return depth

    return act, count


@kind
def function_cache(world: World) -> Effect:
    @functools.cache
    def looked_up(key: str) -> str:
        return key

    def act() -> None:
        looked_up("x")

    return act, lambda: sum(looked_up.cache_info()[:2])


@kind
def thread_local_of_a_worker(world: World) -> Effect:
    held, wanted, done = threading.local(), threading.Semaphore(0), threading.Semaphore(0)
    counts: list[int] = []

    def work() -> None:
        while wanted.acquire():
            held.count = getattr(held, "count", 0) + 1
            counts.append(held.count)
            done.release()

    world.worker(work)

    def act() -> None:
        wanted.release()
        done.acquire(timeout=60)

    return act, lambda: counts[-1]


@kind
def demonstrations_that_a_program_collects(world: World) -> Effect:
    predict = dspy.Predict("question -> answer")
    return lambda: predict.demos.append(dspy.Example(question="x", answer="x")), lambda: len(predict.demos)
