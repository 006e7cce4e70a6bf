"""A graph proved by replay: change one answer at a time, and see what else moves.

An input that moves was fed by the answer (data); a call that disappears was decided by it (control). Every
other answer stays as recorded, so what is seen is direct. An edge that the text suggested is dropped where
its reader was reached with the answer changed and did not move; it is kept where no replay got that far.

Replays are believed only if two unchanged ones reproduce the record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import dspy

from ...._errors import Stop
from ...graph import ComputationGraph
from ...record.values import describe
from ...trace import Trace
from .copying.quiet import quiet
from .copying.replica import replicate
from .copying.surroundings import Surroundings
from .proof import Proof
from .stage import Stage

Probe = Literal["auto", "never", "always"]

AUTO_SECONDS = 20.0
"""The longest that `probe="auto"` replays one execution."""
AUTO_CALLS = 200
"""The largest execution, in calls, that `probe="auto"` replays."""


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
        """Copy a program; the reason, in words, where that cannot be done.

        Args:
            program: The program.
            inputs: Its inputs: what a callable among them holds is saved as well.
        """
        try:
            replica = replicate(program)
            surroundings = Surroundings(program, inputs)
            return cls(replica.program, (*replica.shared, *surroundings.lost), surroundings)
        except Exception as error:  # noqa: BLE001 - copying runs the user's own code
            return f"the program cannot be copied ({type(error).__name__}: {error})"


async def prove(graph: ComputationGraph, trace: Trace, pristine: Pristine | str, probe: Probe) -> ComputationGraph:
    """Replace a graph's suggested edges by proved ones, where that can be done safely.

    Args:
        graph: The graph that identity, text and order suggest.
        trace: Its record.
        pristine: The program as it was before the run, or why there is no copy.
        probe: "never" replays nothing; "auto" only what is safe and small; "always" everything, tools
            excepted, whatever it does to files and sockets.

    Returns:
        The graph with its edges proved, or the same graph with a warning that says why not.
    """
    if probe == "never" or not trace.calls:
        return graph
    reason = unsafe(trace, pristine, probe) or (_too_large(trace) if probe == "auto" else None)
    if reason is not None:
        return _warned(graph, f"edges are not proved by replay: {reason}")
    assert isinstance(pristine, Pristine)
    now = pristine.surroundings.again()
    try:
        stage = Stage(pristine.program, trace, allow_effects=probe == "always")
        proof = Proof(trace, stage, pristine.surroundings, pristine.program)
        with quiet():
            return await proof.of(graph, AUTO_SECONDS if probe == "auto" else None)
    except (Exception, Stop) as error:  # noqa: BLE001 - the run is paid for: its graph must not be lost to a replay
        return _warned(graph, f"edges are not proved by replay: it ended with {describe(error)[:200]}")
    finally:
        now.restore()


def unsafe(trace: Trace, pristine: Pristine | str, probe: Probe) -> str | None:
    """Why a program must not be run again; None where it may.

    Args:
        trace: The record of its execution.
        pristine: The program as it was before it, or why there is no copy.
        probe: As in `prove`.
    """
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


def _too_large(trace: Trace) -> str | None:
    if len(trace.calls) > AUTO_CALLS:
        return f"{len(trace.calls)} calls are more than {AUTO_CALLS}; probe='always' replays them"
    return None


def _warned(graph: ComputationGraph, warning: str) -> ComputationGraph:
    return replace(graph, warnings=(*graph.warnings, warning))
