"""Answers that were not given before: a stretch of work that DSPy's cache has no part in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dspy

from ..ledger import Ledger
from .client import is_metered, metered


@contextmanager
def uncached(program: dspy.Module, ledger: Ledger) -> Iterator[None]:
    """Inside, every language model of a run is asked afresh, at its own settings.

    Why not a new `rollout_id`: programs that sample several answers choose these themselves, and at temperature 0 DSPy
    advises against them. What is asked afresh at temperature 0 shows what the provider varies.

    Args:
        program: A copy that belongs to the run, with metered language models (`install`); it stays uncached.
        ledger: Where calls are booked.
    """
    for _, module in program.named_sub_modules():
        for value in vars(module).values():
            if isinstance(value, dspy.BaseLM) and is_metered(value):
                value.cache = False
    default = dspy.settings.lm
    if isinstance(default, dspy.BaseLM):
        default = metered(default, ledger)
        default.cache = False
    with dspy.context(lm=default):
        yield


def never_cached(lm: Any) -> Any:
    """A copy of a language model that DSPy's cache never answers for; it writes into the same history.

    Args:
        lm: Any `dspy.BaseLM`; anything else is given back as it is.
    """
    if not isinstance(lm, dspy.BaseLM):
        return lm
    twin = lm.copy()
    twin.cache = False
    twin.history = lm.history
    return twin
