"""A program as it was before a run, and whether it may be run again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import dspy

from ...trace import Trace
from .isolation.replica import replicate
from .isolation.surroundings import Surroundings

Probe = Literal["auto", "never", "always"]
"""How far edges are proved: by replays that are safe, not at all, or whatever it does."""


@dataclass
class Pristine:
    """A program as it was before a run, so that replays start where the run started.

    Args:
        program: A copy.
        shared: What the copy shares with the user's own program, in words.
        surroundings: The globals that the program changes, as they were.
    """

    program: Any
    shared: tuple[str, ...]
    surroundings: Surroundings

    @classmethod
    def of(cls, program: dspy.Module, inputs: Iterable[Any] = ()) -> Pristine | str:
        """Copy a program; the reason, in words, where that cannot be done."""
        try:
            replica = replicate(program)
            surroundings = Surroundings(program, inputs)
            return cls(replica.program, (*replica.shared, *surroundings.lost), surroundings)
        except Exception as error:  # noqa: BLE001 - copying runs the user's own code
            return f"the program cannot be copied ({type(error).__name__}: {error})"


def unsafe(trace: Trace, pristine: Pristine | str, probe: Probe) -> str | None:
    """Why a program must not be run again; None where it may."""
    if isinstance(pristine, str):
        return pristine
    if trace.blocked:
        return "; ".join(trace.blocked[:3])
    if pristine.surroundings.blocked:
        return "; ".join(pristine.surroundings.blocked[:3])
    if pristine.shared and probe != "always":
        return f"a copy would share {', '.join(pristine.shared[:3])}; probe='always' does it all the same"
    if trace.effects and probe != "always":
        return f"the program has side effects ({'; '.join(trace.effects[:3])}); probe='always' repeats them"
    return None
