"""TextGrad and OptoPrime (OpenTrace) on the same graphs, by small adapters: neither takes a program of DSPy."""

from __future__ import annotations

import dspy

from .entry import Entry


def textgrad(entry: Entry) -> dspy.Module:
    """Not written yet."""
    raise NotImplementedError


def optoprime(entry: Entry) -> dspy.Module:
    """Not written yet."""
    raise NotImplementedError
