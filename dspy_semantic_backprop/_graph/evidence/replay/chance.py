"""Random numbers of replays: each one starts from the state that the run had, and draws the same as the others.

Python seeds `random` anew in the child of a fork, so the state is taken before it. What the operating system gave in
the run (`uuid4`, `secrets`, `numpy.random.default_rng()`, a `Random()` without a seed) cannot be drawn again: a replay
is given bytes that depend on its luck alone. With the same luck two replays differ by what was changed in them and by
nothing else; with another luck an unchanged one shows what is a matter of chance.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections import Counter
from typing import Any

from ...record.threads import strand


def chance() -> tuple[Any, Any]:
    """The state of `random`, and that of NumPy's own generator; None where the program has not loaded it."""
    # What NumPy loads when it is first used is seeded by the operating system then.
    numpy = sys.modules.get("numpy")
    return random.getstate(), None if numpy is None else numpy.random.get_state()


class SystemBytes:
    """The operating system's random bytes, for a process that replays: they replace `os.urandom` there, for good."""

    def __init__(self) -> None:
        self._luck = 0
        self._drawn: Counter[Any] = Counter()
        os.urandom = random._urandom = self.draw  # pyright: ignore[reportAttributeAccessIssue] - SystemRandom's own name
        seed = random.Random.seed

        def seeded(generator: Any, a: Any = None, version: int = 2) -> None:
            seed(generator, int.from_bytes(self.draw(32), "big") if a is None else a, version)

        setattr(random.Random, "seed", seeded)  # noqa: B010 - a type checker's rule
        random.seed = random._inst.seed  # pyright: ignore[reportAttributeAccessIssue] - the name of the one that all share

    @property
    def drawn(self) -> int:
        """How often they were asked for since `start`."""
        return self._drawn.total()

    def start(self, luck: int) -> None:
        """Begin a replay."""
        self._luck = luck
        self._drawn.clear()

    def draw(self, size: int, /) -> bytes:
        """So many bytes. Threads draw apart: which one comes first is no part of it."""
        where = strand()
        self._drawn[where] += 1
        return hashlib.shake_256(repr((self._luck, where, self._drawn[where])).encode()).digest(size)


def repeat(state: tuple[Any, Any]) -> None:
    """Go back to a state."""
    random.setstate(state[0])
    if state[1] is not None:
        sys.modules["numpy"].random.set_state(state[1])
