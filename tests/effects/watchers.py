"""What watches a program: streams that were replaced, callbacks, instrumentation, the history and settings of DSPy."""

from __future__ import annotations

import functools
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import dspy
from dspy.clients.base_lm import GLOBAL_HISTORY
from dspy.utils.callback import BaseCallback

from dspy_semantic_backprop.testing import Prompt
from tests.effects.world import Acts, Effect, World, kind


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
    import litellm

    seen: list[Any] = []
    world.at_end(litellm.input_callback.remove, seen.append)
    litellm.input_callback.append(seen.append)

    def act() -> None:
        messages = [{"role": "user", "content": "x"}]
        litellm.completion("openai/paid", messages, api_base=world.web.url, api_key="none")

    return act, lambda: sum(one.get("model") == "paid" for one in seen)
