"""Every door to a language model: a call in a run is metered whichever object it goes to, and in whichever thread.

A program or a metric may hold a language model where no copy of it can be put: in a global, a closure, a `dspy.context`
inside `forward`, or one that it makes while it runs; and its class may override `__call__`. So while work with a
purpose is under way, the classes' own `__call__` and `acall` send what is not metered to a metered copy. Threads start
without a context, and tasks of a pool that is there already run in another one: both are given that of the work.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import dspy

from ..ledger import Ledger
from .client import is_metered, metered
from .context import lm_context
from .patched import Patched, Replacement

_DOORS = ("__call__", "acall")
_PATCHED = Patched()
_OWNERS: weakref.WeakKeyDictionary[Any, Ledger] = weakref.WeakKeyDictionary()


def own(program: dspy.Module, ledger: Ledger) -> None:
    """Remember whose a run's copy of a program is: its calls are known by it in threads that have no context."""
    for _, module in program.named_sub_modules():
        _OWNERS[module] = ledger


@contextmanager
def watched_doors() -> Iterator[None]:
    """Inside, calls of language models that belong to a run are metered."""
    _follow_threads()
    with _PATCHED.inside(_doors):
        yield


def _doors() -> Iterator[Replacement]:
    for kind in _kinds(dspy.BaseLM):
        for name in _DOORS:
            if name in vars(kind):
                yield kind, name, functools.partial(_door, name)


def _kinds(kind: type) -> Iterator[type]:
    # Metered classes, and those of this package, send nothing by themselves.
    if hasattr(kind, "semantic_metered") or kind.__module__.startswith("dspy_semantic_backprop."):
        return
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def _door(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def door(lm: Any, *args: Any, **kwargs: Any) -> Any:
        ledger = None if is_metered(lm) else _ledger()
        if ledger is None:
            return original(lm, *args, **kwargs)
        return getattr(type(twin := _twin(lm, ledger)), name)(twin, *args, **kwargs)

    return door


def _ledger() -> Ledger | None:
    """The ledger of the run that a call belongs to: by its context, else by the program that makes it."""
    here = lm_context().ledger
    if here is not None:
        return here
    callers = dspy.settings.get("caller_modules") or ()
    return next((_OWNERS[module] for module in reversed(callers) if module in _OWNERS), None)


def _twin(lm: Any, ledger: Ledger) -> Any:
    # DSPy's own class keeps nothing from call to call; another one may count its calls.
    if type(lm) is dspy.LM:
        return metered(lm, ledger)
    if id(lm) not in ledger.outside:
        ledger.outside[id(lm)] = (lm, metered(lm, ledger))
    return ledger.outside[id(lm)][1]


_following, _LOCK = False, threading.Lock()


def _follow_threads() -> None:
    """Give threads and tasks that are started in a run its context; once for the life of the process, idle elsewhere.

    Why for its life: a thread that outlives the run would else be taken for nobody's by whoever else follows threads.
    """
    global _following
    with _LOCK:
        if _following:
            return
        _following = True
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    @functools.wraps(start)
    def start_in_context(thread: threading.Thread) -> None:
        if _in_a_run():
            thread.run = functools.partial(copy_context().run, thread.run)
        start(thread)

    @functools.wraps(submit)
    def submit_in_context(pool: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if _in_a_run():
            function = functools.partial(copy_context().run, function)
        return submit(pool, function, *args, **kwargs)

    setattr(threading.Thread, "start", start_in_context)  # noqa: B010 - a type checker's rule
    setattr(ThreadPoolExecutor, "submit", submit_in_context)  # noqa: B010 - a type checker's rule


def _in_a_run() -> bool:
    return any(
        dspy.settings.get(name) is not None for name in ("semantic_lm_context", "semantic_recording", "semantic_replay")
    )
