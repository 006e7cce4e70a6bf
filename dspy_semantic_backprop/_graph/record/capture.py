"""Run a program on one example and record every predictor call, without touching the program."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio
import dspy

from ..._concurrency import in_thread
from ..evidence.replay.isolation.effects import watched
from ..evidence.replay.isolation.replica import kept
from ..trace import Trace
from .hook import Hook, NoHook
from .names import UNNAMED, Names
from .recorder import Callbacks, Entries, Recorder
from .recording import Recording
from .tokens import CallUsage

_RECORDER = Recorder()


async def capture(
    program: dspy.Module,
    inputs: Mapping[str, Any],
    *,
    names: Names,
    limiter: anyio.CapacityLimiter,
    hook: Hook | None = None,
) -> tuple[Any, BaseException | None, Trace]:
    """Run a program on one example's inputs and record it.

    Args:
        program: The program; called as its user would, in a worker thread, or awaited where it has
            only an `aforward`.
        inputs: Its keyword arguments.
        names: The names of its predictors.
        limiter: Bounds how many synchronous programs run at once.
        hook: Is told of the calls to language models; None tells nobody.

    Returns:
        What the program returned (None where it raised), what it raised (None where it returned), and
        the trace. Only `Exception` is caught.
    """
    recording = Recording(names, hook or NoHook())
    given, uncopied = kept(inputs)
    outside = contextvars.Context().run(lambda: dspy.settings.trace)
    before = len(outside or ())
    callbacks = Callbacks(dspy.settings.callbacks or [], _RECORDER)
    usage = CallUsage(dspy.settings.usage_tracker, keep=bool(dspy.settings.track_usage))
    recording.usage = usage.tokens
    overrides: dict[str, Any] = {"semantic_recording": recording, "callbacks": callbacks, "usage_tracker": usage}
    returned, error = None, None
    try:
        with dspy.context(**overrides, trace=Entries(recording)), watched(recording.effects):
            if asynchronous_only(program):
                async with limiter:
                    returned = await program.acall(**inputs)
            else:
                call = functools.partial(program, **inputs)
                returned = await in_thread(call, limiter)
    except asyncio.CancelledError:
        raise
    except Exception as raised:  # noqa: BLE001 - a program may raise anything; the caller classifies it
        error = raised
    trace = recording.finish(inputs, returned, error, given)
    unseen = _unseen_warning(names, outside, before)
    blocked = (*uncopied, *("predictors were called in threads that nothing can follow" for _ in unseen[:1]))
    if usage.keep and isinstance(returned, dspy.Prediction):
        # DSPy does this at the end of the outermost module, unless somebody tracks usage already.
        returned.set_lm_usage(usage.get_total_tokens())
    return returned, error, replace(trace, warnings=(*trace.warnings, *unseen), blocked=blocked)


def _unseen_warning(names: Names, outside: Any, before: int) -> tuple[str, ...]:
    # A thread without a copied context leaves its calls in the trace that DSPy keeps for the whole process.
    unseen = sorted({names.of(entry[0]) for entry in list(outside or ())[before:]} - {UNNAMED})
    return tuple(
        f"{name} was called in a thread without DSPy's context, which nothing can follow: the call is missing here; "
        "use dspy.Parallel, or submit contextvars.copy_context().run"
        for name in unseen
    )


def runner(program: dspy.Module) -> Any:
    """The function that a call of a program ends in: its `forward`, or `aforward` where it has no other.

    Returns:
        The function as defined, `self` included; None where the program has neither.
    """
    # Reading the attribute of an instance makes DSPy warn of a direct call.
    for name in ("forward", "aforward"):
        function = vars(program).get(name) or getattr(type(program), name, None)
        if function is not None:
            return function
    return None


def asynchronous_only(program: dspy.Module) -> bool:
    """Whether a program can be awaited and not called: it has an `aforward` and no `forward`."""
    return getattr(runner(program), "__name__", "") == "aforward"
