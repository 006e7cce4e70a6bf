"""State of the process: objects, globals, classes, caches, settings of the interpreter and of DSPy."""

from __future__ import annotations

import array
import atexit
import collections
import decimal
import functools
import gc
import importlib
import itertools
import locale
import os
import random
import resource
import signal
import socket
import sys
import threading
import types
import warnings
from collections.abc import Callable
from typing import Any

import dspy
import litellm
import numpy as np
import pandas as pd
from dspy.clients.base_lm import GLOBAL_HISTORY
from dspy.utils.callback import BaseCallback

from dspy_semantic_backprop.testing import Prompt
from tests.effects.world import Acts, Effect, World, kind

LIST: list[str] = []
COUNTER: collections.Counter[str] = collections.Counter()
NUMBER = 0


class Tally:
    made = 0
    by_name: dict[str, int] = {}  # noqa: RUF012 - shared on purpose

    __slots__ = ("own",)

    def __init__(self) -> None:
        self.own = 0


def _grown(held: Any) -> Any:
    """How much longer something is than now."""
    before = len(held)
    return lambda: len(held) - before


@kind
def global_list(world: World) -> Effect:
    return lambda: LIST.append("x"), _grown(LIST)


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
        done.acquire(timeout=1)

    return act, lambda: counts[-1]


@kind
def environment_variable(world: World) -> Effect:
    name = "TESTS_EFFECTS"
    world.at_end(os.environ.pop, name, None)

    def act() -> None:
        os.environ[name] = str(int(os.environ.get(name, 0)) + 1)

    return act, lambda: int(os.environ[name])


@kind
def path_of_imports(world: World) -> Effect:
    world.at_end(sys.path.__setitem__, slice(None), list(sys.path))
    return lambda: sys.path.append("/nowhere"), _grown(sys.path)


@kind
def module_imported(world: World) -> Effect:
    """A module that writes to a file whenever it is run."""
    path, name = world.file(), f"tests_effects_{os.urandom(8).hex()}"
    folder = world.folder / "modules"
    folder.mkdir()
    (folder / f"{name}.py").write_text(f"open({str(path)!r}, 'a').write('x')")
    sys.path.insert(0, str(folder))
    world.at_end(sys.path.remove, str(folder))

    def act() -> None:
        sys.modules.pop(name, None)
        importlib.import_module(name)

    return act, lambda: path.stat().st_size


@kind
def working_directory(world: World) -> Effect:
    (world.folder / "/".join("d" * 20)).mkdir(parents=True)
    world.at_end(os.chdir, os.getcwd())
    os.chdir(world.folder)
    return lambda: os.chdir("d"), lambda: os.getcwd().count("/d")


@kind
def file_mode_mask(world: World) -> Effect:
    world.at_end(os.umask, os.umask(0))
    return lambda: os.umask(os.umask(0) + 1), lambda: os.umask(0)


@kind
def locale_of_the_process(world: World) -> Effect:
    def plain() -> list[int]:
        return [one for one in categories if locale.setlocale(one) == "C"]

    categories = [getattr(locale, f"LC_{name}") for name in ("COLLATE", "MONETARY", "NUMERIC", "TIME", "MESSAGES")]
    for category in categories:
        world.at_end(locale.setlocale, category, locale.setlocale(category))
        locale.setlocale(category, "C")
    return lambda: locale.setlocale(plain()[0], "C.UTF-8"), lambda: len(categories) - len(plain())


@kind
def default_decimal_context(world: World) -> Effect:
    context = decimal.DefaultContext
    world.at_end(setattr, context, "prec", context.prec)
    before = context.prec

    def act() -> None:
        context.prec += 1

    return act, lambda: context.prec - before


@kind
def limit_of_recursion(world: World) -> Effect:
    before = sys.getrecursionlimit()
    world.at_end(sys.setrecursionlimit, before)
    return lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1), lambda: sys.getrecursionlimit() - before


@kind
def limit_of_a_resource(world: World) -> Effect:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == resource.RLIM_INFINITY:
        hard = -1
    world.at_end(resource.setrlimit, resource.RLIMIT_CORE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))

    def act() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[0] + 1, hard))

    return act, lambda: resource.getrlimit(resource.RLIMIT_CORE)[0]


@kind
def default_timeout_of_sockets(world: World) -> Effect:
    world.at_end(socket.setdefaulttimeout, socket.getdefaulttimeout())
    socket.setdefaulttimeout(100.0)

    def act() -> None:
        socket.setdefaulttimeout((socket.getdefaulttimeout() or 0) + 1)

    return act, lambda: round((socket.getdefaulttimeout() or 0) - 100)


@kind
def function_to_call_at_exit(world: World) -> Effect:
    def nothing() -> None: ...

    world.at_end(atexit.unregister, nothing)
    before = atexit._ncallbacks()  # pyright: ignore[reportAttributeAccessIssue]
    return lambda: atexit.register(nothing), lambda: atexit._ncallbacks() - before  # pyright: ignore


@kind
def hook_of_the_garbage_collector(world: World) -> Effect:
    world.at_end(gc.callbacks.__setitem__, slice(None), list(gc.callbacks))
    return lambda: gc.callbacks.append(lambda phase, info: None), _grown(gc.callbacks)


@kind
def filter_of_warnings(world: World) -> Effect:
    world.enter(warnings.catch_warnings())
    filters = warnings.filters
    before = len(filters)
    act = lambda: warnings.filterwarnings("ignore", message=str(len(warnings.filters)))  # noqa: E731 - an effect
    return act, lambda: len(warnings.filters) - before


@kind
def warning_that_the_application_records(world: World) -> Effect:
    seen = world.enter(warnings.catch_warnings(record=True))
    warnings.simplefilter("always")
    return lambda: warnings.warn("x", stacklevel=1), lambda: sum(str(one.message) == "x" for one in seen)


@kind
def standard_output_replaced_by_an_object(world: World) -> Effect:
    class Counts:
        written: list[str] = []  # noqa: RUF012 - one stream

        def write(self, text: str) -> int:
            self.written.append(text)
            return len(text)

        def flush(self) -> None: ...

    kept, sys.stdout = sys.stdout, Counts()
    world.at_end(setattr, sys, "stdout", kept)
    return lambda: print("x"), lambda: Counts.written.count("x")


@kind
def standard_output_kept_by_the_application(world: World) -> Effect:
    written: list[str] = []
    stream = types.SimpleNamespace(write=written.append, flush=lambda: None)
    return lambda: print("x", file=stream), lambda: written.count("x")  # pyright: ignore


class Spans(BaseCallback):
    """What instrumentation sees: the modules that start, of those that are wanted."""

    def __init__(self, wanted: Callable[[Any], bool]) -> None:
        self.wanted, self.started = wanted, 0

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self.started += self.wanted(instance)


def _seen(world: World, wanted: Callable[[Any], bool]) -> Effect:
    spans = Spans(wanted)
    world.enter(dspy.context(callbacks=[*dspy.settings.callbacks, spans]))
    return lambda: None, lambda: spans.started


@kind
def program_runs_that_a_callback_sees(world: World) -> Effect:
    return _seen(world, lambda module: isinstance(module, Acts))


@kind
def predictor_runs_that_a_callback_sees(world: World) -> Effect:
    return _seen(
        world,
        lambda module: (
            isinstance(module, dspy.Predict) and module.dump_state()["signature"]["fields"][-1]["prefix"] == "Answer:"
        ),
    )


@kind
def spans_that_an_exporter_sends(world: World) -> Effect:
    """As instrumentation does that wraps the method by which every module is called."""
    kept = dspy.Module.__call__
    path = world.file()
    file = world.enter(path.open("a", buffering=1))

    @functools.wraps(kept)
    def traced(module: Any, *arguments: Any, **more: Any) -> Any:
        if isinstance(module, Acts):
            file.write("x\n")
        return kept(module, *arguments, **more)

    setattr(dspy.Module, "__call__", traced)  # noqa: B010 - instrumentation keeps no types
    world.at_end(setattr, dspy.Module, "__call__", kept)
    return lambda: None, lambda: path.stat().st_size // 2


@kind
def history_of_dspy(world: World) -> Effect:
    GLOBAL_HISTORY.clear()

    def answered(entry: dict[str, Any]) -> bool:
        return list(Prompt.from_messages(entry["messages"]).names) == ["answer"]

    return lambda: None, lambda: sum(map(answered, GLOBAL_HISTORY))


@kind
def settings_of_dspy(world: World) -> Effect:
    seen: list[str] = []

    def act() -> None:
        with dspy.context(rlm=len(seen)):
            seen.append(dspy.settings.rlm)

    return act, lambda: len(seen)


@kind
def usage_of_a_call_outside_of_predictors(world: World) -> Effect:
    lm = dspy.LM("openai/paid", api_base=world.web.url, api_key="none", cache=False)
    return lambda: lm("x"), world.web.count


@kind
def callback_of_litellm(world: World) -> Effect:
    seen: list[Any] = []
    world.at_end(litellm.input_callback.remove, seen.append)
    litellm.input_callback.append(seen.append)

    def act() -> None:
        messages = [{"role": "user", "content": "x"}]
        litellm.completion("openai/paid", messages, api_base=world.web.url, api_key="none")

    return act, lambda: sum(one.get("model") == "paid" for one in seen)


@kind
def handler_of_a_signal(world: World) -> Effect:
    seen: list[int] = []
    world.at_end(signal.signal, signal.SIGUSR2, signal.getsignal(signal.SIGUSR2))
    signal.signal(signal.SIGUSR2, lambda *_: seen.append(1))
    return lambda: signal.raise_signal(signal.SIGUSR2), lambda: len(seen)


@kind
def demonstrations_that_a_program_collects(world: World) -> Effect:
    predict = dspy.Predict("question -> answer")
    return lambda: predict.demos.append(dspy.Example(question="x", answer="x")), lambda: len(predict.demos)
