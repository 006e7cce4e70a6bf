"""The state of the random numbers that a program shares with its process: each replay starts from that of the run.

Python seeds `random` anew in the child of a fork, so the state is taken before it. What asks the operating system for
random bytes (`uuid4`, `secrets`, `numpy.random.default_rng()`) cannot be repeated.
"""

from __future__ import annotations

import random
import sys
from typing import Any


def chance() -> tuple[Any, Any]:
    """The state of `random`, and that of NumPy's own generator; None where the program has not loaded it."""
    # What NumPy loads when it is first used is seeded by the operating system then.
    numpy = sys.modules.get("numpy")
    return random.getstate(), None if numpy is None else numpy.random.get_state()


def repeat(state: tuple[Any, Any]) -> None:
    """Go back to a state."""
    random.setstate(state[0])
    if state[1] is not None:
        sys.modules["numpy"].random.set_state(state[1])
